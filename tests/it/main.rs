//! The tests of the whole system, a module a subject, in one program. `front_end` is shared with `tests/kernel.rs`.
#![allow(clippy::unwrap_used)]

#[cfg(unix)]
mod front_end;

mod catalog;
mod cli;
mod examples;
mod gallery;
mod labelling;
mod language;
mod notebooks;
mod repl;
mod reproducibility;
#[cfg(unix)]
mod rust_cells;
mod tidy;
