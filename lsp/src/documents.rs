//! Open documents: their text, and places in it as the protocol counts them: lines, and UTF-16 units within a line.

use lsp_types::{Position, Range, TextDocumentContentChangeEvent, Uri};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a path in an address does not hold as it is.
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

/// A script in an editor.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its address.
    pub uri: Uri,
    /// Its text.
    pub text: String,
    /// The editor's number of this state.
    pub version: i32,
}

impl Document {
    /// The document at `uri`.
    pub fn new(uri: Uri, text: String, version: i32) -> Self {
        Document { uri, text, version }
    }

    /// The file that it is, if it is one.
    pub fn path(&self) -> Option<PathBuf> {
        path(&self.uri)
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        let path = self.path();
        let name = path.as_ref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
        name.unwrap_or_else(|| "script".into())
    }

    /// Changes a part, or all of it.
    pub fn change(&mut self, change: TextDocumentContentChangeEvent) {
        match change.range {
            None => self.text = change.text,
            Some(range) => {
                let (start, end) = (self.offset(range.start), self.offset(range.end));
                self.text.replace_range(start.min(end)..end.max(start), &change.text);
            }
        }
    }

    /// The byte at a place; beyond the end of a line it is the line's end, beyond the last line that of the text.
    pub fn offset(&self, at: Position) -> usize {
        let mut start = 0;
        for _ in 0..at.line {
            match line_end(&self.text[start..]) {
                Some((_, next)) => start += next,
                None => return self.text.len(),
            }
        }
        let line = &self.text[start..];
        let line = line_end(line).map_or(line, |(end, _)| &line[..end]);
        let mut units = 0;
        for (i, c) in line.char_indices() {
            if units + c.len_utf16() as u32 > at.character {
                return start + i;
            }
            units += c.len_utf16() as u32;
        }
        start + line.len()
    }

    /// The place of a byte.
    pub fn position(&self, byte: usize) -> Position {
        let (mut start, mut number) = (0, 0);
        while let Some((_, next)) = line_end(&self.text[start..])
            && start + next <= byte
        {
            start += next;
            number += 1;
        }
        let within = self.text.get(start..byte.min(self.text.len())).unwrap_or("");
        Position::new(number, within.encode_utf16().count() as u32)
    }

    /// The places of bytes.
    pub fn range(&self, bytes: &std::ops::Range<usize>) -> Range {
        Range::new(self.position(bytes.start), self.position(bytes.end))
    }
}

/// Where the first line ends, and where the next begins.
fn line_end(text: &str) -> Option<(usize, usize)> {
    let end = text.find(['\n', '\r'])?;
    let next = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
    Some((end, next))
}

/// The file at an address.
pub fn path(uri: &Uri) -> Option<PathBuf> {
    let text = uri.as_str().strip_prefix("file://")?;
    let text = &text[text.find('/')?..];
    let path = percent_decode_str(text).decode_utf8().ok()?.into_owned();
    // `/C:/x` on Windows.
    let drive = cfg!(windows) && path.as_bytes().get(2) == Some(&b':');
    Some(PathBuf::from(if drive { path[1..].to_string() } else { path }))
}

/// The address of a file.
pub fn uri(path: &Path) -> Option<Uri> {
    let text = path.to_str()?.replace('\\', "/");
    let root = if text.starts_with('/') { "" } else { "/" };
    Uri::from_str(&format!("file://{root}{}", utf8_percent_encode(&text, ESCAPED))).ok()
}
