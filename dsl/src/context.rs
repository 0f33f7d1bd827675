//! The state that the functions of a session share: the job, the folders of inputs and outputs, the output, and records of use.

use crate::front::Value;
use crate::output::Output;
use crate::place::Place;
use crate::run::Source;
use crate::widgets::registry::Widgets;
use crate::widgets::stage::Stage;
use convscope_engine::data::Image;
use convscope_engine::digest::{Digested, digest};
use convscope_engine::job::Sink;
use convscope_engine::load::LoadOptions;
use convscope_engine::run::{Content, HubRequest, Pinned, RunOutput};
use convscope_engine::show::Encoded;
use convscope_engine::{Error, Job, Model, Result, seal};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The state that the functions of a session share; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Seed, memory, stop signal; its progress goes to `output`.
    pub job: Job,
    /// The destination of results.
    pub output: Arc<dyn Output>,
    /// The same output with capture, for widgets.
    pub(crate) stage: Arc<Stage>,
    state: Arc<Mutex<State>>,
    widgets: Arc<Mutex<Widgets>>,
}

#[derive(Default)]
struct State {
    place: Place,
    params: BTreeMap<String, String>,
    declared: BTreeMap<String, Value>,
    read: BTreeMap<String, PathBuf>,
    written: Vec<RunOutput>,
    asked: BTreeMap<String, serde_json::Value>,
    nets: Vec<(String, LoadOptions, Model)>,
    modules: BTreeMap<String, Digested>,
    script: Option<Source>,
    samples: BTreeMap<String, Image>,
    hub: Vec<HubRequest>,
    unrepeatable: BTreeSet<&'static str>,
    inside: bool,
    recording: Option<usize>,
}

struct Progress(Arc<dyn Output>);

impl Sink for Progress {
    fn progress(&self, label: &str, done: usize, total: usize) {
        self.0.progress(label, done, total);
    }
    fn picture(&self, label: &str, image: &Image) {
        self.0.picture(label, image);
    }
    fn note(&self, text: &str) {
        self.0.progress(text, 0, 0);
    }
}

impl Context {
    /// A context whose work runs under `job` and reports to `output`.
    pub fn new(job: Job, output: Arc<dyn Output>) -> Self {
        let stage = Arc::new(Stage::new(output));
        let output: Arc<dyn Output> = stage.clone();
        let job = job.with_sink(Arc::new(Progress(output.clone())));
        Context { job, output, stage, state: Arc::default(), widgets: Arc::default() }
    }

    /// Calls `work` with the session's widgets; to be used only while no script runs.
    pub fn widgets<T>(&self, work: impl FnOnce(&mut Widgets) -> T) -> T {
        work(&mut self.widgets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the folders.
    pub fn set_place(&self, place: Place) {
        self.state().place = place;
    }

    /// The folders.
    pub fn place(&self) -> Place {
        self.state().place.clone()
    }

    /// Sets the script that is run, where it is a whole script.
    pub fn set_script(&self, script: Source) {
        self.state().script = Some(script);
    }

    /// The script that is run, where it is a whole script.
    pub fn script(&self) -> Option<Source> {
        self.state().script.clone()
    }

    /// The given values of parameters, as text.
    pub fn params(&self) -> BTreeMap<String, String> {
        self.state().params.clone()
    }

    /// Sets the values that `param(name, ..)` returns, as text.
    pub fn set_params(&self, params: BTreeMap<String, String>) {
        self.state().params = params;
    }

    /// Sets the value of one parameter from now on.
    pub fn set_param(&self, name: &str, value: String) {
        self.state().params.insert(name.to_string(), value);
    }

    /// Sets the parameters that the script's front matter declares, with their defaults.
    pub fn declare(&self, params: BTreeMap<String, Value>) {
        self.state().declared = params;
    }

    /// The default of a parameter that the front matter declares.
    pub fn declared(&self, name: &str) -> Option<Value> {
        self.state().declared.get(name).cloned()
    }

    /// The given value of a parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        self.state().params.get(name).cloned()
    }

    /// Records the value that `param` returned.
    pub fn used_param(&self, name: &str, value: serde_json::Value) {
        self.state().asked.insert(name.to_string(), value);
    }

    /// The parameters that the script read, with their values.
    pub fn used_params(&self) -> BTreeMap<String, serde_json::Value> {
        self.state().asked.clone()
    }

    /// The given parameters that the script never read, in order.
    pub fn unused_params(&self) -> Vec<String> {
        let state = self.state();
        state.params.keys().filter(|k| !state.asked.contains_key(*k)).cloned().collect()
    }

    /// The path of an input relative to the working folder; records it as read.
    ///
    /// # Errors
    /// Where a seal forbids it.
    pub fn input(&self, path: &str) -> Result<PathBuf> {
        let mut state = self.state();
        let full = state.place.inputs.join(path);
        seal::may_read_as(&full, Path::new(path))?;
        state.read.insert(path.to_string(), full.clone());
        Ok(full)
    }

    /// Records a request to the Hugging Face Hub, and whether it led to a net.
    pub fn asked_hub(&self, spec: &str, given: bool) {
        let asked = HubRequest { spec: spec.to_string(), given };
        let mut state = self.state();
        if !state.hub.contains(&asked) {
            state.hub.push(asked);
        }
    }

    /// The requests to the Hugging Face Hub, in order.
    pub fn hub(&self) -> Vec<HubRequest> {
        self.state().hub.clone()
    }

    /// The files that were read: names in the script, and paths.
    pub fn read(&self) -> BTreeMap<String, PathBuf> {
        self.state().read.clone()
    }

    /// Records the files of a data set; those below the folder of inputs by their relative paths.
    pub fn listed<'a>(&self, files: impl Iterator<Item = &'a Path>) {
        let mut state = self.state();
        let base = state.place.inputs.clone();
        for file in files {
            let name = file.strip_prefix(&base).unwrap_or(file).to_string_lossy().replace('\\', "/");
            state.read.insert(name, file.to_path_buf());
        }
    }

    /// Records a sample image that was loaded.
    pub fn sampled(&self, name: &str, image: &Image) {
        self.state().samples.insert(name.to_string(), image.clone());
    }

    /// The sample images that were loaded, by name.
    pub fn samples(&self) -> BTreeMap<String, Image> {
        self.state().samples.clone()
    }

    /// Records a module with its text.
    pub fn module(&self, name: &str, text: &str) {
        let about = Digested { path: name.to_string(), blake3: digest(text.as_bytes()), bytes: text.len() as u64 };
        self.state().modules.insert(name.to_string(), about);
    }

    /// The modules that were read, by names relative to the folder of inputs.
    pub fn modules(&self) -> BTreeMap<String, Digested> {
        self.state().modules.clone()
    }

    /// Records the use of something that a second run does not reproduce, such as the time.
    pub fn unrepeatable(&self, what: &'static str) {
        self.state().unrepeatable.insert(what);
    }

    /// What the script used that a second run does not reproduce.
    pub fn unrepeatables(&self) -> Vec<&'static str> {
        self.state().unrepeatable.iter().copied().collect()
    }

    /// Makes `save` refuse paths that lead out of the folder for outputs.
    pub fn keep_inside(&self) {
        self.state().inside = true;
    }

    /// Makes `save` record its files; of an array, at most `values` values.
    pub fn record(&self, values: usize) {
        self.state().recording = Some(values);
    }

    /// Records a loaded net with its options. It replaces the same net loaded earlier, so that a long session keeps one of each.
    pub fn loaded(&self, spec: &str, options: &LoadOptions, model: &Model) {
        let mut state = self.state();
        state.nets.retain(|(s, o, _)| (s.as_str(), o) != (spec, options));
        state.nets.push((spec.to_string(), options.clone(), model.clone()));
    }

    /// The loaded nets with their options, each once, in order.
    ///
    /// # Errors
    /// Where a weight cannot be read.
    pub fn pinned(&self) -> Result<Vec<Pinned>> {
        let nets = self.state().nets.clone();
        let mut found: Vec<Pinned> = Vec::new();
        for (spec, options, model) in &nets {
            let pinned = Pinned::of(spec, options, model)?;
            if !found.contains(&pinned) {
                found.push(pinned);
            }
        }
        Ok(found)
    }

    /// The path of an output; makes its folder.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn output_path(&self, path: &str) -> Result<PathBuf> {
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside && self.state().inside {
            return Err(Error::value(format!(
                "`{path}` lies outside the folder for outputs, where no lock can hold it"
            ))
            .hint("give a path relative to `--out`, without `..`"));
        }
        let full = self.place().outputs.join(path);
        seal::may_write(&full)?;
        if let Some(folder) = full.parent().filter(|f| *f != Path::new("")) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        }
        Ok(full)
    }

    /// Records a file written to a path that [`Context::output_path`] gave.
    pub fn wrote(&self, full: &Path, encoded: Encoded) {
        let mut state = self.state();
        let Some(values) = state.recording else { return };
        let name = full.strip_prefix(&state.place.outputs).unwrap_or(full).to_string_lossy().replace('\\', "/");
        let content = match encoded.picture {
            Some(picture) => Content::Image(picture),
            None => Content::of_file(&name, &encoded.bytes),
        };
        let output = RunOutput::file(name, &encoded.bytes, &content, values);
        match state.written.iter_mut().find(|before| before.name == output.name) {
            Some(before) => *before = output,
            None => state.written.push(output),
        }
    }

    /// The files that `save` wrote, in order, where they are recorded.
    pub fn written(&self) -> Vec<RunOutput> {
        self.state().written.clone()
    }
}
