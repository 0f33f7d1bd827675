//! Limits on the depth and size of a script and its values, and the stack for both.

use rhai::{AST, Engine, EvalAltResult, ImmutableString, Scope};
use std::sync::{Arc, Mutex, PoisonError};

/// The stack of a thread that runs a script or frees its values, bytes.
pub const STACK: usize = 256 << 20;

/// The longest text that a script may make, bytes, and the fraction of the memory limit that a text may take: values made from
/// a text take many times as much.
pub const TEXT: usize = 64 << 20;
const TEXT_SHARE: u64 = 16;

/// What to do where a list or text grows too large.
pub const RAISES: &str = "what lists and texts may take follows the memory, which `--memory` sets, up to 64 MB a text";

/// The entries of the longest list that a script may make, and the bytes of memory that there must be for each: an entry takes
/// 16, and a sum of two lists copies both.
const LIST: usize = 16 << 20;
const FOR_AN_ENTRY: u64 = 64;

/// The same bounds in debug and release builds: deep enough for people, and not for a runaway script. Lists and texts are
/// bounded by `memory`, bytes, as well.
pub fn limits(engine: &mut Engine, memory: u64) {
    let part = |share: u64, most: usize| usize::try_from(memory / share).map_or(most, |n| n.clamp(1 << 16, most));
    engine.set_max_expr_depths(256, 256);
    engine.set_max_call_levels(256);
    engine.set_max_operations(0);
    engine.set_max_string_size(part(TEXT_SHARE, TEXT));
    engine.set_max_array_size(part(FOR_AN_ENTRY, LIST));
    engine.set_max_map_size(1 << 20);
    // rhai looks at a text's length after it was made; these can make one that fills the memory.
    engine.register_fn("replace", |text: &mut ImmutableString, find: &str, with: &str| replace(text, find, with));
    engine.register_fn("replace", |text: &mut ImmutableString, find: char, with: &str| {
        replace(text, find.encode_utf8(&mut [0; 4]), with)
    });
}

/// Replaces all of `find` in a text, where the result is not too long.
fn replace(text: &mut ImmutableString, find: &str, with: &str) -> Result<(), Box<EvalAltResult>> {
    let grown = text.matches(find).count().saturating_mul(with.len()).saturating_add(text.len());
    if grown > TEXT.saturating_add(text.len()) {
        let what = "Length of string".to_string();
        return Err(EvalAltResult::ErrorDataTooLarge(what, rhai::Position::NONE).into());
    }
    *text = text.replace(find, with).into();
    Ok(())
}

/// Frees values on a thread with the stack that deep ones need.
pub fn free(scope: Scope<'static>, defined: AST) {
    if scope.is_empty() {
        return;
    }
    let kept = Arc::new(Mutex::new(Some((scope, defined))));
    let given = kept.clone();
    let freed = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || drop(given.lock().unwrap_or_else(PoisonError::into_inner).take()));
    match freed {
        Ok(thread) => drop(thread.join()),
        // Without a thread they are left to the end of the process.
        Err(_) => std::mem::forget(kept),
    }
}
