//! The passes over a graph: values forward, signals backward by the [rules](rule), and what a change of the input reaches
//! ([`Incremental`]).

pub mod apply;
mod backward;
pub mod fold;
mod forward;
mod incremental;
pub mod rule;
pub(crate) mod schedule;
pub(crate) mod vjp;
mod window;

pub use backward::{Flow, Seed};
pub use forward::{Tap, Trace};
pub use incremental::{Changed, Incremental};
