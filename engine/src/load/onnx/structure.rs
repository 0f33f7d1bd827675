//! The structure of an ONNX file: its bytes without the large blocks of raw data of tensors. Those stay in the file, and are read
//! piece by piece when a tensor is decoded, so that weights are in memory once.
//!
//! While the structure is read, Protocol Buffers' wire format is checked: `rten-onnx` trusts lengths and nesting, which may be wrong
//! in a damaged file. The file is not mapped: one that is cut short meanwhile is an error and not the end of the process.

use super::block::Block;
use crate::error::{Error, Kind, Result};
use crate::limits::ONNX_DEPTH;
use crate::regular;
use memmap2::{MmapMut, MmapOptions};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The length of a tensor's raw data, bytes, from which on it stays in the file.
pub const MIN_LEFT_BYTES: usize = 1 << 16;
/// The field number of a tensor's raw data.
const RAW_DATA_FIELD: u64 = 9;

/// An ONNX file whose structure is in memory. It is read as the bytes of the file, with zeros in place of the blocks that stay there.
pub struct OnnxFile {
    path: PathBuf,
    file: File,
    /// When it was changed last.
    modified: Option<SystemTime>,
    /// As long as the file; pages in which nothing is written take no memory.
    bytes: MmapMut,
}

impl OnnxFile {
    /// Opens a file and reads its structure.
    ///
    /// # Errors
    /// Where it is missing, not a regular file, or no ONNX model, or truncated.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |e: std::io::Error| Error::io(path, &e);
        let (file, length) = regular::open(path)?;
        if length == 0 {
            return Err(Error::format(format!("`{}` is empty (0 bytes)", path.display()))
                .hint("the download or the copy broke off; get the file again"));
        }
        let modified = file.metadata().map_err(wrong)?.modified().ok();
        let length = usize::try_from(length).map_err(|_| wrong(ErrorKind::FileTooLarge.into()))?;
        let mut bytes = MmapOptions::new().len(length).no_reserve_swap().map_anon().map_err(wrong)?;
        #[cfg(target_os = "linux")]
        {
            // A large page would take memory for blocks that stay in the file. A refusal costs memory only.
            let _ = bytes.advise(memmap2::Advice::NoHugePage);
        }
        let mut walk = Walk { file: BufReader::with_capacity(MIN_LEFT_BYTES, &file), bytes: &mut bytes, at: 0 };
        walk.message(length, Message::Model, 0, false).map_err(|e| match e {
            Wrong::Damaged(what) => damaged(what).context(format!("`{}`", path.display())),
            Wrong::Io(e) if e.kind() == ErrorKind::UnexpectedEof => changed(path),
            Wrong::Io(e) => wrong(e),
        })?;
        Ok(OnnxFile { path: path.to_path_buf(), file, modified, bytes })
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A block that stayed in the file.
    pub fn block(&self, range: Range<u64>) -> Block<'_> {
        Block::InFile { path: &self.path, file: &self.file, range }
    }

    /// An error where the file has been changed since it was opened.
    ///
    /// # Errors
    /// Names the file.
    pub fn check_unchanged(&self) -> Result<()> {
        let about = self.file.metadata().map_err(|e| Error::io(&self.path, &e))?;
        let is_same = about.len() == self.bytes.len() as u64 && about.modified().ok() == self.modified;
        if is_same { Ok(()) } else { Err(changed(&self.path)) }
    }
}

impl Deref for OnnxFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The error for a file that another process changes.
pub fn changed(path: &Path) -> Error {
    Error::new(Kind::Io, format!("`{}` changed while it was read", path.display()))
        .hint("is it still being written? wait until the download or the copy has finished")
}

fn damaged(what: &str) -> Error {
    Error::format(format!("not an ONNX model, or a damaged one ({what})"))
        .hint("is a download or a copy unfinished? the file may also be of another kind")
}

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

/// Why a walk ends early.
enum Wrong {
    Damaged(&'static str),
    Io(std::io::Error),
}

type Step<T> = std::result::Result<T, Wrong>;

/// A walk through a file, which copies it up to the large blocks.
struct Walk<'a> {
    file: BufReader<&'a File>,
    bytes: &'a mut [u8],
    at: usize,
}

impl Walk<'_> {
    /// Reads the fields of a message up to `end`: every length must stay inside the enclosing message. With `is_whole` no block
    /// stays in the file.
    fn message(&mut self, end: usize, message: Message, depth: usize, is_whole: bool) -> Step<()> {
        if depth > ONNX_DEPTH {
            return Err(Wrong::Damaged("messages are nested too deep"));
        }
        while self.at < end {
            let tag = self.varint(end)?;
            match tag & 7 {
                0 => drop(self.varint(end)?),
                1 => self.copy(8, end)?,
                5 => self.copy(4, end)?,
                2 => {
                    let len = usize::try_from(self.varint(end)?).ok().filter(|len| *len <= end - self.at);
                    let len = len.ok_or(Wrong::Damaged("it ends early"))?;
                    let is_raw = matches!(message, Message::Tensor) && tag >> 3 == RAW_DATA_FIELD;
                    match message.inner(tag >> 3) {
                        Some(inner) => {
                            // Functions are decoded apart from the file.
                            let is_whole = is_whole || matches!(inner, Message::Function);
                            self.message(self.at + len, inner, depth + 1, is_whole)?;
                        }
                        None if is_raw && len >= MIN_LEFT_BYTES && !is_whole => {
                            self.file.seek_relative(len as i64).map_err(Wrong::Io)?;
                            self.at += len;
                        }
                        None => self.copy(len, end)?,
                    }
                }
                _ => return Err(Wrong::Damaged("an unknown kind of field")),
            }
        }
        Ok(())
    }

    fn varint(&mut self, end: usize) -> Step<u64> {
        let mut value = 0u64;
        for place in 0..10 {
            let at = self.at;
            self.copy(1, end)?;
            value |= u64::from(self.bytes[at] & 0x7f) << (7 * place);
            if self.bytes[at] < 0x80 {
                return Ok(value);
            }
        }
        Err(Wrong::Damaged("a field ends early"))
    }

    fn copy(&mut self, len: usize, end: usize) -> Step<()> {
        if len > end - self.at {
            return Err(Wrong::Damaged("a field ends early"));
        }
        let to = &mut self.bytes[self.at..self.at + len];
        self.file.read_exact(to).map_err(Wrong::Io)?;
        self.at += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The header of a field of `len` bytes.
    fn header(number: u64, len: usize) -> Vec<u8> {
        let mut out = vec![(number << 3 | 2) as u8];
        let mut left = len;
        while left >= 0x80 {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
        out
    }

    fn field(number: u64, content: &[u8]) -> Vec<u8> {
        [header(number, content.len()), content.to_vec()].concat()
    }

    #[test]
    fn large_blocks_stay_in_the_file_and_a_file_that_shrinks_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.onnx");
        let raw: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let tensor = [field(8, b"w"), field(9, &raw)].concat();
        let file = field(7, &[field(5, &tensor), field(5, &field(9, &raw[..400]))].concat());
        std::fs::write(&path, &file).unwrap();
        let open = OnnxFile::open(&path).unwrap();
        let at = file.windows(400).position(|part| *part == raw[..400]).unwrap();
        let rest = at + raw.len();
        assert!(open[..at] == file[..at] && open[at..rest].iter().all(|b| *b == 0) && open[rest..] == file[rest..]);
        let block = open.block(at as u64..rest as u64);
        assert!(block.values(100_000, u32::from_le_bytes).unwrap().into_iter().eq(0..100_000));
        open.check_unchanged().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(rest as u64 - 4).unwrap();
        for error in [block.values(100_000, u32::from_le_bytes).unwrap_err(), open.check_unchanged().unwrap_err()] {
            assert!(error.message.ends_with("net.onnx` changed while it was read"), "{error}");
        }
    }
}
