//! `convscope verify`: runs a locked script again and compares its outputs; the exit code is the verdict.

use super::lock::print_seal;
use super::sealed::SealArgs;
use super::terminal::{Mode, Terminal, escape_controls, print_err, print_out};
use super::{FAILED, INTERRUPTED};
use clap::Args;
use convscope_dsl::run::verdict::{failed, judge};
use convscope_dsl::run::{Ended, LockedRun, Refusal, Status, Verdict, check_own_outputs};
use convscope_engine::limits::set_memory;
use convscope_engine::{Error, Result};
use std::path::PathBuf;

/// Run a locked script again and compare its outputs with the locked ones.
#[derive(Args)]
pub struct Verify {
    /// A lock (S.lock.json), a bundle (.zip), a report (report.html), a script with its lock beside it, or a run's folder.
    what: PathBuf,
    /// A folder with the inputs that a bundle only names, or with those of a report.
    #[arg(long, value_name = "DIR")]
    inputs: Option<PathBuf>,
    /// The number of threads [default: all cores]. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The memory for reading what is given, MB; its run has the memory that the lock says.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=1 << 20), value_name = "MB")]
    memory: u64,
    #[command(flatten)]
    sealing: SealArgs,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    /// Print nothing; the exit code is the verdict.
    #[arg(long, short)]
    quiet: bool,
}

impl Verify {
    /// Verifies; the exit code.
    pub fn main(self) -> Result<u8> {
        super::pass_signals_on();
        set_memory(self.memory << 20);
        let verdict = match self.verdict() {
            Ok(Some(verdict)) => verdict,
            Ok(None) => return Ok(INTERRUPTED),
            Err(Refusal::Verdict(verdict)) => *verdict,
            Err(Refusal::Error(error)) => return Err(error),
        };
        if self.json {
            let text = serde_json::to_string_pretty(&verdict).map_err(|e| Error::internal(e.to_string()))?;
            print_out(&(text + "\n"));
        } else if !self.quiet {
            let text = verdict.text();
            if verdict.status == Status::Same { print_out(&escape_controls(&text)) } else { print_err(text.trim_end()) }
        }
        Ok(verdict.code)
    }

    /// The verdict; nothing where the user stopped the run.
    fn verdict(&self) -> Result<Option<Verdict>, Refusal> {
        let progress = !(self.quiet || self.json);
        let terminal = Terminal::new(Mode::Record, progress);
        let locked = LockedRun::at(&self.what, self.inputs.as_deref(), &self.sealing.allowed("verify", &self.what))?;
        check_own_outputs(&locked, &self.what)?;
        Ok(match locked.rerun(self.threads.map(usize::from), progress).run(&terminal)? {
            Ended::Interrupted => None,
            Ended::Failed(failure) => Some(failed(&locked, &failure)),
            Ended::Done(left) => {
                if progress {
                    print_seal(&left);
                }
                Some(judge(&locked, &left)?)
            }
        })
    }
}

/// The exit code of another command that was refused; prints the message to stderr.
pub fn refused(refusal: Refusal) -> Result<u8> {
    match refusal {
        Refusal::Error(error) => Err(error),
        Refusal::Verdict(verdict) => {
            print_err(&format!("error: {}", verdict.text().trim_end()));
            Ok(FAILED)
        }
    }
}
