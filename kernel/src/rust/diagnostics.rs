//! Diagnostics of a Rust cell: compiler errors, panics, processes that ended.

use convscope_dsl::Diagnostic;
use convscope_dsl::diag::Spot;
use convscope_engine::error::Kind;
use serde_json::Value;

/// A cell as the user wrote it, and the code that was inserted before its first line of Rust.
pub struct Written<'a> {
    /// The cell's name in messages.
    pub file: &'a str,
    /// The user's text.
    pub code: &'a str,
    /// The line into which code was inserted, from 1.
    pub line: usize,
    /// The length of the inserted code, characters.
    pub width: usize,
}

impl Written<'_> {
    /// A place that Rust reports, in the cell's own text; none where it lies elsewhere.
    fn spot(&self, place: &Value) -> Option<Spot> {
        let number = |name: &str| place[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let (line, mut column) = (number("line")?, number("column")?);
        if line == self.line {
            column = column.checked_sub(self.width).filter(|c| *c > 0)?;
        }
        let text = self.code.lines().nth(line.checked_sub(1)?)?.to_string();
        let room = (text.chars().count() + 1).saturating_sub(column);
        let length = number("length").unwrap_or(1).min(room).max(1);
        Some(Spot { file: self.file.to_string(), line, column, text, length })
    }
}

/// A sentence on what is lost, and what remains, after Rust's process ended.
pub fn lost(ended: &Value) -> String {
    let names: Vec<String> =
        ended["lost"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|n| format!("`{n}`")).collect();
    match names.len() {
        0 => "all variables are as they were".into(),
        1 => format!(
            "Rust's variable {} is gone; its functions, types and crates stay, and all variables of rhai",
            names[0]
        ),
        _ => {
            let names = names.join(", ");
            format!(
                "Rust's variables {names} are gone; its functions, types and crates stay, and all variables of rhai"
            )
        }
    }
}

/// The diagnostic of a cell; none where it ended well.
pub fn diagnostic(ended: &Value, written: &Written<'_>) -> Option<Diagnostic> {
    let message = ended["message"].as_str().unwrap_or("").trim();
    let plain = |kind: Kind, message: String, hint: Option<String>| {
        Some(Diagnostic { kind, message, spot: written.spot(ended), calls: Vec::new(), hint })
    };
    match ended["failed"].as_str()? {
        "compile" => Some(compile(ended, written)),
        "interrupted" => plain(Kind::Interrupted, "interrupted".into(), Some(lost(ended))),
        "panic" => plain(Kind::Value, format!("the cell panicked: {message}"), None),
        "error" => plain(Kind::Value, format!("`?` left the cell: {message}"), None),
        "died" => plain(Kind::Value, format!("the cell ended Rust's process: {}", status(message)), Some(lost(ended))),
        _ if ended["lost"].is_array() => plain(Kind::Value, message.into(), Some(lost(ended))),
        _ => plain(Kind::Value, message.into(), None),
    }
}

/// The first error of the compiler with its place, followed by the others.
fn compile(ended: &Value, written: &Written<'_>) -> Diagnostic {
    let errors: Vec<&Value> = ended["errors"].as_array().into_iter().flatten().collect();
    let text = |error: &Value| {
        let code = error["code"].as_str().map_or(String::new(), |c| format!(" ({c})"));
        format!("{}{code}", error["message"].as_str().unwrap_or("").trim())
    };
    let first = errors.first().copied().unwrap_or(&Value::Null);
    let more = errors.iter().skip(1).map(|error| match written.spot(error) {
        Some(spot) => format!("also {}:{}:{}: {}", spot.file, spot.line, spot.column, text(error)),
        None => format!("also: {}", text(error)),
    });
    let label =
        first["label"].as_str().filter(|l| !l.is_empty() && !l.contains(first["message"].as_str().unwrap_or("?")));
    let help = first["help"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let hints: Vec<String> = label.into_iter().chain(help).map(one_line).collect();
    Diagnostic {
        kind: Kind::Value,
        message: text(first),
        spot: written.spot(first),
        calls: more.collect(),
        hint: (!hints.is_empty()).then(|| hints.join("; ")),
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The status in evcxr's message about a process that ended: "signal: 6 (SIGABRT)".
pub fn status(message: &str) -> String {
    let last = message.lines().last().unwrap_or("").trim();
    last.strip_prefix("Subprocess terminated with status: ").unwrap_or(last).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_those_of_the_cell() {
        let written = Written { file: "cell[2]", code: "%%rust\nlet x = y;\nlet é = z;", line: 2, width: 50 };
        let errors = json!([
            { "message": "no y", "code": "E0425", "line": 2, "column": 59, "length": 1, "help": ["write\n\n it"] },
            { "message": "no z", "code": "E0425", "line": 3, "column": 9, "length": 9 },
            { "message": "generated", "line": 2, "column": 7 },
            { "message": "behind", "line": 4, "column": 1 },
        ]);
        let found = diagnostic(&json!({ "failed": "compile", "errors": errors }), &written).unwrap();
        assert_eq!(found.message, "no y (E0425)");
        let spot = found.spot.unwrap();
        assert_eq!((spot.line, spot.column, spot.text.as_str()), (2, 9, "let x = y;"));
        assert_eq!(found.calls, ["also cell[2]:3:9: no z (E0425)", "also: generated", "also: behind"]);
        assert_eq!(found.hint.as_deref(), Some("write it"));
    }

    #[test]
    fn an_end_says_what_is_gone() {
        let written = Written { file: "cell", code: "", line: 1, width: 0 };
        let died = json!({ "failed": "died", "message": "x\nSubprocess terminated with status: signal: 6 (SIGABRT)", "lost": ["a"] });
        let found = diagnostic(&died, &written).unwrap();
        assert_eq!(found.message, "the cell ended Rust's process: signal: 6 (SIGABRT)");
        assert!(found.hint.unwrap().starts_with("Rust's variable `a` is gone"));
        assert!(diagnostic(&json!({ "forms": {} }), &written).is_none());
    }
}
