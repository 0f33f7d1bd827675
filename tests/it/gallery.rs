//! The gallery: every script in scripts/ runs to its end, asserts included, every probe is shown by one, and what their
//! locks say comes out again.

#![allow(clippy::unwrap_used)]

use crate::{each, instruction_sets, reference};
use convscope::run::{Lock, Numerics};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Scripts that take long: run with `CONVSCOPE_SLOW=1`.
const SLOW: [&str; 4] = ["attack_table", "dreams", "inversion_table", "pointing_game"];

/// Scripts of a second or less, verified by every run of the tests; `CONVSCOPE_SLOW=1` verifies the others as well.
const CHEAP: [&str; 5] = ["activations", "guided_backprop", "linear_template", "saliency_box", "shape_bias"];

/// Scripts that are verified without vectors, where each multiply-add is a call.
const PORTABLE: [&str; 3] = ["guided_backprop", "linear_template", "saliency_box"];

/// A script of the gallery.
struct Script {
    name: String,
    path: PathBuf,
    source: String,
}

impl Script {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// Whether it fetches nets or photos, as its front matter must say.
    fn fetches(&self) -> bool {
        let fetches = ["sample_image", "squeezenet1_1", "efficientnet_lite0"].iter().any(|w| self.source.contains(w));
        assert_eq!(self.source.contains("description = \"Fetches "), fetches, "{}: its description", self.name);
        fetches
    }

    fn lock(&self) -> PathBuf {
        self.path.with_extension("lock.json")
    }

    /// Whether this run of the tests leaves it out; why is said.
    fn skipped(&self, slow: bool) -> bool {
        for (needed, variable) in [(self.fetches(), "CONVSCOPE_TEST_FETCH"), (slow, "CONVSCOPE_SLOW")] {
            if needed && std::env::var(variable).as_deref() != Ok("1") {
                eprintln!("skipped: {}; {variable}=1 runs it", self.name);
                return true;
            }
        }
        false
    }
}

fn scripts() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "rhai"));
    all.sort();
    assert!(!all.is_empty());
    let read = |path: PathBuf| Script {
        name: path.file_stem().unwrap().to_string_lossy().to_string(),
        source: std::fs::read_to_string(&path).unwrap(),
        path,
    };
    all.into_iter().map(read).collect()
}

/// Those with a lock are left to `all_locked_scripts_verify` where it runs: `verify` runs the script to its end, too.
#[test]
fn every_script_runs_to_its_end() {
    let out = tempfile::tempdir().unwrap();
    let slow = std::env::var("CONVSCOPE_SLOW").as_deref() == Ok("1");
    let is_verified = |s: &Script| slow && s.lock().exists() && !CHEAP.contains(&s.name.as_str());
    let mut all = scripts();
    all.retain(|s| !is_verified(s) && !s.skipped(SLOW.contains(&s.name.as_str())));
    each::passes(&all, Script::name, |script| {
        let folder = out.path().join(&script.name);
        let run = Command::new(env!("CARGO_BIN_EXE_convscope"))
            .args(["run", "--quiet", "--out"])
            .arg(&folder)
            .arg(&script.path)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
        let closed = report.contains("Content-Security-Policy") && !report.contains("src=\"http");
        assert!(closed, "the report loads something");
        assert!(folder.join("run.json").is_file(), "no manifest");
    });
}

#[test]
fn every_probe_is_shown_by_a_script() {
    let sources: String = scripts().into_iter().map(|s| s.source).collect();
    for entry in convscope::probes::catalog() {
        let name = entry.name();
        assert!(sources.contains(&format!("{name}(")), "no script shows `{name}`");
    }
}

#[test]
fn every_script_says_what_it_is_and_has_a_lock() {
    for script in scripts() {
        let name = &script.name;
        assert!(script.source.contains("// /// convscope\n// engine = "), "{name} has no front matter");
        // Those that fetch may go without one.
        if script.fetches() && !script.lock().exists() {
            continue;
        }
        let lock = Lock::open(&script.lock()).unwrap_or_else(|e| panic!("{name}: {e}: scripts/lock-all makes locks"));
        let text = convscope::digest::digest(script.source.as_bytes());
        assert_eq!(lock.script.unwrap().blake3, text, "{name} was changed: scripts/lock-all locks it anew");
    }
}

/// Geirhos et al. 2018 by the script, on the images and trials of development, where they are there.
#[test]
fn the_cue_conflict_script_finds_the_shape_bias_of_people_and_of_a_net() {
    let Some(data) = reference::data("cue-conflict") else { return };
    if std::env::var("CONVSCOPE_TEST_FETCH").as_deref() != Ok("1") {
        eprintln!("skipped: squeezenet1_1 is fetched; CONVSCOPE_TEST_FETCH=1 runs it");
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_convscope"))
        .args(["run", "scripts/shape_bias.rhai", "--param", "net=squeezenet1_1", "--param"])
        .arg(format!("data={}", data.display()))
        .arg("--out")
        .arg(out.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    // A row of the table: a subject, what it is, its shape bias.
    let bias = |subject: &str, kind: &str| -> f64 {
        let row = |line: &str| -> Option<f64> {
            let mut words = line.strip_prefix(subject)?.split_whitespace();
            words.next().filter(|k| *k == kind).and_then(|_| words.next()?.parse().ok())
        };
        said.lines().find_map(row).unwrap_or_else(|| panic!("no {subject}: {said}"))
    };
    assert!((bias("people together", "people") - 0.943).abs() <= 0.005, "{said}");
    assert!((bias("squeezenet1_1", "net") - 0.315).abs() <= 0.03, "{said}");
}

/// The same bits on machines of the class that made the lock, whatever the engine and the vector instructions; the same within
/// tolerances on others.
fn verifies(script: &Script, vectors: Option<&str>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
    command.envs(vectors.map(|v| ("CONVSCOPE_SIMD", v)));
    let output = command.args(["verify", "--json"]).arg(script.lock()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lock = Lock::open(&script.lock()).unwrap();
    let here = lock.numerics.probe == Numerics::here().unwrap().probe;
    let code = output.status.code();
    assert!(code == Some(0) || (!here && code == Some(12)), "{said}");
}

/// Verifies all of these under each of these vector instructions; nothing stands for the machine's own.
fn all_verify(scripts: &[Script], vectors: &[Option<&str>]) {
    let runs: Vec<_> = scripts.iter().flat_map(|script| vectors.iter().map(move |set| (script, *set))).collect();
    let name = |(script, set): &(&Script, Option<&str>)| format!("{} {}", script.name, set.unwrap_or_default());
    each::passes(&runs, name, |(script, set)| verifies(script, *set));
}

/// The machine's own vector instructions, and the other ones that it has.
fn own_and_other() -> Vec<Option<&'static str>> {
    std::iter::once(None).chain(instruction_sets::other().map(Some)).collect()
}

fn named(names: &[&str]) -> Vec<Script> {
    let found: Vec<Script> = scripts().into_iter().filter(|s| names.contains(&s.name.as_str())).collect();
    assert_eq!(found.len(), names.len());
    found
}

#[test]
fn cheap_scripts_verify() {
    all_verify(&named(&CHEAP), &own_and_other());
}

#[test]
fn scripts_verify_without_vectors() {
    all_verify(&named(&PORTABLE), &[Some("portable")]);
}

#[test]
fn all_locked_scripts_verify() {
    let others = scripts().into_iter().filter(|s| !CHEAP.contains(&s.name.as_str()) && s.lock().exists());
    all_verify(&others.filter(|s| !s.skipped(true)).collect::<Vec<_>>(), &own_and_other());
}
