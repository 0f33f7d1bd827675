//! Limits on a server's connections: their number and their time. Every user of the machine can connect, so connections that
//! are slow, silent or too many are closed, and all are closed when the server ends.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Sleep, sleep, timeout};

/// The time for a request's head to arrive after the connection or the last response, which is also the longest idle time.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest time for which a client may read nothing of a response.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// How many bytes a request's head may have.
const MAX_HEAD: usize = 16 * 1024;
/// How many connections may be open; beyond that, the oldest is closed.
const MAX_CONNECTIONS: usize = 256;

/// The connections of a server.
pub struct Connections {
    service: Router,
    all: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
    ended: watch::Sender<bool>,
}

impl Connections {
    /// No connections yet; requests go to `service`.
    pub fn new(service: Router) -> Self {
        let (ended, _) = watch::channel(false);
        Connections { service, all: JoinSet::new(), oldest_first: VecDeque::new(), ended }
    }

    /// Accepts connections for ever.
    pub async fn accept(&mut self, listener: &TcpListener) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.add(stream),
                    // The system has no file descriptors or memory for it now.
                    Err(_) => sleep(Duration::from_millis(20)).await,
                },
                Some(_) = self.all.join_next() => self.oldest_first.retain(|c| !c.is_finished()),
            }
        }
    }

    fn add(&mut self, stream: TcpStream) {
        if self.oldest_first.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        let serve = serve(stream, self.service.clone(), self.ended.subscribe());
        self.oldest_first.push_back(self.all.spawn(serve));
    }

    /// Closes all connections: idle ones at once, others within `grace`.
    pub async fn end(mut self, grace: Duration) {
        self.ended.send_replace(true);
        // Connections that take longer are dropped with the set.
        let _ = timeout(grace, async { while self.all.join_next().await.is_some() {} }).await;
    }
}

/// Answers the requests of a connection.
async fn serve(stream: TcpStream, service: Router, mut ended: watch::Receiver<bool>) {
    // Otherwise small responses would wait for more data.
    let _ = stream.set_nodelay(true);
    let stream = Patient { stream, waiting: None };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MAX_HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    tokio::select! {
        // How it ended is of no interest.
        _ = connection.as_mut() => return,
        _ = ended.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A stream that fails where the client reads nothing for too long.
struct Patient {
    stream: TcpStream,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// The outcome of an attempt to write; an error where attempts have failed for too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waiting = None;
            return tried;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        waiting.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(context, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
