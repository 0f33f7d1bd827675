//! Experiments that others can run again: locks, verdicts with their culprits, bundles, reports, notebooks.
#![allow(clippy::unwrap_used)]

use convscope::run::{Lock, archive};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A script that reads, prints, shows and saves.
const STUDY: &str = "#!/usr/bin/env -S convscope run
// A study.
// /// convscope
// engine = \">=0.1, <0.2\"
// seed = 7
// title = \"A study\"
// [params]
// samples = { default = 3, min = 1, max = 9, doc = \"noisy copies\" }
// [outputs]
// \"*.csv\" = \"rtol:1e-6\"
// ///
import \"parts/tools\" as tools;
let net = load_model(\"shapes\");
let image = load_image(\"data/shape.png\");
let map = smooth_grad(gradient(), #{ samples: param(\"samples\") }).run(net, image);
show(map);
show(net.predict(image));
show(tools::twice(rng(\"x\").uniform()));
save(map, \"deep/map.npy\");
save(net.predict(image), \"top.csv\");
print(`the sum is ${map.value.sum()}`);
";

/// The command in an empty folder.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    /// With the study in its folder.
    fn study() -> Self {
        let bench = Bench::new();
        bench.file("s.rhai", STUDY);
        bench.file("parts/tools.rhai", "fn twice(x) { 2 * x }\n");
        let code = "save(shapes(#{ n: 1, seed: 3 })[0], \"data/shape.png\")";
        assert_eq!(bench.run(&["eval", code]).0, 0);
        bench
    }

    fn locked() -> Self {
        let bench = Bench::study();
        let (code, out, err) = bench.run(&["lock", "s.rhai"]);
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("s.lock.json: "), "{out}");
        bench
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

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        command.args(arguments).current_dir(self.folder.path()).env("CONVSCOPE_CACHE", self.path("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// The verdict on `what`: its exit code, which the JSON repeats, and the JSON.
    fn verdict(&self, what: &str) -> (i32, Value) {
        let (code, out, err) = self.run(&["verify", what, "--json"]);
        let verdict: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{what}: {out} {err}"));
        assert_eq!(verdict["code"], code);
        (code, verdict)
    }

    fn expect(&self, what: &str, code: i32, culprit: &str) -> Value {
        let (found, verdict) = self.verdict(what);
        let named = verdict["culprit"].as_str().unwrap_or_default().to_string();
        assert!(found == code && named.contains(culprit), "{what}: {code} {culprit}, not {verdict:#}");
        verdict
    }

    /// Flips one bit of a byte of a file; what it gives puts it back.
    fn flip(&self, name: &str, at: usize) -> impl FnOnce() + use<> {
        let path = self.path(name);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        move || std::fs::write(path, whole).unwrap()
    }

    /// Writes a lock that was changed by someone who knows how locks are sealed.
    fn forge(&self, change: impl FnOnce(&mut Lock)) {
        let mut lock = Lock::open(&self.path("s.lock.json")).unwrap();
        change(&mut lock);
        self.file("s.lock.json", lock.text().unwrap());
    }
}

#[test]
fn a_lock_holds_on_any_number_of_threads_anywhere() {
    let bench = Bench::locked();
    let lock: Value = serde_json::from_slice(&bench.read("s.lock.json")).unwrap();
    assert_eq!(lock["seed"], 7);
    assert_eq!(lock["params"]["samples"], 3);
    assert_eq!(lock["inputs"][0]["path"], "data/shape.png");
    assert!(lock["inputs"][0]["content"].as_str().unwrap().starts_with("pixels:"));
    assert_eq!(lock["modules"][0]["path"], "parts/tools.rhai");
    assert_eq!(lock["nets"][0]["name"], "shapes");
    let names: Vec<&str> = lock["outputs"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    for part in ["deep/map.npy", "top.csv", "print"] {
        assert!(names.contains(&part), "{names:?}");
    }
    let map = lock["outputs"].as_array().unwrap().iter().find(|o| o["name"] == "deep/map.npy").unwrap();
    assert_eq!((&map["dtype"], map["shape"].as_array().unwrap().len()), (&Value::from("<f4"), 3));
    assert!(map["stats"]["max"].as_f64().unwrap() > 0.0);
    for threads in ["1", "2", "3", "7", "16"] {
        let (code, out, err) = bench.run(&["verify", "s.lock.json", "--threads", threads, "--quiet"]);
        assert_eq!((code, out.as_str()), (0, ""), "{threads} threads: {err}");
    }
    let elsewhere = Bench::new();
    for (name, value) in [("TZ", "Pacific/Kiritimati"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "ar_EG.UTF-8")] {
        let lock = bench.path("s.lock.json");
        let mut command = elsewhere.command(&["verify", lock.to_str().unwrap()]);
        let output = command.env(name, value).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Moved as a whole, with its inputs.
    let moved = Bench::new();
    for name in ["s.rhai", "s.lock.json", "parts/tools.rhai", "data/shape.png"] {
        moved.file(&format!("a b/é/{name}"), bench.read(name));
    }
    assert_eq!(moved.run(&["verify", "a b/é/s.rhai"]).0, 0);
    assert_eq!(bench.run(&["lock", "s.rhai", "--quiet"]), (0, String::new(), String::new()));
    assert_eq!(
        serde_json::from_slice::<Value>(&bench.read("s.lock.json")).unwrap(),
        lock,
        "locked again, it is the same"
    );
}

#[test]
fn one_flipped_byte_is_noticed_and_named() {
    let bench = Bench::locked();
    let middle = |name: &str| bench.read(name).len() / 2;
    for (name, at, code, culprit) in [
        ("data/shape.png", middle("data/shape.png"), 11, "data/shape.png"),
        ("s.rhai", STUDY.len() - 20, 14, "s.rhai"),
        ("parts/tools.rhai", 3, 14, "parts/tools.rhai"),
        ("s.lock.json", middle("s.lock.json"), 14, "s.lock.json"),
        ("s.lock.json", 1, 14, "s.lock.json"),
        ("convscope-out/s/deep/map.npy", 500, 14, "deep/map.npy"),
        ("convscope-out/s/top.csv", 20, 14, "top.csv"),
    ] {
        let mend = bench.flip(name, at);
        bench.expect("s.lock.json", code, culprit);
        mend();
    }
    std::fs::rename(bench.path("data"), bench.path("away")).unwrap();
    bench.expect("s.lock.json", 11, "data/shape.png");
    std::fs::rename(bench.path("away"), bench.path("data")).unwrap();
    bench.expect("s.lock.json", 0, "");
    let (code, _, err) = bench.run(&["verify", "missing.lock.json"]);
    assert!(code == 1 && err.contains("no such file"), "{err}");
}

#[test]
fn a_difference_is_told_by_output_index_and_ulp() {
    let bench = Bench::locked();
    bench.forge(|lock| {
        let map =
            lock.outputs.iter_mut().find(|o| o.name.ends_with("/smooth_grad") || o.name == "deep/map.npy").unwrap();
        // One unit in the last place of the first value that is kept, in a lock that says so.
        let values = map.values.as_mut().unwrap();
        let mut bytes = decode(&values.data);
        bytes[0] ^= 1;
        values.data = encode(&bytes);
        map.blake3 = "0".repeat(64);
        map.blocks.iter_mut().take(1).for_each(|b| *b = "0".repeat(16));
    });
    let verdict = bench.expect("s.lock.json", 10, "");
    let difference = &verdict["difference"];
    assert_eq!(
        (&difference["index"], &difference["ulp"]),
        (&serde_json::json!([0, 0, 0]), &Value::from(1)),
        "{verdict:#}"
    );
}

#[test]
fn equal_bits_are_the_same_whoever_made_the_lock() {
    let bench = Bench::locked();
    let whole = bench.read("s.lock.json");
    let changes: [fn(&mut Lock); 6] = [
        |lock| lock.engine.source = "0".repeat(32),
        |lock| lock.engine.convscope = "0.0.9".into(),
        |lock| lock.engine.rustc = "rustc 1.0.0".into(),
        |lock| lock.engine.rhai = "1.0.0".into(),
        |lock| lock.numerics.isa = "x86_64+avx2".into(),
        |lock| lock.numerics.probe = "0".repeat(32),
    ];
    for change in changes {
        bench.file("s.lock.json", &whole);
        bench.forge(change);
        let other = bench.read("s.lock.json");
        assert_ne!(other, whole);
        let verdict = bench.expect("s.lock.json", 0, "");
        assert_eq!(verdict["engine"].as_array().unwrap().len(), 1, "it is noted: {verdict:#}");
        // Locked again, the lock stays as it is: the bits are the same.
        assert_eq!(bench.run(&["lock", "s.rhai", "--quiet"]).0, 0);
        assert_eq!(bench.read("s.lock.json"), other);
    }
    // A lock of other bits is written anew.
    bench.forge(|lock| lock.outputs[0].blake3 = "0".repeat(64));
    assert_eq!(bench.run(&["lock", "s.rhai", "--quiet"]).0, 0);
    assert_eq!(bench.read("s.lock.json"), whole);
}

#[test]
fn other_bits_compare_by_tolerance_where_another_engine_made_the_lock() {
    let bench = Bench::locked();
    let zero = |lock: &mut Lock| lock.outputs.iter_mut().for_each(|o| o.blake3 = "0".repeat(64));
    bench.forge(zero);
    bench.expect("s.lock.json", 10, "");
    // Other sources of the same version explain nothing.
    bench.forge(|lock| lock.engine.source = "0".repeat(32));
    bench.expect("s.lock.json", 10, "");
    bench.forge(|lock| lock.numerics.probe = "0".repeat(32));
    let verdict = bench.expect("s.lock.json", 12, "");
    assert!(verdict["message"].as_str().unwrap().contains("within tolerances"), "{verdict:#}");
    // Far outside of them it differs.
    bench.forge(|lock| {
        let entry = lock.outputs.iter_mut().find(|o| o.name == "deep/map.npy").unwrap();
        let values = entry.values.as_mut().unwrap();
        values.data = encode(&vec![0x44; decode(&values.data).len()]);
    });
    bench.expect("s.lock.json", 10, "deep/map.npy");
}

#[test]
fn a_script_that_fails_says_why() {
    let bench = Bench::new();
    bench.file("s.rhai", "assert(param(\"n\", 1) < 5, \"too many\");\nprint(1);\n");
    assert_eq!(bench.run(&["lock", "s.rhai"]).0, 0);
    bench.forge(|lock| drop(lock.params.insert("n".into(), 9.into())));
    let verdict = bench.expect("s.lock.json", 13, "s.rhai");
    assert!(verdict["message"].as_str().unwrap().contains("too many"), "{verdict:#}");
    bench.file("bad.rhai", "let x = ;");
    let (code, _, err) = bench.run(&["lock", "bad.rhai"]);
    assert!(code == 1 && err.contains("bad.rhai:1:") && !bench.path("bad.lock.json").exists(), "{err}");
}

#[test]
fn what_no_second_run_gives_again_is_refused() {
    let bench = Bench::new();
    for (code, part) in [
        ("print(timestamp().elapsed);", "the clock"),
        ("eval(\"1\");", "eval"),
        ("save(tensor([1]), \"../out.npy\");", "outside the folder"),
        ("save(tensor([1]), \"/tmp/out.npy\");", "outside the folder"),
        ("import \"no_such\" as m;", "no_such"),
        ("print(env(\"HOME\"));", "env"),
    ] {
        bench.file("s.rhai", code);
        let (status, _, err) = bench.run(&["lock", "s.rhai"]);
        assert!(status == 1 && err.contains(part), "{code}: {err}");
        assert!(!bench.path("s.lock.json").exists(), "{code}");
    }
}

#[test]
fn front_matter_is_obeyed() {
    let bench = Bench::study();
    let run = |arguments: &[&str]| {
        let mut all = vec!["run", "s.rhai", "--quiet"];
        all.extend(arguments);
        bench.run(&all)
    };
    let (code, out, err) = run(&[]);
    assert!(code == 0 && out.starts_with("the sum is"), "{err}");
    let manifest: Value = serde_json::from_slice(&bench.read("convscope-out/s/run.json")).unwrap();
    assert_eq!((&manifest["seed"], &manifest["params"]["samples"]), (&Value::from(7), &Value::from(3)));
    assert_ne!(run(&["--seed", "8"]).1, out);
    for (given, part) in
        [("sample=3", "did you mean `samples`"), ("samples=10", "1 to 9"), ("samples=x", "a whole number")]
    {
        let (code, _, err) = run(&["--param", given]);
        assert!(code == 2 && err.contains(part), "{given}: {code} {err}");
    }
    let head = |body: &str| format!("// /// convscope\n{body}// ///\nprint(1);\n");
    for (body, part) in [
        ("// engine = \">=7\"\n", "this is 0."),
        (
            "// [inputs]\n// \"data/shape.png\" = \"blake3:0000000000000000000000000000000000000000000000000000000000000000\"\n",
            "data/shape.png",
        ),
        ("// [inputs]\n// \"data/none.png\" = { license = \"MIT\" }\n", "data/none.png"),
        ("// seeds = 1\n", "line 2"),
    ] {
        bench.file("t.rhai", head(body));
        let (code, _, err) = bench.run(&["run", "t.rhai"]);
        assert!(code == 1 && err.contains(part), "{body}: {err}");
    }
    bench.file("t.rhai", "// /// convscope\n// [limits]\n// seconds = 0.2\n// ///\nwhile true {}\n");
    let (code, _, err) = bench.run(&["run", "t.rhai"]);
    assert!(code == 1 && err.contains("over its limit"), "{err}");
}

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

#[test]
fn a_report_holds_and_an_edited_figure_is_noticed() {
    let bench = Bench::locked();
    bench.expect("convscope-out/s/report.html", 0, "");
    bench.expect("convscope-out/s", 0, "");
    let page = String::from_utf8(bench.read("convscope-out/s/report.html")).unwrap();
    assert!(page.contains("Content-Security-Policy") && !page.contains("http://") && !page.contains("https://"));
    let figure = page.find("data:image/svg+xml;base64,").unwrap();
    let mend = bench.flip("convscope-out/s/report.html", figure + 400);
    let verdict = bench.expect("convscope-out/s/report.html", 14, "report.html");
    assert!(verdict["message"].as_str().unwrap().contains("part 1 of the report"), "{verdict:#}");
    mend();
    for at in [page.find("convscope-script").unwrap() + 60, page.find("convscope-lock").unwrap() + 60, page.len() - 5] {
        let mend = bench.flip("convscope-out/s/report.html", at);
        bench.expect("convscope-out/s/report.html", 14, "report.html");
        mend();
    }
    // Someone who mends the digests of the page still has to draw what the script draws.
    let (head, parts) = page.split_at(page.find("<!-- part 1").unwrap());
    let forged = format!("{head}{}", parts.replacen("</h3>", "?</h3>", 1));
    bench.file("forged.html", resealed(&forged));
    bench.expect("forged.html", 14, "report.html");
    // The report of a plain run can be verified too.
    assert_eq!(bench.run(&["run", "s.rhai", "--quiet", "--out", "out"]).0, 0);
    bench.expect("out/report.html", 0, "");
    let mend = bench.flip("out/deep/map.npy", 300);
    bench.expect("out/report.html", 14, "map.npy");
    mend();
}

/// The page with the digests of its parts and of itself computed anew.
fn resealed(page: &str) -> String {
    let digest = |text: &str| convscope::digest::digest(text.as_bytes());
    let meta = |name: &str| {
        let open = format!("<meta name=\"convscope-{name}\" content=\"");
        let start = page.find(&open).unwrap() + open.len();
        page[start..start + page[start..].find('"').unwrap()].to_string()
    };
    let inside = &page[page.find("<!-- part 1").unwrap()..page.find("<!-- end of parts").unwrap()];
    let parts = inside.split("<!-- part ").skip(1).map(|p| p.split_once(" -->\n").unwrap().1);
    let digests: Vec<String> = parts.map(|p| digest(p.trim_end_matches('\n'))[..16].to_string()).collect();
    let blank = format!("blake3:{}", "0".repeat(64));
    let page = page.replace(&meta("parts"), &digests.join(" ")).replace(&meta("seal"), &blank);
    page.replace(&blank, &format!("blake3:{}", digest(&page)))
}

#[test]
fn scripts_become_notebooks_and_come_back() {
    let bench = Bench::study();
    let hard = "#!/usr/bin/env -S convscope run\r\n// /// convscope\r\n// seed = 3\r\n// ///\r\n// %% [markdown]\r\n// # Ünï 漢字 🦀\r\n//bare\r\n\r\n// %%\r\nlet t = `\r\n// %% not a cell ${ `\r\n// %%` }\r\n`; /* a /* // %%\r\n// %% */ \r\n// %%\r\n*/\r\nprint(t);\n// %% last\nshow(rng(\"a\").uniform());";
    bench.file("h.rhai", hard);
    assert_eq!(bench.run(&["convert", "h.rhai", "h.ipynb"]).0, 0);
    assert_eq!(bench.run(&["convert", "h.ipynb", "back.rhai"]).0, 0);
    assert_eq!(bench.read("back.rhai"), hard.as_bytes());
    let notebook: Value = serde_json::from_slice(&bench.read("h.ipynb")).unwrap();
    let kinds: Vec<&str> =
        notebook["cells"].as_array().unwrap().iter().map(|c| c["cell_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["code", "markdown", "code", "code"]);
    let digest = |file: &str| {
        let (code, out, err) = bench.run(&["run", file, "--json", "--out", file.split('.').next().unwrap()]);
        assert_eq!(code, 0, "{file}: {err}");
        serde_json::from_str::<Value>(&out).unwrap()["digest"].as_str().unwrap().to_string()
    };
    assert_eq!(digest("h.rhai"), digest("h.ipynb"));
    bench.file("other.rhai", hard.replace("seed = 3", "seed = 4"));
    assert_ne!(digest("other.rhai"), digest("h.rhai"));
    // With outputs, and the lock of the script holds for the notebook.
    assert_eq!(bench.run(&["convert", "s.rhai", "s.ipynb", "--outputs"]).0, 0);
    let notebook: Value = serde_json::from_slice(&bench.read("s.ipynb")).unwrap();
    let outputs = notebook["cells"][0]["outputs"].as_array().unwrap();
    assert!(
        outputs.iter().any(|o| o["output_type"] == "stream")
            && outputs.iter().any(|o| o["data"]["image/png"].is_string())
    );
    std::fs::remove_file(bench.path("s.rhai")).unwrap();
    assert_eq!(bench.run(&["lock", "s.ipynb"]).0, 0);
    bench.expect("s.lock.json", 0, "");
    assert_eq!(bench.run(&["convert", "s.ipynb", "s.txt"]).0, 1);
}

#[test]
fn a_notebook_gives_the_report_of_the_script_that_it_converts_to() {
    let bench = Bench::new();
    let script = "// %%\nlet a = 20;\na + 1\n// %% [markdown]\n// Words.\n// %%\nprint(`here ${later(a)}`);\nshapes(1)[0]\n// %%\nfn later(x) { x * 5 }\nlater(a);\n// %%\n\"the end\"\n";
    bench.file("n.rhai", script);
    assert_eq!(bench.run(&["convert", "n.rhai", "n.ipynb"]).0, 0);
    let sections = |file: &str, out: &str| {
        let (code, said, err) = bench.run(&["run", file, "--out", out]);
        assert_eq!(code, 0, "{file}: {err}");
        assert!(said.contains("21\n") && said.contains("the end"), "{said}");
        let page = String::from_utf8(bench.read(&format!("{out}/report.html"))).unwrap();
        bench.expect(&format!("{out}/report.html"), 0, "");
        let places: Vec<usize> = [">21<", "here 100", "data:image/svg+xml", "the end"]
            .map(|what| page.find(what).unwrap_or_else(|| panic!("{what}: {page}")))
            .to_vec();
        assert!(places.is_sorted(), "{places:?}");
        convscope::show::sealed::read(page.as_bytes()).unwrap().parts
    };
    assert_eq!(sections("n.rhai", "a"), sections("n.ipynb", "b"));
    // Lines are those of the whole file, and nothing runs where a cell cannot be read.
    bench.file("wrong.rhai", "// %%\nprint(1);\n// %%\nlet a = 1;\nnone()\n");
    let (code, out, err) = bench.run(&["run", "wrong.rhai"]);
    assert!(code == 1 && out == "1\n" && err.contains("wrong.rhai:5:1"), "{out} {err}");
    bench.file("wrong.rhai", "// %%\nprint(1);\n// %%\nlet a = (1;\n");
    let (code, out, err) = bench.run(&["run", "wrong.rhai"]);
    assert!(code == 1 && out.is_empty() && err.contains("wrong.rhai:4:"), "{out} {err}");
}

#[test]
fn reports_and_locks_hold_with_cold_and_warm_caches() {
    let bench = Bench::new();
    let code = "let d = shapes(#{ n: 12, seed: 5 }); for i in 0..12 { save(d[i], `d/${i}.png`); }";
    assert_eq!(bench.run(&["eval", code]).0, 0);
    bench.file(
        "c.rhai",
        "let net = load_model(\"shapes\"); let data = load_images(\"d\");
         show(codes().run(net, data)); show(nearest(#{ k: 3, of: data[0] }).run(net, data));
         show(tsne(#{ early: 5, steps: 5, perplexity: 3 }).run(net, data));",
    );
    let cache = |bench: &Bench| bench.path("cache/codes").is_dir();
    assert_eq!(bench.run(&["lock", "c.rhai"]).0, 0);
    assert!(!cache(&bench), "a sealed run keeps nothing");
    bench.expect("c.lock.json", 0, "");
    assert_eq!(bench.run(&["run", "c.rhai", "--out", "cold"]).0, 0);
    assert!(cache(&bench));
    let (code, _, err) = bench.run(&["run", "c.rhai", "--out", "warm"]);
    assert!(code == 0 && err.contains("codes came from the cache on disk"), "{err}");
    for report in ["cold/report.html", "warm/report.html"] {
        bench.expect(report, 0, "");
    }
    let digest =
        |out: &str| serde_json::from_slice::<Value>(&bench.read(&format!("{out}/run.json"))).unwrap()["digest"].clone();
    assert_eq!(digest("cold"), digest("warm"));
    bench.expect("c.lock.json", 0, "");
    std::fs::remove_dir_all(bench.path("cache")).unwrap();
    bench.expect("c.lock.json", 0, "");
}

#[test]
fn two_runs_are_drawn_side_by_side() {
    let bench = Bench::locked();
    bench.file("t.rhai", STUDY.replace("seed = 7", "seed = 8"));
    let (code, out, err) = bench.run(&["diff", "s.lock.json", "t.rhai", "--out", "d"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("deep/map.npy") && out.contains("largest ulp"), "{out}");
    let page = String::from_utf8(bench.read("d/diff.html")).unwrap();
    assert!(
        page.contains("both on one scale")
            && page.contains("data:image/")
            && page.contains("default-src &#39;none&#39;") | page.contains("default-src 'none'")
    );
    assert!(std::fs::read_dir(bench.path("d/figures")).unwrap().count() > 0);
    let (_, out, _) = bench.run(&["diff", "s.lock.json", "s.rhai", "--out", "e"]);
    assert!(out.contains("0 of"), "{out}");
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

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
