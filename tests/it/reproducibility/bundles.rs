//! Bundles: the same bytes each time, at home in an empty folder, and process run crates.

use super::Bench;
use convscope::run::archive;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn a_bundle_is_the_same_bytes_each_time_and_holds_in_an_empty_folder() {
    let bench = Bench::locked();
    for out in ["a.zip", "b.zip"] {
        let (code, _, err) = bench.run(&["bundle", "s.rhai", "-o", out]);
        assert_eq!(code, 0, "{err}");
    }
    assert_eq!(bench.read("a.zip"), bench.read("b.zip"));
    let files = archive::read(&bench.read("a.zip")).unwrap();
    for name in [
        "ro-crate-metadata.json",
        "files/s.rhai",
        "files/data/shape.png",
        "outputs/deep/map.npy",
        "outputs/report.html",
        "s.lock.json",
    ] {
        assert!(files.contains_key(name), "{name} is not among {:?}", files.keys());
    }
    let empty = Bench::new();
    empty.file("x.zip", bench.read("a.zip"));
    for threads in ["1", "3"] {
        let (code, out, err) = empty.run(&["verify", "x.zip", "--threads", threads]);
        assert!(code == 0 && out.starts_with("same"), "{err}");
    }
    let left: Vec<_> = std::fs::read_dir(empty.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "x.zip" || name == "cache"), "verify leaves nothing behind: {left:?}");
    // Every byte counts; the file that it belongs to is named where it belongs to one.
    let size = bench.read("a.zip").len();
    for at in [5, 11, 40, size / 3, size / 2, size - 300, size - 8] {
        let mend = empty.flip("x.zip", at);
        empty.expect("x.zip", 14, "");
        mend();
    }
    let find = |needle: &[u8]| bench.read("a.zip").windows(needle.len()).position(|w| w == needle).unwrap();
    let mend = empty.flip("x.zip", find(b"// A study.") + 4);
    let verdict = empty.expect("x.zip", 14, "x.zip");
    assert!(verdict["message"].as_str().unwrap().contains("files/s.rhai"), "{verdict:#}");
    mend();
    // Packed anew with a changed file, checksums and all.
    for (name, code, culprit) in [
        ("files/data/shape.png", 11, "data/shape.png"),
        ("files/s.rhai", 14, "files/s.rhai"),
        ("outputs/deep/map.npy", 14, "outputs/deep/map.npy"),
        ("outputs/arrays.safetensors", 14, "arrays.safetensors"),
        ("s.lock.json", 14, "s.lock.json"),
        ("bundle.json", 14, "bundle.json"),
        ("ro-crate-metadata.json", 14, "ro-crate-metadata.json"),
    ] {
        let mut changed = files.clone();
        let bytes = changed.get_mut(name).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        empty.file("y.zip", archive::write(&changed).unwrap());
        empty.expect("y.zip", code, culprit);
    }
    let mut more = files.clone();
    more.insert("files/more.txt".into(), b"x".to_vec());
    empty.file("y.zip", archive::write(&more).unwrap());
    empty.expect("y.zip", 14, "files/more.txt");
    let mut less = files;
    less.remove("files/parts/tools.rhai");
    empty.file("y.zip", archive::write(&less).unwrap());
    empty.expect("y.zip", 14, "files/parts/tools.rhai");
}

#[test]
fn large_and_licensed_inputs_are_named_and_found_again() {
    let bench = Bench::new();
    bench.file("work/s.rhai", "// /// convscope\n// [inputs]\n// \"../photos/a.png\" = { license = \"CC-BY-NC-4.0\", source = \"a museum\" }\n// ///\nprint(load_image(\"../photos/a.png\").size);\n");
    assert_eq!(bench.run(&["eval", "save(shapes(1)[0], \"photos/a.png\")"]).0, 0);
    assert_eq!(bench.run(&["lock", "work/s.rhai", "--input", "photos"]).0, 0);
    assert_eq!(bench.run(&["bundle", "work/s.rhai", "-o", "s.zip", "--input", "photos"]).0, 0);
    let files = archive::read(&bench.read("s.zip")).unwrap();
    assert!(
        files.contains_key("files/folder/s.rhai")
            && !files.keys().any(|k| k.ends_with(".png") && k.starts_with("files"))
    );
    let pointer: Value = serde_json::from_slice(&files["pointers/0.json"]).unwrap();
    assert_eq!((&pointer["path"], &pointer["source"]), (&Value::from("../photos/a.png"), &Value::from("a museum")));
    let empty = Bench::new();
    empty.file("s.zip", bench.read("s.zip"));
    empty.expect("s.zip", 11, "../photos/a.png");
    let folder = bench.path("photos");
    let (code, _, err) = empty.run(&["verify", "s.zip", "--inputs", folder.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
}

/// The Python of target/test-env, where it was made and has the validator.
fn validator() -> Option<PathBuf> {
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| PathBuf::from("target"), PathBuf::from);
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("test-env/bin/python");
    let has = Command::new(&python).args(["-c", "import rocrate_validator"]).output();
    has.ok().filter(|o| o.status.success()).map(|_| python)
}

#[test]
fn a_bundle_is_a_process_run_crate() {
    let Some(python) = validator() else {
        eprintln!("skipped: no rocrate-validator in target/test-env; tests/env/setup.sh installs it");
        return;
    };
    let bench = Bench::locked();
    assert_eq!(bench.run(&["bundle", "s.rhai", "-o", "s.zip"]).0, 0);
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env/check_crate.py");
    let checked = |zip: &str| {
        let output = Command::new(&python).arg(&check).arg(bench.path(zip)).output().unwrap();
        (
            output.status.success(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let (passed, said) = checked("s.zip");
    assert!(passed && said.contains("checks, passed"), "{said}");
    // The same crate with an action that no program did is refused, so the checks are real.
    let mut files = archive::read(&bench.read("s.zip")).unwrap();
    let metadata = String::from_utf8(files["ro-crate-metadata.json"].clone()).unwrap();
    files.insert("ro-crate-metadata.json".into(), metadata.replace("\"instrument\"", "\"tool\"").into_bytes());
    bench.file("wrong.zip", archive::write(&files).unwrap());
    let (passed, said) = checked("wrong.zip");
    assert!(!passed && said.contains("instrument"), "{said}");
}
