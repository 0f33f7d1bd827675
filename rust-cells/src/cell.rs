//! Evaluates cells and reports how they ended.

use crate::events::{Printed, send};
use crate::interrupt::{Interrupter, Now};
use crate::source;
use evcxr::{CommandContext, CompilationError, Error, EvalContext, EvalOutputs};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable of the guard whose drop reports how a cell ended; error messages leave it out.
const WATCH: &str = "convscope_cell";
/// evcxr's command for its cache of compiled crates, with its size in MiB.
const CACHE: &str = ":cache 4096";

/// evcxr and its process.
pub struct Cells {
    context: CommandContext,
    printed: Printed,
    interrupter: Interrupter,
    folder: PathBuf,
}

impl Cells {
    /// Starts evcxr; build products go to the folder EVCXR_TMPDIR.
    ///
    /// # Errors
    /// Where there is no working compiler.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("where this program is: {e}"))?;
        let mut command = Command::new(program);
        command.process_group(0);
        let (context, outputs) = EvalContext::with_subprocess_command(command).map_err(|e| e.to_string())?;
        let mut context = CommandContext::with_eval_context(context);
        context.execute(CACHE).map_err(|e| e.to_string())?;
        let interrupter = Interrupter::new(context.process_handle(), folder.join("running"));
        let printed = Printed::new(outputs.stdout, outputs.stderr);
        Ok(Cells { context, printed, interrupter, folder: folder.into() })
    }

    /// The handle that stops cells.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// Carries out a request and sends its events.
    pub fn answer(&mut self, request: &Value) {
        let code = request["code"].as_str().unwrap_or("");
        let event = match request["op"].as_str() {
            Some("eval") => {
                let ended = self.eval(&request["id"], code);
                self.printed.finish();
                ended
            }
            Some("functions") => json!({ "functions": source::functions(code) }),
            Some("complete") => self.complete(code, request["at"].as_u64().unwrap_or(0) as usize),
            _ => json!({ "failed": "message", "message": "an unknown request" }),
        };
        let mut event = event;
        event["event"] = "ended".into();
        event["id"] = request["id"].clone();
        send(&event);
    }

    fn eval(&mut self, id: &Value, code: &str) -> Value {
        for file in ["running", "failed", "panic"] {
            // Usually there is no such file.
            let _ = std::fs::remove_file(self.folder.join(file));
        }
        let before: Vec<String> =
            self.context.variables_and_types().map(|(name, _)| name.to_string()).filter(|n| n != WATCH).collect();
        *self.interrupter.now() = Now { id: Some(id.clone()), stopped: false };
        let result = catch_unwind(AssertUnwindSafe(|| self.context.execute(code)));
        let stopped = std::mem::take(&mut *self.interrupter.now()).stopped;
        let result = result.unwrap_or_else(|_| Err("a defect of evcxr".to_string().into()));
        self.printed.finish();
        match result {
            Ok(outputs) => self.ended(outputs, code),
            Err(Error::SubprocessTerminated(_)) if stopped => json!({ "failed": "interrupted", "lost": before }),
            Err(_) if stopped => json!({ "failed": "interrupted" }),
            Err(Error::SubprocessTerminated(message)) => {
                json!({ "failed": "died", "message": message, "lost": before })
            }
            Err(Error::CompilationErrors(errors)) => {
                let mut contents: Vec<Value> =
                    errors.iter().filter(|e| e.level() != "warning").map(error_content).collect();
                contents.sort_by_key(|e| e["line"].as_u64().unwrap_or(u64::MAX));
                json!({ "failed": "compile", "errors": contents })
            }
            Err(Error::TypeRedefinedVariablesLost(lost)) => {
                json!({ "failed": "message", "message": "a type was defined again", "lost": lost })
            }
            Err(Error::Message(message)) => json!({ "failed": "message", "message": message }),
        }
    }

    /// The event for a cell that ran: it may have ended normally, panicked, or returned by `?`.
    fn ended(&self, outputs: EvalOutputs, code: &str) -> Value {
        match std::fs::read_to_string(self.folder.join("failed")).as_deref() {
            Ok("panic") => self.panicked(code),
            Ok(_) => json!({ "failed": "error", "message": self.printed.last_remark() }),
            Err(_) => json!({ "forms": outputs.content_by_mime_type.into_iter().collect::<BTreeMap<_, _>>() }),
        }
    }

    /// The event for a panic, with its place where that lies in the cell.
    fn panicked(&self, code: &str) -> Value {
        let noted = std::fs::read_to_string(self.folder.join("panic")).unwrap_or_default();
        let (place, message) = noted.split_once('\n').unwrap_or(("", &noted));
        let mut event = json!({ "failed": "panic", "message": message });
        let mut numbers = place.rsplitn(3, ':');
        let (column, line) = (numbers.next().and_then(|n| n.parse().ok()), numbers.next().and_then(|n| n.parse().ok()));
        let compiled = self.context.last_source().unwrap_or_default();
        if let (Some(line), Some(column), Some("src/lib.rs")) = (line, column, numbers.next())
            && let Some(text) = compiled.lines().nth(usize::saturating_sub(line, 1))
        {
            // evcxr puts each statement of a cell on a line between lines of its own. The statement's text tells its place in the
            // cell.
            let (indent, text) = (text.len() - text.trim_start().len(), text.trim());
            let mut same =
                code.lines().enumerate().filter_map(|(at, l)| Some((at, l[..l.find(text)?].chars().count())));
            if let (Some((at, before)), None) = (same.next(), same.next()) {
                event["line"] = json!(at + 1);
                event["column"] = json!(before + usize::saturating_sub(column, indent));
            }
        }
        event
    }

    fn complete(&mut self, code: &str, at: usize) -> Value {
        match self.context.completions(code, at) {
            Ok(found) => json!({
                "start": found.start_offset,
                "end": found.end_offset,
                "candidates": found.completions.iter().map(|c| &c.code).filter(|c| *c != WATCH).collect::<Vec<_>>(),
            }),
            Err(error) => json!({ "failed": "message", "message": error.to_string() }),
        }
    }
}

/// A compiler's error as an event: message, place, help.
fn error_content(error: &CompilationError) -> Value {
    let mut content = json!({
        "message": error.message(),
        "code": error.code(),
        "help": error.help().into_iter().chain(error.evcxr_extra_hint().map(str::to_string)).collect::<Vec<_>>(),
    });
    if let Some(spanned) = error.primary_spanned_message()
        && let Some(span) = spanned.span
    {
        content["line"] = json!(span.start_line);
        content["column"] = json!(span.start_column);
        content["length"] = json!(match span.end_line == span.start_line {
            true => span.end_column.saturating_sub(span.start_column),
            false => 1,
        });
        content["label"] = json!(spanned.label);
    }
    content
}
