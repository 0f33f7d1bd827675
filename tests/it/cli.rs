//! The command line: exit codes, what goes where, and clear errors for files that are not what they seem.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The command in an empty folder.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        command.args(arguments).current_dir(self.folder.path()).env("CONVSCOPE_CACHE", self.path("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).is_file()
}

#[test]
fn a_run_leaves_a_report_figures_and_a_manifest() {
    let bench = Bench::new();
    bench.file(
        "study.rhai",
        "let net = load_model(\"shapes\");\nlet image = shapes(1)[0];\nmarkdown(\"# A study\");\nshow(gradient().run(net, image));\nshow(net.predict(image));\nsave(gradient().run(net, image), \"deep/g.npy\");\nprint(\"done\");\n",
    );
    let (code, out, err) = bench.run(&["run", "study.rhai"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("gradient") && out.contains("probability") && out.ends_with("done\n"), "{out}");
    let folder = bench.path("convscope-out/study");
    let figures: Vec<String> = std::fs::read_dir(folder.join("figures"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(figures.len(), 1);
    assert!(figures[0].starts_with("01-gradient-of"), "{figures:?}");
    assert!(exists(&folder, "deep/g.npy"));
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("A study") && report.contains("load_model") && report.contains("data:image/svg+xml"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap();
    assert_eq!(manifest["outputs"][0]["path"], "deep/g.npy");
    assert_eq!(manifest["shown"][0]["settings"]["probe"]["name"], "gradient");
    assert_eq!(manifest["complete"], true);
    assert_eq!(manifest["nets"][0]["name"], "shapes");
}

#[test]
fn a_run_gives_the_numbers_behind_what_it_shows_to_programs() {
    let bench = Bench::new();
    bench.file(
        "s.rhai",
        "let net = load_model(\"shapes\");\nlet image = shapes(1)[0];\nlet map = gradient().run(net, image);\nsave(map, \"g.npy\");\nshow(map);\nshow(\"text\");\nmarkdown(\"# M\");\nnet.predict(image)\n",
    );
    let (code, _, err) = bench.run(&["run", "s.rhai", "--arrays", "--last", "--quiet"]);
    assert_eq!(code, 0, "{err}");
    let folder = bench.path("convscope-out/s");
    let shown: Value = serde_json::from_slice(&std::fs::read(folder.join("shown.json")).unwrap()).unwrap();
    let entries = shown.as_array().unwrap();
    assert_eq!(entries.len(), 4, "{shown:#}");
    assert_eq!((&entries[1]["text"], &entries[2]["markdown"]), (&"text".into(), &"# M".into()));
    assert!(exists(&folder, entries[0]["figure"].as_str().unwrap()));
    let value = entries[0]["value"].as_str().unwrap();
    assert_eq!(entries[3]["tables"][0]["columns"][0], "class");
    assert_eq!((&entries[3]["figure"], &entries[3]["value"]), (&Value::Null, &Value::Null));
    // The array is the one that `save` writes: the last bytes of both files of one array.
    let arrays = std::fs::read(folder.join("arrays.safetensors")).unwrap();
    let length = u64::from_le_bytes(arrays[..8].try_into().unwrap()) as usize;
    let head: Value = serde_json::from_slice(&arrays[8..8 + length]).unwrap();
    let place = |i: usize| head[format!("1/{value}")]["data_offsets"][i].as_u64().unwrap() as usize + 8 + length;
    let saved = std::fs::read(folder.join("g.npy")).unwrap();
    let ours = &arrays[place(0)..place(1)];
    assert_eq!(ours.len(), 3 * 64 * 64 * 4);
    assert!(saved.ends_with(ours), "another array");
    // Without these options a run leaves neither, and its last expression is not shown.
    assert_eq!(bench.run(&["run", "s.rhai", "--quiet", "--out", "plain"]).0, 0);
    assert!(!exists(&bench.path("plain"), "shown.json") && !exists(&bench.path("plain"), "arrays.safetensors"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(bench.path("plain/run.json")).unwrap()).unwrap();
    assert_eq!(manifest["shown"].as_array().unwrap().len(), 1);
}

#[test]
fn printed_lines_stand_in_the_report_where_they_were_printed() {
    let bench = Bench::new();
    bench.file("p.rhai", "print(\"first <b>\"); print(\"second\"); show(shapes(1)[0]); write(\"third\"); show(4711);");
    let (code, _, err) = bench.run(&["run", "p.rhai", "--quiet"]);
    assert_eq!(code, 0, "{err}");
    let report = std::fs::read_to_string(bench.path("convscope-out/p/report.html")).unwrap();
    let parts = &report[report.find("<!-- part 1").unwrap()..report.find("<!-- end of parts").unwrap()];
    let at = |what: &str| parts.find(what).unwrap_or_else(|| panic!("no {what} in {parts}"));
    assert!(parts.contains("<pre>first &lt;b&gt;\nsecond</pre>"), "{parts}");
    assert!(
        at("second") < at("data:image/svg+xml") && at("data:image/svg+xml") < at("third") && at("third") < at("4711")
    );
}

#[test]
fn the_same_run_twice_is_the_same_but_for_its_duration() {
    let bench = Bench::new();
    bench.file(
        "s.rhai",
        "let d = shapes(3); show(smooth_grad(gradient(), #{ samples: 3 }).run(load_model(\"shapes\"), d[0]));",
    );
    let manifest = |out: &str| {
        assert_eq!(bench.run(&["run", "s.rhai", "--quiet", "--out", out]).0, 0);
        let mut value: Value =
            serde_json::from_slice(&std::fs::read(bench.path(out).join("run.json")).unwrap()).unwrap();
        value["seconds"] = Value::Null;
        value
    };
    assert_eq!(manifest("a"), manifest("b"));
}

#[test]
fn parameters_have_the_kind_of_their_defaults() {
    let bench = Bench::new();
    bench.file("p.rhai", "print(param(\"n\", 5) + 1); print(param(\"x\", 0.5)); print(param(\"name\", \"a\")); print(param(\"on\", false));");
    let (code, out, err) = bench
        .run(&["run", "p.rhai", "--param", "n=7", "--param", "name=b=c", "--param", "on=true", "--param", "unused=1"]);
    assert_eq!((code, out.as_str()), (0, "8\n0.5\nb=c\ntrue\n"), "{err}");
    assert!(err.contains("`unused`"), "{err}");
    let (code, _, err) = bench.run(&["run", "p.rhai", "--param", "n=many"]);
    assert_eq!(code, 1);
    assert!(err.contains("parameter `n` must be a whole number, got `many`"), "{err}");
    assert_eq!(bench.run(&["run", "p.rhai", "--param", "n"]).0, 2);
}

#[test]
fn quiet_says_nothing_and_json_only_json() {
    let bench = Bench::new();
    bench.file("q.rhai", "show(5); show(shapes(1)[0]);");
    assert_eq!(bench.run(&["run", "q.rhai", "--quiet"]), (0, String::new(), String::new()));
    let (code, out, _) = bench.run(&["run", "q.rhai", "--json"]);
    let manifest: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, manifest["seed"].as_u64()), (0, Some(0)));
}

#[test]
fn exit_codes_say_how_it_went() {
    let bench = Bench::new();
    bench.file("bad.rhai", "let x = 1;\nload_model(\"shapes\").layer(\"conv_5\");");
    let (code, out, err) = bench.run(&["run", "bad.rhai"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("bad.rhai:2:28") && err.contains("^^^^^^^^") && err.contains("hint: did you mean `conv5`"),
        "{err}"
    );
    assert!(exists(&bench.path("convscope-out/bad"), "run.json"), "what was done is saved");
    assert_eq!(bench.run(&["eval", "1 + 1"]), (0, "2\n".into(), String::new()));
    assert_eq!(bench.run(&["eval", "1 +"]).0, 1);
    assert_eq!(bench.run(&["run", "nothing.rhai"]).0, 1);
    assert_eq!(bench.run(&["fly"]).0, 2);
    assert_eq!(bench.run(&["run"]).0, 2);
    assert_eq!(bench.run(&["run", "bad.rhai", "--seed", "x"]).0, 2);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_what_is_done() {
    use std::io::{BufRead, BufReader};
    let bench = Bench::new();
    bench.file("long.rhai", "show(shapes(1)[0]); print(\"ready\"); while true {}");
    let mut child = bench.command(&["run", "long.rhai"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|l| l.unwrap() == "ready"));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let folder = bench.path("convscope-out/long");
    assert!(exists(&folder, "report.html"));
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap();
    assert_eq!(manifest["complete"], false);
    assert_eq!(manifest["shown"].as_array().unwrap().len(), 1);
}

#[test]
fn a_reader_that_goes_away_stops_nothing_and_is_told() {
    let bench = Bench::new();
    bench.file("much.rhai", "for i in 0..20000 { print(i); } save(tensor([1, 2]), \"end.npy\");");
    let mut child = bench.command(&["run", "much.rhai"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(exists(&bench.path("convscope-out/much"), "end.npy"));
}

#[test]
fn a_script_that_prints_on_and_on_ends_when_nobody_reads() {
    let bench = Bench::new();
    bench.file("endless.rhai", "let i = 0; while true { print(i); i += 1; }");
    for arguments in [&["run", "endless.rhai"][..], &["run", "--sealed", "endless.rhai"]] {
        let mut child = bench.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn the_folder_for_outputs_is_tried_before_the_work_is_done() {
    let bench = Bench::new();
    bench.file("s.rhai", "print(\"worked\");");
    bench.file("taken", "a file");
    let (code, out, said) = bench.run(&["run", "s.rhai", "--out", "taken"]);
    assert_eq!(code, 1, "{said}");
    assert!(!out.contains("worked") && said.contains("`taken` is no folder") && said.contains("--out DIR"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let bench = Bench::new();
    bench.file("s.rhai", "print(1);");
    assert_eq!(bench.run(&["lock", "s.rhai"]).0, 0);
    for arguments in [
        &["run", "s.rhai"][..],
        &["run", "s.rhai", "--json"],
        &["run", "--sealed", "s.rhai"],
        &["eval", "1"],
        &["doc"],
        &["models"],
        &["models", "--json"],
        &["inspect", "shapes"],
        &["cache", "list"],
        &["lock", "s.rhai", "--json"],
        &["verify", "s.lock.json"],
        &["verify", "s.lock.json", "--json"],
        &["bundle", "s.rhai"],
        &["convert", "s.rhai"],
        &["diff", "s.rhai", "s.rhai"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = bench.command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        // A closed stdout.
        let program = env!("CARGO_BIN_EXE_convscope");
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" >&-", program]).args(arguments).current_dir(bench.folder.path());
        let output = shell.env("CONVSCOPE_CACHE", bench.path("cache")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?} with stdout closed: {said}");
        assert!(!arguments.contains(&"eval") || said.contains("stdout is closed"), "{said}");
    }
    // What prints nothing is done, and a stdout that throws everything away is none that is closed.
    for (line, code) in [("eval 'let a = 1;' >&-", 0), ("eval 1 >/dev/null", 0), ("eval 1 1<>/dev/null", 0)] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("\"$0\" {line}"), env!("CARGO_BIN_EXE_convscope")]);
        let output = shell.current_dir(bench.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn messages_name_the_folder_for_temporary_files_and_names_that_no_lock_can_hold() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    bench.file("s.rhai", "print(load_images(\"d\").len());");
    let code = "save(shapes(1)[0], \"d/a.png\")";
    assert_eq!(bench.run(&["eval", code]).0, 0);
    let output = bench.command(&["lock", "s.rhai"]).env("TMPDIR", bench.path("nowhere")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("nowhere") && said.contains("TMPDIR"), "{said}");
    let name = std::ffi::OsStr::from_bytes(b"d/b\xff.png");
    std::fs::copy(bench.path("d/a.png"), bench.folder.path().join(name)).unwrap();
    let (code, _, err) = bench.run(&["lock", "s.rhai"]);
    assert!(code == 1 && err.contains("is not Unicode"), "{err}");
    assert_eq!(bench.run(&["run", "s.rhai"]).0, 0);
    let script = bench.folder.path().join(std::ffi::OsStr::from_bytes(b"t\xff.rhai"));
    std::fs::write(&script, "print(1);").unwrap();
    let output = bench.command(&["lock"]).arg(&script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("is not Unicode"), "{said}");
}

#[test]
fn a_run_that_fails_leaves_the_earlier_report_alone() {
    let bench = Bench::new();
    bench.file("s.rhai", "print(param(\"n\", 1)); show(shapes(1)[0]); if param(\"n\", 1) == 2 { throw \"no\" }");
    assert_eq!(bench.run(&["run", "s.rhai"]).0, 0);
    let out = bench.path("convscope-out/s");
    let kept = |name: &str| std::fs::read(out.join(name)).unwrap();
    let before = ["report.html", "run.json"].map(kept);
    let (code, _, err) = bench.run(&["run", "s.rhai", "--param", "n=2"]);
    assert!(code == 1 && err.contains("failed"), "{err}");
    assert_eq!(before, ["report.html", "run.json"].map(kept));
    let manifest: Value = serde_json::from_slice(&kept("failed/run.json")).unwrap();
    assert_eq!(manifest["complete"], false);
}

/// A PNG whose header claims 100,000 x 100,000 pixels.
fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([0, 1, 0x86, 0xA0, 0, 1, 0x86, 0xA0, 8, 2, 0, 0, 0, 0x53, 0x7B, 0x2D, 0x64]);
    png.extend(b"\0\0\0\0IDAT\x35\xAF\x06\x1E\0\0\0\0IEND\xAE\x42\x60\x82");
    png
}

#[test]
fn files_that_are_not_what_they_seem() {
    let bench = Bench::new();
    bench.file("text.onnx", "this is no net");
    bench.file("empty.onnx", "");
    bench.file("cut.onnx", b"\x08\x07\x12\x07pytorch\x3a\xff\xff\x7f\x0a\x10");
    bench.file("empty.png", "");
    bench.file("huge.png", huge_png());
    bench.file("text.png", "hello");
    bench.file("text.npy", "hello");
    bench.file("text.csv", "a,b\n1,2\n");
    bench.file("weights.pth", "hello");
    bench.file("folder/readme.txt", "no image");
    for (call, part) in [
        ("load_model(\"text.onnx\")", "text.onnx"),
        ("load_model(\"empty.onnx\")", "empty.onnx"),
        ("load_model(\"cut.onnx\")", "cut.onnx"),
        ("load_model(\"missing.onnx\")", "no such file"),
        ("load_model(\"folder\")", "folder"),
        ("load_model(\"./folder\")", "directory"),
        ("load_model(\"resnet18\", #{ weights: \"weights.pth\" })", "weights.pth"),
        ("load_image(\"empty.png\")", "empty.png"),
        ("load_image(\"huge.png\")", "huge.png"),
        ("load_image(\"text.png\")", "text.png"),
        ("load_image(\"missing.png\")", "no such file"),
        ("load_image(\"folder\")", "folder"),
        ("load_images(\"folder\")", "no images"),
        ("load_images(\"missing\")", "no such file"),
        ("load_images(\"text.csv\")", "no column `path`"),
        ("load_tensor(\"text.npy\")", "not a .npy file"),
        ("load_tensor(\"missing.npy\")", "no such file"),
        ("load_model(\"shapes\", #{ labels: \"missing.txt\" })", "no such file"),
    ] {
        bench.file("s.rhai", format!("let x = {call};\n"));
        let (code, out, err) = bench.run(&["run", "s.rhai", "--quiet"]);
        assert_eq!((code, out.as_str()), (1, ""), "{call}: {err}");
        assert!(err.starts_with("error: ") && err.contains(part) && err.contains("s.rhai:1:"), "{call}: {err}");
        assert!(!err.contains("defect"), "{call}: {err}");
    }
    bench.file("s.rhai", [0xFF, 0xFE, 0x00]);
    assert!(bench.run(&["run", "s.rhai"]).2.contains("not a text file"));
}

#[test]
fn paths_are_the_script_s_for_reading_and_out_s_for_writing() {
    let bench = Bench::new();
    let save = bench.file("deep/save.rhai", "save(tensor([1, 2]), \"t.npy\"); save(shapes(1)[0], \"i.png\");");
    assert_eq!(bench.run(&["run", "deep/save.rhai", "--out", "deep"]).0, 0);
    bench.file("deep/read.rhai", "print(load_tensor(\"t.npy\").sum()); print(load_image(\"i.png\").size);");
    let (code, out, err) = bench.run(&["run", "deep/read.rhai", "--quiet"]);
    assert_eq!((code, out.as_str()), (0, "3.0\n[64, 64]\n"), "{err}");
    let absolute = bench.path("elsewhere/t.npy");
    bench.file("deep/save.rhai", format!("save(tensor([1]), {:?});", absolute.display().to_string()));
    assert_eq!(bench.run(&["run", save.to_str().unwrap(), "-q"]).0, 0);
    assert!(absolute.is_file());
}

#[test]
fn the_reference_is_printed() {
    let bench = Bench::new();
    let (code, out, _) = bench.run(&["doc"]);
    assert!(code == 0 && out.contains("occlusion") && out.contains("load_model") && out.contains("net.layer"));
    let (_, out, _) = bench.run(&["doc", "occlusion"]);
    assert!(out.contains("patch") && out.contains("source:") && out.contains("default"), "{out}");
    let (_, out, _) = bench.run(&["doc", "layer"]);
    assert!(out.contains("net.layer(name: text)"), "{out}");
    let (_, out, _) = bench.run(&["doc", "--json"]);
    let all: Value = serde_json::from_str(&out).unwrap();
    assert!(all.as_array().unwrap().len() > 80);
    let (code, _, err) = bench.run(&["doc", "oclusion"]);
    assert!(code == 1 && err.contains("did you mean `occlusion`"), "{err}");
}

#[test]
fn nets_are_listed_and_inspected() {
    let bench = Bench::new();
    let (code, out, _) = bench.run(&["models", "--json"]);
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<Value>(&out).unwrap()["fetched"].as_array().unwrap().len() >= 2);
    let (code, out, _) = bench.run(&["inspect", "shapes"]);
    assert!(code == 0 && out.contains("conv1") && out.contains("receptive field") && out.contains("parameters"));
    let (_, out, _) = bench.run(&["inspect", "shapes", "--json"]);
    assert!(serde_json::from_str::<Value>(&out).unwrap()["layers"].as_array().unwrap().len() > 5);
    assert_eq!(bench.run(&["inspect", "no_such_net"]).0, 1);
    let (code, out, _) = bench.run(&["cache", "list"]);
    assert!(code == 0 && out.contains("0 files"));
    assert!(bench.run(&["completions", "bash"]).1.contains("convscope"));
    assert!(bench.run(&["fetch", "no_such_net"]).2.contains("known are"));
}

#[test]
fn vector_instructions_can_be_chosen() {
    let bench = Bench::new();
    let run = |name: &str| bench.command(&["eval", "1 + 1"]).env("CONVSCOPE_SIMD", name).output().unwrap();
    assert_eq!((run("portable").status.code(), run("").status.code()), (Some(0), Some(0)));
    let refused = run("sse9");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it takes avx512, avx2 or portable"));
}

#[test]
fn threads_are_bounded() {
    let bench = Bench::new();
    let run = |count: &str| bench.command(&["eval", "1 + 1"]).env("RAYON_NUM_THREADS", count).output().unwrap();
    assert_eq!(run("3").status.code(), Some(0));
    for count in ["1025", "1000000", "18446744073709551615"] {
        let refused = run(count);
        assert_eq!(refused.status.code(), Some(1), "{count}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("at most 1024 can be started"), "{count}");
    }
    assert_eq!(bench.run(&["eval", "1 + 1", "--threads", "1025"]).0, 2);
}

/// Values that are no numbers are counted where a tensor is printed.
#[test]
fn a_printed_tensor_counts_what_is_no_number() {
    let bench = Bench::new();
    let npy = |name: &str, values: [f32; 6]| {
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }").bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bench.file(name, bytes);
    };
    npy("some.npy", [1.0, f32::NAN, -2.0, 0.5, f32::NAN, 0.0]);
    npy("all.npy", [f32::NAN; 6]);
    npy("none.npy", [1.0, 0.0, -2.0, 0.5, 0.0, 0.0]);
    for (name, text) in [
        ("some", "tensor 2 x 3, -2 to 1, 2 of 6 values are NaN\n"),
        ("all", "tensor 2 x 3, 6 of 6 values are NaN\n"),
        ("none", "tensor 2 x 3, -2 to 1\n"),
    ] {
        assert_eq!(bench.run(&["eval", &format!("print(load_tensor(\"{name}.npy\"))")]).1, text);
    }
}

#[test]
fn negative_numbers_are_told_to_be_out_of_range() {
    let bench = Bench::new();
    for (option, value) in [("--threads", "-1"), ("--seed", "-1"), ("--memory", "-2.5")] {
        let (code, _, said) = bench.run(&["eval", "1 + 1", option, value]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&format!("invalid value '{value}' for '{option}")), "{said}");
    }
}

#[test]
fn what_a_script_prints_and_shows_follows_the_memory() {
    let bench = Bench::new();
    // A text of 524,288 bytes, of which a report holds one and a half at 16 MB.
    bench.file(
        "text.rhai",
        "let t = \"x\"; for i in 0..19 { t += t; }\nfor i in 0..10 { print(t); }\nsave(tensor([1.0]), \"late.npy\");\n",
    );
    bench.file("show.rhai", "for i in 0..100000 { show(i); }\nsave(tensor([1.0]), \"late.npy\");\n");
    for script in ["text", "show"] {
        let (code, _, said) = bench.run(&["run", &format!("{script}.rhai"), "--memory", "16"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("what the script prints and shows") && said.contains("limit of 1 MB"), "{said}");
        assert!(said.contains("`--memory 32` would do"), "{said}");
        assert!(!exists(&bench.path(&format!("convscope-out/{script}")), "late.npy"));
    }
}
