//! The first directory of tags in TIFF and BigTIFF files and EXIF blocks, and the orientation that it or XMP says.
//!
//! Orientation is read as PIL reads it: from EXIF as any kind of whole number, else from XMP's `tiff:Orientation`; what is
//! not 1 to 8 says nothing.

use crate::limits::TAGS;
use image::metadata::Orientation;

/// The tag of the orientation.
const ORIENTATION: u16 = 0x112;

/// One entry: its kind of number, how many there are, and where they begin.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    at: usize,
}

/// A directory of tags.
pub struct Directory<'a> {
    bytes: &'a [u8],
    little: bool,
    entries: Vec<Entry>,
}

impl<'a> Directory<'a> {
    /// The first directory of a TIFF, a BigTIFF or an EXIF block; nothing where the bytes are none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut directory = Directory { bytes, little, entries: Vec::new() };
        let big = match directory.whole(2, 2)? {
            42 => false,
            43 if directory.whole(4, 2)? == 8 => true,
            _ => return None,
        };
        // Widths of an offset, of an entry's value, of the number of entries.
        let (first, wide, counted) = if big { (directory.whole(8, 8)?, 8, 8) } else { (directory.whole(4, 4)?, 4, 2) };
        let first = usize::try_from(first).ok()?;
        let count = usize::try_from(directory.whole(first, counted)?).ok()?.min(TAGS);
        let length = 4 + 2 * wide;
        for i in 0..count {
            let at = first.checked_add(counted + i * length)?;
            let (Some(tag), Some(kind)) = (directory.whole(at, 2), directory.whole(at.checked_add(2)?, 2)) else {
                break;
            };
            let Some(count) = directory.whole(at + 4, wide) else { break };
            let entry = Entry { tag: tag as u16, kind: kind as u16, count, at: at + 4 + wide };
            let inline = size(entry.kind).and_then(|s| count.checked_mul(s as u64)).is_some_and(|n| n <= wide as u64);
            let at =
                if inline { Some(entry.at) } else { directory.whole(entry.at, wide).and_then(|a| a.try_into().ok()) };
            directory.entries.extend(at.map(|at| Entry { at, ..entry }));
        }
        Some(directory)
    }

    /// The whole numbers of a tag; nothing where it is missing, of another kind, or reaches beyond the bytes.
    pub fn numbers(&self, tag: u16) -> Option<Vec<u64>> {
        let entry = self.entries.iter().find(|e| e.tag == tag)?;
        let size = size(entry.kind).filter(|_| [1, 3, 4, 16].contains(&entry.kind))?;
        let count = usize::try_from(entry.count).ok()?;
        let all = self.bytes.get(entry.at..entry.at.checked_add(count.checked_mul(size)?)?)?;
        Some((0..count).filter_map(|i| self.whole(entry.at + i * size, size)).take(all.len() / size).collect())
    }

    /// The first whole number of a tag.
    pub fn number(&self, tag: u16) -> Option<u64> {
        self.numbers(tag)?.first().copied()
    }

    /// The bytes with another first number for a tag of 16 bits.
    pub fn with(&self, tag: u16, value: u16) -> Option<Vec<u8>> {
        let entry = self.entries.iter().find(|e| e.tag == tag && e.kind == 3)?;
        let mut bytes = self.bytes.to_vec();
        let value = if self.little { value.to_le_bytes() } else { value.to_be_bytes() };
        bytes.get_mut(entry.at..entry.at.checked_add(2)?)?.copy_from_slice(&value);
        Some(bytes)
    }

    /// The whole number in `width` bytes at `at`.
    fn whole(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let join = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Some(if self.little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    }
}

/// Bytes of a kind of value.
fn size(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}

/// The orientation that EXIF's directory says, else XMP.
pub fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let said = exif.and_then(|block| {
        Directory::read(block.strip_prefix(b"Exif\0\0").unwrap_or(block)).and_then(|d| d.number(ORIENTATION))
    });
    let said = said.or_else(|| xmp.and_then(in_xmp).map(u64::from));
    said.and_then(|n| u8::try_from(n).ok()).and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// The digit behind `tiff:Orientation="` or `tiff:Orientation>`.
fn in_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    xmp.windows(NAME.len()).enumerate().filter(|(_, w)| *w == NAME).find_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| digit - b'0')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(little: bool, kind: u16, value: u32) -> Vec<u8> {
        let two = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let four = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut bytes = if little { b"II".to_vec() } else { b"MM".to_vec() };
        bytes.extend(two(42));
        bytes.extend(four(8));
        bytes.extend(two(1));
        bytes.extend(two(ORIENTATION));
        bytes.extend(two(kind));
        bytes.extend(four(1));
        match kind {
            3 => bytes.extend([two(value as u16), two(0)].concat()),
            _ => bytes.extend(four(value)),
        }
        bytes
    }

    #[test]
    fn orientation_is_read_as_any_number_and_from_xmp() {
        for little in [true, false] {
            for kind in [3, 4] {
                assert_eq!(orientation(Some(&exif(little, kind, 6)), None), Orientation::Rotate90);
            }
            assert_eq!(orientation(Some(&exif(little, 3, 9)), None), Orientation::NoTransforms);
        }
        let xmp = b"<x tiff:Orientation=\"3\"/>";
        assert_eq!(orientation(None, Some(xmp)), Orientation::Rotate180);
        assert_eq!(orientation(None, Some(b"<tiff:Orientation>8</tiff:Orientation>")), Orientation::Rotate270);
        assert_eq!(orientation(Some(&exif(true, 3, 1)), Some(xmp)), Orientation::NoTransforms);
        let behind = [b"Exif\0\0".to_vec(), exif(true, 3, 6)].concat();
        assert_eq!(orientation(Some(&behind), None), Orientation::Rotate90);
    }

    #[test]
    fn whatever_the_bytes_nothing_breaks() {
        let whole = exif(true, 4, 6);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = orientation(Some(&bytes), Some(&bytes));
                let _ = orientation(Some(&bytes[..at]), None);
            }
        }
    }
}
