//! Completion at the cursor: names, methods and properties of the value before a dot, options inside a probe's map,
//! layers, classes, nets and files inside quotes.

mod chain;
mod strings;

use crate::functions::loading;
use crate::names::Sort;
use crate::session::Session;
use crate::source::{Class, KEYWORDS, Token, tokens};
use convscope_engine::load::OPTIONS;
use convscope_engine::params::{Params, Spec};
use convscope_engine::probes::{catalog, find};
use convscope_engine::table::ClusterOptions;
use std::collections::BTreeSet;

/// One candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The complete word.
    pub text: String,
    /// "function", "probe", "method", "property", "option", "variable", "keyword", "layer", "class", "net", "file", "value".
    pub kind: &'static str,
    /// The signature or the value.
    pub detail: String,
}

/// The candidates at a cursor, and the byte range that they replace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The beginning of the range.
    pub start: usize,
    /// The end of the range.
    pub end: usize,
    /// The candidates, sorted.
    pub candidates: Vec<Candidate>,
}

impl Session {
    /// The candidates at byte `cursor` of `text`.
    pub fn complete(&self, text: &str, cursor: usize) -> Completion {
        let end = (0..=cursor.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let before = &text[..end];
        let mut tokens = tokens(before);
        if tokens.iter().any(|t| matches!(t.class, Class::Comment { .. }) && t.at.end == end) {
            return Completion { start: end, end, candidates: Vec::new() };
        }
        if let Some(open) = tokens.pop_if(|t| t.class == (Class::Text { closed: false })) {
            let start = open.at.start + 1;
            let found = strings::candidates(self, before, &tokens, &before[start..]);
            return finished(start, end, &before[start..], found);
        }
        tokens.retain(|t| !matches!(t.class, Class::Comment { .. }));
        let partial = tokens.pop_if(|t| t.class == Class::Word && t.at.end == end);
        let start = partial.map_or(end, |t| t.at.start);
        let word = &before[start..end];
        let found = match tokens.last().map(|t| t.text(before)) {
            Some("." | "?.") => self.members(before, &tokens[..tokens.len() - 1]),
            Some("#{" | ",") if map_owner(before, &tokens).is_some() => self.options(before, &tokens),
            _ => self.names(text, end),
        };
        finished(start, end, word, found)
    }

    /// The kind of value of the expression that ends at byte `end`, where it can be inferred.
    pub fn kind_before(&self, text: &str, end: usize) -> Option<String> {
        chain::kind(self, text, &code(text.get(..end)?))
    }

    /// The function whose option map has the word at byte `start` as a key.
    pub fn owner_of_key(&self, text: &str, start: usize) -> Option<String> {
        let before = text.get(..start)?;
        let tokens = code(before);
        let key = matches!(tokens.last()?.text(before), "#{" | ",");
        if key { map_owner(before, &tokens) } else { None }
    }

    /// The call that encloses byte `cursor`: the range of its name, and the number of arguments before the cursor.
    pub fn call_at(&self, text: &str, cursor: usize) -> Option<(std::ops::Range<usize>, usize)> {
        let before = text.get(..cursor)?;
        let mut tokens = code(before);
        loop {
            if let Some(name) = call_around(before, &tokens) {
                let mut depth = 0usize;
                let commas = tokens[name + 2..].iter().filter(|t| {
                    match t.text(before) {
                        "(" | "[" | "{" | "#{" => depth += 1,
                        ")" | "]" | "}" => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    depth == 0 && t.text(before) == ","
                });
                return Some((tokens[name].at.clone(), commas.count()));
            }
            // Leaves the innermost open bracket where it is not a call's.
            let mut depth = 0usize;
            let open = tokens.iter().rposition(|t| match t.text(before) {
                ")" | "]" | "}" => {
                    depth += 1;
                    false
                }
                "(" | "[" | "{" | "#{" if depth == 0 => true,
                "(" | "[" | "{" | "#{" => {
                    depth -= 1;
                    false
                }
                _ => false,
            })?;
            tokens.truncate(open);
        }
    }

    fn members(&self, text: &str, tokens: &[Token]) -> Vec<Candidate> {
        let kind = chain::kind(self, text, tokens);
        let of = self.functions().iter().filter(|f| f.of.is_some() && f.name != "[]");
        of.filter(|f| kind.as_ref().is_none_or(|k| f.belongs_to(k)))
            .map(|f| Candidate {
                text: f.name.clone(),
                kind: if f.property { "property" } else { "method" },
                detail: f.signature.to_string(),
            })
            .collect()
    }

    fn options(&self, text: &str, tokens: &[Token]) -> Vec<Candidate> {
        let Some(owner) = map_owner(text, tokens) else { return Vec::new() };
        let simple = |names: &[&str]| {
            let option = |n: &&str| Candidate { text: n.to_string(), kind: "option", detail: String::new() };
            names.iter().map(option).collect()
        };
        let given = |specs: &[Spec]| {
            let option = |s: &Spec| Candidate {
                text: s.name.to_string(),
                kind: "option",
                detail: format!("{}, default {}", s.form.words, s.default.json()),
            };
            specs.iter().filter(|s| !s.positional).map(option).collect()
        };
        match owner.as_str() {
            "load_model" => OPTIONS
                .iter()
                .map(|o| Candidate { text: o.name.to_string(), kind: "option", detail: o.takes.to_string() })
                .collect(),
            "plot" => simple(&crate::functions::PLOT),
            "figure" => simple(&crate::functions::FIGURE),
            "slider" => simple(&crate::widgets::interact::SLIDER),
            "explore" => simple(&convscope_engine::probes::attribution::occluder::OPTIONS),
            "cluster" => given(&ClusterOptions::default().specs()),
            name => match (find(name), loading::specs(name)) {
                (Ok(entry), _) => given(&entry.default_probe().specs()),
                (_, Some(specs)) => given(&specs),
                _ => Vec::new(),
            },
        }
    }

    fn names(&self, text: &str, end: usize) -> Vec<Candidate> {
        let simple = |text: &str, kind: &'static str| Candidate { text: text.into(), kind, detail: String::new() };
        let global = self.functions().iter().filter(|f| f.of.is_none());
        let mut found: Vec<Candidate> = global
            .map(|f| Candidate { text: f.name.clone(), kind: "function", detail: f.signature.to_string() })
            .collect();
        found.extend(catalog().iter().map(|e| {
            let probe = e.default_probe();
            let first = probe.doc().trim().split(['.', '\n']).next().unwrap_or("").to_string();
            Candidate { text: e.name().to_string(), kind: "probe", detail: first }
        }));
        found.extend(self.variables().iter().map(|v| simple(v, "variable")));
        // The declared names: functions anywhere, others before the cursor.
        let declared = crate::names::Names::of(text).names;
        found.extend(declared.iter().filter(|n| n.sort == Sort::Function || n.at.end < end).map(|n| match n.sort {
            Sort::Function => {
                let detail = format!("{}({})", n.name, n.parameters.join(", "));
                Candidate { text: n.name.clone(), kind: "function", detail }
            }
            _ => simple(&n.name, "variable"),
        }));
        found.extend(self.known().defined.iter().map(|(n, _)| simple(n, "function")));
        found.extend(KEYWORDS.iter().map(|k| simple(k, "keyword")));
        found
    }
}

/// The tokens without comments.
fn code(text: &str) -> Vec<Token> {
    tokens(text).into_iter().filter(|t| !matches!(t.class, Class::Comment { .. })).collect()
}

/// The function whose option map encloses the cursor, where the cursor is at a key.
fn map_owner(text: &str, tokens: &[Token]) -> Option<String> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().rev() {
        match token.text(text) {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth > 0 => depth -= 1,
            "#{" if depth > 0 => depth -= 1,
            "#{" => {
                let open = call_around(text, &tokens[..i])?;
                return Some(tokens[open].text(text).to_string());
            }
            "(" | "[" | "{" => return None,
            _ => {}
        }
    }
    None
}

/// The index of the name of the innermost open call at the end of `tokens`.
fn call_around(text: &str, tokens: &[Token]) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().rev() {
        match token.text(text) {
            ")" | "]" | "}" => depth += 1,
            "(" if depth == 0 => return (i > 0 && tokens[i - 1].class == Class::Word).then(|| i - 1),
            "(" | "[" | "{" | "#{" => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// The candidates with the typed prefix, without duplicates, sorted; case counts only where it distinguishes candidates.
fn finished(start: usize, end: usize, word: &str, found: Vec<Candidate>) -> Completion {
    let lower = word.to_lowercase();
    let mut seen = BTreeSet::new();
    let mut candidates: Vec<Candidate> = found
        .into_iter()
        .filter(|c| c.text.to_lowercase().starts_with(&lower))
        .filter(|c| seen.insert(c.text.clone()))
        .collect();
    candidates.sort_by(|a, b| a.text.cmp(&b.text));
    Completion { start, end, candidates }
}
