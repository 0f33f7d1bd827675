//! The Jupyter kernel of convscope. [`language::Language`] is the interface between the kernel's protocol and a language.
//!
//! [`serve::serve`] runs a kernel, [`spec`] registers it with Jupyter.

pub mod about;
pub mod bundle;
pub mod comms;
pub mod connection;
pub mod control;
pub mod history;
pub mod language;
pub mod logo;
pub mod notebook;
pub mod progress;
pub mod publisher;
#[cfg(unix)]
pub mod rust;
pub mod serve;
pub mod shell;
pub mod socket;
pub mod spec;
pub mod wire;
pub mod zmtp;

pub use language::Language;
#[cfg(unix)]
pub use rust::PolyglotSession;
pub use serve::serve;
