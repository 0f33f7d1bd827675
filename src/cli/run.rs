//! `convscope run` and `convscope eval`: a script with its report, figures and manifest; a line.

use super::allocator;
use super::cluster::{ClusterArgs, compute_states, remove_states};
use super::sealed::{SealArgs, seal_here};
use super::shard::ledger_of_files;
use super::terminal::{Mode, Terminal, print_err, print_out, style, text};
use super::{FAILED, INTERRUPTED, Params, RunArgs, USAGE, out_folder};
use clap::Args;
use convscope_dsl::run::states::{facts, ledger_of};
use convscope_dsl::run::{Executed, Recording, Run, Source, values};
use convscope_dsl::{CellResult, Diagnostic, Place, Session};
use convscope_engine::run::output::MAX_KEPT_VALUES;
use convscope_engine::{Error, Job, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Run a script; its report, figures and manifest go to a folder.
#[derive(Args)]
pub struct RunScript {
    /// The script, a notebook, a bundle (.zip) or a report (.html); `-` reads a script from stdin. Bundles and reports are run
    /// sealed.
    pub(super) script: PathBuf,
    /// The folder for report.html, figures/, run.json and what the script saves [default: convscope-out/SCRIPT].
    #[arg(long, short)]
    pub(super) out: Option<PathBuf>,
    /// Print the manifest as JSON instead of what the script shows.
    #[arg(long)]
    pub(super) json: bool,
    /// Also write the numbers of the shown results: arrays.safetensors, and shown.json with tables and texts.
    #[arg(long)]
    pub(super) arrays: bool,
    /// Also show the value of the last expression, as a notebook's cell does. The report then cannot be verified, because `verify`
    /// does not show it.
    #[arg(long)]
    pub(super) last: bool,
    /// Run it in a process that reads only the script's folder and what `--input` names, and has no network.
    #[arg(long, conflicts_with = "unsealed")]
    sealed: bool,
    /// State files of `convscope shard` or `merge`: images in them are not evaluated again.
    #[arg(long, value_name = "STATE", conflicts_with = "sealed")]
    states: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Run a bundle or a report without a seal, like a script of your own.
    #[arg(long)]
    pub(super) unsealed: bool,
    #[command(flatten)]
    pub(super) sealing: SealArgs,
    /// The seal of this process, given by the process that started it.
    #[arg(long, hide = true)]
    seal: Option<String>,
    /// The inputs are in the working folder, wherever the script is.
    #[arg(long, hide = true)]
    here: bool,
    /// The requirements of the front matter have been checked already.
    #[arg(long, hide = true)]
    checked: bool,
    /// The folder for the record from which another process makes a lock.
    #[arg(long, hide = true)]
    record: Option<PathBuf>,
    /// The most values of an array that the record keeps.
    #[arg(long, hide = true, default_value_t = MAX_KEPT_VALUES)]
    values: usize,
    #[command(flatten)]
    pub(super) params: Params,
    #[command(flatten)]
    pub(super) work: RunArgs,
}

/// Evaluate a line of script and print its value.
#[derive(Args)]
pub struct Eval {
    /// The code.
    code: String,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: RunArgs,
}

impl RunScript {
    /// Runs the script.
    pub fn main(self) -> Result<u8> {
        // The seal comes first: its part in the kernel holds for threads that start after it.
        if let Some(seal) = &self.seal {
            seal_here(seal, self.work.quiet || self.record.is_some())?;
        } else if self.sealed || self.is_packed() {
            return self.run_in_process();
        } else {
            self.sealing.check_unsealed()?;
        }
        self.sealing.apply_offline();
        let mut source = Source::read(&self.script)?;
        if self.record.is_some() || self.here {
            // A process that records, or that runs a bundle or report, works in the folder of the inputs; the process that
            // started it has checked the requirements.
            source.file = source.digested().path;
            source.folder = PathBuf::new();
        } else if !self.checked {
            source.check(None)?;
        }
        let params = match source.front.params(&self.params.map()) {
            Ok(params) => params,
            Err(error) => {
                print_err(&Diagnostic::of(error).to_string());
                return Ok(USAGE);
            }
        };
        let place = Place { inputs: source.folder.clone(), outputs: out_folder(self.out.as_ref(), &source.name) };
        let title = source.front.title.clone().unwrap_or_else(|| source.name.clone());
        let run = Run { title, source, place, params };
        match &self.record {
            Some(folder) => write_for_parent(&run, &self.work, self.values, folder),
            None => {
                let recording = Recording { whole: self.arrays, last: self.last, ..Recording::default() };
                run_by(&run, &self.work, self.json, recording, (&self.states, Some(&self.cluster)))
            }
        }
    }
}

impl Eval {
    /// Evaluates the line.
    pub fn main(self) -> Result<u8> {
        let mode = if self.work.quiet { Mode::Quiet } else { Mode::Plain };
        let terminal = Arc::new(Terminal::new(mode, !self.work.quiet));
        let mut session = Session::new(self.work.job()?, terminal.clone());
        session.set_params(self.params.map());
        let result = session.run("eval", &self.code);
        terminal.finish();
        if let Some(value) = &result.value {
            print_out(&text(value, &style()));
        }
        Ok(ended(&result))
    }
}

/// Runs a script and writes its folder, with the arrays of what it showed where requested; returns the exit code.
pub fn run_script(run: &Run, work: &RunArgs, json: bool, recording: Recording) -> Result<u8> {
    run_by(run, work, json, recording, (&[], None))
}

fn run_by(
    run: &Run,
    work: &RunArgs,
    json: bool,
    recording: Recording,
    (states, cluster): (&[PathBuf], Option<&ClusterArgs>),
) -> Result<u8> {
    let mode = match (json, work.quiet) {
        (true, _) => Mode::Json,
        (_, true) => Mode::Quiet,
        _ => Mode::Plain,
    };
    let mut job = work.with(&run.source.front).job()?;
    if !states.is_empty() {
        job = job.with_ledger(ledger_of_files(run, states)?);
    }
    if let Some(request) = cluster.map(|c| c.request(run, &job)).transpose()?.flatten() {
        let states = compute_states(&request, work.quiet)?;
        job = job.with_ledger(ledger_of(facts(run)?, vec![(request.address, states)]));
    }
    run.make_folder()?;
    let executed = execute(run, job, work.quiet, mode, recording)?;
    allocator::return_freed_early();
    let aside = run.aside(&executed);
    let run = aside.as_ref().unwrap_or(run);
    let finished = run.finish(&executed)?;
    run.write(&executed, &finished)?;
    if recording.whole {
        values::write(&finished)?;
    }
    if json {
        let text = serde_json::to_string_pretty(&finished.manifest()?).map_err(|e| Error::internal(e.to_string()))?;
        print_out(&(text + "\n"));
    } else if !work.quiet {
        print_err(&format!("report: {}", finished.out.join("report.html").display()));
    }
    let code = exit_code(run, &executed);
    if code == 0 {
        remove_states(&run.place.outputs);
    }
    Ok(code)
}

/// Runs a script for the parent process, which reads the results from `folder`; returns the exit code.
fn write_for_parent(run: &Run, work: &RunArgs, values: usize, folder: &Path) -> Result<u8> {
    let recording = Recording { values, whole: true, inside: true, last: false };
    let job = work.with(&run.source.front).job()?;
    let executed = execute(run, job, work.quiet, Mode::Record, recording)?;
    run.finish(&executed)?.hand_over(folder)?;
    Ok(exit_code(run, &executed))
}

/// Executes a script.
pub(super) fn execute(run: &Run, job: Job, quiet: bool, mode: Mode, recording: Recording) -> Result<Executed> {
    let terminal = Arc::new(Terminal::new(mode, !quiet));
    let executed = run.execute(job, terminal.clone(), recording);
    terminal.finish();
    if executed.result.error.is_none() && run.source.front.params.is_empty() {
        for name in executed.unused_params() {
            print_err(&format!("note: the script never asks for the parameter `{name}`"));
        }
    }
    Ok(executed)
}

pub(super) fn exit_code(run: &Run, executed: &Executed) -> u8 {
    if executed.late {
        let seconds = run.source.front.seconds.unwrap_or_default();
        print_err(&format!("error: the script ran over its limit of {seconds} s\n  hint: its front matter sets it"));
        return FAILED;
    }
    ended(&executed.result)
}

/// Prints the error, where there is one; returns the exit code.
fn ended(result: &CellResult) -> u8 {
    if result.interrupted {
        return INTERRUPTED;
    }
    match &result.error {
        Some(error) => {
            print_err(&error.to_string());
            FAILED
        }
        None => 0,
    }
}
