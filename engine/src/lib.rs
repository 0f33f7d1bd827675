//! The engine of convscope: loading nets and data sets, the probes that ask questions of a net, their figures, and the records of
//! runs. Graphs, passes and backward rules are in `convscope-nn`, which this crate exports again.
//!
//! No rhai, no Jupyter, no printing: those live in the crates above.

pub mod accumulators;
pub mod ascent;
pub mod canonical;
pub mod data;
pub mod detect;
pub mod embed;
pub mod humans;
pub mod inspect;
pub mod job;
pub mod load;
#[macro_use]
pub mod params;
pub mod predictions;
pub mod probe;
pub mod probes;
pub mod recordings;
pub mod run;
pub mod seal;
pub mod shapes;
pub mod show;
pub mod signal;
pub mod space;
pub mod states;
pub mod stats;
pub mod stream;
pub mod subject;
pub mod table;
pub mod zipped;

pub use convscope_nn::{Context, Error, Kind, Result};
pub use convscope_nn::{DType, Device, Model, Tensor};
pub use convscope_nn::{
    atomic, digest, error, graph, kernels, limits, model, pass, random, reads, regular, rules, simd, tensor, with_real,
};
pub use job::Job;
pub use show::Artifact;
pub use subject::{Input, Subject};
