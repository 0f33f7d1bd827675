//! The engine of convscope: graphs of trained ConvNets, the passes over them, the rules by which
//! signals flow back, the probes that ask questions of a net, and what shows their answers.
//!
//! No rhai, no Jupyter, no printing: those live in the crates above.

pub mod data;
pub mod error;

pub use error::{Context, Error, Kind, Result};
