//! What a run read, printed, showed and wrote: enough to make a lock of it, in this process or, by way of a folder, in the
//! one that started it.

use super::source::{Source, engine};
use convscope_dsl::{Session, Shown};
use convscope_engine::digest::Digested;
use convscope_engine::lock::content::{pack, unpack};
use convscope_engine::lock::{Array, Content, Engine, Input, Lock, Numerics, Pinned, Recorded};
use convscope_engine::show::words;
use convscope_engine::{Artifact, Error, Job, Result, atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const RECORD: &str = "record.json";
/// The file of arrays, here and in bundles.
pub const ARRAYS: &str = "arrays.safetensors";

/// What a run left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// What ran it.
    pub engine: Engine,
    /// The class of the machine's numerics.
    pub numerics: Numerics,
    /// From which all randomness followed.
    pub seed: u64,
    /// MB that probes could hold at once.
    pub memory_mb: u64,
    /// The numbers of threads that it ran on.
    pub threads: usize,
    /// The parameters that the script asked for.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The modules that it imported.
    pub modules: Vec<Digested>,
    /// The files that it read.
    pub inputs: Vec<Input>,
    /// The nets that it loaded.
    pub nets: Vec<Pinned>,
    /// What it printed.
    pub printed: String,
    /// What it showed, in order: name and words.
    pub shown: Vec<(String, String)>,
    /// The files that it wrote, figures included, relative to the folder for outputs.
    pub files: Vec<String>,
    /// What it showed, as parts of a report.
    pub sections: Vec<String>,
    /// What it asked for that no second run gives again.
    pub unrepeatable: Vec<String>,
    /// The arrays of what it showed, by `show/NN-TITLE/ARRAY`.
    #[serde(skip)]
    pub arrays: BTreeMap<String, Array>,
}

impl Record {
    /// The record of a session that has run `source`; figures and sections are added by who draws them.
    ///
    /// # Errors
    /// Where an input can no longer be read.
    pub fn of(source: &Source, session: &Session, job: &Job, printed: String) -> Result<Self> {
        let context = session.context();
        let modules = context.modules();
        let mut inputs = Vec::new();
        for (name, full) in context.read() {
            // A folder or a pattern stands for its files, which were noted one by one.
            if full.is_file() {
                let license = source.front.inputs.get(&name).and_then(|d| d.license.clone());
                inputs.push(Input { license, ..Input::read(&name, &full)? });
            }
        }
        inputs.extend(context.samples().iter().map(|(name, image)| Input::sample(name, image)));
        let outputs = context.place().outputs;
        let file = |path: &std::path::PathBuf| {
            path.strip_prefix(&outputs).unwrap_or(path).to_string_lossy().replace('\\', "/")
        };
        Ok(Record {
            engine: engine(),
            numerics: Numerics::here()?,
            seed: job.seed,
            memory_mb: job.memory >> 20,
            threads: rayon::current_num_threads(),
            params: context.used_params(),
            modules: modules.iter().map(|(name, full)| Digested::read(name, full)).collect::<Result<_>>()?,
            inputs,
            nets: context.pinned()?,
            printed,
            files: context.written().iter().map(file).collect(),
            unrepeatable: context.unrepeatables().into_iter().map(str::to_string).collect(),
            ..Record::default()
        })
    }

    /// Adds a thing that was shown under a name such as `show/03-gradient`.
    ///
    /// # Errors
    /// Where an array cannot be read.
    pub fn show(&mut self, name: &str, shown: &Shown) -> Result<()> {
        let said = match shown {
            Shown::Text(text) => text.clone(),
            Shown::Artifact(artifact) => {
                self.keep(name, artifact)?;
                serde_json::to_string_pretty(&words(artifact)).map_err(|e| Error::internal(e.to_string()))?
            }
        };
        self.shown.push((name.to_string(), said));
        Ok(())
    }

    fn keep(&mut self, name: &str, artifact: &Artifact) -> Result<()> {
        for (array, tensor) in &artifact.data {
            self.arrays.insert(format!("{name}/{array}"), Array::of(tensor)?);
        }
        Ok(())
    }

    /// All outputs, in order; files lie in `out`.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn outputs(&self, out: &Path) -> Result<Vec<Recorded>> {
        let mut outputs = Vec::new();
        for (name, said) in &self.shown {
            outputs.push(Recorded::text(name.clone(), said.clone()));
            let inside = format!("{name}/");
            let arrays = self.arrays.iter().filter(|(array, _)| array.starts_with(&inside));
            outputs.extend(arrays.map(|(array, values)| Recorded::array(array.clone(), values.clone())));
        }
        for file in &self.files {
            outputs.push(Recorded::file(file, &out.join(file))?);
        }
        if !self.printed.is_empty() {
            outputs.push(Recorded::text("print".into(), self.printed.clone()));
        }
        Ok(outputs)
    }

    /// The lock of this run of `source` on these numbers of threads; it keeps `kept` values of an array at most.
    pub fn lock(&self, source: &Source, outputs: &[Recorded], threads: Vec<usize>, kept: usize) -> Lock {
        let entry = |output: &Recorded| {
            let choice = source.front.outputs.of(&output.name);
            output.entry(choice.here, choice.elsewhere, kept)
        };
        Lock {
            script: Some(source.digested()),
            modules: self.modules.clone(),
            engine: self.engine.clone(),
            numerics: self.numerics.clone(),
            seed: self.seed,
            memory_mb: self.memory_mb,
            params: self.params.clone(),
            threads,
            inputs: self.inputs.clone(),
            nets: self.nets.clone(),
            outputs: outputs.iter().map(entry).collect(),
            ..Lock::default()
        }
    }

    /// Writes the record into a folder.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        atomic::write(folder.join(ARRAYS), &pack(&self.arrays)?)?;
        let text = serde_json::to_vec(self).map_err(|e| Error::internal(e.to_string()))?;
        atomic::write(folder.join(RECORD), &text)
    }

    /// The record in a folder.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Error::io(&path, &e))
        };
        let record: Record =
            serde_json::from_slice(&read(RECORD)?).map_err(|e| Error::internal(format!("a run's record: {e}")))?;
        Ok(Record { arrays: unpack(&read(ARRAYS)?)?, ..record })
    }
}

/// Outputs with all their values by name, for comparisons.
pub fn by_name(outputs: Vec<Recorded>) -> BTreeMap<String, Content> {
    outputs.into_iter().map(|o| (o.name, o.content)).collect()
}
