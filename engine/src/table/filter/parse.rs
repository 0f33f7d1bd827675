//! From the text of a filter to its conditions.

use super::{Comparison, Condition, Filter, Literal, Test};
use crate::error::{Error, Result};
use std::fmt;

/// Conditions of a filter.
const MAX_CONDITIONS: usize = 100;
/// Values of a list.
const MAX_LIST_VALUES: usize = 10_000;

const FORM: &str = "such as \"label = 3 and size >= 0.5\": =, <>, <, <=, >, >=, `in (..)`, `not in (..)`, `is null` and `is not null`, joined by `and`; `data.filter(..)` takes any function";

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it is none; the message says at what.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::value(format!("`{text}` is no filter: {what}")).hint(FORM);
        let mut words = Words { left: words(text).map_err(wrong)?.into_iter().peekable() };
        let mut all = Vec::new();
        loop {
            all.push(words.condition().map_err(wrong)?);
            match words.left.next() {
                None => break,
                Some(Word::Name(word)) if word.eq_ignore_ascii_case("and") && all.len() < MAX_CONDITIONS => {}
                Some(other) => return Err(wrong(format!("{other} where `and` or its end is looked for"))),
            }
        }
        Ok(Filter(all))
    }
}

/// A word of a filter.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// A column, or a word of the language.
    Name(String),
    /// A column in double quotes.
    Quoted(String),
    /// A number.
    Number(String),
    /// A text in single quotes.
    Text(String),
    /// `=`, `<=`, `(`, ..
    Sign(&'static str),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Name(t) | Word::Quoted(t) | Word::Number(t) => write!(f, "`{t}`"),
            Word::Text(t) => write!(f, "'{t}'"),
            Word::Sign(t) => write!(f, "`{t}`"),
        }
    }
}

const SIGNS: [&str; 11] = ["<=", ">=", "<>", "!=", "==", "=", "<", ">", "(", ")", ","];

fn words(text: &str) -> Result<Vec<Word>, String> {
    let (mut all, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let after = if first == '\'' || first == '"' {
            let (word, after) = quoted(rest, first).ok_or_else(|| format!("a quote is not closed at `{rest}`"))?;
            all.push(if first == '"' { Word::Quoted(word) } else { Word::Text(word) });
            after
        } else if let Some(sign) = SIGNS.into_iter().find(|s| rest.starts_with(s)) {
            all.push(Word::Sign(sign));
            &rest[sign.len()..]
        } else {
            let inside = |c: char| c.is_alphanumeric() || "_.-+".contains(c);
            let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("`{first}` is not understood"));
            }
            let word = rest[..end].to_string();
            let is_number = first.is_ascii_digit() || "-+.".contains(first);
            all.push(if is_number { Word::Number(word) } else { Word::Name(word) });
            &rest[end..]
        };
        rest = after.trim_start();
    }
    Ok(all)
}

/// What stands in quotes at the start of a text, a doubled quote for one, and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (mut word, mut rest) = (String::new(), &text[1..]);
    loop {
        let (before, after) = rest.split_once(quote)?;
        word += before;
        match after.strip_prefix(quote) {
            Some(more) => {
                word.push(quote);
                rest = more;
            }
            None => return Some((word, after)),
        }
    }
}

struct Words {
    left: std::iter::Peekable<std::vec::IntoIter<Word>>,
}

impl Words {
    fn condition(&mut self) -> Result<Condition, String> {
        let column = match self.left.next() {
            Some(Word::Name(name) | Word::Quoted(name)) => name,
            Some(other) => return Err(format!("{other} where a column is looked for")),
            None => return Err("a column is missing".into()),
        };
        let test = if self.takes("is") {
            let not = self.takes("not");
            match self.takes("null") {
                true => {
                    if not {
                        Test::NotNull
                    } else {
                        Test::Null
                    }
                }
                false => return Err(format!("`{column} is` is not followed by `null` or `not null`")),
            }
        } else if self.takes("in") {
            Test::In(self.list()?)
        } else if self.takes("not") {
            match self.takes("in") {
                true => Test::NotIn(self.list()?),
                false => return Err(format!("`{column} not` is not followed by `in`")),
            }
        } else {
            let how = match self.left.next() {
                Some(Word::Sign("=" | "==")) => Comparison::Equal,
                Some(Word::Sign("<>" | "!=")) => Comparison::Unequal,
                Some(Word::Sign("<")) => Comparison::Less,
                Some(Word::Sign("<=")) => Comparison::AtMost,
                Some(Word::Sign(">")) => Comparison::Greater,
                Some(Word::Sign(">=")) => Comparison::AtLeast,
                other => return Err(format!("`{column}` is followed by {}", said(other))),
            };
            Test::Is(how, self.literal()?)
        };
        Ok(Condition { column, test })
    }

    fn takes(&mut self, word: &str) -> bool {
        self.left.next_if(|w| matches!(w, Word::Name(name) if name.eq_ignore_ascii_case(word))).is_some()
    }

    fn list(&mut self) -> Result<Vec<Literal>, String> {
        let mut all = Vec::new();
        let mut next = self.left.next();
        if next != Some(Word::Sign("(")) {
            return Err(format!("`in` is followed by {}, not by a list in brackets", said(next)));
        }
        while all.len() < MAX_LIST_VALUES {
            all.push(self.literal()?);
            next = self.left.next();
            match next {
                Some(Word::Sign(")")) => return Ok(all),
                Some(Word::Sign(",")) => {}
                other => return Err(format!("{} in a list, where `,` or `)` is looked for", said(other))),
            }
        }
        Err(format!("a list of more than {MAX_LIST_VALUES} values"))
    }

    fn literal(&mut self) -> Result<Literal, String> {
        match self.left.next() {
            Some(Word::Text(text)) => Ok(Literal::Text(text)),
            Some(Word::Number(text)) => match (text.parse(), text.parse::<f64>()) {
                (Ok(whole), _) => Ok(Literal::Int(whole)),
                (_, Ok(number)) if number.is_finite() => Ok(Literal::Number(number)),
                _ => Err(format!("`{text}` is no number")),
            },
            Some(Word::Name(name)) if name.eq_ignore_ascii_case("true") => Ok(Literal::Bool(true)),
            Some(Word::Name(name)) if name.eq_ignore_ascii_case("false") => Ok(Literal::Bool(false)),
            Some(Word::Name(name) | Word::Quoted(name)) => {
                Err(format!("`{name}` where a value is looked for; a text stands in single quotes: '{name}'"))
            }
            other => Err(format!("{} where a value is looked for", said(other))),
        }
    }
}

fn said(word: Option<Word>) -> String {
    word.map_or_else(|| "nothing".into(), |w| w.to_string())
}
