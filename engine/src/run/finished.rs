//! The complete result of a run: its record, what it showed as parts of a report, and the values behind the record's digests.
//! It becomes a report and `run.json`, or is handed over to the process that started the run.

use super::array::{Array, pack, unpack};
use super::output::Content;
use super::record::Record;
use crate::atomic;
use crate::canonical::canonical;
use crate::digest::{digest, machine};
use crate::error::{Error, Result};
use crate::regular;
use crate::seal::Held;
use crate::show::{Artifact, Report, Section};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

const RECORD: &str = "record.json";
/// The file of arrays, where a run is handed over and in bundles.
pub const ARRAYS: &str = "arrays.safetensors";

/// The complete result of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Finished {
    /// The record of it.
    pub record: Record,
    /// The artifacts that it showed, in order.
    pub shown: Vec<ShownRecord>,
    /// The names of the outputs that `save` wrote, in order.
    pub saved: Vec<String>,
    /// What it showed, as parts of a report: HTML.
    pub sections: Vec<String>,
    /// The outputs that are texts in no file, whole, by name.
    pub texts: BTreeMap<String, String>,
    /// The arrays of what it showed, by the names of their outputs; kept for who asks for them.
    #[serde(skip)]
    pub arrays: BTreeMap<String, Array>,
    /// An entry for each thing that it showed, for programs: tables, texts, notes, the names of arrays.
    #[serde(skip)]
    pub entries: Vec<Value>,
    /// What enforced the seal of its process, where it had one.
    #[serde(default)]
    pub held: Option<Held>,
    /// Calls of the script whose results differ from run to run.
    pub unrepeatable: Vec<String>,
    /// Whether it ran to its end.
    pub complete: bool,
    /// What went wrong, where something did.
    pub error: Option<String>,
    /// Seconds that it took; no digest covers it.
    pub seconds: f64,
    /// The folder of the files that it wrote.
    #[serde(skip)]
    pub out: PathBuf,
}

/// An artifact that a run showed, as `run.json` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShownRecord {
    /// Its title.
    pub title: String,
    /// The settings that made it: probe, subject, input.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub settings: Value,
    /// The picture in the folder for outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// Its arrays.
    pub arrays: BTreeMap<String, ArrayDigest>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Whether it ran to its end.
    pub complete: bool,
}

/// An array of an artifact that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayDigest {
    /// Its sizes.
    pub shape: Vec<usize>,
    /// BLAKE3 of its values, little-endian in their own type, hexadecimal.
    pub blake3: String,
}

impl ShownRecord {
    /// The entry of `artifact` in `run.json`; the digests of its arrays are added later.
    pub fn of(artifact: &Artifact) -> Self {
        ShownRecord {
            title: artifact.title.clone(),
            settings: artifact.manifest.clone(),
            figure: None,
            arrays: BTreeMap::new(),
            notes: artifact.notes.clone(),
            complete: artifact.complete,
        }
    }
}

impl Finished {
    /// What the output of that name holds.
    ///
    /// # Errors
    /// Where its file cannot be read.
    pub fn content(&self, name: &str) -> Result<Content> {
        if let Some(array) = self.arrays.get(name) {
            return Ok(Content::Array(array.clone()));
        }
        if let Some(text) = self.texts.get(name) {
            return Ok(Content::Text(text.clone()));
        }
        let path = self.out.join(name);
        let raw = regular::read(&path, |_| Ok(()))?;
        Ok(Content::of_file(name, &raw))
    }

    /// All outputs with everything that is in them, by name.
    ///
    /// # Errors
    /// As [`Finished::content`].
    pub fn contents(&self) -> Result<BTreeMap<String, Content>> {
        self.record.outputs.iter().map(|o| Ok((o.name.clone(), self.content(&o.name)?))).collect()
    }

    /// The names of the outputs that are files: what was saved, then the figures.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        self.saved.iter().chain(self.shown.iter().filter_map(|s| s.figure.as_ref()))
    }

    /// The digest of the run: the same for a script and the notebook made of it, wherever they lie. It covers the script's
    /// text, seed, memory, parameters, nets and the content of inputs and outputs; not paths, threads, duration and machine.
    ///
    /// # Errors
    /// Where it has no JSON form: a defect.
    pub fn digest(&self) -> Result<String> {
        let record = &self.record;
        let shown: Vec<_> = self.shown.iter().map(|s| (&s.title, &s.arrays, &s.notes, s.complete)).collect();
        let value = json!({
            "script": record.script.as_ref().map(|s| &s.blake3),
            "seed": record.seed,
            "memory_mb": record.memory_mb,
            "params": record.params,
            "nets": record.nets.iter().map(|n| (&n.name, &n.weights)).collect::<Vec<_>>(),
            "inputs": record.inputs.iter().map(|f| &f.blake3).collect::<Vec<_>>(),
            "shown": serde_json::to_value(shown).map_err(|e| Error::internal(e.to_string()))?,
            "outputs": self.saved.iter().filter_map(|n| Some((n, &record.output(n)?.blake3))).collect::<Vec<_>>(),
            "complete": self.complete,
        });
        Ok(format!("blake3:{}", digest(canonical(&value).as_bytes())))
    }

    /// The manifest, which `run.json` holds: the record without the values of its outputs, with the settings of everything
    /// that was shown.
    ///
    /// # Errors
    /// Where it has no JSON form: a defect.
    pub fn manifest(&self) -> Result<Value> {
        let record = &self.record;
        let nets = record.nets.iter().map(|n| {
            json!({ "name": n.name, "source": n.source, "weights": n.weights, "spec": n.spec, "options": n.options })
        });
        let saved = self.saved.iter().filter_map(|name| {
            let output = record.output(name)?;
            Some(json!({ "path": name, "blake3": output.blake3, "bytes": output.bytes }))
        });
        let mut value = json!({
            "convscope": record.engine.convscope,
            "machine": machine(),
            "engine": record.engine,
            "numerics": record.numerics,
            "script": record.script,
            "modules": record.modules,
            "seed": record.seed,
            "threads": record.threads.first(),
            "memory_mb": record.memory_mb,
            "params": record.params,
            "nets": nets.collect::<Vec<_>>(),
            "inputs": record.inputs,
            "shown": self.shown,
            "outputs": saved.collect::<Vec<_>>(),
            "complete": self.complete,
        });
        if let Some(error) = &self.error {
            value["error"] = error.as_str().into();
        }
        value["seconds"] = self.seconds.into();
        value["digest"] = self.digest()?.into();
        Ok(value)
    }

    /// The report of `script`, which was run: nothing in it but `manifest` depends on when or how long it ran.
    ///
    /// # Errors
    /// Where a part cannot be drawn.
    pub fn report(&self, title: &str, script: &str, manifest: Value, lock: Option<String>) -> Result<String> {
        let sections = self.sections.iter().cloned().map(Section::Artifact).collect();
        Report { title: title.into(), script: Some(script.into()), sections, manifest, lock }.html()
    }

    /// Hands the result over: writes everything that is not yet a file into `folder`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn hand_over(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        atomic::write(folder.join(ARRAYS), &pack(&self.arrays)?)?;
        let text = serde_json::to_vec(self).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write(folder.join(RECORD), &text)
    }

    /// The result that was handed over in `folder`; its files are in `out`.
    ///
    /// # Errors
    /// Where there is nothing.
    pub fn taken_over(folder: &Path, out: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Error::io(&path, &e))
        };
        let finished: Finished =
            serde_json::from_slice(&read(RECORD)?).map_err(|e| Error::internal(format!("a run's record: {e}")))?;
        let named = finished.files().chain(finished.record.outputs.iter().map(|output| &output.name));
        if let Some(name) = named.into_iter().find(|name| !is_inside(name)) {
            return Err(Error::value(format!("the output `{name}` lies outside the folder for outputs")));
        }
        Ok(Finished { arrays: unpack(&read(ARRAYS)?)?, out: out.to_path_buf(), ..finished })
    }
}

/// Whether a path joined to a folder stays in it: the path consists of names only.
pub fn is_inside(path: &str) -> bool {
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.is_empty() && Path::new(path).components().all(plain)
}

/// The facts about a locked run in its report: nothing that depends on the time or duration of the run.
pub fn about(lock: &Record) -> Value {
    json!({
        "convscope": lock.engine.convscope,
        "numerics": lock.numerics,
        "script": lock.script,
        "seed": lock.seed,
        "memory_mb": lock.memory_mb,
        "params": lock.params,
        "inputs": lock.inputs,
        "nets": lock.nets,
        "outputs": lock.outputs.iter().map(|o| (&o.name, &o.blake3)).collect::<Vec<_>>(),
    })
}
