//! Scripts as notebooks and back, byte for byte. A line `// %%` begins a cell of code, `// %% [markdown]` one of Markdown, whose
//! lines are comments; within a text, a comment, a block or a list such a line begins no cell.
//!
//! Details without a field in notebooks (the form of a marker, line ends after a cell, comments that do not begin with `// `) are
//! stored in the cells' metadata under `convscope`, so that scripts are restored byte for byte, and edited cells as edited.

use crate::source::{Class, Token, tokens};
use convscope_engine::{Error, Result};
use serde_json::{Map, Value, json};

const CELL_MARKER: &str = "// %%";

/// The kind of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Code.
    Code,
    /// Markdown.
    Markdown,
    /// Raw text.
    Raw,
}

/// A cell of a script: its marker line, where it has one, and its body. All cells in sequence are the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its kind.
    pub kind: CellKind,
    /// The marker line with its line end; empty where the cell has none.
    pub marker: String,
    /// Everything up to the next cell.
    pub body: String,
}

/// The cells of a script.
pub fn cells(source: &str) -> Vec<Cell> {
    let mut cuts: Vec<(usize, usize, CellKind)> = Vec::new();
    let mut depth = 0usize;
    for token in tokens(source) {
        let text = token.text(source);
        match token.class {
            Class::Mark if matches!(text, "(" | "[" | "{" | "#{") => depth += 1,
            Class::Mark if matches!(text, ")" | "]" | "}") => depth = depth.saturating_sub(1),
            Class::Comment { .. } if depth == 0 => {
                let starts = token.at.start == 0 || source.as_bytes()[token.at.start - 1] == b'\n';
                if let Some(kind) = marked(text).filter(|_| starts) {
                    let end = source[token.at.end..].starts_with('\n') as usize + token.at.end;
                    cuts.push((token.at.start, end, kind));
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    let first = cuts.first().map_or(source.len(), |c| c.0);
    if first > 0 || cuts.is_empty() {
        found.push(Cell { kind: CellKind::Code, marker: String::new(), body: source[..first].to_string() });
    }
    for (i, (start, end, kind)) in cuts.iter().enumerate() {
        let next = cuts.get(i + 1).map_or(source.len(), |c| c.0);
        let (marker, body) = (source[*start..*end].to_string(), &source[*end..next]);
        let text = if *kind == CellKind::Code { body.len() } else { commented(body) };
        found.push(Cell { kind: *kind, marker, body: body[..text].to_string() });
        if text < body.len() {
            found.push(Cell { kind: CellKind::Code, marker: String::new(), body: body[text..].to_string() });
        }
    }
    found
}

/// The script with a `;` after the last statement of every code cell but the last: a cell may end in a value, which is shown,
/// while in a script the expression would continue. Line numbers do not change.
pub fn runnable(source: &str) -> String {
    let cells = cells(source);
    let last = cells.len().saturating_sub(1);
    let mut joined = String::with_capacity(source.len() + cells.len());
    for (i, cell) in cells.iter().enumerate() {
        joined.push_str(&cell.marker);
        let is_code = |t: &Token| !matches!(t.class, Class::Comment { .. }) && !t.text(&cell.body).trim().is_empty();
        let end = tokens(&cell.body).into_iter().rfind(is_code);
        match end.filter(|t| cell.kind == CellKind::Code && i < last && t.text(&cell.body) != ";") {
            Some(end) => {
                let (front, back) = cell.body.split_at(end.at.end);
                joined.extend([front, ";", back]);
            }
            None => joined.push_str(&cell.body),
        }
    }
    joined
}

/// The kind of cell that a comment begins, where it begins one.
fn marked(comment: &str) -> Option<CellKind> {
    let rest = comment.strip_prefix(CELL_MARKER)?;
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return None;
    }
    Some(match rest.split_whitespace().next() {
        Some("[markdown]") => CellKind::Markdown,
        Some("[raw]") => CellKind::Raw,
        _ => CellKind::Code,
    })
}

/// The length of the comments in a body: all of it where the rest is empty lines, else the first lines.
fn commented(body: &str) -> usize {
    let comment = |line: &&str| line.starts_with("//");
    if body.split_inclusive('\n').all(|line| comment(&line) || line.trim().is_empty()) {
        return body.len();
    }
    body.split_inclusive('\n').take_while(comment).map(str::len).sum()
}

/// The script as a notebook of format 4.5, without outputs.
pub fn to_notebook(source: &str) -> Value {
    let cells = cells(source);
    let last = cells.len().saturating_sub(1);
    let cells: Vec<Value> = cells.iter().enumerate().map(|(i, cell)| cell.json(i, i == last)).collect();
    json!({
        "cells": cells,
        "metadata": {
            "kernelspec": { "display_name": "convscope", "language": "rhai", "name": "convscope" },
            "language_info": { "codemirror_mode": "rust", "file_extension": ".rhai", "mimetype": "text/x-rhai", "name": "rhai", "pygments_lexer": "rust" },
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    })
}

/// A notebook's JSON, formatted as Jupyter writes it.
pub fn layout(notebook: &Value) -> Result<String> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut writer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(notebook, &mut writer).map_err(|e| Error::internal(e.to_string()))?;
    out.push(b'\n');
    String::from_utf8(out).map_err(|e| Error::internal(e.to_string()))
}

impl Cell {
    /// The text that a notebook shows: code unchanged, comments without slashes; without line ends at the end.
    pub fn text(&self) -> String {
        match self.kind {
            CellKind::Code => self.whole().to_string(),
            _ => self.whole().split('\n').map(uncommented).collect::<Vec<_>>().join("\n"),
        }
    }

    /// The body without line ends at its end.
    fn whole(&self) -> &str {
        self.body.trim_end_matches(['\r', '\n'])
    }

    fn json(&self, index: usize, last: bool) -> Value {
        let (text, whole) = (self.text(), self.whole());
        let tail = &self.body[whole.len()..];
        let mut kept = Map::new();
        if self.marker != marker(self.kind) {
            kept.insert("marker".into(), self.marker.clone().into());
        }
        if tail != ending(last) {
            kept.insert("tail".into(), tail.into());
        }
        if body(self.kind, &text) != whole {
            kept.insert("raw".into(), whole.into());
        }
        let metadata = if kept.is_empty() { json!({}) } else { json!({ "convscope": kept }) };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let id = format!("cell-{}", index + 1);
        match self.kind {
            CellKind::Code => json!({
                "cell_type": "code", "execution_count": null, "id": id, "metadata": metadata, "outputs": [], "source": lines,
            }),
            CellKind::Markdown => json!({ "cell_type": "markdown", "id": id, "metadata": metadata, "source": lines }),
            CellKind::Raw => json!({ "cell_type": "raw", "id": id, "metadata": metadata, "source": lines }),
        }
    }
}

fn marker(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Code => "// %%\n",
        CellKind::Markdown => "// %% [markdown]\n",
        CellKind::Raw => "// %% [raw]\n",
    }
}

fn ending(last: bool) -> &'static str {
    if last { "\n" } else { "\n\n" }
}

/// A cell's text in the form of a script.
fn body(kind: CellKind, text: &str) -> String {
    match kind {
        CellKind::Code => text.to_string(),
        _ => text.split('\n').map(commented_line).collect::<Vec<_>>().join("\n"),
    }
}

fn commented_line(line: &str) -> String {
    match line {
        "" | "\r" => format!("//{line}"),
        // Behind `// ` it would begin a cell.
        line if line.starts_with("%%") => format!("//{line}"),
        line => format!("// {line}"),
    }
}

fn uncommented(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("//") else { return line };
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// The script in a notebook's JSON; outputs are left out.
///
/// # Errors
/// Where the JSON is no notebook of format 4, or one of another language.
pub fn to_script(notebook: &str) -> Result<String> {
    let wrong = |what: &str| Error::format(format!("no notebook: {what}"));
    let notebook: Value =
        serde_json::from_str(notebook.trim_start_matches('\u{feff}')).map_err(|e| wrong(&e.to_string()))?;
    match notebook.get("nbformat").and_then(Value::as_u64) {
        Some(4) => {}
        Some(other) => {
            return Err(Error::unsupported(format!("a notebook of format {other}"))
                .hint("`jupyter nbconvert --to notebook` brings it to format 4"));
        }
        None => return Err(wrong("it has no `nbformat`")),
    }
    let language =
        notebook.pointer("/metadata/language_info/name").or(notebook.pointer("/metadata/kernelspec/language"));
    if let Some(other) = language.and_then(Value::as_str).filter(|l| *l != "rhai") {
        return Err(Error::unsupported(format!("a notebook whose cells are {other}, not rhai")));
    }
    let cells = notebook.get("cells").and_then(Value::as_array).ok_or_else(|| wrong("it has no list of cells"))?;
    let mut out = String::new();
    for (i, cell) in cells.iter().enumerate() {
        let kind = match cell.get("cell_type").and_then(Value::as_str) {
            Some("code") => CellKind::Code,
            Some("markdown") => CellKind::Markdown,
            Some("raw") => CellKind::Raw,
            other => return Err(wrong(&format!("cell {} is of type {other:?}", i + 1))),
        };
        let text = match cell.get("source") {
            Some(Value::String(s)) => s.clone(),
            Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
            _ => return Err(wrong(&format!("cell {} has no source", i + 1))),
        };
        if kind == CellKind::Code && text.trim_start().starts_with("%%rust") {
            return Err(Error::unsupported(format!("cell {} is in Rust, which only notebooks run", i + 1))
                .hint("scripts are rhai throughout; a program in Rust uses the crate `convscope`"));
        }
        let kept = |name: &str| cell.pointer(&format!("/metadata/convscope/{name}")).and_then(Value::as_str);
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out += kept("marker").unwrap_or(marker(kind));
        // The stored details are valid only while the cell is not edited.
        let as_written =
            kept("raw").filter(|raw| Cell { kind, marker: String::new(), body: raw.to_string() }.text() == text);
        out += &as_written.map_or_else(|| body(kind, &text), str::to_string);
        out += kept("tail").unwrap_or(ending(i + 1 == cells.len()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn there_and_back(source: &str) -> Value {
        let joined: String = cells(source).iter().map(|c| format!("{}{}", c.marker, c.body)).collect();
        assert_eq!(joined, source);
        let notebook = layout(&to_notebook(source)).unwrap();
        assert_eq!(to_script(&notebook).unwrap(), source, "{notebook}");
        serde_json::from_str(&notebook).unwrap()
    }

    fn kinds(source: &str) -> Vec<CellKind> {
        cells(source).iter().map(|c| c.kind).collect()
    }

    #[test]
    fn cells_that_end_in_a_value_run_as_a_script() {
        let script = "// %% [markdown]\n// a text\n// %%\nlet a = 2;\na // shown\n// %%\n#{ b: a }\n// %%\nif a > 1 { a += 1 }\n// %%\n\n// %%\na";
        let run = runnable(script);
        assert_eq!(run.replace(';', ""), script.replace(';', ""));
        assert_eq!(rhai::Engine::new().eval::<i64>(&run).unwrap(), 3);
        assert!(run.contains("a; // shown"), "{run}");
        assert_eq!(runnable("let a = 1;\na"), "let a = 1;\na");
    }

    #[test]
    fn hard_scripts_come_back_byte_for_byte() {
        for source in [
            "",
            "\n",
            "\r\n\r\n",
            "let a = 1;",
            "// %%",
            "// %%\n",
            "// %%\r\nlet a = 1;\r\n// %% [markdown]\r\n// # é 漢字 🦀\r\n//\r\n// b\r\n",
            "#!/usr/bin/env -S convscope run\n// /// convscope\n// seed = 1\n// ///\nprint(1);\n",
            "\u{feff}// %%\nprint(1);",
            "let t = \"// %%\";\nlet u = `\n// %%\n// %% [markdown]\n`;\n/* \n// %%\n/* // %% */\n// %%\n*/\nprint(t);",
            "let u = `a ${ if true { `\n// %%\n` } else { \"`\" } } b`;\n// %%\nprint(u);\n",
            "fn f() {\n// %%\n1 }\nlet m = #{\n// %% [markdown]\na: 1 };\n",
            "// %% [markdown]\n//no space\n//   three\n\n// after a blank\n// %% title [markdown]\nlet a = 1;\n\n\n",
            "// %% [markdown]\n// text\nlet code = 1;\n// %% [raw]\n// r\n",
            "// %%%\n// %%x\n //  %%\n// %% \t\nprint(1)\n  // %%\n\t\n\n",
            "// %% [markdown]\n// ends with a return\r// and more\u{2028}\u{0}\u{1b}",
            "let unclosed = `\n// %%\n",
            "/* unclosed\n// %%\n",
            "// %% [markdown]\n//%% not a marker\n// %%\n",
        ] {
            there_and_back(source);
        }
    }

    #[test]
    fn cells_begin_where_a_marker_stands_and_nowhere_else() {
        use CellKind::{Code, Markdown, Raw};
        assert_eq!(
            kinds("let a = 1;\n// %% [markdown]\n// # T\n// %%\nb\n// %% [raw]\n// c\n"),
            [Code, Markdown, Code, Raw]
        );
        assert_eq!(kinds("// %% [markdown]\n// # T\nlet a = 1;\n"), [Markdown, Code]);
        assert_eq!(kinds("let t = `\n// %%\n`; /*\n// %%\n*/ f(\n// %%\n);"), [Code]);
        assert_eq!(kinds("let t = `${ `\n// %%\n` }`;\n// %%\n"), [Code, Code]);
        let notebook = there_and_back("// %%\nlet a = 1;\n\n// %% [markdown]\n// # T\n//\n// x\n");
        assert_eq!(notebook["cells"][0]["source"], json!(["let a = 1;"]));
        assert_eq!(notebook["cells"][1]["source"], json!(["# T\n", "\n", "x"]));
        assert_eq!(notebook["cells"][1]["metadata"], json!({}));
    }

    #[test]
    fn edited_cells_come_back_as_edited() {
        let mut notebook = to_notebook("// %% [markdown]\n//raw\n\n// %%\nlet a = 1;\n");
        notebook["cells"][0]["source"] = "new\n%% x".into();
        notebook["cells"][1]["source"] = json!(["let a = 2;\n", "a"]);
        let cell = json!({ "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 3, "source": "b" });
        notebook["cells"].as_array_mut().unwrap().push(cell);
        let script = to_script(&notebook.to_string()).unwrap();
        assert_eq!(script, "// %% [markdown]\n// new\n//%% x\n\n// %%\nlet a = 2;\na\n\n// %%\nb\n");
        there_and_back(&script);
    }

    #[test]
    fn what_is_no_notebook_is_refused() {
        for (text, part) in [
            ("", "no notebook"),
            ("{}", "nbformat"),
            ("{\"nbformat\": 3}", "format 3"),
            ("{\"nbformat\": 4}", "list of cells"),
            ("{\"nbformat\": 4, \"cells\": [{}]}", "type"),
            ("{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\"}]}", "no source"),
            ("{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": \"%%rust\\n1\"}]}", "is in Rust"),
            ("{\"nbformat\": 4, \"cells\": [], \"metadata\": {\"language_info\": {\"name\": \"python\"}}}", "python"),
        ] {
            let error = to_script(text).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
