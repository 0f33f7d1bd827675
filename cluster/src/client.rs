//! The client: deals the shards of a script's data set to a cluster wave by wave, joins their states and keeps them after each wave.

use crate::functions::{MESSAGE, config, state};
use crate::job::Work;
use crate::nodes::address;
use crate::shards::probe_shard;
use crate::{runtime, threads};
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use clap::Args;
use convscope_dsl::run::Source;
use convscope_engine::probes::merge_states;
use convscope_engine::running::Covered;
use convscope_engine::states::{Ledger, StateFile, merge};
use convscope_engine::table::index;
use convscope_engine::{Error, Job, Kind, Result, regular};
use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::SessionContext;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// How often a shard, and a wave, is tried.
const TRIES: usize = 3;
/// States that are held before they are joined.
const AT_ONCE: usize = 32;

/// Compute the states of a script's questions; `convscope run --cluster` calls it.
#[derive(Args)]
pub struct States {
    /// The script; `-` is stdin.
    script: PathBuf,
    /// Where the scheduler listens.
    #[arg(long, value_name = "HOST:PORT")]
    cluster: String,
    /// The state file to write. Until it is whole, the states of waves lie in a folder beside it.
    #[arg(long, short)]
    out: PathBuf,
    /// The list of shards that `convscope index` wrote, which the executors see under the same path.
    #[arg(long, value_name = "FILE")]
    shards: Option<PathBuf>,
    /// Images of a shard, where there is no list.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Shards of a wave: after each the states are kept, and the same command goes on behind it.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    wave: u64,
    /// Tasks that a wave is cut into; one a shard unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    partitions: Option<u64>,
    /// The script's name, where it comes from stdin.
    #[arg(long)]
    name: Option<String>,
    /// What messages call the script, where it comes from stdin.
    #[arg(long)]
    file: Option<String>,
    /// The folder of the script's inputs, as executors see it [default: the script's].
    #[arg(long)]
    folder: Option<PathBuf>,
    /// From which all randomness follows [default: what the script's front matter says, else 0].
    #[arg(long)]
    seed: Option<u64>,
    /// The memory that probes of an executor may hold, MB [default: what the script's front matter says, else 1024].
    #[arg(long)]
    memory: Option<u64>,
    /// What `param(name, default)` gives in the script.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Report no progress.
    #[arg(long, short)]
    quiet: bool,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

impl States {
    /// Computes the states that are missing.
    ///
    /// # Errors
    /// Where the script fails, the cluster does not answer, or shards could not be computed.
    pub fn main(self) -> Result<()> {
        threads(0)?;
        let source = self.source()?;
        let params = source.front.params(&self.params.iter().cloned().collect())?;
        let work = Work {
            name: source.name.clone(),
            file: source.file.clone(),
            text: source.text.clone(),
            folder: convscope_dsl::run::source::absolute(&source.folder),
            params,
            seed: self.seed.or(source.front.seed).unwrap_or(0),
            memory: self.memory.or(source.front.memory).unwrap_or(1024) << 20,
            list: self.shards.as_deref().map(convscope_dsl::run::source::absolute),
            facts: BTreeMap::new(),
            questions: Vec::new(),
            probe: String::new(),
        };
        let (work, images) = work.plan(&Job::new())?;
        let shards = self.dealt(images)?;
        let kept = Kept::open(&self.out, &work)?;
        runtime()?.block_on(async {
            tokio::select! {
                done = self.compute(&work, &shards, kept) => done,
                _ = tokio::signal::ctrl_c() => {
                    Err(Error::new(Kind::Interrupted, "interrupted").hint("the same command goes on behind the last wave"))
                }
            }
        })
    }

    fn source(&self) -> Result<Source> {
        if self.script.as_os_str() != "-" {
            let source = Source::read(&self.script)?;
            let folder = self.folder.clone().unwrap_or(source.folder.clone());
            return Ok(Source { folder, ..source });
        }
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| Error::io("stdin", &e))?;
        let name = self.name.clone().unwrap_or_else(|| "stdin".into());
        let file = self.file.clone().unwrap_or_else(|| "-".into());
        Source::of(&name, &file, text, self.folder.clone().unwrap_or_default())
    }

    /// The shards of a data set of so many images.
    fn dealt(&self, images: usize) -> Result<Vec<Range<usize>>> {
        let Some(list) = &self.shards else {
            let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
            return Ok((0..images).step_by(rows).map(|a| a..a.saturating_add(rows).min(images)).collect());
        };
        let place = list.display().to_string();
        let shards = index::decode(&place)?.ok_or_else(|| {
            Error::format(format!("`{place}` is no list of shards")).hint("`convscope index SOURCE -o FILE` writes one")
        })?;
        let listed = shards.last().map_or(0, |s| s.first_image + s.rows);
        if listed != images {
            return Err(Error::value(format!("`{place}` lists {listed} images, the script's data set has {images}"))
                .hint("make a list of this data set: convscope index"));
        }
        Ok(shards.iter().map(|s| s.first_image..s.first_image + s.rows).collect())
    }

    async fn compute(&self, work: &Work, shards: &[Range<usize>], mut kept: Kept) -> Result<()> {
        let missing = |s: &Range<usize>| kept.covered.missing(s.clone());
        let mut waiting: VecDeque<Range<usize>> = shards.iter().flat_map(missing).collect();
        let total = waiting.len();
        if total < shards.len() && !self.quiet {
            eprintln!("{} of {} shards are done already", shards.len() - total, shards.len());
        }
        let begun = Instant::now();
        let mut tries: BTreeMap<usize, usize> = BTreeMap::new();
        let mut broken: Vec<(Range<usize>, String)> = Vec::new();
        let mut named = BTreeSet::new();
        let most = usize::try_from(self.wave).unwrap_or(usize::MAX);
        while !waiting.is_empty() {
            let wave: Vec<Range<usize>> = waiting.drain(..most.min(waiting.len())).collect();
            let mut answers = self.wave(work, &wave).await?;
            if let Some(state) = answers.state.take() {
                kept.keep(&state)?;
            }
            for (name, why) in &answers.refused {
                if named.insert(name.clone()) {
                    eprintln!("the executor `{name}` is refused: {why}");
                }
            }
            if answers.done.is_empty() {
                answers.nothing(&self.cluster)?;
            }
            for (shard, why) in answers.failed {
                let tried = tries.entry(shard.start).or_default();
                *tried += 1;
                match *tried < TRIES {
                    true => waiting.push_back(shard),
                    false => broken.push((shard, why)),
                }
            }
            let refused = wave.into_iter().filter(|s| answers.left.contains(&s.start));
            waiting.extend(refused);
            if !self.quiet {
                let (done, seconds) = (total - waiting.len() - broken.len(), begun.elapsed().as_secs_f64());
                let left = seconds / done.max(1) as f64 * waiting.len() as f64;
                let names: Vec<&str> = answers.done.keys().map(String::as_str).collect();
                eprintln!(
                    "{done} of {total} shards, {:.2} a second, {left:.0} s left, by {}",
                    done as f64 / seconds,
                    names.join(", ")
                );
            }
        }
        if broken.is_empty() {
            return kept.finish(&self.out);
        }
        let first: Vec<String> =
            broken.iter().take(3).map(|(s, why)| format!("images {} to {}: {why}", s.start, s.end - 1)).collect();
        Err(Error::value(format!("{} shards were tried {TRIES} times and failed: {}", broken.len(), first.join("; ")))
            .hint("what was done is kept; the same command tries them again"))
    }

    /// What the cluster says of a wave; tried again where executors were lost faster than it deals anew.
    async fn wave(&self, work: &Work, wave: &[Range<usize>]) -> Result<Answers> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.ask(work, wave).await {
                Err(e) if tried < TRIES && e.kind == Kind::Io => eprintln!("the wave is dealt anew: {}", e.message),
                other => return other,
            }
        }
    }

    async fn ask(&self, work: &Work, wave: &[Range<usize>]) -> Result<Answers> {
        let wrong = |e: DataFusionError| failed(&self.cluster, e);
        let most = self.partitions.map_or(wave.len(), |n| usize::try_from(n).unwrap_or(usize::MAX)).min(wave.len());
        let schema =
            Arc::new(Schema::new(["first", "images"].map(|name| Field::new(name, DataType::Int64, false)).to_vec()));
        let task = |p: usize| {
            let mine = || wave.iter().skip(p).step_by(most);
            let numbers = |of: &dyn Fn(&Range<usize>) -> usize| {
                Arc::new(Int64Array::from_iter_values(mine().map(|s| of(s) as i64)))
            };
            RecordBatch::try_new(schema.clone(), vec![numbers(&|s| s.start), numbers(&|s| s.len())])
                .map(|batch| vec![batch])
        };
        let dealt = (0..most).map(task).collect::<std::result::Result<Vec<_>, _>>().map_err(|e| wrong(e.into()))?;
        let table = MemTable::try_new(schema.clone(), dealt).map_err(wrong)?;
        let text = serde_json::to_string(work).map_err(|e| Error::internal(e.to_string()))?;
        let local = SessionContext::new_with_state(state(config(most)).map_err(wrong)?);
        let answer = probe_shard().call(vec![lit(text), col("first"), col("images")]).alias("answer");
        let frame = local.read_table(Arc::new(table)).and_then(|t| t.select(vec![answer])).map_err(wrong)?;
        let plan = frame.create_physical_plan().await.map_err(wrong)?;
        let session = config(most).with_ballista_job_name(&work.name);
        let (ballista, codec) = (session.ballista_config(), session.ballista_physical_extension_codec());
        let id = local.session_id();
        let stream = execute_physical_plan::<PhysicalPlanNode>(
            url(&self.cluster)?,
            &ballista,
            plan,
            codec.as_ref(),
            id,
            session,
        );
        let mut stream = stream.await.map_err(wrong)?;
        let mut answers = Answers::default();
        while let Some(batch) = stream.next().await {
            answers.take(&batch.map_err(wrong)?)?;
        }
        answers.join()?;
        Ok(answers)
    }
}

/// What came of a wave.
#[derive(Default)]
struct Answers {
    parts: Vec<StateFile>,
    state: Option<StateFile>,
    /// Shards by executor.
    done: BTreeMap<String, usize>,
    /// Executors that are refused, and why.
    refused: BTreeMap<String, String>,
    /// The first images of the shards that they were given.
    left: BTreeSet<usize>,
    failed: Vec<(Range<usize>, String)>,
}

impl Answers {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
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
            if state.is_valid(row) {
                self.parts.push(StateFile::of(state.value(row))?);
                *self.done.entry(name.value(row).into()).or_default() += 1;
                if self.parts.len() >= AT_ONCE {
                    self.join()?;
                }
            } else if refused.is_valid(row) {
                self.refused.insert(name.value(row).into(), refused.value(row).into());
                self.left.insert(start);
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

    /// The error of a wave of which nothing came.
    fn nothing(&self, cluster: &str) -> Result<()> {
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

/// The states that are there already.
struct Kept {
    folder: PathBuf,
    files: Vec<PathBuf>,
    covered: Covered,
}

impl Kept {
    /// Those of an earlier run for the same file.
    fn open(out: &std::path::Path, work: &Work) -> Result<Self> {
        let folder = Ledger::folder_of(out);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        let mut files = regular::entries(&folder)?;
        files.retain(|p| p.extension().is_some_and(|e| e == "state"));
        files.sort();
        files.extend(out.is_file().then(|| out.to_path_buf()));
        let mut kept = Kept { folder, files: Vec::new(), covered: Covered::new() };
        for path in files {
            let place = path.display().to_string();
            let hint = |e: Error| e.hint(format!("remove `{}` and its waves to begin anew", out.display()));
            let file = StateFile::read(&path).map_err(hint)?;
            file.check_facts(&work.facts, &place).map_err(hint)?;
            for (asked, there) in work.questions.iter().zip(&file.entries) {
                asked.check(&there.question, &place).map_err(hint)?;
            }
            if let Some(entry) = file.entries.first() {
                kept.covered.merge(&Covered::of(&entry.covered)?).map_err(hint)?;
            }
            kept.files.push(path);
        }
        Ok(kept)
    }

    fn keep(&mut self, state: &StateFile) -> Result<()> {
        let covered = match state.entries.first() {
            Some(entry) => Covered::of(&entry.covered)?,
            None => return Ok(()),
        };
        let first = covered.ranges().first().map_or(0, |r| r.start);
        let path = self.folder.join(format!("{first:012}-{:012}.state", covered.count()));
        state.write(&path)?;
        self.covered.merge(&covered)?;
        self.files.push(path);
        Ok(())
    }

    /// Joins all waves into one file and removes them.
    fn finish(self, out: &std::path::Path) -> Result<()> {
        let read = self.files.iter().map(|path| (path.display().to_string(), StateFile::read(path)));
        merge(read, merge_states)?.write(out)?;
        std::fs::remove_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, &e))
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

/// What went wrong in a cluster, in a sentence; of kind `Io` where trying again may help.
pub fn failed(cluster: &str, error: DataFusionError) -> Error {
    let said = error.strip_backtrace();
    let said = said.strip_prefix("Execution error: ").unwrap_or(&said);
    // gRPC's own form: Status { code: .., message: "..", source: .. }
    let inner = said.split_once("message: \"").and_then(|(_, rest)| rest.split_once("\", "));
    let refused =
        said.contains("transport error") || said.contains("tcp connect error") || said.contains("ConnectError");
    let said = inner.map_or(said, |(message, _)| message);
    let kept = "what was done is kept; the same command goes on with what is missing";
    if refused {
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
    let (kind, what) = match said.contains("failed: ") {
        true => (Kind::Io, "the cluster gave up"),
        false => (Kind::Value, "the cluster"),
    };
    Error::new(kind, format!("{what} at `{cluster}`: {said}")).hint(kept)
}
