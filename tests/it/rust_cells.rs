//! Cells in Rust in front of the strict front end: what crosses, what is printed, how errors look; then faults, after each
//! of which variables are there and the next cell runs. And the notebooks of examples/ in Rust, in evcxr's own kernel.
//!
//! `tests/env/setup.sh` installs `convscope-evcxr` and `evcxr_jupyter`; without them the tests say so and are skipped.
#![allow(clippy::unwrap_used)]

use crate::front_end::{Answer, FrontEnd};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn environment() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target).join("test-env")
}

/// A program that setup.sh installs, or nothing where it did not.
fn installed(name: &str) -> Option<PathBuf> {
    let program = environment().join("rust/bin").join(name);
    if program.is_file() {
        return Some(program);
    }
    eprintln!("skipped: run tests/env/setup.sh first, which installs {name}");
    None
}

/// A kernel that can run cells in Rust.
fn start() -> Option<FrontEnd> {
    let program = installed("convscope-evcxr")?;
    Some(FrontEnd::start_with(&[("CONVSCOPE_EVCXR", program.to_str().unwrap())]))
}

fn ok(front: &mut FrontEnd, code: &str) -> Answer {
    let answer = front.run(code);
    assert!(answer.is_ok(), "{code}: {}", answer.reply);
    answer
}

/// What a cell's error says, with its place and hint, without colours.
fn error(answer: &Answer) -> String {
    let told = answer.all("error")[0];
    let lines = told["traceback"].as_array().unwrap().iter().map(|l| l.as_str().unwrap());
    let mut text = lines.collect::<Vec<_>>().join("\n");
    for code in ["\x1b[0m", "\x1b[1;31m", "\x1b[36m", "\x1b[32m"] {
        text = text.replace(code, "");
    }
    text
}

fn fails(front: &mut FrontEnd, code: &str) -> String {
    let answer = front.run(code);
    assert_eq!(answer.reply["status"], "error", "{code}");
    error(&answer)
}

/// Interrupts a cell once it has printed that it is at work.
fn interrupted(front: &mut FrontEnd, code: &str) -> String {
    let header = front.send_cell(code);
    let mut seen = Vec::new();
    loop {
        let message = front.published();
        let at_work = message.kind == "stream";
        seen.push(message);
        if at_work {
            break;
        }
    }
    assert_eq!(front.control("interrupt_request", json!({})), json!({ "status": "ok" }));
    loop {
        let message = front.published();
        let idle = message.content["execution_state"] == "idle";
        seen.push(message);
        if idle {
            break;
        }
    }
    assert!(seen.iter().all(|m| m.parent == header));
    let reply = front.reply().content;
    assert_eq!(reply["ename"], "Interrupted", "{code}: {reply}");
    error(&Answer { reply, published: seen })
}

#[test]
fn an_absent_program_is_explained() {
    let mut front = FrontEnd::start_with(&[("CONVSCOPE_EVCXR", "/nowhere/convscope-evcxr")]);
    ok(&mut front, "let kept = 7;");
    let told = fails(&mut front, "%%rust\n1 + 1");
    assert!(told.contains("no program is") && told.contains("cargo install --locked --path rust-cells"), "{told}");
    let told = fails(&mut front, "%%rust -q\n1");
    assert!(told.contains("cell[3]:1:8") && told.contains("knows no `-q`"), "{told}");
    assert_eq!(front.value("kept"), "7");
}

#[test]
fn an_absent_compiler_is_explained() {
    let Some(program) = installed("convscope-evcxr") else { return };
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    let environment = [("CONVSCOPE_EVCXR", program.to_str().unwrap()), ("PATH", folder), ("HOME", folder)];
    let mut front = FrontEnd::start_with(&environment);
    let told = fails(&mut front, "%%rust\n1 + 1");
    assert!(told.contains("cannot start") && told.contains("https://rustup.rs"), "{told}");
    assert_eq!(front.value("6 * 7"), "42");
}

#[test]
fn values_cross_both_ways() {
    let Some(mut front) = start() else { return };
    ok(
        &mut front,
        "let t = zeros([2, 3]) + 0.1; let i = shapes(1)[0]; let n = 7; let f = 0.1 + 0.2; let s = \"é\"; let l = [1, 2];
         let r = table([#{ a: 1, b: \"x\" }]); let m = gradient().run(load_model(\"shapes\"), i);",
    );
    let code = "%%rust -i t,i,n,f,s,l,r,m -o t2,i2,n2,f2,s2,l2,r2,m2
let t2 = t.clone();
let i2 = i.clone();
let (n2, f2, s2, l2) = (n, f, s.clone(), l.clone());
let mut r2 = r.clone();
r2.push([bridge::Value::Int(2)]);
let m2 = bridge::Tensor::new(m.shape.clone(), m.values.clone());
println!(\"{} {}\", t[[1, 2]], m.shape.len());";
    let answer = ok(&mut front, code);
    assert!(answer.stream("stdout").starts_with("0.1 "), "{}", answer.stream("stdout"));
    let same = "t2 == t && n2 == n && f2 == f && s2 == s && l2 == l && r2.rows[1].a == 2 && r2.rows[0].b == \"x\" && m2 == m.value";
    assert_eq!(front.value(same), "true");
    assert_eq!(front.value("[i2.width, i2.height] == [i.width, i.height]"), "true");
    let shown = ok(&mut front, "%%rust\ni2");
    assert!(shown.all("execute_result")[0]["data"]["image/png"].is_string());
    assert_eq!(front.value("%%rust\nl2"), "[1, 2]");
    assert_eq!(ok(&mut front, "%%rust -o k\nlet k = 5u8;\nk").result(), Some("5"));
    assert_eq!(front.value("k"), "5");
    let told = fails(&mut front, "let net = load_model(\"shapes\");\nnope");
    assert!(told.contains("nope"));
    assert!(fails(&mut front, "%%rust -i net\n1").contains("a net cannot cross"));
    assert!(fails(&mut front, "%%rust -i absent\n1").contains("no variable `absent`"));
}

#[test]
fn what_is_printed_comes_while_the_cell_runs() {
    let Some(mut front) = start() else { return };
    let code = "%%rust\nprintln!(\"first\");\nstd::thread::sleep(std::time::Duration::from_millis(1500));\neprintln!(\"aside\");\n\
                std::thread::sleep(std::time::Duration::from_millis(500));\nprintln!(\"last\");";
    let header = front.send_cell(code);
    let published = front.until_idle(&header);
    let ended = std::time::Instant::now();
    front.reply();
    let streams: Vec<_> = published.iter().filter(|m| m.kind == "stream").collect();
    let texts: Vec<&Value> = streams.iter().map(|m| &m.content["text"]).collect();
    assert_eq!(texts, ["first\n", "aside\n", "last\n"]);
    assert!(ended - streams[0].at > Duration::from_millis(1000), "it came with the rest");
    let many = ok(&mut front, "%%rust\nfor i in 0..5000 { println!(\"{i}\"); }").stream("stdout");
    assert_eq!(many, (0..5000).map(|i| format!("{i}\n")).collect::<String>());
}

#[test]
fn errors_of_the_compiler_have_their_place_in_the_cell() {
    let Some(mut front) = start() else { return };
    ok(&mut front, "let kept = 7;");
    ok(&mut front, "%%rust\nlet mine = 5;");
    let told = fails(&mut front, "%%rust -i kept\nlet a = nope + kept;\nlet b: String = 1;");
    assert!(told.contains("cannot find value `nope`") && told.contains("cell[3]:2:9"), "{told}");
    assert!(told.contains("2 | let a = nope + kept;\n    |         ^^^^"), "{told}");
    let told = fails(&mut front, "%%rust\n\nlet x = 1;\n    let é = x + \"a\";");
    assert!(told.contains("cell[4]:4:15"), "{told}");
    let told = fails(&mut front, "%%rust\n:dep no_such_crate_at_all = { path = \"absent\" }\n1");
    assert!(told.contains("cell[5]:2:"), "{told}");
    let told = fails(&mut front, "%%rust\nlet n: i32 = \"x\".parse::<i32>()?;\nn");
    assert!(told.contains("`?` left the cell: invalid digit"), "{told}");
    assert_eq!(front.value("%%rust\nmine"), "5");
    assert_eq!(front.value("kept"), "7");
}

#[test]
fn faults_in_rust_leave_the_session_alive() {
    let Some(mut front) = start() else { return };
    ok(&mut front, "let kept = 7;");
    ok(&mut front, "%%rust\nlet mine = 5;\nfn twice(n: i64) -> i64 { 2 * n }");

    let told = fails(&mut front, "%%rust\nlet v = vec![1];\nlet i = 3;\nprintln!(\"{}\", v[i]);");
    assert!(told.contains("panicked: index out of bounds") && told.contains("cell[3]:4:"), "{told}");
    assert_eq!(front.value("kept"), "7");
    assert_eq!(front.value("%%rust\nmine"), "5", "a panic loses nothing");

    let told = interrupted(&mut front, "%%rust\nprintln!(\"at work\");\nloop {}");
    assert!(told.contains("Rust's variable `mine` is gone"), "{told}");
    assert_eq!(front.value("kept"), "7");
    assert_eq!(front.value("%%rust -i kept\ntwice(kept)"), "14", "functions stay");

    let told = fails(&mut front, "%%rust\nstd::process::abort();");
    assert!(told.contains("ended Rust's process: signal: 6") && told.contains("`kept` is gone"), "{told}");
    assert_eq!(front.value("kept"), "7");
    assert_eq!(front.value("%%rust -i kept\ntwice(kept)"), "14");

    let told = fails(&mut front, "%%rust\nstd::process::exit(3);");
    assert!(told.contains("exit status: 3"), "{told}");
    assert_eq!(front.value("kept"), "7");
    assert!(front.beats());
}

#[test]
fn rhai_calls_functions_written_in_rust() {
    let Some(mut front) = start() else { return };
    let cell = "%%rust --fn
/// The sum of powers.
fn energy(map: bridge::Tensor, power: f64) -> f64 {
    println!(\"power {power}\");
    map.values.iter().map(|v| f64::from(*v).powf(power)).sum()
}
fn small(n: i64) -> Result<i64, String> {
    if n > 3 { Err(\"too large\".into()) } else { Ok(n) }
}
fn seventh(list: Vec<i64>) -> i64 {
    list[7]
}
fn crash() {
    std::process::abort()
}
fn hang() -> i64 {
    println!(\"at work\");
    loop {}
}";
    ok(&mut front, "let kept = 7;");
    ok(&mut front, cell);
    let answer = ok(&mut front, "print(\"before\"); let e = energy(zeros([2, 2]) + 3.0, 2); print(\"after\"); e");
    assert_eq!((answer.result(), answer.stream("stdout").as_str()), (Some("36.0"), "before\npower 2\nafter\n"));
    assert_eq!(front.value("let sum = 0; for i in 0..300 { sum += small(i % 4); } sum"), "450");
    assert!(fails(&mut front, "small(4)").contains("`small`: too large"));
    assert!(fails(&mut front, "energy(\"x\", 1)").contains("expected a tensor, got a text"));
    assert!(fails(&mut front, "seventh([1])").contains("panicked: index out of bounds"));
    assert_eq!(
        front.value("let said = 0; try { small(9); } catch (e) { said = e.message; } said"),
        "`small`: too large"
    );
    let told = fails(&mut front, "crash()");
    assert!(told.contains("`crash` ended Rust's process: signal: 6") && told.contains("^^^^^^^"), "{told}");
    assert_eq!(front.value("small(2) + kept"), "9", "it comes back");
    interrupted(&mut front, "hang()");
    assert_eq!(front.value("small(1) + kept"), "8");
    ok(&mut front, "%%rust --fn\nfn small(n: i64) -> i64 { 10 * n }");
    assert_eq!(front.value("small(2)"), "20", "a later definition takes its place");
    let told = fails(&mut front, "%%rust --fn\nstruct Own;\nfn odd(own: Own) {}");
    assert!(told.contains("rhai cannot call"), "{told}");
    assert!(fails(&mut front, "%%rust --fn\nfn gradient() {}").contains("have a function `gradient` already"));
    assert!(fails(&mut front, "%%rust --fn\nlet a = 1;").contains("defines no function"));
    let matches = front.ask("complete_request", json!({ "code": "ener", "cursor_pos": 4 })).reply;
    assert_eq!(matches["matches"][0], "energy");
}

#[test]
fn the_notebooks_in_rust_run_in_evcxr() {
    if std::env::var_os("CONVSCOPE_EVCXR").is_none() {
        eprintln!("skipped: a notebook compiles all of convscope again; CONVSCOPE_EVCXR=1 runs it");
        return;
    }
    let Some(evcxr) = installed("evcxr_jupyter") else { return };
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("kernels/rust");
    std::fs::create_dir_all(&kernel).unwrap();
    let argv = json!([evcxr, "--control_file", "{connection_file}"]);
    let spec = json!({ "argv": argv, "display_name": "Rust", "language": "rust", "interrupt_mode": "message" });
    std::fs::write(kernel.join("kernel.json"), spec.to_string()).unwrap();
    // One after another in one folder: the crates are compiled once.
    // Outside the repository: Cargo would take a package inside it for a part of the workspace.
    let build = folder.path().join("build");
    std::fs::create_dir_all(&build).unwrap();
    for name in ["rust_custom_rule", "rust_custom_objective", "rust_tour"] {
        let notebook = root().join("examples").join(name).with_extension("ipynb");
        let mut run = Command::new(environment().join("bin/jupyter-nbconvert"));
        run.args(["--execute", "--to", "notebook", "--output-dir"]).arg(folder.path()).arg(&notebook);
        run.env("JUPYTER_PATH", folder.path()).env("EVCXR_TMPDIR", &build).current_dir(root());
        let output = run.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let executed = std::fs::read(folder.path().join(name).with_extension("ipynb")).unwrap();
        let executed: Value = serde_json::from_slice(&executed).unwrap();
        let text = executed.to_string();
        let says = match name {
            "rust_custom_rule" => "values are the same to the last bit",
            "rust_custom_objective" => " became ",
            _ => "image/png",
        };
        assert!(text.contains(says), "{name} does not say `{says}`");
        // A panic or `?` in evcxr is text on stderr, not an error of its cell.
        let stderr = |c: &Value| c["outputs"].as_array().is_some_and(|o| o.iter().any(|o| o["name"] == "stderr"));
        let odd = executed["cells"].as_array().unwrap().iter().filter(|c| stderr(c)).map(|c| c["outputs"].to_string());
        let odd: Vec<String> = odd.filter(|o| !o.contains("Compiling ")).collect();
        assert!(odd.is_empty(), "{name}: {odd:?}");
    }
}
