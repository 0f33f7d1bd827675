//! The kernel at work: five sockets on one thread, cells on another, so that heartbeats, interrupts and shutdown are
//! answered while a cell computes.

use crate::connection::{Connection, Port};
use crate::control::Control;
use crate::history::{self, History};
use crate::language::Language;
use crate::notebook::Notebook;
use crate::publisher::{Parcel, Publisher};
use crate::shell::{Shell, eprint};
use crate::wire::{Outgoing, Reader, Request, Signer};
use bytes::Bytes;
use convscope_dsl::Output;
use convscope_engine::job::Signal;
use convscope_engine::{Error, Result};
use serde_json::json;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::{
    RepSocket, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend, XPubSocket, ZmqMessage,
};

/// Gathered text leaves at least this often.
const FLUSH: Duration = Duration::from_millis(50);
/// How often it is looked whether the front end still lives.
const ORPHAN: Duration = Duration::from_secs(1);
/// What is still queued when the kernel ends may take this long.
const LAST: Duration = Duration::from_secs(1);
/// Written frames leave within this time.
const WRITING: Duration = Duration::from_millis(50);
/// A reader of what is published that takes nothing for this long misses messages.
const STALLED: Duration = Duration::from_secs(10);

/// Runs a kernel until its front end shuts it down. `make` makes the language, on the thread that runs cells, for an
/// output; `signal` stops its cells.
///
/// # Errors
/// Where the connection file cannot be read or its addresses cannot be listened at.
pub fn serve<M>(connection: &Path, signal: Signal, make: M) -> Result<()>
where
    M: FnOnce(Arc<dyn Output>) -> Box<dyn Language> + Send + 'static,
{
    let connection = Connection::open(connection)?;
    let broken = |e: std::io::Error| Error::internal(format!("the kernel's sockets: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    let served = runtime.block_on(work(connection, signal, make));
    // A cell that does not stop would keep the process alive.
    runtime.shutdown_background();
    served
}

/// Listens at an address of the connection.
async fn listen<S: Socket>(connection: &Connection, port: Port) -> Result<S> {
    let address = connection.address(port);
    let mut socket = S::new();
    let taken = |e| Error::internal(format!("cannot listen at {address}: {e}")).hint("is another kernel there?");
    socket.bind(&address).await.map_err(taken)?;
    Ok(socket)
}

async fn work<M>(connection: Connection, signal: Signal, make: M) -> Result<()>
where
    M: FnOnce(Arc<dyn Output>) -> Box<dyn Language> + Send + 'static,
{
    let signer = Signer::new(&connection.key);
    let (published, to_publish) = unbounded_channel();
    let publisher = Publisher::new(published, signer.clone(), signal.clone());
    let (replies, to_reply) = unbounded_channel();
    let (questions, to_ask) = unbounded_channel();
    let (requests, to_answer) = std_mpsc::channel();
    let (answers, answered) = std_mpsc::channel();
    let (end, mut ended) = unbounded_channel();

    let iopub = listen::<XPubSocket>(&connection, Port::Iopub).await?;
    let (shell_out, shell_in) = listen::<RouterSocket>(&connection, Port::Shell).await?.split();
    let (stdin_out, stdin_in) = listen::<RouterSocket>(&connection, Port::Stdin).await?.split();
    let (control_out, control_in) = listen::<RouterSocket>(&connection, Port::Control).await?.split();
    let heartbeat = listen::<RepSocket>(&connection, Port::Heartbeat).await?;

    let cells = Cells { publisher: publisher.clone(), signer: signer.clone(), signal: signal.clone() };
    cells.start(make, replies.clone(), to_answer, questions, answered)?;
    tokio::spawn(publish(iopub, to_publish, signer.clone()));
    tokio::spawn(send(shell_out, to_reply));
    tokio::spawn(send(stdin_out, to_ask));
    tokio::spawn(echo(heartbeat));
    let (shell_end, key) = (end.clone(), signer.clone());
    tokio::spawn(receive(shell_in, key.clone(), move |request| match request.kind.as_str() {
        // Old front ends send it here.
        "shutdown_request" => drop(shell_end.send(Some(request))),
        _ => drop(requests.send(request)),
    }));
    tokio::spawn(receive(stdin_in, key, move |request| drop(answers.send(request))));
    let control = Control { signal: signal.clone(), publisher: publisher.clone(), signer: signer.clone() };
    tokio::spawn(answer(control_in, control_out, signer, control.clone(), end.clone()));
    tokio::spawn(watch(signal, end));

    let mut tick = tokio::time::interval(FLUSH);
    let last = loop {
        tokio::select! {
            last = ended.recv() => break last.flatten(),
            _ = tick.tick() => publisher.flush(),
        }
    };
    if let Some(reply) = last.and_then(|request| control.answer(&request).0) {
        let _ = replies.send(reply);
    }
    publisher.flush();
    let begun = std::time::Instant::now();
    while publisher.is_waiting() && begun.elapsed() < LAST {
        tokio::time::sleep(WRITING / 10).await;
    }
    tokio::time::sleep(WRITING).await;
    Ok(())
}

/// What the thread of the cells needs of the rest.
struct Cells {
    publisher: Publisher,
    signer: Signer,
    signal: Signal,
}

impl Cells {
    fn start<M>(
        self,
        make: M,
        replies: UnboundedSender<Vec<Bytes>>,
        requests: std_mpsc::Receiver<Request>,
        questions: UnboundedSender<Vec<Bytes>>,
        answers: std_mpsc::Receiver<Request>,
    ) -> Result<()>
    where
        M: FnOnce(Arc<dyn Output>) -> Box<dyn Language> + Send + 'static,
    {
        let Cells { publisher, signer, signal } = self;
        let run = move || {
            let notebook = Notebook::new(publisher.clone(), signer.clone(), signal, questions, answers);
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
                replies,
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

/// Publishes what is queued, in order, and welcomes whoever subscribes.
async fn publish(mut socket: XPubSocket, mut queue: UnboundedReceiver<Parcel>, signer: Signer) {
    loop {
        tokio::select! {
            biased;
            subscribed = socket.recv() => {
                let Ok(message) = subscribed else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let Some([1, topic @ ..]) = message.get(0).map(|f| &f[..]) else { continue };
                let topic = Bytes::copy_from_slice(topic);
                let content = json!({ "subscription": String::from_utf8_lossy(&topic) });
                let none = json!({});
                let welcome = Outgoing { kind: "iopub_welcome", parent: &none, metadata: json!({}), content };
                broadcast(&mut socket, signer.frames(&[topic], &welcome)).await;
            }
            parcel = queue.recv() => match parcel {
                Some(mut parcel) => broadcast(&mut socket, std::mem::take(&mut parcel.frames)).await,
                None => return,
            },
        }
    }
}

async fn broadcast(socket: &mut XPubSocket, frames: Vec<Bytes>) {
    let Ok(message) = ZmqMessage::try_from(frames) else { return };
    let _ = tokio::time::timeout(STALLED, socket.send(message)).await;
}

/// Sends replies or questions; those whose receiver is gone are dropped.
async fn send(mut socket: RouterSendHalf, mut queue: UnboundedReceiver<Vec<Bytes>>) {
    while let Some(frames) = queue.recv().await {
        if let Ok(message) = ZmqMessage::try_from(frames) {
            let _ = socket.send(message).await;
        }
    }
}

/// Reads requests and passes them on; what is refused is said in the log.
async fn receive(mut socket: RouterRecvHalf, signer: Signer, mut pass: impl FnMut(Request)) {
    let mut reader = Reader::new(signer);
    loop {
        match socket.recv().await {
            Ok(message) => match reader.read(message.into_vec()) {
                Ok(request) => pass(request),
                Err(refused) => eprint(&format!("refused a message: {refused}")),
            },
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Answers the control channel.
async fn answer(
    mut from: RouterRecvHalf,
    mut to: RouterSendHalf,
    signer: Signer,
    control: Control,
    end: UnboundedSender<Option<Request>>,
) {
    let mut reader = Reader::new(signer);
    loop {
        let Ok(message) = from.recv().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        match reader.read(message.into_vec()) {
            Ok(request) => {
                let (reply, last) = control.answer(&request);
                if let Some(message) = reply.and_then(|frames| ZmqMessage::try_from(frames).ok()) {
                    let _ = to.send(message).await;
                }
                if last {
                    let _ = end.send(None);
                }
            }
            Err(refused) => eprint(&format!("refused a message: {refused}")),
        }
    }
}

/// Sends back what comes.
async fn echo(mut socket: RepSocket) {
    loop {
        match socket.recv().await {
            Ok(message) => drop(socket.send(message).await),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Turns the system's signals into stops, and ends with the front end that started the kernel.
async fn watch(signal: Signal, end: UnboundedSender<Option<Request>>) {
    let orphaned = orphaned();
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

/// Waits until the process that started the kernel is gone, where it said that it wants that (JPY_PARENT_PID).
async fn orphaned() {
    #[cfg(unix)]
    if std::env::var_os("JPY_PARENT_PID").is_some() {
        let parent = std::os::unix::process::parent_id();
        while std::os::unix::process::parent_id() == parent {
            tokio::time::sleep(ORPHAN).await;
        }
        return;
    }
    std::future::pending::<()>().await;
}
