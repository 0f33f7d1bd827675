//! The record of a run: what ran, what it read and its outputs; the lock made of it so that others can repeat the run; the
//! comparison of outputs; and the archive of a bundle.

pub mod archive;
pub mod array;
pub mod compare;
mod consistent;
pub mod finished;
pub mod inputs;
pub mod lock;
pub mod numerics;
pub mod output;
pub mod record;
pub mod rocrate;
pub mod rule;

pub use array::Array;
pub use compare::{Difference, compare};
pub use finished::{Finished, ShownRecord};
pub use inputs::{InputFile, Pinned};
pub use lock::Lock;
pub use numerics::Numerics;
pub use output::{Content, RunOutput};
pub use record::{Engine, HubRequest, Record};
pub use rule::{CompareRule, CompareRules};
