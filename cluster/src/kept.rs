//! The states of waves, kept in a folder until all are there.

use crate::job::Work;
use convscope_engine::accumulators::Covered;
use convscope_engine::probes::merge_states;
use convscope_engine::states::{Ledger, StateFile, merge};
use convscope_engine::{Error, Result, regular};
use std::path::{Path, PathBuf};

/// The states that are there already.
pub struct Kept {
    folder: PathBuf,
    files: Vec<PathBuf>,
    /// The images that they are of.
    pub covered: Covered,
}

impl Kept {
    /// Those of an earlier run for the same file.
    pub fn open(out: &Path, work: &Work) -> Result<Self> {
        let folder = Ledger::folder_of(out);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let mut files = regular::entries(&folder)?;
        files.retain(|p| p.extension().is_some_and(|e| e == "state"));
        files.sort();
        files.extend(out.is_file().then(|| out.to_path_buf()));
        let mut kept = Kept { folder, files: Vec::new(), covered: Covered::new() };
        for path in files {
            let place = path.display().to_string();
            let hint = |e: Error| e.hint(format!("remove `{}` and its waves to begin anew", out.display()));
            let file = StateFile::read(&path).map_err(hint)?;
            file.check_facts(&work.facts, &place).map_err(hint)?;
            for (asked, there) in work.questions.iter().zip(&file.entries) {
                asked.check(&there.question, &place).map_err(hint)?;
            }
            if let Some(entry) = file.entries.first() {
                kept.covered.merge(&Covered::of(&entry.covered)?).map_err(hint)?;
            }
            kept.files.push(path);
        }
        Ok(kept)
    }

    pub fn keep(&mut self, state: &StateFile) -> Result<()> {
        let covered = match state.entries.first() {
            Some(entry) => Covered::of(&entry.covered)?,
            None => return Ok(()),
        };
        let first = covered.ranges().first().map_or(0, |r| r.start);
        let path = self.folder.join(format!("{first:012}-{:012}.state", covered.count()));
        state.write(&path)?;
        self.covered.merge(&covered)?;
        self.files.push(path);
        Ok(())
    }

    /// Joins all waves into one file and removes them.
    pub fn finish(self, out: &Path) -> Result<()> {
        let read = self.files.iter().map(|path| (path.display().to_string(), StateFile::read(path)));
        merge(read, merge_states)?.write(out)?;
        std::fs::remove_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, &e))
    }
}
