//! Diagnostics: message, place and hint in one form, for errors of the parser, of scripts and of the engine:
//!
//! ```text
//! error: no layer `conv_5` in `squeezenet1_1`
//!   cat.rhai:2:19
//!   2 | let l = net.layer("conv_5");
//!     |                   ^^^^^^^^
//!   hint: did you mean `conv10` or `conv1`? `net.layers` lists all 66
//! ```

mod explain;
mod span;

pub use explain::Known;

use convscope_engine::Error;
use convscope_engine::error::Kind;
use rhai::{EvalAltResult, ParseError, Position};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How many calls are listed.
const MAX_CALLS: usize = 6;

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The script as its user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of the line.
    pub text: String,
    /// The length of the underlined part, characters, at least 1.
    pub length: usize,
}

/// The origin of code: its name in messages and its text.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    file: Arc<str>,
    source: Arc<str>,
}

impl Origin {
    /// The text `source`; messages call it `file`.
    pub fn new(file: &str, source: &str) -> Self {
        Origin { file: file.into(), source: source.into() }
    }
}

/// The origins of a session's functions, by name.
pub type Origins = BTreeMap<String, Origin>;

/// An error in the form that users see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind of error.
    pub kind: Kind,
    /// What was requested and what exists.
    pub message: String,
    /// The place, where it is known.
    pub spot: Option<Spot>,
    /// The calls that led to it, innermost first, each with function and place.
    pub calls: Vec<String>,
    /// The hint.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn of(error: Error) -> Self {
        Diagnostic { kind: error.kind, message: error.message, spot: None, calls: Vec::new(), hint: error.hint }
    }

    /// A parser error in `source`.
    pub fn parse(file: &str, source: &str, error: &ParseError, known: &Known<'_>) -> Self {
        let error = EvalAltResult::ErrorParsing((*error.err_type()).clone(), error.position());
        Self::at(&Origin::new(file, source), &Origins::new(), &error, known)
    }

    /// A run-time error in the code of `origin`, which may call functions from other origins.
    pub fn at(origin: &Origin, origins: &Origins, error: &EvalAltResult, known: &Known<'_>) -> Self {
        let mut calls = Vec::new();
        let mut inner = error;
        let mut inside = None;
        let mut origin = origin;
        while let EvalAltResult::ErrorInFunctionCall(raw, _, next, position) = inner {
            let name = if raw.starts_with("anon$") { "a closure".to_string() } else { format!("`{raw}`") };
            if !position.is_none() {
                let line = position.line().unwrap_or(0);
                calls.push(format!(
                    "in {name}, called from {}:{line}:{}",
                    origin.file,
                    position.position().unwrap_or(1)
                ));
            }
            inside = Some(name);
            inner = next;
            origin = origins.get(raw).unwrap_or(origin);
        }
        calls.reverse();
        if calls.len() > MAX_CALLS {
            let more = calls.len() - MAX_CALLS;
            calls.truncate(MAX_CALLS);
            calls.push(format!("and {more} calls more"));
        }
        let source = &*origin.source;
        let (kind, message, hint) = explain::explain(inner, source, inside.as_deref(), known);
        let place = explain::unclosed_comment(source, inner).or_else(|| start(source, inner.position()));
        let spot = place.map(|at| {
            let range = span::span(source, at, inner, &message);
            spot(&origin.file, source, range)
        });
        Diagnostic { kind, message, spot, calls, hint }
    }

    /// The error for a terminal or a notebook: as [`Display`](fmt::Display) writes it, coloured with ANSI codes.
    pub fn ansi(&self) -> String {
        let paint = |line: &str| {
            let (code, from) = match line.trim_start() {
                l if l.starts_with("error: ") => ("1;31", 0),
                l if l.starts_with("hint: ") => ("32", 0),
                l if l.starts_with("| ") && l.ends_with('^') => ("1;31", line.find('^').unwrap_or(0)),
                l if l.contains(" | ") => return line.to_string(),
                _ => ("36", 0),
            };
            format!("{}\x1b[{code}m{}\x1b[0m", &line[..from], &line[from..])
        };
        self.to_string().lines().map(paint).collect::<Vec<_>>().join("\n")
    }
}

fn start(source: &str, position: Position) -> Option<usize> {
    Some(crate::source::offset(source, position.line()?, position.position().unwrap_or(1)))
}

fn spot(file: &str, source: &str, range: std::ops::Range<usize>) -> Spot {
    let (line, column) = crate::source::line_column(source, range.start);
    let text = source.lines().nth(line - 1).unwrap_or("").to_string();
    let room = text.chars().count().saturating_sub(column - 1);
    let meant = source.get(range).map_or(1, |s| s.lines().next().unwrap_or("").trim_end().chars().count());
    Spot { file: file.to_string(), line, column, length: meant.min(room).max(1), text }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(spot) = &self.spot {
            let number = spot.line.to_string();
            let gutter = " ".repeat(number.len());
            let before: String =
                spot.text.chars().take(spot.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {}:{}:{}", spot.file, spot.line, spot.column)?;
            write!(f, "\n  {number} | {}", spot.text)?;
            write!(f, "\n  {gutter} | {before}{}", "^".repeat(spot.length))?;
        }
        for call in &self.calls {
            write!(f, "\n  {call}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
