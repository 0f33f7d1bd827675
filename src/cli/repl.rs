//! `convscope repl`: the session of a notebook in a terminal, with the same completion, documentation and history.

mod editor;
mod pictures;

use super::terminal::{Mode, Terminal, print_coloured, print_err, print_out, style, text};
use super::{Params, RunArgs};
use clap::Args;
use convscope_dsl::{Output, Session, Shown};
use convscope_engine::data::Image;
use convscope_engine::show::{TextStyle, png};
use convscope_engine::{Artifact, Error, Result};
use editor::Assistant;
use pictures::Pictures;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::cell::RefCell;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// An interactive session in the terminal.
#[derive(Args)]
pub struct Repl {
    /// How pictures are drawn.
    #[arg(long, value_enum, default_value_t = Pictures::Auto)]
    pictures: Pictures,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: RunArgs,
}

const HELP: &str = "\
A line is run when it is whole: an open bracket waits for more. Tab completes, the arrows bring back earlier lines.
  ?name    what is known of a function, a probe, a variable
  :vars    the variables
  :quit    the end, as Ctrl-D
Ctrl-C stops what runs; the session goes on.
";

impl Repl {
    /// Runs lines until the user ends the session.
    pub fn main(self) -> Result<()> {
        let job = self.work.bare_job()?;
        let signal = job.signal.clone();
        ctrlc::set_handler(move || signal.stop()).map_err(|e| Error::internal(format!("Ctrl-C: {e}")))?;
        let screen = Arc::new(Screen {
            terminal: Terminal::new(Mode::Plain, !self.work.quiet),
            pictures: self.pictures.resolved(),
            style: style(),
        });
        let session = Session::new(job, screen.clone());
        session.set_params(self.params.map());
        let mut lines = Lines { session: Rc::new(RefCell::new(session)), screen, count: 0 };
        if std::io::stdin().is_terminal() { lines.run_editor(self.work.quiet) } else { lines.run_pipe() }
    }
}

/// The terminal as a session's output, with pictures where it can show them.
struct Screen {
    terminal: Terminal,
    pictures: Pictures,
    style: TextStyle,
}

impl Screen {
    fn value(&self, shown: &Shown) {
        self.terminal.finish();
        let picture = match shown {
            Shown::Artifact(artifact) => self.picture(artifact),
            Shown::Text(_) => None,
        };
        print_out(&picture.unwrap_or_else(|| text(shown, &self.style)));
    }

    /// The terminal codes that draw an artifact; none where the terminal cannot, or the artifact has no figure.
    fn picture(&self, artifact: &Artifact) -> Option<String> {
        if !artifact.is_drawn() || !self.pictures.is_exact() {
            return None;
        }
        self.pictures.codes(&png(artifact).ok()?, self.style.width)
    }
}

impl Output for Screen {
    fn print(&self, line: &str) {
        self.terminal.print(line);
    }
    fn write(&self, text: &str) {
        self.terminal.write(text);
    }
    fn debug(&self, text: &str) {
        self.terminal.debug(text);
    }
    fn show(&self, shown: &Shown) {
        self.value(shown);
    }
    fn ask(&self, prompt: &str) -> Result<String> {
        self.terminal.ask(prompt)
    }
    fn progress(&self, label: &str, done: usize, total: usize) {
        self.terminal.progress(label, done, total);
    }
    fn picture(&self, label: &str, image: &Image) {
        self.terminal.picture(label, image);
    }
}

/// The lines of a session and their results.
struct Lines {
    session: Rc<RefCell<Session>>,
    screen: Arc<Screen>,
    count: usize,
}

impl Lines {
    /// Reads lines in a line editor.
    fn run_editor(&mut self, quiet: bool) -> Result<()> {
        let broken = |e: ReadlineError| Error::internal(format!("the terminal: {e}"));
        let config = Config::builder().history_ignore_space(true).max_history_size(10_000).map_err(broken)?;
        // Tab completes the common prefix of all candidates; where there is none, it lists them.
        let config = config.completion_type(CompletionType::List).build();
        let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config).map_err(broken)?;
        editor.set_helper(Some(Assistant::new(self.session.clone(), self.screen.style.colour)));
        let history = convscope_kernel::history::file().map(|f| f.with_file_name("repl.txt"));
        if let Some(file) = &history {
            // The first session has no history file.
            let _ = editor.load_history(file);
        }
        if !quiet {
            print_err(&format!("{}\n`:help` says what else can be typed.", convscope_kernel::about::banner()));
        }
        loop {
            match editor.readline(&format!("[{}] ", self.count + 1)) {
                Ok(line) => {
                    // A line that is not added to the history is no reason to stop.
                    let _ = editor.add_history_entry(line.as_str());
                    if self.execute_line(&line) {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(e) => return Err(broken(e)),
            }
        }
        if let Some(file) = history {
            save_history(&mut editor, &file)?;
        }
        Ok(())
    }

    /// Reads lines from a pipe; a cell ends where it is complete.
    fn run_pipe(&mut self) -> Result<()> {
        let mut cell = String::new();
        for line in std::io::stdin().lock().lines() {
            cell += &line.map_err(|e| Error::io("stdin", &e))?;
            cell.push('\n');
            let waits = self.session.borrow().completeness(&cell) == convscope_dsl::inspect::Completeness::Incomplete;
            if !waits && self.execute_line(&std::mem::take(&mut cell)) {
                return Ok(());
            }
        }
        if !cell.trim().is_empty() {
            self.execute_line(&cell);
        }
        Ok(())
    }

    /// Executes a line; returns whether it ends the session.
    fn execute_line(&mut self, line: &str) -> bool {
        let line = line.trim();
        match line.strip_prefix('?').or_else(|| line.strip_suffix('?')) {
            Some(name) => self.explain(name.trim()),
            None if matches!(line, ":quit" | ":q" | "exit" | "quit") => return true,
            None if line == ":help" => print_out(HELP),
            None if line == ":vars" => self.variables(),
            None if line.is_empty() => {}
            None => self.run(line),
        }
        false
    }

    fn run(&mut self, code: &str) {
        self.count += 1;
        let mut session = self.session.borrow_mut();
        session.context().job.signal.reset();
        let result = session.run(&format!("[{}]", self.count), code);
        self.screen.terminal.finish();
        if let Some(value) = &result.value {
            self.screen.value(value);
        }
        if let Some(error) = &result.error {
            print_coloured(&if self.screen.style.colour { error.ansi() } else { error.to_string() });
        }
    }

    fn explain(&self, name: &str) {
        match self.session.borrow().inspect(name, name.len()) {
            Some(text) => print_out(&text),
            None => print_err(&format!("no `{name}` is known; `convscope doc` lists everything")),
        }
    }

    fn variables(&self) {
        let session = self.session.borrow();
        for name in session.variables() {
            print_out(&format!("{name}: {}\n", session.value_kind(&name).unwrap_or_default()));
        }
    }
}

/// Writes the history to its file.
fn save_history(editor: &mut Editor<Assistant, FileHistory>, file: &PathBuf) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    }
    editor.save_history(file).map_err(|e| Error::internal(format!("`{}`: {e}", file.display())))
}
