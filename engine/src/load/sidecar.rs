//! What is known of a net from the files beside it.

use crate::data::preprocess::Preprocess;

/// Preprocessing and labels from the files beside a net or from its own metadata.
#[derive(Clone, Debug, Default)]
pub struct Sidecar {
    /// How photos become its input.
    pub preprocess: Option<Preprocess>,
    /// The names of its outputs.
    pub labels: Option<Vec<String>>,
    /// Which file said what.
    pub notes: Vec<String>,
}
