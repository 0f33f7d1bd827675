//! The interface of a language to the notebook kernel, and the script language's implementation.

use crate::bundle::{Bundle, bundle};
use convscope_dsl::complete::Completion;
use convscope_dsl::inspect::Completeness;
use convscope_dsl::widgets::State;
use convscope_dsl::{Diagnostic, Session};
use serde_json::{Map, Value};

/// The result of a cell.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The value of the last expression, where there is one to show.
    pub value: Option<Bundle>,
    /// The error, where there is one.
    pub error: Option<Diagnostic>,
    /// Whether the user stopped the cell.
    pub interrupted: bool,
}

impl Answer {
    /// The result of a cell that ended with an error.
    pub fn failed(error: Diagnostic) -> Self {
        Answer { error: Some(error), ..Answer::default() }
    }
}

/// A language whose cells run one after another. What a cell prints or shows goes to the output that the language was made
/// with.
pub trait Language {
    /// Runs a cell; messages call it `name`. Clears a stop that was requested before.
    fn execute(&mut self, name: &str, code: &str) -> Answer;

    /// The completions at byte `cursor` of `code`.
    fn complete(&self, code: &str, cursor: usize) -> Completion;

    /// The documentation of the name at byte `cursor` of `code`, as text.
    fn inspect(&self, code: &str, cursor: usize) -> Option<String>;

    /// Whether `code` can be run or is incomplete.
    fn is_complete(&self, code: &str) -> Completeness;

    /// The changes of a widget's state after the user moved a control; `values` are its plain values as they are now. Clears a stop
    /// that was requested before.
    fn react(&mut self, widget: u64, values: &Map<String, Value>) -> State;

    /// Drops a widget.
    fn close(&mut self, widget: u64);
}

/// The cell that clears all variables and functions, as in IPython.
pub const RESET: &str = "%reset";

impl Language for Session {
    fn execute(&mut self, name: &str, code: &str) -> Answer {
        self.context().job.signal.reset();
        if code.trim() == RESET {
            self.reset();
            return Answer::default();
        }
        let result = self.run(name, code);
        Answer { value: result.value.as_ref().map(bundle), error: result.error, interrupted: result.interrupted }
    }

    fn complete(&self, code: &str, cursor: usize) -> Completion {
        Session::complete(self, code, cursor)
    }

    fn inspect(&self, code: &str, cursor: usize) -> Option<String> {
        Session::inspect(self, code, cursor)
    }

    fn is_complete(&self, code: &str) -> Completeness {
        match code.trim() {
            RESET => Completeness::Complete,
            _ => self.completeness(code),
        }
    }

    fn react(&mut self, widget: u64, values: &Map<String, Value>) -> State {
        Session::react(self, widget, values)
    }

    fn close(&mut self, widget: u64) {
        self.context().widgets(|widgets| widgets.close(widget));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use convscope_dsl::Silent;
    use convscope_engine::Job;
    use std::sync::Arc;

    #[test]
    fn a_session_answers_a_kernel() {
        let job = Job::new();
        let signal = job.signal.clone();
        let mut language: Box<dyn Language> = Box::new(Session::new(job, Arc::new(Silent)));
        assert!(language.execute("cell[1]", "let x = 41;").error.is_none());
        assert!(format!("{:?}", language.execute("cell[2]", "x + 1").value).contains("42"));
        assert_eq!(language.complete("gradie", 6).candidates[0].text, "gradient");
        assert!(language.inspect("gradient", 2).is_some());
        assert_eq!(language.is_complete("f("), Completeness::Incomplete);
        signal.stop();
        assert!(!language.execute("cell[3]", "x").interrupted);
        assert_eq!(language.is_complete("%reset\n"), Completeness::Complete);
        assert!(language.execute("cell[4]", "%reset\n").error.is_none());
        assert!(language.execute("cell[5]", "x").error.is_some());
    }
}
