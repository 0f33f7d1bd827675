//! How deep and how large a script and its values may be, and the stack for both.

use rhai::{AST, Engine, Scope};
use std::sync::{Arc, Mutex, PoisonError};

/// The stack of a thread that runs a script or frees its values, bytes.
pub const STACK: usize = 256 << 20;

/// The same bounds in debug and release builds: deep enough for people, and not for a runaway script.
pub fn limits(engine: &mut Engine) {
    engine.set_max_expr_depths(256, 256);
    engine.set_max_call_levels(256);
    engine.set_max_operations(0);
    engine.set_max_string_size(64 << 20);
    engine.set_max_array_size(16 << 20);
    engine.set_max_map_size(1 << 20);
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
