//! Temporary folders for a run's results and for unpacked bundles. They are removed at the end; those of a killed process are
//! removed by a later one.

use convscope_engine::{Error, Result};
use std::path::Path;
use tempfile::TempDir;

/// The prefix of these folders' names, before six letters.
const PREFIX: &str = "convscope-run-";

/// A folder of this process, removed when it is dropped.
#[derive(Debug)]
pub struct Temporary {
    folder: TempDir,
    /// The lock on the folder, by which other processes see that this one lives.
    #[cfg(unix)]
    _held: Option<std::fs::File>,
}

impl Temporary {
    /// A new folder among the system's temporary files.
    ///
    /// # Errors
    /// Where it cannot be made; the message names the parent folder.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(|e| {
            Error::io(std::env::temp_dir().join("convscope"), &e)
                .hint("name a folder that can be written in the environment variable TMPDIR")
        })?;
        #[cfg(unix)]
        {
            let held = std::fs::File::open(folder.path()).ok().filter(|folder| folder.try_lock().is_ok());
            if held.is_some() {
                stale::remove(folder.path(), stale::ABANDONED_AFTER);
            }
            Ok(Temporary { folder, _held: held })
        }
        #[cfg(not(unix))]
        Ok(Temporary { folder })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Folders of processes that were killed.
#[cfg(unix)]
mod stale {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::time::Duration;

    /// The time after which an unlocked folder counts as abandoned: a process locks its folder right after making it.
    pub const ABANDONED_AFTER: Duration = Duration::from_secs(60);

    /// Removes the folders beside `own` of at least this age, of the same owner, and without a process. Failures are ignored.
    pub fn remove(own: &Path, age: Duration) {
        let (Some(beside), Ok(meta)) = (own.parent(), own.metadata()) else { return };
        for entry in std::fs::read_dir(beside).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|n| n.strip_prefix(super::PREFIX));
            let ours = rest.is_some_and(|r| r.len() == 6 && r.chars().all(|c| c.is_ascii_alphanumeric()));
            if ours && is_abandoned(&entry.path(), meta.uid(), age) == Some(true) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    fn is_abandoned(folder: &Path, owner: u32, age: Duration) -> Option<bool> {
        let meta = folder.symlink_metadata().ok().filter(|meta| meta.is_dir() && meta.uid() == owner)?;
        let since = meta.modified().ok()?.elapsed().ok()?;
        Some(since >= age && std::fs::File::open(folder).ok()?.try_lock().is_ok())
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_folder_of_a_dead_process_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("x"), "x").unwrap();
            path
        };
        let own = make("convscope-run-OwnOwn");
        let (dead, alive) = (make("convscope-run-dEaD01"), make("convscope-run-aLiVe1"));
        let others = [make("convscope-run-notes.d"), make("convscope-dEaD01"), make("other")];
        let held = [&own, &alive].map(|folder| std::fs::File::open(folder).unwrap());
        held.iter().for_each(|folder| folder.lock().unwrap());
        std::os::unix::fs::symlink(&others[2], root.path().join("convscope-run-linked")).unwrap();
        stale::remove(&own, Duration::from_secs(60));
        assert!(dead.exists());
        stale::remove(&own, Duration::ZERO);
        assert!(!dead.exists() && alive.exists() && own.exists());
        assert!(others.iter().all(|folder| folder.join("x").exists()));
        let temporary = Temporary::new().unwrap();
        let path = temporary.path().to_path_buf();
        stale::remove(&path, Duration::from_secs(3600));
        assert!(path.exists());
        drop(temporary);
        assert!(!path.exists());
    }
}
