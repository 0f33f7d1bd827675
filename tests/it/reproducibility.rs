//! Experiments that others can run again: locks, and verdicts with their culprits.
#![allow(clippy::unwrap_used)]

mod bundles;
mod forged;
mod reports;

use convscope::run::Lock;
use convscope::run::output::Stats;
use reports::{decode, encode};
use serde_json::Value;
use std::path::PathBuf;
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
    // Of what the lock keeps whole the digest is known.
    let zero = |lock: &mut Lock| {
        let in_part = lock.outputs.iter_mut().filter(|o| o.values.as_ref().is_some_and(|v| v.every != 1));
        in_part.for_each(|o| o.blake3 = "0".repeat(64));
    };
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
        let value = Some(f64::from(f32::from_bits(0x4444_4444)));
        entry.stats = Some(Stats { min: value, max: value, mean: value, std: Some(0.0), not_finite: 0 });
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
