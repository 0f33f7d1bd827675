//! What a script shows when the program runs it with so many threads and with these vector instructions.

use serde_json::Value;
use std::process::Command;

/// The title of every artifact, and the digests of its arrays. `threads` and, where they are not the machine's own, `vectors` are as
/// in `--threads` and `CONVSCOPE_SIMD`.
pub fn arrays(script: &str, threads: &str, vectors: Option<&str>) -> Vec<(Value, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("all.rhai"), folder.path().join("out"));
    std::fs::write(&file, script).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_convscope"))
        .args(["run", "--json", "--quiet", "--seed", "5", "--threads", threads, "--out"])
        .args([&out, &file])
        .envs(vectors.map(|v| ("CONVSCOPE_SIMD", v)))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let manifest: Value = serde_json::from_slice(&run.stdout).unwrap();
    let shown = manifest["shown"].as_array().unwrap().clone();
    shown.into_iter().map(|s| (s["title"].clone(), s["arrays"].clone())).collect()
}
