//! The command line: one variant a command. Exit codes: 0 done, 1 the script or its data failed, 2 usage, 130 interrupted;
//! `verify` adds 10 to 14 (`convscope_dsl::run::Status`).

pub mod allocator;
mod bars;
mod bundle;
mod canon;
mod cluster;
mod convert;
mod diff;
mod explain;
mod fmt;
mod housekeeping;
mod index;
mod inspect;
mod kernel;
mod label;
mod lock;
mod lsp;
mod man;
mod merge;
mod net_flags;
mod reference;
mod repl;
mod run;
mod sealed;
mod shard;
pub mod stdout;
pub mod terminal;
mod verify;

use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use convscope_dsl::Front;
use convscope_engine::seal::{children, real};
use convscope_engine::{Error, Job, Kind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The script or its data failed.
pub const FAILED: u8 = 1;
/// The command line is invalid.
pub const USAGE: u8 = 2;
/// Stopped by the user; what was done is saved.
pub const INTERRUPTED: u8 = 130;

/// Look inside a trained ConvNet with a few lines of script.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a script; its report, figures and manifest go to a folder.
    Run(run::RunScript),
    /// Evaluate a line of script and print its value.
    Eval(run::Eval),
    /// A session in the terminal: lines with completion, pictures and history.
    Repl(repl::Repl),
    /// Install, run or uninstall the Jupyter kernel.
    Kernel(kernel::Kernel),
    /// Print the reference: all of it, or one entry.
    Doc(reference::Doc),
    /// List the nets that are known by name.
    Models(housekeeping::Models),
    /// Download a known net ahead of its first use.
    Fetch(housekeeping::Fetch),
    /// Explain a net's decision about an image (or a signal or volume), without a script.
    Explain(explain::Explain),
    /// Print a net's layers, shapes, parameters, operations, receptive fields and card.
    Inspect(inspect::Inspect),
    /// Reproduce the figures and tables of the papers, one report per paper, the published numbers beside ours.
    Canon(canon::Canon),
    /// Label images in a browser, to compare people with nets.
    Label(label::Label),
    /// Run a script twice and record its script, inputs, nets and outputs in SCRIPT.lock.json.
    Lock(lock::LockScript),
    /// Run a locked script again and compare its outputs with the locked ones.
    Verify(verify::Verify),
    /// Pack a locked script with its inputs, outputs and report into one archive.
    Bundle(bundle::Bundle),
    /// Convert a script to a notebook, or a notebook to a script.
    Convert(convert::Convert),
    /// Draw two runs side by side on one scale.
    Diff(diff::Diff),
    /// List the shards of a data set: files and parts of files, with the numbers of their images.
    Index(index::Index),
    /// Evaluate a part of the images of a script's data sets and save states that `merge` joins.
    Shard(shard::Shard),
    /// Join the states of shards.
    Merge(merge::Merge),
    /// List or delete downloaded files.
    Cache(housekeeping::Cache),
    /// Format scripts.
    Fmt(fmt::Fmt),
    /// Run the language server for editors: completion, hover, diagnostics, definitions, renaming.
    Lsp(lsp::Lsp),
    /// Print the manual page, or write the manual pages of all commands.
    Man(man::Man),
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The options of a run: seed, threads, memory, output.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// The seed of all random numbers [default: that of the script's front matter, else 0].
    #[arg(long)]
    seed: Option<u64>,
    /// The number of threads [default: all cores]. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The memory that the process may use, MB. Probes choose their batch sizes by it; a net's weights, in up to three forms, and
    /// one sample must fit [default: that of the script's front matter, else 1024].
    #[arg(long, value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    memory: Option<u64>,
    /// Show no results and report no progress; `print` still writes.
    #[arg(long, short)]
    quiet: bool,
}

/// The time that a sealed process has to save its results when its parent was killed.
const SAVE_GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// The memory limit, bytes, below which freed pages are returned to the system early.
const LOW_MEMORY: u64 = 512 << 20;

impl RunArgs {
    /// A job on as many threads as requested.
    fn bare_job(&self) -> Result<Job> {
        convscope::threads::start(self.threads.map_or(0, usize::from))?;
        let mut job = Job::new();
        (job.seed, job.memory) = (self.seed.unwrap_or(0), self.memory.unwrap_or(1024) << 20);
        convscope_engine::limits::set_memory(job.memory);
        if job.memory < LOW_MEMORY {
            allocator::return_early();
        }
        Ok(job)
    }

    /// The same; Ctrl-C sets the job's signal, and a second Ctrl-C ends the program.
    fn job(&self) -> Result<Job> {
        let job = self.bare_job()?;
        let signal = job.signal.clone();
        terminal::stop_when_nobody_reads(&signal);
        ctrlc::set_handler(move || {
            if signal.is_set() {
                std::process::exit(i32::from(INTERRUPTED));
            }
            signal.stop();
            terminal::print_err("interrupted: finishing the step and saving what is done; once more ends at once");
            if children::is_orphan() {
                std::thread::sleep(SAVE_GRACE);
                std::process::exit(i32::from(INTERRUPTED));
            }
        })
        .map_err(|e| Error::internal(format!("Ctrl-C: {e}")))?;
        Ok(job)
    }
}

impl RunArgs {
    /// The same options, completed from the script's front matter where the command line does not set them.
    fn with(&self, front: &Front) -> RunArgs {
        RunArgs { seed: self.seed.or(front.seed), memory: self.memory.or(front.memory), ..self.clone() }
    }
}

/// `--param name=value`.
#[derive(Args, Clone)]
pub struct Params {
    /// Set the value that `param("NAME", default)` returns in the script; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
}

impl Params {
    fn map(&self) -> BTreeMap<String, String> {
        self.params.iter().cloned().collect()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_string(), value.to_string())),
        _ => Err("write it as name=value".into()),
    }
}

/// The folder for a run's files: `convscope-out/NAME` unless one is given.
fn out_folder(given: Option<&PathBuf>, name: &str) -> PathBuf {
    // A script's name may consist of dots.
    let name = if matches!(name, "" | "." | "..") { "script" } else { name };
    given.cloned().unwrap_or_else(|| PathBuf::from("convscope-out").join(name))
}

/// The same for a script that may be untrusted, as may its folder: links that lead out of the working folder are refused.
fn own_out_folder(given: Option<&PathBuf>, name: &str) -> Result<PathBuf> {
    let out = out_folder(given, name);
    if given.is_none() && real(&out) != real(Path::new("")).join(&out) {
        let message = format!("the folder for outputs `{}` is a link out of the working folder", out.display());
        return Err(Error::value(message).hint("if you made that link, name where it leads: --out DIR"));
    }
    Ok(out)
}

/// Runs the command; returns the exit code.
pub fn main(arguments: Arguments) -> u8 {
    let done = match arguments.command {
        Command::Run(run) => run.main(),
        Command::Eval(eval) => eval.main(),
        Command::Repl(repl) => repl.main().map(|()| 0),
        Command::Kernel(kernel) => kernel.main().map(|()| 0),
        Command::Doc(doc) => doc.main().map(|()| 0),
        Command::Models(models) => models.main().map(|()| 0),
        Command::Fetch(fetch) => fetch.main().map(|()| 0),
        Command::Explain(explain) => explain.main(),
        Command::Inspect(inspect) => inspect.main().map(|()| 0),
        Command::Canon(canon) => canon.main(),
        Command::Label(label) => label.main(),
        Command::Lock(lock) => lock.main(),
        Command::Verify(verify) => verify.main(),
        Command::Bundle(bundle) => bundle.main(),
        Command::Convert(convert) => convert.main().map(|()| 0),
        Command::Diff(diff) => diff.main(),
        Command::Index(index) => index.main().map(|()| 0),
        Command::Shard(shard) => shard.main(),
        Command::Merge(merge) => merge.main(),
        Command::Cache(cache) => cache.main().map(|()| 0),
        Command::Fmt(fmt) => fmt.main(),
        Command::Lsp(lsp) => lsp.main(),
        Command::Man(man) => man.main().map(|()| 0),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "convscope", &mut script);
            terminal::print_out(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    };
    let failed = |error: Error| {
        let code = if error.kind == Kind::Interrupted { INTERRUPTED } else { FAILED };
        terminal::print_err(&convscope_dsl::Diagnostic::of(error).to_string());
        code
    };
    match (done.unwrap_or_else(failed), terminal::stdout_error()) {
        (0, Some(error)) => failed(error),
        (INTERRUPTED, Some(error)) if terminal::was_stopped() => failed(error),
        (code, _) => code,
    }
}

/// Passes Ctrl-C and the other termination signals on to the process that runs the script. It then ends as it would unsealed, and
/// this process after it. Without such a process, the second signal ends this one.
fn pass_signals_on() {
    let passed = ctrlc::set_handler(|| {
        if !children::stop() && children::asked() > 1 {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    if let Err(e) = passed {
        terminal::print_err(&format!("note: Ctrl-C ends this process alone: {e}"));
    }
}

/// The arguments of the command line; where it asks for help or is invalid, prints the help or the error and returns the exit code.
pub fn arguments() -> std::result::Result<Arguments, u8> {
    let parsed = || {
        let mut command = with_negatives(Arguments::command());
        let found = command.try_get_matches_from_mut(std::env::args_os())?;
        Arguments::from_arg_matches(&found).map_err(|e| e.format(&mut command))
    };
    parsed().map_err(|said| match said.print() {
        Ok(()) => u8::try_from(said.exit_code()).unwrap_or(USAGE),
        Err(_) => FAILED,
    })
}

/// The same commands; `-1` behind an option is the option's value, which the option's parser checks.
fn with_negatives(command: clap::Command) -> clap::Command {
    let allowed = |arg: Arg| {
        let takes = !arg.is_positional() && arg.get_action().takes_values();
        if takes { arg.allow_negative_numbers(true) } else { arg }
    };
    command.mut_args(allowed).mut_subcommands(with_negatives)
}
