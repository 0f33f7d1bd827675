//! The widgets of a session and what answers their changes.

use convscope_engine::probes::attribution::occluder::Occluder;
use rhai::FnPtr;
use std::collections::BTreeMap;

/// How many widgets of a session answer; older ones are dropped.
const MAX_LIVE_WIDGETS: usize = 256;

/// The occluder of a widget.
#[derive(Clone)]
pub struct Explored(pub(super) Occluder);

/// A number between two ends that the user can move.
#[derive(Clone, Debug, PartialEq)]
pub struct Slider {
    /// The name of the closure's parameter.
    pub name: String,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Its step.
    pub step: f64,
    /// Its initial value.
    pub value: f64,
    /// Whether its values are integers.
    pub whole: bool,
}

/// A closure with its sliders.
#[derive(Clone)]
pub struct Interaction {
    /// The closure, with the variables that it captured.
    pub function: FnPtr,
    pub(super) sliders: Vec<Slider>,
}

/// The handler of a widget's changes.
#[derive(Clone)]
pub(crate) enum Live {
    Viewed,
    Explored(Box<Explored>),
    Interaction(Box<Interaction>),
}

/// The widgets of a session.
#[derive(Clone, Default)]
pub struct Widgets {
    next: u64,
    live: BTreeMap<u64, Live>,
    pub(super) sliders: BTreeMap<String, Slider>,
    pub(super) parameters: BTreeMap<String, Vec<String>>,
}

impl Widgets {
    /// Records the names of parameters of functions and closures.
    pub fn define(&mut self, functions: impl Iterator<Item = (String, Vec<String>)>) {
        self.parameters.extend(functions);
    }

    pub(super) fn open(&mut self, live: Live) -> u64 {
        self.next += 1;
        self.live.insert(self.next, live);
        while self.live.len() > MAX_LIVE_WIDGETS {
            self.live.pop_first();
        }
        self.next
    }

    /// The handler of a widget's changes; none where the widget was dropped.
    pub(crate) fn handler(&self, id: u64) -> Option<Live> {
        self.live.get(&id).cloned()
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
