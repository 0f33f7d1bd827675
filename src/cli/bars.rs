//! Progress on stderr: a bar where stderr is a terminal, an occasional line where it is not.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two lines, and before the first one.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Reports progress.
pub struct Bars {
    on: bool,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    label: String,
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Bars {
    /// Bars or lines where `on`; no report otherwise.
    pub fn new(on: bool) -> Self {
        Bars { on, terminal: std::io::stderr().is_terminal(), state: Mutex::default() }
    }

    /// Reports `done` of `total` steps of `label`; with a total of 0, `label` is a message.
    pub fn progress(&self, label: &str, done: usize, total: usize) {
        if !self.on {
            return;
        }
        if total == 0 {
            self.clear();
            return super::terminal::print_err(label);
        }
        let label = &*super::terminal::escape_controls(label);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal { state.bar(label, done, total) } else { state.line(label, done, total) }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn bar(&mut self, label: &str, done: usize, total: usize) {
        if self.label != label
            && let Some(old) = self.bar.take()
        {
            old.finish_and_clear();
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = "{msg} {wide_bar} {pos}/{len} {eta}";
            ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
        });
        self.label = label.to_string();
        bar.set_message(label.to_string());
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        if done >= total
            && let Some(bar) = self.bar.take()
        {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, label: &str, done: usize, total: usize) {
        let now = Instant::now();
        let begun = self.label != label || done == 0;
        self.label = label.to_string();
        match self.said {
            _ if begun => self.said = Some(now),
            Some(last) if now.duration_since(last) < LINE_INTERVAL => {}
            _ => {
                super::terminal::print_err(&format!("{label}: {done} of {total}"));
                self.said = Some(now);
            }
        }
    }
}
