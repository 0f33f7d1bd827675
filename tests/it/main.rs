//! The tests of the whole system, a module a subject, in one program. `each`, `instruction_sets`, `onnx_bytes`, `reference` and
//! `shown` are what they share, `front_end` what they share with `tests/kernel/`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod each;
#[cfg(unix)]
mod front_end;
#[path = "../../engine/tests/it/instruction_sets.rs"]
mod instruction_sets;
#[allow(dead_code)] // The engine's tests write more.
#[path = "../../engine/tests/it/onnx_bytes.rs"]
mod onnx_bytes;
#[path = "../../engine/tests/it/reference.rs"]
mod reference;
mod shown;

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
mod vectors;
mod wheel;
#[cfg(unix)]
mod widgets;
