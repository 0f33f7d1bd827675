//! Writes a file whole or not at all, whatever happens in between and whoever else writes it.
//!
//! An unfinished file has a name of its own, `.convscope-` and six letters, and is locked for as long as its writer runs. The
//! next writer in the same folder removes the unfinished files of killed writers.

use crate::error::{Error, Result};
use crate::seal;
use std::io::Write;
use std::path::Path;

/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".convscope-";

/// Writes `bytes` to `path` by way of a temporary file in the same folder and a rename; the folder must exist.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_as(path.as_ref(), bytes, 0o666)
}

/// As [`write()`], for a secret: at no time can anybody but the owner read the file.
pub fn write_private(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_as(path.as_ref(), bytes, 0o600)
}

/// `mode` is the file's permissions on Unix, before the process's umask.
fn write_as(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    seal::may_write(path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(folder).map_err(|e| Error::io(path, &e))?;
    #[cfg(unix)]
    {
        // Where the file system knows no locks, nothing is removed either.
        let _ = file.as_file().try_lock();
        stale::remove(folder);
    }
    file.write_all(bytes).map_err(|e| Error::io(path, &e))?;
    file.persist(path).map_err(|e| Error::io(path, &e.error))?;
    Ok(())
}

/// Removal of the unfinished files of killed writers.
#[cfg(unix)]
mod stale {
    use std::collections::BTreeSet;
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    /// A writer locks its file directly after creating it; an unlocked file that is older than this has no writer.
    const SETTLED: Duration = Duration::from_secs(60);

    /// The folders that were searched already.
    static DONE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

    /// Removes unfinished files whose writer is dead, once for each folder and process.
    pub fn remove(folder: &Path) {
        if DONE.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf()) {
            remove_older(folder, SETTLED);
        }
    }

    /// Removes unfinished files of this age whose writer is dead. Files that cannot be inspected or removed stay.
    pub fn remove_older(folder: &Path, age: Duration) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|n| n.strip_prefix(super::UNFINISHED));
            let ours = rest.is_some_and(|r| r.len() == 6 && r.chars().all(|c| c.is_ascii_alphanumeric()));
            if ours && has_no_writer(&entry.path(), age).is_some() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// The lock of a regular file, neither a link nor a pipe, that has this age and no writer.
    fn has_no_writer(path: &Path, age: Duration) -> Option<File> {
        let meta = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        meta.modified().ok()?.elapsed().ok().filter(|since| *since >= age)?;
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
        file.try_lock().ok().map(|()| file)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_private(&path, b"x").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(folder.path().join("no/such/a.bin"), b"x").unwrap_err();
        assert!(error.message.contains("no such file or directory"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_dead_writer_left_is_removed_and_nothing_else() {
        use std::time::{Duration, SystemTime};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let old = |name: &str| {
            let file = std::fs::File::create(at(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(90)).unwrap();
            file
        };
        let names =
            [".convscope-dEaD01", ".convscope-aLiVe1", ".convscope-notes.txt", ".other-dEaD01", "convscope-dEaD01"];
        let files = names.map(old);
        files[1].lock().unwrap();
        std::fs::write(at(".convscope-young1"), "x").unwrap();
        std::fs::create_dir(at(".convscope-folder")).unwrap();
        std::os::unix::fs::symlink(at("convscope-dEaD01"), at(".convscope-linked")).unwrap();
        write(at("a.bin"), b"one").unwrap();
        let left = |name: &str| at(name).symlink_metadata().is_ok();
        assert!(!left(names[0]));
        for name in names[1..].iter().chain(&[".convscope-young1", ".convscope-folder", ".convscope-linked", "a.bin"]) {
            assert!(left(name), "{name}");
        }
        // A file that is being written is locked.
        let mut builder = tempfile::Builder::new();
        let own = builder.prefix(UNFINISHED).tempfile_in(folder.path()).unwrap();
        own.as_file().try_lock().unwrap();
        stale::remove_older(folder.path(), Duration::ZERO);
        assert!(own.path().exists() && !left(".convscope-young1") && left(names[1]));
    }
}
