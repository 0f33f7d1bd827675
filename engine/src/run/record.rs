//! The one record of a run: what ran, on what, what it read and its outputs. `run.json` shows it, a lock is the record with its
//! own digest ([`super::lock`]), and a run in another process hands it over ([`super::finished`]).

use super::inputs::{InputFile, Pinned};
use super::numerics::Numerics;
use super::output::RunOutput;
use crate::digest::Digested;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The engine: together with the machine it determines a run's bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The version of convscope.
    pub convscope: String,
    /// A digest of the sources of engine and language and of the versions that they depend on, hexadecimal.
    pub source: String,
    /// The version of rhai.
    pub rhai: String,
    /// The compiler.
    pub rustc: String,
    /// What it was compiled for.
    pub target: String,
}

/// A script's request to the Hugging Face Hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubRequest {
    /// What `load_model` was given: `hf:org/repo`.
    pub spec: String,
    /// Whether it gave a net.
    pub given: bool,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The script's text (of a notebook: its cells as a script); the path is its file's name.
    pub script: Option<Digested>,
    /// The modules that it imports, relative to its folder.
    pub modules: Vec<Digested>,
    /// What ran it.
    pub engine: Engine,
    /// The class of the machine's numerics.
    pub numerics: Numerics,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The bound on memory, MB, from which batch sizes follow.
    pub memory_mb: u64,
    /// The script's parameters with the values they had.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The numbers of threads with which it was run, all with the same outputs.
    pub threads: Vec<usize>,
    /// The files that were read.
    pub inputs: Vec<InputFile>,
    /// The nets that were loaded.
    pub nets: Vec<Pinned>,
    /// The requests to the Hugging Face Hub, in order, also those after whose failure the script continued.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hub: Vec<HubRequest>,
    /// The outputs, in order: shown, written, printed.
    pub outputs: Vec<RunOutput>,
}

impl Record {
    /// The output of that name.
    pub fn output(&self, name: &str) -> Option<&RunOutput> {
        self.outputs.iter().find(|o| o.name == name)
    }

    /// The differences between an engine on a machine and this record's, in words, that can explain different bits: another
    /// version, language, compiler, target or class of numerics.
    pub fn other_engine(&self, engine: &Engine, numerics: &Numerics) -> Vec<String> {
        differences(&[
            ("convscope", &self.engine.convscope, &engine.convscope),
            ("rhai", &self.engine.rhai, &engine.rhai),
            ("the compiler", &self.engine.rustc, &engine.rustc),
            ("the target", &self.engine.target, &engine.target),
            ("the instruction sets", &self.numerics.isa, &numerics.isa),
            ("the numerics", &self.numerics.probe, &numerics.probe),
        ])
    }
}

impl Record {
    /// As [`Record::other_engine`], also with differences that explain nothing: other sources of the same version.
    pub fn noted_engine(&self, engine: &Engine, numerics: &Numerics) -> Vec<String> {
        let mut noted = self.other_engine(engine, numerics);
        noted.extend(differences(&[("the engine's sources", &self.engine.source, &engine.source)]));
        noted
    }

    /// Whether this record and another one have the same bits: they differ at most in the engine that made them and the number
    /// of threads.
    pub fn same_but_for_maker(&self, other: &Self) -> bool {
        let maker = (other.engine.clone(), other.numerics.clone(), other.threads.clone());
        Record { engine: maker.0, numerics: maker.1, threads: maker.2, ..self.clone() } == *other
    }
}

fn differences(pairs: &[(&str, &String, &String)]) -> Vec<String> {
    let short = |s: &str| s.chars().take(40).collect::<String>();
    let differ = pairs.iter().filter(|(_, a, b)| a != b);
    differ.map(|(what, a, b)| format!("{what}: {} was locked, {} is here", short(a), short(b))).collect()
}
