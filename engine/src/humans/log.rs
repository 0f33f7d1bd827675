//! The log of a labelling session: one JSON object per line, append-only. A line is on the disk, in the file with the session's
//! name, before its answer is acknowledged. An answer that is sent twice, because its acknowledgement was lost, is in the log once.

use crate::error::{Context, Error, Kind, Result};
use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub use super::entries::{Answer, LogEntry, PointAnswer, Tag};

/// The outcome of appending an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// The entry was appended.
    New,
    /// The entry was in the log already.
    Known,
    /// Another entry has this id; nothing was appended.
    Taken,
}

/// A session's log, open for appending by this process only.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
    entries: Vec<LogEntry>,
    ids: BTreeSet<String>,
}

impl Log {
    /// Opens or creates the log and reads its entries. A last line that a crash cut off was never acknowledged; it is removed.
    ///
    /// # Errors
    /// Where the file cannot be written, another process has it open, or a line is no entry.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |e: std::io::Error| Error::io(path, &e);
        let new = !path.exists();
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Kind::Io, format!("`{}` is in use by another session", path.display()))
                    .hint("end that one, or name another file with --out; several people can label in one session"));
            }
            Err(TryLockError::Error(e)) => return Err(wrong(e)),
        }
        if new {
            sync_folder(path).map_err(wrong)?;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(wrong)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let mut len = whole as u64;
        let mut entries = parse(&text[..whole]).context(|| format!("`{}`", path.display()))?;
        match serde_json::from_slice::<LogEntry>(&text[whole..]) {
            // Only the line end is missing: an editor may have removed it.
            Ok(last) => {
                file.write_all(b"\n").and_then(|()| file.sync_data()).map_err(wrong)?;
                entries.push(last);
                len = text.len() as u64 + 1;
            }
            Err(_) if whole < text.len() => file.set_len(len).and_then(|()| file.sync_data()).map_err(wrong)?,
            Err(_) => {}
        }
        let ids = entries.iter().map(|e| e.id().to_string()).collect();
        Ok(Log { path: path.to_path_buf(), file, len, entries, ids })
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// Whether the log has an entry with this id.
    pub fn holds(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// The entry with this id.
    pub fn find(&self, id: &str) -> Option<&LogEntry> {
        self.entries.iter().find(|entry| entry.id() == id)
    }

    /// An error unless the file with the session's name is the open one, with the length that was written: another program may have
    /// moved, deleted, replaced or changed it.
    ///
    /// # Errors
    /// Where that happened; the hint says what to do.
    pub fn in_place(&self) -> Result<()> {
        let path = self.path.display();
        let moved = || {
            Error::new(Kind::Io, format!("`{path}` was moved, deleted or replaced while the session has it open")).hint(
                "put it back; or end the session and start it again, which then goes on with the file that is there",
            )
        };
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => there,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(moved()),
            Err(e) => return Err(Error::io(&self.path, &e)),
        };
        let open = self.file.metadata().map_err(|e| Error::io(&self.path, &e))?;
        if !is_same(&there, &open) {
            return Err(moved());
        }
        if open.len() != self.len {
            let message = format!("`{path}` has {} bytes, the session left it with {}", open.len(), self.len);
            return Err(Error::new(Kind::Io, format!("{message}: another program changed it"))
                .hint("end the session and start it again, which then goes on with the file as it is"));
        }
        Ok(())
    }

    /// Appends an entry and waits until it is on the disk; an entry that is in the log already is not appended again.
    ///
    /// # Errors
    /// Where it cannot be written (the file is then unchanged), or the file was moved or changed ([`Log::in_place`]).
    pub fn append(&mut self, entry: LogEntry) -> Result<Appended> {
        self.in_place()?;
        if let Some(known) = self.holds(entry.id()).then(|| self.find(entry.id())).flatten() {
            return Ok(if known.says(&entry) { Appended::Known } else { Appended::Taken });
        }
        let mut line = serde_json::to_string(&entry).map_err(|e| Error::internal(e.to_string()))?;
        line.push('\n');
        let before = self.len;
        let written = self
            .file
            .seek(SeekFrom::Start(before))
            .and_then(|_| self.file.write_all(line.as_bytes()))
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io(&self.path, &e));
        self.len += line.len() as u64;
        // The file may have been moved while it was written.
        if let Err(e) = written.and_then(|()| self.in_place()) {
            self.len = before;
            // Removes what was written of the line; where that fails, too, the next start removes it.
            if self.file.metadata().is_ok_and(|open| open.len() > before) {
                let _ = self.file.set_len(before);
            }
            return Err(e);
        }
        self.ids.insert(entry.id().to_string());
        self.entries.push(entry);
        Ok(Appended::New)
    }
}

/// Whether both are the same file.
#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// On other systems an open file can be neither moved nor deleted.
#[cfg(not(unix))]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.len(), a.created().ok()) == (b.len(), b.created().ok())
}

/// A new file survives a crash only if its folder's entry is on the disk, too.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Parses the entries of a log; empty lines are ignored.
///
/// # Errors
/// Where a line is no entry; the message has its number.
pub fn parse(text: &[u8]) -> Result<Vec<LogEntry>> {
    let lines = text.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(i, line)| {
            serde_json::from_slice(line).map_err(|e| {
                Error::format(format!("line {} is no line of a labelling session: {e}", i + 1))
                    .hint("`convscope label` writes such files; trials of other experiments come as .csv")
            })
        })
        .collect()
}

/// The valid answers: not undone, and of each person the last one for each image; in the log's order.
pub fn standing(entries: &[LogEntry]) -> Vec<&Answer> {
    let undone: BTreeSet<&str> = entries
        .iter()
        .filter_map(|e| if let LogEntry::Undo { of, .. } = e { Some(of.as_str()) } else { None })
        .collect();
    let mut seen = BTreeSet::new();
    let mut answers: Vec<&Answer> = entries
        .iter()
        .rev()
        .filter_map(|e| if let LogEntry::Answer(a) = e { Some(a) } else { None })
        .filter(|a| !undone.contains(a.id.as_str()) && seen.insert((a.labeller.as_str(), a.image.as_str())))
        .collect();
    answers.reverse();
    answers
}

/// The valid kinds of errors: of each reviewer the last entry for each answer.
pub fn tags(entries: &[LogEntry]) -> Vec<&Tag> {
    let mut seen = BTreeSet::new();
    let mut tags: Vec<&Tag> = entries
        .iter()
        .rev()
        .filter_map(|e| if let LogEntry::Tag(t) = e { Some(t) } else { None })
        .filter(|t| seen.insert((t.by.as_str(), t.subject.as_str(), t.image.as_str())))
        .collect();
    tags.reverse();
    tags
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(id: &str, labeller: &str, image: &str, guess: &str) -> LogEntry {
        LogEntry::Answer(Answer {
            id: id.into(),
            labeller: labeller.into(),
            image: image.into(),
            guesses: vec![guess.into()],
            skipped: false,
            time_s: Some(1.5),
            training: false,
            at: 0.0,
        })
    }

    #[test]
    fn what_is_appended_is_there_once_and_after_a_new_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let mut log = Log::open(&path).unwrap();
        assert_eq!(log.append(answer("1", "ann", "a.png", "star")).unwrap(), Appended::New);
        assert_eq!(log.append(answer("2", "ann", "b.png", "ring")).unwrap(), Appended::New);
        assert_eq!(log.append(answer("2", "ann", "b.png", "ring")).unwrap(), Appended::Known);
        assert_eq!(log.append(answer("2", "bob", "b.png", "ring")).unwrap(), Appended::Taken);
        assert!(Log::open(&path).unwrap_err().message.contains("in use"));
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let mut log = Log::open(&path).unwrap();
        assert!(log.holds("1") && log.holds("2") && !log.holds("3"));
        let undo = |at: f64| LogEntry::Undo { id: "3".into(), of: "2".into(), at };
        assert_eq!(log.append(undo(0.0)).unwrap(), Appended::New);
        assert_eq!(log.append(undo(9.0)).unwrap(), Appended::Known, "the time that it comes at is not what it says");
        assert_eq!(standing(log.entries()).iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["1"]);
        assert_eq!(log.append(answer("4", "ann", "a.png", "ring")).unwrap(), Appended::New);
        assert_eq!(log.append(answer("5", "bob", "a.png", "cross")).unwrap(), Appended::New);
        assert_eq!(standing(log.entries()).iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["4", "5"]);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_appended_to_a_file_that_lost_its_place_or_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("labels.jsonl"), folder.path().join("aside.jsonl"));
        let mut log = Log::open(&path).unwrap();
        let one = || answer("1", "ann", "a.png", "star");
        assert_eq!(log.append(one()).unwrap(), Appended::New);
        let whole = std::fs::read(&path).unwrap();
        let refused = |log: &mut Log, part: &str| {
            for entry in [answer("2", "ann", "b.png", "ring"), one()] {
                let error = log.append(entry).unwrap_err();
                assert!(error.message.contains(part) && error.hint.is_some(), "{part}: {error}");
            }
        };
        std::fs::rename(&path, &aside).unwrap();
        refused(&mut log, "moved, deleted or replaced");
        std::fs::copy(&aside, &path).unwrap();
        refused(&mut log, "moved, deleted or replaced");
        assert_eq!((std::fs::read(&aside).unwrap(), std::fs::read(&path).unwrap()), (whole.clone(), whole.clone()));
        // The file is put back and the session continues.
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(log.append(answer("3", "ann", "c.png", "ring")).unwrap(), Appended::New);
        let more = std::fs::read(&path).unwrap();
        for changed in [&whole[..], &[], &[&more[..], b"\n"].concat()] {
            std::fs::write(&path, changed).unwrap();
            refused(&mut log, "another program changed it");
            assert_eq!(std::fs::read(&path).unwrap(), changed);
        }
        std::fs::remove_file(&path).unwrap();
        refused(&mut log, "moved, deleted or replaced");
    }

    #[test]
    fn a_line_that_a_crash_cut_off_goes_and_a_whole_one_without_its_end_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.jsonl");
        let line = serde_json::to_string(&answer("1", "ann", "a.png", "star")).unwrap();
        std::fs::write(&path, format!("{line}\n{}", &line[..40])).unwrap();
        drop(Log::open(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{line}\n"));
        std::fs::write(&path, &line).unwrap();
        assert_eq!(Log::open(&path).unwrap().entries().len(), 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{line}\n"));
        std::fs::write(&path, format!("{line}\nnonsense\n{line}\n")).unwrap();
        let error = Log::open(&path).unwrap_err();
        assert!(error.message.contains("line 2") && error.message.contains("labels.jsonl"), "{error}");
    }
}
