//! An output that forwards everything and keeps what was printed and shown, in order, for report and record.

use crate::output::Output;
use crate::run::request::ClusterRequest;
use crate::shown::Shown;
use convscope_engine::data::Image;
use convscope_engine::limits::PRINTED;
use convscope_engine::states::StateFile;
use convscope_engine::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One output of a script.
#[derive(Clone, Debug)]
pub enum Event {
    /// Printed text with its line ends.
    Printed(String),
    /// A shown result.
    Shown(Shown),
}

/// The bytes that a shown result takes besides its text, in record and report.
const BYTES_PER_RESULT: usize = 512;

/// The number of bytes kept; a report takes several times as much.
#[derive(Default)]
pub struct KeptBytes(AtomicU64);

impl KeptBytes {
    /// Counts printed text; returns whether there is room for it.
    pub fn printed(&self, text: &str) -> bool {
        self.add(text.len())
    }

    /// Counts a shown result; returns whether there is room for it.
    pub fn shown(&self, shown: &Shown) -> bool {
        let text = if let Shown::Text(text) = shown { text.len() } else { 0 };
        self.add(text + BYTES_PER_RESULT)
    }

    fn add(&self, bytes: usize) -> bool {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed).saturating_add(bytes as u64) <= PRINTED.most()
    }

    /// The error where there is no more room.
    pub fn too_much(&self) -> Option<Error> {
        PRINTED.check(self.0.load(Ordering::Relaxed)).err()
    }
}

/// An output that keeps what it forwards.
pub struct Keep {
    inner: Arc<dyn Output>,
    events: Mutex<Vec<Event>>,
    kept: KeptBytes,
}

impl Keep {
    /// An output that forwards to `inner`.
    pub fn new(inner: Arc<dyn Output>) -> Self {
        Keep { inner, events: Mutex::default(), kept: KeptBytes::default() }
    }

    /// Takes what was forwarded, in order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn printed(&self, text: &str) {
        if !self.kept.printed(text) {
            return;
        }
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
        if !self.kept.shown(shown) {
            return;
        }
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(Event::Shown(shown.clone()));
    }

    fn write(&self, text: &str) {
        self.printed(text);
        self.inner.write(text);
    }

    fn too_much(&self) -> Option<Error> {
        self.kept.too_much()
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

    fn drawing(&self) {
        self.inner.drawing();
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
