//! The graph of a net: a DAG of named nodes in topological order.
//!
//! [`Weights`] are kept apart from it, so that graphs are small, comparable and shared.
#![warn(clippy::wildcard_enum_match_arm)] // a new operation: the compiler lists the matches that must say what it is there

pub mod activation;
mod atoms;
pub mod axes;
pub mod builder;
pub mod class;
pub mod closing;
pub mod cost;
mod cover;
mod dag;
mod elementary;
pub mod field;
pub mod infer;
pub mod last_step;
mod line;
pub mod op;
mod origin;
mod places;
mod range;
pub mod rewrite;
mod tail;
mod volume_field;
pub mod weights;
pub mod window;

pub use builder::Builder;
pub use class::OpClass;
pub use cover::MapPlace;
pub use dag::{Graph, Node, NodeId, Shape};
pub use field::ReceptiveField;
pub use line::Piece;
pub use op::{Op, ParamId};
pub use volume_field::{VolumeField, VolumeWindow};
pub use weights::Weights;
