//! Runs the kernel: five sockets on one thread, cells on another, so that heartbeats, interrupts and shutdown are
//! answered while a cell computes.

use crate::connection::{Connection, Port};
use crate::control::Control;
use crate::history::{self, History};
use crate::language::Language;
use crate::notebook::Notebook;
use crate::publisher::Publisher;
use crate::shell::{Shell, eprint};
use crate::socket::{Handler, Limits, Parcel, Socket};
use crate::wire::{Outgoing, Reader, Request, Signer};
use crate::zmtp::{Budget, Kind};
use convscope_dsl::Output;
use convscope_engine::job::StopSignal;
use convscope_engine::{Error, Result};
use serde_json::json;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The longest time between two flushes of buffered text and two checks of peers.
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);
/// The time between two checks whether the front end still runs.
const PARENT_POLL: Duration = Duration::from_secs(1);
/// The time for queued messages to be sent when the kernel ends.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The time for frames to arrive once they are written.
const WRITE_TIME: Duration = Duration::from_millis(50);
/// How many bytes the unfinished messages of all peers may take.
const MAX_UNFINISHED_BYTES: usize = 256 << 20;
/// How many lines about refused peers are logged, so that a stranger cannot fill the log.
const MAX_LOG_LINES: usize = 100;

/// The limits of a peer that sends requests, such as a cell with attachments.
const REQUEST_LIMITS: Limits =
    Limits { message: 128 << 20, behind: 64 << 20, patience: Duration::from_secs(2), peers: 128 };
/// The limits of a subscriber. Its queue is shorter than the one at which the script waits ([`Publisher::publish`]), so a reader
/// that does not read is dropped before that.
const SUBSCRIBER_LIMITS: Limits = Limits { message: 4096, behind: 32 << 20, ..REQUEST_LIMITS };
/// The limits of a peer of the heartbeat.
const HEARTBEAT_LIMITS: Limits = Limits { message: 1 << 16, behind: 1 << 20, ..REQUEST_LIMITS };

/// Runs a kernel until its front end shuts it down. `make` makes the language for an output, on the thread of the cells;
/// `signal` stops its cells.
///
/// # Errors
/// Where the connection file cannot be read or its addresses cannot be listened at.
pub fn serve<M>(connection: &Path, signal: StopSignal, make: M) -> Result<()>
where
    M: FnOnce(Arc<dyn Output>) -> Box<dyn Language> + Send + 'static,
{
    let connection = Connection::open(connection)?;
    let broken = |e: std::io::Error| Error::internal(format!("the kernel's sockets: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let served = runtime.block_on(work(&connection, signal, make));
    // A cell that does not stop would keep the process alive.
    runtime.shutdown_background();
    served
}

async fn work<M>(connection: &Connection, signal: StopSignal, make: M) -> Result<()>
where
    M: FnOnce(Arc<dyn Output>) -> Box<dyn Language> + Send + 'static,
{
    let signer = Signer::new(&connection.key);
    let budget = Budget::new(MAX_UNFINISHED_BYTES);
    let iopub = Socket::new(Kind::XPub, SUBSCRIBER_LIMITS, budget.clone());
    let [shell, stdin, control] = [(); 3].map(|()| Socket::new(Kind::Router, REQUEST_LIMITS, budget.clone()));
    let heartbeat = Socket::new(Kind::Rep, HEARTBEAT_LIMITS, budget);
    let publisher = Publisher::new(iopub.clone(), signer.clone(), signal.clone());
    let (requests, to_answer) = mpsc::channel();
    let (answers, answered) = mpsc::channel();
    let (end, mut ended) = unbounded_channel();
    let log = Arc::new(Log::default());

    iopub.listen(&connection.endpoint(Port::Iopub), welcome(signer.clone())).await?;
    heartbeat.listen(&connection.endpoint(Port::Heartbeat), Arc::new(|_, beat| Some(Parcel::new(beat)))).await?;
    let shell_end = end.clone();
    let asked = move |request: Request| match request.kind.as_str() {
        // Old front ends send it on this channel.
        "shutdown_request" => drop(shell_end.send(Some(request))),
        _ => drop(requests.send(request)),
    };
    shell.listen(&connection.endpoint(Port::Shell), receive(&shell, &signer, &log, asked)).await?;
    let answer = move |request| drop(answers.send(request));
    stdin.listen(&connection.endpoint(Port::Stdin), receive(&stdin, &signer, &log, answer)).await?;
    let answerer = Control { signal: signal.clone(), publisher: publisher.clone(), signer: signer.clone() };
    let (to_control, control_end, at_once) = (control.clone(), end.clone(), answerer.clone());
    let asked = move |request: Request| {
        let (reply, last) = at_once.answer(&request);
        if let Some(reply) = reply {
            to_control.send(&request.peer, reply);
        }
        if last {
            drop(control_end.send(None));
        }
    };
    control.listen(&connection.endpoint(Port::Control), receive(&control, &signer, &log, asked)).await?;

    let cells = Cells { publisher: publisher.clone(), signer, signal: signal.clone() };
    cells.start(make, shell.clone(), to_answer, stdin.clone(), answered)?;
    tokio::spawn(watch(signal, end));

    let sockets = [&iopub, &shell, &stdin, &control, &heartbeat];
    let mut tick = tokio::time::interval(FLUSH_INTERVAL);
    let last = loop {
        tokio::select! {
            last = ended.recv() => break last.flatten(),
            _ = tick.tick() => {
                publisher.flush();
                if sockets.iter().map(|s| s.drop_stalled()).sum::<usize>() > 0 {
                    log.write("hung up on a reader that does not read");
                }
            }
        }
    };
    if let Some(request) = last
        && let Some(reply) = answerer.answer(&request).0
    {
        shell.send(&request.peer, reply);
    }
    publisher.flush();
    let begun = std::time::Instant::now();
    while !sockets.iter().all(|s| s.is_idle()) && begun.elapsed() < DRAIN_TIME {
        tokio::time::sleep(WRITE_TIME / 10).await;
    }
    tokio::time::sleep(WRITE_TIME).await;
    Ok(())
}

/// The log of refused peers, bounded in length.
#[derive(Default)]
struct Log {
    lines: AtomicUsize,
}

impl Log {
    fn write(&self, line: &str) {
        match self.lines.fetch_add(1, Ordering::SeqCst) {
            n if n < MAX_LOG_LINES => eprint(line),
            MAX_LOG_LINES => eprint("more messages and readers were refused; no more is said of them"),
            _ => {}
        }
    }
}

/// What the thread of the cells uses.
struct Cells {
    publisher: Publisher,
    signer: Signer,
    signal: StopSignal,
}

impl Cells {
    fn start<M>(
        self,
        make: M,
        shell: Socket,
        requests: mpsc::Receiver<Request>,
        stdin: Socket,
        answers: mpsc::Receiver<Request>,
    ) -> Result<()>
    where
        M: FnOnce(Arc<dyn Output>) -> Box<dyn Language> + Send + 'static,
    {
        let Cells { publisher, signer, signal } = self;
        let run = move || {
            let notebook = Notebook::new(publisher.clone(), signer.clone(), signal, stdin, answers);
            let notebook = Arc::new(notebook);
            publisher.status(&json!({}), "starting");
            let language = make(notebook.clone());
            let history = History::open(history::file());
            let waiting = VecDeque::new();
            Shell {
                language,
                publisher,
                notebook,
                history,
                signer,
                socket: shell,
                requests,
                waiting,
                count: 0,
                aborting: false,
            }
            .run();
        };
        let spawned = std::thread::Builder::new().name("cells".into()).spawn(run);
        spawned.map(drop).map_err(|e| Error::internal(format!("no thread for the cells: {e}")))
    }
}

/// Sends the welcome message to subscribers.
fn welcome(signer: Signer) -> Arc<Handler> {
    Arc::new(move |_, topic| {
        let content = json!({ "subscription": String::from_utf8_lossy(&topic.concat()) });
        let none = json!({});
        let welcome = Outgoing::new("iopub_welcome", &none, content);
        Some(Parcel::new(signer.frames(&topic, &welcome)))
    })
}

/// Reads requests and passes them on; refusals are logged.
fn receive(
    socket: &Socket,
    signer: &Signer,
    log: &Arc<Log>,
    pass: impl Fn(Request) + Send + Sync + 'static,
) -> Arc<Handler> {
    let (socket, log, reader) = (socket.clone(), log.clone(), Mutex::new(Reader::new(signer.clone())));
    Arc::new(move |peer, frames| {
        let read = reader.lock().unwrap_or_else(PoisonError::into_inner).read(peer, frames);
        match read {
            Ok(request) => {
                socket.trust(peer);
                pass(request);
            }
            Err(refused) => log.write(&format!("refused a message: {refused}")),
        }
        None
    })
}

/// Turns the system's signals into stops, and ends the kernel when the front end that started it ends.
async fn watch(signal: StopSignal, end: UnboundedSender<Option<Request>>) {
    let orphaned = wait_for_parent_end();
    tokio::spawn(async move {
        orphaned.await;
        let _ = end.send(None);
    });
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal as listen};
        let Ok(mut interrupts) = listen(SignalKind::interrupt()) else { return };
        while interrupts.recv().await.is_some() {
            signal.stop();
        }
    }
    #[cfg(not(unix))]
    while tokio::signal::ctrl_c().await.is_ok() {
        signal.stop();
    }
}

/// Waits until the process that started the kernel is gone, where the environment asks for that (JPY_PARENT_PID).
async fn wait_for_parent_end() {
    #[cfg(unix)]
    if std::env::var_os("JPY_PARENT_PID").is_some() {
        let parent = std::os::unix::process::parent_id();
        while std::os::unix::process::parent_id() == parent {
            tokio::time::sleep(PARENT_POLL).await;
        }
        return;
    }
    std::future::pending::<()>().await;
}
