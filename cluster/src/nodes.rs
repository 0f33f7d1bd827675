//! The processes of a cluster: one scheduler, any number of executors. They listen on loopback by default, because nothing is
//! authenticated.

use crate::functions::{MESSAGE, config, state};
use crate::{job, runtime, shards, threads};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use clap::Args;
use convscope_engine::{Error, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

/// Seconds between two signs of life of an executor.
const HEARTBEAT: u64 = 5;
/// Seconds without one after which an executor counts as lost and its shards are reassigned.
const TIMEOUT: u64 = 30;
/// Seconds that work waits for an executor where there is none.
const NOBODY: u64 = 60;
/// Seconds that an executor waits for its scheduler.
const PATIENCE: u16 = 60;

/// Run a scheduler, which assigns work to executors, until it is stopped.
#[derive(Args)]
pub struct Scheduler {
    /// Where to listen.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:50050")]
    listen: SocketAddr,
    /// What executors call this machine [default: the address that is listened on].
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Listen elsewhere than on loopback: whoever reaches the port can then run scripts on the executors.
    #[arg(long)]
    insecure: bool,
}

/// Run an executor, which takes work from a scheduler, until it is stopped.
#[derive(Args)]
pub struct Executor {
    /// Where the scheduler listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050")]
    scheduler: String,
    /// What messages call this executor [default: its address].
    #[arg(long)]
    name: Option<String>,
    /// The address to listen on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// What scheduler and clients call this machine [default: the address that is listened on].
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The port that results are fetched from [default: a free one].
    #[arg(long)]
    port: Option<u16>,
    /// The port that tasks are sent to [default: a free one].
    #[arg(long)]
    task_port: Option<u16>,
    /// Listen elsewhere than on loopback: whoever reaches the ports can then run scripts here.
    #[arg(long)]
    insecure: bool,
    /// Shards that are computed at once; each uses all threads.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), default_value_t = 1)]
    slots: u16,
    /// Threads that nets run on [default: all processors].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The path of a client's folder on this machine, /data=/mnt/data [default: the same path]; may be repeated.
    #[arg(long = "place", value_name = "FOLDER=FOLDER", value_parser = pair)]
    places: Vec<(PathBuf, PathBuf)>,
    /// The folder for results that wait to be fetched [default: a temporary one].
    #[arg(long)]
    work: Option<PathBuf>,
}

fn pair(text: &str) -> std::result::Result<(PathBuf, PathBuf), String> {
    let (from, to) = text.split_once('=').ok_or("write it as FOLDER=FOLDER")?;
    Ok((from.into(), to.into()))
}

impl Scheduler {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn main(self) -> Result<()> {
        guard(self.listen.ip(), self.insecure)?;
        Complaints::start();
        let host = self.host.clone().unwrap_or_else(|| self.listen.ip().to_string());
        let config = SchedulerConfig {
            external_host: host,
            bind_host: self.listen.ip().to_string(),
            bind_port: self.listen.port(),
            scheduling_policy: TaskSchedulingPolicy::PushStaged,
            executor_timeout_seconds: TIMEOUT,
            expire_dead_executor_interval_seconds: HEARTBEAT,
            no_executors_grace_period_seconds: NOBODY,
            grpc_server_max_decoding_message_size: MESSAGE,
            grpc_server_max_encoding_message_size: MESSAGE,
            grpc_client_max_message_size: MESSAGE,
            override_config_producer: Some(Arc::new(|| config(1))),
            override_session_builder: Some(Arc::new(state)),
            ..SchedulerConfig::default()
        };
        eprintln!("a scheduler listens on {}", self.listen);
        runtime()?.block_on(async {
            let failed = |e: ballista_core::error::BallistaError| {
                Error::value(format!("the scheduler on {}: {e}", self.listen)).hint("is the port taken?")
            };
            let cluster = BallistaCluster::new_from_config(&config).await.map_err(failed)?;
            start_server(cluster, self.listen, Arc::new(config)).await.map_err(failed)
        })
    }
}

impl Executor {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// Where it cannot listen, or finds no scheduler.
    pub fn main(self) -> Result<()> {
        guard(self.listen, self.insecure)?;
        Complaints::start();
        threads(self.threads.map_or(0, usize::from))?;
        let (scheduler_host, scheduler_port) = address(&self.scheduler)?;
        let [port, grpc_port] = self.ports()?;
        let host = self.host.clone().unwrap_or_else(|| self.listen.to_string());
        let name = self.name.clone().unwrap_or_else(|| format!("{host}:{port}"));
        shards::set_name(name.clone());
        job::set_places(self.places.clone());
        let aside = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), &e))?;
        let work = self.work.clone().unwrap_or_else(|| aside.path().to_path_buf());
        let session = state(config(1)).map_err(|e| Error::internal(e.to_string()))?;
        let plain = ExecutorProcessConfig::default();
        let config = ExecutorProcessConfig {
            executor_id: format!("{name}-{}", plain.executor_id),
            bind_host: self.listen.to_string(),
            external_host: Some(host),
            port,
            grpc_port,
            scheduler_host,
            scheduler_port,
            scheduler_connect_timeout_seconds: PATIENCE,
            vcores: usize::from(self.slots),
            task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
            work_dir: Some(work.to_string_lossy().into_owned()),
            grpc_max_decoding_message_size: MESSAGE,
            grpc_max_encoding_message_size: MESSAGE,
            executor_heartbeat_interval_seconds: HEARTBEAT,
            override_function_registry: Some(Arc::new(BallistaFunctionRegistry::from(&session))),
            override_config_producer: Some(Arc::new(|| config(1))),
            ..plain
        };
        eprintln!("the executor `{name}` takes work from {}", self.scheduler);
        let done = runtime()?.block_on(start_executor_process(Arc::new(config)));
        done.map_err(|e| {
            Error::value(format!("the executor `{name}` of the scheduler at `{}`: {e}", self.scheduler))
                .hint("is a scheduler there? convscope-cluster scheduler --listen IP:PORT")
        })
    }

    /// The two ports, free ones where none are named.
    fn ports(&self) -> Result<[u16; 2]> {
        let free = || {
            let found = TcpListener::bind((self.listen, 0)).and_then(|l| Ok((l.local_addr()?.port(), l)));
            found.map_err(|e| Error::value(format!("cannot listen on {}: {e}", self.listen)))
        };
        // Both are held until both are known, so that they differ.
        let (first, second) = (free()?, free()?);
        Ok([self.port.unwrap_or(first.0), self.task_port.unwrap_or(second.0)])
    }
}

/// The host and the port in `HOST:PORT`.
///
/// # Errors
/// Where it is none.
pub fn address(text: &str) -> Result<(String, u16)> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| {
        Error::value(format!("`{text}` is no address of a scheduler"))
            .hint("write it as HOST:PORT, such as 127.0.0.1:50050")
    })
}

/// An error where others than this machine could reach the port and nobody said that they may.
fn guard(listen: IpAddr, insecure: bool) -> Result<()> {
    match listen.is_loopback() || insecure {
        true => Ok(()),
        false => Err(Error::value(format!(
            "listening on {listen} would let whoever reaches it run scripts here: nothing is authenticated"
        ))
        .hint("listen on loopback and tunnel the ports (ssh -L), or say --insecure in a network of your own")),
    }
}

/// Ballista's warnings, on stderr.
struct Complaints;

impl Complaints {
    fn start() {
        static THIS: Complaints = Complaints;
        if log::set_logger(&THIS).is_ok() {
            log::set_max_level(log::LevelFilter::Warn);
        }
    }
}

impl log::Log for Complaints {
    fn enabled(&self, about: &log::Metadata<'_>) -> bool {
        about.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{}: {}", record.level().as_str().to_lowercase(), record.args());
        }
    }

    fn flush(&self) {}
}
