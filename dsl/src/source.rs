//! The tokens of a script with their places, to underline the expression of an error and to find the context of a cursor. Never
//! fails: unknown characters are punctuation.

use std::borrow::Cow;
use std::ops::Range;

/// The keywords of the language.
pub const KEYWORDS: [&str; 21] = [
    "let", "const", "if", "else", "for", "in", "while", "loop", "do", "until", "break", "continue", "return", "fn",
    "switch", "try", "catch", "throw", "true", "false", "this",
];

/// The class of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A name or keyword.
    Word,
    /// A number.
    Number,
    /// A text in quotes or back-quotes, or a character.
    Text {
        /// Whether the closing quote exists.
        closed: bool,
    },
    /// A comment.
    Comment {
        /// Whether it is closed.
        closed: bool,
    },
    /// Any other character or operator.
    Mark,
}

/// A token with its class and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its class.
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

/// The script with a shebang line (`#!/usr/bin/env -S convscope run`) replaced by a comment of the same length.
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

/// All tokens of `source`; white space is skipped.
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

/// The most levels of texts that interpolate texts that interpolate.
const MAX_NESTING: usize = 32;

fn token(rest: &str, first: char) -> (Class, usize) {
    token_within(rest, first, 0)
}

fn token_within(rest: &str, first: char, depth: usize) -> (Class, usize) {
    let while_ = |keep: &dyn Fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
    match first {
        '/' if rest.starts_with("//") => (Class::Comment { closed: true }, while_(&|c| c != '\n')),
        '/' if rest.starts_with("/*") => block_comment(rest),
        '#' if hashes(rest).is_some() => raw(rest),
        '"' | '\'' | '`' => quoted(rest, first, depth),
        c if c.is_alphabetic() || c == '_' => (Class::Word, while_(&|c| c.is_alphanumeric() || c == '_')),
        c if c.is_ascii_digit() => (Class::Number, number(rest)),
        _ => {
            const OPERATORS: [&str; 32] = [
                "..=", "...", "<<=", ">>=", "**=", "#{", "==", "!=", "<=", ">=", "&&", "||", "=>", "->", "..", "::",
                "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "**", "<<", ">>", "??", "?.", ":=", "++", "--",
            ];
            let len = OPERATORS.iter().find(|m| rest.starts_with(**m)).map_or(first.len_utf8(), |m| m.len());
            (Class::Mark, len)
        }
    }
}

/// The length of a number: digits with separators, a fraction, an exponent with its sign.
fn number(rest: &str) -> usize {
    let digits =
        |from: usize| from + rest[from..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - from);
    let mut end = digits(0);
    let after = |at: usize| rest[at..].chars().next();
    if after(end) == Some('.') {
        match after(end + 1) {
            Some(c) if c.is_ascii_digit() => end = digits(end + 1),
            // `1.` is a number, `1..2` a range, `1.abs()` a call.
            Some(c) if c != '.' && c != '_' && !c.is_alphabetic() => return end + 1,
            _ => {}
        }
    }
    let decimal = !rest[..end].starts_with(['0']) || !rest[1..].starts_with(['x', 'X', 'o', 'O', 'b', 'B']);
    let signed = after(end).is_some_and(|c| c == '+' || c == '-');
    if decimal && signed && rest[..end].ends_with(['e', 'E']) && after(end + 1).is_some_and(|c| c.is_ascii_digit()) {
        end = digits(end + 1);
    }
    end
}

/// The number of `#` before the quote of a raw text; none where no raw text begins.
fn hashes(rest: &str) -> Option<usize> {
    const MAX_HASHES: usize = 256;
    let count = rest.bytes().take(MAX_HASHES).take_while(|b| *b == b'#').count();
    rest[count..].starts_with('"').then_some(count)
}

/// A raw text: `#"` up to `"#`, with equal numbers of `#` at both ends.
fn raw(rest: &str) -> (Class, usize) {
    let hashes = hashes(rest).unwrap_or(0);
    let end = format!("\"{}", &rest[..hashes]);
    match rest[hashes + 1..].find(&end) {
        Some(at) => (Class::Text { closed: true }, hashes + 1 + at + end.len()),
        None => (Class::Text { closed: false }, rest.len()),
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

/// A text up to its closing quote; a doubled quote is a quote in the text. Only back-quotes span lines.
fn quoted(rest: &str, quote: char, depth: usize) -> (Class, usize) {
    let mut at = 1;
    while let Some(c) = rest[at..].chars().next() {
        match c {
            '$' if quote == '`' && rest[at..].starts_with("${") && depth < MAX_NESTING => {
                at += 2 + interpolated(&rest[at + 2..], depth + 1);
                continue;
            }
            '\\' if quote == '`' && rest[at..].starts_with("\\${") => at += 2,
            '\\' if quote != '`' => at += rest[at + 1..].chars().next().map_or(0, char::len_utf8),
            '\n' if quote != '`' => return (Class::Text { closed: false }, at),
            c if c == quote && quote != '\'' && rest[at + 1..].starts_with(quote) => at += 1,
            c if c == quote => return (Class::Text { closed: true }, at + 1),
            _ => {}
        }
        at += c.len_utf8();
    }
    (Class::Text { closed: false }, rest.len())
}

/// The length of an interpolation in a text, up to and including its closing brace; texts within it may contain braces and
/// back-quotes.
fn interpolated(rest: &str, depth: usize) -> usize {
    let (mut open, mut at) = (1usize, 0);
    while let Some(c) = rest[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (_, len) = token_within(&rest[at..], c, depth);
        match &rest[at..at + len] {
            "{" | "#{" => open += 1,
            "}" => open -= 1,
            _ => {}
        }
        at += len;
        if open == 0 {
            break;
        }
    }
    at
}

/// The byte ranges of code within an interpolating text: the content of each `${ }`.
pub fn interpolations(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 1;
    while text.starts_with('`')
        && let Some(next) = text.get(at..).and_then(|rest| rest.find("${"))
    {
        let start = at + next + 2;
        if text[..start - 2].ends_with('\\') {
            at = start;
            continue;
        }
        let end = start + interpolated(&text[start..], 1);
        found.push(start..if text[start..end].ends_with('}') { end - 1 } else { end });
        at = end;
    }
    found
}

/// The byte offset of a line and column, both from 1, columns in characters.
pub fn offset(source: &str, line: usize, column: usize) -> usize {
    let start: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &source[start.min(source.len())..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i)
}

/// The line and column of a byte offset, both from 1, columns in characters.
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
        assert_eq!(
            texts("1.5e-3 1. 1..2 0xe-1 \"a\"\"b\" #\"r\"x\"# a?.b ?? `\\${`"),
            [
                "1.5e-3",
                "1.",
                "1",
                "..",
                "2",
                "0xe",
                "-",
                "1",
                "\"a\"\"b\"",
                "#\"r\"x\"#",
                "a",
                "?.",
                "b",
                "??",
                "`\\${`"
            ]
        );
        let text = "`a ${x + `${y}`} b ${ z }`";
        let inside: Vec<&str> = interpolations(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(inside, ["x + `${y}`", " z "]);
    }

    #[test]
    fn texts_nested_without_end_are_read_to_a_bound() {
        let deep = "`${".repeat(100_000);
        assert_eq!(tokens(&deep).len(), 1);
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
