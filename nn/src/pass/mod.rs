//! The passes over a graph: values forward, signals backward by the [rules](rule), and what a change of the input reaches
//! ([`Incremental`]).
#![warn(clippy::wildcard_enum_match_arm)] // a new operation: the compiler lists the matches that must say what it is there

pub mod apply;
mod backward;
mod crop;
mod flow;
pub mod fold;
mod forward;
mod incremental;
mod reach;
pub mod rule;
pub(crate) mod schedule;
mod scores;
mod trace;
pub(crate) mod vjp;

pub use flow::{Flow, Seed};
pub use incremental::{Changed, Incremental};
pub use trace::{Tap, Trace};
