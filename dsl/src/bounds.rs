//! How deep and how large a script and its values may be, and the stack for both.

use rhai::{AST, Engine, EvalAltResult, ImmutableString, Scope};
use std::sync::{Arc, Mutex, PoisonError};

/// The stack of a thread that runs a script or frees its values, bytes.
pub const STACK: usize = 256 << 20;

/// The longest text that a script may make, bytes.
const TEXT: usize = 64 << 20;

/// The same bounds in debug and release builds: deep enough for people, and not for a runaway script.
pub fn limits(engine: &mut Engine) {
    engine.set_max_expr_depths(256, 256);
    engine.set_max_call_levels(256);
    engine.set_max_operations(0);
    engine.set_max_string_size(TEXT);
    engine.set_max_array_size(16 << 20);
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
