//! The reference nets, photos and values of development, `shared/data` beside the workspace, which not every machine has. A
//! test that misses them checks nothing: how many did is said when the program ends, and with `CONVSCOPE_REFERENCE=1` they
//! fail.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

/// The tests that found no reference data.
static MISSED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static AT_THE_END: Once = Once::new();

/// A file or folder of the reference data, or nothing where it is absent and need not be there.
pub fn data(path: &str) -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|f| f.join("Cargo.lock").is_file()).unwrap();
    let found = workspace.join("../shared/data").join(path);
    if found.exists() {
        return Some(found);
    }
    let required = std::env::var("CONVSCOPE_REFERENCE").is_ok_and(|v| v == "1");
    assert!(!required, "CONVSCOPE_REFERENCE=1, and there is no {}", found.display());
    // SAFETY: `tell` is a function that takes nothing, gives nothing and does not unwind.
    AT_THE_END.call_once(|| assert_eq!(unsafe { libc::atexit(tell) }, 0));
    MISSED.lock().unwrap().push(std::thread::current().name().unwrap_or("a test").to_string());
    None
}

/// Says which tests checked nothing, after the result of all.
extern "C" fn tell() {
    let missed = MISSED.lock().map(|m| m.join(", ")).unwrap_or_default();
    let count = missed.split(", ").count();
    eprintln!(
        "{count} tests checked nothing, as `../shared/data` lacks what they compare with (CONVSCOPE_REFERENCE=1 makes them fail): {missed}"
    );
}
