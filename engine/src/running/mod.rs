//! Running statistics over a data set: the strongest answers, moments, counts, and which images they cover.
//!
//! Each merges associatively and commutatively, bit for bit, so that shards of a data set can be computed apart, in any
//! order, and joined with the result of one pass.

mod broken;
mod covered;
mod exact;
pub mod fields;
mod top;

pub use broken::{Broken, BrokenRecord};
pub use covered::Covered;
pub use exact::{ExactSum, Moments};
pub use fields::{Field, Fields, State};
pub use top::{Peak, Top};
