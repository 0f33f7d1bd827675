//! The language: scripts in tests/lang/ok run and assert what they say; scripts in tests/lang/error end with exactly the
//! message in the .err file beside them. `UPDATE=1 cargo test --test it language::` writes those files anew.
#![allow(clippy::unwrap_used)]

use convscope_dsl::{Place, Session, Silent};
use convscope_engine::Job;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lang").join(folder);
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "rhai"))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The message that a script ends with, if it does.
fn outcome(script: &Path, outputs: &Path) -> Option<String> {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    session.set_place(Place { inputs: script.parent().unwrap().into(), outputs: outputs.into() });
    let name = script.file_name().unwrap().to_string_lossy();
    let source = std::fs::read_to_string(script).unwrap();
    let error = session.run_script(&name, &source).error;
    // Paths differ between machines.
    let here = format!("{}/", script.parent().unwrap().display());
    error.map(|e| format!("{e}\n").replace(&here, ""))
}

#[test]
fn scripts_that_assert_what_they_say() {
    let out = tempfile::tempdir().unwrap();
    for script in scripts("ok") {
        if let Some(message) = outcome(&script, out.path()) {
            panic!("{message}");
        }
    }
}

#[test]
fn errors_say_where_and_what_to_do() {
    let out = tempfile::tempdir().unwrap();
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = String::new();
    for script in scripts("error") {
        let Some(message) = outcome(&script, out.path()) else {
            wrong += &format!("{} ends without an error\n", script.display());
            continue;
        };
        let expected = script.with_extension("err");
        if update {
            std::fs::write(&expected, &message).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != message {
            wrong += &format!("{} now says\n{message}\n", script.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn cells_share_variables_functions_and_closures() {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    let mut run = |code: &str| {
        let result = session.run_cell(code);
        assert!(result.error.is_none(), "{code}: {}", result.error.unwrap());
        format!("{:?}", result.value)
    };
    run("let x = 5; fn twice(n) { n * 2 } let add = |n| n + twice(1);");
    assert!(run("twice(x)").contains("10"));
    assert!(run("add.call(1)").contains('3'));
    run("fn twice(n) { n * 20 }");
    assert!(run("twice(1)").contains("20"));
    run("let x = 1; let x = 2;");
    assert!(run("x").contains('2'));
    assert_eq!(session.variables(), ["add", "x"]);
}

#[test]
fn a_cell_that_fails_leaves_what_came_before() {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    let result = session.run_cell("let a = 1; nothing;");
    assert!(result.error.is_some());
    assert!(session.run_cell("a + 1").error.is_none());
}

#[test]
fn a_loop_without_end_is_stopped() {
    let job = Job::new();
    let signal = job.signal.clone();
    let mut session = Session::new(job, Arc::new(Silent));
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        signal.stop();
    });
    let result = session.run_cell("while true {}");
    stopper.join().unwrap();
    assert!(result.interrupted);
}

#[test]
fn completion_knows_names_members_options_layers_and_classes() {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    assert!(
        session
            .run_cell("let net = load_model(\"shapes\"); let image = shapes(1)[0]; let t = net.predict(image);")
            .error
            .is_none()
    );
    let offers = |text: &str| -> Vec<String> {
        session.complete(text, text.len()).candidates.into_iter().map(|c| c.text).collect()
    };
    let has = |text: &str, wanted: &str| {
        let found = offers(text);
        assert!(found.iter().any(|f| f == wanted), "{text}: {found:?}");
    };
    has("let m = grad", "gradient");
    has("load_", "load_model");
    has("ima", "image");
    has("net.", "predict");
    has("net.lay", "layers");
    assert_eq!(offers("image.bl"), ["blur"]);
    has("net.layer(\"conv1\").", "channel");
    has("net.layer(\"con", "conv1");
    has("net.class(\"s", "square");
    has("occlusion(#{ ", "patch");
    has("occlusion(#{ patch: 3, st", "stride");
    has("lrp(#{ rule: \"eps", "epsilon");
    has("shapes(#{ se", "seed");
    has("load_model(\"sh", "shapes");
    has("t[\"prob", "probability");
    has("let other = load_model(\"x.onnx\"); other.pre", "preprocess");
    has("gradient().run(net, image).", "overlay");
    assert!(offers("// net.").is_empty());
    let within = session.complete("net.pre + 1", 7);
    assert_eq!((within.start, within.end), (4, 7));
}

#[test]
fn names_can_be_inspected_and_wholeness_told() {
    use convscope_dsl::inspect::Completeness::{Complete, Incomplete, Invalid};
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    session.run_cell("let net = load_model(\"shapes\");");
    assert!(session.inspect("occlusion(", 3).unwrap().contains("patch"));
    assert!(session.inspect("occlusion(#{ patch: 3 }", 20).is_some());
    assert!(session.inspect("net.layer", 1).unwrap().contains("a net"));
    assert!(
        session.inspect("net.layer", 6).unwrap().contains("channel")
            || session.inspect("net.layer", 6).unwrap().contains("layer")
    );
    assert!(session.inspect("nothing_known", 3).is_none());
    for (source, expected) in [
        ("let x = 1;", Complete),
        ("let x = (1 +", Incomplete),
        ("fn f() {", Incomplete),
        ("/* open", Incomplete),
        ("let t = `open", Incomplete),
        ("let let = 1;", Invalid),
        ("x)", Invalid),
    ] {
        assert_eq!(session.completeness(source), expected, "{source}");
    }
}

#[test]
fn an_import_that_nothing_uses_is_loaded_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("there.rhai"), "fn one() { 1 }").unwrap();
    std::fs::write(folder.path().join("throws.rhai"), "throw \"read\";").unwrap();
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    session.set_place(Place { inputs: folder.path().into(), outputs: folder.path().into() });
    for import in ["import \"missing\" as m;", "import \"throws\" as m;"] {
        for code in [
            import.to_string(),
            format!("if true {{ {import} }}"),
            format!("fn f() {{ if 1 > 0 {{ {import} }} }} f();"),
        ] {
            assert!(session.run_cell(&code).error.is_some(), "{code}");
        }
        let caught = session.run_cell(&format!("let c = 0; try {{ {import} }} catch (e) {{ c = 1; }} c"));
        assert!(format!("{:?}", caught.value).contains('1'), "{import}: {caught:?}");
    }
    assert!(session.run_cell("if true { import \"there\" as m; }").error.is_none());
    let modules = session.context().modules();
    assert!(modules.contains_key("there.rhai") && modules.contains_key("throws.rhai"), "{:?}", modules.keys());
}

/// Each of these took minutes where the time grew with the square of the length.
#[test]
fn time_grows_with_the_length_of_a_script() {
    let cases = (0..60_000).map(|i| format!("{i} => 1")).collect::<Vec<_>>().join(", ");
    let functions: String = (0..5_000).map(|i| format!("fn a{i}() {{ 1 }}\n")).collect();
    let scripts = [
        ("statements", "1;".repeat(400_000)),
        ("blocks", "{ } ".repeat(100_000)),
        ("cases", format!("switch 1 {{ {cases} }}")),
        ("a name", "a".repeat(2_000_000)),
        ("signs", "#".repeat(200_000)),
        ("cells", "// %%\n1\n".repeat(4_000)),
        ("functions", functions),
    ];
    for (name, source) in scripts {
        let begun = std::time::Instant::now();
        let mut session = Session::new(Job::new(), Arc::new(Silent));
        let _ = match source.starts_with("// %%") {
            true => session.run_cells(name, &source, &|_| {}),
            false => session.run_script(name, &source),
        };
        let _ = (session.check(name, &source), session.format(name, &source));
        assert!(begun.elapsed() < std::time::Duration::from_secs(90), "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn scripts_that_ask_too_much_of_the_parser_say_so() {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    let lets: String = (0..20_000).map(|i| format!("let a{i} = 1;\n")).collect();
    let error = session.run_script("lets", &lets).error.unwrap();
    assert!(error.message.starts_with("the script declares more names at once"), "{error}");
    assert!(error.spot.is_some() && error.hint.is_some(), "{error}");
    let cells = "// %%\n1\n".repeat(20_000);
    let error = session.run_cells("cells", &cells, &|_| {}).error.unwrap();
    assert!(error.message.contains("20000 cells in 40000 lines") && error.hint.is_some(), "{error}");
}

#[test]
fn errors_in_cells_name_the_lines_of_the_script_and_later_functions_are_there() {
    let mut session = Session::new(Job::new(), Arc::new(Silent));
    let source = "#!/usr/bin/env convscope\n// %%\nlet a = late(1);\n// %% [markdown]\n// A text.\n// %%\nfn late(x) { x + 1 }\na + nothing\n";
    let error = session.run_cells("s.rhai", source, &|_| {}).error.unwrap();
    assert!(error.to_string().contains("s.rhai:8:5"), "{error}");
    let error = session.run_cells("s.rhai", "// %%\n1;\n// %%\n\nlet = 2;\n", &|_| {}).error.unwrap();
    assert!(error.to_string().contains("s.rhai:5:"), "{error}");
}
