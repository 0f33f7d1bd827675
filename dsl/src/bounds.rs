//! Limits on the depth and size of a script and its values, and the stack that such depth needs.

use rhai::{AST, Engine, EvalAltResult, ImmutableString, Scope};
use std::sync::{Arc, Mutex, PoisonError};

/// The stack of a thread that runs a script or frees its values, bytes.
pub const STACK_BYTES: usize = 256 << 20;

/// The longest text that a script may make, bytes, and the fraction of the memory limit that a text may take: values computed
/// from a text can take many times its size.
pub const MAX_TEXT_BYTES: usize = 64 << 20;
const TEXT_SHARE: u64 = 16;

/// The hint where a list or text grows too large.
pub const SIZE_HINT: &str =
    "what lists and texts may take follows the memory, which `--memory` sets, up to 64 MB a text";

/// The longest list that a script may make, entries, and the bytes of memory required for each entry: an entry takes 16, and a
/// sum of two lists copies both.
const MAX_LIST_ENTRIES: usize = 16 << 20;
const MEMORY_PER_ENTRY: u64 = 64;

/// Sets the same limits in debug and release builds: deep enough for people, but not for runaway recursion. Lists and texts are
/// also limited by `memory`, bytes.
pub fn limits(engine: &mut Engine, memory: u64) {
    let part = |share: u64, most: usize| usize::try_from(memory / share).map_or(most, |n| n.clamp(1 << 16, most));
    engine.set_max_expr_depths(256, 256);
    engine.set_max_call_levels(256);
    engine.set_max_operations(0);
    engine.set_max_string_size(part(TEXT_SHARE, MAX_TEXT_BYTES));
    engine.set_max_array_size(part(MEMORY_PER_ENTRY, MAX_LIST_ENTRIES));
    engine.set_max_map_size(1 << 20);
    // rhai checks a text's length only after making it; these functions could make a text that fills the memory.
    engine.register_fn("replace", |text: &mut ImmutableString, find: &str, with: &str| replace(text, find, with));
    engine.register_fn("replace", |text: &mut ImmutableString, find: char, with: &str| {
        replace(text, find.encode_utf8(&mut [0; 4]), with)
    });
}

/// Replaces all occurrences of `find` in a text; an error where the result would be too long.
fn replace(text: &mut ImmutableString, find: &str, with: &str) -> Result<(), Box<EvalAltResult>> {
    let grown = text.matches(find).count().saturating_mul(with.len()).saturating_add(text.len());
    if grown > MAX_TEXT_BYTES.saturating_add(text.len()) {
        let what = "Length of string".to_string();
        return Err(EvalAltResult::ErrorDataTooLarge(what, rhai::Position::NONE).into());
    }
    *text = text.replace(find, with).into();
    Ok(())
}

/// Frees values on a thread whose stack suffices for deep ones.
pub fn free(scope: Scope<'static>, defined: AST) {
    if scope.is_empty() {
        return;
    }
    let kept = Arc::new(Mutex::new(Some((scope, defined))));
    let given = kept.clone();
    let freed = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || drop(given.lock().unwrap_or_else(PoisonError::into_inner).take()));
    match freed {
        Ok(thread) => drop(thread.join()),
        // Where no thread can be started, the values stay until the process ends.
        Err(_) => std::mem::forget(kept),
    }
}
