//! `convscope shard`: evaluates a script's questions on a part of its data sets' images and saves states that join with those
//! of the other parts. Ray, Spark, Slurm or `xargs -P` call it; after being killed, it resumes with the missing images.

use super::run::{execute, exit_code};
use super::terminal::{Mode, print_err, print_out};
use super::{Params, RunArgs};
use clap::Args;
use convscope_dsl::Place;
use convscope_dsl::run::states::{facts, keeps_none, ledger_of};
use convscope_dsl::run::{Recording, Run, Source, engine};
use convscope_engine::accumulators::Covered;
use convscope_engine::run::{Lock, Numerics};
use convscope_engine::states::{Ledger, Listing, StateEntry, StateFile};
use convscope_engine::table::index;
use convscope_engine::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Evaluate a part of the images of a script's data sets and save states that `merge` joins.
#[derive(Args)]
pub struct Shard {
    /// The script, or its lock: then the script, the engine and the nets must be those that were locked.
    script: PathBuf,
    /// The list of shards that `convscope index` wrote.
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    shards: Option<PathBuf>,
    /// Shards A..B of the list, counted from 0, B excluded [default: all].
    #[arg(long, value_name = "A..B", requires = "shards", value_parser = range)]
    range: Option<Range<usize>>,
    /// Images A..B, counted from 0, B excluded, where there is no list.
    #[arg(long, value_name = "A..B", value_parser = range)]
    images: Option<Range<usize>>,
    /// The state file to write. Until it is complete, the states of waves lie in a folder beside it.
    #[arg(long, short)]
    out: PathBuf,
    /// Images of a wave. The state is saved after each wave; a run that was killed resumes after the last one.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    wave: u64,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: RunArgs,
}

fn range(text: &str) -> std::result::Result<Range<usize>, String> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some(a.trim().parse().ok()?..b.trim().parse().ok()?));
    match parsed {
        Some(range) if range.start < range.end => Ok(range),
        _ => Err("write it as 0..100, the smaller number first".into()),
    }
}

impl Shard {
    /// Computes the states; the exit code.
    pub fn main(self) -> Result<u8> {
        let locked = script_and_lock(&self.script)?;
        let script = locked.as_ref().map_or(&self.script, |(script, _)| script);
        let source = Source::read(script)?;
        source.check(None)?;
        let mut params = locked.as_ref().map(|(_, lock)| lock_params(lock)).unwrap_or_default();
        params.extend(self.params.map());
        let mut work = self.work.clone();
        if let Some((_, lock)) = &locked {
            work.seed = work.seed.or(Some(lock.seed));
        }
        let job = work.with(&source.front).job()?;
        if let Some((_, lock)) = &locked {
            check_lock(lock, &source)?;
        }
        let params = source.front.params(&params)?;
        let aside = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), &e))?;
        let place = Place { inputs: source.folder.clone(), outputs: aside.path().to_path_buf() };
        let run = Run { title: source.name.clone(), source, place, params };
        let ledger = Arc::new(self.ledger(&run)?);
        let job = job.with_ledger(ledger.clone());
        let executed = execute(&run, job, work.quiet, Mode::Json, Recording::default())?;
        let code = exit_code(&run, &executed);
        if code != 0 {
            if ledger.folder.as_ref().is_some_and(|f| f.is_dir()) {
                print_err("finished work is saved; the same command resumes after it");
            }
            return Ok(code);
        }
        let file = ledger.file();
        if file.entries.is_empty() {
            return Err(keeps_none(&run.source.file));
        }
        if let Some((_, lock)) = &locked {
            check_nets(lock, &file)?;
        }
        file.write(&self.out)?;
        if let Some(folder) = &ledger.folder
            && let Err(e) = std::fs::remove_dir_all(folder)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            print_err(&format!(
                "note: the waves in `{}` are no longer needed and could not be removed",
                folder.display()
            ));
        }
        if !self.work.quiet {
            print_out(&format!("{}: {}", self.out.display(), states_text(&file, false)?));
        }
        Ok(0)
    }

    fn ledger(&self, run: &Run) -> Result<Ledger> {
        let facts = facts(run)?;
        let (part, listing) = match &self.shards {
            Some(list) => {
                let (part, listing) = images_of_shards(list, self.range.clone())?;
                (Some(part), Some(listing))
            }
            None => (self.images.clone(), None),
        };
        let folder = Ledger::folder_of(&self.out);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        // An existing state under this name is continued; one of another script or engine is refused.
        let given = match self.out.is_file() {
            true => vec![(self.out.display().to_string(), StateFile::read(&self.out)?)],
            false => Vec::new(),
        };
        let wave = Some(usize::try_from(self.wave).unwrap_or(usize::MAX));
        let mut ledger = Ledger::default();
        (ledger.part, ledger.listing, ledger.wave) = (part, listing, wave);
        (ledger.folder, ledger.facts, ledger.given) = (Some(folder), facts, given);
        Ok(ledger)
    }
}

/// The images of some shards of a list.
fn images_of_shards(list: &Path, range: Option<Range<usize>>) -> Result<(Range<usize>, Listing)> {
    let place = list.display().to_string();
    let listed = index::decode(&place)?.ok_or_else(|| {
        Error::format(format!("`{place}` is no list of shards")).hint("`convscope index SOURCE -o FILE` writes one")
    })?;
    let shards = listed.shards;
    let range = range.unwrap_or(0..shards.len());
    let (Some(first), Some(last)) = (shards.get(range.start), range.end.checked_sub(1).and_then(|i| shards.get(i)))
    else {
        return Err(Error::value(format!(
            "shards {} to {} are asked for, `{place}` lists {}",
            range.start,
            range.end - 1,
            shards.len()
        ))
        .hint("shards are counted from 0, the end of a range is not in it"));
    };
    let part = first.first_image..last.first_image + last.rows;
    let images = shards.last().map_or(0, |s| s.first_image + s.rows);
    let source = shards.first().map_or_else(String::new, |s| s.uri.clone());
    Ok((part, Listing { file: list.to_path_buf(), source, images }))
}

/// The ledger of a run from given states.
pub fn ledger_of_files(run: &Run, states: &[PathBuf]) -> Result<Arc<Ledger>> {
    let read = |path: &PathBuf| Ok((path.display().to_string(), StateFile::read(path)?));
    let given = states.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(ledger_of(facts(run)?, given))
}

/// The states of a file in words: a line for each question, with the gaps where requested.
pub fn states_text(file: &StateFile, gaps: bool) -> Result<String> {
    let mut out = format!("{} questions\n", file.entries.len());
    for (i, entry) in file.entries.iter().enumerate() {
        let StateEntry { question, broken, .. } = entry;
        let seen = Covered::of(&entry.covered)?.count();
        out += &format!("  {} {} of {}: {seen} of {} images", i + 1, question.probe, question.subject, question.images);
        if broken.count > 0 {
            out += &format!(", {} of them could not be read", broken.count);
        }
        out.push('\n');
        for (image, why) in broken.said.iter().take(3) {
            out += &format!("    image {image}: {why}\n");
        }
        for gap in entry.gaps()?.iter().filter(|_| gaps) {
            out += &format!("    missing: images {} to {}\n", gap.start, gap.end - 1);
        }
    }
    Ok(out)
}

/// The script and the lock, where a lock is given.
fn script_and_lock(path: &Path) -> Result<Option<(PathBuf, Lock)>> {
    let Some(stem) = path.to_str().and_then(|p| p.strip_suffix(".lock.json")) else { return Ok(None) };
    let beside = ["rhai", "ipynb"].map(|end| PathBuf::from(format!("{stem}.{end}")));
    let script = beside.iter().find(|p| p.is_file()).ok_or_else(|| {
        Error::not_found(format!("no script beside the lock `{}`", path.display()))
            .hint(format!("it is looked for as `{}`", beside[0].display()))
    })?;
    Ok(Some((script.clone(), Lock::open(path)?)))
}

fn lock_params(lock: &Lock) -> BTreeMap<String, String> {
    let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    lock.params.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn check_lock(lock: &Lock, source: &Source) -> Result<()> {
    let is = source.digested().blake3;
    if lock.script.as_ref().is_none_or(|script| script.blake3 != is) {
        return Err(Error::value(format!("`{}` is not the script that was locked", source.file))
            .hint("lock it again: convscope lock"));
    }
    match lock.other_engine(&engine(), &Numerics::here()?).first() {
        Some(other) => Err(Error::value(format!("this is not the engine that the script was locked with: {other}"))
            .hint("lock it again here, or compute the shards where it was locked")),
        None => Ok(()),
    }
}

fn check_nets(lock: &Lock, file: &StateFile) -> Result<()> {
    let nets = file.entries.iter().flat_map(|e| &e.question.nets);
    match nets.into_iter().find(|net| !lock.nets.iter().any(|l| l.weights == net.weights)) {
        Some(net) => Err(Error::value(format!("the net `{}` has other weights than those that were locked", net.name))
            .hint("lock the script again, or bring the weights back")),
        None => Ok(()),
    }
}
