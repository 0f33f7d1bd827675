//! `convscope-cluster`: convscope's probes over data sets on many machines, by Apache DataFusion Ballista.
//!
//! One program is scheduler, executor and client. The unit of work is the shard: some consecutive images, of which an executor
//! runs the script and keeps the states ([`job`]); Ballista assigns shards to executors and reassigns those of a lost one; the
//! client joins the states in waves ([`client`]). Users' SQL finds the functions of [`functions`].

mod answers;
mod client;
mod exact;
mod functions;
mod images;
mod job;
mod kept;
mod nodes;
mod shards;
mod sql;

use clap::{Parser, Subcommand};
use convscope_engine::{Error, Kind, Result};
use std::process::ExitCode;

/// Probes of convscope over data sets on many machines.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scheduler, which assigns work to executors, until it is stopped.
    Scheduler(nodes::Scheduler),
    /// Run an executor, which takes work from a scheduler, until it is stopped.
    Executor(nodes::Executor),
    /// Compute the states of a script's questions; `convscope run --cluster` calls it.
    States(client::States),
    /// Run an SQL query on a cluster.
    Sql(sql::Sql),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Scheduler(scheduler) => scheduler.main(),
        Command::Executor(executor) => executor.main(),
        Command::States(states) => states.main(),
        Command::Sql(sql) => sql.main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", convscope_dsl::Diagnostic::of(error.clone()));
            ExitCode::from(if error.kind == Kind::Interrupted { 130 } else { 1 })
        }
    }
}

/// The threads that sockets are served and plans are made on.
fn runtime() -> Result<tokio::runtime::Runtime> {
    // Plans are walked by functions that call themselves.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(32 << 20);
    builder.build().map_err(|e| Error::internal(format!("threads: {e}")))
}

/// The threads that nets run on; all processors where that is 0.
fn threads(count: usize) -> Result<()> {
    convscope_engine::simd::chosen()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count);
    pool.build_global().map_err(|e| Error::internal(format!("threads: {e}")))
}
