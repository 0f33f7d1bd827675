//! What people use around the kernel: jupyter_kernel_test, nbconvert, papermill and nbval on the notebooks of examples/,
//! and JupyterLab in a browser. `tests/env/setup.sh` installs these; without it the tests say so and are skipped.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The program that runs cells in Rust, in the environment.
const EVCXR: &str = "rust/bin/convscope-evcxr";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The environment with the tools, or nothing where it was not set up.
fn environment() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let found = root().join(target).join("test-env");
    if found.join("installed").is_file() {
        return Some(found);
    }
    eprintln!("skipped: run tests/env/setup.sh first, which installs the tools of this test");
    None
}

/// A place where the kernel is installed and files are written.
struct Bench {
    folder: TempDir,
    environment: PathBuf,
}

impl Bench {
    /// A bench with the kernel installed in a folder of its own, or nothing where the tools are absent.
    fn new() -> Option<Self> {
        let environment = environment()?;
        let folder = tempfile::Builder::new().prefix("kernel é ").tempdir().unwrap();
        let bench = Bench { folder, environment };
        let prefix = bench.path("prefix");
        let mut install = Command::new(env!("CARGO_BIN_EXE_convscope"));
        assert!(install.args(["kernel", "install", "--prefix"]).arg(&prefix).status().unwrap().success());
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A tool of the environment that finds the kernel.
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.environment.join("bin").join(name));
        let list = std::env::join_paths([self.path("none"), self.path("prefix/share/jupyter")]).unwrap();
        command
            .env("JUPYTER_PATH", list)
            .env("CONVSCOPE_DATA", self.path("data"))
            .env("CONVSCOPE_EVCXR", self.environment.join(EVCXR))
            .env("JUPYTER_CONFIG_DIR", self.path("config"))
            .env("JUPYTER_DATA_DIR", self.path("jupyter"))
            .env("IPYTHONDIR", self.path("ipython"))
            .env("PYDEVD_DISABLE_FILE_VALIDATION", "1")
            .current_dir(root());
        command
    }
}

/// Runs a command to its end; what it wrote, where it failed.
fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// The notebooks of examples/ that the kernel runs, in order; those with cells in Rust where these can be run.
fn notebooks() -> Vec<PathBuf> {
    let rust = environment().is_some_and(|e| e.join(EVCXR).is_file());
    if !rust {
        eprintln!("without notebooks that have cells in Rust: tests/env/setup.sh installs what runs them");
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "ipynb") && kernel(p) == "convscope")
        .filter(|p| rust || !std::fs::read_to_string(p).unwrap().contains("\"%%rust"))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn kernel(notebook: &Path) -> String {
    let notebook: Value = serde_json::from_slice(&std::fs::read(notebook).unwrap()).unwrap();
    notebook["metadata"]["kernelspec"]["name"].as_str().unwrap().to_string()
}

#[test]
fn the_kernel_answers_what_kernels_are_asked() {
    let Some(bench) = Bench::new() else { return };
    succeeds(bench.tool("python").arg("tests/jupyter/conformance.py"));
}

#[test]
fn the_example_notebooks_run_in_nbconvert_and_twice_in_nbval() {
    let Some(bench) = Bench::new() else { return };
    let run = bench.path("run");
    succeeds(
        bench
            .tool("jupyter-nbconvert")
            .args(["--execute", "--to", "notebook", "--output-dir"])
            .arg(&run)
            .args(notebooks()),
    );
    let executed: Vec<PathBuf> = notebooks().iter().map(|n| run.join(n.file_name().unwrap())).collect();
    for notebook in &executed {
        let content: Value = serde_json::from_slice(&std::fs::read(notebook).unwrap()).unwrap();
        let outputs = |c: &Value| c["outputs"].as_array().is_some_and(|o| !o.is_empty());
        let pictured = content["cells"].as_array().unwrap().iter().any(outputs);
        assert!(pictured, "{} shows nothing", notebook.display());
    }
    for _ in 0..2 {
        succeeds(bench.tool("pytest").args(["-q", "-p", "no:cacheprovider", "--nbval"]).args(&executed));
    }
}

#[test]
fn the_example_notebooks_run_in_papermill() {
    let Some(bench) = Bench::new() else { return };
    for notebook in notebooks() {
        let out = bench.path("out.ipynb");
        succeeds(bench.tool("papermill").arg("--no-progress-bar").arg(&notebook).arg(&out));
    }
    let out = bench.path("with parameters.ipynb");
    let quickstart = root().join("examples/quickstart.ipynb");
    succeeds(bench.tool("papermill").env("CONVSCOPE_PARAM_seed", "11").arg(quickstart).arg(&out));
    assert!(std::fs::read_to_string(out).unwrap().contains("seed 11"), "the parameter did not reach the notebook");
}

#[test]
fn jupyterlab_shows_the_quick_start() {
    let Some(bench) = Bench::new() else { return };
    if Command::new("chromedriver").arg("--version").output().is_err() {
        eprintln!("skipped: there is no chromedriver; tests/env/setup.sh installs it where it may");
        return;
    }
    let notebook = bench.path("quickstart.ipynb");
    std::fs::copy(root().join("examples/quickstart.ipynb"), &notebook).unwrap();
    let screenshot = bench.path("lab.png");
    succeeds(bench.tool("python").arg("tests/jupyter/browser.py").arg(&notebook).arg(&screenshot));
    assert!(screenshot.is_file());
    if let Some(folder) = std::env::var_os("CONVSCOPE_TEST_KEEP") {
        std::fs::copy(screenshot, Path::new(&folder).join("lab.png")).unwrap();
    }
}

#[test]
fn widgets_are_moved_in_jupyterlab_and_maps_in_a_report() {
    let Some(bench) = Bench::new() else { return };
    if Command::new("chromedriver").arg("--version").output().is_err() {
        eprintln!("skipped: there is no chromedriver; tests/env/setup.sh installs it where it may");
        return;
    }
    let kept = std::env::var_os("CONVSCOPE_TEST_KEEP").map_or_else(|| bench.path("kept"), PathBuf::from);
    std::fs::create_dir_all(&kept).unwrap();
    let work = bench.path("work");
    std::fs::create_dir_all(&work).unwrap();
    let mut test = bench.tool("python");
    test.arg("tests/jupyter/widgets.py").arg(env!("CARGO_BIN_EXE_convscope")).arg(&work).arg(&kept);
    succeeds(&mut test);
}
