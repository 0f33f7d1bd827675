//! What a session answers when the user moves a widget's control.

use crate::diag::Diagnostic;
use crate::session::Session;
use crate::widgets::interact;
use crate::widgets::registry::{Interaction, Live};
use crate::widgets::state::State;
use convscope_engine::Result;
use serde_json::{Map, Value};

impl Session {
    /// The changes of state after the user moved a control; `values` are the widget's plain values as they are now. An error is in
    /// `error`, in the text of a cell's error.
    pub fn react(&mut self, id: u64, values: &Map<String, Value>) -> State {
        self.context().job.signal.reset();
        let Some(live) = self.context().widgets(|widgets| widgets.handler(id)) else {
            return State::error("error: the session has dropped this widget\n  hint: run its cell again");
        };
        let answered = match live {
            Live::Viewed => Ok(State::default()),
            Live::Explored(explored) => explored.answer(values).map_err(|e| Diagnostic::of(e).to_string()),
            Live::Interaction(interaction) => self.interacted(&interaction, values).map_err(|e| e.to_string()),
        };
        answered.unwrap_or_else(State::error)
    }

    fn interacted(&mut self, interaction: &Interaction, values: &Map<String, Value>) -> Result<State, Box<Diagnostic>> {
        let arguments = interaction.arguments(values);
        let stage = self.context().stage.clone();
        let (outcome, kept) = stage.captured(|| self.call(&interaction.function, arguments));
        let value = outcome?;
        let shown = interact::shown(&value, &kept).map_err(|e| Box::new(Diagnostic::of(e)))?;
        State::result(shown.as_ref(), &kept.printed).map_err(|e| Box::new(Diagnostic::of(e)))
    }
}
