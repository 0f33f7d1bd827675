//! `convscope run --cluster`: a script is handed to the program `convscope-cluster`, a build of its own, which has a cluster look
//! at the images of its data sets and leaves the states of its questions.

use super::terminal::print_err;
use clap::Args;
use convscope_dsl::run::Run;
use convscope_dsl::run::source::absolute;
use convscope_dsl::run::states::ClusterRequest;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::states::StateFile;
use convscope_engine::table::Dealing;
use convscope_engine::{Error, Job, Kind, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is looked for beside this program and on the PATH, unless `CONVSCOPE_CLUSTER` says where it is.
const PROGRAM: &str = "convscope-cluster";
/// The states of a run, in its folder until its report is there.
const STATES: &str = "cluster.state";

/// A cluster, and how images are dealt to it.
#[derive(Args, Clone)]
pub struct ClusterArgs {
    /// Have the cluster whose scheduler listens there look at the images of the script's data sets; the program
    /// `convscope-cluster` is needed for it.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["sealed", "states"])]
    cluster: Option<String>,
    /// Of a cluster: the list of shards that `convscope index` wrote, which the executors see under the same path.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    shards: Option<String>,
    /// Of a cluster: images of a shard, where there is no list.
    #[arg(long, value_name = "N", requires = "cluster", conflicts_with = "shards")]
    rows: Option<i64>,
    /// Of a cluster: shards of a wave; after each the states are kept, and the same command goes on behind it.
    #[arg(long, value_name = "N", requires = "cluster")]
    wave: Option<i64>,
    /// Of a cluster: tasks that a wave is cut into; one a shard unless given.
    #[arg(long, value_name = "N", requires = "cluster")]
    partitions: Option<i64>,
}

impl ClusterArgs {
    /// What a cluster is asked for, where one is.
    pub fn request(&self, run: &Run, job: &Job) -> Result<Option<ClusterRequest>> {
        let Some(address) = &self.cluster else { return Ok(None) };
        let mut dealing = Dealing::default();
        if let Some(shards) = &self.shards {
            dealing.set("shards", &Value::Text(shards.clone()))?;
        }
        for (name, given) in [("rows", self.rows), ("wave", self.wave), ("partitions", self.partitions)] {
            if let Some(n) = given {
                dealing.set(name, &Value::Int(n))?;
            }
        }
        Ok(Some(ClusterRequest {
            address: address.clone(),
            dealing,
            source: run.source.clone(),
            place: run.place.clone(),
            params: run.params.clone(),
            seed: job.seed,
            memory: job.memory,
        }))
    }
}

/// Has a cluster compute the states of a script's questions.
///
/// # Errors
/// Where the program is not there, or it fails.
pub fn ask(request: &ClusterRequest, quiet: bool) -> Result<StateFile> {
    let program = found()?;
    let out = request.place.outputs.join(STATES);
    std::fs::create_dir_all(&request.place.outputs).map_err(|e| Error::io(&request.place.outputs, &e))?;
    let ClusterRequest { address, dealing, source, .. } = request;
    let mut command = Command::new(&program);
    command.args(["states", "-", "--cluster", address, "--name", &source.name, "--file", &source.file]);
    command.arg("--folder").arg(absolute(&request.place.inputs));
    command.arg("--out").arg(&out);
    command.args(["--seed", &request.seed.to_string(), "--memory", &(request.memory >> 20).to_string()]);
    command.args(["--rows", &dealing.rows.to_string(), "--wave", &dealing.wave.to_string()]);
    for (name, value) in &request.params {
        command.args(["--param", &format!("{name}={value}")]);
    }
    if let Some(shards) = &dealing.shards {
        command.arg("--shards").arg(absolute(Path::new(shards)));
    }
    if let Some(partitions) = dealing.partitions {
        command.args(["--partitions", &partitions.to_string()]);
    }
    if quiet {
        command.arg("--quiet");
    }
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(|e| Error::io(&program, &e))?;
    if let Some(mut into) = child.stdin.take()
        && let Err(e) = into.write_all(source.text.as_bytes())
        && e.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(Error::io(&program, &e));
    }
    let status = child.wait().map_err(|e| Error::io(&program, &e))?;
    match status.code() {
        Some(0) => StateFile::read(&out),
        Some(code) if code == i32::from(super::INTERRUPTED) => Err(Error::new(Kind::Interrupted, "interrupted")),
        _ => Err(Error::value(format!("the cluster at `{address}` computed no states: {status}"))
            .hint("what it says stands above; the same command goes on with what is missing")),
    }
}

/// Removes the states of a run whose report is there.
pub fn forget(outputs: &Path) {
    let states = outputs.join(STATES);
    if let Err(e) = std::fs::remove_file(&states)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        print_err(&format!("note: `{}` is no longer needed and could not be removed", states.display()));
    }
}

/// The program: where `CONVSCOPE_CLUSTER` says, beside this one, or on the PATH.
fn found() -> Result<PathBuf> {
    if let Some(said) = std::env::var_os("CONVSCOPE_CLUSTER") {
        let said = PathBuf::from(said);
        return match said.is_file() {
            true => Ok(said),
            false => Err(Error::not_found(format!("CONVSCOPE_CLUSTER says `{}`, where no program is", said.display()))),
        };
    }
    let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(&name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = beside.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(&name)));
    all.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        Error::not_found(format!(
            "a cluster is asked by the program `{PROGRAM}`, which is neither beside this one nor on the PATH"
        ))
        .hint("it is built from a checkout by: cargo install --locked --path cluster")
    })
}
