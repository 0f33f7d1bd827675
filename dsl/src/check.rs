//! Checks a script without running it: errors of the parser, undeclared names, and options that a probe does not have.

use crate::diag::{Diagnostic, Known, Origin, Origins};
use crate::names::{Names, Sort, UndeclaredName};
use crate::session::Session;
use crate::source::{Class, KEYWORDS, Token, closing, line_column, tokens};
use convscope_engine::probes::find;
use rhai::{Dynamic, EvalAltResult, Position};
use std::collections::BTreeSet;

/// How many diagnostics of a kind are given; nobody reads more.
const MAX_DIAGNOSTICS: usize = 100;

impl Session {
    /// The errors in `source`, worded as when it is run; only constructors of probes with constant arguments are run. One
    /// diagnostic where the source does not parse.
    pub fn check(&self, file: &str, source: &str) -> Vec<Diagnostic> {
        if let Err(diagnostic) = self.parsed(file, source) {
            return vec![*diagnostic];
        }
        let names = Names::of(source);
        let mut found = self.undeclared(file, source, &names);
        found.extend(self.probes(file, source, &names));
        found.sort_by_key(|d| d.spot.as_ref().map(|s| (s.line, s.column)));
        found
    }

    fn undeclared(&self, file: &str, source: &str, names: &Names) -> Vec<Diagnostic> {
        let origin = Origin::new(file, source);
        let defined = names.names.iter().filter(|n| n.sort == Sort::Function);
        let variables = names.names.iter().filter(|n| n.top && n.sort != Sort::Function).map(|n| n.name.clone());
        let known = Known {
            engine: &self.engine,
            functions: &self.functions,
            variables: self.variables().into_iter().chain(variables).collect(),
            defined: defined.map(|n| (n.name.clone(), n.parameters.len())).collect(),
        };
        let functions: BTreeSet<String> = self
            .engine
            .collect_fn_metadata(None, |f| Some(f.metadata.name.to_string()), true)
            .into_iter()
            .chain(self.functions.iter().map(|f| f.name.clone()))
            .chain(self.known().defined.into_iter().map(|d| d.0))
            .collect();
        let standard =
            ["print", "debug", "type_of", "call", "curry", "is_def_var", "is_def_fn", "is_shared", "eval", "this"];
        let variables = self.variables();
        let unknown = |s: &&UndeclaredName| {
            let name = &source[s.at.clone()];
            let called = s.called && (functions.contains(name) || standard.contains(&name) || find(name).is_ok());
            let special = name.starts_with('_') || KEYWORDS.contains(&name) || matches!(name, "PI" | "E");
            !called && !special && !variables.iter().any(|v| v == name)
        };
        let undeclared = names.undeclared.iter().filter(unknown).take(MAX_DIAGNOSTICS);
        let said = undeclared.map(|s| {
            let name = source[s.at.clone()].to_string();
            let (line, column) = line_column(source, s.at.start);
            let at = position(line, column);
            let error = match s.called {
                true => EvalAltResult::ErrorFunctionNotFound(format!("{name} ()"), at),
                false => EvalAltResult::ErrorVariableNotFound(name, at),
            };
            let error = match &s.inside {
                Some(inside) => {
                    EvalAltResult::ErrorInFunctionCall(inside.clone(), String::new(), Box::new(error), Position::NONE)
                }
                None => error,
            };
            Diagnostic::at(&origin, &Origins::new(), &error, &known)
        });
        said.collect()
    }

    /// The errors of the script's probe constructors whose arguments are all constants.
    fn probes(&self, file: &str, source: &str, names: &Names) -> Vec<Diagnostic> {
        let all: Vec<Token> = tokens(source);
        let own: BTreeSet<&str> = names.names.iter().map(|n| n.name.as_str()).collect();
        let mut found = Vec::new();
        let mut done = 0;
        for (i, token) in all.iter().enumerate() {
            let name = token.text(source);
            let called = all.get(i + 1).is_some_and(|t| t.text(source) == "(");
            let own = own.contains(name);
            let member = i > 0 && matches!(all[i - 1].text(source), "." | "?." | "::" | "fn");
            if i < done || token.class != Class::Word || !called || member || own || find(name).is_err() {
                continue;
            }
            if found.len() >= MAX_DIAGNOSTICS {
                break;
            }
            let Some(close) = closing(source, &all, i + 1) else { continue };
            if !(i + 1..=close).all(|j| is_constant(source, &all, j)) {
                continue;
            }
            done = close;
            let call = &source[token.at.start..all[close].at.end];
            if self.engine.eval_expression::<Dynamic>(call).is_ok() {
                continue;
            }
            let (line, column) = line_column(source, token.at.start);
            // Parsed again at its place, so that messages give the place.
            let text = format!("{}{}{call}", "\n".repeat(line - 1), " ".repeat(column - 1));
            if let Err(error) = self.engine.eval_expression::<Dynamic>(&text) {
                found.push(Diagnostic::at(&Origin::new(file, source), &Origins::new(), &error, &self.known()));
            }
        }
        found
    }
}

/// Whether a token in a call is a constant, a key, punctuation, or another probe.
fn is_constant(source: &str, all: &[Token], at: usize) -> bool {
    let text = all[at].text(source);
    let next = all.get(at + 1).map_or("", |t| t.text(source));
    match all[at].class {
        Class::Number | Class::Comment { .. } => true,
        Class::Text { .. } => !text.contains("${"),
        Class::Word => matches!(text, "true" | "false") || next == ":" || (next == "(" && find(text).is_ok()),
        Class::Mark => matches!(text, "(" | ")" | "[" | "]" | "#{" | "}" | "," | ":" | "-"),
    }
}

fn position(line: usize, column: usize) -> Position {
    let of = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Position::new(of(line), of(column))
}
