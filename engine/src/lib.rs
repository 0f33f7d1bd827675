//! The engine of convscope: graphs of trained ConvNets, the passes over them, the rules by which
//! signals flow back, the probes that ask questions of a net, and what shows their answers.
//!
//! No rhai, no Jupyter, no printing: those live in the crates above.

pub mod ascent;
pub mod atomic;
pub mod data;
pub mod digest;
pub mod embed;
pub mod error;
pub mod graph;
pub mod humans;
pub mod inspect;
pub mod job;
pub mod kernels;
pub mod load;
pub mod lock;
pub mod manifest;
pub mod model;
#[macro_use]
pub mod params;
pub mod pass;
pub mod probe;
pub mod probes;
pub mod random;
pub mod rules;
pub mod running;
pub mod show;
pub mod simd;
pub mod space;
pub mod stats;
pub mod stream;
pub mod subject;
pub mod tensor;

pub use candle_core::{DType, Device, Tensor};
pub use error::{Context, Error, Kind, Result};
pub use job::Job;
pub use model::Model;
pub use show::Artifact;
pub use subject::{Input, Subject};
