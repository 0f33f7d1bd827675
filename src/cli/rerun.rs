//! Runs a script in a process of its own, which knows nothing of this one but what is said here, and reads what it left.

use super::record::Record;
use super::source::whole;
use super::{INTERRUPTED, terminal};
use convscope_engine::lock::Recorded;
use convscope_engine::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

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
    /// Whether progress is reported.
    pub progress: bool,
}

/// How it ended.
pub enum Ended {
    /// With everything that the script does.
    Done(Box<Finished>),
    /// With an error of the script, which was said on stderr and is repeated here.
    Failed(String),
    /// By the user.
    Interrupted,
}

/// What a run in another process left.
pub struct Finished {
    /// What it read, printed, showed.
    pub record: Record,
    /// Its outputs, in order.
    pub outputs: Vec<Recorded>,
    folder: TempDir,
}

impl Finished {
    /// The folder of the files that it wrote.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }
}

impl Rerun {
    /// Runs it.
    ///
    /// # Errors
    /// Where no process can be started or none of its files be read.
    pub fn run(&self) -> Result<Ended> {
        let folder = tempfile::Builder::new().prefix("convscope-").tempdir().map_err(|e| Error::io("a folder", &e))?;
        let program = std::env::current_exe().map_err(|e| Error::io("convscope", &e))?;
        let mut command = Command::new(&program);
        command.arg("run").arg(whole(&self.script)).arg("--record").arg(folder.path().join("record"));
        command.arg("--out").arg(folder.path().join("out"));
        command.args(["--seed", &self.seed.to_string(), "--memory", &self.memory.to_string()]);
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
            command.env("CONVSCOPE_CACHE", whole(Path::new(&cache)));
        }
        command.current_dir(whole(&self.base)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| Error::io(&program, &e))?;
        let said = child.stderr.take().map(|stderr| follow(stderr, self.progress)).unwrap_or_default();
        let status = child.wait().map_err(|e| Error::io(&program, &e))?;
        Ok(match status.code() {
            Some(0) => {
                let record = Record::open(&folder.path().join("record"))?;
                let outputs = record.outputs(&folder.path().join("out"))?;
                Ended::Done(Box::new(Finished { record, outputs, folder }))
            }
            Some(code) if code == i32::from(INTERRUPTED) => Ended::Interrupted,
            _ => Ended::Failed(said),
        })
    }
}

/// Passes on what another process says while it says it, and keeps what looks like an error.
fn follow(stderr: impl std::io::Read, progress: bool) -> String {
    use std::io::BufRead;
    let mut error = String::new();
    for line in std::io::BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        if line.starts_with("error: ") || !error.is_empty() {
            error += &line;
            error.push('\n');
        } else if progress {
            terminal::complain(&line);
        }
    }
    error
}

/// A parameter's value as `--param` takes it.
pub fn param_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
