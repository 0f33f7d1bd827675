//! The comparisons with PyTorch's values once more, under the other vector instructions of the processor.

#![allow(clippy::unwrap_used)]

use crate::instruction_sets;
use convscope_engine::simd::VARIABLE;
use std::path::Path;
use std::process::Command;

/// The modules that compare with `tests/golden`.
fn modules() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let compares = |file: &Path| std::fs::read_to_string(file).unwrap().contains("golden::");
    let found = files.filter(|file| file.extension().is_some_and(|e| e == "rs") && compares(file));
    found.map(|file| format!("{}::", file.file_stem().unwrap().to_string_lossy())).collect()
}

#[test]
fn values_of_pytorch_come_out_under_the_other_vector_instructions() {
    if std::env::var("CONVSCOPE_SLOW").as_deref() != Ok("1") {
        eprintln!("skipped: it runs a fifth of the tests again; CONVSCOPE_SLOW=1 runs it");
        return;
    }
    let Some(set) = instruction_sets::other() else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    // Without CONVSCOPE_SLOW the slow tests are left out, this one among them.
    let output = command.args(modules()).env(VARIABLE, set).env_remove("CONVSCOPE_SLOW").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test architectures::resnet18 ... ok"), "{said}");
}
