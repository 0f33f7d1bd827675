//! Runs a script in a process of its own, which receives only the state in the fields here, and reads its results.

use super::sealing::Sealing;
use super::source::absolute;
use super::temporary::Temporary;
use crate::output::Output;
use convscope_engine::run::Finished;
use convscope_engine::run::output::MAX_KEPT_VALUES;
use convscope_engine::seal::children;
use convscope_engine::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// The exit code of a run that was interrupted.
const INTERRUPTED: i32 = 130;

/// The settings of a run in another process.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// The script's file.
    pub script: PathBuf,
    /// The folder that paths of inputs are relative to.
    pub base: PathBuf,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The memory that probes may hold at once, MB.
    pub memory: u64,
    /// The values that `param` returns.
    pub params: BTreeMap<String, String>,
    /// The number of threads; all cores unless given.
    pub threads: Option<usize>,
    /// The most values of an array that an output keeps.
    pub values: usize,
    /// Whether progress is reported.
    pub progress: bool,
    /// The permissions, where the process is sealed.
    pub sealing: Option<Sealing>,
}

impl Default for Rerun {
    /// No script, and the default settings.
    fn default() -> Self {
        Rerun {
            script: PathBuf::new(),
            base: PathBuf::new(),
            seed: 0,
            memory: 1024,
            params: BTreeMap::new(),
            threads: None,
            values: MAX_KEPT_VALUES,
            progress: false,
            sealing: None,
        }
    }
}

/// How the run ended.
pub enum Ended {
    /// The script completed.
    Done(Box<Elsewhere>),
    /// The script ended with an error.
    Failed(Failure),
    /// The user stopped it.
    Interrupted,
}

/// A run that ended with an error.
pub struct Failure {
    /// The error in words.
    pub said: String,
    /// The results so far, where they are known.
    pub left: Option<Box<Elsewhere>>,
}

/// The results of a run in another process, with the folder of their files.
pub struct Elsewhere {
    /// The results.
    pub finished: Finished,
    _folder: Temporary,
}

impl std::ops::Deref for Elsewhere {
    type Target = Finished;

    fn deref(&self) -> &Finished {
        &self.finished
    }
}

impl Rerun {
    /// Runs the script by this program's `run`; progress goes to `output`.
    ///
    /// # Errors
    /// Where the process cannot be started or its files cannot be read.
    pub fn run(&self, output: &dyn Output) -> Result<Ended> {
        let folder = Temporary::new()?;
        let (record, out) = (folder.path().join("record"), folder.path().join("out"));
        for made in [&record, &out] {
            std::fs::create_dir(made).map_err(|e| Error::io(made, &e))?;
        }
        let mut command = Command::new(program()?);
        command.arg("run").arg(absolute(&self.script)).arg("--record").arg(&record).arg("--out").arg(&out);
        command.args(["--seed", &self.seed.to_string(), "--memory", &self.memory.to_string()]);
        command.args(["--values", &self.values.to_string()]);
        for (name, value) in &self.params {
            command.arg("--param").arg(format!("{name}={value}"));
        }
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if !self.progress {
            command.arg("--quiet");
        }
        command.current_dir(absolute(&self.base)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let sealed = Sealed { script: &self.script, write: &[&record, &out], sealing: self.sealing.as_ref() };
        let ended = sealed.child(command, output, |child| {
            child.stderr.take().map(|stderr| follow(stderr, output)).unwrap_or_default()
        });
        let (status, said) = match ended {
            Err(error) if error.kind == Kind::Interrupted => return Ok(Ended::Interrupted),
            ended => ended?,
        };
        if status.code() == Some(INTERRUPTED) {
            return Ok(Ended::Interrupted);
        }
        let left = Finished::taken_over(&record, &out);
        Ok(match status.success() {
            true => Ended::Done(Box::new(Elsewhere { finished: left?, _folder: folder })),
            false => {
                let left = left.ok().map(|finished| Box::new(Elsewhere { finished, _folder: folder }));
                let said = if said.is_empty() { format!("error: {}\n", killed(status)) } else { said };
                Ended::Failed(Failure { said, left })
            }
        })
    }
}

/// The path of this program.
///
/// # Errors
/// Where the system does not give it.
pub fn program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::io("convscope", &e))
}

/// The message for a process that ended without one.
pub fn killed(status: ExitStatus) -> String {
    format!("the script's process ended without a message ({status})")
}

/// A process that runs a script, sealed where `sealing` is given.
pub struct Sealed<'a> {
    /// The script's file.
    pub script: &'a Path,
    /// The folders that it writes to.
    pub write: &'a [&'a Path],
    /// Its other permissions.
    pub sealing: Option<&'a Sealing>,
}

impl Sealed<'_> {
    /// Starts the process, calls `meanwhile` with it, serves its requests, and waits until it ends.
    ///
    /// # Errors
    /// Where it cannot be sealed or started, or this process was asked to stop ([`children::stop`]).
    pub fn child<T>(
        &self,
        mut command: Command,
        output: &dyn Output,
        meanwhile: impl FnOnce(&mut Child) -> T,
    ) -> Result<(ExitStatus, T)> {
        if let Some(cache) = std::env::var_os("CONVSCOPE_CACHE").filter(|c| !c.is_empty()) {
            command.env("CONVSCOPE_CACHE", absolute(Path::new(&cache)));
        }
        let Some(sealing) = self.sealing else {
            // A script that may ask stays in this process group: others may not read from the terminal, whose Ctrl-C reaches both.
            let mut child = match std::io::stdin().is_terminal() {
                true => command.spawn().map_err(|e| Error::io("convscope", &e))?,
                false => children::start(&mut command)?,
            };
            let done = meanwhile(&mut child);
            return Ok((children::wait(&mut child)?, done));
        };
        let seal = sealing.seal(self.script, self.write)?;
        let text =
            serde_json::to_string(&seal).map_err(|e| Error::value(format!("a path that is not Unicode: {e}")))?;
        command.arg("--seal").arg(text);
        #[cfg(unix)]
        {
            let pair = std::os::unix::net::UnixStream::pair();
            let (here, there) = pair.map_err(|e| Error::io("convscope", &e))?;
            command.stdin(Stdio::from(std::os::fd::OwnedFd::from(there)));
            let mut child = children::start(&mut command)?;
            // Only the child holds its end of the channel, so that the channel ends with the child.
            drop(command);
            std::thread::scope(|threads| {
                let answering = || convscope_engine::seal::broker::answer(here, |want| sealing.serve(&want, output));
                threads.spawn(answering);
                let done = meanwhile(&mut child);
                Ok((children::wait(&mut child)?, done))
            })
        }
        #[cfg(not(unix))]
        {
            let mut child = children::start(command.stdin(Stdio::null()))?;
            let done = meanwhile(&mut child);
            Ok((children::wait(&mut child)?, done))
        }
    }
}

/// Forwards another process's messages as they arrive; returns those that look like errors.
fn follow(stderr: impl std::io::Read, output: &dyn Output) -> String {
    use std::io::BufRead;
    let mut error = String::new();
    for line in std::io::BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        if line.starts_with("error: ") || !error.is_empty() {
            error += &line;
            error.push('\n');
        } else {
            output.progress(&line, 0, 0);
        }
    }
    error
}

/// A parameter's value as `--param` takes it.
pub fn param_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
