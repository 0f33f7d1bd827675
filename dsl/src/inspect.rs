//! Documentation of the name at the cursor: the reference entry of a function or probe, or a variable's value. Also decides
//! whether a text is complete.

use crate::session::Session;
use crate::source::{Class, closing, tokens};
use rhai::ParseErrorType;

/// Words that are reserved, though the parser lets a script declare some of them.
const RESERVED: [&str; 17] = [
    "import",
    "export",
    "as",
    "private",
    "global",
    "Fn",
    "call",
    "curry",
    "debug",
    "eval",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "print",
    "take",
    "this",
    "type_of",
];

/// Whether a text can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can be run.
    Complete,
    /// More text is needed: a bracket, a text or a comment is open.
    Incomplete,
    /// It cannot be run, whatever text follows.
    Invalid,
}

impl Session {
    /// The documentation of the name at byte `cursor`, as text; none where the name is unknown.
    pub fn inspect(&self, text: &str, cursor: usize) -> Option<String> {
        let all = tokens(text);
        let at = all
            .iter()
            .position(|t| t.class == Class::Word && t.at.start <= cursor && cursor <= t.at.end)
            .or_else(|| {
                // Within the brackets of a call: the called function.
                let before = all.iter().take_while(|t| t.at.end <= cursor).count();
                (0..before).rev().find(|i| {
                    all[*i].class == Class::Word
                        && all.get(i + 1).is_some_and(|t| t.text(text) == "(")
                        && closing(text, &all, i + 1).is_none_or(|close| all[close].at.start >= cursor)
                })
            })?;
        let name = all[at].text(text);
        if let Some(value) = self.scope.get(name) {
            let kind = crate::convert::kind(value);
            return Some(format!("{name}: {kind}\n  {}\n", crate::functions::text(value)));
        }
        let reference = self.reference();
        let found = reference.find(name).ok()?;
        Some(found.iter().map(|e| e.text()).collect::<Vec<_>>().join("\n"))
    }

    /// Whether a word can be the name of a variable, a function or a module of a script.
    pub fn can_be_named(&self, word: &str) -> bool {
        let declared = format!("let {word} = 1; {word} + 1; import \"a\" as {word}; fn {word}(a) {{ a }} {word}(1)");
        !RESERVED.contains(&word) && self.engine.compile(declared).is_ok()
    }

    /// Whether `source` can be run or is incomplete.
    pub fn completeness(&self, source: &str) -> Completeness {
        let all = tokens(source);
        let open = |t: &crate::source::Token| match t.class {
            Class::Comment { closed } => !closed,
            Class::Text { closed } => !closed && t.text(source).starts_with('`'),
            _ => false,
        };
        let mut depth = 0i64;
        for token in all.iter().filter(|t| t.class == Class::Mark) {
            match token.text(source) {
                "(" | "[" | "{" | "#{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
        }
        if all.iter().any(open) || depth > 0 {
            return Completeness::Incomplete;
        }
        match crate::compiled::compiled(&self.engine, source) {
            Ok(_) => Completeness::Complete,
            Err(e) if matches!(e.err_type(), ParseErrorType::UnexpectedEOF) => Completeness::Incomplete,
            Err(_) => Completeness::Invalid,
        }
    }
}
