//! The Jupyter side of convscope. [`language::Language`] is the border between a kernel and a language: what a front end
//! may ask, in terms of neither.

pub mod language;

pub use language::Language;
