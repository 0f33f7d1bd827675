//! Running statistics over a data set: the strongest answers, moments, counts, and which images they cover.
//!
//! Each merges associatively and commutatively, bit for bit, so that shards of a data set can be computed apart, in any
//! order, and joined with the result of one pass.

mod covered;
mod exact;
mod top;

pub use covered::Covered;
pub use exact::{ExactSum, Moments};
pub use top::{Peak, Top};
