//! Where a stranger's script, bundle or folder has files put, what it has started, and what it tells the terminal.

use super::{Bench, ended};
use std::path::Path;

#[test]
fn a_bundle_named_by_dots_writes_to_the_folder_for_outputs() {
    let bench = Bench::new("save(tensor([2.0]), \"victim.npy\");\n");
    std::fs::rename(bench.path("own/s.rhai"), bench.path("own/...rhai")).unwrap();
    let (code, _, err) = bench.run(&["bundle", "./...rhai", "-o", "../s.zip"]);
    assert_eq!(code, 0, "{err}");
    bench.file("else/victim.npy", "mine");
    bench.file("else/report.html", "mine");
    let program = env!("CARGO_BIN_EXE_convscope");
    let (code, _, err) = ended(bench.command(program, &["run", "../s.zip"]).current_dir(bench.path("else")));
    assert_eq!(code, 0, "{err}");
    for kept in ["victim.npy", "report.html"] {
        assert_eq!(std::fs::read_to_string(bench.path("else").join(kept)).unwrap(), "mine");
    }
    assert!(bench.path("else/convscope-out/script/victim.npy").is_file());
}

#[cfg(unix)]
#[test]
fn no_link_in_a_folder_leads_its_outputs_elsewhere() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new("save(tensor([1.0]), \"deep/x.npy\");\n");
    let refused = |arguments: &[&str]| {
        let (code, _, err) = bench.run(arguments);
        assert!(code != 0 && err.contains("link") && err.contains("--out DIR"), "{arguments:?}: {code} {err}");
        let put = std::fs::read_dir(bench.path("victim")).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(put.count(), 0, "{arguments:?}");
    };
    std::fs::create_dir(bench.path("victim")).unwrap();
    symlink("../victim", bench.path("own/convscope-out")).unwrap();
    refused(&["run", "--sealed", "s.rhai"]);
    refused(&["lock", "s.rhai"]);
    std::fs::remove_file(bench.path("own/convscope-out")).unwrap();
    std::fs::create_dir(bench.path("own/convscope-out")).unwrap();
    symlink("../../victim", bench.path("own/convscope-out/s")).unwrap();
    refused(&["run", "--sealed", "s.rhai"]);
    refused(&["lock", "s.rhai"]);
    std::fs::remove_file(bench.path("own/convscope-out/s")).unwrap();
    std::fs::create_dir(bench.path("own/convscope-out/s")).unwrap();
    symlink("../../../victim", bench.path("own/convscope-out/s/deep")).unwrap();
    refused(&["lock", "s.rhai"]);
    let (code, _, err) = bench.run(&["run", "--sealed", "s.rhai"]);
    assert!(code == 1 && err.contains("lies outside of the folder that a sealed run may write to"), "{err}");
    // A link of one's own is named, and the link that a lock would be is replaced, not followed.
    std::fs::remove_dir_all(bench.path("own/convscope-out")).unwrap();
    symlink("../victim", bench.path("own/convscope-out")).unwrap();
    bench.file("precious", "mine");
    let _ = std::fs::remove_file(bench.path("own/s.lock.json"));
    symlink("../precious", bench.path("own/s.lock.json")).unwrap();
    let (code, _, err) = bench.run(&["lock", "s.rhai", "--out", "convscope-out/s"]);
    assert_eq!(code, 0, "{err}");
    assert!(bench.path("victim/s/deep/x.npy").is_file());
    assert_eq!(std::fs::read_to_string(bench.path("precious")).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn a_folder_brings_no_module_to_the_python_that_fetches() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new("load_model(\"squeezenet1_1\");\n");
    bench.file("bin/python3", &format!("#!/bin/sh\npwd -P >> {}\nls >> {0}\nexit 1\n", bench.path("told").display()));
    std::fs::set_permissions(bench.path("bin/python3"), std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.file("own/pip/__init__.py", "");
    let program = env!("CARGO_BIN_EXE_convscope");
    for arguments in [&["run", "s.rhai"][..], &["run", "--sealed", "s.rhai"], &["lock", "s.rhai"]] {
        let path = format!("{}:{}", bench.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = bench.command(program, arguments);
        let (code, _, err) = ended(command.env("PATH", path).env("CONVSCOPE_CACHE", "kept"));
        assert!(code == 1 && err.contains("squeezenet1_1"), "{err}");
        let told = std::fs::read_to_string(bench.path("told")).unwrap();
        // Python's working folder holds nothing, whatever the script's folder holds.
        let [folder] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
        assert!(Path::new(folder) != bench.path("own"), "{told}");
        std::fs::remove_file(bench.path("told")).unwrap();
    }
}

#[test]
fn a_terminal_obeys_nothing_that_a_stranger_prints() {
    let bench = Bench::new(
        "print(\"\\x1b]0;x\\x07\"); debug(\"\\x1b[2J\"); show(\"\\x1b[8m\"); throw \"\\x1b]52;c;eA==\\x07\";\n",
    );
    for arguments in [&["run", "--sealed", "s.rhai"][..], &["run", "--sealed", "s.rhai", "--json"], &["lock", "s.rhai"]]
    {
        let (code, out, err) = bench.run(arguments);
        assert!(code == 1 && err.contains("\\u{1b}]52;c"), "{err}");
        for text in [&out, &err] {
            assert!(!text.contains(['\x1b', '\x07']), "{text}");
        }
    }
    // One's own script may colour what it prints.
    assert!(bench.run(&["run", "s.rhai"]).1.contains("\x1b]0;x\x07"));
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_outputs_holds_nothing_up() {
    let bench = Bench::new("print(1);\n");
    assert_eq!(bench.run(&["lock", "s.rhai"]).0, 0);
    let report = bench.path("own/convscope-out/s/report.html");
    std::fs::remove_file(&report).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&report).status().unwrap().success());
    let (code, out, err) = bench.run(&["verify", "s.lock.json"]);
    assert!(code == 0 && out.starts_with("same: "), "{code} {out} {err}");
}

#[cfg(unix)]
#[test]
fn a_link_that_turns_while_the_script_runs_leads_nowhere_else() {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    let script = "let read = 0; let told = 0;
        for i in 0..4000 { try { if load_tensor(\"d/secret.npy\")[0] != 1.0 { told += 1; } read += 1; } catch (e) {} }
        print(`${read > 0} ${told}`);";
    let bench = Bench::new(script);
    for (place, value) in [("own/real", 1.0), ("out", 777.0)] {
        std::fs::create_dir_all(bench.path(place)).unwrap();
        let code = format!("save(tensor([{value:?}]), \"../{place}/secret.npy\")");
        assert_eq!(bench.run(&["eval", &code]).0, 0);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Turned in one step, so that it is always there.
            for i in 0.. {
                symlink(["real", "../out"][i % 2], bench.path("own/new")).unwrap();
                std::fs::rename(bench.path("own/new"), bench.path("own/d")).unwrap();
                if done.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let ran = ["kernel", "engine"].map(|seal| {
            let mut command = bench.command(env!("CARGO_BIN_EXE_convscope"), &["run", "--sealed", "s.rhai"]);
            ended(command.env("CONVSCOPE_SEAL", seal))
        });
        done.store(true, Ordering::SeqCst);
        for (code, out, err) in ran {
            // Where the link leads out when the inputs are written down, the run says so.
            let ends_well = code == 0 || code == 1 && err.contains("lies outside of what a sealed run may read");
            assert!(ends_well && out.starts_with("true 0\n"), "{code} {out} {err}");
        }
    });
}
