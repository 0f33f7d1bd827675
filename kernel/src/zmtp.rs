//! ZeroMQ's protocol on a byte stream: ZMTP 3.0 with the NULL mechanism (<https://rfc.zeromq.org/spec/23/>), as far as a kernel
//! needs it: a greeting, a READY command each way, then messages of frames.
//!
//! It is written here because a peer is untrusted until its message's signature is checked, and libraries reserve what an
//! untrusted frame header claims. Here a buffer grows only with the bytes that came, a message has a limit ([`Incoming`]),
//! and so have the unfinished messages of all peers together ([`Budget`]).

use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The length of a greeting, bytes.
const GREETING_BYTES: usize = 64;
/// Flags of a frame.
const FLAG_MORE: u8 = 1;
const FLAG_LONG: u8 = 2;
const FLAG_COMMAND: u8 = 4;
/// How many bytes a command may have.
const MAX_COMMAND: usize = 1 << 13;
/// How many bytes a frame's buffer grows by.
const GROWTH_BYTES: usize = 1 << 16;
/// The cost of a frame besides its content, bytes, so that empty frames count, too.
const FRAME_COST: usize = 64;
/// The longest pause of a peer within a message.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The kinds of socket, named as in ZeroMQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Receives from every peer and replies to each.
    Router,
    /// Publishes to subscribers.
    XPub,
    /// Replies to requests.
    Rep,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Router => "ROUTER",
            Kind::XPub => "XPUB",
            Kind::Rep => "REP",
        }
    }

    /// The kinds of socket that may connect to it.
    fn peers(self) -> &'static [&'static [u8]] {
        match self {
            Kind::Router => &[b"DEALER", b"REQ", b"ROUTER"],
            Kind::XPub => &[b"SUB", b"XSUB"],
            Kind::Rep => &[b"REQ", b"DEALER"],
        }
    }
}

/// Why a peer is disconnected.
#[derive(Debug)]
pub enum Fault {
    /// The connection ended or failed.
    Io(io::Error),
    /// The peer violated the protocol.
    Protocol(&'static str),
    /// The peer exceeded a limit of size.
    TooLarge,
    /// The peer stopped within a message.
    Silent,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io(e) => write!(f, "{e}"),
            Fault::Protocol(what) => f.write_str(what),
            Fault::TooLarge => f.write_str("its message is too large"),
            Fault::Silent => f.write_str("it went silent in the middle of a message"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Fault::Io(e)
    }
}

/// Performs the handshake as a socket of kind `own`; returns the identity that the peer claims, often empty.
///
/// # Errors
/// Where the peer uses another protocol, version or mechanism, or its kind of socket does not fit.
pub async fn shake_hands<S>(stream: &mut S, own: Kind) -> Result<Bytes, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&greeting()).await?;
    stream.flush().await?;
    let mut theirs = [0; GREETING_BYTES];
    stream.read_exact(&mut theirs).await?;
    if theirs[0] != 0xff || theirs[9] & 1 != 1 || theirs[10] < 3 {
        return Err(Fault::Protocol("it does not speak ZMTP 3"));
    }
    if theirs[12..32] != greeting()[12..32] {
        return Err(Fault::Protocol("it asks for another mechanism than NULL"));
    }
    write_command(stream, &ready(own)).await?;
    let mut header = [0; 2];
    stream.read_exact(&mut header).await?;
    let [FLAG_COMMAND, size] = header else { return Err(Fault::Protocol("its first frame is no short command")) };
    let mut body = vec![0; usize::from(size)];
    stream.read_exact(&mut body).await?;
    let metadata = body.strip_prefix(b"\x05READY").ok_or(Fault::Protocol("its first command is not READY"))?;
    let (mut kind, mut identity) = (None, Bytes::new());
    for (name, value) in properties(metadata)? {
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            kind = Some(value);
        } else if name.eq_ignore_ascii_case(b"Identity") {
            identity = Bytes::copy_from_slice(value);
        }
    }
    match kind {
        Some(kind) if own.peers().contains(&kind) => Ok(identity),
        _ => Err(Fault::Protocol("it is a socket of another type")),
    }
}

/// The greeting of version 3.0 with mechanism NULL.
fn greeting() -> [u8; GREETING_BYTES] {
    let mut greeting = [0; GREETING_BYTES];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

fn ready(own: Kind) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", own.name()), ("Identity", "")] {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&(value.len() as u32).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body
}

/// A property's name and value.
type Property<'a> = (&'a [u8], &'a [u8]);

/// The properties of a READY command.
fn properties(mut rest: &[u8]) -> Result<Vec<Property<'_>>, Fault> {
    let mut found = Vec::new();
    let damaged = || Fault::Protocol("its READY is damaged");
    while let Some((&length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(length)).ok_or_else(damaged)?;
        let (length, after) = after.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (value, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(damaged)?;
        found.push((name, value));
        rest = after;
    }
    Ok(found)
}

/// Sends a command of at most 255 bytes.
pub async fn write_command<W: AsyncWrite + Unpin>(to: &mut W, body: &[u8]) -> Result<(), Fault> {
    let length = u8::try_from(body.len()).map_err(|_| Fault::TooLarge)?;
    to.write_all(&[&[FLAG_COMMAND, length], body].concat()).await?;
    to.flush().await?;
    Ok(())
}

/// The buffers in which a message is written: headers and short frames together, long frames by themselves.
pub fn pieces(frames: &[Bytes]) -> Vec<Bytes> {
    let (mut pieces, mut head) = (Vec::new(), BytesMut::new());
    for (i, frame) in frames.iter().enumerate() {
        let more = if i + 1 < frames.len() { FLAG_MORE } else { 0 };
        match u8::try_from(frame.len()) {
            Ok(length) => head.put_slice(&[more, length]),
            Err(_) => {
                head.put_u8(more | FLAG_LONG);
                head.put_u64(frame.len() as u64);
            }
        }
        if frame.len() < GROWTH_BYTES / 16 {
            head.put_slice(frame);
        } else {
            pieces.extend([head.split().freeze(), frame.clone()]);
        }
    }
    if !head.is_empty() {
        pieces.push(head.freeze());
    }
    pieces
}

/// The bytes that the unfinished messages of all peers may take together.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Budget { left: AtomicUsize::new(bytes) })
    }
}

/// A peer's share of a budget, returned when it is dropped.
struct Share {
    of: Arc<Budget>,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let less = |left: usize| left.checked_sub(bytes);
        self.of.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).map_err(|_| Fault::TooLarge)?;
        self.bytes += bytes;
        Ok(())
    }

    fn give_back(&mut self) {
        self.of.left.fetch_add(std::mem::take(&mut self.bytes), Ordering::SeqCst);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A unit that a peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// The frames of a message.
    Message(Vec<Bytes>),
    /// A command: its name and its body.
    Command(Bytes, Bytes),
}

/// The reader of a peer's messages after the handshake.
pub struct Incoming<R> {
    from: R,
    limit: usize,
    share: Share,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// A reader of messages of at most `limit` bytes, within a budget.
    pub fn new(from: R, limit: usize, budget: Arc<Budget>) -> Self {
        Incoming { from, limit, share: Share { of: budget, bytes: 0 } }
    }

    /// The next message or command.
    ///
    /// # Errors
    /// Where the peer is gone or must be disconnected.
    pub async fn next(&mut self) -> Result<Received, Fault> {
        let mut frames = Vec::new();
        let mut size = 0;
        // Between messages a peer may be silent for any time.
        let mut flags = self.from.read_u8().await?;
        loop {
            let length = match flags & FLAG_LONG {
                0 => u64::from(in_time(self.from.read_u8()).await?),
                _ => in_time(self.from.read_u64()).await?,
            };
            let length = usize::try_from(length).map_err(|_| Fault::TooLarge)?;
            if flags & FLAG_COMMAND != 0 {
                if length > MAX_COMMAND {
                    return Err(Fault::TooLarge);
                }
                let body = self.body(length).await?;
                self.share.give_back();
                if frames.is_empty() {
                    return command(&body);
                }
                return Err(Fault::Protocol("a command stands inside its message"));
            }
            size = length.checked_add(FRAME_COST + size).filter(|s| *s <= self.limit).ok_or(Fault::TooLarge)?;
            self.share.grow(FRAME_COST)?;
            frames.push(self.body(length).await?);
            if flags & FLAG_MORE == 0 {
                self.share.give_back();
                return Ok(Received::Message(frames));
            }
            flags = in_time(self.from.read_u8()).await?;
        }
    }

    /// Reads `length` bytes; the buffer grows with the bytes that arrive.
    async fn body(&mut self, length: usize) -> Result<Bytes, Fault> {
        let mut body = BytesMut::new();
        while body.len() < length {
            let room = GROWTH_BYTES.min(length - body.len());
            self.share.grow(room)?;
            body.reserve(room);
            let end = body.len() + room;
            while body.len() < end {
                let missing = (end - body.len()) as u64;
                if in_time((&mut self.from).take(missing).read_buf(&mut body)).await? == 0 {
                    return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
        Ok(body.freeze())
    }
}

async fn in_time<T>(read: impl Future<Output = io::Result<T>>) -> Result<T, Fault> {
    tokio::time::timeout(MAX_PAUSE, read).await.map_err(|_| Fault::Silent)?.map_err(Fault::Io)
}

fn command(body: &Bytes) -> Result<Received, Fault> {
    let damaged = Fault::Protocol("a command without a name");
    let Some(&length) = body.first() else { return Err(damaged) };
    let end = 1 + usize::from(length);
    if end > body.len() {
        return Err(damaged);
    }
    Ok(Received::Command(body.slice(1..end), body.slice(end..)))
}

#[cfg(test)]
mod tests;
