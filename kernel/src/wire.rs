//! Jupyter's messages as frames: identities, the delimiter, an HMAC-SHA256 signature, four JSON objects, buffers
//! (Jupyter messaging protocol 5.5, "The wire protocol").
//!
//! The framing is written here and not taken from a crate of typed messages. A kernel must accept what front ends really send
//! (missing fields, unknown fields), must report what it refuses and continue, and must echo a request's header unchanged.

use crate::socket::PeerId;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::time::SystemTime;

/// The version of the protocol.
pub const VERSION: &str = "5.5";
const DELIMITER: &[u8] = b"<IDS|MSG>";
/// How many signatures are remembered, so that a repeated message is refused.
const REMEMBERED: usize = 1 << 16;

/// An incoming message.
#[derive(Clone, Debug)]
pub struct Request {
    /// The peer that sent it.
    pub peer: PeerId,
    /// The frames before the delimiter, with which the reply begins, too.
    pub route: Vec<Bytes>,
    /// `header.msg_type`.
    pub kind: String,
    /// The header as it came; the parent header of every reply.
    pub header: Value,
    /// The content.
    pub content: Map<String, Value>,
}

impl Request {
    /// A text in the content; empty where it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.content.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// A boolean in the content.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.content.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    /// An integer in the content.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.content.get(name).and_then(Value::as_i64)
    }
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// `header.msg_type`.
    pub kind: &'a str,
    /// The header of the request that it answers; an empty object where there is none.
    pub parent: &'a Value,
    /// `metadata`.
    pub metadata: Value,
    /// `content`.
    pub content: Value,
    /// Buffers behind the message, which the signature does not cover.
    pub buffers: Vec<Bytes>,
}

impl<'a> Outgoing<'a> {
    /// A message without metadata and buffers.
    pub fn new(kind: &'a str, parent: &'a Value, content: Value) -> Self {
        Outgoing { kind, parent, metadata: json!({}), content, buffers: Vec::new() }
    }
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No delimiter, or fewer than five frames after it.
    Frames,
    /// The signature is wrong.
    Signature,
    /// The message is a repetition.
    Replay,
    /// A part is no JSON object, or the header has no `msg_type`.
    Json,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Frames => "its frames are not those of a Jupyter message",
            Refused::Signature => "its signature does not fit the connection's key",
            Refused::Replay => "it came before",
            Refused::Json => "a part of it is no JSON object",
        })
    }
}

/// Signs the messages of a session.
#[derive(Clone)]
pub struct Signer {
    key: Vec<u8>,
    /// The id of the kernel's session.
    pub session: String,
}

impl Signer {
    /// A signer with the connection's key; an empty key signs nothing.
    pub fn new(key: &str) -> Self {
        Signer { key: key.as_bytes().to_vec(), session: uuid::Uuid::new_v4().to_string() }
    }

    fn mac<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Option<Hmac<Sha256>> {
        if self.key.is_empty() {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        parts.for_each(|part| mac.update(part));
        Some(mac)
    }

    /// The frames of a message to `route` (for published messages, a topic).
    pub fn frames(&self, route: &[Bytes], message: &Outgoing<'_>) -> Vec<Bytes> {
        let header = json!({
            "msg_id": uuid::Uuid::new_v4().to_string(),
            "session": self.session,
            "username": "kernel",
            "date": humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            "msg_type": message.kind,
            "version": VERSION,
        });
        let parts = [&header, message.parent, &message.metadata, &message.content].map(|v| v.to_string().into_bytes());
        let mac = self.mac(parts.iter().map(Vec::as_slice));
        let signature = mac.map_or(String::new(), |m| hex(&m.finalize().into_bytes()));
        let mut frames = route.to_vec();
        frames.extend([Bytes::from_static(DELIMITER), signature.into()]);
        frames.extend(parts.map(Bytes::from));
        frames.extend(message.buffers.iter().cloned());
        frames
    }
}

/// Reads incoming messages and checks their signatures.
pub struct Reader {
    signer: Signer,
    seen: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Reader {
    /// A reader that checks with the signer's key.
    pub fn new(signer: Signer) -> Self {
        Reader { signer, seen: HashSet::new(), order: VecDeque::new() }
    }

    /// The message in the frames of a peer.
    ///
    /// # Errors
    /// Where the message is refused, with the reason.
    pub fn read(&mut self, peer: &PeerId, mut frames: Vec<Bytes>) -> Result<Request, Refused> {
        let at = frames.iter().position(|f| f == DELIMITER).ok_or(Refused::Frames)?;
        let message = frames.split_off(at);
        let [_, signature, header, parent, metadata, content, ..] = &message[..] else { return Err(Refused::Frames) };
        let parts = [header, parent, metadata, content];
        if let Some(mac) = self.signer.mac(parts.iter().map(|p| p.as_ref())) {
            let given = unhex(signature).ok_or(Refused::Signature)?;
            mac.verify_slice(&given).map_err(|_| Refused::Signature)?;
            self.remember(given)?;
        }
        let object = |part: &Bytes| match serde_json::from_slice(part) {
            Ok(Value::Object(map)) => Ok(map),
            _ => Err(Refused::Json),
        };
        let header = object(header)?;
        let kind = header.get("msg_type").and_then(Value::as_str).ok_or(Refused::Json)?.to_string();
        Ok(Request {
            peer: peer.clone(),
            route: frames,
            kind,
            header: Value::Object(header),
            content: object(content)?,
        })
    }

    fn remember(&mut self, signature: [u8; 32]) -> Result<(), Refused> {
        if !self.seen.insert(signature) {
            return Err(Refused::Replay);
        }
        self.order.push_back(signature);
        if self.order.len() > REMEMBERED
            && let Some(old) = self.order.pop_front()
        {
            self.seen.remove(&old);
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A signature from 64 hexadecimal digits.
fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut signature = [0; 32];
    for (byte, digits) in signature.iter_mut().zip(text.chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(signature)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(signer: &Signer) -> Vec<Bytes> {
        let parent = json!({});
        signer.frames(&[Bytes::from_static(b"me")], &Outgoing::new("x_request", &parent, json!({ "a": 1 })))
    }

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        // Test case 2 of RFC 4231.
        let signer = Signer { key: b"Jefe".to_vec(), session: String::new() };
        let mac = signer.mac([b"what do ya want ".as_slice(), b"for nothing?"].into_iter()).unwrap();
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&mac.finalize().into_bytes()), wanted);
    }

    #[test]
    fn what_was_signed_is_read_once() {
        let signer = Signer::new("key");
        let mut reader = Reader::new(signer.clone());
        let frames = message(&signer);
        let request = reader.read(&PeerId::default(), frames.clone()).unwrap();
        assert_eq!((request.kind.as_str(), request.number("a")), ("x_request", Some(1)));
        assert_eq!(request.route, [Bytes::from_static(b"me")]);
        assert_eq!(reader.read(&PeerId::default(), frames).unwrap_err(), Refused::Replay);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let signer = Signer::new("key");
        let mut reader = Reader::new(signer.clone());
        assert_eq!(reader.read(&PeerId::default(), message(&Signer::new("other"))).unwrap_err(), Refused::Signature);
        assert_eq!(reader.read(&PeerId::default(), message(&Signer::new(""))).unwrap_err(), Refused::Signature);
        let mut odd = message(&signer);
        odd[2] = Bytes::from_static("é".as_bytes());
        assert_eq!(reader.read(&PeerId::default(), odd).unwrap_err(), Refused::Signature);
        assert_eq!(reader.read(&PeerId::default(), vec![Bytes::from_static(b"x")]).unwrap_err(), Refused::Frames);
        assert_eq!(reader.read(&PeerId::default(), message(&signer)[..5].to_vec()).unwrap_err(), Refused::Frames);
        let open = Signer::new("");
        let mut reader = Reader::new(open.clone());
        let mut frames = message(&open);
        frames[6] = Bytes::from_static(b"[1");
        assert_eq!(reader.read(&PeerId::default(), frames).unwrap_err(), Refused::Json);
    }
}
