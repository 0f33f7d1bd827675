//! Programs that are killed at random moments: what they write is there whole or not at all, and what they acknowledged is kept.
//! Each command is killed 20 times, or as often as CONVSCOPE_KILLS says.
#![allow(clippy::unwrap_used)]

use convscope::data::{Image, load_tensor};
use convscope::random::Stream;
use convscope::run::{Lock, archive};
use convscope::show::sealed;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SCRIPT: &str = "
let net = load_model(\"shapes\");
let data = shapes(6);
for i in 0..6 {
    show(gradient().run(net, data[i]));
    save(data[i], `images/${i}.png`);
    save(gradient().run(net, data[i]), `maps/${i}.npy`);
}
";

fn times() -> u64 {
    std::env::var("CONVSCOPE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// Starts the command `times()` times and kills it at a random moment of its work; `whole` looks at what is left each time.
fn killed(arguments: &[&str], whole: impl Fn(&Path) -> bool) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("s.rhai"), SCRIPT).unwrap();
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        command.args(arguments).current_dir(folder.path()).env("CONVSCOPE_CACHE", folder.path().join("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    // How long it takes with a warm cache, from which the moments are drawn.
    let took = || {
        let begun = Instant::now();
        assert!(command().status().unwrap().success());
        begun.elapsed()
    };
    let most = (0..4).map(|_| took()).min().unwrap();
    assert!(whole(folder.path()), "{arguments:?} left nothing");
    // What had ended before it was killed does not count.
    let (mut ends, mut left) = (0, 0);
    for i in 0..3 * times() {
        if i - ends >= times() {
            break;
        }
        for name in ["s.lock.json", "s.zip", "convscope-out"] {
            let path = folder.path().join(name);
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
        let moment = most.mul_f64(Stream::new(i, arguments[0]).next_uniform());
        let mut child = command().spawn().unwrap();
        std::thread::sleep(moment);
        let _ = child.kill();
        ends += u64::from(child.wait().unwrap().success());
        left += u64::from(whole(folder.path()));
    }
    // What the killed ones were writing goes when the same folders are written to again, once it is old enough.
    let before = unfinished(folder.path());
    for path in &before {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(90)).unwrap();
    }
    assert!(command().status().unwrap().success());
    assert!(unfinished(folder.path()).is_empty(), "{before:?}");
    println!("{arguments:?}: {} kills at work, {ends} came after the end, {left} times all was there", times());
}

/// The files below a folder that were not finished.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(unfinished(&path)),
            false if path.file_name().unwrap().to_string_lossy().starts_with(".convscope-") => found.push(path),
            false => {}
        }
    }
    found
}

/// All files below a folder, but for those that were not finished, which no reader takes for what they become.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if name.starts_with(".convscope-") => {}
            false => found.push(path),
        }
    }
    found
}

/// Whether a run's folder holds its report; all files in it are whole.
fn outputs(folder: &Path) -> bool {
    let out = folder.join("convscope-out/s");
    for path in files(&out) {
        let name = path.display().to_string();
        match path.extension().unwrap().to_str().unwrap() {
            "png" => assert!(Image::open(&path).is_ok(), "{name}"),
            "npy" => assert!(load_tensor(&path).is_ok(), "{name}"),
            "html" => assert!(sealed::read(&std::fs::read(&path).unwrap()).is_ok(), "{name}"),
            "json" => {
                assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap()).is_ok(), "{name}")
            }
            _ => panic!("{name}"),
        }
    }
    out.join("report.html").is_file()
}

fn locked(folder: &Path) -> bool {
    let path = folder.join("s.lock.json");
    outputs(folder);
    path.exists() && Lock::open(&path).map(|_| true).unwrap()
}

#[test]
fn a_run_leaves_whole_files() {
    killed(&["run", "s.rhai"], outputs);
    killed(&["run", "--sealed", "s.rhai"], outputs);
}

#[test]
fn a_lock_is_there_whole_or_not_at_all() {
    killed(&["lock", "s.rhai"], locked);
}

#[test]
fn a_bundle_is_there_whole_or_not_at_all() {
    killed(&["bundle", "s.rhai"], |folder| {
        locked(folder);
        let path = folder.join("s.zip");
        path.exists() && archive::read(&std::fs::read(path).unwrap()).map(|_| true).unwrap()
    });
}

/// Waits a random time, up to `most`.
pub fn random_pause(i: u64, what: &str, most: Duration) {
    std::thread::sleep(most.mul_f64(Stream::new(i, what).next_uniform()));
}
