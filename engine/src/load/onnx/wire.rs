//! Checks of Protocol Buffers' wire format: `rten-onnx` trusts lengths and nesting, which may be wrong in a damaged file.

use crate::error::{Error, Result};
use crate::limits::ONNX_DEPTH;
use rten_onnx::onnx::{ModelProto, StringStringEntryProto};
use rten_onnx::protobuf::{DecodeMessage, ErrorKind, OwnedValues, ProtobufError, ReadValue};
use std::ops::Range;

/// The length of a block, bytes, from which on [`model`] reports it to its caller.
const MIN_REPORTED_BYTES: usize = 1 << 16;
/// The bytes of a block that are copied at a time.
const COPIED_BYTES: usize = 1 << 23;

/// Decodes an ONNX model; `copied` is called with the range of each large block that will not be read again.
///
/// # Errors
/// Where the bytes are no ONNX model or are truncated.
pub fn model(bytes: &[u8], copied: &dyn Fn(Range<usize>)) -> Result<ModelProto> {
    check(bytes, Message::Model, 0)?;
    let damaged = |e: ProtobufError| Error::format(format!("not an ONNX model, or a damaged one ({e})"));
    let model = ModelProto::decode(WireReader { data: bytes, at: 0, copied }).map_err(damaged)?;
    if model.graph.as_ref().is_none_or(|g| g.node.is_empty()) {
        return Err(Error::format("an ONNX file without a graph").hint("is it really an ONNX model?"));
    }
    Ok(model)
}

/// A model's metadata (field 14 of onnx.proto: pairs of key and value), without reading its graph.
///
/// # Errors
/// Where the bytes are no ONNX model or are truncated.
pub fn metadata(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    check(bytes, Message::Model, 0)?;
    let damaged = |e: ProtobufError| Error::format(format!("not an ONNX model, or a damaged one ({e})"));
    let mut pairs = Vec::new();
    let mut reader = WireReader { data: bytes, at: 0, copied: &|_| () };
    while reader.at < bytes.len() {
        let tag = reader.read_varint().map_err(damaged)?;
        match tag & 7 {
            0 => drop(reader.read_varint().map_err(damaged)?),
            1 => reader.skip(8).map_err(damaged)?,
            5 => reader.skip(4).map_err(damaged)?,
            _ => {
                let len = reader.read_varint().map_err(damaged)? as usize;
                let part = reader.take(len).map_err(damaged)?;
                if tag >> 3 == METADATA_FIELD {
                    let part = WireReader { data: part, at: 0, copied: &|_| () };
                    let pair = StringStringEntryProto::decode(part).map_err(damaged)?;
                    pairs.extend(pair.key.zip(pair.value));
                }
            }
        }
    }
    Ok(pairs)
}

/// The field number of a model's metadata.
const METADATA_FIELD: u64 = 14;

/// The messages that are read; a flat one contains no others.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    Value,
    Type,
    Sequence,
    Tensor,
    TensorType,
    Shape,
    Flat,
}

impl Message {
    /// The message in field `number`, by onnx.proto.
    fn inner(self, number: u64) -> Option<Message> {
        match (self, number) {
            (Message::Model, 7) => Some(Message::Graph),
            (Message::Model, 25) => Some(Message::Function),
            (Message::Function, 7) => Some(Message::Node),
            (Message::Function, 11) => Some(Message::Attribute),
            (Message::Model, 8 | 14) | (Message::Tensor, 13) | (Message::Shape, 1) => Some(Message::Flat),
            (Message::Graph, 1) => Some(Message::Node),
            (Message::Graph, 5) | (Message::Attribute, 5) => Some(Message::Tensor),
            (Message::Graph, 11..=13) => Some(Message::Value),
            (Message::Node, 5) => Some(Message::Attribute),
            (Message::Attribute, 6) => Some(Message::Graph),
            (Message::Value, 2) | (Message::Sequence, 1) => Some(Message::Type),
            (Message::Type, 4) => Some(Message::Sequence),
            (Message::Type, 1) => Some(Message::TensorType),
            (Message::TensorType, 2) => Some(Message::Shape),
            _ => None,
        }
    }
}

/// Checks the fields of a message: every length must stay inside the enclosing message.
fn check(bytes: &[u8], message: Message, depth: usize) -> Result<()> {
    let wrong = |what: &str| {
        Err(Error::format(format!("not an ONNX model, or a damaged one ({what})"))
            .hint("is a download or a copy unfinished? the file may also be of another kind"))
    };
    if depth > ONNX_DEPTH {
        return wrong("messages are nested too deep");
    }
    let mut reader = WireReader { data: bytes, at: 0, copied: &|_| () };
    while reader.at < bytes.len() {
        let Ok(tag) = reader.read_varint() else { return wrong("a field ends early") };
        let step = match tag & 7 {
            0 => reader.read_varint().map(drop),
            1 => reader.skip(8),
            5 => reader.skip(4),
            2 => match reader.read_varint() {
                Ok(len) if len <= (bytes.len() - reader.at) as u64 => {
                    let part = &bytes[reader.at..reader.at + len as usize];
                    if let Some(inner) = message.inner(tag >> 3) {
                        check(part, inner, depth + 1)?;
                    }
                    reader.skip(part.len())
                }
                Ok(_) => return wrong("it ends early"),
                Err(e) => Err(e),
            },
            _ => return wrong("an unknown kind of field"),
        };
        if step.is_err() {
            return wrong("a field ends early");
        }
    }
    Ok(())
}

/// Calls `f` with the number and the bytes of each length-delimited field.
///
/// # Errors
/// Where the bytes are no message, or `f` fails.
pub fn each(bytes: &[u8], mut f: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let damaged = |e: ProtobufError| Error::format(format!("not an ONNX model, or a damaged one ({e})"));
    let mut reader = WireReader { data: bytes, at: 0, copied: &|_| () };
    while reader.at < bytes.len() {
        let tag = reader.read_varint().map_err(damaged)?;
        match tag & 7 {
            0 => drop(reader.read_varint().map_err(damaged)?),
            1 => reader.skip(8).map_err(damaged)?,
            5 => reader.skip(4).map_err(damaged)?,
            2 => {
                let len = reader.read_varint().map_err(damaged)?;
                let len = usize::try_from(len).map_err(|_| Error::format("not an ONNX model, or a damaged one"))?;
                f(tag >> 3, reader.take(len).map_err(damaged)?)?;
            }
            _ => return Err(Error::format("not an ONNX model, or a damaged one (an unknown kind of field)")),
        }
    }
    Ok(())
}

/// A reader over a slice that never allocates more than the slice's length.
pub struct WireReader<'a> {
    data: &'a [u8],
    at: usize,
    copied: &'a dyn Fn(Range<usize>),
}

impl WireReader<'_> {
    /// Decodes the message in `bytes`.
    ///
    /// # Errors
    /// Where they are another message.
    pub fn decoded<M: DecodeMessage<Types = OwnedValues>>(bytes: &[u8]) -> Result<M> {
        let damaged = |e: ProtobufError| Error::format(format!("not an ONNX model, or a damaged one ({e})"));
        M::decode(WireReader { data: bytes, at: 0, copied: &|_| () }).map_err(damaged)
    }

    fn take(&mut self, len: usize) -> Result<&[u8], ProtobufError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.data.len());
        let end = end.ok_or_else(|| ProtobufError::new(ErrorKind::Eof))?;
        let taken = &self.data[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        self.take(N)?.try_into().map_err(|_| ProtobufError::new(ErrorKind::Eof))
    }
}

impl ReadValue for WireReader<'_> {
    type Types = OwnedValues;

    fn read_i32(&mut self) -> Result<i32, ProtobufError> {
        self.array().map(i32::from_le_bytes)
    }

    fn read_i64(&mut self) -> Result<i64, ProtobufError> {
        self.array().map(i64::from_le_bytes)
    }

    fn read_varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0u64;
        for place in 0..10 {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ProtobufError::new(ErrorKind::InvalidVarint))
    }

    fn read_bytes(&mut self, len: usize) -> Result<Vec<u8>, ProtobufError> {
        if len < MIN_REPORTED_BYTES {
            return Ok(self.take(len)?.to_vec());
        }
        // In pieces, so that a large block is not in memory twice, here and in the file's map.
        let end = self.at.checked_add(len).filter(|end| *end <= self.data.len());
        let end = end.ok_or_else(|| ProtobufError::new(ErrorKind::Eof))?;
        let mut bytes = Vec::with_capacity(len);
        while self.at < end {
            let from = self.at;
            bytes.extend_from_slice(self.take(COPIED_BYTES.min(end - from))?);
            (self.copied)(from..self.at);
        }
        Ok(bytes)
    }

    fn read_string(&mut self, len: usize) -> Result<String, ProtobufError> {
        String::from_utf8(self.read_bytes(len)?).map_err(|_| ProtobufError::new(ErrorKind::InvalidUtf8))
    }

    fn skip(&mut self, len: usize) -> Result<(), ProtobufError> {
        self.take(len).map(drop)
    }

    fn position(&self) -> u64 {
        self.at as u64
    }
}
