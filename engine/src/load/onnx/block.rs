//! The raw data of a tensor: in memory, or in a file from which it is read piece by piece.

use super::structure::changed;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// The bytes that are read at a time: whole values of any type.
const PIECE_BYTES: usize = 1 << 18;

/// The raw data of a tensor.
pub enum Block<'a> {
    /// In memory.
    Held(&'a [u8]),
    /// A range of a file.
    InFile {
        /// The file's path, for errors.
        path: &'a Path,
        /// The file.
        file: &'a File,
        /// Its bytes.
        range: Range<u64>,
    },
}

impl Block<'_> {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Block::Held(bytes) => bytes.len() as u64,
            Block::InFile { range, .. } => range.end - range.start,
        }
    }

    /// The values, of N bytes each; room for `count` of them is allocated at once.
    ///
    /// # Errors
    /// Where the file cannot be read or has become shorter.
    pub fn values<const N: usize, T>(&self, count: usize, f: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(count);
        let mut add = |piece: &[u8]| values.extend(piece.as_chunks::<N>().0.iter().map(|v| f(*v)));
        match self {
            Block::Held(bytes) => add(bytes),
            Block::InFile { path, file, range } => {
                read(file, range, &mut add).map_err(|e| match e.kind() {
                    ErrorKind::UnexpectedEof => changed(path),
                    _ => Error::io(path, &e),
                })?;
            }
        }
        Ok(values)
    }
}

/// Calls `f` with the bytes of a range of a file, piece by piece.
fn read(mut file: &File, range: &Range<u64>, f: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(range.start))?;
    let mut left = range.end - range.start;
    let mut piece = vec![0; left.min(PIECE_BYTES as u64) as usize];
    while left > 0 {
        let piece = &mut piece[..left.min(PIECE_BYTES as u64) as usize];
        file.read_exact(piece)?;
        f(piece);
        left -= piece.len() as u64;
    }
    Ok(())
}
