//! The tests of the whole system, a module a subject, in one program. `each` and `reference` are what they share, `front_end`
//! what they share with `tests/kernel/`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod each;
#[cfg(unix)]
mod front_end;
#[path = "../../engine/tests/it/reference.rs"]
mod reference;

mod book;
mod canon;
mod catalog;
mod circles;
mod cli;
mod damaged;
mod examples;
mod explain;
mod fmt;
mod gallery;
mod killed;
mod labelling;
mod language;
mod lsp;
mod lsp_frames;
mod notebooks;
mod reads;
mod recipe;
mod repl;
mod reproducibility;
#[cfg(unix)]
mod rust_cells;
mod sealed;
#[cfg(unix)]
mod shards;
mod tidy;
mod wheel;
#[cfg(unix)]
mod widgets;
