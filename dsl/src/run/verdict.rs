//! The verdict on a new run of a locked script, with its exit code.

use super::locked_run::LockedRun;
use super::rerun::Failure;
use convscope_engine::Result;
use convscope_engine::canonical::canonical;
use convscope_engine::digest::Digested;
use convscope_engine::run::compare::rule_of;
use convscope_engine::run::inputs::digest_prefix;
use convscope_engine::run::{CompareRule, Difference, Finished, Record, compare};
use convscope_engine::show::sealed::heading;
use serde::Serialize;

/// How many outputs that were compared by another rule than `bits` are named; the others are counted.
const MAX_NAMED_RULES: usize = 20;

/// The verdict; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The same.
    Same = 0,
    /// An output differs.
    Differs = 10,
    /// An input or a net differs.
    Input = 11,
    /// Other bits by another engine or class of numerics, within the tolerances.
    OtherEngine = 12,
    /// The script ended with an error.
    Script = 13,
    /// A file was changed since it was written.
    Tampered = 14,
}

/// The result of `verify`.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The status.
    pub status: Status,
    /// The exit code.
    pub code: u8,
    /// The file or output that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprit: Option<String>,
    /// The verdict in words.
    pub message: String,
    /// The first difference of an output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The differences of engine and numerics; they alone decide nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub engine: Vec<String>,
    /// The number of compared outputs.
    pub outputs: usize,
    /// The outputs that were compared by another rule than `bits`, as the front matter says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Ruled>,
}

/// An output that was compared by another rule than `bits`.
#[derive(Clone, Debug, Serialize)]
pub struct Ruled {
    /// The output.
    pub output: String,
    /// The rule.
    pub rule: CompareRule,
    /// Whether the bits are equal nevertheless.
    pub same_bits: bool,
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
            rules: Vec::new(),
        }
    }

    /// The verdict as text, with a line end.
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
        for Ruled { output, rule, same_bits } in self.rules.iter().take(MAX_NAMED_RULES) {
            let bits = if *same_bits { "the same" } else { "others" };
            out += &format!("  `{output}` was compared by `{rule}`, as the script says; its bits are {bits}\n");
        }
        if let Some(more) = self.rules.len().checked_sub(MAX_NAMED_RULES).filter(|more| *more > 0) {
            out += &format!("  {more} more outputs were compared by rules of the script (--json lists all)\n");
        }
        out
    }
}

/// The verdict on a new run of a locked script: the bits decide. Where they differ and engine or class of numerics differ, too,
/// the outputs are compared within tolerances.
///
/// # Errors
/// Where the lock contradicts itself, or a new output cannot be read.
pub fn judge(locked: &LockedRun, finished: &Finished) -> Result<Verdict> {
    let (lock, new) = (&locked.lock, &finished.record);
    let verdict = |status, culprit: &str, message: String| Verdict {
        engine: lock.noted_engine(&new.engine, &new.numerics),
        outputs: lock.outputs.len(),
        ..Verdict::of(status, culprit, message)
    };
    if let Some((culprit, how)) = other_input(lock, new) {
        return Ok(verdict(Status::Input, &culprit, how));
    }
    // On the engine and machine that made the lock, everything in it can be checked.
    let is_own = lock.noted_engine(&new.engine, &new.numerics).is_empty();
    if let Some((culprit, how)) = other_said(lock, new) {
        return Ok(verdict(Status::Tampered, &culprit, how));
    }
    if let Some((culprit, how)) = other_names(lock, new, is_own) {
        return Ok(verdict(if is_own { Status::Tampered } else { Status::Differs }, &culprit, how));
    }
    if let Some((culprit, how)) = other_copies(lock, new) {
        return Ok(verdict(Status::Tampered, &culprit, how));
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
                let rules = ruled(lock, new, true);
                Verdict { culprit: None, rules, ..verdict(Status::OtherEngine, "", message) }
            }
        });
    }
    // A figure may have been edited, and the report's digests with it, so parts are compared with what the script draws. Another
    // engine may draw them otherwise.
    let parts = locked.parts.as_ref().or(locked.bundled.as_ref());
    if let Some(i) = parts.and_then(|parts| other_part(parts, &finished.sections)) {
        let what = parts.into_iter().flatten().nth(i).map_or_else(String::new, |p| heading(p));
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

/// The verdict on a new run that ended with an error; a changed input or net may be the cause, where it is known.
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
    Verdict { culprit: None, rules: ruled(lock, new, false), ..verdict(Status::Same, "", message) }
}

/// The outputs compared by another rule than `bits`, on this engine or `elsewhere`.
fn ruled(lock: &Record, new: &Record, elsewhere: bool) -> Vec<Ruled> {
    let by_rule = lock.outputs.iter().map(|entry| (entry, rule_of(entry, elsewhere)));
    let others = by_rule.filter(|(_, rule)| *rule != CompareRule::Bits);
    let ruled = others.map(|(entry, rule)| Ruled {
        output: entry.name.clone(),
        rule,
        same_bits: new.output(&entry.name).is_some_and(|output| output.blake3 == entry.blake3),
    });
    ruled.collect()
}

/// The first parameter or module of a lock that differs in the new run, and how.
fn other_said(lock: &Record, new: &Record) -> Option<(String, String)> {
    let text = |params: &Record, name: &str| params.params.get(name).map(canonical);
    let mut names = lock.params.keys().chain(new.params.keys());
    if let Some(name) = names.find(|name| text(lock, name) != text(new, name)) {
        let said = |value: Option<String>| value.unwrap_or_else(|| "none".into());
        let how = format!(
            "the lock gives this parameter the value {}, the script uses {}",
            said(text(lock, name)),
            said(text(new, name))
        );
        return Some((name.clone(), how));
    }
    let known = |module: &&Digested| lock.modules.iter().any(|locked| locked.blake3 == module.blake3);
    let module = new.modules.iter().find(|module| !known(module))?;
    Some((module.path.clone(), "the script imports this module and its lock does not list it".into()))
}

/// The first output that only one of the two has, or, where `in_order`, has at another position; and how.
fn other_names(lock: &Record, new: &Record, in_order: bool) -> Option<(String, String)> {
    if let Some(missing) = lock.outputs.iter().find(|entry| new.output(&entry.name).is_none()) {
        return Some((missing.name.clone(), "this output is in the lock and the script no longer makes it".into()));
    }
    if let Some(more) = new.outputs.iter().find(|output| lock.output(&output.name).is_none()) {
        return Some((more.name.clone(), "the script makes this output, which is not in the lock".into()));
    }
    let mut pairs = lock.outputs.iter().zip(&new.outputs).filter(|_| in_order);
    let (entry, _) = pairs.find(|(entry, output)| entry.name != output.name)?;
    Some((entry.name.clone(), "the lock lists the outputs in another order than the script makes them".into()))
}

/// The first output with equal digests that the lock describes otherwise, and how.
fn other_copies(lock: &Record, new: &Record) -> Option<(String, String)> {
    lock.outputs.iter().find_map(|entry| {
        let output = new.output(&entry.name).filter(|output| output.blake3 == entry.blake3)?;
        let what = entry.described_otherwise(output)?;
        Some((entry.name.clone(), format!("the lock contradicts itself: {what} is not the output's")))
    })
}

/// The first input or net that differs from the locked one, and how.
fn other_input(lock: &Record, new: &Record) -> Option<(String, String)> {
    for input in &new.inputs {
        let Some(locked) = lock.inputs.iter().find(|i| i.path == input.path) else {
            return Some((input.path.clone(), "the script reads this file now and did not when it was locked".into()));
        };
        if locked.blake3 != input.blake3 {
            let (was, is) = (digest_prefix(&locked.blake3), digest_prefix(&input.blake3));
            let how = format!("the input was changed: BLAKE3 {was} was locked, {is} was found");
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
        if !lock.nets.iter().any(|known| known.spec == net.spec) {
            return Some((net.spec.clone(), "the script loads this net now and did not when it was locked".into()));
        }
    }
    None
}

/// A difference between a new run's outputs and the locked ones.
struct Other {
    culprit: String,
    message: String,
    difference: Difference,
}

impl Other {
    fn verdict(self, verdict: impl Fn(Status, &str, String) -> Verdict) -> Verdict {
        Verdict { difference: Some(self.difference), ..verdict(Status::Differs, &self.culprit, self.message) }
    }
}

/// The first output of both that differs, by bits or the script's rule, or `elsewhere` within tolerances.
fn differs(locked: &LockedRun, finished: &Finished, elsewhere: bool) -> Result<Option<Other>> {
    let (lock, new) = (&locked.lock, &finished.record);
    for (i, entry) in lock.outputs.iter().enumerate() {
        let Some(output) = new.output(&entry.name) else { continue };
        let content = || finished.content(&entry.name);
        if let Some(difference) = compare(entry, locked.whole.get(&entry.name), output, content, elsewhere)? {
            let message = format!("output {} of {}: {}", i + 1, lock.outputs.len(), difference.how);
            return Ok(Some(Other { culprit: entry.name.clone(), message, difference }));
        }
    }
    Ok(None)
}

/// The first part of a report that differs.
fn other_part(parts: &[String], drawn: &[String]) -> Option<usize> {
    let same = |(a, b): (&String, &String)| a.trim_end_matches('\n') == b.trim_end_matches('\n');
    let first = parts.iter().zip(drawn).position(|pair| !same(pair));
    first.or_else(|| (parts.len() != drawn.len()).then_some(parts.len().min(drawn.len())))
}
