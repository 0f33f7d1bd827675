//! What scripts print and show, in a terminal: results on stdout, everything else on stderr. A reader that went away is
//! no error: the work goes on and its files are saved.

use super::bars::Bars;
use convscope_dsl::{Output, Shown};
use convscope_engine::show::{TextStyle, to_text};
use convscope_engine::{Error, Result};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Writes results to stdout.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to stderr.
pub fn complain(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// What stdout can do.
pub fn style() -> TextStyle {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|w| (40..=400).contains(w));
    TextStyle { colour, width: width.unwrap_or(100) }
}

/// Where printed and shown things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All to stdout.
    Plain,
    /// Only what `print` writes.
    Quiet,
    /// Nothing: stdout is for JSON; what `print` writes goes to stderr.
    Json,
    /// Nothing: all is recorded for another process.
    Record,
}

/// The terminal as a session's output; it keeps what was shown for the report.
pub struct Terminal {
    mode: Mode,
    style: TextStyle,
    bars: Bars,
    kept: Mutex<Vec<Shown>>,
    printed: Mutex<String>,
}

impl Terminal {
    /// An output of that mode; `progress` says whether progress is reported.
    pub fn new(mode: Mode, progress: bool) -> Self {
        Terminal { mode, style: style(), bars: Bars::new(progress), kept: Mutex::default(), printed: Mutex::default() }
    }

    /// What was shown, in order.
    pub fn take(&self) -> Vec<Shown> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was printed.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends a progress bar that is still drawn.
    pub fn finish(&self) {
        self.bars.clear();
    }
}

/// What was shown, as text.
pub fn text(shown: &Shown, style: &TextStyle) -> String {
    match shown {
        Shown::Text(text) => format!("{text}\n"),
        Shown::Artifact(artifact) => to_text(artifact, style),
    }
}

impl Output for Terminal {
    fn print(&self, line: &str) {
        self.bars.clear();
        *self.printed.lock().unwrap_or_else(PoisonError::into_inner) += &format!("{line}\n");
        match self.mode {
            Mode::Plain | Mode::Quiet => say(&format!("{line}\n")),
            Mode::Json => complain(line),
            Mode::Record => {}
        }
    }

    fn write(&self, text: &str) {
        self.bars.clear();
        say(text);
    }

    fn debug(&self, text: &str) {
        self.bars.clear();
        complain(text);
    }

    fn ask(&self, prompt: &str) -> Result<String> {
        self.bars.clear();
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(prompt.as_bytes()).and_then(|()| err.flush());
        let mut line = String::new();
        match std::io::stdin().read_line(&mut line).map_err(|e| Error::io("stdin", &e))? {
            0 => Err(Error::value("`input`: there are no more lines to read")),
            _ => Ok(line.trim_end_matches(['\n', '\r']).to_string()),
        }
    }

    fn show(&self, shown: &Shown) {
        if self.mode == Mode::Plain {
            self.bars.clear();
            say(&text(shown, &self.style));
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(shown.clone());
    }

    fn progress(&self, label: &str, done: usize, total: usize) {
        self.bars.progress(label, done, total);
    }
}
