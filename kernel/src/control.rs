//! The requests that are answered while a cell runs: interrupt, shutdown, and kernel info.

use crate::about;
use crate::publisher::Publisher;
use crate::shell::{eprint, failure, reply_kind};
use crate::socket::Parcel;
use crate::wire::{Outgoing, Request, Signer};
use convscope_engine::job::StopSignal;
use serde_json::{Value, json};

/// Answers the control channel.
#[derive(Clone)]
pub struct Control {
    /// Stops the cell that runs.
    pub signal: StopSignal,
    /// Publishes outputs and status.
    pub publisher: Publisher,
    /// Signs replies.
    pub signer: Signer,
}

impl Control {
    /// The reply to a request, where it has one, and whether the kernel ends.
    pub fn answer(&self, request: &Request) -> (Option<Parcel>, bool) {
        self.publisher.status(&request.header, "busy");
        let (content, end) = match request.kind.as_str() {
            "kernel_info_request" => (Some(about::kernel_info()), false),
            "interrupt_request" => {
                self.signal.stop();
                (Some(json!({ "status": "ok" })), false)
            }
            "shutdown_request" => {
                self.signal.stop();
                let content = json!({ "status": "ok", "restart": request.flag("restart", false) });
                self.publisher.publish_for("shutdown_reply", &request.header, content.clone());
                (Some(content), true)
            }
            other => {
                let message = format!("this kernel does not answer {other} on the control channel");
                eprint(&message);
                (other.ends_with("_request").then(|| failure("Unsupported", &message)), false)
            }
        };
        let reply = content.map(|content| self.reply(request, content));
        self.publisher.status(&request.header, "idle");
        (reply, end)
    }

    fn reply(&self, request: &Request, content: Value) -> Parcel {
        let kind = reply_kind(&request.kind);
        let message = Outgoing::new(&kind, &request.header, content);
        Parcel::new(self.signer.frames(&request.route, &message))
    }
}
