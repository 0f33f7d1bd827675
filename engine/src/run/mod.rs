//! A run and what is kept of it: the one record of what ran, what it read and what came out, the lock that seals it so that
//! others can repeat it, how outputs are compared, and the archive in which all of it travels.

pub mod archive;
pub mod array;
pub mod compare;
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
pub use finished::{Finished, Shown};
pub use inputs::{Input, Pinned};
pub use lock::Lock;
pub use numerics::Numerics;
pub use output::{Content, RunOutput};
pub use record::{Engine, HubRequest, Record};
pub use rule::{Rule, Rules};
