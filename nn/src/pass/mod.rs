//! The passes over a graph: values forward, signals backward by the [rules](rule), and what a change of the input reaches
//! ([`Incremental`]).
#![warn(clippy::wildcard_enum_match_arm)] // a new operation: the compiler lists the matches that must say what it is there

pub mod apply;
mod backward;
mod crop;
pub mod fold;
mod forward;
mod incremental;
mod reach;
pub mod rule;
pub(crate) mod schedule;
mod scores;
pub(crate) mod vjp;

pub use backward::{Flow, Seed};
pub use forward::{Tap, Trace};
pub use incremental::{Changed, Incremental};
