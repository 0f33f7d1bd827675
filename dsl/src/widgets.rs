//! Widgets: a map viewer, an occluder that the user drags, sliders with a closure. Where there are no widgets (scripts, reports,
//! terminals), the same calls show the result at the defaults, so that a notebook and the script made from it show the same.

pub mod explore;
pub mod interact;
pub mod stage;

use crate::context::Context;
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use crate::output::Shown;
use convscope_engine::show::{TextStyle, mime, to_text, viewer};
use convscope_engine::{Error, Result};
use explore::Explored;
use interact::{Interaction, Slider};
use rhai::Dynamic;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many widgets of a session answer; older ones are dropped.
const MAX_LIVE_WIDGETS: usize = 256;
/// How many bytes of maps and photos a widget may have.
const MAX_WIDGET_BYTES: usize = viewer::MAX_PAGE_BYTES;

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

    fn set(&mut self, name: &str, value: impl Into<Value>) {
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
    fn result(shown: Option<&Shown>, printed: &str) -> Result<Self> {
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

/// The handler of a widget's changes.
#[derive(Clone)]
enum Live {
    Viewed,
    Explored(Box<Explored>),
    Interaction(Box<Interaction>),
}

/// The widgets of a session.
#[derive(Clone, Default)]
pub struct Widgets {
    next: u64,
    live: BTreeMap<u64, Live>,
    sliders: BTreeMap<String, Slider>,
    parameters: BTreeMap<String, Vec<String>>,
}

impl Widgets {
    /// Records the names of parameters of functions and closures.
    pub fn define(&mut self, functions: impl Iterator<Item = (String, Vec<String>)>) {
        self.parameters.extend(functions);
    }

    fn open(&mut self, live: Live) -> u64 {
        self.next += 1;
        self.live.insert(self.next, live);
        while self.live.len() > MAX_LIVE_WIDGETS {
            self.live.pop_first();
        }
        self.next
    }

    /// Drops a widget.
    pub fn close(&mut self, id: u64) {
        self.live.remove(&id);
    }

    /// Drops all widgets; their ids are not used again.
    pub fn reset(&mut self) {
        *self = Widgets { next: self.next, ..Widgets::default() };
    }
}

/// Binds the functions that make widgets.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "view(artifact)",
        "Shows an artifact with an interactive viewer of its maps in a notebook: value, row, column and class under the \
         pointer, opacity, threshold, channels, zoom, and the part that an occluding patch hid. Elsewhere, and where it has no maps, it \
         is shown as `show` does.",
        move |value: Dynamic| view(&shared, &value).raise(),
    );
    explore::bind(library, context);
    interact::bind(library, context);
}

fn view(context: &Context, value: &Dynamic) -> Result<()> {
    let still = crate::functions::shown(value)?;
    let Shown::Artifact(artifact) = &still else {
        return Err(Error::value(format!("`view` shows an artifact, got {}", crate::convert::kind(value)))
            .hint("`show(value)` shows any value"));
    };
    let maps = if context.output.moves() { viewer::maps(artifact, true, MAX_WIDGET_BYTES)? } else { None };
    if maps.is_none() {
        context.output.show(&still);
        return Ok(());
    }
    let mut state = State::result(Some(&still), "")?;
    state.set("kind", "view");
    show(context, Live::Viewed, state, still);
    Ok(())
}

fn show(context: &Context, live: Live, state: State, still: Shown) {
    let id = context.widgets(|widgets| widgets.open(live));
    context.output.widget(&Widget { id, state, still });
}

/// The values of an option map.
fn options(map: &rhai::Map) -> Fallible<BTreeMap<String, convscope_engine::params::Value>> {
    crate::convert::options(map).raise()
}

impl crate::Session {
    /// The changes of state after the user moved a control; `values` are the widget's plain values as they are now. An error is in
    /// `error`, in the text of a cell's error.
    pub fn react(&mut self, id: u64, values: &Map<String, Value>) -> State {
        self.context().job.signal.reset();
        let Some(live) = self.context().widgets(|widgets| widgets.live.get(&id).cloned()) else {
            return State::error("error: the session has dropped this widget\n  hint: run its cell again");
        };
        let answered = match live {
            Live::Viewed => Ok(State::default()),
            Live::Explored(explored) => explored.answer(values).map_err(|e| crate::Diagnostic::of(e).to_string()),
            Live::Interaction(interaction) => self.interacted(&interaction, values).map_err(|e| e.to_string()),
        };
        answered.unwrap_or_else(State::error)
    }

    fn interacted(
        &mut self,
        interaction: &Interaction,
        values: &Map<String, Value>,
    ) -> Result<State, Box<crate::Diagnostic>> {
        let arguments = interaction.arguments(values);
        let stage = self.context().stage.clone();
        let (outcome, kept) = stage.captured(|| self.call(&interaction.function, arguments));
        let value = outcome?;
        let shown = interact::shown(&value, &kept).map_err(|e| Box::new(crate::Diagnostic::of(e)))?;
        State::result(shown.as_ref(), &kept.printed).map_err(|e| Box::new(crate::Diagnostic::of(e)))
    }
}

/// The description of a slider for front ends.
fn control(slider: &Slider) -> Value {
    json!({ "name": slider.name, "low": slider.low, "high": slider.high, "step": slider.step, "value": slider.value })
}
