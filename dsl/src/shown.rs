//! The form in which values are shown.

use convscope_engine::Artifact;

/// A shown value.
#[derive(Clone, Debug)]
pub enum Shown {
    /// A plain value as text.
    Text(String),
    /// A result with figures, tables, plots.
    Artifact(Box<Artifact>),
}
