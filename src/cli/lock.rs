//! `convscope lock`: runs a script twice and records it with its inputs, nets and outputs.

use super::sealed::SealArgs;
use super::terminal::{Mode, Terminal, print_err, print_out};
use super::{FAILED, INTERRUPTED, Params, RunArgs, USAGE, own_out_folder};
use clap::Args;
use convscope_dsl::Diagnostic;
use convscope_dsl::run::locking::{lock_file, report};
use convscope_dsl::run::script::copy_folder;
use convscope_dsl::run::{Locking, Made, Source};
use convscope_engine::run::Finished;
use convscope_engine::run::output::MAX_KEPT_VALUES;
use convscope_engine::{Result, atomic};
use std::path::PathBuf;

/// Run a script twice and record its script, inputs, nets and outputs in SCRIPT.lock.json.
#[derive(Args)]
pub struct LockScript {
    /// The script, or a notebook.
    script: PathBuf,
    /// The folder for report.html, figures/ and what the script saves [default: convscope-out/SCRIPT].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// The most values of an array that the lock keeps in full, by which a difference is located; of longer ones it keeps some.
    #[arg(long, default_value_t = MAX_KEPT_VALUES, value_name = "N")]
    values: usize,
    /// Print the lock.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sealing: SealArgs,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: RunArgs,
}

impl LockScript {
    /// Locks the script; returns the exit code.
    pub fn main(self) -> Result<u8> {
        super::pass_signals_on();
        let locking = Locking {
            script: self.script.clone(),
            seed: self.work.seed,
            memory: self.work.memory,
            threads: self.work.threads.map(usize::from),
            params: self.params.map(),
            values: self.values,
            progress: !self.work.quiet,
            allowed: self.sealing.allowed("lock", &self.script),
        };
        let (lock, left) = match locking.make(&Terminal::new(Mode::Record, !self.work.quiet))? {
            Made::Lock(lock, left) => (lock, left),
            other => return Ok(print_failure(&other)),
        };
        let source = Source::read(&self.script)?;
        let out = own_out_folder(self.out.as_ref(), &source.name)?;
        copy_folder(&left.out, &out)?;
        atomic::write(out.join("report.html"), report(&source, &lock, &left)?.as_bytes())?;
        if self.json {
            print_out(&(lock.text()? + "\n"));
        } else if !self.work.quiet {
            print_seal(&left);
            print_out(&format!(
                "{}: {} outputs, {} inputs, {} nets, the same on {:?} threads\n",
                lock_file(&self.script).display(),
                lock.outputs.len(),
                lock.inputs.len(),
                lock.nets.len(),
                lock.threads
            ));
        }
        Ok(0)
    }
}

/// Prints which rules of the seal the kernel enforced for a run's process.
pub fn print_seal(left: &Finished) {
    if let Some(held) = left.held {
        print_err(&held.to_string());
    }
}

/// Prints why no lock was made; returns the exit code.
pub fn print_failure(made: &Made) -> u8 {
    match made {
        Made::Lock(..) => 0,
        Made::Usage(error) => {
            print_err(&Diagnostic::of(error.clone()).to_string());
            USAGE
        }
        Made::Failed(said) => {
            print_err(said.trim_end());
            FAILED
        }
        Made::Interrupted => INTERRUPTED,
    }
}
