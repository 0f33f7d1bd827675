//! Checks the files beside a lock before anything runs: the script's rules, the outputs of an earlier run, the files of a bundle.

use super::locked_run::{BUNDLE, LockedRun, Refusal, tampered};
use super::rerun::param_text;
use super::source::folder;
use super::verdict::{Status, Verdict};
use convscope_engine::digest::{Digested, digest};
use convscope_engine::limits::TEXT;
use convscope_engine::regular;
use convscope_engine::run::array::unpack;
use convscope_engine::run::finished::{ARRAYS, is_inside};
use convscope_engine::run::output::MAX_KEPT_VALUES;
use convscope_engine::run::{CompareRule, Content, Lock, RunOutput, archive};
use convscope_engine::show::sealed;
use std::collections::BTreeMap;
use std::path::Path;

/// The folder of outputs in a bundle.
const OUTPUTS: &str = "outputs/";
/// The report in that folder.
const REPORT: &str = "report.html";

impl LockedRun {
    /// Checks that the lock repeats what the script's front matter decides: rules of comparison and parameters.
    pub(super) fn said_by_script(&self) -> Result<(), Refusal> {
        let front = &self.source.front;
        for entry in &self.lock.outputs {
            let said = front.outputs.of(&entry.name);
            if (entry.rule, entry.elsewhere) != (said.here, said.elsewhere) {
                let rules = |here: CompareRule, elsewhere: Option<CompareRule>| match elsewhere {
                    Some(elsewhere) => format!("`{here}` (elsewhere `{elsewhere}`)"),
                    None => format!("`{here}`"),
                };
                let how = format!(
                    "the lock says that it is compared by {}, the script by {}",
                    rules(entry.rule, entry.elsewhere),
                    rules(said.here, said.elsewhere)
                );
                return Err(tampered(&entry.name, how).into());
            }
        }
        for (name, value) in &self.lock.params {
            let one = BTreeMap::from([(name.clone(), param_text(value))]);
            if let Err(e) = front.params(&one) {
                return Err(tampered(name, format!("a parameter of the lock: {}", e.message)).into());
            }
        }
        Ok(())
    }
}

/// Checks that files beside a report are as its lock says.
pub(super) fn check_outputs(lock: &Lock, folder: &Path) -> Result<(), Refusal> {
    for entry in lock.outputs.iter().filter(|entry| is_inside(&entry.name)) {
        let file = folder.join(&entry.name);
        if file.is_file() && Digested::read(&entry.name, &file)?.blake3 != entry.blake3 {
            let file = file.display().to_string();
            return Err(tampered(&file, "the output was changed after the run wrote it").into());
        }
    }
    Ok(())
}

/// Checks that the files of the locked run are unchanged, where its folder still has their report.
///
/// # Errors
/// A verdict that names the changed file.
pub fn check_own_outputs(opened: &LockedRun, lock_file: &Path) -> Result<(), Refusal> {
    let name = Path::new("convscope-out").join(&opened.source.name);
    let Ok(text) = opened.lock.text() else { return Ok(()) };
    for out in [name.clone(), folder(lock_file).join(&name)] {
        let Ok(page) = regular::read(&out.join("report.html"), |bytes| TEXT.check(bytes)) else { continue };
        let own = sealed::read(&page).ok().and_then(|report| report.lock) == Some(text.clone());
        if own {
            check_outputs(&opened.lock, &out)?;
        }
    }
    Ok(())
}

/// Checks a bundle's files against its list.
pub(super) fn check_list(
    name: &str,
    list: &serde_json::Value,
    files: &archive::Files,
    lock: &Lock,
) -> Result<(), Refusal> {
    let entries = list.get("files").and_then(serde_json::Value::as_object);
    let entries = entries.ok_or_else(|| tampered(BUNDLE, "it lists no files"))?;
    if let Some(other) = files.keys().find(|k| *k != BUNDLE && !entries.contains_key(*k)) {
        return Err(tampered(other, format!("`{name}` does not list this file")).into());
    }
    for (path, said) in entries {
        let Some(bytes) = files.get(path) else {
            return Err(tampered(path, "the bundle lists this file and has it not").into());
        };
        if said.as_str() == Some(&digest(bytes)) {
            continue;
        }
        let input = lock.inputs.iter().find(|i| Path::new(path).ends_with(i.path.trim_start_matches("../")));
        return Err(match input.filter(|_| path.starts_with("files/")) {
            Some(input) => Verdict::of(Status::Input, &input.path, "the bundle's input was changed").into(),
            None => tampered(path, "the file was changed after the bundle was made").into(),
        });
    }
    Ok(())
}

/// Outputs with all values, by name, and the parts of a report.
type Whole = (BTreeMap<String, Content>, Option<Vec<String>>);

/// The outputs in a bundle, with all values, and the parts of its report, which must be those of its lock.
pub(super) fn whole_outputs(lock: &Lock, files: &mut archive::Files) -> Result<Whole, Refusal> {
    let (mut whole, mut parts) = (BTreeMap::new(), None);
    let held: Vec<String> = files.keys().filter(|path| path.starts_with(OUTPUTS)).cloned().collect();
    for path in held {
        let name = path.strip_prefix(OUTPUTS).unwrap_or_default();
        let Some(raw) = files.remove(&path) else { continue };
        if name == REPORT {
            let page = sealed::read(&raw).map_err(|e| tampered(&path, e.message))?;
            if page.lock != lock.text().ok() {
                return Err(tampered(&path, "the report that the bundle holds carries another lock").into());
            }
            parts = Some(page.parts);
            continue;
        }
        if name == ARRAYS {
            for (name, array) in unpack(&raw).map_err(|e| tampered(ARRAYS, e.message))? {
                check_whole(lock, &name, &RunOutput::array(name.clone(), &array, MAX_KEPT_VALUES))?;
                whole.insert(name, Content::Array(array));
            }
            continue;
        }
        let content = Content::of_file(name, &raw);
        check_whole(lock, name, &RunOutput::file(name, &raw, &content, MAX_KEPT_VALUES))?;
        whole.insert(name.to_string(), content);
    }
    Ok((whole, parts))
}

/// Checks that an output in a bundle is the one that its lock describes.
fn check_whole(lock: &Lock, name: &str, found: &RunOutput) -> Result<(), Refusal> {
    let culprit = format!("{OUTPUTS}{name}");
    let Some(entry) = lock.output(name) else {
        return Err(tampered(&culprit, "the bundle holds this output and its lock does not list it").into());
    };
    if entry.blake3 != found.blake3 {
        return Err(tampered(&culprit, "the output that the bundle holds is not the one of its lock").into());
    }
    // An array that is too large to decode is compared by digest alone. So is a picture, whose record is made before encoding.
    match entry.described_otherwise(found).filter(|_| found.kind == entry.kind && found.kind != "image") {
        Some(what) => {
            Err(tampered(&culprit, format!("the lock contradicts itself: {what} is not the output's")).into())
        }
        None => Ok(()),
    }
}
