//! Data sets past one process: `index`, `shard`, `merge`, `run --states`, by the shell as Ray, Spark or Slurm call them, and what
//! `run --cluster` hands over. `.ci/cluster` runs real clusters.
#![allow(clippy::unwrap_used)]

use convscope::data::Dataset;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const IMAGES: usize = 42;

/// Asks for every kind of state.
const SCRIPT: &str = "let net = load_model(\"shapes\");
let data = load_table(\"data/*.tar\", #{ attributes: [\"scale\"] });
show(max_activating(#{ top: 3, show: 2 }).run(net.layer(\"conv3\"), data));
show(codes().run(net, data));
show(sparsity().run(net, data));
show(accuracy_by_attribute(#{ by: \"scale\", bins: 3, rounds: 100 }).run(net, data));
show(net.accuracy(data));
";

/// A folder with a script and three tars of generated images, one of which is no image.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        let root = bench.folder.path();
        std::fs::create_dir(root.join("data")).unwrap();
        std::fs::create_dir(root.join("states")).unwrap();
        std::fs::write(root.join("s.rhai"), SCRIPT).unwrap();
        let data = images();
        for (n, range) in [0..17, 17..20, 20..IMAGES].into_iter().enumerate() {
            let file = std::fs::File::create(root.join(format!("data/{n}.tar"))).unwrap();
            let mut tar = tar::Builder::new(file);
            for i in range {
                let image = data.get(i).unwrap();
                let png = if i == 30 { b"no image".to_vec() } else { image.encode_png().unwrap() };
                let about = format!("{{\"scale\": {}}}", image.attributes()["scale"]);
                for (end, bytes) in
                    [("png", &png[..]), ("cls", image.label().unwrap().as_bytes()), ("json", about.as_bytes())]
                {
                    let mut header = tar::Header::new_gnu();
                    header.set_size(bytes.len() as u64);
                    header.set_cksum();
                    tar.append_data(&mut header, format!("{i:04}.{end}"), bytes).unwrap();
                }
            }
            tar.finish().unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        said(command.args(arguments).current_dir(self.folder.path()).env("CONVSCOPE_CACHE", self.path("cache")))
    }

    fn done(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let (code, _, err) = self.run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {err}");
        assert!(err.contains("hint:"), "{err}");
        err
    }

    /// What a run left that does not tell the time: arrays, tables and texts, figures.
    fn left(&self, out: &str) -> Vec<(String, Vec<u8>)> {
        let folder = self.path(out);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.join("figures")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.extend([folder.join("arrays.safetensors"), folder.join("shown.json")]);
        let name = |p: &Path| p.strip_prefix(&folder).unwrap().display().to_string();
        files.iter().map(|p| (name(p), std::fs::read(p).unwrap())).collect()
    }
}

fn images() -> Dataset {
    let mut options = convscope::shapes::Shapes::default();
    convscope::params::Params::set(&mut options, "n", &convscope::params::Value::Int(IMAGES as i64)).unwrap();
    convscope::shapes::shapes(&options).unwrap()
}

fn said(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn shards_by_the_shell_give_the_bits_of_one_process() {
    let bench = Bench::new();
    bench.done(&["run", "s.rhai", "--arrays", "-q", "-o", "one"]);
    let one = bench.left("one");
    assert!(one.len() > 4 && String::from_utf8_lossy(&one[one.len() - 1].1).contains("1 image could not be read"));
    for (rows, ways) in [("1000000", "3"), ("6", "8")] {
        let out = bench.done(&["index", "data/*.tar", "--rows", rows, "-o", "shards.parquet"]);
        assert_eq!(out, format!("shards.parquet: {ways} shards, {IMAGES} images\n"));
        let program = env!("CARGO_BIN_EXE_convscope");
        let each = format!(
            "seq 0 $(({ways} - 1)) | xargs -P 3 -I{{}} sh -c '{program} shard s.rhai -q --shards shards.parquet --range {{}}..$(({{}} + 1)) -o states/{{}}.state'"
        );
        let (code, _, err) = said(Command::new("sh").args(["-c", &each]).current_dir(bench.folder.path()));
        assert_eq!(code, 0, "{err}");
        let out = bench.done(&["merge", "states", "--complete", "-o", "all.state"]);
        assert!(out.contains("42 of 42 images, 1 of them could not be read"), "{out}");
        bench.done(&["run", "s.rhai", "--states", "all.state", "--arrays", "-q", "-o", "many"]);
        for (a, b) in one.iter().zip(bench.left("many")) {
            assert!(*a == b, "{rows} rows a shard: {} differs from {}", a.0, b.0);
        }
        assert_eq!(std::fs::read_dir(bench.path("states")).unwrap().count().to_string(), ways, "no waves are left");
        std::fs::remove_dir_all(bench.path("states")).unwrap();
        std::fs::create_dir(bench.path("states")).unwrap();
    }
}

#[test]
fn gaps_are_listed_doubles_and_strangers_are_refused() {
    let bench = Bench::new();
    let script = "let data = shapes(#{ n: 40 });\nshow(load_model(\"shapes\").accuracy(data));\n";
    std::fs::write(bench.path("a.rhai"), script).unwrap();
    let shard = |script: &str, images: &str, out: &str| {
        bench.done(&["shard", script, "-q", "--images", images, "-o", out]);
    };
    shard("a.rhai", "0..10", "1.state");
    shard("a.rhai", "25..30", "2.state");
    let out = bench.done(&["merge", "1.state", "2.state", "-o", "part.state"]);
    assert!(
        out.contains("15 of 40 images")
            && out.contains("missing: images 10 to 24")
            && out.contains("missing: images 30 to 39"),
        "{out}"
    );
    assert_eq!(bench.run(&["merge", "-q", "--complete", "1.state", "-o", "x.state"]).0, 1);
    // What is missing is computed by the run.
    let (code, _, err) = bench.run(&["run", "a.rhai", "--states", "part.state", "--arrays", "-o", "many"]);
    assert!(code == 0 && err.contains("images 10 to 24 are in no state"), "{err}");
    bench.done(&["run", "a.rhai", "--arrays", "-q", "-o", "one"]);
    let arrays = |out: &str| std::fs::read(bench.path(out).join("arrays.safetensors")).unwrap();
    assert_eq!(arrays("one"), arrays("many"));
    shard("a.rhai", "8..12", "3.state");
    let err = bench.refused(&["merge", "1.state", "2.state", "3.state", "-o", "x.state"]);
    assert!(err.contains("images 8 to 9 are in `1.state` and in `3.state`"), "{err}");
    std::fs::write(bench.path("b.rhai"), script.replace("40", "41")).unwrap();
    shard("b.rhai", "10..20", "4.state");
    let err = bench.refused(&["merge", "1.state", "4.state", "-o", "x.state"]);
    assert!(err.contains("`4.state` was made otherwise: the script's digest is"), "{err}");
    let err = bench.refused(&["run", "b.rhai", "--states", "1.state", "-o", "x"]);
    assert!(err.contains("the script's digest"), "{err}");
    let err = bench.refused(&["shard", "a.rhai", "--images", "30..50", "-o", "x.state"]);
    assert!(err.contains("images 30 to 49 are asked for, the data set `shapes` has 40"), "{err}");
    std::fs::write(bench.path("c.rhai"), "print(1);").unwrap();
    assert!(bench.refused(&["shard", "c.rhai", "--images", "0..1", "-o", "x.state"]).contains("asks nothing"));
    let err = bench.refused(&["merge", "a.rhai", "-o", "x.state"]);
    assert!(err.contains("is no state file"), "{err}");
    // A state that is there is gone on with; done already, nothing is computed.
    shard("a.rhai", "0..20", "1.state");
    assert!(bench.done(&["merge", "1.state", "-o", "x.state"]).contains("20 of 40"));
    let err = bench.refused(&["shard", "a.rhai", "--images", "0..5", "-o", "1.state"]);
    assert!(err.contains("holds images 0 to 19"), "{err}");
}

#[test]
fn a_lock_holds_script_engine_and_nets_of_its_shards() {
    let bench = Bench::new();
    std::fs::write(bench.path("a.rhai"), "show(load_model(\"shapes\").accuracy(shapes(#{ n: 12 })));\n").unwrap();
    bench.done(&["lock", "a.rhai", "-q"]);
    bench.done(&["shard", "a.lock.json", "-q", "--images", "0..12", "-o", "a.state"]);
    std::fs::write(bench.path("a.rhai"), "show(load_model(\"shapes\").accuracy(shapes(#{ n: 13 })));\n").unwrap();
    let err = bench.refused(&["shard", "a.lock.json", "-q", "--images", "0..12", "-o", "b.state"]);
    assert!(err.contains("is not the script that was locked"), "{err}");
}

/// In the place of `convscope-cluster`: notes its arguments and computes the states as one process does.
const STAND_IN: &str = "#!/bin/sh
cat > given.rhai
echo \"$@\" >> asked
while [ $# -gt 0 ]; do case $1 in --out) out=$2;; esac; shift; done
exec PROGRAM shard given.rhai -q --images 0..42 -o \"$out\"
";

#[test]
fn a_cluster_is_asked_by_a_flag_or_in_the_script_and_gives_the_report_of_one_process() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.done(&["run", "s.rhai", "--arrays", "-q", "-o", "one"]);
    let program = bench.path("stand-in");
    std::fs::write(&program, STAND_IN.replace("PROGRAM", env!("CARGO_BIN_EXE_convscope"))).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let by = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        let command = command.args(arguments).current_dir(bench.folder.path()).env("CONVSCOPE_CLUSTER", &program);
        said(command.env("CONVSCOPE_CACHE", bench.path("cache")))
    };
    std::fs::write(bench.path("c.rhai"), format!("cluster(\"host:7\", #{{ rows: 5, partitions: 3 }});\n{SCRIPT}"))
        .unwrap();
    let flag =
        ["run", "s.rhai", "--cluster", "host:7", "--rows", "5", "--partitions", "3", "--arrays", "-q", "-o", "many"];
    for arguments in [&flag[..], &["run", "c.rhai", "--arrays", "-q", "-o", "many"][..]] {
        let (code, _, err) = by(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        let asked = std::fs::read_to_string(bench.path("asked")).unwrap();
        let shown = |parts: &[&str]| assert!(parts.iter().all(|p| asked.contains(p)), "{asked}");
        shown(&[
            "states - --cluster host:7",
            "--rows 5 --wave 1000",
            "--partitions 3",
            "--seed 0",
            "--memory 1024",
            "--quiet",
        ]);
        assert_eq!(asked.lines().count(), 1, "{asked}");
        std::fs::remove_file(bench.path("asked")).unwrap();
        for (a, b) in bench.left("one").iter().zip(bench.left("many")) {
            assert!(*a == b, "{arguments:?}: {} differs from {}", a.0, b.0);
        }
        assert!(!bench.path("many/cluster.state").exists());
        std::fs::remove_dir_all(bench.path("many")).unwrap();
    }
    // One process computes what is locked.
    let (code, _, err) = by(&["lock", "c.rhai", "-q"]);
    assert!(code == 0 && !bench.path("asked").exists(), "{err}");
}

#[test]
fn without_its_program_or_a_whole_script_a_cluster_is_refused() {
    let bench = Bench::new();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        said(command.args(arguments).current_dir(bench.folder.path()).env("PATH", "").env_remove("CONVSCOPE_CLUSTER"))
    };
    let (code, _, err) = run(&["run", "s.rhai", "--cluster", "host:7", "-q", "-o", "x"]);
    assert!(code == 1 && err.contains("cargo install --locked --path cluster"), "{err}");
    let (code, _, err) = run(&["eval", "cluster(\"host:7\")"]);
    assert!(code == 1 && err.contains("`cluster` is for whole scripts"), "{err}");
    assert_eq!(run(&["run", "s.rhai", "--rows", "5"]).0, 2, "a flag of a cluster without one");
}
