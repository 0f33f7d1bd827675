//! The file of a labelling session: one JSON object a line, only ever appended to. A line is on the disk before its answer
//! is acknowledged, and an answer that is sent twice (its acknowledgement was lost) is there once.

use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One person's answer for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Made by the page: the same answer sent again has the same one.
    pub id: String,
    /// Who answered.
    pub labeller: String,
    /// The image, as [`super::ImageIds`] names it.
    pub image: String,
    /// The classes guessed, the first guess first; none where the image was skipped.
    pub guesses: Vec<String>,
    /// Whether the image was skipped.
    #[serde(default)]
    pub skipped: bool,
    /// The time for the answer, seconds, without the time that the page was hidden.
    #[serde(default)]
    pub time_s: Option<f64>,
    /// Whether the right class was shown after each answer.
    #[serde(default)]
    pub training: bool,
    /// When the answer came, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// The kinds of error of a wrong answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    /// Made by the page.
    pub id: String,
    /// The reviewer.
    pub by: String,
    /// Whose error it is: a labeller or a net.
    pub subject: String,
    /// The image.
    pub image: String,
    /// Names of [`super::taxonomy::KINDS`]; an empty list removes earlier ones.
    pub kinds: Vec<String>,
    /// When, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// Where one person saw the named points of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointAnswer {
    /// Made by the page: the same answer sent again has the same one.
    pub id: String,
    /// Who answered.
    pub labeller: String,
    /// The image, as [`super::ImageIds`] names it.
    pub image: String,
    /// The place of each point in pixels of the image, from its top left corner (the first pixel's centre is 0.5, 0.5), or none where
    /// it is not visible.
    pub points: BTreeMap<String, Option<[f64; 2]>>,
    /// Whether the image was skipped.
    #[serde(default)]
    pub skipped: bool,
    /// How long the image was looked at, seconds; the time that the page was hidden is not counted.
    #[serde(default)]
    pub time_s: Option<f64>,
    /// When the answer came, seconds since 1970 (UTC).
    #[serde(default)]
    pub at: f64,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// An answer.
    Answer(Answer),
    /// An answer that is places of points.
    Points(PointAnswer),
    /// An answer is taken back.
    Undo {
        /// Made by the page.
        id: String,
        /// The answer's.
        of: String,
        /// When, seconds since 1970 (UTC).
        #[serde(default)]
        at: f64,
    },
    /// The kinds of an error.
    Tag(Tag),
}

impl Entry {
    /// Made by the page, so that nothing is written twice.
    pub fn id(&self) -> &str {
        match self {
            Entry::Answer(Answer { id, .. })
            | Entry::Points(PointAnswer { id, .. })
            | Entry::Undo { id, .. }
            | Entry::Tag(Tag { id, .. }) => id,
        }
    }
}

/// A session's file, open for appending by this process alone.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
    entries: Vec<Entry>,
    ids: BTreeSet<String>,
}

impl Log {
    /// Opens or creates the file and reads its entries. A last line that a crash cut off was never acknowledged; it is removed.
    ///
    /// # Errors
    /// Where the file cannot be written, another process has it open, or a line is none of a session.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |e: std::io::Error| Error::io(path, &e);
        let new = !path.exists();
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(crate::Kind::Io, format!("`{}` is in use by another session", path.display()))
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
        match serde_json::from_slice::<Entry>(&text[whole..]) {
            // Only the line's end is missing: an editor may have taken it away.
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

    /// Everything in the file, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether an entry with this id is there.
    pub fn holds(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Adds an entry and waits until it is on the disk; one that is there already is not added again.
    ///
    /// # Errors
    /// Where it could not be written: the file is then as it was.
    pub fn append(&mut self, entry: Entry) -> Result<()> {
        if self.holds(entry.id()) {
            return Ok(());
        }
        let mut line = serde_json::to_string(&entry).map_err(|e| Error::internal(e.to_string()))?;
        line.push('\n');
        let written = self
            .file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(line.as_bytes()))
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // What was written of the line goes again; if that fails too, the next start cuts it off.
            let _ = self.file.set_len(self.len);
            return Err(Error::io(&self.path, &e));
        }
        self.len += line.len() as u64;
        self.ids.insert(entry.id().to_string());
        self.entries.push(entry);
        Ok(())
    }
}

/// A new file survives a crash only when its folder's entry does.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The entries of a session's text; empty lines are ignored.
///
/// # Errors
/// Where a line is none of a session; the message says which.
pub fn parse(text: &[u8]) -> Result<Vec<Entry>> {
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

/// The valid answers: not undone, and of each labeller the last one for each image; in the file's order.
pub fn standing(entries: &[Entry]) -> Vec<&Answer> {
    let undone: BTreeSet<&str> =
        entries.iter().filter_map(|e| if let Entry::Undo { of, .. } = e { Some(of.as_str()) } else { None }).collect();
    let mut seen = BTreeSet::new();
    let mut answers: Vec<&Answer> = entries
        .iter()
        .rev()
        .filter_map(|e| if let Entry::Answer(a) = e { Some(a) } else { None })
        .filter(|a| !undone.contains(a.id.as_str()) && seen.insert((a.labeller.as_str(), a.image.as_str())))
        .collect();
    answers.reverse();
    answers
}

/// The kinds of errors: of each reviewer the last entry for each subject's answer to each image.
pub fn tags(entries: &[Entry]) -> Vec<&Tag> {
    let mut seen = BTreeSet::new();
    let mut tags: Vec<&Tag> = entries
        .iter()
        .rev()
        .filter_map(|e| if let Entry::Tag(t) = e { Some(t) } else { None })
        .filter(|t| seen.insert((t.by.as_str(), t.subject.as_str(), t.image.as_str())))
        .collect();
    tags.reverse();
    tags
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(id: &str, labeller: &str, image: &str, guess: &str) -> Entry {
        Entry::Answer(Answer {
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
        log.append(answer("1", "ann", "a.png", "star")).unwrap();
        log.append(answer("2", "ann", "b.png", "ring")).unwrap();
        log.append(answer("2", "ann", "b.png", "ring")).unwrap();
        assert!(Log::open(&path).unwrap_err().message.contains("in use"));
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let mut log = Log::open(&path).unwrap();
        assert!(log.holds("1") && log.holds("2") && !log.holds("3"));
        log.append(Entry::Undo { id: "3".into(), of: "2".into(), at: 0.0 }).unwrap();
        assert_eq!(standing(log.entries()).iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["1"]);
        log.append(answer("4", "ann", "a.png", "ring")).unwrap();
        log.append(answer("5", "bob", "a.png", "cross")).unwrap();
        assert_eq!(standing(log.entries()).iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["4", "5"]);
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
