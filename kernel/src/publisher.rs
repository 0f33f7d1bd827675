//! Published messages in one ordered queue: printed text is buffered and sent before anything that is published after it.

use crate::socket::{Parcel, Socket};
use crate::wire::{Outgoing, Signer};
use bytes::Bytes;
use convscope_engine::job::StopSignal;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The size, bytes, at which buffered text is sent.
const FLUSH_BYTES: usize = 1 << 16;
/// How many bytes may wait for slow readers before the script that publishes them has to wait, too.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// The two streams of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Printed results.
    Stdout,
    /// Messages.
    Stderr,
}

/// Publishes messages; cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    socket: Socket,
    signer: Signer,
    signal: StopSignal,
    waiting: Arc<AtomicUsize>,
    state: Arc<Mutex<State>>,
}

struct State {
    parent: Value,
    quiet: bool,
    stream: Stream,
    buffered: String,
}

impl Publisher {
    /// A publisher on an XPUB socket. Once `signal` is set, publishing does not wait for slow readers.
    pub fn new(socket: Socket, signer: Signer, signal: StopSignal) -> Self {
        let state = State { parent: json!({}), quiet: false, stream: Stream::Stdout, buffered: String::new() };
        Publisher { socket, signer, signal, waiting: Arc::default(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `parent` the request to which messages belong; where it is `quiet`, only its status is published.
    pub fn answer(&self, parent: &Value, quiet: bool) {
        let mut state = self.state();
        self.send_buffered(&mut state);
        (state.parent, state.quiet) = (parent.clone(), quiet);
    }

    /// Waits while too many bytes wait for readers; readers that stall are dropped meanwhile ([`Socket::drop_stalled`]).
    fn wait(&self) {
        while self.waiting.load(Ordering::SeqCst) > MAX_WAITING_BYTES && !self.signal.is_set() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Publishes a message of the current request. It may wait for readers, so only the thread of the cells calls it.
    pub fn publish(&self, kind: &str, content: Value) {
        self.wait();
        let mut state = self.state();
        self.send_buffered(&mut state);
        if !state.quiet {
            self.send(kind, &state.parent, content);
        }
    }

    /// As [`Publisher::publish`], with metadata and buffers.
    pub fn publish_with(&self, kind: &str, content: Value, metadata: Value, buffers: Vec<Bytes>) {
        self.wait();
        let mut state = self.state();
        self.send_buffered(&mut state);
        if !state.quiet {
            self.send_message(&Outgoing { kind, parent: &state.parent, metadata, content, buffers });
        }
    }

    /// Publishes whether the kernel works on a request.
    pub fn status(&self, parent: &Value, status: &str) {
        let mut state = self.state();
        self.send_buffered(&mut state);
        self.send("status", parent, json!({ "execution_state": status }));
    }

    /// Publishes a message of another request than the current one.
    pub fn publish_for(&self, kind: &str, parent: &Value, content: Value) {
        let mut state = self.state();
        self.send_buffered(&mut state);
        self.send(kind, parent, content);
    }

    /// Adds text to a stream; may wait for readers.
    pub fn write(&self, stream: Stream, text: &str) {
        self.wait();
        let mut state = self.state();
        if state.quiet {
            return;
        }
        if state.stream != stream {
            self.send_buffered(&mut state);
            state.stream = stream;
        }
        state.buffered.push_str(text);
        if state.buffered.len() >= FLUSH_BYTES {
            self.send_buffered(&mut state);
        }
    }

    /// Sends the buffered text.
    pub fn flush(&self) {
        self.send_buffered(&mut self.state());
    }

    fn send_buffered(&self, state: &mut State) {
        if state.buffered.is_empty() {
            return;
        }
        let name = match state.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let text = std::mem::take(&mut state.buffered);
        self.send("stream", &state.parent, json!({ "name": name, "text": text }));
    }

    fn send(&self, kind: &str, parent: &Value, content: Value) {
        self.send_message(&Outgoing::new(kind, parent, content));
    }

    fn send_message(&self, message: &Outgoing<'_>) {
        let topic = Bytes::copy_from_slice(message.kind.as_bytes());
        let frames = self.signer.frames(&[topic], message);
        self.socket.publish(Parcel::counted(frames, &self.waiting));
    }
}
