//! The engine of convscope: graphs of trained ConvNets, the passes over them, the rules by which
//! signals flow back, the probes that ask questions of a net, and what shows their answers.
//!
//! No rhai, no Jupyter, no printing: those live in the crates above.

pub mod atomic;
pub mod data;
pub mod error;
pub mod graph;
pub mod kernels;
pub mod model;
pub mod pass;
pub mod random;
pub mod rules;
pub mod tensor;

pub use candle_core::{DType, Device, Tensor};
pub use error::{Context, Error, Kind, Result};
pub use model::Model;
