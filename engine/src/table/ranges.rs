//! Reads ahead in a remote file, so that many small reads are one request.

use crate::error::{Error, Result};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Bytes of a first request; in a sequential read each further one is twice as long, up to [`MAX_REQUEST_BYTES`].
const MIN_REQUEST_BYTES: u64 = 1 << 20;
const MAX_REQUEST_BYTES: u64 = 1 << 22;
/// The end of a file, where Parquet has its footer: one request as well.
const FOOTER_BYTES: u64 = 1 << 16;
/// Ranges that are kept, one for each place that is read on from.
const KEPT_RANGES: usize = 4;

/// A file whose parts can be requested.
pub trait Ranges: Send + Sync {
    /// `length` bytes from `start` on, which the file has.
    ///
    /// # Errors
    /// Where they cannot be had.
    fn range(&self, start: u64, length: usize) -> Result<Bytes>;
}

/// A remote file with the ranges that were read last.
pub struct Ahead {
    file: Box<dyn Ranges>,
    length: u64,
    ranges: Mutex<VecDeque<ReadRange>>,
}

struct ReadRange {
    first: u64,
    held: Bytes,
    /// The length of the request for the bytes after it.
    next: u64,
}

impl ReadRange {
    fn end(&self) -> u64 {
        self.first + self.held.len() as u64
    }
}

impl Ahead {
    /// A file of that length, of which nothing has been read yet.
    pub fn new(file: Box<dyn Ranges>, length: u64) -> Self {
        Ahead { file, length, ranges: Mutex::default() }
    }

    /// `length` bytes from `start` on; bytes that are read ahead lie before `end`.
    ///
    /// # Errors
    /// Where they cannot be had.
    pub fn read(&self, start: u64, length: usize, end: u64) -> Result<Bytes> {
        let stop = start + length as u64;
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let range = match ranges.iter().position(|r| r.first <= start && stop <= r.end()) {
            Some(at) => ranges.remove(at).ok_or_else(|| Error::internal("a range of a file was lost"))?,
            None => {
                let before = ranges.iter().position(|r| r.first <= start && start <= r.end());
                self.further(before.and_then(|at| ranges.remove(at)), start, (stop, end))?
            }
        };
        let at = usize::try_from(start - range.first).map_err(|_| Error::internal("a range of a file was lost"))?;
        let part = range.held.slice(at..at + length);
        if range.held.len() as u64 <= 2 * MAX_REQUEST_BYTES {
            ranges.push_front(range);
            ranges.truncate(KEPT_RANGES);
        }
        Ok(part)
    }

    /// A range that holds `start` to `stop`, of which `before` holds the beginning; nothing is asked for twice.
    fn further(&self, before: Option<ReadRange>, start: u64, (stop, end): (u64, u64)) -> Result<ReadRange> {
        let last = self.length.saturating_sub(FOOTER_BYTES);
        let (from, size) = match &before {
            Some(range) => (range.end(), range.next),
            None => (if start >= last { last } else { start }, MIN_REQUEST_BYTES),
        };
        let to = from.saturating_add(size).min(end).max(stop).min(self.length);
        let length = usize::try_from(to - from).map_err(|_| Error::format("a part that fits no memory"))?;
        let new = self.file.range(from, length)?;
        let next = (2 * size).min(MAX_REQUEST_BYTES);
        let held = before.map(|r| r.held.slice((start - r.first) as usize..)).filter(|held| !held.is_empty());
        Ok(match held {
            None => ReadRange { first: from, held: new, next },
            Some(held) => ReadRange { first: start, held: [held, new].concat().into(), next },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    /// A file in memory that notes what was asked of it.
    struct Noted(Vec<u8>, Arc<Mutex<Vec<(u64, u64)>>>);

    impl Ranges for Noted {
        fn range(&self, start: u64, length: usize) -> Result<Bytes> {
            self.1.lock().unwrap().push((start, start + length as u64));
            Ok(Bytes::copy_from_slice(&self.0[start as usize..start as usize + length]))
        }
    }

    #[test]
    fn small_reads_are_joined_and_stay_within_their_part() {
        let bytes: Vec<u8> = (0..20 << 20).map(|i: u32| (i / 7) as u8).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let length = bytes.len() as u64;
        let file = Ahead::new(Box::new(Noted(bytes.clone(), asked.clone())), length);
        let seen = || std::mem::take(&mut *asked.lock().unwrap());
        let read = |start: u64, n: usize, end: u64| {
            assert_eq!(file.read(start, n, end).unwrap(), bytes[start as usize..start as usize + n], "{start}");
        };
        // The end at once, and what lies before it within the same request.
        read(length - 8, 8, length);
        read(length - 5000, 4000, length);
        assert_eq!(seen(), [(length - FOOTER_BYTES, length)]);
        // On and on: twice as much each time; never beyond the part.
        (0..10 << 20).step_by(8192).for_each(|at| read(at, 8192, 10 << 20));
        let mb = |n: u64| n << 20;
        assert_eq!(seen(), [(0, mb(1)), (mb(1), mb(3)), (mb(3), mb(7)), (mb(7), mb(10))]);
        // Two places in turn, each with a range of its own.
        for at in (0..1 << 20).step_by(1000) {
            read(mb(11) + at, 1000, mb(12) + 1000);
            read(mb(13) + at, 1000, mb(13) + 1_100_000);
        }
        assert_eq!(seen().len(), 4);
        // More than a range in one go.
        read(mb(2), 6 << 20, length);
        assert_eq!(seen(), [(mb(2), mb(8))]);
        // What is there is not asked for again: a page's header, then the page.
        read(mb(15), 50, length);
        read(mb(15) + 50, 2 << 20, length);
        assert_eq!(seen(), [(mb(15), mb(16)), (mb(16), mb(18))]);
    }
}
