//! Runs a script to a report, for any front end: what it prints and shows goes to a [`dyn Output`](crate::Output) while it runs,
//! and its results become one record ([`convscope_engine::run`]).
//!
//! [`Source`] is a script with its front matter. [`Run`] runs it in this process, [`Rerun`] in another, [`Locking`] twice for a
//! lock. A [`LockedRun`] is a locked run that can be run again and compared.

mod beside;
pub mod bundle;
pub mod cells;
pub mod differences;
mod drawn;
pub mod explain;
mod gather;
mod keep;
pub mod locked_run;
pub mod locking;
mod opening;
pub mod request;
pub mod rerun;
pub mod script;
pub mod sealing;
mod serving;
pub mod source;
pub mod states;
mod temporary;
pub mod values;
pub mod verdict;

pub use beside::check_own_outputs;
pub use locked_run::{LockedRun, Refusal};
pub use locking::{Locking, Made};
pub use rerun::{Ended, Rerun};
pub use script::{Executed, Recording, Run};
pub use sealing::{Allowed, Sealing};
pub use source::Source;
pub use verdict::{Status, Verdict};

use convscope_engine::run::Engine;

/// The engine and the language of this build.
pub fn engine() -> Engine {
    Engine {
        convscope: env!("CARGO_PKG_VERSION").into(),
        source: env!("CONVSCOPE_SOURCE").into(),
        rhai: env!("CONVSCOPE_RHAI").into(),
        rustc: env!("CONVSCOPE_RUSTC").into(),
        target: env!("CONVSCOPE_TARGET").into(),
    }
}
