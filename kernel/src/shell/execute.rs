//! Runs a cell: its published outputs, its reply, and the cells queued behind one that failed.

use super::Shell;
use crate::language::Answer;
use crate::wire::Request;
use convscope_dsl::Diagnostic;
use serde_json::{Map, Value, json};

impl Shell {
    /// Runs a cell and replies.
    pub fn execute(&mut self, request: &Request) {
        let code = request.text("code");
        let silent = request.flag("silent", false);
        let kept = !silent && request.flag("store_history", true) && !code.trim().is_empty();
        self.count += i64::from(kept);
        self.publisher.answer(&request.header, silent);
        self.publisher.publish("execute_input", json!({ "code": code, "execution_count": self.count }));
        self.notebook.begin(request);
        let result = self.language.execute(&format!("cell[{}]", self.count), code);
        self.notebook.end();
        let output = self.publish(&result);
        if kept && let Err(error) = self.history.add(self.count, code, output) {
            super::eprint(&format!("history: {error}"));
        }
        match &result.error {
            None => {
                let reply = json!({
                    "status": "ok",
                    "execution_count": self.count,
                    "user_expressions": self.expressions(request),
                    "payload": [],
                });
                self.publisher.flush();
                self.reply(request, reply);
            }
            Some(error) => {
                if request.flag("stop_on_error", true) && !silent {
                    self.take_pending();
                }
                let mut reply = error_content(error);
                reply.insert("status".into(), "error".into());
                reply.insert("execution_count".into(), self.count.into());
                reply.insert("user_expressions".into(), json!({}));
                reply.insert("payload".into(), json!([]));
                self.publisher.flush();
                self.reply(request, Value::Object(reply));
            }
        }
    }

    /// Publishes a cell's value and error; returns the value as text.
    fn publish(&self, result: &Answer) -> Option<String> {
        let mut output = None;
        if let Some(bundle) = &result.value {
            output = bundle.data.get("text/plain").and_then(Value::as_str).map(str::to_string);
            let content = json!({ "execution_count": self.count, "data": bundle.data, "metadata": bundle.metadata });
            self.publisher.publish("execute_result", content);
        }
        if let Some(error) = &result.error {
            self.publisher.publish("error", Value::Object(error_content(error)));
        }
        output
    }

    /// The values of `user_expressions`, which a front end sends along with a cell; nothing of them is displayed.
    fn expressions(&mut self, request: &Request) -> Value {
        let Some(Value::Object(asked)) = request.content.get("user_expressions") else { return json!({}) };
        let mut values = Map::new();
        self.publisher.answer(&request.header, true);
        for (name, code) in asked {
            let result = self.language.execute("expression", code.as_str().unwrap_or(""));
            let value = match (&result.error, &result.value) {
                (Some(error), _) => {
                    let mut content = error_content(error);
                    content.insert("status".into(), "error".into());
                    Value::Object(content)
                }
                (None, Some(bundle)) => {
                    json!({ "status": "ok", "data": bundle.data, "metadata": bundle.metadata })
                }
                (None, None) => json!({ "status": "ok", "data": { "text/plain": "" }, "metadata": {} }),
            };
            values.insert(name.clone(), value);
        }
        Value::Object(values)
    }
}

/// An error in the form of the protocol.
fn error_content(error: &Diagnostic) -> Map<String, Value> {
    let lines: Vec<Value> = error.ansi().lines().map(Value::from).collect();
    let mut content = Map::new();
    content.insert("ename".into(), format!("{:?}", error.kind).into());
    content.insert("evalue".into(), error.message.clone().into());
    content.insert("traceback".into(), lines.into());
    content
}
