//! States of running statistics in files, so that a data set can be looked at by many processes, and by one that was stopped.
//!
//! A probe that streams a data set keeps a state that merges ([`crate::running::State`]). A [`Ledger`] that a job carries says
//! which images this process looks at, where states are kept meanwhile and which are there already; a [`StateFile`] holds
//! the states of all of a script's questions with what they are of ([`Question`], [`Header`]).

mod file;
mod ledger;
mod question;

pub use file::{Entry, FORMAT, Header, StateFile, VERSION, merge};
pub use ledger::{Kept, Ledger, Listing};
pub use question::{Net, Question};
