//! `convscope explain`: a net and an image, without a script.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder with an image, and the command in it.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        let save = "let n = load_model(\"shapes\"); save(shapes(1)[0], \"shape.png\"); save(n.preprocess(shapes(1)[0]), \"x.npy\")";
        assert_eq!(bench.run(&["eval", save]).0, 0);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convscope"));
        command.args(arguments).current_dir(self.folder.path()).env("CONVSCOPE_CACHE", self.path("cache"));
        let run = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (run.status.code().unwrap(), text(run.stdout), text(run.stderr))
    }

    fn report(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("convscope-out").join(name).join("report.html")).unwrap()
    }

    /// Puts an entry of `tests/golden/inputs` into the folder.
    fn golden(&self, entry: &str, name: &str) {
        self.entry("inputs/inputs.zip", entry, name);
    }

    /// Puts an entry of a zip file under `tests/golden` into the folder.
    fn entry(&self, zip: &str, entry: &str, name: &str) {
        let zip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(zip);
        let mut zip = zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap();
        std::io::copy(&mut zip.by_name(entry).unwrap(), &mut std::fs::File::create(self.path(name)).unwrap()).unwrap();
    }
}

#[test]
fn a_photo_a_class_and_numbers_are_explained() {
    let bench = Bench::new();
    let (code, out, err) = bench.run(&["explain", "shapes", "shape.png"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("occlusion") && bench.path("convscope-out/explain-shape/report.html").is_file(), "{out}");
    let (code, _, err) = bench.run(&["explain", "shapes", "shape.png", "--class", "strawberry", "--quiet"]);
    assert!(code == 1 && err.contains("no class `strawberry`"), "{err}");
    // A net that takes no photos is asked with the numbers of its input.
    let (code, out, err) = bench.run(&["explain", "shapes", "x.npy"]);
    assert!(code == 0 && out.contains("integrated_gradients"), "{out}{err}");
    assert!(!bench.report("explain-shape").contains("<pre></pre>"));
}

#[test]
fn what_else_a_net_takes_is_given_by_name() {
    let bench = Bench::new();
    for exporter in ["script", "dynamo"] {
        for (entry, name) in [("onnx", "film.onnx"), ("meta.npy", "meta.npy")] {
            bench.golden(&format!("film_{exporter}.{entry}"), name);
        }
        let (code, _, err) = bench.run(&["explain", "film.onnx", "shape.png", "--input", "image"]);
        assert!(code == 1 && err.contains("takes 2 inputs: `image` [3, 12, 16], `meta` [5]"), "{err}");
        assert!(err.contains("convscope explain film.onnx shape.png --given meta=FILE"), "{err}");
        let asked = ["explain", "film.onnx", "shape.png", "--input", "image", "--given", "meta=meta.npy", "--quiet"];
        let (code, _, err) = bench.run(&asked);
        assert_eq!(code, 0, "{err}");
        let report = bench.report("explain-shape");
        assert!(report.contains("Grad-CAM") && report.contains("meta.npy"), "{exporter}");
        let (code, _, err) =
            bench.run(&["explain", "film.onnx", "shape.png", "--input", "image", "--given", "met=x.npy"]);
        assert!(code == 1 && err.contains("--given meta=FILE"), "{err}");
    }
    // A picture is another picture's twin.
    for (entry, name) in [("onnx", "twins.onnx"), ("mask.npy", "mask.npy")] {
        bench.golden(&format!("siamese_script.{entry}"), name);
    }
    let asked = [
        "explain",
        "twins.onnx",
        "shape.png",
        "--input",
        "left",
        "--given",
        "right=shape.png",
        "--given",
        "mask=mask.npy",
    ];
    let (code, _, err) = bench.run(&asked);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = bench.run(&["explain", "twins.onnx", "shape.png", "--given", "right"]);
    assert!(code == 2 && err.contains("NAME=FILE"), "{err}");
}

#[test]
fn maps_that_a_net_has_not_are_left_out() {
    let bench = Bench::new();
    for exporter in ["script", "dynamo"] {
        bench.entry("meanings/meanings.zip", &format!("without_maps_{exporter}.onnx"), "net.onnx");
        let (code, out, err) = bench.run(&["explain", "net.onnx", "shape.png"]);
        assert_eq!(code, 0, "{err}");
        assert!(
            out.contains("occlusion") && err.contains("`grad_cam` is left out: `net` has no layer with maps"),
            "{err}"
        );
        let report = bench.report("explain-shape");
        assert!(report.contains("is left out: ") && report.contains("no layer with maps"));
    }
    // Other errors end it.
    std::fs::write(bench.path("broken.png"), b"no picture").unwrap();
    assert_eq!(bench.run(&["explain", "net.onnx", "broken.png", "--quiet"]).0, 1);
}

#[test]
fn the_output_that_says_what_it_is_is_explained() {
    let bench = Bench::new();
    std::fs::write(bench.path("three.txt"), "alpha\nbeta\ngamma\n").unwrap();
    for exporter in ["script", "dynamo"] {
        bench.entry("meanings/meanings.zip", &format!("features_first_{exporter}.onnx"), "net.onnx");
        let (code, _, err) = bench.run(&["explain", "net.onnx", "shape.png"]);
        assert_eq!(code, 0, "{err}");
        assert!(err.contains("the 5 numbers of the first output `features`"), "{err}");
        assert!(err.contains("the output `classes` is explained (option: head)"), "{err}");
        let (code, _, err) = bench.run(&["explain", "net.onnx", "shape.png", "--head", "features"]);
        assert!(code == 0 && !err.contains("is explained"), "{err}");
        let (code, out, err) = bench.run(&["explain", "net.onnx", "shape.png", "--labels", "three.txt"]);
        assert!(code == 0 && out.contains("beta"), "{out}{err}");
        assert!(err.contains("the 3 labels fit the output `classes`"), "{err}");
        let (code, _, err) = bench.run(&["explain", "net.onnx", "shape.png", "--head", "clases"]);
        assert!(code == 1 && err.contains("no output `clases`"), "{err}");
        // In a script the first output is the net's.
        let (code, out, _) = bench.run(&["eval", "print(load_model(\"net.onnx\").classes.len())"]);
        assert!(code == 0 && out.contains('5'), "{out}");
    }
}
