//! The answers of executors, and the messages for errors of a cluster.

use crate::functions::MESSAGE;
use crate::nodes::address;
use convscope_engine::probes::merge_states;
use convscope_engine::states::{StateFile, merge};
use convscope_engine::{Error, Kind, Result};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::error::DataFusionError;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::time::Duration;

/// States that are held before they are joined.
const AT_ONCE: usize = 32;
/// How long a scheduler may take to be reached.
const LOOK: Duration = Duration::from_secs(3);

/// The results of a wave.
#[derive(Default)]
pub struct Answers {
    parts: Vec<StateFile>,
    /// The joined state.
    pub state: Option<StateFile>,
    /// Shards by executor.
    pub done: BTreeMap<String, usize>,
    /// Executors that are refused, and why.
    pub refused: BTreeMap<String, String>,
    /// Shards that nobody answered for, or that were given to such executors.
    pub left: Vec<Range<usize>>,
    /// The first images of the shards that were answered for.
    answered: BTreeSet<usize>,
    /// Shards on which the script failed, and why.
    pub failed: Vec<(Range<usize>, String)>,
}

impl Answers {
    /// Adds a batch of answers.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let answer = batch.column(0).as_struct();
        let column = |name: &str| {
            answer.column_by_name(name).ok_or_else(|| Error::format("the cluster's answer is of another version"))
        };
        let (first, images) =
            (column("first")?.as_primitive::<Int64Type>(), column("images")?.as_primitive::<Int64Type>());
        let (name, state) = (column("executor")?.as_string::<i32>(), column("state")?.as_binary::<i64>());
        let (refused, failed) = (column("refused")?.as_string::<i32>(), column("failed")?.as_string::<i32>());
        for row in 0..batch.num_rows() {
            let start = usize::try_from(first.value(row)).unwrap_or(0);
            let shard = start..start + usize::try_from(images.value(row)).unwrap_or(0);
            let answers = state.is_valid(row) || failed.is_valid(row);
            if answers && !self.answered.insert(start) {
                // Another executor had the same shard and was sooner.
                continue;
            }
            if state.is_valid(row) {
                self.parts.push(StateFile::of(state.value(row))?);
                *self.done.entry(name.value(row).into()).or_default() += 1;
                if self.parts.len() >= AT_ONCE {
                    self.join()?;
                }
            } else if refused.is_valid(row) {
                self.refused.insert(name.value(row).into(), refused.value(row).into());
            } else {
                self.failed.push((shard, format!("{} (on `{}`)", failed.value(row), name.value(row))));
            }
        }
        Ok(())
    }

    fn join(&mut self) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        let all = self.state.take().into_iter().chain(parts).enumerate();
        let mut all = all.map(|(i, file)| (format!("state {i}"), Ok(file))).peekable();
        if all.peek().is_some() {
            self.state = Some(merge(all, merge_states)?);
        }
        Ok(())
    }

    /// Joins the results of a wave, and records its shards that are left.
    ///
    /// # Errors
    /// Where states cannot be joined.
    pub fn close(&mut self, wave: &[Range<usize>]) -> Result<()> {
        self.left = wave.iter().filter(|s| !self.answered.contains(&s.start)).cloned().collect();
        self.join()
    }

    /// Whether there are no results yet.
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty() && self.refused.is_empty()
    }

    /// The error of a wave without results.
    pub fn nothing(&self, cluster: &str) -> Result<()> {
        if let Some((_, why)) = self.failed.first() {
            return Err(Error::value(format!("no shard of the wave could be computed: {why}"))
                .hint("do the executors see the script's files and nets under the same paths?"));
        }
        let all: Vec<String> = self.refused.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
        Err(Error::unsupported(format!(
            "no executor of the cluster at `{cluster}` computes what this machine does: {}",
            all.join("; ")
        ))
        .hint("one build of convscope, one class of processors and the same weights on all machines"))
    }
}

/// A scheduler's address as Ballista takes it.
///
/// # Errors
/// Where it is none.
pub fn url(cluster: &str) -> Result<String> {
    let (host, port) = address(cluster)?;
    Ok(format!("http://{host}:{port}"))
}

/// An error of a cluster, in a sentence; of kind `Io` where trying again may help.
pub fn failed(cluster: &str, error: DataFusionError) -> Error {
    let said = error.strip_backtrace();
    let said = said.strip_prefix("Execution error: ").unwrap_or(&said);
    // gRPC's own form: Status { code: .., message: "..", source: .. }
    let inner = said.split_once("message: \"").and_then(|(_, rest)| rest.split_once("\", "));
    let said = inner.map_or(said, |(message, _)| message);
    let kept = "finished work is saved; the same command resumes with the missing images";
    if !answers(cluster) {
        return Error::unsupported(format!("no scheduler answers at `{cluster}`"))
            .hint(format!("start one: convscope-cluster scheduler --listen {cluster}; {kept}"));
    }
    if let Some((_, name)) = said.split_once("no UDF named \"").or_else(|| said.split_once("no UDAF named \"")) {
        let name = name.split('"').next().unwrap_or_default();
        return Error::unsupported(format!("the cluster at `{cluster}` does not know the function `{name}`"))
            .hint("its scheduler and executors must be `convscope-cluster` of this version");
    }
    if said.contains("message length too large") {
        return Error::value(format!("a shard's state is longer than the {} MB of a message", MESSAGE >> 20))
            .hint("smaller shards have smaller states: --rows, or convscope index --rows");
    }
    // A job that was given up, or an executor that no longer answers.
    let again = ["failed: ", "transport error", "ConnectError", "GrpcConnectionError", "FetchFailed"];
    let kind = if again.iter().any(|a| said.contains(a)) { Kind::Io } else { Kind::Value };
    Error::new(kind, format!("the cluster at `{cluster}`: {said}")).hint(kept)
}

/// Whether somebody listens there.
fn answers(cluster: &str) -> bool {
    let places = address(cluster).ok().and_then(|place| place.to_socket_addrs().ok());
    places.into_iter().flatten().any(|place| TcpStream::connect_timeout(&place, LOOK).is_ok())
}
