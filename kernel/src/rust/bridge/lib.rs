//! What `%%rust` cells see of convscope's kernel: the kinds of value that cross between rhai and Rust. It depends on
//! nothing, so that the first cell does not wait for it; the kernel and this crate agree on the bytes in `value`.
//!
//! Without `bridge::` before it, no name of this crate is in a cell's way.

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
