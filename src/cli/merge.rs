//! `convscope merge`: joins any number of states. `convscope run SCRIPT --states STATE` makes the report from the result.

use super::FAILED;
use super::shard::states_text;
use super::terminal::{print_err, print_out};
use clap::Args;
use convscope_engine::probes::merge_states;
use convscope_engine::states::{StateFile, merge};
use convscope_engine::{Error, Result, regular};
use std::path::{Path, PathBuf};

/// Join the states of shards.
#[derive(Args)]
pub struct Merge {
    /// State files, or folders of them.
    #[arg(required = true)]
    states: Vec<PathBuf>,
    /// The state file to write.
    #[arg(long, short)]
    out: PathBuf,
    /// End with an error where images are missing; the state is written all the same.
    #[arg(long)]
    complete: bool,
    /// Print nothing but errors.
    #[arg(long, short)]
    quiet: bool,
}

impl Merge {
    /// Joins the states; the exit code.
    pub fn main(self) -> Result<u8> {
        let mut files: Vec<PathBuf> = Vec::new();
        for path in &self.states {
            match path.is_dir() {
                true => files.extend(in_folder(path)?),
                false => files.push(path.clone()),
            }
        }
        let read = files.iter().map(|path| (path.display().to_string(), StateFile::read(path)));
        let whole = merge(read, merge_states)?;
        whole.write(&self.out)?;
        if !self.quiet {
            print_out(&format!("{}: {}", self.out.display(), states_text(&whole, true)?));
        }
        let missing = whole.entries.iter().map(|e| e.gaps()).collect::<Result<Vec<_>>>()?;
        if self.complete && missing.iter().any(|gaps| !gaps.is_empty()) {
            print_err("error: images are missing\n  hint: compute their shards, then merge again");
            return Ok(FAILED);
        }
        Ok(0)
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = regular::entries(folder)?;
    files.retain(|p| p.is_file() && p.extension().is_some_and(|e| e == "state"));
    files.sort();
    if files.is_empty() {
        return Err(Error::not_found(format!("no state files in `{}`", folder.display())).hint("they end in .state"));
    }
    Ok(files)
}
