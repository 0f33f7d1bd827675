//! The language server of convscope (Language Server Protocol). It reads scripts and runs none of them; the answers come from
//! the session, the reference and the formatter of `convscope-dsl`.

mod answer;
mod documents;
mod frame;
mod navigate;
mod semantic;
mod serve;
mod state;

pub use documents::Document;
pub use frame::{Frame, MAX_FRAME_BYTES, MAX_HEADER_BYTES, read, write};
pub use serve::{Ended, serve};
