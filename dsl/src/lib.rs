//! The script language of convscope: rhai with nets, subjects, images, tensors and every probe of the engine's catalog
//! as values, errors that point at the place and say what to do, completion and a reference.
//!
//! A [`Session`] holds the variables and functions of a script, a REPL or a notebook; its caller supplies an [`Output`].

pub mod bind;
mod bounds;
mod check;
mod compiled;
pub mod complete;
pub mod context;
pub mod convert;
mod depth;
pub mod diag;
pub mod fault;
pub mod foreign;
pub mod format;
pub mod front;
pub mod functions;
pub mod inspect;
pub mod library;
mod memory;
pub mod modules;
pub mod names;
mod natives;
pub mod notebook;
pub mod output;
mod place;
pub mod reference;
pub mod run;
pub mod session;
mod shown;
pub mod source;
pub mod values;
pub mod widgets;

pub use context::Context;
pub use diag::Diagnostic;
pub use foreign::{Foreign, Signature};
pub use front::Front;
pub use library::{Function, Library};
pub use output::{Output, Silent};
pub use place::Place;
pub use session::{CellResult, Session};
pub use shown::Shown;
pub use widgets::Widget;
