//! CPU kernels: plain functions over row-major slices, parallel over outputs and never over a sum,
//! so that every thread count gives the same bits. How work is cut follows from shapes alone.

pub mod binary;
pub mod border;

pub mod conv;
mod cut;
pub mod depthwise;
pub mod direct;
pub mod dot;
pub mod finish;
pub mod layout;
pub mod linear;
pub mod map;
pub mod matmul;
pub mod norm;
pub mod packed;
mod pieces;
pub mod pool;
pub mod pooled;
pub mod product;
pub mod reduce;
pub mod resize;
mod shift;
pub mod target;
pub mod tile;
pub mod walk;
pub mod winners;
pub mod winograd;

/// Values a task of an element-wise kernel handles.
pub const CHUNK: usize = 1 << 14;
