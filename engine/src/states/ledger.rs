//! The images that a process evaluates, and the known states of the others; a job carries both through all questions of a
//! script.
//!
//! Where a folder is named, the state of each wave of images is kept there as a file of its own, so that a run that was
//! killed resumes with the missing images.

use super::{Question, StateEntry, StateFile};
use crate::accumulators::{Broken, Covered, State};
use crate::error::{Context, Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A list of the shards of a data set.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The file that holds it.
    pub file: PathBuf,
    /// The files that it lists, as the user named them.
    pub source: String,
    /// Images in all shards.
    pub images: usize,
}

/// The images that are evaluated, and the states that are known already.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The images that are evaluated; all without it.
    pub part: Option<Range<usize>>,
    /// The most images of a wave.
    pub wave: Option<usize>,
    /// The folder that waves are kept in.
    pub folder: Option<PathBuf>,
    /// The shards that the part was named by.
    pub listing: Option<Listing>,
    /// What must be the same in all states that are joined.
    pub facts: BTreeMap<String, String>,
    /// States that are there already, with the names of their files.
    pub given: Vec<(String, StateFile)>,
    asked: AtomicUsize,
    entries: Mutex<Vec<StateEntry>>,
}

/// What is known of a question: its state and the images in it.
pub struct Kept<S> {
    /// Its state.
    pub state: S,
    /// The images that the state covers.
    pub covered: Covered,
    /// Those among them that could not be read.
    pub broken: Broken,
}

impl Ledger {
    /// The folder that the waves of the state file `out` are kept in until it is written: beside it, its name with `.waves`.
    pub fn folder_of(out: &Path) -> PathBuf {
        let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
        out.with_file_name(name + ".waves")
    }

    /// The number of the next question of the script, from 0.
    pub fn next(&self) -> usize {
        self.asked.fetch_add(1, Ordering::SeqCst)
    }

    /// The images that are evaluated, of `images` in the data set.
    ///
    /// # Errors
    /// Where the shards are those of another data set, or the part lies beyond its end.
    pub fn part_of(&self, images: usize, data: &str) -> Result<Range<usize>> {
        if let Some(listing) = self.listing.as_ref().filter(|l| l.images != images) {
            return Err(Error::value(format!(
                "`{}` lists {} images, the data set `{data}` has {images}",
                listing.file.display(),
                listing.images
            ))
            .hint(format!("it was made of `{}`; make one of this data set: convscope index", listing.source)));
        }
        match &self.part {
            Some(part) if part.end > images => Err(Error::value(format!(
                "images {} to {} are asked for, the data set `{data}` has {images}",
                part.start,
                part.end.saturating_sub(1)
            ))
            .hint("images are counted from 0, the end of a range is not in it")),
            Some(part) => Ok(part.clone()),
            None => Ok(0..images),
        }
    }

    /// What is known of question `number`: of the states that were given, and of the waves that are kept.
    ///
    /// # Errors
    /// Where a state is one of another question, or an image would count twice.
    pub fn known<S: State>(&self, number: usize, question: &Question, empty: S) -> Result<Kept<S>> {
        let mut kept = Kept { state: empty, covered: Covered::new(), broken: Broken::new() };
        for (place, file) in &self.given {
            file.check_facts(&self.facts, place)?;
            if let Some(entry) = file.entries.get(number) {
                kept.take(entry, question, place)?;
            }
        }
        for path in self.waves(number)? {
            let place = path.display().to_string();
            // What was cut off while it was written never came into place; what is there and damaged is computed again.
            let Ok(file) = StateFile::read(&path) else { continue };
            file.check_facts(&self.facts, &place).map_err(|e| e.hint("remove the folder to begin anew"))?;
            if let Some(entry) = file.entries.first() {
                kept.take(entry, question, &place).map_err(|e| e.hint("remove the folder to begin anew"))?;
            }
        }
        Ok(kept)
    }

    /// Keeps the state of a wave of question `number`, where waves are kept.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep<S: State>(&self, number: usize, question: &Question, wave: &Kept<S>) -> Result<()> {
        let (Some(folder), Some(range)) = (&self.folder, wave.covered.ranges().first()) else { return Ok(()) };
        // Another process that was started for the same images may have finished and taken it away.
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        let path = folder.join(format!("{}-{:012}-{:012}.state", number + 1, range.start, range.end));
        let file = StateFile { facts: self.facts.clone(), entries: vec![wave.entry(question)] };
        file.write(&path).map_err(|e| e.context("the state of a wave"))
    }

    /// Notes the whole state of a question, for the file.
    pub fn note<S: State>(&self, question: &Question, kept: &Kept<S>) {
        if self.part.is_some() || self.folder.is_some() {
            self.entries().push(kept.entry(question));
        }
    }

    /// How many questions have been answered.
    pub fn answered(&self) -> usize {
        self.entries().len()
    }

    /// The states of all questions that were asked.
    pub fn file(&self) -> StateFile {
        StateFile { facts: self.facts.clone(), entries: self.entries().clone() }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<StateEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files of the waves of question `number`, in order.
    fn waves(&self, number: usize) -> Result<Vec<PathBuf>> {
        let Some(folder) = self.folder.as_ref().filter(|f| f.is_dir()) else { return Ok(Vec::new()) };
        let begin = format!("{}-", number + 1);
        let is_wave = |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&begin) && name.ends_with(".state")
        };
        let mut files: Vec<PathBuf> = crate::regular::entries(folder)?.into_iter().filter(is_wave).collect();
        files.sort();
        Ok(files)
    }
}

impl<S: State> Kept<S> {
    /// Takes in the state of another part.
    ///
    /// # Errors
    /// Where an image would count twice, or it is the state of another question.
    pub fn merge(&mut self, other: Kept<S>) -> Result<()> {
        self.covered.merge(&other.covered)?;
        self.broken.merge(other.broken)?;
        self.state.merge(other.state)
    }

    fn take(&mut self, entry: &StateEntry, question: &Question, place: &str) -> Result<()> {
        question.check(&entry.question, place)?;
        if entry.kind != S::KIND {
            return Err(Error::format(format!("`{place}` holds a state of kind {}, not {}", entry.kind, S::KIND)));
        }
        let (covered, broken) = (Covered::of(&entry.covered)?, Broken::of(&entry.broken)?);
        self.merge(Kept { state: S::read(&entry.fields)?, covered, broken }).context(|| format!("`{place}`"))
    }

    fn entry(&self, question: &Question) -> StateEntry {
        StateEntry::new(question.clone(), S::KIND, &self.covered, &self.broken, self.state.write())
    }
}
