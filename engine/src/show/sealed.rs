//! The machine-readable content of a report: its script and lock byte for byte, a digest of each part, and one of the whole page,
//! so that an edited figure, text or lock is detected and named.

use crate::digest::digest;
use crate::error::{Error, Result};
use crate::limits::LOCK;
use base64::Engine as _;

const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const PART: &str = "<!-- part ";
const END: &str = "<!-- end of parts -->\n";

/// A report read from its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The script, byte for byte.
    pub script: String,
    /// The lock's text, where the report has one.
    pub lock: Option<String>,
    /// The parts of the run's output, as HTML.
    pub parts: Vec<String>,
}

/// The elements for the page's head, with a blank seal.
pub(super) fn head(script: &str, lock: Option<&str>, parts: &[String]) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let digests: Vec<String> = parts.iter().map(|p| short(p)).collect();
    let mut out = format!("<meta name=\"convscope-seal\" content=\"blake3:{BLANK}\">\n");
    out += &format!("<meta name=\"convscope-script\" content=\"{}\">\n", encode(script));
    if let Some(lock) = lock {
        out += &format!("<meta name=\"convscope-lock\" content=\"{}\">\n", encode(lock));
    }
    out + &format!("<meta name=\"convscope-parts\" content=\"{}\">\n", digests.join(" "))
}

/// The parts with markers around them.
pub(super) fn marked(parts: &[String]) -> String {
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        out += &format!("{PART}{} -->\n{part}", i + 1);
        if !part.ends_with('\n') {
            out.push('\n');
        }
    }
    out + END
}

/// Fills in the page's seal.
pub(super) fn sealed(page: &str) -> String {
    page.replacen(BLANK, &digest(page.as_bytes()), 1)
}

fn short(part: &str) -> String {
    digest(part.trim_end_matches('\n').as_bytes())[..16].to_string()
}

fn meta<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let open = format!("<meta name=\"convscope-{name}\" content=\"");
    let start = page.find(&open)? + open.len();
    Some(&page[start..start + page[start..].find('"')?])
}

/// Reads a report from its page.
///
/// # Errors
/// Where it is no report of a run, or was edited; the message names what was edited.
pub fn read(page: &[u8]) -> Result<Sealed> {
    let page = std::str::from_utf8(page).map_err(|_| Error::format("the report is not UTF-8: it was edited"))?;
    let damaged = |what: &str| Error::format(format!("{what} was edited after the report was written"));
    let (Some(seal), Some(script)) = (meta(page, "seal"), meta(page, "script")) else {
        return Err(Error::format("no report of a run: it carries neither script nor seal")
            .hint("`convscope run` and `convscope lock` write such reports"));
    };
    let said = seal.strip_prefix("blake3:").unwrap_or(seal);
    let whole = said.len() == BLANK.len() && digest(page.replacen(said, BLANK, 1).as_bytes()) == said;
    let parts = parts(page);
    if let Some(i) = edited(page, &parts) {
        return Err(damaged(&format!("part {} of the report (\"{}\")", i + 1, heading(&parts[i]))));
    }
    let decode = |name: &str, text: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
        bytes.and_then(|b| String::from_utf8(b).ok()).ok_or_else(|| damaged(&format!("the {name} in the report")))
    };
    let script = decode("script", script)?;
    let lock = meta(page, "lock").map(|text| decode("lock", text)).transpose()?;
    if let Some(lock) = &lock {
        LOCK.check(lock.len() as u64)?;
        let value = crate::canonical::unsealed(lock.as_bytes()).map_err(|_| damaged("the lock in the report"))?;
        if value.pointer("/script/blake3").and_then(serde_json::Value::as_str) != Some(&digest(script.as_bytes())) {
            return Err(damaged("the script in the report"));
        }
    }
    if !whole {
        return Err(damaged("the report, outside of what the run showed,"));
    }
    Ok(Sealed { script, lock, parts })
}

fn parts(page: &str) -> Vec<String> {
    let inside = page.find(PART).map_or("", |start| &page[start..page.find(END).map_or(page.len(), |e| e.max(start))]);
    let after_mark = |piece: &str| piece.split_once(" -->\n").map(|(_, part)| part.to_string());
    inside.split(PART).skip(1).filter_map(after_mark).collect()
}

/// The first part whose digest differs from the one in the head.
fn edited(page: &str, parts: &[String]) -> Option<usize> {
    let said: Vec<&str> = meta(page, "parts")?.split_whitespace().collect();
    parts.iter().enumerate().position(|(i, part)| said.get(i).is_none_or(|s| *s != short(part)))
}

/// The name of a part: its first heading or its first words.
pub fn heading(part: &str) -> String {
    let text = |html: &str| {
        let mut inside = false;
        let plain: String = html
            .chars()
            .filter(|c| {
                let keep = !inside && *c != '<';
                inside = (inside || *c == '<') && *c != '>';
                keep
            })
            .collect();
        plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect::<String>()
    };
    let first = part.find("<h").and_then(|start| {
        let end = part[start..].find("</h")?;
        Some(text(&part[start..start + end]))
    });
    first.filter(|t| !t.is_empty()).unwrap_or_else(|| text(&part.chars().take(400).collect::<String>()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::report::{Report, Section};
    use super::*;

    fn page() -> String {
        let sections = vec![
            Section::Markdown("# One\n\n<!-- part 9 -->".into()),
            Section::Artifact("<section><h3>a map</h3><img src=\"data:image/png;base64,QUJD\"></section>\n".into()),
            Section::Text("<!-- end of parts -->".into()),
        ];
        let script = Some("// é\r\nshow(1);\u{0}".to_string());
        Report { title: "t".into(), script, sections, ..Report::default() }.html().unwrap()
    }

    #[test]
    fn a_report_gives_back_what_it_carries() {
        let read = read(page().as_bytes()).unwrap();
        assert_eq!(read.script, "// é\r\nshow(1);\u{0}");
        assert_eq!((read.parts.len(), read.lock), (3, None));
        assert!(read.parts[1].contains("a map"));
    }

    #[test]
    fn an_edit_is_noticed_wherever_it_is_and_named() {
        let page = page();
        let message = |edited: String| read(edited.as_bytes()).unwrap_err().message;
        assert!(message(page.replace("QUJD", "QUJE")).contains("part 2 of the report (\"a map\")"));
        assert!(message(page.replace("One", "Two")).contains("part 1"));
        for i in (0..page.len()).filter(|i| page.is_char_boundary(*i) && page.is_char_boundary(i + 1)) {
            let mut bytes = page.clone().into_bytes();
            bytes[i] ^= 1;
            assert!(read(&bytes).is_err(), "byte {i}");
        }
        assert!(read(b"<html></html>").unwrap_err().message.contains("no report of a run"));
    }
}
