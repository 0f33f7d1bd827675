//! A run that somebody locked: a lock, a bundle, a report, a script with its lock beside it, or a run's folder, opened into
//! one shape. Whatever is not as it was written is told here, before anything runs.

use super::rerun::{Rerun, param_text};
use super::source::{Source, absolute, folder};
use super::verdict::{Status, Verdict};
use convscope_engine::canonical;
use convscope_engine::digest::{Digested, digest};
use convscope_engine::run::array::unpack;
use convscope_engine::run::finished::ARRAYS;
use convscope_engine::run::inputs::digest_prefix;
use convscope_engine::run::{Content, Input, Lock, archive};
use convscope_engine::show::sealed;
use convscope_engine::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use tempfile::TempDir;

/// The list of a bundle's files, sealed.
pub const BUNDLE: &str = "bundle.json";

/// A run that was locked, ready to be run again.
pub struct LockedRun {
    /// The lock.
    pub lock: Lock,
    /// The script.
    pub source: Source,
    /// The script's file.
    pub script: PathBuf,
    /// The folder that inputs are relative to.
    pub base: PathBuf,
    /// The locked outputs with all their values, where they are at hand.
    pub whole: BTreeMap<String, Content>,
    /// A report's parts.
    pub parts: Option<Vec<String>>,
    /// Holds what was unpacked.
    unpacked: Option<TempDir>,
}

/// What cannot be opened: an error of the machine or the request, or a verdict.
pub enum Refusal {
    /// No such file, no permission.
    Error(Error),
    /// Something was changed.
    Verdict(Box<Verdict>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Error(error)
    }
}

impl From<Verdict> for Refusal {
    fn from(verdict: Verdict) -> Self {
        Refusal::Verdict(Box::new(verdict))
    }
}

fn tampered(culprit: &str, how: impl Into<String>) -> Verdict {
    Verdict::of(Status::Tampered, culprit, how)
}

impl LockedRun {
    /// Opens what lies at `path`. `inputs` is a folder in which missing inputs are looked for.
    ///
    /// # Errors
    /// A verdict where something is not as it was written; an error where nothing can be read.
    pub fn at(path: &Path, inputs: Option<&Path>) -> Result<Self, Refusal> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let file = match extension {
            _ if path.is_dir() => path.join("report.html"),
            "rhai" | "ipynb" => path.with_extension("lock.json"),
            _ => path.to_path_buf(),
        };
        let bytes = std::fs::read(&file).map_err(|e| {
            let error = Error::io(&file, &e);
            match file == path {
                true => error,
                false => error.hint(format!("`convscope lock {}` makes a lock", path.display())),
            }
        })?;
        let name = file.display().to_string();
        let opened = if bytes.starts_with(b"PK") {
            LockedRun::bundle(&name, &bytes)?
        } else if bytes.trim_ascii_start().starts_with(b"<") {
            LockedRun::report(&file, &bytes, inputs)?
        } else {
            let base = folder(&file);
            let lock = read_lock(&name, &bytes)?;
            let script = base.join(lock.script.as_ref().map_or("", |s| s.path.as_str()));
            LockedRun::script(lock, script, base)?
        };
        opened.checked(inputs)
    }

    /// A lock whose script lies in a file.
    fn script(lock: Lock, script: PathBuf, base: PathBuf) -> Result<Self, Refusal> {
        let name = lock.script.as_ref().map_or("the script", |s| s.path.as_str());
        let source = match Source::read(&script) {
            Ok(source) => source,
            Err(e) if e.kind == Kind::Io => return Err(tampered(name, format!("the script: {e}")).into()),
            Err(e) => return Err(tampered(name, format!("the script was changed: {e}")).into()),
        };
        let found = source.digested().blake3;
        if let Some(locked) = lock.script.as_ref().filter(|s| s.blake3 != found) {
            let (was, is) = (digest_prefix(&locked.blake3), digest_prefix(&found));
            return Err(
                tampered(name, format!("the script was changed: BLAKE3 {was} was locked, {is} was found")).into()
            );
        }
        Ok(LockedRun { lock, source, script, base, whole: BTreeMap::new(), parts: None, unpacked: None })
    }

    fn report(file: &Path, bytes: &[u8], inputs: Option<&Path>) -> Result<Self, Refusal> {
        let name = file.display().to_string();
        let sealed = match sealed::read(bytes) {
            Ok(sealed) => sealed,
            Err(e) if e.hint.is_some() => return Err(e.into()),
            Err(e) => return Err(tampered(&name, e.message).into()),
        };
        let Some(text) = &sealed.lock else {
            return Err(Error::unsupported(format!(
                "`{name}` carries no lock: its run did not end well, or read very much"
            ))
            .hint("lock the script: convscope lock SCRIPT")
            .into());
        };
        let lock = read_lock(&name, text.as_bytes())?;
        let unpacked = tempfile::tempdir().map_err(|e| Error::io("a folder", &e))?;
        let script = unpacked.path().join(script_name(&lock));
        std::fs::write(&script, &sealed.script).map_err(|e| Error::io(&script, &e))?;
        check_outputs(&lock, &folder(file))?;
        let base = resolve_base(&lock, &folder(file), inputs);
        let name = lock.script.as_ref().map_or_else(|| "script".into(), |s| s.path.clone());
        let stem = Path::new(&name).file_stem().map_or_else(|| name.clone(), |s| s.to_string_lossy().into_owned());
        let source = Source::of(&stem, &name, sealed.script, base.clone())?;
        let parts = Some(sealed.parts);
        Ok(LockedRun { lock, source, script, base, whole: BTreeMap::new(), parts, unpacked: Some(unpacked) })
    }

    fn bundle(name: &str, bytes: &[u8]) -> Result<Self, Refusal> {
        let files = archive::read(bytes).map_err(|e| tampered(name, e.message))?;
        let missing = |part: &str| tampered(name, format!("the bundle has no `{part}`"));
        let list = files.get(BUNDLE).ok_or_else(|| missing(BUNDLE))?;
        let list = canonical::unsealed(list).map_err(|e| tampered(BUNDLE, e.message))?;
        let said = |key: &str| list.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_string();
        if !files.contains_key(&said("script")) {
            return Err(missing(&said("script")).into());
        }
        let lock_name = said("lock");
        let lock = read_lock(&lock_name, files.get(&lock_name).ok_or_else(|| missing(&lock_name))?)?;
        check_list(name, &list, &files, &lock)?;
        if said("convscope") == env!("CARGO_PKG_VERSION") && archive::write(&files).is_ok_and(|again| again != bytes) {
            return Err(
                tampered(name, "its files are whole, but the archive around them was changed or packed anew").into()
            );
        }
        let unpacked = tempfile::tempdir().map_err(|e| Error::io("a folder", &e))?;
        archive::unpack(files.iter().map(|(k, v)| (k.as_str(), v.as_slice())), unpacked.path())?;
        let script = unpacked.path().join(said("script"));
        let base = folder(&script);
        let mut opened = LockedRun::script(lock, script, base)?;
        for name in opened.lock.outputs.iter().map(|entry| &entry.name) {
            if let Some(raw) = files.get(&format!("outputs/{name}")) {
                opened.whole.insert(name.clone(), Content::of_file(name, raw));
            }
        }
        if let Some(arrays) = files.get(&format!("outputs/{ARRAYS}")) {
            let arrays = unpack(arrays).map_err(|e| tampered(ARRAYS, e.message))?;
            opened.whole.extend(arrays.into_iter().map(|(name, array)| (name, Content::Array(array))));
        }
        opened.unpacked = Some(unpacked);
        Ok(opened)
    }

    /// Modules and inputs are there and as they were.
    fn checked(self, inputs: Option<&Path>) -> Result<Self, Refusal> {
        for module in &self.lock.modules {
            match Digested::read(&module.path, &self.base.join(&module.path)) {
                Ok(found) if found.blake3 == module.blake3 => {}
                Ok(_) => return Err(tampered(&module.path, "the module was changed").into()),
                Err(e) => return Err(tampered(&module.path, format!("a module: {e}")).into()),
            }
        }
        if let Some(given) = inputs {
            self.copy_missing_inputs(given)?;
        }
        for input in &self.lock.inputs {
            if let Some(verdict) = changed(input, &self.base) {
                return Err(verdict.into());
            }
        }
        Ok(self)
    }

    /// Copies inputs that are not there from a folder, by their paths or names.
    fn copy_missing_inputs(&self, given: &Path) -> Result<(), Refusal> {
        if self.unpacked.is_none() || self.parts.is_some() {
            return Ok(());
        }
        for input in self.lock.inputs.iter().filter(|i| !self.base.join(&i.path).exists()) {
            let path = Path::new(&input.path);
            let to = self.base.join(path);
            if !self.unpacked.as_ref().is_some_and(|unpacked| lies_in(unpacked.path(), &to)) {
                return Err(Error::format(format!("the lock's input `{}` leads out of its bundle", input.path)).into());
            }
            // A stranger's path does not choose what is read of the reader's folders.
            let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
            let whole = plain.then(|| given.join(path));
            let named = path.file_name().map(|name| given.join(name));
            if let Some(found) = [whole, named].into_iter().flatten().find(|p| p.is_file()) {
                std::fs::create_dir_all(folder(&to)).map_err(|e| Error::io(&to, &e))?;
                std::fs::copy(&found, &to).map_err(|e| Error::io(&found, &e))?;
            }
        }
        Ok(())
    }

    /// How it is run again.
    pub fn rerun(&self, threads: Option<usize>, progress: bool) -> Rerun {
        Rerun {
            script: self.script.clone(),
            base: self.base.clone(),
            seed: self.lock.seed,
            memory: self.lock.memory_mb,
            params: self.lock.params.iter().map(|(name, value)| (name.clone(), param_text(value))).collect(),
            threads,
            progress,
            ..Rerun::default()
        }
    }
}

/// Whether a path, its `..` undone, lies in a folder.
fn lies_in(folder: &Path, path: &Path) -> bool {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !plain.pop() => return false,
            Component::ParentDir | Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain.starts_with(folder)
}

fn read_lock(name: &str, bytes: &[u8]) -> Result<Lock, Refusal> {
    Lock::read(bytes).map_err(|e| match e.kind {
        Kind::Unsupported => e.context(format!("`{name}`")).into(),
        _ => tampered(name, format!("the lock: {}", e.message)).into(),
    })
}

fn script_name(lock: &Lock) -> String {
    let name = lock.script.as_ref().map_or("script.rhai", |s| s.path.as_str());
    let last = Path::new(name).file_stem().map_or_else(|| "script".into(), |n| n.to_string_lossy().into_owned());
    // The report holds the text of a notebook's cells as a script.
    format!("{last}.rhai")
}

/// What an input is instead of what it was, if it is.
fn changed(input: &Input, base: &Path) -> Option<Verdict> {
    let verdict = |how: String| Some(Verdict::of(Status::Input, &input.path, how));
    // What comes by a name is told by the new run.
    if input.path.starts_with("sample:") {
        return None;
    }
    match input.difference(&base.join(&input.path)) {
        Ok(None) => None,
        Ok(Some(how)) => verdict(format!("the input is another one: {how}")),
        Err(e) => verdict(format!("the input: {e} (`--inputs DIR` names a folder that holds it)")),
    }
}

/// Files beside a report that its lock knows must be as they were.
fn check_outputs(lock: &Lock, folder: &Path) -> Result<(), Refusal> {
    for entry in &lock.outputs {
        let file = folder.join(&entry.name);
        if file.is_file() && Digested::read(&entry.name, &file)?.blake3 != entry.blake3 {
            let file = file.display().to_string();
            return Err(tampered(&file, "the output was changed after the run wrote it").into());
        }
    }
    Ok(())
}

/// Files of the run that a lock was made of, where its folder still holds their report, must be as they were.
///
/// # Errors
/// A verdict that names the one that is not.
pub fn check_own_outputs(opened: &LockedRun, lock_file: &Path) -> Result<(), Refusal> {
    let name = Path::new("convscope-out").join(&opened.source.name);
    let Ok(text) = opened.lock.text() else { return Ok(()) };
    for out in [name.clone(), folder(lock_file).join(&name)] {
        let Ok(page) = std::fs::read(out.join("report.html")) else { continue };
        let own = sealed::read(&page).ok().and_then(|report| report.lock) == Some(text.clone());
        if own {
            check_outputs(&opened.lock, &out)?;
        }
    }
    Ok(())
}

/// The folder in which a report's inputs and modules lie: the one given, the working folder, or one around the report.
fn resolve_base(lock: &Lock, report: &Path, given: Option<&Path>) -> PathBuf {
    let report = absolute(report);
    let around = report.ancestors().take(4).map(Path::to_path_buf);
    let places: Vec<PathBuf> =
        given.map(Path::to_path_buf).into_iter().chain([PathBuf::from(".")]).chain(around).collect();
    let holds = |place: &PathBuf| {
        let inputs = lock.inputs.iter().map(|i| &i.path).filter(|p| !p.starts_with("sample:"));
        inputs.chain(lock.modules.iter().map(|m| &m.path)).all(|path| place.join(path).exists())
    };
    places.iter().find(|p| holds(p)).or(places.first()).cloned().unwrap_or_default()
}

/// The files of a bundle are those that its list says.
fn check_list(name: &str, list: &serde_json::Value, files: &archive::Files, lock: &Lock) -> Result<(), Refusal> {
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
            Some(input) => Verdict::of(Status::Input, &input.path, "the bundle's input is another one").into(),
            None => tampered(path, "the file was changed after the bundle was made").into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_of_a_bundle_are_told() {
        let folder = Path::new("/bundle");
        for (path, inside) in [
            ("/bundle/a/photo.jpg", true),
            ("/bundle/a/../photo.jpg", true),
            ("/bundle/a/../../etc/hostname", false),
            ("/etc/hostname", false),
            ("/bundle/../../..", false),
        ] {
            assert_eq!(lies_in(folder, Path::new(path)), inside, "{path}");
        }
    }
}
