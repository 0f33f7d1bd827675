//! States of running statistics in files, so that many processes can share a data set, and one that was stopped can resume.
//!
//! A probe that streams a data set keeps a state that merges ([`crate::accumulators::State`]). The [`Ledger`] of a job names the
//! images that this process evaluates, the folder of intermediate states, and the states that exist already. A [`StateFile`]
//! holds the states of all questions of a script with a description of each ([`Question`], [`Header`]).

mod file;
mod ledger;
mod question;

pub use file::{FORMAT, Header, StateEntry, StateFile, VERSION, merge};
pub use ledger::{Kept, Ledger, Listing};
pub use question::{Question, QuestionNet};
