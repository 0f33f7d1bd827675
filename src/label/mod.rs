//! The labelling page: a web server on loopback that shows one image at a time and keeps what a person says of it.
//!
//! Karpathy, "What I learned from competing against a ConvNet on ImageNet", 2014: up to five guesses out of up to 1,000
//! classes, with examples of each. Nothing is loaded from elsewhere, and nobody but the holder of the address gets in.

mod api;
mod desk;
mod examples;
mod guard;
mod oracle;
mod review;
mod serve;

pub use desk::{Desk, Settings};
pub use examples::Examples;
pub use oracle::Oracle;
pub use serve::serve;
