//! The verdict on a new run of a locked script, with its exit code.

use super::locked_run::LockedRun;
use super::rerun::Failure;
use convscope_engine::Result;
use convscope_engine::run::inputs::digest_prefix;
use convscope_engine::run::{Difference, Finished, Record, compare};
use convscope_engine::show::sealed::heading;
use serde::Serialize;

/// The verdict; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The same.
    Same = 0,
    /// An output differs.
    Differs = 10,
    /// An input or a net differs.
    Input = 11,
    /// Other bits by another engine or class of numerics: the same within tolerances.
    OtherEngine = 12,
    /// The script ended with an error.
    Script = 13,
    /// A file was changed after it was written.
    Tampered = 14,
}

/// The answer of `verify`.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The status.
    pub status: Status,
    /// The exit code.
    pub code: u8,
    /// The file or output that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprit: Option<String>,
    /// In words.
    pub message: String,
    /// The first difference of an output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// How the engine or the numerics differ, which by itself decides nothing.
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

    /// The verdict in words, with its line end.
    pub fn text(&self) -> String {
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

/// The verdict on a new run of what was locked: the bits decide. Where they differ, another engine or class of numerics
/// may explain it, and the outputs are compared within tolerances.
///
/// # Errors
/// Where the lock holds something else than it says, or a new output cannot be read.
pub fn judged(locked: &LockedRun, finished: &Finished) -> Result<Verdict> {
    let (lock, new) = (&locked.lock, &finished.record);
    let verdict = |status, culprit: &str, message: String| Verdict {
        engine: lock.noted_engine(&new.engine, &new.numerics),
        outputs: lock.outputs.len(),
        ..Verdict::of(status, culprit, message)
    };
    if let Some((culprit, how)) = other_input(lock, new) {
        return Ok(verdict(Status::Input, &culprit, how));
    }
    if let Some(other) = differs(locked, finished, false)? {
        if lock.other_engine(&new.engine, &new.numerics).is_empty() {
            return Ok(other.verdict(verdict));
        }
        return Ok(match differs(locked, finished, true)? {
            Some(other) => other.verdict(verdict),
            None => {
                let n = lock.outputs.len();
                let message = format!("all {n} outputs are the same within tolerances, their bits are others:");
                Verdict { culprit: None, ..verdict(Status::OtherEngine, "", message) }
            }
        });
    }
    // A figure that was edited by someone who mended the report's digests is not what the script draws; another engine may
    // lay out its reports otherwise.
    if let Some(i) = locked.parts.as_ref().and_then(|parts| other_part(parts, &finished.sections)) {
        let what = locked.parts.iter().flatten().nth(i).map_or_else(String::new, |p| heading(p));
        let message = format!("part {} of the report (\"{what}\") is not what the script draws", i + 1);
        if lock.engine == new.engine {
            return Ok(verdict(Status::Tampered, "report.html", message));
        }
        let mut same = same(lock, new, verdict);
        same.engine.push(format!("{message} here, which another engine may draw otherwise"));
        return Ok(same);
    }
    Ok(same(lock, new, verdict))
}

/// The verdict on a new run that ended with an error: an input or a net that is another one, where that is known, may be why.
pub fn failed(locked: &LockedRun, failure: &Failure) -> Verdict {
    let other = failure.left.as_ref().and_then(|left| other_input(&locked.lock, &left.record));
    match other {
        Some((culprit, how)) => Verdict::of(Status::Input, &culprit, how),
        None => Verdict::of(Status::Script, &locked.source.file, failure.said.clone()),
    }
}

fn same(lock: &Record, new: &Record, verdict: impl Fn(Status, &str, String) -> Verdict) -> Verdict {
    let message = format!(
        "{} outputs, {} inputs, {} nets; locked on {:?} threads, run on {}",
        lock.outputs.len(),
        lock.inputs.len(),
        lock.nets.len(),
        lock.threads,
        new.threads.first().copied().unwrap_or_default()
    );
    Verdict { culprit: None, ..verdict(Status::Same, "", message) }
}

/// The first input or net that is not the one that was locked, and how.
fn other_input(lock: &Record, new: &Record) -> Option<(String, String)> {
    for input in &new.inputs {
        let Some(locked) = lock.inputs.iter().find(|i| i.path == input.path) else {
            return Some((input.path.clone(), "the script reads this file now and did not when it was locked".into()));
        };
        if locked.blake3 != input.blake3 {
            let (was, is) = (digest_prefix(&locked.blake3), digest_prefix(&input.blake3));
            let how = format!("the input is another one: BLAKE3 {was} was locked, {is} was found");
            return Some((input.path.clone(), how));
        }
    }
    for asked in lock.hub.iter().filter(|asked| !new.hub.contains(asked)) {
        if new.hub.iter().any(|now| now.spec == asked.spec) {
            let had = if asked.given {
                "was fetched when it was locked, and not now"
            } else {
                "was not fetched when it was locked, and is now"
            };
            return Some((asked.spec.clone(), format!("it {had} (`--allow-fetch` says whether it may be)")));
        }
    }
    for net in &new.nets {
        let locked = lock.nets.iter().find(|n| n.spec == net.spec && n.options == net.options);
        if let Some(locked) = locked.filter(|locked| locked.weights != net.weights) {
            let (was, is) = (digest_prefix(&locked.weights), digest_prefix(&net.weights));
            let how = format!("the net has other weights: BLAKE3 {was} was locked, {is} was found");
            return Some((net.spec.clone(), how));
        }
    }
    None
}

/// How the outputs of a run differ from the locked ones.
struct Other {
    culprit: String,
    message: String,
    difference: Option<Difference>,
}

impl Other {
    fn verdict(self, verdict: impl Fn(Status, &str, String) -> Verdict) -> Verdict {
        Verdict { difference: self.difference, ..verdict(Status::Differs, &self.culprit, self.message) }
    }
}

/// The first output that differs, by bits (or as the script says) or `elsewhere` within tolerances.
fn differs(locked: &LockedRun, finished: &Finished, elsewhere: bool) -> Result<Option<Other>> {
    let (lock, new) = (&locked.lock, &finished.record);
    let other =
        |culprit: &str, message: String, difference| Some(Other { culprit: culprit.into(), message, difference });
    for (i, entry) in lock.outputs.iter().enumerate() {
        let Some(output) = new.output(&entry.name) else {
            return Ok(other(&entry.name, "this output was locked and did not come out".into(), None));
        };
        let content = || finished.content(&entry.name);
        if let Some(difference) = compare(entry, locked.whole.get(&entry.name), output, content, elsewhere)? {
            let message = format!("output {} of {}: {}", i + 1, lock.outputs.len(), difference.how);
            return Ok(other(&entry.name, message, Some(difference)));
        }
    }
    let more = new.outputs.iter().find(|o| lock.output(&o.name).is_none());
    Ok(more.and_then(|more| other(&more.name, "this output came out and was not locked".into(), None)))
}

/// The first part of a report that is drawn otherwise.
fn other_part(parts: &[String], drawn: &[String]) -> Option<usize> {
    let same = |(a, b): (&String, &String)| a.trim_end_matches('\n') == b.trim_end_matches('\n');
    let first = parts.iter().zip(drawn).position(|pair| !same(pair));
    first.or_else(|| (parts.len() != drawn.len()).then_some(parts.len().min(drawn.len())))
}
