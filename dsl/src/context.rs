//! What the functions of a session share: how work is run, where files lie, where results go.

use crate::output::Output;
use convscope_engine::data::Image;
use convscope_engine::job::Sink;
use convscope_engine::manifest::Net;
use convscope_engine::{Error, Job, Model, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a session's files lie.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder that inputs are resolved against.
    pub inputs: PathBuf,
    /// The folder that `save` writes to.
    pub outputs: PathBuf,
}

impl Default for Place {
    /// Both the working folder.
    fn default() -> Self {
        Place { inputs: PathBuf::new(), outputs: PathBuf::new() }
    }
}

/// What the functions of a session share; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Seed, memory and stop signal; its progress goes to `output`.
    pub job: Job,
    /// Where results go.
    pub output: Arc<dyn Output>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    place: Place,
    params: BTreeMap<String, String>,
    read: BTreeMap<String, PathBuf>,
    written: Vec<PathBuf>,
    asked: BTreeMap<String, serde_json::Value>,
    nets: Vec<Model>,
}

struct Progress(Arc<dyn Output>);

impl Sink for Progress {
    fn progress(&self, label: &str, done: usize, total: usize) {
        self.0.progress(label, done, total);
    }
    fn picture(&self, label: &str, image: &Image) {
        self.0.picture(label, image);
    }
}

impl Context {
    /// A context that runs work as `job` says and reports to `output`.
    pub fn new(job: Job, output: Arc<dyn Output>) -> Self {
        let job = job.with_sink(Arc::new(Progress(output.clone())));
        Context { job, output, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets where files lie.
    pub fn set_place(&self, place: Place) {
        self.state().place = place;
    }

    /// Where files lie.
    pub fn place(&self) -> Place {
        self.state().place.clone()
    }

    /// Sets what `param(name, ..)` gives, as text.
    pub fn set_params(&self, params: BTreeMap<String, String>) {
        self.state().params = params;
    }

    /// The given value of a parameter; the script's default is noted for the manifest.
    pub fn param(&self, name: &str) -> Option<String> {
        self.state().params.get(name).cloned()
    }

    /// Notes the value that a parameter had.
    pub fn used_param(&self, name: &str, value: serde_json::Value) {
        self.state().asked.insert(name.to_string(), value);
    }

    /// The parameters that the script asked for, with the values they had.
    pub fn used_params(&self) -> BTreeMap<String, serde_json::Value> {
        self.state().asked.clone()
    }

    /// The given parameters that the script never asked for, in order.
    pub fn unused_params(&self) -> Vec<String> {
        let state = self.state();
        state.params.keys().filter(|k| !state.asked.contains_key(*k)).cloned().collect()
    }

    /// An input's path, as seen from the working folder; it is noted as read.
    pub fn input(&self, path: &str) -> PathBuf {
        let mut state = self.state();
        let full = state.place.inputs.join(path);
        state.read.insert(path.to_string(), full.clone());
        full
    }

    /// What was read: the names that the script used and the paths.
    pub fn read(&self) -> BTreeMap<String, PathBuf> {
        self.state().read.clone()
    }

    /// Notes a net that was loaded, in the place of the same one loaded before: a long session keeps one of each.
    pub fn loaded(&self, model: &Model) {
        let (mut state, card) = (self.state(), model.card());
        state.nets.retain(|m| (&m.card().name, &m.card().source) != (&card.name, &card.source));
        state.nets.push(model.clone());
    }

    /// What identifies the nets that were loaded, each once, in order.
    pub fn nets(&self) -> Vec<Net> {
        let nets = self.state().nets.clone();
        let mut found: Vec<Net> = Vec::new();
        for net in nets.iter().filter_map(|m| Net::of(m).ok()) {
            if !found.contains(&net) {
                found.push(net);
            }
        }
        found
    }

    /// An output's path; its folder is made, and it is noted as written.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn output_path(&self, path: &str) -> Result<PathBuf> {
        let full = self.place().outputs.join(path);
        if let Some(folder) = full.parent().filter(|f| *f != Path::new("")) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        }
        let mut state = self.state();
        if !state.written.contains(&full) {
            state.written.push(full.clone());
        }
        Ok(full)
    }

    /// What `save` wrote, in order.
    pub fn written(&self) -> Vec<PathBuf> {
        self.state().written.clone()
    }
}
