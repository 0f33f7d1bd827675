//! Features by position: their lattice on the input, matching between images, baselines without a net.
//!
//! Long, Zhang, Darrell, "Do Convnets Learn Correspondence?", 2014.

pub mod features;
pub mod graph_cut;
pub mod hog;
pub mod matching;
pub mod sift;
pub mod svm;
pub mod warp;

pub use features::{FeatureMap, Lattice};
pub use warp::Warp;
