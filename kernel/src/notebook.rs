//! The output of a session in a notebook: it publishes prints and figures in the current cell, and asks for input there.

use crate::bundle::bundle;
use crate::comms::Comms;
use crate::progress::Progress;
use crate::publisher::{Publisher, Stream};
use crate::socket::{Parcel, Socket};
use crate::wire::{Outgoing, Request, Signer};
use bytes::Bytes;
use convscope_dsl::{Output, Shown, Widget};
use convscope_engine::data::Image;
use convscope_engine::error::Kind;
use convscope_engine::job::StopSignal;
use convscope_engine::{Error, Result};
use serde_json::{Value, json};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time between two checks for an interrupt while the user is asked for input.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// The MIME type of a widget; front ends without widgets show the other representations of the bundle.
const WIDGET_VIEW: &str = "application/vnd.jupyter.widget-view+json";

/// The output of the cells of one kernel.
pub struct Notebook {
    publisher: Publisher,
    signer: Signer,
    signal: StopSignal,
    questions: Socket,
    state: Mutex<State>,
    comms: Mutex<Comms>,
}

struct State {
    progress: Progress,
    asker: Option<Asker>,
    answers: Receiver<Request>,
}

/// The front end that a cell may ask for input.
struct Asker {
    identity: Bytes,
    route: Vec<Bytes>,
    header: Value,
}

impl Notebook {
    /// An output that publishes, sends questions and waits for their answers.
    pub fn new(
        publisher: Publisher,
        signer: Signer,
        signal: StopSignal,
        questions: Socket,
        answers: Receiver<Request>,
    ) -> Self {
        let state = State { progress: Progress::default(), asker: None, answers };
        Notebook { publisher, signer, signal, questions, state: Mutex::new(state), comms: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open widgets.
    pub fn comms(&self) -> MutexGuard<'_, Comms> {
        self.comms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a cell; it may ask for input where the request allows that.
    pub fn begin(&self, request: &Request) {
        let asker = Asker {
            identity: request.peer.identity.clone(),
            route: request.route.clone(),
            header: request.header.clone(),
        };
        self.state().asker = request.flag("allow_stdin", true).then_some(asker);
    }

    /// Ends the cell.
    pub fn end(&self) {
        let mut state = self.state();
        state.progress.end(&self.publisher);
        state.asker = None;
    }
}

impl Output for Notebook {
    fn print(&self, text: &str) {
        self.publisher.write(Stream::Stdout, text);
        self.publisher.write(Stream::Stdout, "\n");
    }

    fn write(&self, text: &str) {
        self.publisher.write(Stream::Stdout, text);
    }

    fn debug(&self, text: &str) {
        self.publisher.write(Stream::Stderr, &format!("{text}\n"));
    }

    fn show(&self, shown: &Shown) {
        let bundle = bundle(shown);
        let content = json!({ "data": bundle.data, "metadata": bundle.metadata, "transient": {} });
        self.publisher.publish("display_data", content);
    }

    fn moves(&self) -> bool {
        true
    }

    fn widget(&self, widget: &Widget) {
        let bundle = bundle(&widget.still);
        let model = self.comms().open(widget, &self.publisher);
        let (mut data, metadata) = (bundle.data, bundle.metadata);
        data[WIDGET_VIEW] = json!({ "version_major": 2, "version_minor": 0, "model_id": model });
        self.publisher.publish("display_data", json!({ "data": data, "metadata": metadata, "transient": {} }));
    }

    fn progress(&self, label: &str, done: usize, total: usize) {
        match total {
            0 => self.debug(label),
            _ => self.state().progress.step(&self.publisher, label, done, total),
        }
    }

    fn picture(&self, label: &str, image: &Image) {
        self.state().progress.picture(&self.publisher, label, image);
    }

    fn ask(&self, prompt: &str) -> Result<String> {
        let state = self.state();
        let Some(asker) = &state.asker else {
            return Err(Error::unsupported("`input`: this front end takes no input")
                .hint("run the cell in a front end with input, or use `param(name, default)`"));
        };
        // Drop answers to questions that were interrupted.
        while state.answers.try_recv().is_ok() {}
        let content = json!({ "prompt": prompt, "password": false });
        let message = Outgoing::new("input_request", &asker.header, content);
        self.publisher.flush();
        // The front end's stdin socket has the same identity as its shell socket. Another peer may claim that identity and
        // receive the question, which is no secret; without the key it cannot sign an answer.
        let frames = self.signer.frames(&asker.route, &message);
        self.questions.send_to_all(&asker.identity, Parcel::new(frames));
        loop {
            match state.answers.recv_timeout(INTERRUPT_POLL) {
                Ok(answer) if answer.kind == "input_reply" => return Ok(answer.text("value").to_string()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if self.signal.is_set() => {
                    return Err(Error::new(Kind::Interrupted, "interrupted"));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("the kernel is shutting down")),
            }
        }
    }

    fn clear(&self, wait: bool) {
        self.publisher.publish("clear_output", json!({ "wait": wait }));
    }
}
