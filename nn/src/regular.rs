//! Reads files of data and weights: regular ones only (a device, a FIFO or a socket would never end, or wait for ever), and
//! no larger than the reader allows.

use crate::error::{Error, Kind, Result};
use crate::{reads, seal};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Opens a regular file; the number is its length in bytes.
///
/// # Errors
/// Where there is none, or it is a folder, a device, a FIFO or a socket (links are followed), or the seal forbids it.
pub fn open(path: &Path) -> Result<(File, u64)> {
    seal::may_read(path)?;
    // Opening a FIFO waits for its writer, so that it is looked at before.
    let about = std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
    if about.is_dir() {
        return Err(Error::io(path, &std::io::ErrorKind::IsADirectory.into()));
    }
    if !about.is_file() {
        return Err(irregular(path));
    }
    let file = opened(path)?;
    let about = file.metadata().map_err(|e| Error::io(path, &e))?;
    if !about.is_file() {
        return Err(irregular(path));
    }
    Ok((file, about.len()))
}

/// Opens a file. In a sealed process links are resolved when the seal checks the path; a link that is changed afterwards is not
/// followed.
fn opened(path: &Path) -> Result<File> {
    let wrong = |e: std::io::Error| Error::io(path, &e);
    if !seal::is_held() {
        return File::open(path).map_err(wrong);
    }
    let target = seal::real(path);
    seal::may_read_as(&target, path)?;
    let file = File::open(&target).map_err(wrong)?;
    if seal::real(&target) == target {
        return Ok(file);
    }
    Err(Error::new(Kind::Io, format!("`{}` changed while it was opened", path.display())))
}

/// The paths in a folder, in no order.
///
/// # Errors
/// Where it cannot be read, or the seal forbids it.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    seal::may_read(folder)?;
    let wrong = |e: std::io::Error| Error::io(folder, &e);
    std::fs::read_dir(folder).map_err(wrong)?.map(|entry| entry.map(|e| e.path()).map_err(wrong)).collect()
}

/// All bytes of a regular file; `allowed` checks their number before memory is allocated.
///
/// # Errors
/// As [`open`], where the length is not allowed, and where it cannot be read.
pub fn read(path: &Path, allowed: impl FnOnce(u64) -> Result<()>) -> Result<Vec<u8>> {
    let (file, length) = open(path)?;
    let about = file.metadata().map_err(|e| Error::io(path, &e))?;
    allowed(length).map_err(|e| e.context(format!("`{}`", path.display())))?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // A file that grows meanwhile is read as it was.
    file.take(length).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    reads::note(path, &about, &bytes);
    Ok(bytes)
}

/// The text in a regular file: UTF-8 with or without a byte-order mark, or UTF-16 with one.
///
/// # Errors
/// As [`read`], and where it is no text.
pub fn read_text(path: &Path, allowed: impl FnOnce(u64) -> Result<()>) -> Result<String> {
    text(read(path, allowed)?)
        .ok_or_else(|| Error::format(format!("`{}` is not a text file", path.display())).hint("save it as UTF-8"))
}

/// The text in bytes: UTF-8 with or without a byte-order mark, or UTF-16 with one; nothing where it is neither.
pub fn text(mut bytes: Vec<u8>) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|u| unit(*u)).collect();
        if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
    };
    match bytes[..] {
        [0xff, 0xfe, ..] => wide(&bytes[2..], u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(&bytes[2..], u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, ..] => String::from_utf8(bytes.split_off(3)).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

fn irregular(path: &Path) -> Error {
    Error::new(Kind::Io, format!("`{}`: is not a regular file", path.display()))
        .hint("devices, pipes and sockets are not read; save the data in a file first")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for path in [Path::new("/dev/zero"), &socket, &fifo, &link] {
            let error = open(path).unwrap_err();
            assert!(error.message.ends_with("is not a regular file") && error.hint.is_some(), "{error}");
        }
        assert!(open(folder.path()).unwrap_err().message.ends_with("is a directory, not a file"));
    }

    #[test]
    fn texts_are_read_with_any_mark() {
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain("né".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for bytes in ["né".as_bytes().to_vec(), [&[0xef, 0xbb, 0xbf], "né".as_bytes()].concat(), wide] {
            assert_eq!(text(bytes).unwrap(), "né");
        }
        assert!(text(vec![0x80, 1]).is_none() && text(vec![0xff, 0xfe, 1]).is_none());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "some text").unwrap();
        let refused = |n: u64| if n > 4 { Err(Error::format(format!("{n} bytes"))) } else { Ok(()) };
        let error = read_text(&path, refused).unwrap_err();
        assert!(error.message.contains("a.txt`: 9 bytes"), "{error}");
        assert_eq!(read_text(&path, |_| Ok(())).unwrap(), "some text");
    }
}
