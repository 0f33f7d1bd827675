//! The permissions of a sealed run beyond its script's folder, given on the command line, and runs in a sealed process.

use super::run::RunScript;
use super::terminal::{Mode, Terminal, print_err};
use super::verify::refused;
use super::{FAILED, own_out_folder};
use clap::Args;
use convscope_dsl::run::rerun::{Sealed, killed, param_text, program};
use convscope_dsl::run::source::{absolute, folder};
use convscope_dsl::run::{Allowed, LockedRun, Sealing, Source};
use convscope_engine::limits::set_memory;
use convscope_engine::seal::{Seal, children, close, go_offline, quoted};
use convscope_engine::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a sealed run may read and fetch.
#[derive(Args, Clone, Default)]
pub struct SealArgs {
    /// A file or folder outside the script's folder that the script may read; may be repeated.
    #[arg(long, value_name = "PATH")]
    input: Vec<PathBuf>,
    /// Let the script fetch repositories of the Hugging Face Hub (`hf:org/repo`).
    #[arg(long)]
    allow_fetch: bool,
    /// Download nothing: known nets, labels and photos must be on this machine already.
    #[arg(long)]
    offline: bool,
}

impl SealArgs {
    /// The permissions; `command` is the command line that hints repeat.
    pub fn allowed(&self, command: &str, what: &Path) -> Allowed {
        let mut command = format!("convscope {command} {}", quoted(&what.display().to_string()));
        for input in &self.input {
            command += &format!(" --input {}", quoted(&input.display().to_string()));
        }
        if self.allow_fetch {
            command += " --allow-fetch";
        }
        Allowed { command, inputs: self.input.clone(), fetch: self.allow_fetch, offline: self.offline }
    }

    /// Checks that no option of sealed runs is given without a seal.
    ///
    /// # Errors
    /// Where one is given.
    pub fn check_unsealed(&self) -> Result<()> {
        if self.input.is_empty() && !self.allow_fetch {
            return Ok(());
        }
        let message = "`--input` and `--allow-fetch` say what a sealed run may do, and this one is not sealed";
        Err(Error::value(message).hint("give `--sealed`, too"))
    }

    /// Applies `--offline` to this process.
    pub fn apply_offline(&self) {
        if self.offline {
            go_offline();
        }
    }
}

/// Seals this process by the parent's seal; to be called before threads start.
pub fn seal_here(text: &str, quiet: bool) -> Result<()> {
    let seal: Seal = serde_json::from_str(text).map_err(|e| Error::value(format!("--seal: {e}")))?;
    children::end_with_parent();
    let held = close(&seal)?;
    if !quiet {
        print_err(&held.to_string());
    }
    Ok(())
}

impl RunScript {
    /// Whether the input is a bundle or a report, made by someone else.
    pub fn is_packed(&self) -> bool {
        let ending = self.script.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        matches!(ending.as_deref(), Some("zip" | "html"))
    }

    /// Runs the script in a process of its own, sealed unless `--unsealed`; returns the exit code.
    pub fn run_in_process(&self) -> Result<u8> {
        if self.unsealed {
            self.sealing.check_unsealed()?;
        }
        super::pass_signals_on();
        if let Some(memory) = self.work.memory {
            set_memory(memory << 20);
        }
        let command = if self.is_packed() { "run" } else { "run --sealed" };
        let allowed = self.sealing.allowed(command, &self.script);
        if self.is_packed() {
            let locked = match LockedRun::at(&self.script, None, &allowed) {
                Ok(locked) => locked,
                Err(refusal) => return refused(refusal),
            };
            return self.child(&locked.script, &locked.source, locked.sealing(), Some(&locked));
        }
        if self.script == Path::new("-") {
            return Err(
                Error::value("a sealed run reads its script from a file").hint("save it in a folder of its own")
            );
        }
        let sealing = Sealing::of_folder(&folder(&self.script), &allowed);
        let source = Source::read(&self.script)?;
        source.check(Some(&sealing))?;
        self.child(&self.script, &source, sealing, None)
    }

    fn child(&self, script: &Path, source: &Source, sealing: Sealing, locked: Option<&LockedRun>) -> Result<u8> {
        let out = own_out_folder(self.out.as_ref(), &source.name)?;
        std::fs::create_dir_all(&out).map_err(|e| Error::io(&out, &e))?;
        let mut command = Command::new(program()?);
        command.arg("run").arg(script).arg("--out").arg(absolute(&out)).arg("--checked");
        if let Some(locked) = locked {
            command.arg("--here").current_dir(absolute(&locked.base));
            for (name, value) in &locked.lock.params {
                if !self.params.map().contains_key(name) {
                    command.arg("--param").arg(format!("{name}={}", param_text(value)));
                }
            }
        }
        if self.unsealed && self.sealing.offline {
            command.arg("--offline");
        }
        for (name, value) in self.params.map() {
            command.arg("--param").arg(format!("{name}={value}"));
        }
        let flags =
            [("--json", self.json), ("--arrays", self.arrays), ("--last", self.last), ("--quiet", self.work.quiet)];
        command.args(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| flag));
        let numbers = [
            ("--seed", self.work.seed.or(locked.map(|l| l.lock.seed))),
            ("--memory", self.work.memory.or(locked.map(|l| l.lock.memory_mb))),
            ("--threads", self.work.threads.map(u64::from)),
        ];
        for (flag, number) in numbers.iter().filter_map(|(flag, number)| Some((flag, (*number)?))) {
            command.args([flag, number.to_string().as_str()]);
        }
        let terminal = Terminal::new(Mode::Plain, !self.work.quiet);
        // The process works in this one's folder, so that paths in its messages are as the user would write them.
        let sealing = Sealing { asks: true, base: PathBuf::new(), ..sealing };
        let write: [&Path; 1] = [&out];
        let sealed = Sealed { script, write: &write, sealing: (!self.unsealed).then_some(&sealing) };
        let (status, ()) = sealed.child(command, &terminal, |_| ())?;
        terminal.finish();
        Ok(match status.code().map(u8::try_from) {
            Some(Ok(code)) => code,
            _ => {
                print_err(&format!("error: {}", killed(status)));
                FAILED
            }
        })
    }
}
