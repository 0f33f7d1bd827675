//! The wheel: built of this program, installed where there is no Rust, and used as people do: the quick start, JupyterLab and
//! Notebook 7 in a browser, nbconvert, papermill, cells in IPython. `tests/env/setup.sh` installs what this needs; without it
//! the test says so and is skipped.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_wheel_serves_those_who_install_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let environment = root.join(target).join("wheel-env");
    if !environment.join("installed").is_file() {
        eprintln!("skipped: run tests/env/setup.sh first, which installs the tools of this test");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &mut Command| {
        let output = command.current_dir(root).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command:?}\n{out}\n{err}");
        out.into_owned()
    };
    let python = environment.join("bin/python");
    let mut pack = Command::new(&python);
    pack.args(["packaging/wheel", "--program", env!("CARGO_BIN_EXE_convscope"), "--out"]).arg(folder.path());
    let wheel = PathBuf::from(run(&mut pack).lines().last().unwrap());
    assert!(wheel.is_file(), "{}", wheel.display());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall"];
    run(Command::new(&python).args(pip).arg(&wheel));
    let mut tests = Command::new(&python);
    tests.args(["-m", "pytest", "-q", "-rP", "-p", "no:cacheprovider", "tests/wheel"]);
    // Nothing of this user's Jupyter is seen or changed.
    for name in ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "CONVSCOPE_DATA"] {
        tests.env(name, folder.path().join(name));
    }
    tests.env("CONVSCOPE_WHEEL", &wheel).env("PYDEVD_DISABLE_FILE_VALIDATION", "1");
    println!("{}", run(&mut tests));
}
