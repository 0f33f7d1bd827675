//! A kernel's socket: it listens, keeps its peers, and enforces the limits of each. A peer that exceeds them, speaks another
//! protocol or stops reading is disconnected; the others do not wait for it.

mod peers;
#[cfg(test)]
mod tests;

pub use peers::{Limits, Parcel};

use crate::connection::Endpoint;
use crate::zmtp::{self, Budget, Fault, Incoming, Kind, Received};
use bytes::Bytes;
use convscope_engine::{Error, Result};
use peers::{PeerLink, Peers, Queued};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

/// The time for a peer to complete the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How many topics a peer may subscribe to.
const MAX_TOPICS: usize = 64;

/// A peer of a socket while it is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerId {
    number: u64,
    /// The identity that the peer claims; several may claim the same.
    pub identity: Bytes,
}

/// The function for each message, or for each new topic of an XPUB socket. What it returns is sent to that peer, or to all
/// subscribers of the topic, the new one included.
pub type Handler = dyn Fn(&PeerId, Vec<Bytes>) -> Option<Parcel> + Send + Sync;

/// A socket; clones share it.
#[derive(Clone)]
pub struct Socket {
    kind: Kind,
    limits: Limits,
    budget: Arc<Budget>,
    peers: Arc<Mutex<Peers>>,
}

/// A connection: TCP or a Unix socket.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Socket {
    /// A socket before it listens; `budget` bounds the unfinished messages of all peers.
    pub fn new(kind: Kind, limits: Limits, budget: Arc<Budget>) -> Self {
        Socket { kind, limits, budget, peers: Arc::default() }
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens; `handler` receives every message, or every new topic of an XPUB socket.
    ///
    /// # Errors
    /// Where the address is taken or not one of this machine's.
    pub async fn listen(&self, endpoint: &Endpoint, handler: Arc<Handler>) -> Result<()> {
        let taken = |e| Error::internal(format!("cannot listen at {endpoint}: {e}")).hint("is another kernel there?");
        match endpoint {
            Endpoint::Tcp(ip, port) => {
                let listener = TcpListener::bind((ip.as_str(), *port)).await.map_err(taken)?;
                let socket = self.clone();
                tokio::spawn(async move {
                    loop {
                        let accepted = listener.accept().await.and_then(|(stream, _)| {
                            stream.set_nodelay(true)?;
                            Ok(stream)
                        });
                        socket.accept(accepted, &handler).await;
                    }
                });
            }
            #[cfg(unix)]
            Endpoint::Ipc(path) => {
                let listener = listen_private(path).map_err(taken)?;
                let own = Path(path.clone());
                let socket = self.clone();
                tokio::spawn(async move {
                    let _own = own;
                    loop {
                        let accepted = listener.accept().await.map(|(stream, _)| stream);
                        socket.accept(accepted, &handler).await;
                    }
                });
            }
        }
        Ok(())
    }

    /// Accepts a connection.
    async fn accept<S: Stream + 'static>(&self, accepted: std::io::Result<S>, handler: &Arc<Handler>) {
        let Ok(stream) = accepted else {
            // The system has no file descriptors or memory for it now.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        };
        let Some(line) = self.peers().admit(self.limits.peers) else { return };
        let (socket, handler) = (self.clone(), handler.clone());
        tokio::spawn(async move {
            let number = line.number;
            // Why a peer was disconnected is not logged: a stranger could fill the log.
            let _ = socket.talk(line, stream, &*handler).await;
            socket.peers().remove(number);
        });
    }

    /// Exchanges frames with a peer until one of the two disconnects.
    async fn talk<S: Stream>(&self, mut line: PeerLink, mut stream: S, handler: &Handler) -> Result<(), Fault> {
        let hands = tokio::time::timeout(HANDSHAKE_TIME, zmtp::shake_hands(&mut stream, self.kind));
        let identity = tokio::select! {
            shaken = hands => shaken.map_err(|_| Fault::Silent)??,
            _ = &mut line.disconnected => return Ok(()),
        };
        if let Some(peer) = self.peers().get(line.number) {
            peer.identity = identity.clone();
        }
        let (from, to) = tokio::io::split(stream);
        let incoming = Incoming::new(BufReader::new(from), self.limits.message, self.budget.clone());
        let peer = PeerId { number: line.number, identity };
        tokio::select! {
            ended = self.read(incoming, &peer, handler) => ended,
            ended = peers::write(to, line.queued, &line.traffic) => ended,
            _ = line.disconnected => Ok(()),
        }
    }

    async fn read<R: AsyncRead + Unpin>(
        &self,
        mut incoming: Incoming<R>,
        peer: &PeerId,
        handler: &Handler,
    ) -> Result<(), Fault> {
        loop {
            match (incoming.next().await?, self.kind) {
                (Received::Message(mut frames), Kind::XPub) => {
                    let first = frames.swap_remove(0);
                    match first.split_first() {
                        Some((1, _)) => self.subscribe(peer, first.slice(1..), handler)?,
                        Some((0, _)) => self.cancel(peer, &first.slice(1..)),
                        _ => {}
                    }
                }
                (Received::Message(frames), _) => {
                    if let Some(parcel) = handler(peer, frames) {
                        self.send(peer, parcel);
                    }
                }
                (Received::Command(name, topic), Kind::XPub) if &name[..] == b"SUBSCRIBE" => {
                    self.subscribe(peer, topic, handler)?;
                }
                (Received::Command(name, topic), Kind::XPub) if &name[..] == b"CANCEL" => self.cancel(peer, &topic),
                (Received::Command(name, rest), _) if &name[..] == b"PING" && rest.len() >= 2 => {
                    let pong = [b"\x04PONG", &rest[2..]].concat();
                    self.to(peer, Queued::Command(pong.into()));
                }
                (Received::Command(name, _), _) if &name[..] == b"ERROR" => {
                    return Err(Fault::Protocol("it says that something is wrong"));
                }
                (Received::Command(..), _) => {}
            }
        }
    }

    /// Adds a topic and publishes what the handler returns, as one step, so that nothing else is published in between.
    fn subscribe(&self, peer: &PeerId, topic: Bytes, handler: &Handler) -> Result<(), Fault> {
        let welcome = handler(peer, vec![topic.clone()]);
        let mut peers = self.peers();
        let Some(own) = peers.get(peer.number) else { return Ok(()) };
        if own.topics.len() >= MAX_TOPICS {
            return Err(Fault::TooLarge);
        }
        own.topics.push(topic);
        own.trusted = true;
        if let Some(parcel) = welcome {
            peers.publish(parcel);
        }
        Ok(())
    }

    fn cancel(&self, peer: &PeerId, topic: &Bytes) {
        if let Some(own) = self.peers().get(peer.number)
            && let Some(at) = own.topics.iter().position(|t| t == topic)
        {
            own.topics.swap_remove(at);
        }
    }

    /// Marks a peer as trusted: it is not disconnected to make room for another.
    pub fn trust(&self, peer: &PeerId) {
        if let Some(own) = self.peers().get(peer.number) {
            own.trusted = true;
        }
    }

    fn to(&self, peer: &PeerId, queued: Queued) {
        if let Some(own) = self.peers().get(peer.number) {
            own.send(queued);
        }
    }

    /// Sends to a peer, if it is still connected.
    pub fn send(&self, peer: &PeerId, parcel: Parcel) {
        self.to(peer, Queued::Message(Arc::new(parcel)));
    }

    /// Sends to all peers that claim an identity.
    pub fn send_to_all(&self, identity: &Bytes, parcel: Parcel) {
        let parcel = Arc::new(parcel);
        self.peers().with_identity(identity).for_each(|p| p.send(Queued::Message(parcel.clone())));
    }

    /// Sends to all peers that subscribed to a prefix of the first frame.
    pub fn publish(&self, parcel: Parcel) {
        self.peers().publish(parcel);
    }

    /// Whether no peer has messages waiting.
    pub fn is_idle(&self) -> bool {
        self.peers().is_idle()
    }

    /// Disconnects peers that stall with too many bytes waiting; returns how many.
    pub fn drop_stalled(&self) -> usize {
        self.peers().drop_stalled(&self.limits)
    }
}

/// The path of a Unix socket, removed when the socket is dropped.
#[cfg(unix)]
struct Path(std::path::PathBuf);

#[cfg(unix)]
impl Drop for Path {
    fn drop(&mut self) {
        // Another process may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens at a path that only this user may connect to; the permissions are set before listening begins.
#[cfg(unix)]
fn listen_private(path: &std::path::Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let left = std::fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    if left && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let socket = tokio::net::UnixSocket::new_stream()?;
    socket.bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(128)
}
