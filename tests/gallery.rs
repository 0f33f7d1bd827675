//! The gallery: every script in scripts/ runs to its end, asserts included, and every probe is shown by one.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Scripts that take long: run with `CONVSCOPE_SLOW=1`.
const SLOW: [&str; 4] = ["attack_table", "dreams", "inversion_table", "pointing_game"];

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "rhai"));
    all.sort();
    assert!(!all.is_empty());
    all
}

fn set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|v| v == "1")
}

#[test]
fn every_script_runs_to_its_end() {
    let out = tempfile::tempdir().unwrap();
    for script in scripts() {
        let name = script.file_stem().unwrap().to_string_lossy().to_string();
        let source = std::fs::read_to_string(&script).unwrap();
        let fetches = ["sample_image", "squeezenet1_1", "efficientnet_lite0"].iter().any(|w| source.contains(w));
        if fetches && !set("CONVSCOPE_TEST_FETCH") {
            eprintln!("skipped: {name} fetches a net or photos; CONVSCOPE_TEST_FETCH=1 runs it");
            continue;
        }
        if SLOW.contains(&name.as_str()) && !set("CONVSCOPE_SLOW") {
            eprintln!("skipped: {name} is slow; CONVSCOPE_SLOW=1 runs it");
            continue;
        }
        let folder = out.path().join(&name);
        let run = Command::new(env!("CARGO_BIN_EXE_convscope"))
            .args(["run", "--quiet", "--out"])
            .arg(&folder)
            .arg(&script)
            .output()
            .unwrap();
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(
            report.contains("Content-Security-Policy") && !report.contains("src=\"http"),
            "{name}: the report loads something"
        );
        assert!(folder.join("run.json").is_file(), "{name}: no manifest");
    }
}

#[test]
fn every_probe_is_shown_by_a_script() {
    let sources: String = scripts().iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    for entry in convscope::probes::catalog() {
        let name = entry.name();
        assert!(sources.contains(&format!("{name}(")), "no script shows `{name}`");
    }
}
