//! What makes an experiment repeatable by others: a lock that says which script, engine, inputs and outputs belong
//! together, how outputs are compared, and the archive in which all of it travels.

pub mod archive;
pub mod canonical;
pub mod compare;
pub mod content;
pub mod file;
pub mod inputs;
pub mod numerics;
pub mod rocrate;
pub mod rule;

pub use compare::{Difference, compare};
pub use content::{Array, Content, Entry, Recorded};
pub use file::{Engine, Lock};
pub use inputs::{Input, Pinned};
pub use numerics::Numerics;
pub use rule::{Rule, Rules};
