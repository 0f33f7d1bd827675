//! The passes over a graph: values forward, signals backward.

pub mod apply;
pub mod backward;
pub mod fold;
pub mod forward;
pub mod vjp;

pub use backward::{Flow, Seed};
pub use forward::{Tap, Trace};
