//! The line editor: completion, continuation of open brackets, colours.

use convscope_dsl::Session;
use convscope_dsl::inspect::Completeness;
use convscope_dsl::source::{Class, tokens};
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// The line editor's helper for one session.
pub struct Assistant {
    session: Rc<RefCell<Session>>,
    colour: bool,
}

impl Assistant {
    /// A helper that completes names of `session`, in colour where the terminal supports it.
    pub fn new(session: Rc<RefCell<Session>>, colour: bool) -> Self {
        Assistant { session, colour }
    }
}

impl Helper for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let found = self.session.borrow().complete(line, pos);
        let pairs = found.candidates.into_iter().map(|c| Pair { display: c.text.clone(), replacement: c.text });
        Ok((found.start, pairs.collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let line = context.input();
        let command = line.trim_start().starts_with(['?', ':']) || line.trim_end().ends_with('?');
        Ok(match command || self.session.borrow().completeness(line) != Completeness::Incomplete {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.colour {
            return Cow::Borrowed(line);
        }
        let mut out = String::new();
        let mut at = 0;
        for token in tokens(line) {
            out += &line[at..token.at.start];
            let text = token.text(line);
            let code = match token.class {
                Class::Text { .. } => "32",
                Class::Number => "36",
                Class::Comment { .. } => "90",
                Class::Word if convscope_dsl::source::KEYWORDS.contains(&text) => "35",
                Class::Word | Class::Mark => "0",
            };
            out += &format!("\x1b[{code}m{text}\x1b[0m");
            at = token.at.end;
        }
        Cow::Owned(out + &line[at..])
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        match self.colour {
            true => Cow::Owned(format!("\x1b[1;34m{prompt}\x1b[0m")),
            false => Cow::Borrowed(prompt),
        }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.colour
    }
}
