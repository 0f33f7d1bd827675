//! The peers of a socket: the queue of each, what each has read, and which peer is dropped when there are too many.

use crate::zmtp::{self, Fault};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// The cost of a queued frame besides its content, bytes, so that empty frames count, too.
const ENTRY_COST: usize = 128;

/// The limits of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of an incoming message.
    pub message: usize,
    /// Bytes that may wait for a peer; a peer with more that reads slowly is disconnected.
    pub behind: usize,
    /// A peer with so many bytes waiting is slow where it reads less than a sixteenth of `behind` within this time.
    pub patience: Duration,
    /// Peers at a time.
    pub peers: usize,
}

/// Frames for one or many peers.
#[derive(Debug)]
pub struct Parcel {
    frames: Vec<Bytes>,
    bytes: usize,
    counted: Option<Arc<AtomicUsize>>,
}

impl Parcel {
    /// A parcel of frames.
    pub fn new(frames: Vec<Bytes>) -> Self {
        Parcel { bytes: size(&frames), frames, counted: None }
    }

    /// The same; its bytes count in `waiting` until the last peer has them.
    pub fn counted(frames: Vec<Bytes>, waiting: &Arc<AtomicUsize>) -> Self {
        let bytes = size(&frames);
        waiting.fetch_add(bytes, Ordering::SeqCst);
        Parcel { frames, bytes, counted: Some(waiting.clone()) }
    }
}

/// The cost of frames while they wait, bytes: their content and their containers.
fn size(frames: &[Bytes]) -> usize {
    frames.iter().map(|f| f.len() + ENTRY_COST).sum()
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(waiting) = &self.counted {
            waiting.fetch_sub(self.bytes, Ordering::SeqCst);
        }
    }
}

/// An entry in a peer's queue.
pub(super) enum Queued {
    Message(Arc<Parcel>),
    Command(Bytes),
}

impl Queued {
    fn bytes(&self) -> usize {
        match self {
            Queued::Message(parcel) => parcel.bytes,
            Queued::Command(body) => body.len() + ENTRY_COST,
        }
    }
}

/// The peers of a socket by number; later peers have larger numbers.
#[derive(Default)]
pub(super) struct Peers {
    last: u64,
    all: BTreeMap<u64, Peer>,
}

pub(super) struct Peer {
    /// The identity that it claims.
    pub identity: Bytes,
    /// The topics that it subscribed to.
    pub topics: Vec<Bytes>,
    /// Whether it is trusted: by a signature or a subscription.
    pub trusted: bool,
    queue: UnboundedSender<Queued>,
    traffic: Arc<Traffic>,
    /// Since when too many bytes wait for it, and how many it had read by then.
    behind: Option<(Instant, u64)>,
    _hang_up: oneshot::Sender<()>,
}

/// The socket's end of a new connection.
pub(super) struct PeerLink {
    pub number: u64,
    /// The entries to write.
    pub queued: UnboundedReceiver<Queued>,
    pub traffic: Arc<Traffic>,
    /// Resolves when the peer is removed from the peers.
    pub disconnected: oneshot::Receiver<()>,
}

/// The bytes queued for a peer.
#[derive(Default)]
pub(super) struct Traffic {
    waiting: AtomicUsize,
    taken: AtomicU64,
}

impl Peer {
    pub fn send(&self, queued: Queued) {
        self.traffic.waiting.fetch_add(queued.bytes(), Ordering::SeqCst);
        // Nobody receives it only while the peer is being disconnected.
        let _ = self.queue.send(queued);
    }

    /// Whether it reads too little of what waits for it.
    fn is_stalled(&mut self, limits: &Limits) -> bool {
        let taken = self.traffic.taken.load(Ordering::SeqCst);
        if self.traffic.waiting.load(Ordering::SeqCst) <= limits.behind {
            self.behind = None;
            return false;
        }
        let (since, before) = *self.behind.get_or_insert((Instant::now(), taken));
        if since.elapsed() < limits.patience {
            return false;
        }
        self.behind = None;
        taken - before < limits.behind as u64 / 16
    }
}

impl Peers {
    /// Adds a peer. At the limit, the oldest peer that is not trusted is disconnected; where all are trusted, the new one is
    /// refused and may try again.
    pub fn admit(&mut self, most: usize) -> Option<PeerLink> {
        if self.all.len() >= most {
            let oldest = self.all.iter().find(|(_, p)| !p.trusted).map(|(number, _)| *number)?;
            self.all.remove(&oldest);
        }
        let (queue, queued) = unbounded_channel();
        let (hang_up, disconnected) = oneshot::channel();
        let traffic = Arc::<Traffic>::default();
        self.last += 1;
        let peer = Peer {
            identity: Bytes::new(),
            topics: Vec::new(),
            trusted: false,
            queue,
            traffic: traffic.clone(),
            behind: None,
            _hang_up: hang_up,
        };
        self.all.insert(self.last, peer);
        Some(PeerLink { number: self.last, queued, traffic, disconnected })
    }

    pub fn get(&mut self, number: u64) -> Option<&mut Peer> {
        self.all.get_mut(&number)
    }

    pub fn remove(&mut self, number: u64) {
        self.all.remove(&number);
    }

    /// The peers that claim an identity.
    pub fn with_identity<'a>(&'a self, identity: &'a Bytes) -> impl Iterator<Item = &'a Peer> {
        self.all.values().filter(move |p| !identity.is_empty() && p.identity == identity)
    }

    /// Sends to all peers that subscribed to a prefix of the first frame.
    pub fn publish(&self, parcel: Parcel) {
        let parcel = Arc::new(parcel);
        let first = parcel.frames.first().map_or(&[][..], |f| f);
        for peer in self.all.values().filter(|p| p.topics.iter().any(|t| first.starts_with(t))) {
            peer.send(Queued::Message(parcel.clone()));
        }
    }

    /// Whether no peer has messages waiting.
    pub fn is_idle(&self) -> bool {
        self.all.values().all(|p| p.traffic.waiting.load(Ordering::SeqCst) == 0)
    }

    /// Disconnects peers that stall with too many bytes waiting; returns how many.
    pub fn drop_stalled(&mut self, limits: &Limits) -> usize {
        let before = self.all.len();
        self.all.retain(|_, peer| !peer.is_stalled(limits));
        before - self.all.len()
    }
}

/// Writes the queue of a peer.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    mut to: W,
    mut queued: UnboundedReceiver<Queued>,
    traffic: &Traffic,
) -> Result<(), Fault> {
    while let Some(next) = queued.recv().await {
        match &next {
            Queued::Command(body) => zmtp::write_command(&mut to, body).await?,
            Queued::Message(parcel) => {
                for piece in zmtp::pieces(&parcel.frames) {
                    let mut rest = &piece[..];
                    while !rest.is_empty() {
                        let n = to.write(rest).await?;
                        if n == 0 {
                            return Err(Fault::Io(std::io::ErrorKind::WriteZero.into()));
                        }
                        traffic.taken.fetch_add(n as u64, Ordering::SeqCst);
                        rest = &rest[n..];
                    }
                }
                to.flush().await?;
            }
        }
        traffic.waiting.fetch_sub(next.bytes(), Ordering::SeqCst);
    }
    Ok(())
}
