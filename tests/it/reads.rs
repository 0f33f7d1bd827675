//! Each input is opened once a run: what the record of a run says of a file was noted while the script read it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::Command;
use tempfile::TempDir;

const SCRIPT: &str = "
let photo = load_image(\"photo.png\");
let photos = load_images(\"photos\");
for i in 0..photos.len() { print(photos[i].width); }
print(load_tensor(\"t.npy\").shape);
print(photo.width);
";

/// How often the program opens each of the files that the script reads.
fn opens(folder: &TempDir, arguments: &[&str]) -> Option<BTreeMap<String, usize>> {
    let log = folder.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "400", "-e", "trace=openat,open", "-o"]).arg(&log).arg(env!("CARGO_BIN_EXE_convscope"));
    let output = command.args(arguments).current_dir(folder.path()).output().ok()?;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let trace = std::fs::read_to_string(log).unwrap();
    let names = ["photo.png", "a.png", "b.png", "c.png", "t.npy"];
    let opened = |name: &str| {
        let ends = format!("/{name}\"");
        let whole = format!("\"{name}\"");
        let is = |line: &&str| (line.contains(&ends) || line.contains(&whole)) && line.contains("O_RDONLY");
        trace.lines().filter(is).count()
    };
    Some(names.iter().map(|name| (name.to_string(), opened(name))).collect())
}

#[test]
fn an_input_is_opened_once_a_run() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("there is no strace here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.rhai"), SCRIPT).unwrap();
    let code = "let d = shapes(#{ n: 4 }); save(d[0], \"photo.png\"); save(d[1], \"photos/a.png\"); \
                save(d[2], \"photos/b.png\"); save(d[3], \"photos/c.png\"); save(tensor([1.0, 2.0]), \"t.npy\")";
    let made = Command::new(env!("CARGO_BIN_EXE_convscope")).args(["eval", code]).current_dir(folder.path()).status();
    assert!(made.unwrap().success());
    // A lock is made of two runs; before a run is judged, its inputs are compared with the lock.
    for (arguments, times) in [
        (&["run", "s.rhai"][..], 1),
        (&["run", "--sealed", "s.rhai"], 1),
        (&["lock", "s.rhai"], 2),
        (&["verify", "s.lock.json"], 2),
    ] {
        let opened = opens(&folder, arguments).unwrap();
        assert!(opened.values().all(|n| *n == times), "{arguments:?}: {opened:?}");
    }
}
