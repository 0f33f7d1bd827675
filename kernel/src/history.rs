//! What was run, kept in a file: one JSON line a cell, `[session, line, source, output]`.

use convscope_engine::{Error, Result};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The session it ran in, from 1.
    pub session: i64,
    /// Its execution count.
    pub line: i64,
    /// Its source.
    pub source: String,
    /// The text of its result.
    pub output: Option<String>,
}

/// What of the history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The last cells of all sessions.
    Tail(usize),
    /// Lines `start` up to, not including, `stop` of a session: this one (0), the one before (-1), or by its number.
    Range(i64, i64, Option<i64>),
    /// The last cells that fit a glob pattern, each source once where `unique`.
    Search(String, Option<usize>, bool),
}

/// The cells of this session and, where there is a file, of earlier ones.
pub struct History {
    file: Option<PathBuf>,
    session: i64,
    earlier: Vec<Line>,
    now: Vec<Line>,
}

/// Where the history is kept: `history.jsonl` in convscope's folder for data, or in the one that CONVSCOPE_DATA names.
pub fn file() -> Option<PathBuf> {
    let named = std::env::var_os("CONVSCOPE_DATA").filter(|f| !f.is_empty()).map(PathBuf::from);
    let folder = named.or_else(|| {
        use etcetera::BaseStrategy;
        etcetera::choose_base_strategy().ok().map(|b| b.data_dir().join("convscope"))
    })?;
    Some(folder.join("history.jsonl"))
}

impl History {
    /// The history in `file`; kept in memory only where there is none. A file that cannot be read counts as empty.
    pub fn open(file: Option<PathBuf>) -> Self {
        let earlier = file.as_deref().and_then(|f| read(f).ok()).unwrap_or_default();
        let session = earlier.iter().map(|l| l.session).max().unwrap_or(0) + 1;
        History { file, session, earlier, now: Vec::new() }
    }

    /// Adds a cell.
    ///
    /// # Errors
    /// Where it cannot be written to the file; it is remembered all the same.
    pub fn add(&mut self, line: i64, source: &str, output: Option<String>) -> Result<()> {
        let line = Line { session: self.session, line, source: source.to_string(), output };
        let text = json!([line.session, line.line, line.source, line.output]).to_string() + "\n";
        self.now.push(line);
        let Some(file) = &self.file else { return Ok(()) };
        let folder = file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        let mut opened = OpenOptions::new().create(true).append(true).open(file).map_err(|e| Error::io(file, &e))?;
        // One write, so that the lines of two kernels do not mix.
        opened.write_all(text.as_bytes()).map_err(|e| Error::io(file, &e))
    }

    /// The cells that are wanted, oldest first.
    pub fn find(&self, wanted: &Wanted) -> Vec<&Line> {
        let all = || self.earlier.iter().chain(&self.now);
        match wanted {
            Wanted::Tail(n) => last(all().collect(), *n),
            Wanted::Range(session, start, stop) => {
                let session = if *session <= 0 { self.session + session } else { *session };
                let within = |l: &&Line| l.session == session && l.line >= *start && stop.is_none_or(|s| l.line < s);
                all().filter(within).collect()
            }
            Wanted::Search(pattern, n, unique) => {
                let pattern: Vec<char> = pattern.chars().collect();
                let mut found: Vec<&Line> =
                    all().filter(|l| fits(&pattern, &l.source.chars().collect::<Vec<_>>())).collect();
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

fn last<T>(mut items: Vec<T>, n: usize) -> Vec<T> {
    items.split_off(items.len().saturating_sub(n))
}

fn read(file: &Path) -> Result<Vec<Line>> {
    let opened = File::open(file).map_err(|e| Error::io(file, &e))?;
    let lines = BufReader::new(opened).split(b'\n').map_while(std::result::Result::ok);
    Ok(lines.filter_map(|l| parse(&l)).collect())
}

/// A line of the file; nothing where it is damaged.
fn parse(line: &[u8]) -> Option<Line> {
    let Ok(Value::Array(entry)) = serde_json::from_slice(line) else { return None };
    let [session, line, source, output] = &entry[..] else { return None };
    Some(Line {
        session: session.as_i64()?,
        line: line.as_i64()?,
        source: source.as_str()?.to_string(),
        output: output.as_str().map(str::to_string),
    })
}

/// Whether a text fits a glob pattern: `*` any characters, `?` one.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and how much of the text it has taken.
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

    fn sources(found: Vec<&Line>) -> Vec<String> {
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
        assert_eq!(sources(second.find(&Wanted::Tail(2))), ["x\n+ 1", "x"]);
        assert_eq!(sources(second.find(&Wanted::Range(-1, 2, None))), ["x\n+ 1"]);
        assert_eq!(sources(second.find(&Wanted::Range(1, 1, Some(2)))), ["let x = 1;"]);
        assert_eq!(sources(second.find(&Wanted::Range(0, 1, Some(2)))), ["x"]);
    }

    #[test]
    fn patterns_are_globs() {
        let mut history = History::open(None);
        for (i, source) in ["a", "ab", "a", "b*"].into_iter().enumerate() {
            history.add(i as i64 + 1, source, None).unwrap();
        }
        let search = |p: &str, n, unique| sources(history.find(&Wanted::Search(p.into(), n, unique)));
        assert_eq!(search("a*", None, false), ["a", "ab", "a"]);
        assert_eq!(search("a*", None, true), ["ab", "a"]);
        assert_eq!(search("a*", Some(1), false), ["a"]);
        assert_eq!(search("?b", None, false), ["ab"]);
        assert_eq!(search("*b*", None, false), ["ab", "b*"]);
    }
}
