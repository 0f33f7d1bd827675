//! A script's text in tokens with their places: enough to underline the expression that an error is about and to know
//! where a cursor stands. Never fails: what it does not understand is punctuation.

use std::borrow::Cow;
use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A name or keyword.
    Word,
    /// A number.
    Number,
    /// A text in quotes, back-quotes or as a character; `closed` says whether its end was found.
    Text {
        /// Whether the closing quote is there.
        closed: bool,
    },
    /// A comment; `closed` says whether its end was found.
    Comment {
        /// Whether it ends.
        closed: bool,
    },
    /// Anything else, a character or an operator.
    Mark,
}

/// One token: what it is and its bytes in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub class: Class,
    /// Its bytes.
    pub at: Range<usize>,
}

impl Token {
    /// The token's text.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.at.clone()]
    }
}

/// The script with its first line turned into a comment where it is for a shell (`#!/usr/bin/env -S convscope run`);
/// all places stay where they are.
pub fn without_shebang(source: &str) -> Cow<'_, str> {
    match source.strip_prefix("#!") {
        // Three slashes would begin a documentation comment.
        Some(rest) => match rest.strip_prefix('/') {
            Some(path) => Cow::Owned(format!("// {path}")),
            None => Cow::Owned(format!("//{rest}")),
        },
        None => Cow::Borrowed(source),
    }
}

/// All tokens of `source`, without white space.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (class, len) = token(&source[at..], c);
        found.push(Token { class, at: at..at + len });
        at += len;
    }
    found
}

fn token(rest: &str, first: char) -> (Class, usize) {
    let while_ = |keep: &dyn Fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
    match first {
        '/' if rest.starts_with("//") => (Class::Comment { closed: true }, while_(&|c| c != '\n')),
        '/' if rest.starts_with("/*") => block_comment(rest),
        '"' | '\'' | '`' => quoted(rest, first),
        c if c.is_alphabetic() || c == '_' => (Class::Word, while_(&|c| c.is_alphanumeric() || c == '_')),
        c if c.is_ascii_digit() => {
            let mut len = while_(&|c| c.is_alphanumeric() || c == '_');
            let fraction = &rest[len..];
            if fraction.starts_with('.') && fraction[1..].starts_with(|c: char| c.is_ascii_digit()) {
                len += 1 + fraction[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(fraction.len() - 1);
            }
            (Class::Number, len)
        }
        _ => {
            const LONG: [&str; 20] = [
                "..=", "...", "<<=", ">>=", "**=", "#{", "==", "!=", "<=", ">=", "&&", "||", "=>", "->", "..", "::",
                "+=", "-=", "*=", "/=",
            ];
            let len = LONG.iter().find(|m| rest.starts_with(**m)).map_or(first.len_utf8(), |m| m.len());
            (Class::Mark, len)
        }
    }
}

/// A block comment; they nest.
fn block_comment(rest: &str) -> (Class, usize) {
    let (mut depth, mut at) = (0, 0);
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return (Class::Comment { closed: true }, at);
            }
        } else {
            at += 1;
        }
    }
    (Class::Comment { closed: false }, rest.len())
}

/// A text up to its closing quote; only back-quotes run over the end of a line.
fn quoted(rest: &str, quote: char) -> (Class, usize) {
    let mut chars = rest.char_indices();
    chars.next();
    while let Some((i, c)) = chars.next() {
        match c {
            '$' if quote == '`' && rest[i..].starts_with("${") => {
                let end = i + 2 + interpolated(&rest[i + 2..]);
                while chars.as_str().len() > rest.len() - end && chars.next().is_some() {}
            }
            '\\' if quote != '`' => {
                chars.next();
            }
            '\n' if quote != '`' => return (Class::Text { closed: false }, i),
            c if c == quote => return (Class::Text { closed: true }, i + c.len_utf8()),
            _ => {}
        }
    }
    (Class::Text { closed: false }, rest.len())
}

/// The length of what a text in back-quotes interpolates, up to and with its closing brace; texts within it may hold
/// braces and back-quotes of their own.
fn interpolated(rest: &str) -> usize {
    let (mut depth, mut at) = (1usize, 0);
    while let Some(c) = rest[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (_, len) = token(&rest[at..], c);
        match &rest[at..at + len] {
            "{" | "#{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        at += len;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The byte where a line and column (counted from 1, in characters) lie.
pub fn offset(source: &str, line: usize, column: usize) -> usize {
    let start: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &source[start.min(source.len())..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i)
}

/// The line and column (counted from 1, in characters) of a byte.
pub fn line_column(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at.min(source.len())];
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The index of the bracket that closes the one at `open`.
pub fn closing(source: &str, tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        if token.class != Class::Mark {
            continue;
        }
        match token.text(source) {
            "(" | "[" | "{" | "#{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|t| t.text(source)).collect()
    }

    #[test]
    fn a_script_falls_into_its_tokens() {
        assert_eq!(
            texts("let x = net.layer(\"a \\\" b\").channel(3); // end\n1.5e3..=2 /* a /* b */ c */ y"),
            [
                "let",
                "x",
                "=",
                "net",
                ".",
                "layer",
                "(",
                "\"a \\\" b\"",
                ")",
                ".",
                "channel",
                "(",
                "3",
                ")",
                ";",
                "// end",
                "1.5e3",
                "..=",
                "2",
                "/* a /* b */ c */",
                "y"
            ]
        );
        assert_eq!(texts("#{ a: 'x' }"), ["#{", "a", ":", "'x'", "}"]);
        assert_eq!(texts("`a ${ if b { `}` } else { \"`\" } } é` c"), ["`a ${ if b { `}` } else { \"`\" } } é`", "c"]);
        assert_eq!(texts("`open ${ x"), ["`open ${ x"]);
    }

    #[test]
    fn what_does_not_end_is_said() {
        assert_eq!(tokens("x /* y").last().map(|t| t.class), Some(Class::Comment { closed: false }));
        assert_eq!(tokens("\"ab").last().map(|t| t.class), Some(Class::Text { closed: false }));
    }

    #[test]
    fn places_go_both_ways() {
        let source = "aé\nbc é x";
        for (i, _) in source.char_indices() {
            let (line, column) = line_column(source, i);
            if source.as_bytes()[i] != b'\n' {
                assert_eq!(offset(source, line, column), i);
            }
        }
    }
}
