//! The reference nets, photos and values of development, `shared/data` beside the workspace, which not every machine has. A
//! test that misses them checks nothing: how many did is said when the program ends, and with `CONVSCOPE_REFERENCE=1` they
//! fail.

use std::collections::BTreeSet;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

/// The tests that found no reference data.
static MISSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static AT_THE_END: Once = Once::new();

/// A file or folder of the reference data, or nothing where it is absent and need not be there.
#[track_caller]
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
    // The thread has the test's name, unless all tests run on one.
    let (thread, place) = (std::thread::current(), Location::caller());
    let test = thread.name().filter(|n| n.contains("::")).map(str::to_string);
    MISSED.lock().unwrap().insert(test.unwrap_or_else(|| format!("{}:{}", place.file(), place.line())));
    None
}

/// Says which tests checked nothing, after the result of all.
extern "C" fn tell() {
    let missed: Vec<String> = MISSED.lock().map(|m| m.iter().cloned().collect()).unwrap_or_default();
    eprintln!(
        "{} tests checked nothing, as `../shared/data` lacks what they compare with (CONVSCOPE_REFERENCE=1 makes them fail): {}",
        missed.len(),
        missed.join(", ")
    );
}
