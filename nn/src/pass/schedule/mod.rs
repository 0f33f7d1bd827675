//! What makes passes fast without changing a bit: fused operations, batches in groups, cached weight panels, concatenations
//! written in place.

pub mod attention;
pub mod channels_last;
pub mod concat;
mod consumer;
pub mod fuse;
pub mod gate;
pub mod groups;
pub mod prepack;
