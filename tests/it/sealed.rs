//! Runs of what others send: a bundle that tries to get out of its folder is stopped at each step, honest scripts are one flag
//! away from what they need, and nothing in a lock leads out of where it lies.
#![allow(clippy::unwrap_used)]

mod places;
#[cfg(target_os = "linux")]
mod signals;

use convscope::run::{InputFile, Lock, archive};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What is kept from the script, with words that no message may hold.
const SECRET: &str = "xyzzy plugh";

/// A script that tries to get at what is not its own, by every way that there is; `OUT` is a folder beside its own.
const HOSTILE: &str = r#"
let ways = #{
    absolute: || load_tensor("OUT/secret.npy"),
    image: || load_image("/etc/hostname"),
    above: || load_image("../out/secret.png"),
    table: || load_images("../out/secret.csv"),
    folder: || load_images("../out"),
    pattern: || load_images("../out/*.png"),
    winding: || load_images("*/../../out/*.png"),
    deep: || load_images("OUT/**"),
    net: || load_model("OUT/secret.onnx"),
    weights: || load_model("squeezenet1_1", #{ weights: "OUT/secret.pth" }),
    labels: || load_model("shapes", #{ labels: "OUT/secret.csv" }),
    people: || compare_with_humans(#{ labels: "OUT/secret.csv" }),
    imported: || { import "../out/secret" as m; m::x },
    host: || { import "/etc/hostname" as m; m::x },
    hub: || load_model("hf:x/y"),
    saved: || save(tensor([1.0]), "../out/new.npy"),
    placed: || save(tensor([1.0]), "OUT/new.npy"),
};
for way in ways.keys() {
    try {
        ways[way].call();
        print(`${way}: DONE`);
    } catch (e) {
        print(`${way}: ${e}`);
    }
}
"#;

/// The script's folder `own` beside the folder `out`, which holds what it must not have.
struct Bench {
    root: TempDir,
}

impl Bench {
    fn new(script: &str) -> Self {
        let bench = Bench { root: tempfile::tempdir().unwrap() };
        for name in ["secret.csv", "secret.rhai", "secret.npy", "secret.pth", "secret.onnx"] {
            bench.file(&format!("out/{name}"), SECRET);
        }
        bench.file("own/s.rhai", &script.replace("OUT", bench.path("out").to_str().unwrap()));
        let code = "save(shapes(#{ n: 1, seed: 3 })[0], \"../out/secret.png\")";
        assert_eq!(bench.run(&["eval", code]).0, 0);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path("own"));
        for name in ["CONVSCOPE_CACHE", "HF_HOME", "HOME"] {
            command.env(name, self.path(name));
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        ended(&mut self.command(env!("CARGO_BIN_EXE_convscope"), arguments))
    }

    /// The lock beside the script, changed by someone who knows how locks are sealed.
    fn forge(&self, change: impl FnOnce(&mut Lock)) {
        let path = self.path("own/s.lock.json");
        let mut lock = Lock::open(&path).unwrap();
        change(&mut lock);
        std::fs::write(path, lock.text().unwrap()).unwrap();
    }
}

fn ended(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Every way of [`HOSTILE`] was refused, and none of what is kept was told.
fn all_refused(told: &str) {
    let lines: Vec<&str> = told.lines().filter(|l| l.contains(": ")).collect();
    assert_eq!(lines.len(), HOSTILE.matches("|| ").count(), "{told}");
    for line in lines {
        let why = ["lies outside of", "lies outside the folder", "a sealed run has no network"];
        assert!(why.iter().any(|why| line.contains(why)), "{line}");
    }
    assert!(!told.contains("xyzzy") && !told.contains("DONE"), "{told}");
    if let Ok(host) = std::fs::read_to_string("/etc/hostname")
        && host.trim().len() > 3
    {
        assert!(!told.contains(host.trim()), "{told}");
    }
}

#[test]
fn a_hostile_bundle_is_stopped_at_each_step() {
    let bench = Bench::new(HOSTILE);
    let (code, _, err) = bench.run(&["bundle", "s.rhai", "-o", "../s.zip"]);
    assert_eq!(code, 0, "{err}");
    let lock = Lock::open(&bench.path("own/s.lock.json")).unwrap();
    let [asked] = &lock.hub[..] else { panic!("{:?}", lock.hub) };
    assert!(asked.spec == "hf:x/y" && !asked.given);
    std::fs::remove_dir_all(bench.path("own")).unwrap();
    std::fs::create_dir(bench.path("own")).unwrap();

    let (code, out, err) = bench.run(&["run", "../s.zip"]);
    assert!(code == 0 && err.starts_with("sealed by the engine"), "{code} {out} {err}");
    all_refused(&out);
    let report = std::fs::read_to_string(bench.path("own/convscope-out/s/report.html")).unwrap();
    assert!(!report.contains("xyzzy"));
    // The same rules hold in the engine where the kernel lends no hand.
    let program = env!("CARGO_BIN_EXE_convscope");
    let (code, out, err) = ended(bench.command(program, &["run", "../s.zip"]).env("CONVSCOPE_SEAL", "engine"));
    assert!(code == 0 && err.starts_with("sealed by the engine alone"), "{code} {err}");
    all_refused(&out);
    let (code, out, err) = bench.run(&["verify", "../s.zip"]);
    assert!(code == 0 && out.starts_with("same: "), "{code} {out} {err}");
    let outside: Vec<_> = std::fs::read_dir(bench.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 6, "{outside:?}");
    // Unsealed it is as if one had written it.
    let (_, out, _) = bench.run(&["run", "../s.zip", "--unsealed"]);
    assert!(out.contains("saved: DONE"), "{out}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_tracer_sees_no_open_outside_after_the_seal() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("there is no strace here");
        return;
    }
    let bench = Bench::new(HOSTILE);
    let (code, _, err) = bench.run(&["bundle", "s.rhai", "-o", "../s.zip"]);
    assert_eq!(code, 0, "{err}");
    let log = bench.path("trace");
    let program = env!("CARGO_BIN_EXE_convscope");
    let (log, trace) = (log.to_str().unwrap(), "trace=file,network,process,landlock_restrict_self");
    let arguments = ["-f", "-y", "-s", "400", "-e", trace, "-o", log, program, "run", "../s.zip"];
    let (code, out, err) = ended(&mut bench.command("strace", &arguments));
    if !err.contains("by the kernel") {
        eprintln!("the kernel seals nothing here: {err}");
        return;
    }
    assert_eq!(code, 0, "{err}");
    all_refused(&out);
    let trace = std::fs::read_to_string(log).unwrap();
    let sealed_at = trace.lines().position(|l| l.contains("landlock_restrict_self") && l.ends_with("= 0")).unwrap();
    let pid = |line: &str| line.split_whitespace().next().unwrap().to_string();
    // A call's name and what came of it, also where another thread's calls stand between the two.
    let called = |line: &str| {
        let (call, result) = line.rsplit_once(" = ")?;
        let name = match call.split_once("<... ") {
            Some((_, resumed)) => resumed.split(' ').next()?,
            None => call.split('(').next()?.rsplit(' ').next()?,
        };
        Some((name.to_string(), result.to_string()))
    };
    let mut sealed = vec![pid(trace.lines().nth(sealed_at).unwrap())];
    for line in trace.lines().skip(sealed_at).filter(|line| !line.contains("+++")) {
        if let Some((name, result)) = called(line)
            && sealed.contains(&pid(line))
            && name.starts_with("clone")
            && !result.starts_with('-')
        {
            sealed.push(result.trim().to_string());
        }
    }
    let allowed = [bench.path("own/convscope-out/s"), bench.path("CONVSCOPE_CACHE"), PathBuf::from("/proc/")];
    let unpacked = std::env::temp_dir().canonicalize().unwrap().join("convscope-");
    let mut opened = 0;
    for line in trace.lines().skip(sealed_at).filter(|line| sealed.contains(&pid(line))) {
        let Some((name, result)) = called(line) else { continue };
        if result.starts_with('-') {
            continue;
        }
        match name.as_str() {
            "socket" | "connect" | "execve" | "fork" | "vfork" | "bind" => panic!("{line}"),
            "open" | "openat" | "creat" => {
                let path = result.split_once('<').unwrap().1.trim_end_matches('>');
                let within = allowed.iter().any(|a| Path::new(path).starts_with(a));
                let known = path.starts_with(unpacked.to_str().unwrap()) || path.starts_with("/sys/fs/cgroup");
                assert!(within || known, "{line}");
                opened += 1;
            }
            _ => {}
        }
    }
    assert!(opened > 0 && sealed.len() > 1, "{} threads, {opened} files", sealed.len());
}

#[cfg(unix)]
#[test]
fn links_lead_out_of_no_folder() {
    let bench = Bench::new(
        "for from in [\"link.png\", \"up/secret.png\", \"up/*.png\", \"u*/secret.png\", \"up\", \"*\"] {
            try { print(`${from}: ${load_images(from).len()} ${load_images(from)[0].width}`) } catch (e) { print(`${from}: ${e}`) }
        }",
    );
    std::os::unix::fs::symlink("../out/secret.png", bench.path("own/link.png")).unwrap();
    std::os::unix::fs::symlink("../out", bench.path("own/up")).unwrap();
    for seal in ["engine", "kernel"] {
        let program = env!("CARGO_BIN_EXE_convscope");
        let (code, out, err) =
            ended(bench.command(program, &["run", "s.rhai", "--sealed"]).env("CONVSCOPE_SEAL", seal));
        assert_eq!(code, 0, "{err}");
        assert_eq!(out.matches("lies outside of what a sealed run may read").count(), 6, "{seal}: {out}");
    }
    let (code, out, _) = bench.run(&["run", "s.rhai", "--sealed", "--input", "../out"]);
    assert!(code == 0 && !out.contains("lies outside"), "{out}");
}

#[test]
fn the_error_prints_the_line_that_declares_an_input() {
    let bench = Bench::new("let image = load_image(\"../out/secret.png\");\nprint(image.width);\n");
    let (code, _, err) = bench.run(&["lock", "s.rhai"]);
    assert!(code == 1 && err.contains("`../out/secret.png` lies outside of what a sealed run may read"), "{err}");
    let line = err.split("declare it: convscope ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(line, "lock s.rhai --input ../out/secret.png");
    let (code, _, err) = bench.run(&line.split(' ').collect::<Vec<_>>());
    assert!(code == 0 && err.contains("sealed by the engine"), "{err}");
    let (code, _, err) = bench.run(&["verify", "s.lock.json"]);
    assert!(code == 1 && err.contains("convscope verify s.lock.json --input ../out/secret.png"), "{code} {err}");
    let (code, out, err) = bench.run(&["verify", "s.lock.json", "--input", "../out/secret.png"]);
    assert_eq!(code, 0, "{out} {err}");
    let (code, _, err) = bench.run(&["run", "s.rhai", "--input", "../out"]);
    assert!(code == 1 && err.contains("give `--sealed`, too"), "{err}");
}

#[test]
fn nothing_in_a_lock_leads_out_of_its_folder() {
    let bench = Bench::new("print(1);\n");
    assert_eq!(bench.run(&["lock", "s.rhai"]).0, 0);
    let whole = std::fs::read(bench.path("own/s.lock.json")).unwrap();
    let mend = || std::fs::write(bench.path("own/s.lock.json"), &whole).unwrap();
    for script in ["../out/secret.rhai", "/etc/hostname", "..", ""] {
        bench.forge(|lock| lock.script.as_mut().unwrap().path = script.into());
        let (code, _, err) = bench.run(&["verify", "s.lock.json"]);
        assert!(code == 14 && err.contains("is no file's name") && !err.contains("xyzzy"), "{script}: {code} {err}");
        mend();
    }
    for path in ["../out/secret.csv", "/etc/hostname"] {
        let input = InputFile { path: path.into(), blake3: "0".repeat(64), bytes: 1, content: None, license: None };
        bench.forge(|lock| lock.inputs.push(input));
        let (code, out, err) = bench.run(&["verify", "s.lock.json"]);
        assert!(code == 1 && err.contains("lies outside of what a sealed run may read"), "{path}: {code} {out} {err}");
        assert!(!err.contains("BLAKE3"), "{err}");
        mend();
    }
    bench.forge(|lock| lock.outputs[0].name = "../../out/secret.csv".into());
    let (code, _, err) = bench.run(&["verify", "s.lock.json"]);
    assert!(code == 14 && !err.contains("xyzzy"), "{code} {err}");
}

#[test]
fn a_report_runs_with_its_inputs_and_nothing_else() {
    let bench = Bench::new(
        "print(load_images(\"data/*.png\").len());\ntry { load_image(\"other.png\") } catch (e) { print(e) }\n",
    );
    let code =
        "let d = shapes(#{ n: 2 }); save(d[0], \"data/a.png\"); save(d[1], \"data/b.png\"); save(d[0], \"new.png\")";
    assert_eq!(bench.run(&["eval", code]).0, 0);
    assert_eq!(bench.run(&["run", "s.rhai", "--quiet"]).0, 0);
    std::fs::rename(bench.path("own/new.png"), bench.path("own/other.png")).unwrap();
    let (code, out, err) = bench.run(&["run", "convscope-out/s/report.html", "--out", "again"]);
    assert!(code == 0 && out.starts_with("2\n") && out.contains("no such file"), "{code} {out} {err}");
    assert!(bench.path("own/again/report.html").is_file());
    let (code, out, err) = bench.run(&["verify", "convscope-out/s/report.html"]);
    assert_eq!(code, 0, "{out} {err}");
}

#[test]
fn nothing_is_fetched_that_is_not_allowed() {
    let bench = Bench::new("load_model(\"squeezenet1_1\");\n");
    for arguments in [
        &["run", "s.rhai", "--offline"][..],
        &["lock", "s.rhai", "--offline"],
        &["run", "s.rhai", "--sealed", "--offline"],
    ] {
        let (code, _, err) = bench.run(arguments);
        assert!(code == 1 && err.contains("`--offline` forbids to fetch it"), "{arguments:?}: {err}");
        assert!(err.contains("convscope fetch squeezenet1_1"), "{err}");
    }
    bench.file("own/s.rhai", "load_model(\"hf:x/y\");\n");
    let (code, _, err) = bench.run(&["lock", "s.rhai"]);
    assert!(code == 1 && err.contains("if you trust it: convscope lock s.rhai --allow-fetch"), "{err}");
    let program = env!("CARGO_BIN_EXE_convscope");
    let mut allowed = bench.command(program, &["run", "--sealed", "s.rhai", "--allow-fetch"]);
    // The parent asks a Hub that is not there.
    let (code, _, err) = ended(allowed.env("HF_ENDPOINT", "http://127.0.0.1:9"));
    assert!(code == 1 && err.contains("cannot be reached"), "{err}");
}

#[test]
fn a_sealed_script_asks_the_person_through_the_process_that_started_it() {
    use std::io::Write;
    use std::process::Stdio;
    let bench = Bench::new("print(`hello ${input(\"who? \")}`);\n");
    let mut command = bench.command(env!("CARGO_BIN_EXE_convscope"), &["run", "--sealed", "s.rhai", "--json"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"you\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && err.contains("hello you"), "{err}");
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["complete"].as_bool().unwrap());
}

#[test]
fn rust_cells_start_nothing_where_a_notebook_is_run_as_a_script() {
    let bench = Bench::new("print(1);\n");
    let cell = |source: &str| serde_json::json!({ "cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": null });
    let rust = format!("%%rust\nstd::fs::write(\"{}\", \"x\").unwrap();", bench.path("out/new").display());
    let notebook = serde_json::json!({ "cells": [cell(&rust)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5 });
    bench.file("own/n.ipynb", &notebook.to_string());
    for arguments in [&["run", "n.ipynb"][..], &["run", "--sealed", "n.ipynb"], &["lock", "n.ipynb"]] {
        let (code, _, err) = bench.run(arguments);
        assert!(code == 1 && err.contains("error: "), "{arguments:?}: {code} {err}");
        assert!(!bench.path("out/new").exists());
    }
}

#[test]
fn what_is_packed_in_a_bundle_has_plain_names() {
    for name in ["../x", "/x", "a/../../x", "a\\..\\x"] {
        let files = [(name.to_string(), b"x".to_vec())].into();
        let bytes = archive::write(&files);
        assert!(bytes.is_err() || archive::read(&bytes.unwrap()).is_err(), "{name}");
    }
}
