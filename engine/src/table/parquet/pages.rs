//! The sizes of pages, looked at before a page is unpacked. A page's header states how long the page is unpacked, and the readers
//! of some codecs unpack whatever is there.

use crate::error::{Error, Result};
use crate::limits::{CHUNK, CHUNK_RATIO, PAGE};
use crate::table::bytes::{ByteRange, end_with};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes that a byte unpacks to by deflate, and by LZ4.
const DEFLATE_RATIO: u64 = 1032;
const LZ4_RATIO: u64 = 255;
/// With what a frame of LZ4 begins, which alone among the forms of LZ4 does not state its length before.
const LZ4_FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// A column's part of a row group, whose pages are looked at as they are read.
#[derive(Clone)]
pub struct Pages {
    part: ByteRange,
    packed: Compression,
    /// Bytes that all pages may have, unpacked.
    most: u64,
    /// Bytes of the pages so far.
    read: Arc<AtomicU64>,
}

impl Pages {
    /// The pages in `part` of a file, of `length` bytes.
    pub fn new(part: ByteRange, packed: Compression, length: u64) -> Self {
        let most = CHUNK.most().max(length.saturating_mul(CHUNK_RATIO));
        Pages { part, packed, most, read: Arc::default() }
    }

    /// An error unless a column may unpack to that many bytes, as the file's footer states.
    ///
    /// # Errors
    /// Then.
    pub fn may_be(&self, bytes: i64) -> Result<()> {
        match u64::try_from(bytes) {
            Ok(bytes) if bytes <= self.most => Ok(()),
            Ok(bytes) => CHUNK.check(bytes),
            Err(_) => Err(Error::format("a column of less than no bytes")),
        }
    }

    /// An error where a page that claims so many bytes is too large, or too large together with those before.
    fn page(&self, bytes: u64) -> Result<()> {
        PAGE.check(bytes)?;
        let all = self.read.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if all <= self.most { Ok(()) } else { CHUNK.check(all) }
    }

    /// An error where a packed page unpacks to more than a page may have, whatever its header states.
    fn unpacks(&self, packed: &[u8]) -> Result<()> {
        let most = PAGE.most();
        let at_most = |ratio: u64| (packed.len() as u64).saturating_mul(ratio);
        match self.packed {
            Compression::GZIP(_) if at_most(DEFLATE_RATIO) > most => {
                let mut rest = MultiGzDecoder::new(packed).take(most + 1);
                // What is damaged is said when it is read.
                let bytes = std::io::copy(&mut rest, &mut std::io::sink()).unwrap_or(0);
                PAGE.check(bytes)
            }
            Compression::LZ4 if packed.starts_with(&LZ4_FRAME) => PAGE.check(at_most(LZ4_RATIO)),
            // Unpacked to the length that the header states, and no further.
            _ => Ok(()),
        }
    }
}

/// The result as the reader of pages takes it; the error itself ends the read.
pub fn passed_on<T>(result: Result<T>) -> Result<T, ParquetError> {
    result.map_err(|error| {
        let said = ParquetError::General(error.message.clone());
        end_with(error);
        said
    })
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.part.len()
    }
}

impl ChunkReader for Pages {
    type T = PageHeaderReader;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(PageHeaderReader { from: self.part.get_read(start)?, pages: self.clone(), checked: false })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.part.get_bytes(start, length)?;
        passed_on(self.unpacks(&bytes))?;
        Ok(bytes)
    }
}

/// A reader of a page's header. The reader of pages makes one where it knows the header already, too, and then reads nothing.
pub struct PageHeaderReader {
    from: BufReader<crate::table::bytes::At>,
    pages: Pages,
    checked: bool,
}

impl Read for PageHeaderReader {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if !std::mem::replace(&mut self.checked, true) {
            let begin = self.from.fill_buf()?;
            let stated = unpacked_size(begin)
                .ok_or_else(|| Error::format("a page whose header does not begin with its kind and its size"));
            let checked = stated.and_then(|bytes| self.pages.page(bytes));
            passed_on(checked).map_err(std::io::Error::other)?;
        }
        self.from.read(to)
    }
}

/// The bytes that a page has unpacked, by the begin of its header: a struct of Thrift's compact protocol, of which the first field
/// is the page's kind and the second this.
fn unpacked_size(header: &[u8]) -> Option<u64> {
    /// The field after the one before, a number of 32 bits.
    const NEXT_NUMBER: u8 = 0x15;
    let mut at = 0;
    let mut number = || {
        if *header.get(at)? != NEXT_NUMBER {
            return None;
        }
        at += 1;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = *header.get(at)?;
            at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    number()?;
    let zigzag = number()?;
    // A number below 0 is told as such where it is read.
    Some(if zigzag & 1 == 0 { zigzag >> 1 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_the_begin_of_a_header() {
        // Kind 0, 1,073,741,828 bytes: zigzag 2,147,483,656 is 88 80 80 80 08 in groups of seven bits.
        assert_eq!(unpacked_size(&[0x15, 0, 0x15, 0x88, 0x80, 0x80, 0x80, 0x08, 0x15]), Some(1_073_741_828));
        assert_eq!(unpacked_size(&[0x15, 4, 0x15, 0x14, 0x15]), Some(10));
        assert_eq!(unpacked_size(&[0x15, 4, 0x15, 0x01]), Some(0));
        for none in [&[][..], &[0x15], &[0x15, 0, 0x15], &[0x25, 0, 0x15, 2], &[0x15, 0, 0x25, 2], &[0x15, 0x80]] {
            assert_eq!(unpacked_size(none), None);
        }
    }
}
