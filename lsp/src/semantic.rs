//! Semantic tokens: the meaning of a name, which a grammar for highlighting cannot know. They distinguish a parameter from a
//! variable, a function of the script from one of the reference, a method from a property.

use crate::documents::Document;
use crate::state::ServerState;
use convscope_dsl::names::{Names, Sort};
use convscope_dsl::source::{Class, tokens};
use lsp_types::Position;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const TYPES: [&str; 6] = ["namespace", "variable", "parameter", "function", "method", "property"];
const NAMESPACE: u32 = 0;
const VARIABLE: u32 = 1;
const PARAMETER: u32 = 2;
const FUNCTION: u32 = 3;
const METHOD: u32 = 4;
const PROPERTY: u32 = 5;
const MODIFIERS: [&str; 3] = ["declaration", "readonly", "defaultLibrary"];
const DECLARATION: u32 = 1;
const READONLY: u32 = 2;
const LIBRARY: u32 = 4;

/// The names of the token types and modifiers, by their numbers.
pub fn legend() -> Value {
    json!({ "tokenTypes": TYPES, "tokenModifiers": MODIFIERS })
}

/// A token: its end, its type and its modifiers.
type Meaning = (usize, u32, u32);

/// The tokens of a document, five numbers each: lines and UTF-16 units from the one before, length, type, modifiers.
pub fn semantic(state: &ServerState, document: &Document) -> Value {
    json!({ "data": encoded(document, &meanings(state, &document.text)) })
}

fn meanings(state: &ServerState, text: &str) -> BTreeMap<usize, Meaning> {
    let mut found = BTreeMap::new();
    let names = Names::of(text);
    for name in &names.names {
        let (kind, fixed) = match name.sort {
            Sort::Variable => (VARIABLE, 0),
            Sort::Constant => (VARIABLE, READONLY),
            Sort::Parameter => (PARAMETER, 0),
            Sort::Function => (FUNCTION, 0),
            Sort::Module => (NAMESPACE, 0),
        };
        for at in name.places() {
            let declares = if at == &name.at { DECLARATION } else { 0 };
            found.insert(at.start, (at.end, kind, declares | fixed));
        }
    }
    for (_, at) in &names.items {
        found.insert(at.start, (at.end, FUNCTION, 0));
    }
    let known: BTreeSet<&str> = state.reference.entries.iter().map(|e| e.name.as_str()).collect();
    for at in names.undeclared.iter().filter(|s| s.called).map(|s| &s.at) {
        if text.get(at.clone()).is_some_and(|name| known.contains(name)) {
            found.insert(at.start, (at.end, FUNCTION, LIBRARY));
        }
    }
    let all = tokens(text);
    let near = |i: Option<usize>| i.and_then(|i| all.get(i)).map_or("", |t| t.text(text));
    for (i, token) in all.iter().enumerate().filter(|(_, t)| t.class == Class::Word) {
        let kind = match (near(i.checked_sub(1)), near(Some(i + 1))) {
            ("." | "?.", "(") => METHOD,
            ("." | "?.", _) | ("#{" | ",", ":") => PROPERTY,
            _ => continue,
        };
        found.entry(token.at.start).or_insert((token.at.end, kind, 0));
    }
    found
}

fn encoded(document: &Document, found: &BTreeMap<usize, Meaning>) -> Vec<u32> {
    let (mut data, mut read, mut last) = (Vec::new(), 0, Position::default());
    for (start, (end, kind, modifiers)) in found {
        let Some(own) = document.text.get(*start..*end).filter(|_| *start >= read) else { continue };
        let at = document.position(*start);
        let across = if at.line == last.line { at.character - last.character } else { at.character };
        data.extend([at.line - last.line, across, own.encode_utf16().count() as u32, *kind, *modifiers]);
        (read, last) = (*end, at);
    }
    data
}
