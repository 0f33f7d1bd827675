//! Texts that continue behind a backslash at a line end. The language strips the white space of the next line up to the column of
//! the text's first character, so that the further lines of a text must move with its first.

use crate::source::{Token, tokens};

/// The formatted script `out` of `source`, with the further lines of texts moved as far as the texts.
pub fn moved(source: &str, out: String) -> String {
    if !source.contains("\\\n") {
        return out;
    }
    let (before, after) = (tokens(source), tokens(&out));
    if before.len() != after.len() {
        return out;
    }
    let mut text = String::with_capacity(out.len());
    let mut done = 0;
    for (old, new) in before.iter().zip(&after) {
        text.push_str(&out[done..new.at.start]);
        done = new.at.end;
        match goes_on(new, &out) {
            true => text.push_str(&shifted(new.text(&out), column(source, old.at.start), column(&text, text.len()))),
            false => text.push_str(new.text(&out)),
        }
    }
    text.push_str(&out[done..]);
    text
}

/// A token's text without the white space that the language strips.
pub fn read<'s>(token: &Token, source: &'s str) -> std::borrow::Cow<'s, str> {
    let text = token.text(source);
    if !goes_on(token, source) {
        return text.into();
    }
    let skipped = column(source, token.at.start) + 1;
    let strip = |line: &str| {
        let space = spaces(line).min(skipped);
        line.chars().skip(space).collect::<String>()
    };
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_string();
    lines.fold(first, |all, line| all + "\\\n" + strip(line).as_str()).into()
}

fn goes_on(token: &Token, source: &str) -> bool {
    let text = token.text(source);
    text.starts_with('"') && text.contains("\\\n")
}

/// The text with its further lines moved from column `from` to column `to`.
fn shifted(text: &str, from: usize, to: usize) -> String {
    let mut lines = text.split("\\\n");
    let mut all = lines.next().unwrap_or_default().to_string();
    for line in lines {
        let space = spaces(line);
        let kept: String = line.chars().skip(space).collect();
        all.push_str("\\\n");
        all.extend(std::iter::repeat_n(' ', (space + to).saturating_sub(from)));
        all.push_str(&kept);
    }
    all
}

fn spaces(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace() && *c != '\n').count()
}

/// The column of a byte offset, in characters.
fn column(source: &str, at: usize) -> usize {
    let line = source[..at].rfind('\n').map_or(0, |i| i + 1);
    source[line..at].chars().count()
}
