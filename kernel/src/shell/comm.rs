//! Messages to and from widgets. Changes are answered in the order in which they arrive. Where several changes of one widget
//! wait, only the latest is answered, so that no queue builds up behind a slow answer.

use super::Shell;
use crate::comms::TARGET;
use crate::wire::Request;
use convscope_dsl::widgets::State;
use serde_json::{Map, Value, json};

/// The message to a widget that the kernel has dropped.
const UNKNOWN_WIDGET: &str = "error: the kernel does not know this widget any more\n  hint: run its cell again";

impl Shell {
    pub(super) fn comm_info(&self, request: &Request) {
        let asked = request.content.get("target_name").and_then(Value::as_str);
        let comms = self.notebook.comms();
        let known = comms.ids().filter(|_| asked.is_none_or(|target| target == TARGET));
        let known: Map<String, Value> = known.map(|id| (id.clone(), json!({ "target_name": TARGET }))).collect();
        self.reply(request, json!({ "status": "ok", "comms": known }));
    }

    pub(super) fn comm_close(&mut self, request: &Request) {
        let closed = self.notebook.comms().close(request.text("comm_id"));
        if let Some(widget) = closed {
            self.language.close(widget);
        }
    }

    pub(super) fn comm_msg(&mut self, request: &Request) {
        self.publisher.answer(&request.header, false);
        let id = request.text("comm_id");
        match method(request) {
            "update" => self.apply_edit(request, id),
            // The widget's button: compute again with the state as it is.
            "custom" if field(request, "content")["again"] == true => self.answer_widget(id, &Map::new()),
            "request_state" if !self.notebook.comms().send_state(id, &self.publisher) => {
                let content = json!({ "comm_id": id, "data": {} });
                self.publisher.publish("comm_close", content);
            }
            _ => {}
        }
    }

    fn apply_edit(&mut self, request: &Request, id: &str) {
        let none = Map::new();
        let values = field(request, "state").as_object().unwrap_or(&none);
        while let Ok(next) = self.requests.try_recv() {
            self.waiting.push_back(next);
        }
        let newer = |next: &Request| next.kind == "comm_msg" && next.text("comm_id") == id && method(next) == "update";
        if self.waiting.iter().any(newer) {
            self.notebook.comms().apply_edit(id, values);
            return;
        }
        self.answer_widget(id, values);
    }

    fn answer_widget(&mut self, id: &str, values: &Map<String, Value>) {
        let moved = self.notebook.comms().apply_edit(id, values);
        let change = match moved {
            Some((widget, values)) => self.language.react(widget, &values),
            None => State::error(UNKNOWN_WIDGET),
        };
        self.notebook.comms().change(id, change, &self.publisher);
    }
}

fn method(request: &Request) -> &str {
    request.content.get("data").and_then(|data| data["method"].as_str()).unwrap_or_default()
}

/// A field of a message's data.
fn field<'a>(request: &'a Request, name: &str) -> &'a Value {
    request.content.get("data").and_then(|data| data.get(name)).unwrap_or(&Value::Null)
}
