//! The house rules that no lint holds: which crate may use which, what every file begins with, how long it may be.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
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
    for folder in
        ["nn", "engine", "dsl", "kernel", "lsp", "web", "rust-cells", "cluster", "src", "tests", "examples", "benches"]
    {
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
    assert_eq!(dependencies("lsp/Cargo.toml"), ["convscope-engine", "convscope-dsl"]);
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
        let is_test = file.components().any(|c| c.as_os_str() == "tests");
        if lines > if is_test { 800 } else { 400 } {
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

/// All files and folders that are the project's, relative to its root.
fn paths() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == ".git" || name == "target" || name == "node_modules" {
                continue;
            }
            found.push(path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"));
            if path.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found
}

#[test]
fn the_architecture_names_what_is_there() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let all = paths();
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|n| !n.contains(['\n', ' ', ':', '('])).collect();
    let named: Vec<&str> = names.into_iter().filter(|n| n.contains('/') || n.ends_with(".rs")).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let wanted = name.trim_end_matches('/');
        let is = |path: &str| path == wanted || path.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('/'));
        let is_there = all.iter().any(|p| is(p) || p.strip_suffix(".rs").is_some_and(is));
        assert!(is_there, "ARCHITECTURE.md names `{name}`, which is nowhere");
    }
}

#[test]
fn no_vague_names() {
    for file in sources() {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let vague = ["utils", "util", "helpers", "helper", "manager", "misc", "common"];
        assert!(!vague.contains(&stem.as_str()), "{} says nothing of what is in it", file.display());
    }
}

/// Which room of a crate (a file or folder under `src`) may use which.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("nn", "atomic", &["error", "seal"]),
    ("nn", "digest", &["error", "regular", "tensor"]),
    ("nn", "graph", &["error", "limits", "tensor"]),
    ("nn", "image", &["atomic", "error", "limits", "random", "reads", "regular", "simd"]),
    ("nn", "kernels", &["graph", "simd", "tensor", "transcendental"]),
    ("nn", "model", &["digest", "error", "graph", "image", "kernels", "tensor"]),
    ("nn", "limits", &["error"]),
    ("nn", "pass", &["error", "graph", "kernels", "model", "tensor"]),
    ("nn", "random", &["simd"]),
    ("nn", "reads", &[]),
    ("nn", "regular", &["error", "limits", "reads", "seal"]),
    ("nn", "rules", &["error", "graph", "kernels", "model", "pass", "tensor"]),
    ("nn", "seal", &["error"]),
    ("nn", "simd", &["error"]),
    ("nn", "tensor", &["error", "simd", "transcendental"]),
    ("nn", "transcendental", &["simd"]),
    ("engine", "accumulators", &[]),
    ("engine", "ascent", &["data", "job", "subject"]),
    ("engine", "canonical", &[]),
    ("engine", "data", &["signal", "zipped"]),
    ("engine", "detect", &[]),
    ("engine", "embed", &["job", "stats"]),
    ("engine", "humans", &["data", "load", "params"]),
    (
        "engine",
        "inspect",
        &["accumulators", "data", "detect", "job", "predictions", "show", "stats", "stream", "subject"],
    ),
    ("engine", "job", &["data", "signal", "states"]),
    ("engine", "load", &["data", "detect", "seal", "shapes", "signal", "zipped"]),
    ("engine", "params", &["data", "subject"]),
    ("engine", "predictions", &["data"]),
    ("engine", "probe", &["job", "params", "show", "stream", "subject"]),
    (
        "engine",
        "probes",
        &[
            "accumulators",
            "ascent",
            "data",
            "detect",
            "embed",
            "humans",
            "inspect",
            "job",
            "load",
            "params",
            "predictions",
            "probe",
            "seal",
            "shapes",
            "show",
            "space",
            "stats",
            "stream",
            "subject",
        ],
    ),
    ("engine", "recordings", &["data", "params"]),
    ("engine", "run", &["canonical", "data", "load", "seal", "shapes", "show", "zipped"]),
    ("engine", "seal", &[]),
    ("engine", "shapes", &["data", "params"]),
    ("engine", "show", &["canonical", "data"]),
    ("engine", "signal", &[]),
    ("engine", "space", &["data", "embed", "params"]),
    ("engine", "states", &["accumulators"]),
    ("engine", "stats", &[]),
    ("engine", "stream", &["accumulators", "data", "job", "states"]),
    ("engine", "subject", &["data", "detect", "predictions"]),
    ("engine", "table", &["accumulators", "data", "params", "seal", "show", "signal"]),
    ("engine", "zipped", &[]),
];

/// The room of a file: the folder or file right under its crate's `src`.
fn room(file: &Path) -> String {
    let inside = file.components().skip_while(|c| c.as_os_str() != "src").nth(1).unwrap();
    Path::new(inside.as_os_str()).file_stem().unwrap().to_string_lossy().into_owned()
}

/// The names behind `crate::` in a source, tests and comments left out.
fn used(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines: String = code.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for part in lines.split("crate::").skip(1) {
        let word = |s: &str| s.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match part.strip_prefix('{') {
            Some(group) => names.extend(group.split('}').next().unwrap_or_default().split(',').map(word)),
            None => {
                names.insert(word(part));
            }
        }
    }
    names
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let mut wrong = String::new();
    for crates in ["nn", "engine"] {
        let src = root().join(crates).join("src");
        let rooms: BTreeSet<String> =
            std::fs::read_dir(&src).unwrap().map(|e| room(&e.unwrap().path())).filter(|r| r != "lib").collect();
        for file in sources().iter().filter(|f| f.starts_with(&src)) {
            let own = room(file.strip_prefix(root()).unwrap());
            let allowed = ARROWS.iter().find(|(c, r, _)| *c == crates && *r == own).map_or(&[][..], |(.., to)| to);
            for name in used(&std::fs::read_to_string(file).unwrap()) {
                if own != "lib" && name != own && rooms.contains(&name) && !allowed.contains(&name.as_str()) {
                    wrong += &format!("{} uses `{name}`, which `{own}` may not\n", file.display());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_rooms_have_no_circles() {
    let reach = |crates: &str, from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_string()]);
        while let Some(room) = open.pop() {
            for (_, _, to) in ARROWS.iter().filter(|(c, r, _)| *c == crates && *r == room) {
                open.extend(to.iter().filter(|t| seen.insert(t.to_string())).map(|t| t.to_string()));
            }
        }
        seen
    };
    for (crates, room, to) in ARROWS {
        for next in *to {
            assert!(!reach(crates, next).contains(*room), "{crates}: `{room}` and `{next}` use each other");
        }
    }
}
