//! Files that use each other: a crate's files form no circle of more than two. What such a circle shares lies in a file of its own.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path inside its crate; the crate's root is empty.
type Module = Vec<String>;

/// The code of a crate's files by module, without tests and comments.
fn modules(src: &Path) -> BTreeMap<Module, String> {
    fn walk(folder: &Path, above: &[String], found: &mut BTreeMap<Module, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let module = [above, std::slice::from_ref(&name)].concat();
            if path.is_dir() {
                // The kernel mounts the files of the crate that evcxr is given beside its own.
                let module = if name == "bridge" { above.to_vec() } else { module };
                walk(&path, &module, found);
            } else if path.extension().is_some_and(|e| e == "rs") && name != "tests" {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let code: Vec<&str> = code.lines().map(|l| l.split("//").next().unwrap_or_default()).collect();
                let module = if ["mod", "main"].contains(&name.as_str()) || name == "lib" && above.is_empty() {
                    above.to_vec()
                } else {
                    module
                };
                found.insert(module, code.join("\n"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(src, &[], &mut found);
    found
}

/// The paths of the trees in a `use`: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str, above: &[String], found: &mut Vec<Module>) {
    let words = |path: &str| -> Module {
        let path = path.split(" as ").next().unwrap_or_default();
        path.split("::").map(|w| w.trim().to_string()).filter(|w| !w.is_empty()).collect()
    };
    let Some(brace) = tree.find('{') else {
        found.push([above, &words(tree)].concat());
        return;
    };
    let above = [above, &words(&tree[..brace])].concat();
    let inside = &tree[brace + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (i, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inside[start..i].trim().is_empty() {
                    paths(&inside[start..i], &above, found);
                }
                start = i + 1;
            }
            _ => {}
        }
    }
}

/// The paths that a file uses, those that it exports under its own name, and the rest of its code.
fn uses(code: &str) -> (Vec<Module>, Vec<Module>, String) {
    let (mut own, mut exported, mut rest) = (Vec::new(), Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_public = words.len() > 1 && words[0].starts_with("pub") && words[1] == "use";
        if !is_public && words.first() != Some(&"use") {
            rest += line;
            rest.push('\n');
            continue;
        }
        let mut statement = line.to_string();
        while !statement.contains(';') {
            statement += lines.next().unwrap_or(";");
        }
        let tree = statement.split_once("use ").unwrap().1.split(';').next().unwrap_or_default();
        paths(tree, &[], if is_public { &mut exported } else { &mut own });
    }
    (own, exported, rest)
}

/// The paths from `crate` or `super` inside code.
fn inline(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let path: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
            found.push(path.split("::").filter(|w| !w.is_empty()).map(str::to_string).collect());
        }
    }
    found
}

/// The path from the crate's root; none where it leaves the crate.
fn absolute(path: &[String], from: &[String], files: &BTreeMap<Module, String>) -> Option<Module> {
    let first = path.first()?;
    match first.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([from, &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|w| *w == "super").count();
            Some([&from[..from.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ => files.contains_key(&[from, &path[..1]].concat()).then(|| [from, path].concat()),
    }
}

/// How many modules of the crate a path names.
fn depth(path: &[String], files: &BTreeMap<Module, String>) -> usize {
    (0..=path.len()).rev().find(|n| files.contains_key(&path[..*n])).unwrap_or(0)
}

/// Which files each file uses; what a file only exports again is looked for where it is.
fn edges(files: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let parsed: BTreeMap<&Module, _> = files.iter().map(|(module, code)| (module, uses(code))).collect();
    let mut exports = BTreeMap::new();
    for (module, (_, exported, _)) in &parsed {
        for path in exported {
            if let Some(to) = absolute(path, module, files)
                && let Some(name) = to.last()
            {
                exports.insert([&module[..], std::slice::from_ref(name)].concat(), to.clone());
            }
        }
    }
    let mut all = BTreeMap::new();
    for (module, (own, _, rest)) in &parsed {
        let mut to = BTreeSet::new();
        for path in own.iter().cloned().chain(inline(rest)) {
            let Some(mut path) = absolute(&path, module, files) else { continue };
            // An export may lead to another.
            for _ in 0..4 {
                let n = depth(&path, files);
                let Some(there) = path.get(..n + 1).and_then(|name| exports.get(name)) else { break };
                path = [&there[..], &path[n + 1..]].concat();
            }
            let used = path[..depth(&path, files)].to_vec();
            if used != **module && files.contains_key(&used) {
                to.insert(used);
            }
        }
        all.insert(*module, to);
    }
    all
}

#[test]
fn no_more_than_two_files_use_each_other() {
    let mut wrong = String::new();
    for name in ["nn", "engine", "dsl", "kernel", "lsp", "web"] {
        let files = modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("src"));
        assert!(files.len() > 3, "{name}: {} files", files.len());
        let edges = edges(&files);
        let reached = |from: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(module) = open.pop() {
                open.extend(edges[module].iter().filter(|to| seen.insert((*to).clone())));
            }
            seen
        };
        let reach: BTreeMap<&Module, BTreeSet<Module>> = files.keys().map(|module| (module, reached(module))).collect();
        let mut told = BTreeSet::new();
        for module in files.keys() {
            let circle: BTreeSet<&Module> = reach[module].iter().filter(|to| reach[to].contains(module)).collect();
            if circle.len() > 2 && told.insert(circle.clone()) {
                let files: Vec<String> = circle.iter().map(|m| m.join("::")).collect();
                wrong += &format!("{name}: {} files use each other: {}\n", files.len(), files.join(", "));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
