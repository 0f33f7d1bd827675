//! The zip archive of a bundle. The same files give the same bytes. Reading one never writes outside its folder, refuses two
//! files of the same name, and never unpacks more than its limits.

use crate::error::{Error, Kind, Result};
use crate::limits::{BUNDLE, BUNDLE_FILES as FILES, BUNDLE_RATIO, PACKED};
use crate::zipped;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};
use std::path::{Component, Path};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Files by their paths within the archive, with `/` between folders.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The archive of `files`: sorted by path, not compressed (so the bytes do not depend on a compressor), without times, owners or
/// permissions.
///
/// # Errors
/// Where a path is not one that [`read`] takes.
pub fn write(files: &Files) -> Result<Vec<u8>> {
    let wrong = |e: zip::result::ZipError| Error::internal(format!("zip: {e}"));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (path, bytes) in files {
        if !plain(path) {
            return Err(Error::value(format!("`{path}` cannot be a path within a bundle")));
        }
        zip.start_file(path.as_str(), options.large_file(bytes.len() >= u32::MAX as usize)).map_err(wrong)?;
        zip.write_all(bytes).map_err(|e| Error::internal(format!("zip: {e}")))?;
    }
    Ok(zip.finish().map_err(wrong)?.into_inner())
}

/// The files of an archive.
///
/// # Errors
/// Where it is damaged, holds a path that leads out of its folder or is there twice, or unpacks to more than
/// [`BUNDLE`] bytes or much more than its own size; where it unpacks to more than the memory allows ([`Kind::Unsupported`], and the
/// hint says how to raise that). The sizes that it declares are added up before anything is unpacked.
pub fn read(bytes: &[u8]) -> Result<Files> {
    let damaged = |e: zip::result::ZipError| Error::format(format!("a damaged zip archive: {e}"));
    let mut zip = zipped::open(bytes)?;
    if zip.len() > FILES {
        return Err(Error::format(format!("an archive of {} files; {FILES} are allowed", zip.len())));
    }
    if listed(bytes).is_none_or(|said| said != zip.len()) {
        return Err(Error::format("an archive that lists a file twice"));
    }
    if zip.has_overlapping_files().map_err(damaged)? {
        return Err(Error::format("an archive whose files share bytes, as those of zip bombs do"));
    }
    let room = BUNDLE.min((bytes.len() as u64).saturating_mul(BUNDLE_RATIO));
    let mut declared = 0u64;
    for i in 0..zip.len() {
        declared = declared.saturating_add(zip.by_index_raw(i).map_err(damaged)?.size());
    }
    if declared > room {
        return Err(Error::format(format!("the archive unpacks to more than {room} bytes")));
    }
    PACKED.check(declared).map_err(|e| Error { kind: Kind::Unsupported, ..e })?;
    let (mut files, mut spelled) = (Files::new(), BTreeSet::new());
    for i in 0..zip.len() {
        let entry = zip.by_index(i).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        if entry.is_dir() && plain(name.trim_end_matches('/')) {
            continue;
        }
        if !plain(&name) || !entry.is_file() {
            return Err(Error::format(format!("the archive's `{name}` leads out of its folder or is no plain file")));
        }
        let size = entry.size();
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let read = entry.take(size + 1).read_to_end(&mut content);
        read.map_err(|e| Error::format(format!("the archive's `{name}` is damaged: {e}")))?;
        if content.len() as u64 != size {
            return Err(Error::format(format!(
                "the archive's `{name}` is damaged: it has not the size that it declares"
            )));
        }
        if !spelled.insert(name.to_ascii_lowercase()) || files.insert(name.clone(), content).is_some() {
            return Err(Error::format(format!("the archive holds `{name}` twice")));
        }
    }
    Ok(files)
}

/// The number of files that the end of an archive says it lists.
fn listed(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06")?;
    Some(usize::from(u16::from_le_bytes([*bytes.get(end + 10)?, *bytes.get(end + 11)?])))
}

/// Whether a path stays within its folder on any system and has one spelling only.
fn plain(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// Writes files below a folder.
///
/// # Errors
/// Where one cannot be written.
pub fn unpack<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>, folder: &Path) -> Result<()> {
    for (path, bytes) in files {
        if !plain(path) {
            return Err(Error::format(format!("`{path}` leads out of its folder")));
        }
        let full = folder.join(path);
        if let Some(above) = full.parent() {
            std::fs::create_dir_all(above).map_err(|e| Error::io(above, &e))?;
        }
        std::fs::write(&full, bytes).map_err(|e| Error::io(&full, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn packed(entries: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes, method) in entries {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(*method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn refused(archive: &[u8], part: &str) {
        let error = read(archive).unwrap_err().message;
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_come_back() {
        let files = Files::from([("b/é.txt".into(), b"two".to_vec()), ("a".into(), vec![]), ("B".into(), vec![1])]);
        let archive = write(&files).unwrap();
        assert_eq!(write(&files).unwrap(), archive);
        assert_eq!(read(&archive).unwrap(), files);
        let folder = tempfile::tempdir().unwrap();
        unpack(files.iter().map(|(k, v)| (k.as_str(), v.as_slice())), folder.path()).unwrap();
        assert_eq!(std::fs::read(folder.path().join("b/é.txt")).unwrap(), b"two");
        assert!(write(&Files::from([("../a".into(), vec![])])).is_err());
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for name in ["../a", "a/../../b", "/etc/a", "a//b", "C:\\a", "a\\..\\b", "./a", ".."] {
            refused(&packed(&[(name, b"x", CompressionMethod::Stored)]), "leads out");
        }
    }

    #[test]
    fn a_file_that_is_there_twice_is_refused() {
        let twice = packed(&[("aa", b"one", CompressionMethod::Stored), ("bb", b"two", CompressionMethod::Stored)]);
        let mut same = twice.clone();
        for i in 0..same.len() - 1 {
            if &same[i..i + 2] == b"bb" {
                same[i..i + 2].copy_from_slice(b"aa");
            }
        }
        refused(&same, "twice");
        let case = packed(&[("a", b"one", CompressionMethod::Stored), ("A", b"two", CompressionMethod::Stored)]);
        refused(&case, "twice");
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let zeros = vec![0u8; 20 << 20];
        refused(&packed(&[("bomb", &zeros, CompressionMethod::Deflated)]), "unpacks to more");
        let whole = packed(&[("a", b"some bytes", CompressionMethod::Stored)]);
        let mut flipped = whole.clone();
        let at = whole.windows(4).position(|w| w == b"some").unwrap();
        flipped[at] ^= 1;
        refused(&flipped, "damaged");
        refused(&whole[..whole.len() - 5], "not a whole zip file");
        refused(b"PK\x03\x04", "not a whole zip file");
    }

    #[test]
    fn sizes_are_what_they_are_declared_to_be_and_within_the_memory() {
        // In the directory at the end, behind its mark: CRC at 16, packed size at 20, size at 24.
        let whole = packed(&[("a", b"some bytes", CompressionMethod::Deflated)]);
        let entry = whole.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        for size in [3u32, 11, 900] {
            let mut lying = whole.clone();
            lying[entry + 24..entry + 28].copy_from_slice(&size.to_le_bytes());
            let error = read(&lying).unwrap_err();
            assert!(error.message.contains("damaged") || error.message.contains("overlap"), "{size}: {error}");
        }
        // Half as much again as the share of the memory, declared and within the ratio: refused before it is unpacked.
        let declared = PACKED.most() + PACKED.most() / 2;
        if declared < u64::from(u32::MAX) {
            let padding = vec![7u8; usize::try_from(declared / BUNDLE_RATIO).unwrap() + 1];
            let mut lying = packed(&[
                ("a", b"some bytes", CompressionMethod::Deflated),
                ("b", &padding, CompressionMethod::Stored),
            ]);
            let entry = lying.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
            let size = declared as u32 - padding.len() as u32;
            lying[entry + 24..entry + 28].copy_from_slice(&size.to_le_bytes());
            let error = read(&lying).unwrap_err();
            assert_eq!(error.kind, Kind::Unsupported, "{error}");
            assert!(error.hint.is_some_and(|hint| hint.contains("--memory")));
        }
    }
}
