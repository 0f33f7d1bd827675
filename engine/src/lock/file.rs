//! The lock: `S.lock.json`, canonical JSON with its own digest.

use super::canonical::{sealed, unsealed};
use super::content::Entry;
use super::inputs::{Input, Pinned};
use super::numerics::Numerics;
use crate::digest::Digested;
use crate::error::{Context, Error, Result};
use crate::limits::TEXT;
use crate::regular;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the lock's form.
const FORM: u32 = 1;

/// What an engine is, beside the machine: a run's bits follow from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The version of convscope.
    pub convscope: String,
    /// BLAKE3 of the sources of engine and language and of the versions that they depend on, hexadecimal.
    pub source: String,
    /// The version of rhai.
    pub rhai: String,
    /// The compiler.
    pub rustc: String,
    /// What it was compiled for.
    pub target: String,
}

/// What belongs together: script, engine, inputs, outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The version of this form.
    pub convscope_lock: u32,
    /// The script's text (of a notebook: its cells as a script); the path is its file's name.
    pub script: Option<Digested>,
    /// The modules that it imports, relative to its folder.
    pub modules: Vec<Digested>,
    /// What ran it.
    pub engine: Engine,
    /// The class of the machine's numerics.
    pub numerics: Numerics,
    /// From which all randomness follows.
    pub seed: u64,
    /// The ceiling for what probes hold at once, MB; batch sizes follow from it.
    pub memory_mb: u64,
    /// The script's parameters with the values they had.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The numbers of threads with which it was run, all with the same outputs.
    pub threads: Vec<usize>,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// The nets that were loaded.
    pub nets: Vec<Pinned>,
    /// What came out, in order: printed, shown, written.
    pub outputs: Vec<Entry>,
}

impl Lock {
    /// The lock's text: canonical JSON.
    ///
    /// # Errors
    /// Where it has no JSON form: a defect.
    pub fn text(&self) -> Result<String> {
        let lock = Lock { convscope_lock: FORM, ..self.clone() };
        let value = serde_json::to_value(lock).map_err(|e| Error::internal(e.to_string()))?;
        Ok(sealed(value))
    }

    /// The lock in a text that [`Lock::text`] wrote.
    ///
    /// # Errors
    /// Where a byte was changed, or where a later version wrote it ([`crate::Kind::Unsupported`]).
    pub fn read(text: &[u8]) -> Result<Self> {
        let value = unsealed(text)?;
        let form = value.get("convscope_lock").and_then(serde_json::Value::as_u64);
        if form != Some(u64::from(FORM)) {
            let said = form.map_or("no lock".to_string(), |f| format!("a lock of form {f}"));
            return Err(Error::unsupported(format!("{said}; this version reads form {FORM}")));
        }
        serde_json::from_value(value).map_err(|e| Error::format(format!("a lock with other members: {e}")))
    }

    /// The lock at `path`.
    ///
    /// # Errors
    /// As [`Lock::read`], and where it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let text = regular::read(path, |bytes| TEXT.check(bytes))?;
        Lock::read(&text).context(|| format!("`{}`", path.display()))
    }

    /// In what this engine on this machine differs from the lock's, in words; nothing where bits can be asked for.
    pub fn other_engine(&self, engine: &Engine, numerics: &Numerics) -> Vec<String> {
        let pairs = [
            ("convscope", &self.engine.convscope, &engine.convscope),
            ("the engine's sources", &self.engine.source, &engine.source),
            ("rhai", &self.engine.rhai, &engine.rhai),
            ("the compiler", &self.engine.rustc, &engine.rustc),
            ("the target", &self.engine.target, &engine.target),
            ("the instruction sets", &self.numerics.isa, &numerics.isa),
            ("the numerics", &self.numerics.probe, &numerics.probe),
        ];
        let short = |s: &str| s.chars().take(40).collect::<String>();
        let differ = pairs.iter().filter(|(_, a, b)| a != b);
        differ.map(|(what, a, b)| format!("{what}: {} was locked, {} is here", short(a), short(b))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lock_reads_what_it_wrote_and_nothing_else() {
        let lock = Lock { convscope_lock: FORM, seed: 7, threads: vec![1, 2], ..Lock::default() };
        let text = lock.text().unwrap();
        assert_eq!(Lock::read(text.as_bytes()).unwrap(), lock);
        assert!(Lock::read(text.replace("\"seed\":7", "\"seed\":8").as_bytes()).is_err());
        let later = sealed(serde_json::json!({"convscope_lock": 2}));
        assert_eq!(Lock::read(later.as_bytes()).unwrap_err().kind, crate::Kind::Unsupported);
        let engine = Engine { rhai: "2".into(), ..Engine::default() };
        assert_eq!(lock.other_engine(&lock.engine, &lock.numerics), Vec::<String>::new());
        assert_eq!(lock.other_engine(&engine, &lock.numerics).len(), 1);
    }
}
