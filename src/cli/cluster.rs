//! `convscope run --cluster`: starts the program `convscope-cluster`, a separate build, which evaluates the images of a script's
//! data sets on a cluster and writes the states of its questions.

use super::terminal::print_err;
use clap::Args;
use convscope_dsl::run::Run;
use convscope_dsl::run::request::ClusterRequest;
use convscope_dsl::run::source::absolute;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::states::StateFile;
use convscope_engine::table::ClusterOptions;
use convscope_engine::{Error, Job, Kind, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program's name. It is looked for beside this one and on the PATH, unless `CONVSCOPE_CLUSTER` has its path.
const PROGRAM: &str = "convscope-cluster";
/// The file of a run's states in its output folder, until the report is written.
const STATES_FILE: &str = "cluster.state";

/// A cluster, and the division of images among its tasks.
#[derive(Args, Clone)]
pub struct ClusterArgs {
    /// Evaluate the images of the script's data sets on the cluster whose scheduler listens at this address; needs the program
    /// `convscope-cluster`.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["sealed", "states"])]
    cluster: Option<String>,
    /// With --cluster: the list of shards that `convscope index` wrote; executors must see it under the same path.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    shards: Option<String>,
    /// With --cluster: images of a shard, where there is no list.
    #[arg(long, value_name = "N", requires = "cluster", conflicts_with = "shards")]
    rows: Option<i64>,
    /// With --cluster: shards of a wave. States are saved after each wave; the same command resumes after the last one.
    #[arg(long, value_name = "N", requires = "cluster")]
    wave: Option<i64>,
    /// With --cluster: tasks that a wave is divided into [default: one for each shard].
    #[arg(long, value_name = "N", requires = "cluster")]
    partitions: Option<i64>,
}

impl ClusterArgs {
    /// The request to the cluster, where one is given.
    pub fn request(&self, run: &Run, job: &Job) -> Result<Option<ClusterRequest>> {
        let Some(address) = &self.cluster else { return Ok(None) };
        let mut options = ClusterOptions::default();
        if let Some(shards) = &self.shards {
            options.set("shards", &Value::Text(shards.clone()))?;
        }
        for (name, given) in [("rows", self.rows), ("wave", self.wave), ("partitions", self.partitions)] {
            if let Some(n) = given {
                options.set(name, &Value::Int(n))?;
            }
        }
        Ok(Some(ClusterRequest {
            address: address.clone(),
            options,
            source: run.source.clone(),
            place: run.place.clone(),
            params: run.params.clone(),
            seed: job.seed,
            memory: job.memory,
        }))
    }
}

/// Computes the states of a script's questions on a cluster.
///
/// # Errors
/// Where the program is missing or fails.
pub fn compute_states(request: &ClusterRequest, quiet: bool) -> Result<StateFile> {
    let program = find_program()?;
    let out = request.place.outputs.join(STATES_FILE);
    std::fs::create_dir_all(&request.place.outputs).map_err(|e| Error::io(&request.place.outputs, &e))?;
    let ClusterRequest { address, options, source, .. } = request;
    let mut command = Command::new(&program);
    command.args(["states", "-", "--cluster", address, "--name", &source.name, "--file", &source.file]);
    command.arg("--folder").arg(absolute(&request.place.inputs));
    command.arg("--out").arg(&out);
    command.args(["--seed", &request.seed.to_string(), "--memory", &(request.memory >> 20).to_string()]);
    command.args(["--rows", &options.rows.to_string(), "--wave", &options.wave.to_string()]);
    for (name, value) in &request.params {
        command.args(["--param", &format!("{name}={value}")]);
    }
    if let Some(shards) = &options.shards {
        command.arg("--shards").arg(absolute(Path::new(shards)));
    }
    if let Some(partitions) = options.partitions {
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
            .hint("its messages are above; the same command resumes with the missing images")),
    }
}

/// Removes the states of a run after its report is written.
pub fn remove_states(outputs: &Path) {
    let states = outputs.join(STATES_FILE);
    if let Err(e) = std::fs::remove_file(&states)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        print_err(&format!("note: `{}` is no longer needed and could not be removed", states.display()));
    }
}

/// The program: `CONVSCOPE_CLUSTER`, beside this one, or on the PATH.
fn find_program() -> Result<PathBuf> {
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
            "`--cluster` needs the program `{PROGRAM}`, which is neither beside this one nor on the PATH"
        ))
        .hint("it is built from a checkout by: cargo install --locked --path cluster")
    })
}
