//! Cells in Rust beside those in rhai: a cell that begins with `%%rust` is evaluated by evcxr in a separate program, and
//! values are exchanged as files in a private folder.
//!
//! `%%rust -i map -o mask` imports rhai's `map` and exports Rust's `mask`; `%%rust --fn` lets rhai call the cell's
//! functions.

mod codec;
mod diagnostics;
mod evcxr;
#[allow(dead_code)] // cells in Rust use what is not used here
#[path = "bridge/kinds.rs"]
mod kinds;
mod magic;
mod program;
#[allow(dead_code)]
#[path = "bridge/value.rs"]
mod value;

use crate::bundle::{Bundle, bundle};
use crate::language::{Answer, Language};
use convscope_dsl::complete::{Candidate, Completion};
use convscope_dsl::inspect::Completeness;
use convscope_dsl::widgets::State;
use convscope_dsl::{Diagnostic, Session, Signature};
use convscope_engine::error::Kind;
use convscope_engine::{Error, Result};
use diagnostics::{Written, diagnostic};
use evcxr::{EvcxrProcess, begin};
use magic::{Magic, is_rust};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The MIME type of values of the bridge crate; the kernel shows them as it shows rhai's values.
const BRIDGE_MIME: &str = "application/x-convscope-value";
/// How many parameters a function may have that rhai calls.
const MAX_PARAMETERS: usize = 6;

/// A session whose cells are in rhai or in Rust.
pub struct PolyglotSession {
    session: Session,
    rust: Arc<Mutex<EvcxrProcess>>,
}

impl PolyglotSession {
    /// A session with Rust, whose process starts with the first Rust cell.
    pub fn new(session: Session) -> Self {
        let context = session.context();
        let evcxr = EvcxrProcess::new(context.output.clone(), context.job.signal.clone());
        PolyglotSession { session, rust: Arc::new(Mutex::new(evcxr)) }
    }

    fn rust(&self) -> MutexGuard<'_, EvcxrProcess> {
        self.rust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&mut self, file: &str, code: &str) -> Result<Answer> {
        let magic = match Magic::of(file, code) {
            Ok(magic) => magic,
            Err(wrong) => {
                let (error, spot) = *wrong;
                return Ok(Answer::failed(Diagnostic { spot: Some(spot), ..Diagnostic::of(error) }));
            }
        };
        let mut cell = Cell::new(file, code, &magic, self.rust().next_number());
        for name in &magic.inputs {
            let value = codec::to_rust(self.session.export(name)?)?;
            self.rust().write(&format!("in-{name}"), &value)?;
            // Starting Rust may have used a number.
            cell.number = self.rust().next_number();
            cell.import(name, codec::rust_type(&value));
        }
        let functions = if magic.functions { self.functions(&cell)? } else { Vec::new() };
        cell.number = self.rust().next_number();
        let ended = self.rust().eval(&cell.source(&magic.outputs, &functions))?;
        if let Some(failed) = diagnostic(&ended, &cell.written()) {
            return Ok(Answer::failed(failed));
        }
        if !magic.outputs.is_empty() && !cell.ends_with_statement() {
            let number = self.rust().next_number();
            let ended = self.rust().eval(&format!("{} {}", begin(number), exports(&magic.outputs)))?;
            let nowhere = Written { file, code: "", line: 0, width: 0 };
            if let Some(failed) = diagnostic(&ended, &nowhere) {
                return Ok(Answer::failed(failed));
            }
        }
        for name in &magic.outputs {
            let value = self.rust().read(&format!("out-{name}"))?;
            self.session.import(name, value)?;
        }
        for signature in functions {
            self.define(signature)?;
        }
        let value = self.shown(&ended["forms"])?;
        Ok(Answer { value, ..Answer::default() })
    }

    /// The functions that a cell defines.
    fn functions(&self, cell: &Cell<'_>) -> Result<Vec<Signature>> {
        let reply = self.rust().about(json!({ "op": "functions", "code": cell.body() }))?;
        let texts =
            |v: &Value| v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect();
        let mut found = Vec::new();
        for function in reply["functions"].as_array().into_iter().flatten() {
            let name = function["name"].as_str().unwrap_or("").to_string();
            let parameters: Vec<String> = texts(&function["parameters"]);
            if function["generic"] == true {
                return Err(Error::unsupported(format!(
                    "`{name}` is generic: rhai cannot say with which types it is called"
                ))
                .hint("write the types out"));
            }
            if parameters.len() > MAX_PARAMETERS {
                let n = parameters.len();
                return Err(Error::unsupported(format!(
                    "`{name}` has {n} parameters; rhai can call functions with up to {MAX_PARAMETERS}"
                )));
            }
            let returns = function["returns"].as_str().map(str::to_string);
            let doc = function["doc"].as_str().unwrap_or("").to_string();
            found.push(Signature { name, parameters, returns, doc });
        }
        match found.is_empty() {
            true => Err(Error::value("`--fn`: the cell defines no function")
                .hint("fn energy(map: bridge::Tensor) -> f64 { .. }")),
            false => Ok(found),
        }
    }

    /// Makes a Rust function known to rhai.
    fn define(&mut self, signature: Signature) -> Result<()> {
        let (rust, name) = (self.rust.clone(), signature.name.clone());
        self.session.define(&signature, move |arguments| {
            rust.lock().unwrap_or_else(PoisonError::into_inner).call(&name, arguments)
        })?;
        self.rust().declare(&signature.name);
        Ok(())
    }

    /// The shown form of the value that a cell ends with.
    fn shown(&self, forms: &Value) -> Result<Option<Bundle>> {
        let Value::Object(forms) = forms else { return Ok(None) };
        if forms.contains_key(BRIDGE_MIME) {
            let value = self.rust().read("shown")?.dynamic();
            return convscope_dsl::functions::shown(&value).map(|shown| Some(bundle(&shown)));
        }
        let trimmed = |v: &Value| v.as_str().map_or(v.clone(), |text| text.trim_end().into());
        let data: serde_json::Map<_, _> = forms.iter().map(|(mime, v)| (mime.clone(), trimmed(v))).collect();
        Ok((!data.is_empty()).then(|| Bundle { data: data.into(), metadata: json!({}) }))
    }
}

impl Language for PolyglotSession {
    fn execute(&mut self, name: &str, code: &str) -> Answer {
        if !is_rust(code) {
            return Language::execute(&mut self.session, name, code);
        }
        self.session.context().job.signal.reset();
        let answer = self.run(name, code).unwrap_or_else(|error| Answer::failed(Diagnostic::of(error)));
        let interrupted = answer.error.as_ref().is_some_and(|e| e.kind == Kind::Interrupted);
        Answer { interrupted, ..answer }
    }

    fn complete(&self, code: &str, cursor: usize) -> Completion {
        if !is_rust(code) {
            return self.session.complete(code, cursor);
        }
        let none = Completion { start: cursor, end: cursor, candidates: Vec::new() };
        let first = code.len() - code.trim_start().len()
            + code.trim_start().find('\n').map_or(usize::MAX, |at| at + 1).min(code.len());
        let mut rust = self.rust();
        if cursor < first || !rust.is_started() {
            return none;
        }
        let request = json!({ "op": "complete", "code": &code[first..], "at": cursor - first });
        let Ok(found) = rust.about(request) else { return none };
        let at = |name: &str| found[name].as_u64().and_then(|n| usize::try_from(n).ok()).map(|n| n + first);
        let (Some(start), Some(end)) = (at("start"), at("end")) else { return none };
        let texts = found["candidates"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let candidates = texts.map(|t| Candidate { text: t.into(), kind: "name", detail: String::new() }).collect();
        Completion { start, end, candidates }
    }

    fn inspect(&self, code: &str, cursor: usize) -> Option<String> {
        if is_rust(code) { None } else { self.session.inspect(code, cursor) }
    }

    fn is_complete(&self, code: &str) -> Completeness {
        if is_rust(code) { Completeness::Complete } else { Language::is_complete(&self.session, code) }
    }

    fn react(&mut self, widget: u64, values: &serde_json::Map<String, Value>) -> State {
        self.session.react(widget, values)
    }

    fn close(&mut self, widget: u64) {
        Language::close(&mut self.session, widget);
    }
}

/// A Rust cell prepared for the compiler. Code is inserted into the first line of Rust, so that lines keep their numbers;
/// commands such as `:dep` come before it.
struct Cell<'a> {
    file: &'a str,
    code: &'a str,
    first: usize,
    number: u64,
    imports: String,
}

impl<'a> Cell<'a> {
    fn new(file: &'a str, code: &'a str, magic: &Magic, number: u64) -> Self {
        let command = |line: &str| {
            let line = line.trim_start_matches(' ');
            line.trim().is_empty() || line.starts_with([':', '!']) || line.starts_with("//")
        };
        let first = code.lines().enumerate().skip(magic.lines).find(|(_, line)| !command(line));
        Cell { file, code, first: first.map_or(usize::MAX, |(at, _)| at), number, imports: String::new() }
    }

    /// Imports a variable of rhai.
    fn import(&mut self, name: &str, kind: &str) {
        self.imports += &format!(" let mut {name}: {kind} = bridge::import({name:?});");
    }

    /// The lines of the cell; the `%%rust` line is replaced by an empty one.
    fn lines(&self) -> impl Iterator<Item = &'a str> {
        let mark = self.code.lines().position(|line| !line.trim().is_empty());
        self.code.lines().enumerate().map(move |(at, line)| if Some(at) == mark { "" } else { line })
    }

    fn body(&self) -> String {
        self.lines().collect::<Vec<_>>().join("\n")
    }

    fn before(&self) -> String {
        format!("{}{} ", begin(self.number), self.imports)
    }

    /// Whether the last line ends a statement, so that code can follow without suppressing a value.
    fn ends_with_statement(&self) -> bool {
        let last = self.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).last();
        last.is_some_and(|line| line.ends_with(';'))
    }

    fn source(&self, outputs: &[String], functions: &[Signature]) -> String {
        if self.first == usize::MAX && self.imports.is_empty() {
            return self.body();
        }
        let mut source = String::new();
        for (at, line) in self.lines().enumerate() {
            if at == self.first {
                source += &self.before();
            }
            source += line;
            source.push('\n');
        }
        if self.first == usize::MAX {
            source += &self.before();
        }
        if !outputs.is_empty() && self.ends_with_statement() {
            source += &exports(outputs);
        }
        if !functions.is_empty() {
            let entries = functions.iter().map(|f| format!("bridge::function({0:?}, {0})", f.name));
            source += &format!("drop([{}]);", entries.collect::<Vec<_>>().join(", "));
        }
        source
    }

    fn written(&self) -> Written<'a> {
        let width = self.before().chars().count();
        Written { file: self.file, code: self.code, line: self.first.saturating_add(1), width }
    }
}

/// The statements that export variables to rhai.
fn exports(names: &[String]) -> String {
    names.iter().map(|name| format!("bridge::export({name:?}, &{name});")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn source(code: &str) -> String {
        let magic = Magic::of("cell", code).unwrap();
        let mut cell = Cell::new("cell", code, &magic, 7);
        magic.inputs.iter().for_each(|name| cell.import(name, "i64"));
        cell.source(&magic.outputs, &[])
    }

    #[test]
    fn lines_keep_their_numbers() {
        let made = source("%%rust -i a -o b\n:dep x = \"1\"\n// note\nlet b = a;\nb += 1;\n");
        let lines: Vec<&str> = made.lines().collect();
        assert_eq!(lines[..3], ["", ":dep x = \"1\"", "// note"]);
        let before =
            "let convscope_cell: bridge::Running = bridge::Running::new(7); let mut a: i64 = bridge::import(\"a\"); ";
        assert_eq!(lines[3], format!("{before}let b = a;"));
        assert_eq!(lines[4..], ["b += 1;", "bridge::export(\"b\", &b);"]);
        assert_eq!(source("%%rust\n:dep x = \"1\""), "\n:dep x = \"1\"");
        assert!(!source("%%rust -o b\nlet b = 1;\nb").contains("export"), "the value is shown");
    }
}
