//! Nets as a whole: their accuracy, their layers, and ablation.
//!
//! Each file adds its methods to [`crate::Model`] by a trait.

pub mod ablate;
pub mod detection;
pub mod evaluate;
pub mod predicted;
pub mod segmentation;
mod shares;
pub mod summary;
mod tallies;

pub use ablate::Ablate;
pub use detection::Detect;
pub use evaluate::Evaluate;
pub use predicted::EvaluatePredictions;
pub use segmentation::Segment;
pub use summary::Summarise;
pub use tallies::{Hits, Pairs};
