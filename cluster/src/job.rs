//! The work of executors: a script with everything that its states depend on, and the states of some images.
//!
//! Each executor computes the first image before it takes shards, and compares its states with the client's: an executor of
//! another engine, class of numerics or other weights is refused, by what differs.

use convscope_dsl::Place;
use convscope_dsl::run::states::{facts, of_part};
use convscope_dsl::run::{Run, Source};
use convscope_engine::states::{Listing, Question, StateFile};
use convscope_engine::{Error, Job, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The image that everybody computes.
const PROBE: Range<usize> = 0..1;

/// Folders of clients and where they lie on this machine.
static PLACES: OnceLock<Vec<(PathBuf, PathBuf)>> = OnceLock::new();

/// Says where folders of clients lie on this machine.
pub fn set_places(places: Vec<(PathBuf, PathBuf)>) {
    PLACES.get_or_init(|| places);
}

/// A path of a client on this machine.
fn here(path: &Path) -> PathBuf {
    let places = PLACES.get().into_iter().flatten();
    let moved = |(from, to): &(PathBuf, PathBuf)| path.strip_prefix(from).ok().map(|rest| to.join(rest));
    places.filter_map(moved).next().unwrap_or_else(|| path.to_path_buf())
}

/// A script that is run over shards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The script's name.
    pub name: String,
    /// What messages call it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The folder of its inputs, as every machine sees it.
    pub folder: PathBuf,
    /// The values that `param` returns.
    pub params: BTreeMap<String, String>,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The memory that probes may use, bytes.
    pub memory: u64,
    /// The list of shards.
    pub list: Option<PathBuf>,
    /// What must be the same in all states that are joined.
    pub facts: BTreeMap<String, String>,
    /// The client's questions, in order.
    pub questions: Vec<Question>,
    /// BLAKE3 of the state of the first image, hexadecimal.
    pub probe: String,
}

/// Why a shard has no state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This executor cannot compute what the client computes.
    Refused(String),
    /// The script failed on these images.
    Failed(String),
}

impl Work {
    /// Fills in what the client's own machine computes for the first image: facts, questions, its state's digest.
    ///
    /// # Errors
    /// Where the script fails, or keeps no state.
    pub fn plan(mut self, job: &Job) -> Result<(Self, usize)> {
        self.facts = facts(&self.run()?)?;
        let first = self.states(PROBE, None, job)?;
        let images = first.entries[0].question.images;
        if let Some(other) = first.entries.iter().find(|e| e.question.images != images) {
            return Err(Error::value(format!(
                "`{}` asks about data sets of {images} and of {} images",
                self.file, other.question.images
            ))
            .hint("a cluster looks at one data set a script: cut the script in two"));
        }
        self.questions = first.entries.iter().map(|e| e.question.clone()).collect();
        self.probe = digest(&first)?;
        Ok((self, usize::try_from(images).map_err(|_| Error::value("more images than this machine can count"))?))
    }

    /// The states of some images.
    ///
    /// # Errors
    /// Says whether this machine is refused or the script failed.
    pub fn shard(self: &Arc<Self>, part: Range<usize>) -> std::result::Result<StateFile, Failure> {
        admission(self).map_err(Failure::Refused)?;
        let listing = self.list.as_ref().and_then(|file| {
            let images = self.questions.first()?.images;
            Some(Listing { file: here(file), source: self.name.clone(), images: usize::try_from(images).ok()? })
        });
        self.states(part, listing, &Job::new()).map_err(|e| Failure::Failed(said(&e)))
    }

    fn states(&self, part: Range<usize>, listing: Option<Listing>, job: &Job) -> Result<StateFile> {
        let mut job = job.clone();
        (job.seed, job.memory) = (self.seed, self.memory);
        of_part(&self.run()?, &self.facts, (part, listing), job)
    }

    fn run(&self) -> Result<Run> {
        let folder = here(&self.folder);
        let source = Source::of(&self.name, &self.file, self.text.clone(), folder.clone())?;
        let place = Place { inputs: folder, outputs: PathBuf::new() };
        Ok(Run { title: self.name.clone(), source, place, params: self.params.clone() })
    }

    /// An error unless this machine computes what the client's does.
    fn check(&self) -> std::result::Result<(), String> {
        let run = self.run().map_err(|e| said(&e))?;
        let facts = facts(&run).map_err(|e| said(&e))?;
        for (name, client) in &self.facts {
            let here = facts.get(name).map_or("unknown", String::as_str);
            if here != client {
                return Err(format!("{name} is {here} here, {client} at the client"));
            }
        }
        let first = self.states(PROBE, None, &Job::new()).map_err(|e| said(&e))?;
        for (client, here) in self.questions.iter().zip(&first.entries) {
            client.check(&here.question, "this executor").map_err(|e| e.message)?;
        }
        let digest = digest(&first).map_err(|e| said(&e))?;
        match digest == self.probe && first.entries.len() == self.questions.len() {
            true => Ok(()),
            false => Err("the states of the first image have other bits here than at the client".into()),
        }
    }
}

/// Whether this process may take shards of that work; checked once.
fn admission(work: &Arc<Work>) -> std::result::Result<(), String> {
    type Said = Arc<OnceLock<std::result::Result<(), String>>>;
    static KNOWN: Mutex<Option<HashMap<String, Said>>> = Mutex::new(None);
    let key = serde_json::to_string(work.as_ref()).map_err(|e| e.to_string())?;
    let said = KNOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .entry(blake3::hash(key.as_bytes()).to_hex().to_string())
        .or_default()
        .clone();
    said.get_or_init(|| work.check().inspect_err(|why| eprintln!("refused to compute `{}`: {why}", work.file))).clone()
}

/// An error in one line.
pub fn said(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message.clone(),
    }
}

fn digest(file: &StateFile) -> Result<String> {
    Ok(blake3::hash(&file.bytes()?).to_hex().to_string())
}
