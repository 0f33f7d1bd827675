//! A script's output in a terminal: results on stdout, everything else on stderr. Where stdout cannot be written (its reader
//! is gone, its disk is full) the work continues and saves its files, and the program ends with an error; a script that prints
//! without end is stopped.

use super::bars::Bars;
use super::{cluster, stdout};
use convscope_dsl::run::states::ClusterRequest;
use convscope_dsl::{Output, Shown};
use convscope_engine::job::Signal;
use convscope_engine::show::{TextStyle, to_text};
use convscope_engine::states::StateFile;
use convscope_engine::{Error, Kind, Result, seal};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why stdout could not be written, the first time that it could not.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Texts for stdout that were lost.
static FAILED_WRITES: AtomicU64 = AtomicU64::new(0);

/// How many may be lost before the work is stopped: more than any script that ends is expected to print.
const MOST_FAILED_WRITES: u64 = 100_000;

/// What stops the work.
static WORK: OnceLock<Signal> = OnceLock::new();

/// Writes results to stdout; [`lost`] returns the error where that failed.
pub fn print_out(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        LOST.get_or_init(|| e);
        if FAILED_WRITES.fetch_add(1, Ordering::Relaxed) >= MOST_FAILED_WRITES
            && let Some(signal) = WORK.get()
        {
            signal.stop();
        }
    }
}

/// Stops the work by `signal` when more than [`MOST_FAILED_WRITES`] texts for stdout were lost.
pub fn stop_when_nobody_reads(signal: &Signal) {
    WORK.get_or_init(|| signal.clone());
}

/// Whether the work was stopped because nobody reads what it prints.
pub fn has_given_up() -> bool {
    FAILED_WRITES.load(Ordering::Relaxed) > MOST_FAILED_WRITES
}

/// The error where something for stdout was lost.
pub fn lost() -> Option<Error> {
    let hint = "what was saved is there; only what was printed is lost";
    let why = |e: &std::io::Error| if stdout::was_closed() { "stdout is closed".to_string() } else { e.to_string() };
    LOST.get().map(|e| Error::new(Kind::Io, format!("the output could not be written: {}", why(e))).hint(hint))
}

/// Writes a line to stderr; its control characters are written out.
pub fn print_err(text: &str) {
    print_coloured(&harmless(text));
}

/// The same with codes that colour it.
pub fn print_coloured(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// The text with control characters written out, but for ends of lines and tabs: names and texts of strangers would have a
/// terminal change its title, its clipboard or what was said before.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| if obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.replace("\r\n", "\n").chars().map(written).collect())
}

/// A script's text as it is, or with its control characters escaped where the script is untrusted.
fn printed(text: &str) -> Cow<'_, str> {
    if seal::is_held() { harmless(text) } else { Cow::Borrowed(text) }
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

/// The terminal as a session's output.
pub struct Terminal {
    mode: Mode,
    style: TextStyle,
    bars: Bars,
    progress: bool,
}

impl Terminal {
    /// An output of that mode; `progress` says whether progress is reported.
    pub fn new(mode: Mode, progress: bool) -> Self {
        Terminal { mode, style: style(), bars: Bars::new(progress), progress }
    }

    /// Ends a progress bar that is still drawn.
    pub fn finish(&self) {
        self.bars.clear();
    }
}

/// What was shown, as text.
pub fn text(shown: &Shown, style: &TextStyle) -> String {
    match shown {
        Shown::Text(text) => format!("{}\n", printed(text)),
        Shown::Artifact(artifact) => to_text(artifact, style),
    }
}

impl Output for Terminal {
    fn print(&self, line: &str) {
        self.bars.clear();
        match self.mode {
            Mode::Plain | Mode::Quiet => print_out(&format!("{}\n", printed(line))),
            Mode::Json => print_coloured(&printed(line)),
            Mode::Record => {}
        }
    }

    fn write(&self, text: &str) {
        self.bars.clear();
        match self.mode {
            Mode::Plain | Mode::Quiet => print_out(&printed(text)),
            Mode::Json => {
                let _ = std::io::stderr().lock().write_all(printed(text).as_bytes());
            }
            Mode::Record => {}
        }
    }

    fn debug(&self, text: &str) {
        self.bars.clear();
        print_coloured(&printed(text));
    }

    fn ask(&self, prompt: &str) -> Result<String> {
        self.bars.clear();
        // Of a sealed process the person sits in front of the one that started it.
        if seal::is_held() {
            return seal::ask_person(&harmless(prompt));
        }
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
            print_out(&text(shown, &self.style));
        }
    }

    fn cluster(&self, request: &ClusterRequest) -> Result<Option<StateFile>> {
        // What is locked or verified is computed here, by one process.
        if self.mode == Mode::Record {
            return Ok(None);
        }
        self.bars.clear();
        cluster::ask(request, !self.progress).map(Some)
    }

    fn progress(&self, label: &str, done: usize, total: usize) {
        self.bars.progress(label, done, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(harmless("a\tb\u{e9}\nc"), "a\tb\u{e9}\nc");
        assert_eq!(
            harmless("\x1b]0;x\x07\r\n\u{9b}2J\r\0"),
            r"\u{1b}]0;x\u{7}".to_string() + "\n" + r"\u{9b}2J\u{d}\u{0}"
        );
    }
}
