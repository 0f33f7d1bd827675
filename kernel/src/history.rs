//! The history of cells, kept in a file: one JSON line per cell, `[session, line, source, output]`.

use convscope_engine::{Error, Result};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How many bytes of cells, of this session and of earlier ones, are kept in memory; the file keeps all.
const MAX_REMEMBERED_BYTES: u64 = 16 << 20;

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellRecord {
    /// The session it ran in, from 1.
    pub session: i64,
    /// The execution count.
    pub line: i64,
    /// The source.
    pub source: String,
    /// The text of the result.
    pub output: Option<String>,
}

/// A request for a part of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryQuery {
    /// The last cells of all sessions.
    Tail(usize),
    /// Lines `start..stop` of a session: the current one (0), an earlier one (-1 is the last before), or one by its number.
    Range(i64, i64, Option<i64>),
    /// The last cells that match a glob pattern, each source once where `unique`.
    Search(String, Option<usize>, bool),
}

/// The cells of this session and, where there is a file, of earlier ones.
pub struct History {
    file: Option<PathBuf>,
    session: i64,
    earlier: Vec<CellRecord>,
    now: VecDeque<CellRecord>,
    /// Bytes of the cells in `now`.
    bytes: u64,
}

impl CellRecord {
    fn bytes(&self) -> u64 {
        (size_of::<CellRecord>() + self.source.len() + self.output.as_ref().map_or(0, String::len)) as u64
    }
}

/// The file of the history: `history.jsonl` in the folder that CONVSCOPE_DATA names, else in convscope's folder for data.
pub fn file() -> Option<PathBuf> {
    let named = std::env::var_os("CONVSCOPE_DATA").filter(|f| !f.is_empty()).map(PathBuf::from);
    let folder = named.or_else(|| {
        use etcetera::BaseStrategy;
        etcetera::choose_base_strategy().ok().map(|b| b.data_dir().join("convscope"))
    })?;
    Some(folder.join("history.jsonl"))
}

impl History {
    /// The history in `file`; without a file it is kept in memory. A file that cannot be read counts as empty.
    pub fn open(file: Option<PathBuf>) -> Self {
        let earlier = file.as_deref().and_then(|f| read(f).ok()).unwrap_or_default();
        let session = earlier.iter().map(|l| l.session).max().unwrap_or(0) + 1;
        History { file, session, earlier, now: VecDeque::new(), bytes: 0 }
    }

    /// Adds a cell.
    ///
    /// # Errors
    /// Where the file cannot be written; the history in memory has the cell all the same.
    pub fn add(&mut self, line: i64, source: &str, output: Option<String>) -> Result<()> {
        let line = CellRecord { session: self.session, line, source: source.to_string(), output };
        let text = json!([line.session, line.line, line.source, line.output]).to_string() + "\n";
        self.bytes += line.bytes();
        self.now.push_back(line);
        while self.bytes > MAX_REMEMBERED_BYTES
            && let Some(oldest) = self.now.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
        let Some(file) = &self.file else { return Ok(()) };
        let folder = file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        let mut opened = open_private(file).map_err(|e| Error::io(file, &e))?;
        // One write, so that the lines of two kernels do not mix.
        opened.write_all(text.as_bytes()).map_err(|e| Error::io(file, &e))
    }

    /// The requested cells, oldest first.
    pub fn find(&self, query: &HistoryQuery) -> Vec<&CellRecord> {
        let all = || self.earlier.iter().chain(&self.now);
        match query {
            HistoryQuery::Tail(n) => last(all().collect(), *n),
            HistoryQuery::Range(session, start, stop) => {
                let session = if *session <= 0 { self.session + session } else { *session };
                let within =
                    |l: &&CellRecord| l.session == session && l.line >= *start && stop.is_none_or(|s| l.line < s);
                all().filter(within).collect()
            }
            HistoryQuery::Search(pattern, n, unique) => {
                let pattern: Vec<char> = pattern.chars().collect();
                let mut found: Vec<&CellRecord> =
                    all().filter(|l| matches_glob(&pattern, &l.source.chars().collect::<Vec<_>>())).collect();
                if *unique {
                    let mut seen = std::collections::BTreeSet::new();
                    found.reverse();
                    found.retain(|l| seen.insert(l.source.as_str()));
                    found.reverse();
                }
                last(found, n.unwrap_or(usize::MAX))
            }
        }
    }
}

/// Opens a file to append to. Only its owner may read it, also while it is created; an existing file is restricted now.
fn open_private(file: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let opened = options.mode(0o600).open(file)?;
        if opened.metadata()?.permissions().mode() & 0o077 != 0 {
            opened.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(opened)
    }
    #[cfg(not(unix))]
    options.open(file)
}

fn last<T>(mut items: Vec<T>, n: usize) -> Vec<T> {
    items.split_off(items.len().saturating_sub(n))
}

/// The last cells of a file.
fn read(file: &Path) -> Result<Vec<CellRecord>> {
    let wrong = |e: std::io::Error| Error::io(file, &e);
    let mut opened = File::open(file).map_err(wrong)?;
    let before = opened.metadata().map_err(wrong)?.len().saturating_sub(MAX_REMEMBERED_BYTES);
    opened.seek(SeekFrom::Start(before)).map_err(wrong)?;
    // Where reading begins within a line, its rest counts as damaged.
    let lines = BufReader::new(opened.take(MAX_REMEMBERED_BYTES)).split(b'\n').map_while(std::result::Result::ok);
    Ok(lines.filter_map(|l| parse(&l)).collect())
}

/// A line of the file; none where it is damaged.
fn parse(line: &[u8]) -> Option<CellRecord> {
    let Ok(Value::Array(entry)) = serde_json::from_slice(line) else { return None };
    let [session, line, source, output] = &entry[..] else { return None };
    Some(CellRecord {
        session: session.as_i64()?,
        line: line.as_i64()?,
        source: source.as_str()?.to_string(),
        output: output.as_str().map(str::to_string),
    })
}

/// Whether a text matches a glob pattern: `*` is any characters, `?` one.
fn matches_glob(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The position of the last star, and the end of what it matches in the text.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sources(found: Vec<&CellRecord>) -> Vec<String> {
        found.iter().map(|l| l.source.clone()).collect()
    }

    #[test]
    fn sessions_follow_each_other_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/history.jsonl");
        let mut first = History::open(Some(file.clone()));
        first.add(1, "let x = 1;", None).unwrap();
        first.add(2, "x\n+ 1", Some("2".into())).unwrap();
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{damaged\n").unwrap();
        let mut second = History::open(Some(file));
        second.add(1, "x", None).unwrap();
        assert_eq!(sources(second.find(&HistoryQuery::Tail(2))), ["x\n+ 1", "x"]);
        assert_eq!(sources(second.find(&HistoryQuery::Range(-1, 2, None))), ["x\n+ 1"]);
        assert_eq!(sources(second.find(&HistoryQuery::Range(1, 1, Some(2)))), ["let x = 1;"]);
        assert_eq!(sources(second.find(&HistoryQuery::Range(0, 1, Some(2)))), ["x"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone_from_the_start() {
        use std::os::unix::fs::PermissionsExt;
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let mode = |file: &Path| std::fs::metadata(file).ok().map(|m| m.permissions().mode() & 0o777);
        let file = |i: usize| folder.path().join(format!("{i}.jsonl"));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut seen = std::collections::BTreeSet::new();
                while !over.load(Ordering::SeqCst) {
                    seen.extend(std::fs::read_dir(folder.path()).unwrap().filter_map(|e| mode(&e.ok()?.path())));
                }
                seen
            });
            for i in 0..200 {
                History::open(Some(file(i))).add(1, "secret", None).unwrap();
                assert_eq!(mode(&file(i)), Some(0o600));
            }
            over.store(true, Ordering::SeqCst);
            assert!(watcher.join().unwrap().into_iter().all(|m| m == 0o600));
        });
        std::fs::set_permissions(file(0), std::fs::Permissions::from_mode(0o644)).unwrap();
        History::open(Some(file(0))).add(2, "secret", None).unwrap();
        assert_eq!(mode(&file(0)), Some(0o600), "one that an earlier version made");
    }

    #[test]
    fn old_cells_are_forgotten_and_stay_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.jsonl");
        let mut history = History::open(Some(file.clone()));
        let long = "x".repeat(1 << 20);
        for i in 1..=40 {
            history.add(i, &long, None).unwrap();
        }
        let lines = |found: Vec<&CellRecord>| found.iter().map(|l| l.line).collect::<Vec<_>>();
        assert_eq!(lines(history.find(&HistoryQuery::Tail(100))), (26..=40).collect::<Vec<_>>());
        history.add(41, &"x".repeat(40 << 20), None).unwrap();
        assert!(history.find(&HistoryQuery::Tail(100)).is_empty());
        history.add(42, "y", None).unwrap();
        assert_eq!(lines(history.find(&HistoryQuery::Tail(100))), [42]);
        assert!(std::fs::metadata(&file).unwrap().len() > 80 << 20);
        let again = History::open(Some(file));
        assert_eq!((again.session, lines(again.find(&HistoryQuery::Tail(100)))), (2, vec![42]));
    }

    #[test]
    fn patterns_are_globs() {
        let mut history = History::open(None);
        for (i, source) in ["a", "ab", "a", "b*"].into_iter().enumerate() {
            history.add(i as i64 + 1, source, None).unwrap();
        }
        let search = |p: &str, n, unique| sources(history.find(&HistoryQuery::Search(p.into(), n, unique)));
        assert_eq!(search("a*", None, false), ["a", "ab", "a"]);
        assert_eq!(search("a*", None, true), ["ab", "a"]);
        assert_eq!(search("a*", Some(1), false), ["a"]);
        assert_eq!(search("?b", None, false), ["ab"]);
        assert_eq!(search("*b*", None, false), ["ab", "b*"]);
    }
}
