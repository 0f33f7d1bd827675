//! The bytes of a file, local or behind an address, read by ranges.

use crate::error::{Error, Result};
use crate::regular;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "cloud")]
use super::cloud;
#[cfg(feature = "hub")]
use super::http::Remote;
#[cfg(any(feature = "hub", feature = "cloud"))]
use super::ranges::Ahead;

thread_local! {
    /// The error that ends the work, of the last read on this thread.
    static ENDING: RefCell<Option<Error>> = const { RefCell::new(None) };
}

fn note(error: &Error) {
    if error.kind.ends_work() {
        ENDING.set(Some(error.clone()));
    }
}

/// Makes `error` the one with which [`with_source_error`] ends, whatever is said of it in between.
pub fn end_with(error: Error) {
    ENDING.set(Some(error));
}

/// Runs `read`. Where it fails because a store did not answer, the work should end, or a size is over its limit, that error is
/// returned as it was:
/// the readers of formats in between pass errors on as texts only.
///
/// # Errors
/// As `read`.
pub fn with_source_error<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    ENDING.take();
    read().map_err(|error| ENDING.take().unwrap_or(error))
}

/// All bytes of the file at an address, where they are at most `most`.
///
/// # Errors
/// Where they cannot be read, or are more.
pub fn whole(uri: &str, most: u64) -> Result<Bytes> {
    #[cfg(feature = "cloud")]
    if is_object(uri) {
        return cloud::whole(uri, most).inspect_err(note);
    }
    ByteSource::open(uri)?.read_all(most)
}

/// A file that is read by ranges; cheap to clone.
#[derive(Clone)]
pub struct ByteSource(Arc<Inner>);

struct Inner {
    length: u64,
    from: From,
}

enum From {
    File(Mutex<File>, std::path::PathBuf),
    #[cfg(any(feature = "hub", feature = "cloud"))]
    Far(Ahead),
}

/// Whether a source lies behind an address: http, https, or a bucket's.
pub fn is_address(uri: &str) -> bool {
    uri.starts_with("http://") || uri.starts_with("https://") || is_object(uri)
}

/// Whether a source lies in a bucket of S3 or Google Cloud Storage.
pub fn is_object(uri: &str) -> bool {
    uri.starts_with("s3://") || uri.starts_with("gs://")
}

/// The error that this build reads no buckets, and which build does.
#[cfg(not(feature = "cloud"))]
pub fn no_buckets(uri: &str) -> Error {
    if let Err(sealed) = crate::seal::may_connect(uri) {
        return sealed;
    }
    Error::unsupported(format!("`{uri}`: this build reads no buckets of S3 or Google Cloud Storage"))
        .hint("build it with them: cargo install --locked --path . --features cloud (the wheel has them); or mount the bucket")
}

impl ByteSource {
    /// The file at a path or an address.
    ///
    /// # Errors
    /// Where it cannot be opened, a seal forbids it, or its server does not serve parts of files.
    pub fn open(uri: &str) -> Result<Self> {
        if is_object(uri) {
            return Self::object(uri);
        }
        if is_address(uri) {
            return Self::remote(uri);
        }
        let path = Path::new(uri);
        let (file, length) = regular::open(path)?;
        Ok(ByteSource(Arc::new(Inner { length, from: From::File(Mutex::new(file), path.to_path_buf()) })))
    }

    #[cfg(feature = "hub")]
    fn remote(uri: &str) -> Result<Self> {
        let (remote, length) = Remote::open(uri)?;
        Ok(Self::far(Box::new(remote), length))
    }

    #[cfg(not(feature = "hub"))]
    fn remote(uri: &str) -> Result<Self> {
        Err(Error::unsupported(format!("`{uri}`: this build reads no addresses"))
            .hint("build convscope-engine with the feature `hub`, or download the file"))
    }

    #[cfg(feature = "cloud")]
    fn object(uri: &str) -> Result<Self> {
        let (object, length) = cloud::CloudObject::open(uri).inspect_err(note)?;
        Ok(Self::far(Box::new(object), length))
    }

    #[cfg(not(feature = "cloud"))]
    fn object(uri: &str) -> Result<Self> {
        Err(no_buckets(uri))
    }

    #[cfg(any(feature = "hub", feature = "cloud"))]
    fn far(file: Box<dyn super::ranges::Ranges>, length: u64) -> Self {
        ByteSource(Arc::new(Inner { length, from: From::Far(Ahead::new(file, length)) }))
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
        self.read_within(start, length, self.0.length)
    }

    /// As [`ByteSource::read_at`]; bytes that are read ahead in a remote file lie before `end`.
    ///
    /// # Errors
    /// As [`ByteSource::read_at`].
    pub fn read_within(&self, start: u64, length: usize, end: u64) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|stop| stop > self.0.length) {
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
            #[cfg(any(feature = "hub", feature = "cloud"))]
            From::Far(file) => file.read(start, length, end).inspect_err(note),
        }
    }

    /// All of it, where it is no longer than `most`.
    ///
    /// # Errors
    /// As [`ByteSource::read_at`], and where it is longer.
    pub fn read_all(&self, most: u64) -> Result<Bytes> {
        match usize::try_from(self.0.length) {
            Ok(length) if self.0.length <= most => self.read_at(0, length),
            _ => Err(Error::format(format!("a file of {} bytes is larger than the limit of {most}", self.0.length))),
        }
    }

    /// A reader from `start` on.
    pub fn reader(&self, start: u64) -> At {
        At { source: self.clone(), at: start, end: self.0.length }
    }

    /// A part of it, to be read as a file of its own at the same positions.
    pub fn part(&self, range: Range<u64>) -> ByteRange {
        ByteRange { source: self.clone(), end: range.end.min(self.0.length) }
    }
}

/// A reader of a source from a position on.
pub struct At {
    source: ByteSource,
    at: u64,
    end: u64,
}

/// A source that is read up to a position only.
#[derive(Clone)]
pub struct ByteRange {
    source: ByteSource,
    end: u64,
}

impl Read for At {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(to.len());
        if n > 0 {
            let bytes = self.source.read_within(self.at, n, self.end).map_err(|e| std::io::Error::other(e.message))?;
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

impl Length for ByteSource {
    fn len(&self) -> u64 {
        self.length()
    }
}

impl ChunkReader for ByteSource {
    type T = std::io::BufReader<At>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(std::io::BufReader::new(self.reader(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read_at(start, length).map_err(|e| ParquetError::General(e.message))
    }
}

impl Length for ByteRange {
    fn len(&self) -> u64 {
        self.end
    }
}

impl ChunkReader for ByteRange {
    type T = std::io::BufReader<At>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(std::io::BufReader::new(At { source: self.source.clone(), at: start, end: self.end }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.source.read_within(start, length, self.end).map_err(|e| ParquetError::General(e.message))
    }
}
