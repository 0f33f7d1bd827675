//! How a cell or a script ended: a value, an error, an interrupt, or a panic in native code.

use crate::diag::Diagnostic;
use crate::shown::Shown;
use convscope_engine::Error;
use convscope_engine::error::Kind;

/// How a cell or a script ended.
#[derive(Clone, Debug, Default)]
pub struct CellResult {
    /// The value of the last expression, where it is not `()`.
    pub value: Option<Shown>,
    /// The error.
    pub error: Option<Diagnostic>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// Whether a cell ends in `;`, so that its value is not shown.
pub(super) fn ends_quietly(source: &str) -> bool {
    let all = crate::source::tokens(source);
    let last = all.iter().rfind(|t| !matches!(t.class, crate::source::Class::Comment { .. }));
    last.is_some_and(|t| t.text(source) == ";")
}

pub(super) fn stopped() -> Diagnostic {
    Diagnostic::of(Error::new(Kind::Interrupted, "interrupted"))
}

/// The error for a text that would have been too long.
pub(super) fn text_too_long() -> Error {
    Error::value("a text grew too large").hint(crate::bounds::SIZE_HINT)
}

pub(super) fn failed(error: Diagnostic) -> CellResult {
    CellResult { error: Some(error), ..CellResult::default() }
}

/// The error for a panic, which is a defect of convscope.
pub(super) fn defect(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_else(|| "a defect without a message".into());
    Error::internal(format!("a defect of convscope: {text}")).hint("please report it with the script that shows it")
}
