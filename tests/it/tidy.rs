//! The house rules that no lint holds: which crate may use which, what every file begins with, how long it may be.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of the workspace, sorted.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["nn", "engine", "dsl", "kernel", "web", "rust-cells", "src", "tests", "examples", "benches"] {
        let folder = root().join(folder);
        if folder.is_dir() {
            walk(&folder, &mut found);
        }
    }
    found.sort();
    found
}

/// The convscope crates that a manifest names as dependencies.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let section = text.split("\n[").find(|s| s.starts_with("dependencies]")).unwrap_or_default();
    section.lines().filter(|l| l.starts_with("convscope-")).map(|l| l.split('.').next().unwrap().to_string()).collect()
}

#[test]
fn dependencies_point_one_way() {
    assert!(dependencies("nn/Cargo.toml").is_empty());
    assert_eq!(dependencies("engine/Cargo.toml"), ["convscope-nn"]);
    assert_eq!(dependencies("dsl/Cargo.toml"), ["convscope-engine"]);
    let kernel = dependencies("kernel/Cargo.toml");
    assert!(kernel.iter().all(|d| d == "convscope-engine" || d == "convscope-dsl"), "{kernel:?}");
    assert_eq!(dependencies("web/Cargo.toml"), ["convscope-engine"]);
    for (folder, foreign) in [("engine", "rhai"), ("engine", "convscope_dsl"), ("dsl", "convscope_kernel")] {
        for file in sources().iter().filter(|p| p.starts_with(root().join(folder).join("src"))) {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(!text.contains(&format!("use {foreign}")), "{} uses {foreign}", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut wrong = String::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if !text.starts_with("//!") {
            wrong += &format!("{name} does not begin with `//!`\n");
        }
        let lines = text.lines().count();
        if lines > 800 {
            wrong += &format!("{name} has {lines} lines\n");
        }
        let later = ["TO", "DO"].concat();
        if text.contains(&later) || text.contains(&["FIX", "ME"].concat()) {
            wrong += &format!("{name} leaves work for later\n");
        }
        let folder = ["/wo", "rk/"].concat();
        if text.contains(&folder) {
            wrong += &format!("{name} names a machine's folder\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_vague_names() {
    for file in sources() {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let vague = ["utils", "util", "helpers", "helper", "manager", "misc", "common"];
        assert!(!vague.contains(&stem.as_str()), "{} says nothing of what is in it", file.display());
    }
}
