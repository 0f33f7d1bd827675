//! A widget as front ends see it.

use crate::shown::Shown;
use convscope_engine::Result;
use convscope_engine::show::{TextStyle, mime, to_text, viewer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How many bytes of maps and photos a widget may have.
pub(super) const MAX_WIDGET_BYTES: usize = viewer::MAX_PAGE_BYTES;

/// The state of a widget in a front end: plain values and buffers, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Plain values.
    pub values: Map<String, Value>,
    /// Buffers: pictures, maps. An empty buffer stands for none.
    pub buffers: BTreeMap<String, Vec<u8>>,
}

impl State {
    /// Merges another state into this one; its entries replace those of the same name.
    pub fn merge(&mut self, other: State) {
        self.values.extend(other.values);
        self.buffers.extend(other.buffers);
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_string(), value.into());
    }

    /// The state that shows an error.
    pub fn error(message: impl Into<String>) -> Self {
        let mut state = State::default();
        state.set("error", message.into());
        state
    }

    /// The state that shows a value: its maps, else its figure, else its text.
    ///
    /// # Errors
    /// Where the value cannot be drawn.
    pub(crate) fn result(shown: Option<&Shown>, printed: &str) -> Result<Self> {
        let mut state = State::error("");
        let (mut maps, mut text) = (Value::Null, String::new());
        let (mut bytes, mut picture) = (Vec::new(), Vec::new());
        match shown {
            None => {}
            Some(Shown::Text(said)) => text.clone_from(said),
            Some(Shown::Artifact(artifact)) => match viewer::maps(artifact, true, MAX_WIDGET_BYTES)? {
                Some(found) => {
                    (maps, bytes) = (found.about, found.bytes);
                    // The widget shows notes as plain text.
                    text = artifact.notes.join("\n").replace('`', "");
                }
                None if artifact.is_drawn() => picture = mime::picture(artifact)?,
                None => text = to_text(artifact, &TextStyle::default()),
            },
        }
        state.set("maps", maps);
        state.set("text", text.trim_end());
        state.set("printed", printed.trim_end());
        state.buffers.insert("bytes".into(), bytes);
        state.buffers.insert("picture".into(), picture);
        Ok(state)
    }
}

/// A widget to be shown.
#[derive(Clone, Debug)]
pub struct Widget {
    /// Its id in the session.
    pub id: u64,
    /// The initial state for front ends.
    pub state: State,
    /// What is shown where there are no widgets.
    pub still: Shown,
}
