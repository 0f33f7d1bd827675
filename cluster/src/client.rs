//! The client: assigns the shards of a script's data set to a cluster wave by wave, joins their states and saves them after
//! each wave.

use crate::answers::{Answers, failed, url};
use crate::functions::{config, state};
use crate::job::Work;
use crate::kept::Kept;
use crate::shards::probe_shard;
use crate::{runtime, threads};
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use clap::Args;
use convscope_dsl::run::Source;
use convscope_engine::table::index;
use convscope_engine::{Error, Job, Kind, Result};
use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
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
use std::time::{Duration, Instant};

/// How often a shard, and a wave, is tried.
const TRIES: usize = 3;
/// How many waves in turn may go to refused executors alone, once others have computed.
const FRUITLESS: usize = 20;
/// Between two tries of a wave.
const PAUSE: Duration = Duration::from_secs(10);

/// Compute the states of a script's questions; `convscope run --cluster` calls it.
#[derive(Args)]
pub struct States {
    /// The script; `-` is stdin.
    script: PathBuf,
    /// Where the scheduler listens.
    #[arg(long, value_name = "HOST:PORT")]
    cluster: String,
    /// The state file to write. Until it is complete, the states of waves lie in a folder beside it.
    #[arg(long, short)]
    out: PathBuf,
    /// The list of shards that `convscope index` wrote; executors must see it under the same path.
    #[arg(long, value_name = "FILE")]
    shards: Option<PathBuf>,
    /// Images of a shard, where there is no list.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Shards of a wave. States are saved after each wave; the same command resumes after the last one.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    wave: u64,
    /// Tasks that a wave is divided into [default: one for each shard].
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
    /// The seed of all random numbers [default: that of the script's front matter, else 0].
    #[arg(long)]
    seed: Option<u64>,
    /// The memory that probes of an executor may use, MB [default: that of the script's front matter, else 1024].
    #[arg(long)]
    memory: Option<u64>,
    /// Set the value that `param("NAME", default)` returns in the script; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// Report no progress.
    #[arg(long, short)]
    quiet: bool,
}

/// The two sides of NAME=VALUE.
pub fn pair(text: &str) -> std::result::Result<(String, String), String> {
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
                    Err(Error::new(Kind::Interrupted, "interrupted").hint("the same command resumes after the last wave"))
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
        let list = index::decode(&place)?.ok_or_else(|| {
            Error::format(format!("`{place}` is no list of shards")).hint("`convscope index SOURCE -o FILE` writes one")
        })?;
        let shards = list.shards;
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
        // Waves since one of which something came; none before the first.
        let mut fruitless: Option<usize> = None;
        let most = usize::try_from(self.wave).unwrap_or(usize::MAX);
        while !waiting.is_empty() {
            let wave: Vec<Range<usize>> = waiting.drain(..most.min(waiting.len())).collect();
            // What went to refused executors alone is dealt to several at once.
            let copies = 1 + fruitless.unwrap_or(0);
            let mut answers = self.wave(work, &wave, copies).await?;
            if let Some(state) = answers.state.take() {
                kept.keep(&state)?;
            }
            for (name, why) in &answers.refused {
                if named.insert(name.clone()) {
                    eprintln!("the executor `{name}` is refused: {why}");
                }
            }
            if !answers.done.is_empty() {
                fruitless = Some(0);
            } else if !answers.refused.is_empty() || fruitless.is_none() {
                // Others computed before: the scheduler dealt this wave to executors that are refused.
                let Some(waves) = fruitless.filter(|waves| *waves < FRUITLESS) else {
                    return answers.nothing(&self.cluster);
                };
                fruitless = Some(waves + 1);
            }
            for (shard, why) in answers.failed {
                let tried = tries.entry(shard.start).or_default();
                *tried += 1;
                match *tried < TRIES {
                    true => waiting.push_back(shard),
                    false => broken.push((shard, why)),
                }
            }
            waiting.extend(answers.left);
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
            .hint("finished work is saved; the same command tries them again"))
    }

    /// The cluster's results of a wave; tried again where executors were lost faster than their shards were reassigned.
    async fn wave(&self, work: &Work, wave: &[Range<usize>], copies: usize) -> Result<Answers> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.ask(work, wave, copies).await {
                Err(e) if tried < TRIES && e.kind == Kind::Io => {
                    eprintln!("the wave's shards are reassigned: {}", e.message);
                    // By then the scheduler knows who is lost.
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    async fn ask(&self, work: &Work, wave: &[Range<usize>], copies: usize) -> Result<Answers> {
        let wrong = |e: DataFusionError| failed(&self.cluster, e);
        let tasks: Vec<&Range<usize>> = (0..copies).flat_map(|_| wave).collect();
        let most = self.partitions.map_or(tasks.len(), |n| usize::try_from(n).unwrap_or(usize::MAX)).min(tasks.len());
        let schema =
            Arc::new(Schema::new(["first", "images"].map(|name| Field::new(name, DataType::Int64, false)).to_vec()));
        let task = |p: usize| {
            let mine = || tasks.iter().copied().skip(p).step_by(most);
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
            match batch {
                Ok(batch) => answers.take(&batch)?,
                // Of an executor that was lost behind its work: what others answered is there.
                Err(e) if !answers.is_empty() => {
                    eprintln!("answers of a lost executor are computed anew: {}", wrong(e).message);
                    break;
                }
                Err(e) => return Err(wrong(e)),
            }
        }
        answers.close(wave)?;
        Ok(answers)
    }
}
