//! Engine errors on their way through rhai: a value with `.message`, `.hint` and `.kind`, which `catch` receives.

use crate::library::Library;
use convscope_engine::Error;
use rhai::{Dynamic, EvalAltResult, Position};
use std::fmt;

/// The result of functions bound to rhai.
pub type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// An engine error as a script's value.
#[derive(Clone, Debug)]
pub struct CaughtError(pub Error);

impl fmt::Display for CaughtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rhai error that carries `error`; rhai adds the call's position.
pub fn raise(error: Error) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(Dynamic::from(CaughtError(error)), Position::NONE).into()
}

/// Converts an engine's result to a rhai function's.
pub trait Raise<T> {
    /// The value, or the error as a rhai error.
    fn raise(self) -> Fallible<T>;
}

impl<T, E: Into<Error>> Raise<T> for Result<T, E> {
    fn raise(self) -> Fallible<T> {
        self.map_err(|e| raise(e.into()))
    }
}

/// The engine error inside a rhai error, where it carries one.
pub fn carried(error: &EvalAltResult) -> Option<Error> {
    match error {
        // An error that ends a script and cannot be caught.
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => {
            value.clone().try_cast::<CaughtError>().map(|c| c.0)
        }
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) => {
            carried(inner)
        }
        _ => None,
    }
}

/// Binds the getters of a caught error.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<CaughtError>("error", "The error in a `catch (e)` block.");
    library.getter("error.message -> text", "What was requested and what exists.", |e: &mut CaughtError| {
        e.0.message.clone()
    });
    library.getter(
        "error.hint -> text",
        "What to do about it; empty where nothing is known.",
        |e: &mut CaughtError| e.0.hint.clone().unwrap_or_default(),
    );
    library.getter(
        "error.kind -> text",
        "One word: not_found, value, shape, subject, io, format, unsupported, unreachable, internal.",
        |e: &mut CaughtError| e.0.kind.name().to_string(),
    );
    library.text::<CaughtError>(|e| e.0.message.clone());
}
