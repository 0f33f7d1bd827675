//! Locates and collects the files of a locked run. Every path here comes from a lock, which may be malicious: none may lead out
//! of the folder to which it is joined.

use super::locked_run::{LockedRun, Refusal, SAMPLE};
use super::source::{absolute, folder};
use convscope_engine::run::Lock;
use convscope_engine::{Error, Result};
use std::path::{Component, Path, PathBuf};

impl LockedRun {
    /// Gives a report's script a folder of its own with only its modules and inputs, placed relative to it as they were.
    pub(super) fn gathered(mut self) -> Result<Self, Refusal> {
        let Some(unpacked) = self.unpacked.as_ref().filter(|_| self.parts.is_some()).map(|u| u.path().to_path_buf())
        else {
            return Ok(self);
        };
        let paths = self.lock.inputs.iter().map(|i| &i.path).chain(self.lock.modules.iter().map(|m| &m.path));
        let paths = paths.filter(|p| !p.starts_with(SAMPLE) && !Path::new(p).is_absolute());
        let own = self.script.file_name().map(|name| unpacked.join(name));
        let mut roots = vec![unpacked.clone()];
        for path in paths {
            let (from, to) = (absolute(&self.base.join(path)), unpacked.join(path));
            // Declared inputs that lie outside are read where they are.
            if lies_in(&unpacked, &to) && own.as_ref() != Some(&to) && to.symlink_metadata().is_err() {
                std::fs::create_dir_all(folder(&to)).map_err(|e| Error::io(&to, &e))?;
                place(&from, &to).map_err(|e| Error::io(&to, &e))?;
            }
            roots.push(from);
        }
        let base = absolute(&self.base);
        if roots.iter().skip(1).all(|from| lies_in(&base, from)) {
            self.base = unpacked;
        }
        self.roots = roots;
        Ok(self)
    }

    /// Copies missing inputs from a folder, by their paths or names.
    pub(super) fn copy_missing_inputs(&self, given: &Path) -> Result<(), Refusal> {
        if self.unpacked.is_none() || self.parts.is_some() {
            return Ok(());
        }
        for input in self.lock.inputs.iter().filter(|i| !self.base.join(&i.path).exists()) {
            let path = Path::new(&input.path);
            let to = self.base.join(path);
            if !self.unpacked.as_ref().is_some_and(|unpacked| lies_in(unpacked.path(), &to)) {
                return Err(Error::format(format!("the lock's input `{}` leads out of its bundle", input.path)).into());
            }
            // A path in a lock from others must not choose a file in the reader's folders.
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
}

/// The folder of a report's inputs and modules: the given one, the working folder, or one around the report.
pub(super) fn resolve_base(lock: &Lock, report: &Path, given: Option<&Path>) -> PathBuf {
    let report = absolute(report);
    let around = report.ancestors().take(4).map(Path::to_path_buf);
    let places: Vec<PathBuf> =
        given.map(Path::to_path_buf).into_iter().chain([PathBuf::from(".")]).chain(around).collect();
    let holds = |place: &PathBuf| {
        let inputs = lock.inputs.iter().map(|i| &i.path).filter(|p| !p.starts_with(SAMPLE));
        inputs.chain(lock.modules.iter().map(|m| &m.path)).all(|path| place.join(path).exists())
    };
    places.iter().find(|p| holds(p)).or(places.first()).cloned().unwrap_or_default()
}

/// Makes a file available at another path: by a link where the system has links, else by a copy.
fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(from, to);
    #[cfg(not(unix))]
    std::fs::copy(from, to).map(drop)
}

/// Whether a path, with `..` resolved, lies in a folder.
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
