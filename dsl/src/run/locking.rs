//! Makes a lock: runs a script twice, in new processes, on one and on several threads, and records script, inputs and outputs. It
//! refuses a script whose two runs differ.

use super::rerun::{Elsewhere, Ended, Rerun};
use super::sealing::{Allowed, Sealing};
use super::source::Source;
use crate::output::Output;
use convscope_engine::run::output::MAX_KEPT_VALUES;
use convscope_engine::run::{Finished, Lock, compare, finished};
use convscope_engine::{Error, Result, atomic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A script to lock.
#[derive(Clone, Debug)]
pub struct Locking {
    /// The script's file.
    pub script: PathBuf,
    /// The seed of all random numbers, unless the front matter has one.
    pub seed: Option<u64>,
    /// The memory that probes may hold at once, MB, unless the front matter says.
    pub memory: Option<u64>,
    /// The threads of the second run; all cores unless given.
    pub threads: Option<usize>,
    /// The values that `param` returns.
    pub params: BTreeMap<String, String>,
    /// The most values of an array that the lock keeps.
    pub values: usize,
    /// Whether progress is reported.
    pub progress: bool,
    /// What both runs may read and fetch besides the script's folder.
    pub allowed: Allowed,
}

/// The outcome of locking.
pub enum Made {
    /// A lock, written beside the script, and the results of the run.
    Lock(Box<Lock>, Box<Elsewhere>),
    /// A parameter was given that the script does not have.
    Usage(Error),
    /// The script ended with an error.
    Failed(String),
    /// The user stopped it.
    Interrupted,
}

impl Locking {
    /// The script with defaults for everything else.
    pub fn of(script: &Path, allowed: &Allowed) -> Self {
        Locking {
            script: script.to_path_buf(),
            seed: None,
            memory: None,
            threads: None,
            params: BTreeMap::new(),
            values: MAX_KEPT_VALUES,
            progress: true,
            allowed: allowed.clone(),
        }
    }

    /// Runs the script twice and writes the lock; an existing lock with the same bits is kept.
    ///
    /// # Errors
    /// Where the script cannot be read or run, or its results are not reproducible.
    pub fn make(&self, output: &dyn Output) -> Result<Made> {
        let source = Source::read(&self.script)?;
        if self.script.file_name().is_some_and(|name| name.to_str().is_none()) {
            return Err(Error::value(format!(
                "the script's name `{}` is not Unicode, which a lock's paths must be",
                source.name
            ))
            .hint("rename the file"));
        }
        let sealing = Sealing::of_folder(&source.folder, &self.allowed);
        source.check(Some(&sealing))?;
        let params = match source.front.params(&self.params) {
            Ok(params) => params,
            Err(error) => return Ok(Made::Usage(error)),
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let several = self.threads.unwrap_or(cores);
        let rerun = |threads| Rerun {
            script: self.script.clone(),
            base: source.folder.clone(),
            seed: self.seed.or(source.front.seed).unwrap_or(0),
            memory: self.memory.or(source.front.memory).unwrap_or(1024),
            params: params.clone(),
            threads: Some(threads),
            values: self.values,
            progress: self.progress,
            sealing: Some(sealing.clone()),
        };
        let one = match rerun(1).run(output)? {
            Ended::Done(left) => left,
            Ended::Failed(failure) => return Ok(Made::Failed(failure.said)),
            Ended::Interrupted => return Ok(Made::Interrupted),
        };
        if !one.unrepeatable.is_empty() {
            let what = one.unrepeatable.join(", ");
            return Err(Error::value(format!("the script uses {what}, which a second run does not reproduce"))
                .hint("leave it out, or run the script without a lock"));
        }
        let other = match rerun(several).run(output)? {
            Ended::Done(left) => left,
            Ended::Failed(failure) => return Ok(Made::Failed(failure.said)),
            Ended::Interrupted => return Ok(Made::Interrupted),
        };
        same(&one, &other, several)?;
        let lock = Lock { threads: vec![1, several], ..one.record.clone() };
        let file = lock_file(&self.script);
        // A lock changes only when bits do, whoever locks again.
        if let Some(before) = Lock::open(&file).ok().filter(|before| before.same_but_for_maker(&lock)) {
            return Ok(Made::Lock(Box::new(before), one));
        }
        atomic::write(file, lock.text()?.as_bytes())?;
        Ok(Made::Lock(Box::new(lock), one))
    }
}

/// The lock's file, beside the script.
pub fn lock_file(script: &Path) -> PathBuf {
    script.with_extension("lock.json")
}

/// Checks that both runs have the same outputs, each by its rule.
fn same(one: &Finished, other: &Finished, several: usize) -> Result<()> {
    let (first, second) = (&one.record.outputs, &other.record.outputs);
    if first.len() != second.len() {
        let (a, b) = (first.len(), second.len());
        return Err(Error::value(format!("the script made {a} outputs on 1 thread, {b} on {several}")));
    }
    for (entry, new) in first.iter().zip(second) {
        if entry.blake3 == new.blake3 {
            continue;
        }
        let whole = one.content(&entry.name)?;
        if let Some(difference) = compare(entry, Some(&whole), new, || other.content(&new.name), false)? {
            return Err(Error::value(format!("between two runs, on 1 and {several} threads, {difference}")).hint(
                "a script whose outputs vary cannot be locked by bits; say how they are compared under [outputs]",
            ));
        }
    }
    Ok(())
}

/// The report of a locked run; nothing in it depends on the time or duration of the run.
///
/// # Errors
/// Where it cannot be drawn.
pub fn report(source: &Source, lock: &Lock, left: &Finished) -> Result<String> {
    let title = source.front.title.clone().unwrap_or_else(|| source.name.clone());
    left.report(&title, &source.text, finished::about(lock), Some(lock.text()?))
}
