//! Tells the language what it was built from: the compiler, the target, and a digest of the sources of engine and language
//! and of the versions that they depend on. Records of runs note it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The versions that the workspace depends on.
const LOCKED: &str = "../Cargo.lock";

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let said = Command::new(rustc).arg("--version").output();
    let version = said.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).unwrap_or_default();
    println!("cargo:rustc-env=CONVSCOPE_RUSTC={version}");
    println!("cargo:rustc-env=CONVSCOPE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let mut files = Vec::new();
    for place in ["../nn/src", "../engine/src", "../engine/assets", "src", LOCKED] {
        println!("cargo:rerun-if-changed={place}");
        collect(Path::new(place), &mut files);
    }
    files.sort();
    // FNV-1a with 128 bits: it tells sources apart and is no proof against forgery.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    };
    for file in &files {
        add(file.to_string_lossy().replace('\\', "/").as_bytes());
        add(&[0]);
        add(&std::fs::read(file).unwrap_or_default());
    }
    println!("cargo:rustc-env=CONVSCOPE_SOURCE={hash:032x}");
    println!("cargo:rustc-env=CONVSCOPE_RHAI={}", locked_version("rhai"));
}

fn collect(place: &Path, files: &mut Vec<PathBuf>) {
    match std::fs::read_dir(place) {
        Ok(entries) => entries.flatten().for_each(|e| collect(&e.path(), files)),
        Err(_) if place.is_file() => files.push(place.to_path_buf()),
        Err(_) => {}
    }
}

/// The version of a dependency in Cargo.lock.
fn locked_version(name: &str) -> String {
    let text = std::fs::read_to_string(LOCKED).unwrap_or_default();
    let section = text.split("[[package]]").find(|s| s.contains(&format!("name = \"{name}\"\n")));
    let line = section.and_then(|s| s.lines().find_map(|l| l.strip_prefix("version = ")));
    line.unwrap_or_default().trim_matches('"').to_string()
}
