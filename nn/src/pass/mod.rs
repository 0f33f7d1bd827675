//! The passes over a graph: values forward, signals backward.

pub mod apply;
pub mod backward;
pub mod fold;
pub mod forward;
pub mod fuse;
mod groups;
pub mod incremental;
mod joined;
pub mod packs;
pub mod vjp;
pub mod window;

pub use backward::{Flow, Seed};
pub use forward::{Tap, Trace};
pub use incremental::{Changed, Incremental};
