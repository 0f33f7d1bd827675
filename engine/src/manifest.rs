//! What a run needs to be repeated and checked: versions, seed, threads, memory, parameters, inputs and outputs by their
//! BLAKE3 digests, and the settings of everything it showed. `run.json` holds it.

use crate::digest::{Digested, digest, feed, weight};
use crate::error::{Error, Result};
use crate::show::Artifact;
use crate::tensor::to_f32;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One array of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayDigest {
    /// Its sizes.
    pub shape: Vec<usize>,
    /// BLAKE3 of its values as little-endian f32, hexadecimal.
    pub blake3: String,
}

/// One thing that the run showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its title.
    pub title: String,
    /// The settings that made it: probe, subject, input.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub settings: serde_json::Value,
    /// The picture in the output folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// Its arrays.
    pub arrays: BTreeMap<String, ArrayDigest>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Whether it ran to its end.
    pub complete: bool,
}

impl Shown {
    /// What of `artifact` goes into the manifest.
    ///
    /// # Errors
    /// Where an array cannot be read.
    pub fn of(artifact: &Artifact) -> Result<Self> {
        let digest = |t: &candle_core::Tensor| -> Result<ArrayDigest> {
            let mut hasher = blake3::Hasher::new();
            feed(&mut hasher, &to_f32(t)?, f32::to_le_bytes);
            Ok(ArrayDigest { shape: t.dims().to_vec(), blake3: hasher.finalize().to_hex().to_string() })
        };
        let arrays = artifact.data.iter().map(|(name, t)| Ok((name.clone(), digest(t)?))).collect::<Result<_>>()?;
        Ok(Shown {
            title: artifact.title.clone(),
            settings: artifact.manifest.clone(),
            figure: None,
            arrays,
            notes: artifact.notes.clone(),
            complete: artifact.complete,
        })
    }
}

/// What a run needs to be repeated and checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of convscope.
    pub convscope: String,
    /// The machine's architecture and system: results are the same bits on the same kind of machine.
    pub machine: String,
    /// The script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Digested>,
    /// From which all randomness follows.
    pub seed: u64,
    /// Threads; they do not change results.
    pub threads: usize,
    /// The ceiling for what probes hold at once, MB; batch sizes follow from it.
    pub memory_mb: u64,
    /// The script's parameters with the values they had.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The nets that were loaded.
    pub nets: Vec<Net>,
    /// The files that were read.
    pub inputs: Vec<Digested>,
    /// What was shown, in order.
    pub shown: Vec<Shown>,
    /// The files that `save` wrote.
    pub outputs: Vec<Digested>,
    /// Whether the script ran to its end.
    pub complete: bool,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds the run took; no digest covers it.
    pub seconds: f64,
    /// The digest of the run: the same for a script and the notebook made of it, wherever they lie.
    #[serde(default)]
    pub digest: String,
}

impl Manifest {
    /// BLAKE3 of what the run was and gave, as canonical JSON: the script's text, seed, memory, parameters, nets, and the
    /// content of inputs and outputs; not of paths, threads, duration and machine.
    ///
    /// # Errors
    /// Where it has no JSON form: a defect.
    pub fn run_digest(&self) -> Result<String> {
        let shown: Vec<_> = self.shown.iter().map(|s| (&s.title, &s.arrays, &s.notes, s.complete)).collect();
        let nets: Vec<_> = self.nets.iter().map(|n| (&n.name, &n.weights)).collect();
        let inputs: Vec<_> = self.inputs.iter().map(|f| &f.blake3).collect();
        let outputs: Vec<_> = self.outputs.iter().map(|f| (&f.path, &f.blake3)).collect();
        let value = serde_json::json!({
            "script": self.script.as_ref().map(|s| &s.blake3),
            "seed": self.seed,
            "memory_mb": self.memory_mb,
            "params": self.params,
            "nets": nets,
            "inputs": inputs,
            "shown": serde_json::to_value(shown).map_err(|e| Error::internal(e.to_string()))?,
            "outputs": outputs,
            "complete": self.complete,
        });
        Ok(format!("blake3:{}", digest(crate::lock::canonical::canonical(&value).as_bytes())))
    }
}

/// A net that a run loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// BLAKE3 of its weights and biases by sorted name, with types, shapes and values, hexadecimal.
    pub weights: String,
}

impl Net {
    /// What identifies `model`.
    ///
    /// # Errors
    /// Where a weight cannot be read.
    pub fn of(model: &crate::Model) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let mut weights: Vec<_> = model.weights().iter().collect();
        weights.sort_by_key(|(name, _)| *name);
        for (name, tensor) in weights {
            weight(&mut hasher, name, tensor)?;
        }
        Ok(Net {
            name: model.card().name.clone(),
            source: model.card().source.clone(),
            weights: hasher.finalize().to_hex().to_string(),
        })
    }
}

/// The architecture and system that this program was built for.
pub fn machine() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}
