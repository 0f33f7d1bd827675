//! The numerical core of convscope: tensors, the graph of a net, kernels, passes forward and back, the rules by which
//! signals flow back, the net itself, and how photos become its input.
//!
//! It changes rarely and contains what is slow to compile; probes and figures are in `convscope-engine`.

pub mod atomic;
pub mod digest;
pub mod error;
pub mod graph;
pub mod image;
pub mod kernels;
pub mod limits;
pub mod model;
pub mod pass;
pub mod random;
pub mod reads;
pub mod regular;
pub mod rules;
pub mod seal;
pub mod simd;
#[macro_use]
pub mod tensor;
pub mod transcendental;

pub use candle_core::{DType, Device, Tensor};
pub use error::{Context, Error, Kind, Result};
pub use model::Model;
