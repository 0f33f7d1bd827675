//! An output that forwards everything and keeps what was printed and shown, in order, for the report and the record.

use crate::output::{Output, Shown};
use crate::run::states::ClusterRequest;
use convscope_engine::Result;
use convscope_engine::data::Image;
use convscope_engine::states::StateFile;
use std::sync::{Arc, Mutex, PoisonError};

/// One output of a script.
#[derive(Clone, Debug)]
pub enum Event {
    /// Text that it printed, with its line ends.
    Printed(String),
    /// What it showed.
    Shown(Shown),
}

/// An output that keeps what it forwards.
pub struct Keep {
    inner: Arc<dyn Output>,
    events: Mutex<Vec<Event>>,
}

impl Keep {
    /// An output that forwards to `inner`.
    pub fn new(inner: Arc<dyn Output>) -> Self {
        Keep { inner, events: Mutex::default() }
    }

    /// What was forwarded, in order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn printed(&self, text: &str) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        match events.last_mut() {
            Some(Event::Printed(before)) => before.push_str(text),
            _ => events.push(Event::Printed(text.to_string())),
        }
    }
}

impl Output for Keep {
    fn print(&self, line: &str) {
        self.printed(&format!("{line}\n"));
        self.inner.print(line);
    }

    fn show(&self, shown: &Shown) {
        self.inner.show(shown);
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(Event::Shown(shown.clone()));
    }

    fn write(&self, text: &str) {
        self.printed(text);
        self.inner.write(text);
    }

    fn debug(&self, text: &str) {
        self.inner.debug(text);
    }

    fn ask(&self, prompt: &str) -> Result<String> {
        self.inner.ask(prompt)
    }

    fn cluster(&self, request: &ClusterRequest) -> Result<Option<StateFile>> {
        self.inner.cluster(request)
    }

    fn clear(&self, wait: bool) {
        self.inner.clear(wait);
    }

    fn progress(&self, label: &str, done: usize, total: usize) {
        self.inner.progress(label, done, total);
    }

    fn picture(&self, label: &str, image: &Image) {
        self.inner.picture(label, image);
    }
}
