//! Signals: what ends the process that started a sealed run ends the run.

use super::Bench;
use std::path::Path;
use std::process::Command;

/// The processes that `parent` started and that are there.
fn children_of(parent: u32) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let mut after = stat.rsplit_once(") ").map_or("", |(_, after)| after).split(' ');
        after.next() != Some("Z") && after.next() == Some(&parent.to_string())
    };
    numbers.filter(is_child).collect()
}

fn send(signal: &str, id: u32) {
    Command::new("kill").args([signal, &id.to_string()]).status().unwrap();
}

/// Waits until it holds, a minute at most.
fn wait_for(what: impl Fn() -> bool) {
    for _ in 0..6000 {
        if what() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it does not come");
}

#[test]
fn a_signal_to_the_parent_ends_a_sealed_run_as_it_ends_another() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let bench = Bench::new("show(shapes(1)[0]); print(\"ready\"); while true {}");
    let program = env!("CARGO_BIN_EXE_convscope");
    for signal in ["-INT", "-TERM", "-HUP"] {
        for arguments in [&["run", "s.rhai"][..], &["run", "--sealed", "s.rhai"]] {
            let mut command = bench.command(program, arguments);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|l| l.unwrap() == "ready"));
            let started = children_of(child.id());
            assert_eq!(started.len(), arguments.len() - 2);
            send(signal, child.id());
            assert_eq!(child.wait().unwrap().code(), Some(130), "{signal} {arguments:?}");
            assert!(started.iter().all(|id| !Path::new(&format!("/proc/{id}")).exists()), "{signal} {arguments:?}");
            let manifest = std::fs::read(bench.path("own/convscope-out/s/run.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["complete"], false);
            std::fs::remove_dir_all(bench.path("own/convscope-out")).unwrap();
        }
    }
    // Whenever it comes, also before the other process can heed it.
    for (i, arguments) in
        [&["lock", "s.rhai"][..], &["bundle", "s.rhai"], &["diff", "s.rhai", "s.rhai"]].iter().enumerate()
    {
        let mut child = bench.command(program, arguments).stderr(Stdio::null()).spawn().unwrap();
        wait_for(|| !children_of(child.id()).is_empty());
        std::thread::sleep(std::time::Duration::from_millis(40 * i as u64));
        send("-TERM", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{arguments:?}");
        assert!(!bench.path("own/s.lock.json").exists());
    }
}

#[test]
fn a_sealed_run_ends_with_the_process_that_started_it() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let bench = Bench::new("print(\"ready\"); while true {}");
    let mut command = bench.command(env!("CARGO_BIN_EXE_convscope"), &["run", "--sealed", "s.rhai"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap() == "ready"));
    let [started] = children_of(child.id())[..] else { panic!() };
    child.kill().unwrap();
    child.wait().unwrap();
    let cmdline = || std::fs::read_to_string(format!("/proc/{started}/cmdline")).unwrap_or_default();
    wait_for(|| !cmdline().contains("s.rhai"));
}
