//! Running statistics over a data set: top-k activations, moments, counts, and which images they cover.
//!
//! Each merges associatively and commutatively, bit for bit: shards of a data set can be computed separately, in any order, and
//! joined to the result of one pass.

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
