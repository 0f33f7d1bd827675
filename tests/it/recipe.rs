//! ARCHITECTURE's recipe for a probe, followed in a copy of the workspace: a file, its two lines, and it is in scripts, in the
//! reference and in completion. It compiles the engine again: `CONVSCOPE_RECIPE=1` runs it.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The file of a new probe.
const PROBE: &str = r#"//! The mean of a layer's maps.

use super::cam;
use crate::error::Result;
use crate::job::Job;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// The mean of a layer's maps where the gradient is positive, for the test of the recipe.
    #[probe(
        family = Where,
        source = "the recipe in ARCHITECTURE.md",
        subjects = "a net, class, channel, unit, direction or sum behind the layer",
        input = One,
        example = "mean_map().run(net, image)"
    )]
    pub struct MeanMap as "mean_map" {
        /// The layer; unless given, the last one with maps that the subject needs (for a box, before its score); where attention
        /// mixes positions last, the normalisation before the attention; where the scores are a map, the last of the maps with
        /// most channels.
        layer: Option<LayerName> = None;
        /// What the mean is multiplied by.
        factor: f64 = 1.0, in 0.0..=100.0;
    }
}

impl Probe for MeanMap {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        cam::shown(self, self.layer.as_ref(), on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let node = cam::layer(target.model()?, self.layer.as_ref(), target)?;
        Ok((cam::weighted(target, node, x, |a, _, plane| cam::sum_of(plane, a, |_, _| 1.0))? * self.factor)?)
    }
}
"#;

/// A program that looks for it where people would.
const LOOK: &str = r#"//! Looks for the probe of the recipe.
use convscope_dsl::{Session, Silent};
use convscope_engine::Job;
use std::sync::Arc;

fn main() {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    let code = "let net = load_model(\"shapes\"); let image = shapes(1)[0];
        let one = mean_map().run(net, image).value; let two = mean_map(#{ factor: 2.0 }).run(net, image).value;
        (one.max > 0.0) && (two.max - 2.0 * one.max).abs() < 0.0001 * one.max";
    let result = session.run_cell(code);
    assert!(result.error.is_none(), "{:?}", result.error);
    assert!(format!("{:?}", result.value).contains("true"), "{:?}", result.value);
    let wrong = session.run_cell("mean_map(#{ factr: 2.0 })").error.unwrap();
    assert!(wrong.hint.unwrap().contains("did you mean `factor`"));
    let reference = session.reference();
    let text: String = reference.find("mean_map").unwrap().iter().map(|entry| entry.text()).collect();
    assert!(text.contains("The mean of a layer's maps") && text.contains("factor") && text.contains("recipe in ARCH"));
    let offers = |text: &str| session.complete(text, text.len()).candidates.into_iter().any(|c| c.text == "mean_map");
    assert!(offers("let m = mean_"));
    println!("it is there");
}
"#;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            _ if name.starts_with('.') || name == "target" => {}
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// Puts a line before the first one in a file that begins with `before`.
fn add_line(file: &Path, before: &str, line: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let at = text.find(&format!("\n{before}")).unwrap() + 1;
    std::fs::write(file, format!("{}{line}\n{}", &text[..at], &text[at..])).unwrap();
}

#[test]
fn a_probe_is_a_file_and_its_two_lines() {
    if std::env::var_os("CONVSCOPE_RECIPE").is_none() {
        eprintln!("skipped: it compiles the engine again; CONVSCOPE_RECIPE=1 runs it");
        return;
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    for folder in ["nn", "engine", "dsl", "kernel", "web", "src", "tests", "benches"] {
        copy(&root.join(folder), &at(folder));
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        std::fs::copy(root.join(file), at(file)).unwrap();
    }
    for member in ["lsp", "python", "scripts", "examples", "docs"] {
        if root.join(member).is_dir() {
            copy(&root.join(member), &at(member));
        }
    }
    std::fs::write(at("engine/src/probes/attribution/mean_map.rs"), PROBE).unwrap();
    add_line(&at("engine/src/probes/attribution/mod.rs"), "pub mod multi_crop;", "pub mod mean_map;");
    add_line(&at("engine/src/probes/mod.rs"), "    attribution::rise", "    attribution::mean_map::MeanMap,");
    std::fs::create_dir_all(at("dsl/examples")).unwrap();
    std::fs::write(at("dsl/examples/recipe.rs"), LOOK).unwrap();
    // The folder of what is compiled is this test's own, so that what is compiled elsewhere stays; the crates from elsewhere are as
    // they lie in the registry.
    let target = Path::new(env!("CARGO_BIN_EXE_convscope")).ancestors().nth(2).unwrap().join("recipe");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["run", "--offline", "-p", "convscope-dsl", "--example", "recipe"]).current_dir(scratch.path());
    let output = cargo.env("CARGO_TARGET_DIR", target).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(String::from_utf8_lossy(&output.stdout).contains("it is there"), "{said}");
}
