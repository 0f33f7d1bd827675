//! Reads Protocol Buffers' wire format from bytes in memory, whose structure has been checked (`structure`).

use super::block::Block;
use super::structure::{MIN_LEFT_BYTES, OnnxFile};
use crate::error::{Error, Result};
use rten_onnx::onnx::{ModelProto, StringStringEntryProto};
use rten_onnx::protobuf::{DecodeMessage, ErrorKind, OwnedValues, ProtobufError, ReadValue};

/// Decodes an ONNX model. The raw data of tensors are for [`block`].
///
/// # Errors
/// Where the bytes are no ONNX model.
pub fn model(file: &OnnxFile) -> Result<ModelProto> {
    let model = ModelProto::decode(WireReader { data: file, at: 0, is_file: true }).map_err(damaged)?;
    if model.graph.as_ref().is_none_or(|g| g.node.is_empty()) {
        return Err(Error::format("an ONNX file without a graph").hint("is it really an ONNX model?"));
    }
    Ok(model)
}

/// The raw data of a tensor as [`WireReader`] encodes them: a block in memory, or one that stayed in `file`.
///
/// # Errors
/// Where they were not encoded by it.
pub fn block<'a>(raw: &'a [u8], file: &'a OnnxFile) -> Result<Block<'a>> {
    let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
    match raw.split_last() {
        Some((&HELD, bytes)) => Ok(Block::Held(bytes)),
        Some((&LEFT, bytes)) if let (&[from, to], []) = bytes.as_chunks::<8>() => {
            Ok(file.block(number(from)..number(to)))
        }
        None => Ok(Block::Held(&[])),
        _ => Err(Error::internal("raw data without their place")),
    }
}

/// The last byte of raw data says whether the others are the data, or the first and the last place of data in the file.
const HELD: u8 = 0;
const LEFT: u8 = 1;

fn damaged(e: ProtobufError) -> Error {
    Error::format(format!("not an ONNX model, or a damaged one ({e})"))
}

/// A model's metadata (field 14 of onnx.proto: pairs of key and value), without reading its graph.
///
/// # Errors
/// Where the bytes are no ONNX model.
pub fn metadata(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    each(bytes, |number, part| {
        if number == METADATA_FIELD {
            let pair: StringStringEntryProto = WireReader::decoded(part)?;
            pairs.extend(pair.key.zip(pair.value));
        }
        Ok(())
    })?;
    Ok(pairs)
}

/// The field number of a model's metadata.
const METADATA_FIELD: u64 = 14;

/// Calls `f` with the number and the bytes of each length-delimited field.
///
/// # Errors
/// Where the bytes are no message, or `f` fails.
pub fn each(bytes: &[u8], mut f: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let mut reader = WireReader { data: bytes, at: 0, is_file: false };
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
    /// Whether the bytes are those of an [`OnnxFile`], whose large blocks stay in the file.
    is_file: bool,
}

impl WireReader<'_> {
    /// Decodes the message in `bytes`.
    ///
    /// # Errors
    /// Where they are another message.
    pub fn decoded<M: DecodeMessage<Types = OwnedValues>>(bytes: &[u8]) -> Result<M> {
        M::decode(WireReader { data: bytes, at: 0, is_file: false }).map_err(damaged)
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

    /// Raw data of a tensor, the only bytes in a model that are no text; encoded for [`block`].
    fn read_bytes(&mut self, len: usize) -> Result<Vec<u8>, ProtobufError> {
        let (from, is_left) = (self.at, self.is_file && len >= MIN_LEFT_BYTES);
        let held = self.take(len)?;
        if is_left {
            let place = [from as u64, (from + len) as u64].map(u64::to_le_bytes);
            return Ok([&place[0][..], &place[1], &[LEFT]].concat());
        }
        Ok([held, &[HELD]].concat())
    }

    fn read_string(&mut self, len: usize) -> Result<String, ProtobufError> {
        String::from_utf8(self.take(len)?.to_vec()).map_err(|_| ProtobufError::new(ErrorKind::InvalidUtf8))
    }

    fn skip(&mut self, len: usize) -> Result<(), ProtobufError> {
        self.take(len).map(drop)
    }

    fn position(&self) -> u64 {
        self.at as u64
    }
}
