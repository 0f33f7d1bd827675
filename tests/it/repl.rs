//! `convscope repl` fed by a pipe, and `convscope kernel install` in folders of its own.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the REPL writes to stdout and stderr when it is fed `lines`.
fn fed(lines: &str, options: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
    command.arg("repl").args(options).env("CONVSCOPE_DATA", folder.path()).current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn lines_share_a_session_and_wait_for_open_brackets() {
    let (out, err) = fed("let x = 20;\nfn twice(n) {\n    n * 2\n}\ntwice(x) + 2\nx;\n", &[]);
    assert_eq!((out.as_str(), err.as_str()), ("42\n", ""));
}

#[test]
fn errors_say_which_line_and_the_session_goes_on() {
    let (out, err) = fed("let x = 1;\nnope(x)\nx\n", &[]);
    assert_eq!(out, "1\n");
    assert!(err.starts_with("error: no function `nope`\n  [2]:1:1\n"), "{err}");
}

#[test]
fn commands_explain_list_and_quit() {
    let (out, err) =
        fed("let net = load_model(\"shapes\");\n?occlusion\nnet?\n:vars\n:help\n?zzz\n:quit\nprint(5)\n", &[]);
    for said in ["patch", "net: a net", "net: net", "Ctrl-D"] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(err.contains("no `zzz` is known"), "{err}");
    assert!(!out.ends_with("5\n"), "a line was run after the end");
}

#[test]
fn pictures_take_the_form_that_is_asked_for() {
    let code = "shapes(1)[0]\n";
    for (option, begins) in [("kitty", "\x1b_Ga=T,f=100"), ("iterm2", "\x1b]1337;File=inline=1"), ("sixel", "\x1bPq")] {
        let (out, _) = fed(code, &["--pictures", option]);
        assert!(out.starts_with(begins), "{option}: {:.60}", out);
    }
    assert!(fed(code, &["--pictures", "blocks"]).0.starts_with("image, 64"));
}

fn kernel(arguments: &[&str], data: &Path) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
    command.arg("kernel").args(arguments).env("JUPYTER_DATA_DIR", data).env_remove("JUPYTER_PATH");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_kernel_is_installed_and_uninstalled_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("Daten mit é");
    let (done, out, err) = kernel(&["install", "--user"], &data);
    let spec = data.join("kernels/convscope/kernel.json");
    assert!(done && err.is_empty() && spec.is_file(), "{err}");
    assert_eq!(out.trim_end(), spec.parent().unwrap().display().to_string());
    assert!(kernel(&["install", "--name", "Second"], &data).0 && data.join("kernels/second/logo-svg.svg").is_file());
    assert!(kernel(&["uninstall"], &data).0 && !spec.exists());
    let (done, _, err) = kernel(&["uninstall", "--user"], &data);
    assert!(!done && err.contains("no kernel `convscope`"), "{err}");
    let (done, _, err) = kernel(&["install", "--name", "a b"], &data);
    assert!(!done && err.contains("cannot be the name of a kernel"), "{err}");
    let prefix = folder.path().join("prefix");
    let (done, _, err) = kernel(&["install", "--prefix", prefix.to_str().unwrap()], &data);
    assert!(done && err.starts_with("note: Jupyter looks there only if"), "{err}");
    assert!(prefix.join("share/jupyter/kernels/convscope/logo-64x64.png").is_file());
}

#[test]
fn a_connection_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.json");
    std::fs::write(&file, "{}").unwrap();
    let (done, _, err) = kernel(&["start", "-f", file.to_str().unwrap()], folder.path());
    assert!(!done && err.contains("is no connection file"), "{err}");
}
