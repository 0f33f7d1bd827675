//! Runs a script in a process of its own, which knows nothing of this one but what is said here, and takes over what it left.

use super::source::absolute;
use crate::output::Output;
use convscope_engine::run::Finished;
use convscope_engine::run::output::KEPT;
use convscope_engine::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The exit code of a run that the user stopped.
const INTERRUPTED: i32 = 130;

/// How a script is run.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// The script's file.
    pub script: PathBuf,
    /// The folder that its inputs are relative to.
    pub base: PathBuf,
    /// From which all randomness follows.
    pub seed: u64,
    /// MB that probes may hold at once.
    pub memory: u64,
    /// What `param` gives.
    pub params: BTreeMap<String, String>,
    /// Threads; all cores where absent.
    pub threads: Option<usize>,
    /// The most values of an array that its output keeps.
    pub values: usize,
    /// Whether progress is reported.
    pub progress: bool,
}

impl Default for Rerun {
    /// No script, with what a run has where nothing is said.
    fn default() -> Self {
        Rerun {
            script: PathBuf::new(),
            base: PathBuf::new(),
            seed: 0,
            memory: 1024,
            params: BTreeMap::new(),
            threads: None,
            values: KEPT,
            progress: false,
        }
    }
}

/// How it ended.
pub enum Ended {
    /// With everything that the script does.
    Done(Box<Elsewhere>),
    /// With an error of the script.
    Failed(Failure),
    /// By the user.
    Interrupted,
}

/// A run that ended with an error.
pub struct Failure {
    /// The error, in words.
    pub said: String,
    /// What was done by then, where that much is known.
    pub left: Option<Box<Elsewhere>>,
}

/// What a run in another process left, with the folder that holds its files.
pub struct Elsewhere {
    /// What it left.
    pub finished: Finished,
    _folder: TempDir,
}

impl std::ops::Deref for Elsewhere {
    type Target = Finished;

    fn deref(&self) -> &Finished {
        &self.finished
    }
}

impl Rerun {
    /// Runs it by this program's own `run`; `output` is told how far it is.
    ///
    /// # Errors
    /// Where no process can be started or none of its files be read.
    pub fn run(&self, output: &dyn Output) -> Result<Ended> {
        let folder = tempfile::Builder::new().prefix("convscope-").tempdir().map_err(|e| Error::io("a folder", &e))?;
        let (record, out) = (folder.path().join("record"), folder.path().join("out"));
        let program = std::env::current_exe().map_err(|e| Error::io("convscope", &e))?;
        let mut command = Command::new(&program);
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
        if let Some(cache) = std::env::var_os("CONVSCOPE_CACHE").filter(|c| !c.is_empty()) {
            command.env("CONVSCOPE_CACHE", absolute(Path::new(&cache)));
        }
        command.current_dir(absolute(&self.base)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::io(&program, &e))?;
        let said = child.stderr.take().map(|stderr| follow(stderr, output)).unwrap_or_default();
        let status = child.wait().map_err(|e| Error::io(&program, &e))?;
        if status.code() == Some(INTERRUPTED) {
            return Ok(Ended::Interrupted);
        }
        let left = Finished::taken_over(&record, &out);
        Ok(match status.success() {
            true => Ended::Done(Box::new(Elsewhere { finished: left?, _folder: folder })),
            false => {
                let left = left.ok().map(|finished| Box::new(Elsewhere { finished, _folder: folder }));
                Ended::Failed(Failure { said, left })
            }
        })
    }
}

/// Passes on what another process says while it says it, and keeps what looks like an error.
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
