//! `convscope bundle`: one archive with a locked script, its modules, inputs, outputs and report, the same bytes each time.

use super::INTERRUPTED;
use super::lock::print_failure;
use super::sealed::SealArgs;
use super::terminal::{Mode, Terminal, print_err, print_out};
use super::verify::refused;
use clap::Args;
use convscope_dsl::run::bundle::files;
use convscope_dsl::run::locking::lock_file;
use convscope_dsl::run::verdict::judge;
use convscope_dsl::run::{Ended, LockedRun, Locking, Made, Status};
use convscope_engine::limits::set_memory;
use convscope_engine::run::archive;
use convscope_engine::{Error, Result, atomic};
use std::path::PathBuf;

/// Pack a locked script with its inputs, outputs and report into one archive.
#[derive(Args)]
pub struct Bundle {
    /// The script, or its lock. A script without a lock is locked first.
    what: PathBuf,
    /// The archive [default: SCRIPT.zip].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// The size, MB, above which the archive holds an input's digest instead of the input.
    #[arg(long, default_value_t = 64, value_name = "MB")]
    max_input: u64,
    /// The memory for reading what is given, MB; its run has the memory that the lock says.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=1 << 20), value_name = "MB")]
    memory: u64,
    #[command(flatten)]
    sealing: SealArgs,
    /// Report no progress.
    #[arg(long, short)]
    quiet: bool,
}

impl Bundle {
    /// Writes the archive; the exit code.
    pub fn main(self) -> Result<u8> {
        super::pass_signals_on();
        set_memory(self.memory << 20);
        let terminal = Terminal::new(Mode::Record, !self.quiet);
        let allowed = self.sealing.allowed("bundle", &self.what);
        let script = matches!(self.what.extension().and_then(|e| e.to_str()), Some("rhai" | "ipynb"));
        if script && !lock_file(&self.what).is_file() {
            print_err(&format!("`{}` has no lock yet: locking it", self.what.display()));
            let made = Locking { progress: !self.quiet, ..Locking::of(&self.what, &allowed) }.make(&terminal)?;
            if !matches!(made, Made::Lock(..)) {
                return Ok(print_failure(&made));
            }
        }
        let locked = match LockedRun::at(&self.what, None, &allowed) {
            Ok(locked) => locked,
            Err(refusal) => return refused(refusal),
        };
        let left = match locked.rerun(None, !self.quiet).run(&terminal)? {
            Ended::Done(left) => left,
            Ended::Interrupted => return Ok(INTERRUPTED),
            Ended::Failed(failure) => {
                return Err(Error::value(format!("the script ended with an error\n{}", failure.said.trim_end())));
            }
        };
        let verdict = judge(&locked, &left)?;
        if verdict.status != Status::Same {
            let culprit = verdict.culprit.map_or(String::new(), |c| format!("`{c}`: "));
            return Err(Error::value(format!(
                "the lock is not of what the script does here: {culprit}{}",
                verdict.message
            ))
            .hint("lock it again: convscope lock SCRIPT"));
        }
        let files = files(&locked, &left, self.max_input << 20)?;
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.zip", locked.source.name)));
        let bytes = archive::write(&files)?;
        atomic::write(&out, &bytes)?;
        if !self.quiet {
            print_out(&format!("{}: {} files, {} bytes\n", out.display(), files.len(), bytes.len()));
        }
        Ok(0)
    }
}
