//! Codes as points: exact nearest neighbours, principal components, t-SNE, quality measures of embeddings, images on a grid.
//!
//! Everything is f32 or f64, row-major, parallel over rows, and has the same bits on every number of threads.

// Indices are letters of the formulas here.
#![allow(clippy::needless_range_loop)]

pub mod cells;
pub mod grid;
pub mod knn;
pub mod pca;
mod perplexity;
mod quadtree;
pub mod quality;
pub mod transform;
pub mod tsne;

pub use knn::{Metric, Neighbours};
