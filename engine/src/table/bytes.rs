//! The bytes of a file, local or behind an address, read by ranges.

use crate::error::{Error, Result};
use crate::regular;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "hub")]
use super::http::Remote;

/// Bytes asked for at once of a file behind an address, so that many small reads are one request.
#[cfg(feature = "hub")]
const WINDOW: usize = 1 << 20;
/// Such windows that are kept.
#[cfg(feature = "hub")]
const WINDOWS: usize = 4;

/// A file that is read by ranges; cheap to clone.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    length: u64,
    from: From,
}

enum From {
    File(Mutex<File>, std::path::PathBuf),
    #[cfg(feature = "hub")]
    Remote(Remote, Mutex<std::collections::VecDeque<(u64, Bytes)>>),
}

/// Whether a source lies behind an address.
pub fn is_address(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://")
}

impl Source {
    /// The file at a path or an address.
    ///
    /// # Errors
    /// Where it cannot be opened, a seal forbids it, or its server does not serve parts of files.
    pub fn open(uri: &str) -> Result<Self> {
        if is_address(uri) {
            return Self::remote(uri);
        }
        let path = Path::new(uri);
        let (file, length) = regular::open(path)?;
        Ok(Source(Arc::new(Inner { length, from: From::File(Mutex::new(file), path.to_path_buf()) })))
    }

    #[cfg(feature = "hub")]
    fn remote(uri: &str) -> Result<Self> {
        let (remote, length) = Remote::open(uri)?;
        Ok(Source(Arc::new(Inner { length, from: From::Remote(remote, Mutex::default()) })))
    }

    #[cfg(not(feature = "hub"))]
    fn remote(uri: &str) -> Result<Self> {
        Err(Error::unsupported(format!("`{uri}`: this build reads no addresses"))
            .hint("build convscope-engine with the feature `hub`, or download the file"))
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.0.length
    }

    /// `length` bytes from `start` on.
    ///
    /// # Errors
    /// Where the file ends before, or cannot be read.
    pub fn read_at(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.length) {
            return Err(Error::format("the file ends too early").hint("is a download or a copy unfinished?"));
        }
        match &self.0.from {
            From::File(file, path) => {
                let mut out = vec![0; length];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut out));
                read.map_err(|e| Error::io(path, &e))?;
                Ok(out.into())
            }
            #[cfg(feature = "hub")]
            From::Remote(remote, windows) => {
                if length >= WINDOW {
                    return remote.range(start, length);
                }
                let mut windows = windows.lock().unwrap_or_else(PoisonError::into_inner);
                let has = |(first, held): &(u64, Bytes)| {
                    *first <= start && start + length as u64 <= first + held.len() as u64
                };
                let window = match windows.iter().position(has) {
                    Some(at) => windows.remove(at),
                    None => {
                        let most = usize::try_from(self.0.length - start).unwrap_or(WINDOW).min(WINDOW);
                        Some((start, remote.range(start, most)?))
                    }
                };
                let (first, held) = window.ok_or_else(|| Error::internal("a window of a file was lost"))?;
                let at = (start - first) as usize;
                let part = held.slice(at..at + length);
                windows.push_front((first, held));
                windows.truncate(WINDOWS);
                Ok(part)
            }
        }
    }

    /// All of it, where it is no longer than `most`.
    ///
    /// # Errors
    /// As [`Source::read_at`], and where it is longer.
    pub fn read_all(&self, most: u64) -> Result<Bytes> {
        match usize::try_from(self.0.length) {
            Ok(length) if self.0.length <= most => self.read_at(0, length),
            _ => Err(Error::format(format!("a file of {} bytes is larger than the limit of {most}", self.0.length))),
        }
    }

    /// A reader from `start` on.
    pub fn reader(&self, start: u64) -> At {
        At { source: self.clone(), at: start }
    }
}

/// Reads a source on from a place.
pub struct At {
    source: Source,
    at: u64,
}

impl Read for At {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let left = self.source.length().saturating_sub(self.at);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(to.len());
        if n > 0 {
            let bytes = self.source.read_at(self.at, n).map_err(|e| std::io::Error::other(e.message))?;
            to[..n].copy_from_slice(&bytes);
            self.at += n as u64;
        }
        Ok(n)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.source.length().checked_add_signed(by),
        };
        self.at = place.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length()
    }
}

impl ChunkReader for Source {
    type T = std::io::BufReader<At>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(std::io::BufReader::new(self.reader(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read_at(start, length).map_err(|e| ParquetError::General(e.message))
    }
}
