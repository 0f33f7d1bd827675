//! A script's output in a terminal: results on stdout, everything else on stderr. Where stdout cannot be written (its reader
//! has ended, the disk is full), the work continues and saves its files, and the program ends with an error; a script that prints
//! without end is stopped.

use super::bars::Bars;
use super::{allocator, cluster, stdout};
use convscope_dsl::run::request::ClusterRequest;
use convscope_dsl::{Output, Shown};
use convscope_engine::job::StopSignal;
use convscope_engine::show::{TextStyle, to_text};
use convscope_engine::states::StateFile;
use convscope_engine::{Error, Kind, Result, seal};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first error of writing to stdout.
static STDOUT_ERROR: OnceLock<std::io::Error> = OnceLock::new();

/// The number of failed writes to stdout.
static FAILED_WRITES: AtomicU64 = AtomicU64::new(0);

/// The number of failed writes at which the work is stopped: more than a script is expected to print.
const MOST_FAILED_WRITES: u64 = 100_000;

/// The signal that stops the work.
static INTERRUPT: OnceLock<StopSignal> = OnceLock::new();

/// Writes results to stdout; [`stdout_error`] returns the error where that failed.
pub fn print_out(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        STDOUT_ERROR.get_or_init(|| e);
        if FAILED_WRITES.fetch_add(1, Ordering::Relaxed) >= MOST_FAILED_WRITES
            && let Some(signal) = INTERRUPT.get()
        {
            signal.stop();
        }
    }
}

/// Stops the work by `signal` after more than [`MOST_FAILED_WRITES`] failed writes to stdout.
pub fn stop_when_nobody_reads(signal: &StopSignal) {
    INTERRUPT.get_or_init(|| signal.clone());
}

/// Whether the work was stopped because stdout has no reader.
pub fn was_stopped() -> bool {
    FAILED_WRITES.load(Ordering::Relaxed) > MOST_FAILED_WRITES
}

/// The error of writing to stdout, where one occurred.
pub fn stdout_error() -> Option<Error> {
    let hint = "what was saved is there; only what was printed is lost";
    let why = |e: &std::io::Error| if stdout::was_closed() { "stdout is closed".to_string() } else { e.to_string() };
    STDOUT_ERROR.get().map(|e| Error::new(Kind::Io, format!("the output could not be written: {}", why(e))).hint(hint))
}

/// Writes a line to stderr; its control characters are written out.
pub fn print_err(text: &str) {
    print_coloured(&escape_controls(text));
}

/// The same without escaping, for text with colour codes.
pub fn print_coloured(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// The text with control characters escaped, except line ends and tabs: text from others could change the terminal's title or
/// clipboard, or overwrite earlier output.
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| if obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.replace("\r\n", "\n").chars().map(written).collect())
}

/// A script's text as it is, or with its control characters escaped where the script is untrusted.
fn printed(text: &str) -> Cow<'_, str> {
    if seal::is_held() { escape_controls(text) } else { Cow::Borrowed(text) }
}

/// The text style that stdout supports.
pub fn style() -> TextStyle {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|w| (40..=400).contains(w));
    TextStyle { colour, width: width.unwrap_or(100) }
}

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Plain,
    /// Only what `print` writes.
    Quiet,
    /// Nothing: stdout is for JSON; what `print` writes goes to stderr.
    Json,
    /// Nothing: everything is recorded for the parent process.
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
    /// An output in this mode; `progress` says whether progress is reported.
    pub fn new(mode: Mode, progress: bool) -> Self {
        Terminal { mode, style: style(), bars: Bars::new(progress), progress }
    }

    /// Removes a progress bar.
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
    fn drawing(&self) {
        allocator::return_freed_early();
    }

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
        // The user of a sealed process sits at the process that started it.
        if seal::is_held() {
            return seal::ask_person(&escape_controls(prompt));
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
        // A run for a lock or a verdict is computed here, by one process.
        if self.mode == Mode::Record {
            return Ok(None);
        }
        self.bars.clear();
        cluster::compute_states(request, !self.progress).map(Some)
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
        assert_eq!(escape_controls("a\tb\u{e9}\nc"), "a\tb\u{e9}\nc");
        assert_eq!(
            escape_controls("\x1b]0;x\x07\r\n\u{9b}2J\r\0"),
            r"\u{1b}]0;x\u{7}".to_string() + "\n" + r"\u{9b}2J\u{d}\u{0}"
        );
    }
}
