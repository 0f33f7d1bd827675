//! People's answers about images: sessions of the labelling page, trials of published experiments, the classes to choose from, and
//! the kinds of errors.
//!
//! Karpathy, "What I learned from competing against a ConvNet on ImageNet", 2014; Russakovsky et al., "ImageNet Large
//! Scale Visual Recognition Challenge", 2014, section 6.4.

pub mod classes;
mod entries;
pub mod log;
pub mod points;
pub mod taxonomy;
pub mod tree;
pub mod trials;

pub use crate::data::ids::ImageIds;
pub use classes::Classes;
pub use log::{Answer, Appended, Log, LogEntry, PointAnswer, Tag};
pub use tree::Tree;
pub use trials::{Trial, Trials};
