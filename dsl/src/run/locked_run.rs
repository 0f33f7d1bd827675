//! A locked run that can be run again, and why a run cannot be opened.

use super::rerun::{Rerun, param_text};
use super::sealing::{Allowed, Sealing};
use super::source::Source;
use super::temporary::Temporary;
use super::verdict::{Status, Verdict};
use convscope_engine::Error;
use convscope_engine::run::{Content, Lock};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The sealed list of a bundle's files.
pub const BUNDLE: &str = "bundle.json";

/// The prefix of inputs that are known by name and not by path.
pub(super) const SAMPLE: &str = "sample:";

/// A locked run that is ready to be run again.
pub struct LockedRun {
    /// The lock.
    pub lock: Lock,
    /// The script.
    pub source: Source,
    /// The script's file.
    pub script: PathBuf,
    /// The folder that paths of inputs are relative to.
    pub base: PathBuf,
    /// The locked outputs with all values, where they are available.
    pub whole: BTreeMap<String, Content>,
    /// A report's parts.
    pub parts: Option<Vec<String>>,
    /// The parts of a bundle's report.
    pub(super) bundled: Option<Vec<String>>,
    /// The files and folders of the script, which it may read.
    pub(super) roots: Vec<PathBuf>,
    /// The user's further permissions.
    pub(super) allowed: Allowed,
    /// The folder of unpacked files, kept until the end.
    pub(super) unpacked: Option<Temporary>,
}

/// Why a run cannot be opened: an error of the system or the request, or a verdict.
pub enum Refusal {
    /// An error: no such file, no permission.
    Error(Error),
    /// A verdict: something was changed.
    Verdict(Box<Verdict>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Error(error)
    }
}

impl From<Verdict> for Refusal {
    fn from(verdict: Verdict) -> Self {
        Refusal::Verdict(Box::new(verdict))
    }
}

pub(super) fn tampered(culprit: &str, how: impl Into<String>) -> Verdict {
    Verdict::of(Status::Tampered, culprit, how)
}

impl LockedRun {
    /// A lock and its script, without further files.
    pub(super) fn of(lock: Lock, source: Source) -> Self {
        LockedRun {
            lock,
            source,
            script: PathBuf::new(),
            base: PathBuf::new(),
            whole: BTreeMap::new(),
            parts: None,
            bundled: None,
            roots: Vec::new(),
            allowed: Allowed::default(),
            unpacked: None,
        }
    }

    /// What a new run may read and fetch.
    pub fn sealing(&self) -> Sealing {
        let (roots, allowed, base) = (self.roots.clone(), self.allowed.clone(), self.base.clone());
        Sealing { roots, allowed, base, asks: false }
    }

    /// The settings of a new run.
    pub fn rerun(&self, threads: Option<usize>, progress: bool) -> Rerun {
        Rerun {
            script: self.script.clone(),
            base: self.base.clone(),
            seed: self.lock.seed,
            memory: self.lock.memory_mb,
            params: self.lock.params.iter().map(|(name, value)| (name.clone(), param_text(value))).collect(),
            threads,
            progress,
            sealing: Some(self.sealing()),
            ..Rerun::default()
        }
    }
}
