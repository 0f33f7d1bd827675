//! Frames of the protocol: headers, an empty line, as many bytes as the headers say. No memory is reserved for the length that
//! a header claims: a buffer grows with the bytes that arrive, up to a limit.

use std::io::{BufRead, Error, ErrorKind, Read, Result, Write};

/// How many bytes a frame may have.
pub const MAX_FRAME_BYTES: u64 = 4 << 20;
/// How many bytes the headers of a frame may have.
pub const MAX_HEADER_BYTES: u64 = 4096;

/// How many JSON values a message may have; each takes many times its bytes in memory.
pub const MAX_VALUES: usize = 1 << 17;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The frame's content.
    Content(Vec<u8>),
    /// The frame had so many bytes, more than the limit; they were skipped.
    TooLong(u64),
}

/// The next frame; none where the input has ended.
///
/// # Errors
/// Where a header is malformed, has no length, or is too long: the following bytes cannot be interpreted.
pub fn read(from: &mut impl BufRead) -> Result<Option<Frame>> {
    let mut length = None;
    let mut left = MAX_HEADER_BYTES;
    loop {
        let mut line = Vec::new();
        left -= from.by_ref().take(left).read_until(b'\n', &mut line)? as u64;
        if line.is_empty() && left > 0 {
            return match length {
                None if left == MAX_HEADER_BYTES => Ok(None),
                _ => Err(broken("it ended within the headers of a message")),
            };
        }
        if line.pop() != Some(b'\n') {
            return Err(broken("a header that does not end"));
        }
        let line = String::from_utf8(line).map_err(|_| broken("a header that is no text"))?;
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            match length {
                Some(_) => break,
                None if left + 2 >= MAX_HEADER_BYTES => continue,
                None => return Err(broken("a message without Content-Length")),
            }
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
        if name.trim().eq_ignore_ascii_case("content-length") {
            let digits = value.trim();
            let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
            length = Some(number.ok_or_else(|| broken("a Content-Length that is no number"))?);
        }
    }
    let length = length.unwrap_or(0);
    let mut content = from.take(length);
    if length > MAX_FRAME_BYTES {
        return match std::io::copy(&mut content, &mut std::io::sink())? == length {
            true => Ok(Some(Frame::TooLong(length))),
            false => Err(broken("it ended within a message")),
        };
    }
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(Some(Frame::Content(bytes))),
        false => Err(broken("it ended within a message")),
    }
}

/// An upper bound on the number of values in a JSON text: its brackets and commas outside of strings.
pub fn values(json: &[u8]) -> usize {
    let (mut count, mut within, mut escaped) = (1, false, false);
    for byte in json {
        match (within, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => within = !within,
            (false, b'[' | b'{' | b',') => count += 1,
            _ => {}
        }
    }
    count
}

/// Writes a frame.
///
/// # Errors
/// Where it cannot be written.
pub fn write(to: &mut impl Write, content: &[u8]) -> Result<()> {
    write!(to, "Content-Length: {}\r\n\r\n", content.len())?;
    to.write_all(content)?;
    to.flush()
}

fn broken(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}
