//! Runs a script in this process: a session executes it, then its results become one record, figures and a report.

use super::drawn::{DrawnRun, drawn};
use super::engine;
use super::keep::Keep;
use super::source::Source;
use crate::context::Context;
use crate::output::Output;
use crate::place::Place;
use crate::session::{CellResult, Session};
use convscope_engine::digest::Digested;
use convscope_engine::reads::{self, FileRead};
use convscope_engine::run::output::MAX_KEPT_VALUES;
use convscope_engine::run::{Finished, InputFile, Numerics, Record, RunOutput};
use convscope_engine::{Error, Job, Kind, Result, atomic, seal};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The size of inputs, bytes, up to which a report carries a lock: they are read once more for it after the run.
const MAX_LOCKED_INPUT_BYTES: u64 = 1 << 30;

/// A script to run, with its folders.
pub struct Run {
    /// The report's title.
    pub title: String,
    /// The script.
    pub source: Source,
    /// The folders of inputs and outputs.
    pub place: Place,
    /// The values that `param` returns.
    pub params: BTreeMap<String, String>,
}

/// How much of the results is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The most values of an array that an output keeps.
    pub values: usize,
    /// Whether texts and arrays are kept in full.
    pub whole: bool,
    /// Whether `save` refuses paths that lead out of the folder for outputs, which a lock cannot record.
    pub inside: bool,
    /// Whether the value of the last expression is shown, too.
    pub last: bool,
}

impl Default for Recording {
    fn default() -> Self {
        Recording { values: MAX_KEPT_VALUES, whole: false, inside: false, last: false }
    }
}

/// A script that has been executed.
pub struct Executed {
    /// How the script ended.
    pub result: CellResult,
    /// Whether it exceeded its time limit.
    pub late: bool,
    session: Session,
    kept: Arc<Keep>,
    recording: Recording,
    begun: Instant,
}

impl Run {
    /// Executes the script under `job`; what it prints and shows goes to `output`.
    pub fn execute(&self, job: Job, output: Arc<dyn Output>, recording: Recording) -> Executed {
        let begun = Instant::now();
        reads::keep();
        let late = self.limit(&job);
        let kept = Arc::new(Keep::new(output));
        let mut session = Session::new(job, kept.clone());
        session.set_place(self.place.clone());
        session.set_params(self.params.clone());
        session.context().set_script(self.source.clone());
        let declared = self.source.front.params.iter().map(|(name, param)| (name.clone(), param.default.clone()));
        session.context().declare(declared.collect());
        session.context().record(recording.values);
        if recording.inside || seal::is_held() {
            session.context().keep_inside();
        }
        let result = match recording.last {
            // Cells show their values, as in the notebook that the script is a form of.
            _ if self.source.has_cells() => {
                session.run_cells(&self.source.file, self.source.code(), &|value| kept.show(value))
            }
            true => session.run(&self.source.file, self.source.code()),
            false => session.run_script(&self.source.file, self.source.code()),
        };
        if let Some(value) = &result.value {
            kept.show(value);
        }
        Executed { result, late: late.load(Ordering::SeqCst), session, kept, recording, begun }
    }

    /// Stops the script at its time limit; the flag says whether that happened.
    fn limit(&self, job: &Job) -> Arc<AtomicBool> {
        let late = Arc::new(AtomicBool::new(false));
        if let Some(seconds) = self.source.front.seconds {
            let (signal, flag) = (job.signal.clone(), late.clone());
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs_f64(seconds.min(1e9)));
                flag.store(true, Ordering::SeqCst);
                signal.stop();
            });
        }
        late
    }

    /// Where a failed run writes its report, so that an earlier one is kept: the folder `failed` beside it.
    pub fn aside(&self, executed: &Executed) -> Option<Run> {
        let Place { inputs, outputs } = &self.place;
        if executed.result.error.is_none() || executed.result.interrupted || !outputs.join("report.html").is_file() {
            return None;
        }
        let place = Place { inputs: inputs.clone(), outputs: outputs.join("failed") };
        Some(Run { title: self.title.clone(), source: self.source.clone(), place, params: self.params.clone() })
    }

    /// Makes the folder for outputs and tests it before any work is done.
    ///
    /// # Errors
    /// Where it is a file or cannot be written to.
    pub fn make_folder(&self) -> Result<()> {
        let out = &self.place.outputs;
        let elsewhere = "outputs go to a folder that can be written to; name another: --out DIR";
        if out.exists() && !out.is_dir() {
            return Err(Error::value(format!("`{}` is no folder", out.display())).hint(elsewhere));
        }
        std::fs::create_dir_all(out).map_err(|e| Error::io(out, &e).hint(elsewhere))?;
        tempfile::tempfile_in(out).map(drop).map_err(|e| Error::io(out, &e).hint(elsewhere))
    }

    /// The results of an executed script; draws and writes its figures.
    ///
    /// # Errors
    /// Where a figure cannot be drawn or written, or an input can no longer be read.
    pub fn finish(&self, executed: &Executed) -> Result<Finished> {
        let (session, recording) = (&executed.session, executed.recording);
        let out = &self.place.outputs;
        std::fs::create_dir_all(out).map_err(|e| Error::io(out, &e))?;
        let made = drawn(executed.kept.take(), out, recording)?;
        let written = session.context().written();
        let saved = written.iter().map(|output| output.name.clone()).collect();
        let record = self.record(session.context(), &made, written, recording)?;
        let error = executed.result.error.as_ref();
        Ok(Finished {
            record,
            shown: made.shown,
            saved,
            sections: made.sections,
            texts: made.texts,
            arrays: made.arrays,
            entries: made.entries,
            held: seal::held(),
            unrepeatable: session.context().unrepeatables().into_iter().map(str::to_string).collect(),
            complete: executed.ended_well(),
            error: error.map(|e| e.message.clone()),
            seconds: (executed.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            out: out.clone(),
        })
    }

    fn record(
        &self,
        context: &Context,
        drawn: &DrawnRun,
        written: Vec<RunOutput>,
        recording: Recording,
    ) -> Result<Record> {
        let shown = drawn.outputs.iter().cloned().chain(written);
        let outputs = shown.chain(drawn.figures.iter().cloned()).chain(drawn.printed.clone());
        let ruled = |output: RunOutput| {
            let choice = self.source.front.outputs.of(&output.name);
            RunOutput { rule: choice.here, elsewhere: choice.elsewhere, ..output }
        };
        Ok(Record {
            script: Some(self.source.digested()),
            modules: context.modules().into_values().collect(),
            engine: engine(),
            numerics: Numerics::here()?,
            seed: context.job.seed,
            memory_mb: context.job.memory >> 20,
            params: context.used_params(),
            threads: vec![rayon::current_num_threads()],
            inputs: self.inputs(context, recording)?,
            nets: context.pinned()?,
            hub: context.hub(),
            outputs: outputs.map(ruled).collect(),
        })
    }

    fn inputs(&self, context: &Context, recording: Recording) -> Result<Vec<InputFile>> {
        let license = |name: &str| self.source.front.inputs.get(name).and_then(|d| d.license.clone());
        let mut inputs = Vec::new();
        let large = is_large(context);
        for (name, full) in context.read() {
            // A folder or pattern stands for its files, which were recorded one by one. Files that a seal excludes were not read.
            if full.is_file() && seal::may_read(&full).is_ok() {
                if recording.inside && full.to_str().is_none() {
                    return Err(Error::value(format!(
                        "the name of the input `{name}` is not Unicode, which a lock's paths must be"
                    ))
                    .hint("rename the file"));
                }
                let read = if large { digest_of(&name, &full)? } else { InputFile::read(&name, &full)? };
                inputs.push(InputFile { license: license(&name), ..read });
            }
        }
        inputs.extend(context.samples().iter().map(|(name, image)| InputFile::sample(name, image)));
        Ok(inputs)
    }

    /// Writes `run.json` and `report.html`. The report carries a lock where the run completed and another run would show the same.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&self, executed: &Executed, finished: &Finished) -> Result<()> {
        let lock = executed.ended_well() && executed.result.value.is_none() && !is_large(executed.session.context());
        let lock = lock.then(|| finished.record.text()).transpose()?;
        let manifest = finished.manifest()?;
        let text = serde_json::to_string_pretty(&manifest).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write(finished.out.join("run.json"), (text + "\n").as_bytes())?;
        let report = finished.report(&self.title, &self.source.text, manifest, lock)?;
        atomic::write(finished.out.join("report.html"), report.as_bytes())
    }
}

impl Executed {
    /// Whether the script completed without an error.
    pub fn ended_well(&self) -> bool {
        self.result.error.is_none() && !self.result.interrupted
    }

    /// The given parameters that the script never read, in order.
    pub fn unused_params(&self) -> Vec<String> {
        self.session.context().unused_params()
    }
}

fn is_large(context: &Context) -> bool {
    let sizes = context.read().into_values().filter_map(|path| path.metadata().ok()).map(|about| about.len());
    sizes.sum::<u64>() > MAX_LOCKED_INPUT_BYTES
}

fn digest_of(name: &str, full: &Path) -> Result<InputFile> {
    if let Some(FileRead { blake3, bytes, .. }) = reads::known(full) {
        return Ok(InputFile { path: name.to_string(), blake3, bytes, content: None, license: None });
    }
    let Digested { path, blake3, bytes } = Digested::read(name, full)?;
    Ok(InputFile { path, blake3, bytes, content: None, license: None })
}

/// Copies a folder's files into another folder, which may have others.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(|e| Error::io(to, &e))?;
    copy_within(from, to)
}

fn copy_within(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).map_err(|e| Error::io(from, &e))? {
        let path = entry.map_err(|e| Error::io(from, &e))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        // A run makes only files and folders; a link would lead elsewhere.
        let about = path.symlink_metadata().map_err(|e| Error::io(&path, &e))?;
        if about.is_symlink() {
            continue;
        }
        if about.is_dir() {
            // An existing link of that name would also lead elsewhere.
            match target.symlink_metadata() {
                Ok(there) if there.is_symlink() => {
                    let message = format!("the folder for outputs has a link `{}`", target.display());
                    return Err(Error::new(Kind::Io, message).hint("remove it, or name another folder: --out DIR"));
                }
                _ => std::fs::create_dir_all(&target).map_err(|e| Error::io(&target, &e))?,
            }
            copy_within(&path, &target)?;
        } else {
            let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, &e))?;
            atomic::write(&target, &bytes)?;
        }
    }
    Ok(())
}
