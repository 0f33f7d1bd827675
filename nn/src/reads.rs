//! Digests of the files that a run read, taken while they were read. So the record of the run opens, hashes and decodes no file
//! again, and describes the bytes that the run had, not those in the file afterwards.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

static LOG: OnceLock<Mutex<BTreeMap<PathBuf, Entry>>> = OnceLock::new();

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
    /// Bytes.
    pub bytes: u64,
    /// The decoded content, independent of the file's encoding, where a reader supplied it: a word, a colon and a digest.
    pub content: Option<String>,
}

struct Entry {
    /// When it was changed last; another time means another file.
    modified: Option<SystemTime>,
    read: FileRead,
}

/// Starts recording what is read, for the whole process.
pub fn keep() {
    LOG.get_or_init(Mutex::default);
}

fn log() -> Option<MutexGuard<'static, BTreeMap<PathBuf, Entry>>> {
    LOG.get().map(|log| log.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Records the bytes of a file that was read whole.
pub(crate) fn note(path: &Path, about: &Metadata, bytes: &[u8]) {
    if LOG.get().is_none() {
        return;
    }
    let read = FileRead { blake3: blake3::hash(bytes).to_hex().to_string(), bytes: bytes.len() as u64, content: None };
    let entry = Entry { modified: about.modified().ok(), read };
    if let Some(mut log) = log() {
        log.insert(path.to_path_buf(), entry);
    }
}

/// Records the content of a file that has just been read whole.
pub fn note_content(path: &Path, content: impl FnOnce() -> Option<String>) {
    if log().is_none_or(|log| log.get(path).is_none_or(|entry| entry.read.content.is_some())) {
        return;
    }
    let content = content();
    if let Some(entry) = log().as_mut().and_then(|log| log.get_mut(path)) {
        entry.read.content = content;
    }
}

/// What was read from the file at `path`, where it was read whole and has not changed since.
pub fn known(path: &Path) -> Option<FileRead> {
    let about = path.metadata().ok()?;
    let log = log()?;
    let entry = log.get(path)?;
    (entry.read.bytes == about.len() && entry.modified == about.modified().ok()).then(|| entry.read.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::digest::digest;
    use crate::regular;
    use std::time::Duration;

    #[test]
    fn a_file_is_known_as_it_was_read_and_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::fs::write(&path, b"one").unwrap();
        keep();
        assert_eq!(known(&path), None);
        regular::read(&path, |_| Ok(())).unwrap();
        note_content(&path, || Some("word:1".into()));
        note_content(&path, || panic!("it is known"));
        note_content(&folder.path().join("b.bin"), || panic!("it was not read"));
        let read = FileRead { blake3: digest(b"one"), bytes: 3, content: Some("word:1".into()) };
        assert_eq!(known(&path), Some(read));
        std::fs::write(&path, b"two").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert_eq!(known(&path), None);
        regular::read(&path, |_| Ok(())).unwrap();
        assert_eq!(known(&path).unwrap().blake3, digest(b"two"));
    }
}
