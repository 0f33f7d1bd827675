//! An output that forwards, except while a widget's closure runs: then it captures for the widget.

use crate::output::Output;
use crate::run::request::ClusterRequest;
use crate::shown::Shown;
use crate::widgets::state::Widget;
use convscope_engine::data::Image;
use convscope_engine::states::StateFile;
use convscope_engine::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The captured output of a closure.
#[derive(Clone, Debug, Default)]
pub struct CapturedOutput {
    /// The printed text.
    pub printed: String,
    /// The shown values, in order.
    pub shown: Vec<Shown>,
}

/// The output that a session's functions write to.
pub struct Stage {
    inner: Arc<dyn Output>,
    kept: Mutex<Option<CapturedOutput>>,
}

impl Stage {
    /// An output that forwards to `inner`.
    pub fn new(inner: Arc<dyn Output>) -> Self {
        Stage { inner, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Option<CapturedOutput>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`; returns what it printed and showed, which is not forwarded.
    pub fn captured<T>(&self, work: impl FnOnce() -> T) -> (T, CapturedOutput) {
        let before = self.kept().replace(CapturedOutput::default());
        let done = work();
        let kept = std::mem::replace(&mut *self.kept(), before).unwrap_or_default();
        (done, kept)
    }

    /// Whether the output was captured.
    fn keep(&self, add: impl FnOnce(&mut CapturedOutput)) -> bool {
        match &mut *self.kept() {
            Some(kept) => {
                add(kept);
                true
            }
            None => false,
        }
    }
}

impl Output for Stage {
    fn print(&self, text: &str) {
        if !self.keep(|kept| kept.printed += &format!("{text}\n")) {
            self.inner.print(text);
        }
    }

    fn show(&self, shown: &Shown) {
        if !self.keep(|kept| kept.shown.push(shown.clone())) {
            self.inner.show(shown);
        }
    }

    fn write(&self, text: &str) {
        if !self.keep(|kept| kept.printed += text) {
            self.inner.write(text);
        }
    }

    fn debug(&self, text: &str) {
        self.inner.debug(text);
    }

    fn too_much(&self) -> Option<Error> {
        self.inner.too_much()
    }

    fn ask(&self, prompt: &str) -> Result<String> {
        if self.kept().is_some() {
            return Err(Error::unsupported("`input`: a widget's function cannot ask").hint("ask before, in the cell"));
        }
        self.inner.ask(prompt)
    }

    fn cluster(&self, request: &ClusterRequest) -> Result<Option<StateFile>> {
        self.inner.cluster(request)
    }

    fn drawing(&self) {
        self.inner.drawing();
    }

    fn clear(&self, wait: bool) {
        if !self.keep(|kept| *kept = CapturedOutput::default()) {
            self.inner.clear(wait);
        }
    }

    fn progress(&self, label: &str, done: usize, total: usize) {
        if self.kept().is_none() {
            self.inner.progress(label, done, total);
        }
    }

    fn picture(&self, label: &str, image: &Image) {
        if self.kept().is_none() {
            self.inner.picture(label, image);
        }
    }

    fn moves(&self) -> bool {
        // A widget inside a widget is shown without controls.
        self.kept().is_none() && self.inner.moves()
    }

    fn widget(&self, widget: &Widget) {
        self.inner.widget(widget);
    }
}
