//! `convscope verify`: runs what was locked again and says whether the same comes out, in one exit code.

use super::opened::{Opened, Refusal, outputs_of};
use super::rerun::{Ended, Finished};
use super::source::engine;
use super::terminal::{complain, say};
use super::{FAILED, INTERRUPTED};
use clap::Args;
use convscope_engine::lock::{Difference, Numerics, compare};
use convscope_engine::{Error, Result};
use serde::Serialize;
use std::path::PathBuf;

/// Run what was locked again and say whether the same comes out.
#[derive(Args)]
pub struct Verify {
    /// A lock (S.lock.json), a bundle (.zip), a report (report.html), a script with its lock beside it, or a run's folder.
    what: PathBuf,
    /// A folder with inputs that a bundle only names, or for a report.
    #[arg(long, value_name = "DIR")]
    inputs: Option<PathBuf>,
    /// Threads; all cores unless said otherwise. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    /// Say nothing: the exit code tells.
    #[arg(long, short)]
    quiet: bool,
}

/// What came out; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The same.
    Same = 0,
    /// An output differs.
    Differs = 10,
    /// An input differs, found before anything ran.
    Input = 11,
    /// Another engine or class of numerics: the same within tolerances.
    OtherEngine = 12,
    /// The script ended with an error.
    Script = 13,
    /// A file was changed after it was written.
    Tampered = 14,
}

/// The answer of `verify`.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// What came out.
    pub status: Status,
    /// The exit code.
    pub code: u8,
    /// The file or output that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprit: Option<String>,
    /// In words.
    pub message: String,
    /// The first difference of an output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// In what the engine or the numerics are others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub engine: Vec<String>,
    /// How many outputs were compared.
    pub outputs: usize,
}

impl Verdict {
    /// A verdict with its culprit.
    pub fn of(status: Status, culprit: &str, message: impl Into<String>) -> Self {
        Verdict {
            status,
            code: status as u8,
            culprit: Some(culprit.to_string()),
            message: message.into(),
            difference: None,
            engine: Vec::new(),
            outputs: 0,
        }
    }

    fn text(&self) -> String {
        let culprit = self.culprit.as_deref().map_or(String::new(), |c| format!("`{c}`: "));
        let word = match self.status {
            Status::Same => "same",
            Status::Differs => "differs",
            Status::Input => "an input differs",
            Status::OtherEngine => "other engine",
            Status::Script => "script error",
            Status::Tampered => "tampered",
        };
        let mut out = format!("{word}: {culprit}{}\n", self.message.trim_end());
        for line in &self.engine {
            out += &format!("  {line}\n");
        }
        out
    }
}

impl Verify {
    /// Verifies; the exit code.
    pub fn main(self) -> Result<u8> {
        let _ = ctrlc::set_handler(|| {});
        let verdict = match self.verdict() {
            Ok(Some(verdict)) => verdict,
            Ok(None) => return Ok(INTERRUPTED),
            Err(Refusal::Verdict(verdict)) => *verdict,
            Err(Refusal::Error(error)) => return Err(error),
        };
        if self.json {
            let text = serde_json::to_string_pretty(&verdict).map_err(|e| Error::internal(e.to_string()))?;
            say(&(text + "\n"));
        } else if !self.quiet {
            let text = verdict.text();
            if verdict.status == Status::Same { say(&text) } else { complain(text.trim_end()) }
        }
        Ok(verdict.code)
    }

    fn verdict(&self) -> Result<Option<Verdict>, Refusal> {
        let opened = Opened::at(&self.what, self.inputs.as_deref())?;
        outputs_of(&opened, &self.what)?;
        if let Some(verdict) = opened.changed_net() {
            return Ok(Some(verdict));
        }
        let progress = !(self.quiet || self.json);
        Ok(match opened.rerun(self.threads.map(usize::from), progress).run()? {
            Ended::Interrupted => None,
            Ended::Failed(said) => Some(Verdict::of(Status::Script, &opened.source.file, said)),
            Ended::Done(finished) => Some(judged(&opened, &finished)?),
        })
    }
}

/// The verdict on a finished run of what was opened.
///
/// # Errors
/// Where the lock holds something else than it says, or the machine's numerics cannot be told.
pub fn judged(opened: &Opened, finished: &Finished) -> Result<Verdict> {
    let lock = &opened.lock;
    let other = lock.other_engine(&engine(), &Numerics::here()?);
    let verdict = |status, culprit: &str, message: String| Verdict {
        engine: other.clone(),
        outputs: lock.outputs.len(),
        ..Verdict::of(status, culprit, message)
    };
    for input in &finished.record.inputs {
        if !lock.inputs.iter().any(|i| i.path == input.path) {
            let how = "the script reads this file now and did not when it was locked".to_string();
            return Ok(verdict(Status::Input, &input.path, how));
        }
    }
    for (i, entry) in lock.outputs.iter().enumerate() {
        let Some(new) = finished.outputs.iter().find(|o| o.name == entry.name) else {
            return Ok(verdict(Status::Differs, &entry.name, "this output was locked and did not come out".into()));
        };
        if let Some(difference) = compare(entry, opened.whole.get(&entry.name), new, !other.is_empty())? {
            let message = format!("output {} of {}: {}", i + 1, lock.outputs.len(), difference.how);
            let difference = Some(difference);
            return Ok(Verdict { difference, ..verdict(Status::Differs, &entry.name, message) });
        }
    }
    if let Some(new) = finished.outputs.iter().find(|o| !lock.outputs.iter().any(|e| e.name == o.name)) {
        return Ok(verdict(Status::Differs, &new.name, "this output came out and was not locked".into()));
    }
    if !other.is_empty() {
        let message =
            format!("all {} outputs are the same within tolerances; bits cannot be asked for:", lock.outputs.len());
        return Ok(Verdict { culprit: None, ..verdict(Status::OtherEngine, "", message) });
    }
    // A figure that was edited by someone who mended the report's digests is not what the script draws.
    if let Some(parts) = &opened.parts {
        let drawn = &finished.record.sections;
        let same = |(a, b): (&String, &String)| a.trim_end_matches('\n') == b.trim_end_matches('\n');
        if parts.len() != drawn.len() || !parts.iter().zip(drawn).all(same) {
            let i = parts.iter().zip(drawn).position(|pair| !same(pair)).unwrap_or(parts.len().min(drawn.len()));
            let what = parts.get(i).map_or_else(String::new, |p| convscope_engine::show::sealed::heading(p));
            let message = format!("part {} of the report (\"{what}\") is not what the script draws", i + 1);
            return Ok(verdict(Status::Tampered, "report.html", message));
        }
    }
    let message = format!(
        "{} outputs, {} inputs, {} nets; locked on {:?} threads, run on {}",
        lock.outputs.len(),
        lock.inputs.len(),
        lock.nets.len(),
        lock.threads,
        finished.record.threads
    );
    Ok(Verdict { culprit: None, ..verdict(Status::Same, "", message) })
}

/// The exit code of another command that met a refusal; what it says goes to stderr.
pub fn refused(refusal: Refusal) -> Result<u8> {
    match refusal {
        Refusal::Error(error) => Err(error),
        Refusal::Verdict(verdict) => {
            complain(&format!("error: {}", verdict.text().trim_end()));
            Ok(FAILED)
        }
    }
}
