//! Open documents: their text, and positions in it as the protocol counts them: lines, and UTF-16 units within a line.

use lsp_types::{Position, Range, TextDocumentContentChangeEvent, Uri};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The characters of a path that are escaped in a URI.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The length of a script above which it is not checked, bytes: some thousand lines.
pub const MAX_CHECKED_BYTES: usize = 1 << 18;
/// The bytes between two marks in a long line.
const MARK_STRIDE: usize = 1024;

/// A script that is open in an editor.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its URI.
    pub uri: Uri,
    /// Its text; empty where it is too long.
    pub text: String,
    /// The editor's version number.
    pub version: i32,
    /// Whether it is too long to be checked; it is checked again when its whole text is sent again.
    pub too_long: bool,
    marks: Vec<Mark>,
}

/// A byte offset with its position: the first byte of each line, and some within long lines.
#[derive(Clone, Copy, Debug)]
struct Mark {
    byte: usize,
    line: u32,
    units: u32,
}

impl Document {
    /// The document at `uri`.
    pub fn new(uri: Uri, text: String, version: i32) -> Self {
        let mut document = Document { uri, text, version, too_long: false, marks: Vec::new() };
        document.changed();
        document
    }

    /// The document's file, where it is one.
    pub fn path(&self) -> Option<PathBuf> {
        path(&self.uri)
    }

    /// The document's name in messages.
    pub fn name(&self) -> String {
        let path = self.path();
        let name = path.as_ref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "script".into())
    }

    /// Changes a range of the text, or all of it.
    pub fn change(&mut self, change: TextDocumentContentChangeEvent) {
        match change.range {
            None => self.text = change.text,
            Some(_) if self.too_long => return,
            Some(range) => {
                let (start, end) = (self.offset(range.start), self.offset(range.end));
                self.text.replace_range(start.min(end)..end.max(start), &change.text);
            }
        }
        self.changed();
    }

    fn changed(&mut self) {
        self.too_long = self.text.len() > MAX_CHECKED_BYTES;
        if self.too_long {
            self.text = String::new();
        }
        self.marks = marks(&self.text);
    }

    /// The byte offset of a position; a position beyond the end of a line or of the text is that end.
    pub fn offset(&self, at: Position) -> usize {
        let behind = self.marks.partition_point(|m| (m.line, m.units) <= (at.line, at.character));
        let Some(mark) = self.marks.get(behind.saturating_sub(1)).filter(|m| m.line == at.line) else {
            return self.text.len();
        };
        let mut units = mark.units;
        for (i, c) in self.text[mark.byte..].char_indices() {
            let wide = c.len_utf16() as u32;
            if matches!(c, '\n' | '\r') || units + wide > at.character {
                return mark.byte + i;
            }
            units += wide;
        }
        self.text.len()
    }

    /// The position of a byte offset.
    pub fn position(&self, byte: usize) -> Position {
        let behind = self.marks.partition_point(|m| m.byte <= byte);
        let Some(mark) = self.marks.get(behind.saturating_sub(1)) else { return Position::default() };
        let within = self.text.get(mark.byte..byte.min(self.text.len())).unwrap_or("");
        Position::new(mark.line, mark.units + within.encode_utf16().count() as u32)
    }

    /// The range of positions for a range of bytes.
    pub fn range(&self, bytes: &std::ops::Range<usize>) -> Range {
        Range::new(self.position(bytes.start), self.position(bytes.end))
    }
}

fn marks(text: &str) -> Vec<Mark> {
    let mut last = Mark { byte: 0, line: 0, units: 0 };
    let (mut found, mut units) = (vec![last], 0);
    for (i, c) in text.char_indices() {
        let next = i + c.len_utf8();
        if c == '\n' || (c == '\r' && !text[next..].starts_with('\n')) {
            last = Mark { byte: next, line: last.line + 1, units: 0 };
            units = 0;
            found.push(last);
            continue;
        }
        units += c.len_utf16() as u32;
        // No mark lies between the two characters of a line end.
        if next - last.byte >= MARK_STRIDE && c != '\r' {
            last = Mark { byte: next, units, ..last };
            found.push(last);
        }
    }
    found
}

/// The file of a URI.
pub fn path(uri: &Uri) -> Option<PathBuf> {
    let text = uri.as_str().strip_prefix("file://")?;
    let text = &text[text.find('/')?..];
    let path = percent_decode_str(text).decode_utf8().ok()?.into_owned();
    // `/C:/x` on Windows.
    let drive = cfg!(windows) && path.as_bytes().get(2) == Some(&b':');
    Some(PathBuf::from(if drive { path[1..].to_string() } else { path }))
}

/// The URI of a file.
pub fn uri(path: &Path) -> Option<Uri> {
    let text = path.to_str()?.replace('\\', "/");
    let root = if text.starts_with('/') { "" } else { "/" };
    Uri::from_str(&format!("file://{root}{}", utf8_percent_encode(&text, ESCAPED))).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every byte offset of a text with its position, counted character by character.
    fn counted(text: &str) -> Vec<(usize, Position)> {
        let (mut line, mut units, mut found) = (0, 0, Vec::new());
        let mut all = text.char_indices().peekable();
        while let Some((i, c)) = all.next() {
            found.push((i, Position::new(line, units)));
            let ends = c == '\n' || (c == '\r' && all.peek().is_none_or(|next| next.1 != '\n'));
            (line, units) = if ends { (line + 1, 0) } else { (line, units + c.len_utf16() as u32) };
        }
        found.push((text.len(), Position::new(line, units)));
        found
    }

    #[test]
    fn bytes_and_places_are_told_from_each_other() {
        let long = "\u{1f389}\u{e9}x".repeat(2000);
        let ended = "x".repeat(MARK_STRIDE - 1) + "\r\n";
        for text in ["", "a", "a\nb\r\nc\rd\n", "\r\n\r\n", &long, &format!("{long}\r\n{long}"), &ended.repeat(3)] {
            let document = Document::new(Uri::from_str("file:///a.rhai").unwrap(), text.to_string(), 0);
            for (byte, place) in counted(text) {
                assert_eq!(document.position(byte), place);
                if !text[byte..].starts_with('\n') || !text[..byte].ends_with('\r') {
                    assert_eq!(document.offset(place), byte, "{place:?}");
                }
            }
            assert_eq!(document.offset(Position::new(u32::MAX, u32::MAX)), text.len());
        }
        let document = Document::new(Uri::from_str("file:///a.rhai").unwrap(), "ab\r\nc".into(), 0);
        assert_eq!(document.offset(Position::new(0, u32::MAX)), 2);
        assert_eq!(document.offset(Position::new(1, u32::MAX)), 5);
    }

    #[test]
    fn what_is_too_long_is_looked_at_again_where_it_is_given_anew() {
        let mut document =
            Document::new(Uri::from_str("file:///a.rhai").unwrap(), "a".repeat(MAX_CHECKED_BYTES + 1), 0);
        let change =
            |range, text: &str| TextDocumentContentChangeEvent { range, range_length: None, text: text.into() };
        document.change(change(Some(Range::default()), "b"));
        assert!(document.too_long && document.text.is_empty());
        document.change(change(None, "c"));
        assert!(!document.too_long && document.text == "c");
    }
}
