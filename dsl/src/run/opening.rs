//! Opens a locked run, given as a lock, a bundle, a report, a script with its lock beside it, or a run's folder. Files that
//! were changed are reported here, before anything runs.

use super::beside::{check_list, check_outputs, whole_outputs};
use super::bundle::FILES;
use super::gather::resolve_base;
use super::locked_run::{BUNDLE, LockedRun, Refusal, SAMPLE, tampered};
use super::sealing::Allowed;
use super::source::{Source, folder};
use super::temporary::Temporary;
use super::verdict::{Status, Verdict};
use convscope_engine::canonical;
use convscope_engine::digest::{Digested, digest};
use convscope_engine::limits::{LOCK, PACKED, TEXT};
use convscope_engine::run::inputs::digest_prefix;
use convscope_engine::run::{InputFile, Lock, archive};
use convscope_engine::show::sealed;
use convscope_engine::{Error, Kind, Result, atomic, regular};
use std::path::{Component, Path, PathBuf};

impl LockedRun {
    /// Opens the run at `path`. Missing inputs are looked for in the folder `inputs`; `allowed` says what may be read besides the
    /// script's files.
    ///
    /// # Errors
    /// A verdict where something was changed; an error where nothing can be read.
    pub fn at(path: &Path, inputs: Option<&Path>, allowed: &Allowed) -> Result<Self, Refusal> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let file = match extension {
            _ if path.is_dir() => path.join("report.html"),
            "rhai" | "ipynb" => path.with_extension("lock.json"),
            _ => path.to_path_buf(),
        };
        let packed = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
        let sealed = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let most = match (packed, sealed) {
            (true, _) => PACKED,
            (_, true) => LOCK,
            (false, false) => TEXT,
        };
        let bytes = regular::read(&file, |bytes| most.check(bytes));
        let bytes = bytes.map_err(|error| match file == path {
            true => error,
            false => error.hint(format!("`convscope lock {}` makes a lock", path.display())),
        })?;
        let name = file.display().to_string();
        let mut opened = if bytes.starts_with(b"PK") {
            LockedRun::bundle(&name, bytes)?
        } else if bytes.trim_ascii_start().starts_with(b"<") {
            LockedRun::report(&file, &bytes, inputs)?
        } else {
            let base = folder(&file);
            let lock = read_lock(&name, &bytes)?;
            let script = base.join(lock.script.as_ref().map_or("", |s| s.path.as_str()));
            LockedRun::script(lock, script, base)?
        };
        opened.allowed = allowed.clone();
        opened.said_by_script()?;
        opened.checked(inputs)?.gathered()
    }

    /// A lock whose script is a file.
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
        let roots = vec![base.clone()];
        Ok(LockedRun { script, base, roots, ..LockedRun::of(lock, source) })
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
        let unpacked = Temporary::new()?;
        let script = unpacked.path().join(script_name(&lock));
        atomic::write(&script, sealed.script.as_bytes())?;
        check_outputs(&lock, &folder(file))?;
        let base = resolve_base(&lock, &folder(file), inputs);
        let name = lock.script.as_ref().map_or_else(|| "script".into(), |s| s.path.clone());
        let stem = Path::new(&name).file_stem().map_or_else(|| name.clone(), |s| s.to_string_lossy().into_owned());
        let source = Source::of(&stem, &name, sealed.script, base.clone())?;
        let (parts, roots) = (Some(sealed.parts), vec![base.clone()]);
        Ok(LockedRun { script, base, parts, roots, unpacked: Some(unpacked), ..LockedRun::of(lock, source) })
    }

    fn bundle(name: &str, bytes: Vec<u8>) -> Result<Self, Refusal> {
        let mut files = match archive::read(&bytes) {
            Ok(files) => files,
            Err(e) if e.kind == Kind::Unsupported => return Err(e.context(format!("`{name}`")).into()),
            Err(e) => return Err(tampered(name, e.message).into()),
        };
        // The archive is packed again below and compared by digest; its bytes are not needed any more.
        let read = digest(&bytes);
        drop(bytes);
        let missing = |part: &str| tampered(name, format!("the bundle has no `{part}`"));
        let list = files.get(BUNDLE).ok_or_else(|| missing(BUNDLE))?;
        LOCK.check(list.len() as u64).map_err(|e| e.context(format!("`{BUNDLE}` in `{name}`")))?;
        let list = canonical::unsealed(list).map_err(|e| tampered(BUNDLE, e.message))?;
        let said = |key: &str| list.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_string();
        if !files.contains_key(&said("script")) {
            return Err(missing(&said("script")).into());
        }
        let lock_name = said("lock");
        let lock = read_lock(&lock_name, files.get(&lock_name).ok_or_else(|| missing(&lock_name))?)?;
        check_list(name, &list, &files, &lock)?;
        if said("convscope") == env!("CARGO_PKG_VERSION")
            && archive::write(&files).is_ok_and(|again| digest(&again) != read)
        {
            return Err(
                tampered(name, "its files are whole, but the archive around them was changed or packed anew").into()
            );
        }
        let unpacked = Temporary::new()?;
        archive::unpack(files.iter().map(|(k, v)| (k.as_str(), v.as_slice())), unpacked.path())?;
        let script = unpacked.path().join(said("script"));
        let base = folder(&script);
        let mut opened = LockedRun::script(lock, script, base)?;
        (opened.whole, opened.bundled) = whole_outputs(&opened.lock, &mut files)?;
        opened.roots = vec![unpacked.path().join(FILES)];
        opened.unpacked = Some(unpacked);
        Ok(opened)
    }

    /// Checks that modules and inputs exist and are unchanged.
    fn checked(self, inputs: Option<&Path>) -> Result<Self, Refusal> {
        let sealing = self.sealing();
        for module in &self.lock.modules {
            sealing.may_read(&self.base.join(&module.path))?;
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
            if !input.path.starts_with(SAMPLE) {
                sealing.may_read(&self.base.join(&input.path))?;
            }
            if let Some(verdict) = changed(input, &self.base) {
                return Err(verdict.into());
            }
        }
        Ok(self)
    }
}

fn read_lock(name: &str, bytes: &[u8]) -> Result<Lock, Refusal> {
    LOCK.check(bytes.len() as u64).map_err(|e| e.context(format!("`{name}`")))?;
    let lock = Lock::read(bytes).map_err(|e| match e.kind {
        Kind::Unsupported => Refusal::from(e.context(format!("`{name}`"))),
        _ => tampered(name, format!("the lock: {}", e.message)).into(),
    })?;
    if let Some((culprit, how)) = lock.contradiction() {
        return Err(tampered(&culprit, how).into());
    }
    // A script lies beside its lock, whatever path a lock from others gives.
    let script = lock.script.as_ref().map_or("", |s| s.path.as_str());
    let mut parts = Path::new(script).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(lock),
        _ => Err(tampered(name, format!("the lock's script `{script}` is no file's name")).into()),
    }
}

fn script_name(lock: &Lock) -> String {
    let name = lock.script.as_ref().map_or("script.rhai", |s| s.path.as_str());
    let last = Path::new(name).file_stem().map_or_else(|| "script".into(), |n| n.to_string_lossy().into_owned());
    // A report has a notebook's cells as a script.
    format!("{last}.rhai")
}

/// The verdict on an input that is missing or changed.
fn changed(input: &InputFile, base: &Path) -> Option<Verdict> {
    let verdict = |how: String| Some(Verdict::of(Status::Input, &input.path, how));
    // Inputs known by name are checked by the new run.
    if input.path.starts_with(SAMPLE) {
        return None;
    }
    match input.difference(&base.join(&input.path)) {
        Ok(None) => None,
        Ok(Some(how)) => verdict(format!("the input was changed: {how}")),
        Err(e) => verdict(format!("the input: {e} (`--inputs DIR` names a folder that holds it)")),
    }
}
