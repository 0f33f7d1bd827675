//! What a run needs to be repeated and checked: versions, seed, threads, memory, parameters, inputs and outputs by their
//! BLAKE3 digests, and the settings of everything it showed. `run.json` holds it.

use crate::error::{Error, Result};
use crate::show::Artifact;
use crate::tensor::{to_f32, values};
use candle_core::DType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Bytes hashed at a time, on all threads.
const BLOCK: usize = 1 << 20;

/// A file by its name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// As the script or the output folder names it.
    pub path: String,
    /// BLAKE3 of its content, hexadecimal; of a folder, that of its files' names and sizes.
    pub blake3: String,
    /// Bytes.
    pub bytes: u64,
}

impl Digested {
    /// The file at `full`, called `name`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(name: &str, full: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let bytes = if full.is_dir() { listing(full, full, &mut hasher)? } else { content(full, &mut hasher)? };
        Ok(Digested { path: name.to_string(), blake3: hasher.finalize().to_hex().to_string(), bytes })
    }
}

fn content(file: &Path, hasher: &mut blake3::Hasher) -> Result<u64> {
    let mut open = std::fs::File::open(file).map_err(|e| Error::io(file, &e))?;
    let (mut block, mut total) = (Vec::new(), 0);
    loop {
        block.clear();
        // As much as there is, up to a block: a small file needs no room for a large one.
        let read = open.by_ref().take(BLOCK as u64).read_to_end(&mut block).map_err(|e| Error::io(file, &e))?;
        if read == 0 {
            return Ok(total);
        }
        hasher.update_rayon(&block);
        total += read as u64;
    }
}

fn listing(root: &Path, folder: &Path, hasher: &mut blake3::Hasher) -> Result<u64> {
    let read = |e: std::io::Error| Error::io(folder, &e);
    let mut paths = std::fs::read_dir(folder)
        .map_err(read)?
        .map(|e| e.map(|e| e.path()).map_err(read))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut total = 0;
    for path in paths {
        let about = std::fs::symlink_metadata(&path).map_err(|e| Error::io(&path, &e))?;
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes();
        hasher.update(name).update(&[0]).update(&about.len().to_le_bytes());
        total += if about.is_dir() { listing(root, &path, hasher)? } else { about.len() };
    }
    Ok(total)
}

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

/// Adds a weight to a digest: name, type, shape, bytes.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn weight(hasher: &mut blake3::Hasher, name: &str, tensor: &candle_core::Tensor) -> Result<()> {
    hasher.update(format!("{name}\0{:?}\0{:?}\0", tensor.dtype(), tensor.dims()).as_bytes());
    let tensor = tensor.contiguous()?;
    match tensor.dtype() {
        DType::F64 => feed(hasher, &values::<f64>(&tensor)?, f64::to_le_bytes),
        DType::F32 => feed(hasher, &values::<f32>(&tensor)?, f32::to_le_bytes),
        _ => feed(hasher, &to_f32(&tensor)?, f32::to_le_bytes),
    }
    Ok(())
}

/// Hashes values block by block: a copy of all of them can be large.
pub(crate) fn feed<T: Copy, const N: usize>(hasher: &mut blake3::Hasher, values: &[T], bytes: fn(T) -> [u8; N]) {
    let mut block = vec![0; (values.len() * N).min(BLOCK)];
    for part in values.chunks(BLOCK / N) {
        block.truncate(part.len() * N);
        block.chunks_exact_mut(N).zip(part).for_each(|(to, v)| to.copy_from_slice(&bytes(*v)));
        hasher.update_rayon(&block);
    }
}

/// The architecture and system that this program was built for.
pub fn machine() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// BLAKE3 of `bytes`, hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
