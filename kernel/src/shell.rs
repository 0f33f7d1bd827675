//! The requests that are answered one after another: running cells, completion, inspection, history.

mod comm;
mod execute;
mod lookup;

use crate::about;
use crate::history::History;
use crate::language::Language;
use crate::notebook::Notebook;
use crate::publisher::Publisher;
use crate::socket::{Parcel, Socket};
use crate::wire::{Outgoing, Request, Signer};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Requests that arrive within this time of a failed cell's end count as sent together with it.
const ABORT_WINDOW: Duration = Duration::from_millis(10);

/// Answers the requests of the shell channel on the thread that runs cells.
pub struct Shell {
    /// What runs the cells.
    pub language: Box<dyn Language>,
    /// Publishes outputs and status.
    pub publisher: Publisher,
    /// The output of the cells.
    pub notebook: Arc<Notebook>,
    /// The history of cells.
    pub history: History,
    /// Signs replies.
    pub signer: Signer,
    /// The socket for replies.
    pub socket: Socket,
    /// Requests in the order in which they arrived.
    pub requests: Receiver<Request>,
    /// Requests that were taken from the channel and not answered yet.
    pub waiting: VecDeque<Request>,
    /// The number of cells run so far.
    pub count: i64,
    /// Whether queued cells are answered without being run.
    pub aborting: bool,
}

impl Shell {
    /// Answers requests until the channel closes.
    pub fn run(mut self) {
        while let Some(request) = self.next() {
            self.answer(&request);
        }
    }

    fn next(&mut self) -> Option<Request> {
        self.waiting.pop_front().or_else(|| self.requests.recv().ok())
    }

    fn answer(&mut self, request: &Request) {
        self.publisher.status(&request.header, "busy");
        if catch_unwind(AssertUnwindSafe(|| self.dispatch(request))).is_err() {
            let message = format!("a defect of convscope in answering {}", request.kind);
            self.reply(request, failure("Internal", &message));
        }
        self.publisher.status(&request.header, "idle");
        if std::mem::take(&mut self.aborting) {
            self.abort();
        }
    }

    fn dispatch(&mut self, request: &Request) {
        match request.kind.as_str() {
            "execute_request" => self.execute(request),
            "complete_request" => self.complete(request),
            "inspect_request" => self.inspect(request),
            "is_complete_request" => self.is_complete(request),
            "history_request" => self.history(request),
            "kernel_info_request" => self.reply(request, about::kernel_info()),
            "comm_info_request" => self.comm_info(request),
            "comm_open" => {
                // Front ends may open no comm: the protocol asks to close such a comm at once. JupyterLab opens one to ask
                // for all widgets; where it is closed, it asks for each.
                let content = json!({ "comm_id": request.text("comm_id"), "data": {} });
                self.publisher.publish_for("comm_close", &request.header, content);
            }
            "comm_msg" => self.comm_msg(request),
            "comm_close" => self.comm_close(request),
            other => {
                let message = format!("this kernel does not answer {other}");
                eprint(&message);
                if other.ends_with("_request") {
                    self.reply(request, failure("Unsupported", &message));
                }
            }
        }
    }

    /// Sends the reply to a request.
    fn reply(&self, request: &Request, content: Value) {
        let kind = reply_kind(&request.kind);
        let message = Outgoing::new(&kind, &request.header, content);
        self.socket.send(&request.peer, Parcel::new(self.signer.frames(&request.route, &message)));
    }

    /// Takes the requests from the channel that were sent together with a failed cell.
    fn take_pending(&mut self) {
        while let Ok(request) = self.requests.recv_timeout(ABORT_WINDOW) {
            self.waiting.push_back(request);
        }
        self.aborting = true;
    }

    /// Answers the queued requests; cells among them are not run.
    fn abort(&mut self) {
        for request in std::mem::take(&mut self.waiting) {
            if request.kind != "execute_request" {
                self.answer(&request);
                continue;
            }
            self.publisher.status(&request.header, "busy");
            self.reply(&request, json!({ "status": "aborted", "execution_count": self.count }));
            self.publisher.status(&request.header, "idle");
        }
    }
}

/// The type of the reply: `x_reply` to `x_request`.
pub fn reply_kind(request: &str) -> String {
    format!("{}_reply", request.strip_suffix("_request").unwrap_or(request))
}

/// The content of a reply that reports an error.
pub fn failure(name: &str, message: &str) -> Value {
    json!({ "status": "error", "ename": name, "evalue": message, "traceback": [format!("{name}: {message}")] })
}

/// Writes a line to the front end's log.
pub fn eprint(message: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "convscope kernel: {message}");
}
