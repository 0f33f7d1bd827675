//! The main loop: messages in, answers and diagnostics out. One thread reads, one answers, in order; a request that was
//! cancelled before its turn is not answered, and diagnostics are sent when no request waits.

use crate::answer;
use crate::documents::Document;
use crate::frame::{Frame, MAX_FRAME_BYTES, MAX_VALUES, read, values, write};
use crate::state::ServerState;
use convscope_dsl::{Session, Silent};
use convscope_engine::Job;
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response, ResponseError};
use lsp_types::{DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, Error, Result, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The stack of the thread that answers, bytes: scripts may be nested deeply.
const STACK_BYTES: usize = 256 << 20;
/// How many messages may wait.
const MAX_WAITING: usize = 32;
/// How many documents may be open.
const MAX_DOCUMENTS: usize = 256;

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By the requests `shutdown` and `exit`.
    Requested,
    /// The editor closed the connection without these requests.
    Left,
}

/// A message or the end of the input.
enum Received {
    Message(Message),
    Unreadable(String),
    End,
    Broken(Error),
}

/// Serves one editor.
///
/// # Errors
/// Where the stream of messages is malformed, or answers cannot be written.
pub fn serve(input: impl BufRead + Send + 'static, output: impl Write + Send) -> Result<Ended> {
    let (sender, receiver) = sync_channel(MAX_WAITING);
    // The thread waits for input and ends with the process.
    std::thread::Builder::new().name("read".into()).spawn(move || listen(input, &sender))?;
    std::thread::scope(|threads| {
        let work = std::thread::Builder::new().name("answer".into()).stack_size(STACK_BYTES);
        let work = work.spawn_scoped(threads, move || Server::new(output).serve(&receiver))?;
        work.join().unwrap_or_else(|_| Err(Error::other("a defect of convscope")))
    })
}

fn listen(mut input: impl BufRead, sender: &SyncSender<Received>) {
    loop {
        let received = match read(&mut input) {
            Ok(Some(Frame::Content(bytes))) if values(&bytes) > MAX_VALUES => {
                Received::Unreadable(format!("a message of more than {MAX_VALUES} values"))
            }
            Ok(Some(Frame::Content(bytes))) => match serde_json::from_slice(&bytes) {
                Ok(message) => Received::Message(message),
                Err(e) => Received::Unreadable(format!("no message of JSON-RPC: {e}")),
            },
            Ok(Some(Frame::TooLong(bytes))) => {
                Received::Unreadable(format!("a message of {bytes} bytes; at most {MAX_FRAME_BYTES} are read"))
            }
            Ok(None) => Received::End,
            Err(e) => Received::Broken(e),
        };
        let last = matches!(received, Received::End | Received::Broken(_));
        if sender.send(received).is_err() || last {
            return;
        }
    }
}

struct Server<W> {
    output: W,
    state: ServerState,
    /// Documents whose diagnostics are to be sent.
    changed: BTreeSet<String>,
    ready: bool,
    leaving: bool,
}

impl<W: Write> Server<W> {
    fn new(output: W) -> Self {
        let session = Session::new(Job::new(), Arc::new(Silent));
        let reference = session.reference();
        let state = ServerState { session, reference, documents: BTreeMap::new(), snippets: false };
        Server { output, state, changed: BTreeSet::new(), ready: false, leaving: false }
    }

    fn serve(mut self, receiver: &Receiver<Received>) -> Result<Ended> {
        let mut queue = VecDeque::new();
        loop {
            fill(&mut queue, receiver);
            let received = match queue.pop_front() {
                Some(received) => received,
                None => {
                    self.publish_diagnostics()?;
                    receiver.recv().unwrap_or(Received::End)
                }
            };
            match received {
                Received::End => return Ok(Ended::Left),
                Received::Broken(e) => return Err(e),
                Received::Unreadable(why) => self.refuse(why)?,
                Received::Message(Message::Response(_)) => {}
                Received::Message(Message::Notification(said)) if said.method == "exit" => {
                    return Ok(if self.leaving { Ended::Requested } else { Ended::Left });
                }
                Received::Message(Message::Notification(said)) => self.hear(said),
                Received::Message(Message::Request(asked)) => {
                    fill(&mut queue, receiver);
                    let called_off = queue.iter().any(|received| cancels(received, &asked.id));
                    let response = match called_off {
                        true => failed(asked.id, ErrorCode::RequestCanceled, "called off"),
                        false => self.answered(asked),
                    };
                    self.send(&Message::Response(response))?;
                }
            }
        }
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        let mut value = serde_json::to_value(message)?;
        value["jsonrpc"] = "2.0".into();
        write(&mut self.output, &serde_json::to_vec(&value)?)
    }

    /// Reports a message that could not be read, and so has no id to reply to.
    fn refuse(&mut self, why: String) -> Result<()> {
        let error = json!({ "code": ErrorCode::ParseError as i32, "message": why });
        write(&mut self.output, &serde_json::to_vec(&json!({ "jsonrpc": "2.0", "id": null, "error": error }))?)
    }

    fn answered(&mut self, asked: Request) -> Response {
        let Request { id, method, params, .. } = asked;
        if method == "initialize" && !self.ready {
            self.ready = true;
            let item = "/capabilities/textDocument/completion/completionItem/snippetSupport";
            self.state.snippets = params.pointer(item).and_then(Value::as_bool).unwrap_or(false);
            return Response { id, response_result: Ok(answer::capabilities()) };
        }
        if !self.ready {
            return failed(id, ErrorCode::ServerNotInitialized, "`initialize` comes first");
        }
        if self.leaving || method == "initialize" {
            return failed(id, ErrorCode::InvalidRequest, &format!("`{method}` has no place here"));
        }
        if method == "shutdown" {
            self.leaving = true;
            return Response { id, response_result: Ok(Value::Null) };
        }
        let done = catch_unwind(AssertUnwindSafe(|| answer::answer(&self.state, &method, params)));
        match done {
            Ok(Ok(value)) => Response { id, response_result: Ok(value) },
            Ok(Err(error)) => Response { id, response_result: Err(error) },
            Err(_) => failed(id, ErrorCode::InternalError, "a defect of convscope; please report it with the script"),
        }
    }

    fn hear(&mut self, said: Notification) {
        if !self.ready {
            return;
        }
        let Notification { method, params, .. } = said;
        match method.as_str() {
            "textDocument/didOpen" => {
                if let Ok(DidOpenTextDocumentParams { text_document: opened }) = serde_json::from_value(params)
                    && self.state.documents.len() < MAX_DOCUMENTS
                {
                    let key = opened.uri.as_str().to_string();
                    self.state.documents.insert(key.clone(), Document::new(opened.uri, opened.text, opened.version));
                    self.changed.insert(key);
                }
            }
            "textDocument/didChange" => {
                if let Ok(DidChangeTextDocumentParams { text_document: about, content_changes }) =
                    serde_json::from_value(params)
                    && let Some(document) = self.state.documents.get_mut(about.uri.as_str())
                {
                    document.version = about.version;
                    content_changes.into_iter().for_each(|change| document.change(change));
                    self.changed.insert(about.uri.as_str().to_string());
                }
            }
            "textDocument/didClose" => {
                if let Ok(DidCloseTextDocumentParams { text_document: closed }) = serde_json::from_value(params) {
                    self.state.documents.remove(closed.uri.as_str());
                    self.changed.insert(closed.uri.as_str().to_string());
                }
            }
            _ => {}
        }
    }

    /// Sends the diagnostics of the documents that changed, and an empty list for those that were closed.
    fn publish_diagnostics(&mut self) -> Result<()> {
        for key in std::mem::take(&mut self.changed) {
            let params = match self.state.documents.get(&key) {
                None => json!({ "uri": key, "diagnostics": [] }),
                Some(document) => {
                    let checked = catch_unwind(AssertUnwindSafe(|| answer::diagnostics(&self.state.session, document)));
                    json!({ "uri": key, "version": document.version, "diagnostics": checked.unwrap_or_default() })
                }
            };
            let method = "textDocument/publishDiagnostics".to_string();
            self.send(&Message::Notification(Notification { method, params }))?;
        }
        Ok(())
    }
}

/// Moves received messages to the queue, up to a few.
fn fill(queue: &mut VecDeque<Received>, receiver: &Receiver<Received>) {
    let room = MAX_WAITING.saturating_sub(queue.len());
    queue.extend(receiver.try_iter().take(room));
}

/// Whether a message cancels the request `id`.
fn cancels(received: &Received, id: &RequestId) -> bool {
    match received {
        Received::Message(Message::Notification(n)) if n.method == "$/cancelRequest" => {
            serde_json::from_value::<RequestId>(n.params["id"].clone()).is_ok_and(|called| called == *id)
        }
        _ => false,
    }
}

fn failed(id: RequestId, code: ErrorCode, message: &str) -> Response {
    let error = ResponseError { code: code as i32, message: message.into(), data: None };
    Response { id, response_result: Err(error) }
}
