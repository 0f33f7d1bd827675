//! The crate that `%%rust` cells use: the kinds of value that rhai and Rust exchange. It has no dependencies, so that the
//! first cell compiles quickly; the kernel and this crate share the byte format in `value`.
//!
//! Its names are used with the prefix `bridge::`, so that they do not collide with those of a cell.

mod cell;
mod cross;
mod kinds;
mod serve;
mod value;

pub use cell::{Running, export, import};
pub use cross::{Export, Return, Import};
pub use kinds::{Image, Table, Tensor};
pub use serve::{Entry, Function, function, serve};
pub use value::Value;
