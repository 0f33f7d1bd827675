//! `convscope lock`: runs a script twice, in fresh processes on one and on several threads, and writes down what belongs
//! together; refuses what would not come out the same again.

use super::rerun::{Ended, Finished, Rerun};
use super::run::copy_folder;
use super::source::Source;
use super::terminal::{complain, say};
use super::{FAILED, INTERRUPTED, Params, USAGE, Work, out_folder};
use clap::Args;
use convscope_engine::lock::content::KEPT;
use convscope_engine::lock::{Lock, compare};
use convscope_engine::show::{Report, Section};
use convscope_engine::{Error, Result, atomic};
use std::path::{Path, PathBuf};

/// Run a script twice and write down what belongs together: SCRIPT.lock.json.
#[derive(Args)]
pub struct LockScript {
    /// The script, or a notebook.
    script: PathBuf,
    /// The folder for report.html, figures/ and what the script saves [default: convscope-out/SCRIPT].
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// The most values of an array that the lock keeps, to tell where a difference lies; of longer ones it keeps some.
    #[arg(long, default_value_t = KEPT, value_name = "N")]
    values: usize,
    /// Print the lock.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    work: Work,
}

/// How making a lock ended.
pub enum Made {
    /// With a lock, beside the script.
    Lock(Box<Lock>, Box<Finished>),
    /// Without: why was said.
    Code(u8),
}

impl LockScript {
    /// Locks; the exit code.
    pub fn main(self) -> Result<u8> {
        let (lock, finished) = match self.make()? {
            Made::Lock(lock, finished) => (lock, finished),
            Made::Code(code) => return Ok(code),
        };
        let source = Source::read(&self.script)?;
        let out = out_folder(self.out.as_ref(), &source.name);
        copy_folder(&finished.out(), &out)?;
        atomic::write(out.join("report.html"), report(&source, &lock, &finished)?.as_bytes())?;
        if self.json {
            say(&(lock.text()? + "\n"));
        } else if !self.work.quiet {
            say(&format!(
                "{}: {} outputs, {} inputs, {} nets, the same on {:?} threads\n",
                file(&self.script).display(),
                lock.outputs.len(),
                lock.inputs.len(),
                lock.nets.len(),
                lock.threads
            ));
        }
        Ok(0)
    }

    /// A lock of a script with nothing said on the command line.
    pub fn of(script: &Path, quiet: bool) -> Self {
        LockScript {
            script: script.to_path_buf(),
            out: None,
            values: KEPT,
            json: false,
            params: Params { params: Vec::new() },
            work: Work { seed: None, threads: None, memory: None, quiet },
        }
    }

    /// Runs the script twice and writes the lock.
    ///
    /// # Errors
    /// Where the script cannot be read or run, or would not come out the same again.
    pub fn make(&self) -> Result<Made> {
        let _ = ctrlc::set_handler(|| {});
        let source = Source::read(&self.script)?;
        source.check()?;
        let params = match source.front.params(&self.params.map()) {
            Ok(params) => params,
            Err(error) => {
                complain(&convscope_dsl::Diagnostic::of(error).to_string());
                return Ok(Made::Code(USAGE));
            }
        };
        let work = self.work.with(&source.front);
        let cores = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let several = work.threads.map_or(cores, usize::from);
        let rerun = |threads| Rerun {
            script: self.script.clone(),
            base: source.folder.clone(),
            seed: work.seed.unwrap_or(0),
            memory: work.memory.unwrap_or(1024),
            params: params.clone(),
            threads: Some(threads),
            progress: !work.quiet,
        };
        let one = match rerun(1).run()? {
            Ended::Done(finished) => finished,
            Ended::Failed(said) => return Ok(failed(&said)),
            Ended::Interrupted => return Ok(Made::Code(INTERRUPTED)),
        };
        if !one.record.unrepeatable.is_empty() {
            let what = one.record.unrepeatable.join(", ");
            return Err(Error::value(format!("the script asks for {what}, which no second run gives again"))
                .hint("leave it out, or run the script without a lock"));
        }
        let other = match rerun(several).run()? {
            Ended::Done(finished) => finished,
            Ended::Failed(said) => return Ok(failed(&said)),
            Ended::Interrupted => return Ok(Made::Code(INTERRUPTED)),
        };
        let lock = one.record.lock(&source, &one.outputs, vec![1, several], self.values);
        same(&lock, &one, &other, several)?;
        atomic::write(file(&self.script), lock.text()?.as_bytes())?;
        Ok(Made::Lock(Box::new(lock), one))
    }
}

/// The lock's file: beside the script, under its name.
pub fn file(script: &Path) -> PathBuf {
    script.with_extension("lock.json")
}

fn failed(said: &str) -> Made {
    complain(said.trim_end());
    Made::Code(FAILED)
}

/// Both runs gave the same, each output as its rule says.
fn same(lock: &Lock, one: &Finished, other: &Finished, several: usize) -> Result<()> {
    if one.outputs.len() != other.outputs.len() {
        let (a, b) = (one.outputs.len(), other.outputs.len());
        return Err(Error::value(format!("{a} outputs came out on 1 thread, {b} on {several}")));
    }
    for ((entry, first), second) in lock.outputs.iter().zip(&one.outputs).zip(&other.outputs) {
        if let Some(difference) = compare(entry, Some(&first.content), second, false)? {
            return Err(Error::value(format!("between two runs, on 1 and {several} threads, {difference}")).hint(
                "a script whose outputs vary cannot be locked by bits; say how they are compared under [outputs]",
            ));
        }
    }
    Ok(())
}

/// The report of a locked run: nothing in it depends on when or how long it ran.
///
/// # Errors
/// Where it cannot be drawn.
pub fn report(source: &Source, lock: &Lock, finished: &Finished) -> Result<String> {
    let about = serde_json::json!({
        "convscope": lock.engine.convscope,
        "numerics": lock.numerics,
        "script": lock.script,
        "seed": lock.seed,
        "memory_mb": lock.memory_mb,
        "params": lock.params,
        "inputs": lock.inputs,
        "nets": lock.nets,
        "outputs": lock.outputs.iter().map(|o| (&o.name, &o.blake3)).collect::<Vec<_>>(),
    });
    Report {
        title: source.front.title.clone().unwrap_or_else(|| source.name.clone()),
        script: Some(source.text.clone()),
        sections: finished.record.sections.iter().cloned().map(Section::Artifact).collect(),
        manifest: about,
        lock: Some(lock.text()?),
    }
    .html()
}
