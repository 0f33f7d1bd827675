//! Where a session reads and writes.

use std::path::PathBuf;

/// The folders of a session.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder that inputs are resolved against.
    pub inputs: PathBuf,
    /// The folder that `save` writes to.
    pub outputs: PathBuf,
}

impl Default for Place {
    /// The working folder for both.
    fn default() -> Self {
        Place { inputs: PathBuf::new(), outputs: PathBuf::new() }
    }
}
