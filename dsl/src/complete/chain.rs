//! Infers the kind of value of a chain such as `net.layer("conv1").channel(3)` from existing variables and the signatures of
//! functions, without running anything.

use crate::session::Session;
use crate::source::{Class, Token};
use convscope_engine::Model;

/// rhai's name for a kind in a signature.
fn normal(kind: &str) -> String {
    match kind {
        "layer" => "subject".into(),
        "data" => "data set".into(),
        "list" => "array".into(),
        other => other.into(),
    }
}

/// The kind of value of the expression at the end of `tokens`, where it can be inferred.
pub fn kind(session: &Session, text: &str, tokens: &[Token]) -> Option<String> {
    kind_within(session, text, tokens, 16)
}

fn kind_within(session: &Session, text: &str, tokens: &[Token], left: usize) -> Option<String> {
    let left = left.checked_sub(1)?;
    let (last, rest) = tokens.split_last()?;
    match (last.class, last.text(text)) {
        (Class::Text { .. }, _) => Some("string".into()),
        (Class::Word, name) => match rest.split_last().map(|(dot, before)| (dot.text(text), before)) {
            Some(("." | "?.", before)) => member(session, text, before, name, true, left),
            _ => variable(session, text, tokens, name, left),
        },
        (_, ")") => {
            let open = opening(text, tokens)?;
            let (name, before) = tokens[..open].split_last()?;
            if name.class != Class::Word {
                return None;
            }
            match before.split_last().map(|(dot, before)| (dot.text(text), before)) {
                Some(("." | "?.", before)) => member(session, text, before, name.text(text), false, left),
                _ => global(session, name.text(text)),
            }
        }
        (_, "]") => {
            let open = opening(text, tokens)?;
            match kind_within(session, text, &tokens[..open], left)?.as_str() {
                "data set" => Some("image".into()),
                "tensor" => Some("tensor".into()),
                "table" => Some("map".into()),
                "array" if tokens[..open].last().is_some_and(|t| t.text(text) == "layers") => Some("subject".into()),
                _ => None,
            }
        }
        _ => None,
    }
}

fn global(session: &Session, name: &str) -> Option<String> {
    if convscope_engine::probes::find(name).is_ok() {
        return Some("probe".into());
    }
    session.functions().iter().find(|f| f.of.is_none() && f.name == name)?.returns().map(normal)
}

fn member(session: &Session, text: &str, before: &[Token], name: &str, property: bool, left: usize) -> Option<String> {
    let of = kind_within(session, text, before, left);
    let mut known = session.functions().iter().filter(|f| f.name == name && f.property == property && f.of.is_some());
    known.find(|f| of.as_ref().is_none_or(|k| f.belongs_to(k)))?.returns().map(normal)
}

/// The kind of a variable: that of its value, or of the value in a `let` before the cursor.
fn variable(session: &Session, text: &str, tokens: &[Token], name: &str, left: usize) -> Option<String> {
    let declared = (0..tokens.len().saturating_sub(3)).rev().find(|i| {
        matches!(tokens[*i].text(text), "let" | "const")
            && tokens[i + 1].text(text) == name
            && tokens[i + 2].text(text) == "="
    });
    if let Some(at) = declared {
        let value = &tokens[at + 3..];
        let end = value.iter().position(|t| t.text(text) == ";")?;
        return kind_within(session, text, &value[..end], left);
    }
    session.value_kind(name)
}

/// The index of the bracket that matches the last token.
fn opening(text: &str, tokens: &[Token]) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().rev() {
        match token.text(text) {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" | "#{" => {
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

/// The net at the beginning of the chain that `tokens` end with, else the last net among the variables.
pub fn model(session: &Session, text: &str, tokens: &[Token]) -> Option<Model> {
    let mut names = tokens.iter().rev().filter(|t| t.class == Class::Word).take(8);
    names
        .find_map(|t| session.value::<Model>(t.text(text)))
        .or_else(|| session.variables().iter().rev().find_map(|name| session.value::<Model>(name)))
}
