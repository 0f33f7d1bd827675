//! The rules by which signals pass nodes on their way back: guided backprop and DeconvNet ([`rectifier`]), layer-wise relevance
//! propagation ([`lrp`]), DeepLIFT ([`deep_lift`]). What a rule is, and the list that picks one for a node, is in
//! [`crate::pass::rule`].
#![warn(clippy::wildcard_enum_match_arm)] // a new operation: the compiler lists the matches that must say what it is there

pub mod deep_lift;
pub mod lrp;
pub mod rectifier;

pub use crate::pass::rule::{On, Rule, Rules, Shares, Site};
pub use deep_lift::Rescale;
pub use lrp::LrpRule;
pub use rectifier::{Deconvnet, GuidedBackprop};
