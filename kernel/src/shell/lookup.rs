//! Completion, inspection, completeness of a cell, and history. The protocol counts cursors in code points; the rest of the program
//! counts bytes.

use super::Shell;
use crate::history::{CellRecord, HistoryQuery};
use crate::wire::Request;
use convscope_dsl::complete::Candidate;
use convscope_dsl::inspect::Completeness;
use serde_json::{Value, json};

/// How many cells of the history are returned where the request does not say.
const DEFAULT_CELLS: i64 = 1000;

impl Shell {
    pub(super) fn complete(&self, request: &Request) {
        let code = request.text("code");
        let found = self.language.complete(code, cursor(request, code));
        let (start, end) = (points(code, found.start), points(code, found.end));
        let types: Vec<Value> = found.candidates.iter().map(|c| typed(c, start, end)).collect();
        let matches: Vec<&str> = found.candidates.iter().map(|c| c.text.as_str()).collect();
        self.reply(
            request,
            json!({
                "status": "ok",
                "matches": matches,
                "cursor_start": start,
                "cursor_end": end,
                "metadata": { "_jupyter_types_experimental": types },
            }),
        );
    }

    pub(super) fn inspect(&self, request: &Request) {
        let code = request.text("code");
        let found = self.language.inspect(code, cursor(request, code));
        let data = found.as_ref().map_or(json!({}), |text| json!({ "text/plain": text }));
        self.reply(request, json!({ "status": "ok", "found": found.is_some(), "data": data, "metadata": {} }));
    }

    pub(super) fn is_complete(&self, request: &Request) {
        let code = request.text("code");
        let reply = match self.language.is_complete(code) {
            Completeness::Complete => json!({ "status": "complete" }),
            Completeness::Invalid => json!({ "status": "invalid" }),
            Completeness::Incomplete => json!({ "status": "incomplete", "indent": indent(code) }),
        };
        self.reply(request, reply);
    }

    pub(super) fn history(&self, request: &Request) {
        let number = |name: &str| request.number(name);
        let wanted = match request.text("hist_access_type") {
            "range" => {
                HistoryQuery::Range(number("session").unwrap_or(0), number("start").unwrap_or(1), number("stop"))
            }
            "search" => {
                let pattern = request.content.get("pattern").and_then(Value::as_str).unwrap_or("*");
                let n = number("n").and_then(|n| usize::try_from(n).ok());
                HistoryQuery::Search(pattern.to_string(), n, request.flag("unique", false))
            }
            _ => HistoryQuery::Tail(usize::try_from(number("n").unwrap_or(DEFAULT_CELLS)).unwrap_or(0)),
        };
        let with_output = request.flag("output", false);
        let entry = |l: &CellRecord| match with_output {
            true => json!([l.session, l.line, [l.source, l.output]]),
            false => json!([l.session, l.line, l.source]),
        };
        let lines: Vec<Value> = self.history.find(&wanted).into_iter().map(entry).collect();
        self.reply(request, json!({ "status": "ok", "history": lines }));
    }
}

/// The byte offset of a request's cursor; the end of the code where the cursor is missing or beyond it.
fn cursor(request: &Request, code: &str) -> usize {
    let at = request.number("cursor_pos").and_then(|n| usize::try_from(n).ok());
    at.and_then(|n| code.char_indices().nth(n)).map_or(code.len(), |(byte, _)| byte)
}

/// A byte offset in code points.
fn points(code: &str, byte: usize) -> usize {
    code.char_indices().take_while(|(at, _)| *at < byte).count()
}

fn typed(candidate: &Candidate, start: usize, end: usize) -> Value {
    json!({
        "start": start,
        "end": end,
        "text": candidate.text,
        "type": candidate.kind,
        "signature": candidate.detail,
    })
}

/// The indentation of the next line of an unfinished cell.
fn indent(code: &str) -> String {
    let last = code.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("");
    let blanks: String = last.chars().take_while(|c| c.is_whitespace()).collect();
    match last.trim_end().ends_with(['{', '(', '[']) {
        true => blanks + "    ",
        false => blanks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_counted_in_code_points() {
        assert_eq!((points("é𝄞x", 2), points("é𝄞x", 6), points("é𝄞x", 7)), (1, 2, 3));
    }

    #[test]
    fn the_next_line_stands_where_the_last_one_stood() {
        assert_eq!(indent("fn f() {\n"), "    ");
        assert_eq!(indent("fn f() {\n    let x = 1;\n"), "    ");
        assert_eq!(indent("let t = `"), "");
    }
}
