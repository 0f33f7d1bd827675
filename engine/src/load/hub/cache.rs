//! The Hub's cache of one repository, shared with Python's `huggingface_hub`: contents under `blobs/` by their etag,
//! `snapshots/COMMIT/FILE` pointing at them, the commit of a branch or tag in `refs/`, and marks in `.no_exist/`.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::client::Failure;
use crate::error::{Error, Result};
use crate::regular;

/// The cached part of a repository.
pub(super) struct Cache {
    /// `HUB/models--org--name`.
    folder: PathBuf,
    /// `HUB/.locks/models--org--name`.
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(folder: &Path, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Cache { folder: folder.join(&name), locks: folder.join(".locks").join(name) }
    }

    /// A file that is in the cache already.
    pub(super) fn kept(&self, revision: &str, file: &str) -> Option<PathBuf> {
        Some(self.snapshot(&self.commit(revision)?, file)).filter(|p| p.exists())
    }

    /// The files directly in the cached snapshot of a revision, sorted.
    pub(super) fn kept_files(&self, revision: &str) -> Vec<PathBuf> {
        let snapshot = self.commit(revision).map(|commit| self.snapshot(&commit, ""));
        let mut files = snapshot.and_then(|folder| regular::entries(&folder).ok()).unwrap_or_default();
        files.retain(|path| path.is_file());
        files.sort();
        files
    }

    /// The commit that a revision stands for, where that is known.
    fn commit(&self, revision: &str) -> Option<String> {
        match is_commit(revision) {
            true => Some(revision.to_string()),
            false => Some(std::fs::read_to_string(self.folder.join("refs").join(revision)).ok()?.trim().to_string()),
        }
    }

    /// Stores a file of a commit; `write` gets its bytes where the cache does not have them. It waits for another process that
    /// fetches the same bytes.
    pub(super) fn keep(
        &self,
        [revision, commit, file, etag]: [&str; 4],
        write: impl FnOnce(&mut File) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let blob = self.folder.join("blobs").join(etag);
        if !blob.exists() {
            let blobs = folder_of(&blob)?;
            let lock = self.locks.join(format!("{etag}.lock"));
            folder_of(&lock)?;
            let held = File::create(&lock).map_err(|e| Error::io(&lock, &e))?;
            // Where the file system has no locks, two processes may get the same bytes; the last one's are kept.
            let _ = held.lock();
            if !blob.exists() {
                let mut part = tempfile::Builder::new();
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt;
                    part.permissions(std::fs::Permissions::from_mode(0o666));
                }
                let mut part = part.suffix(".incomplete").tempfile_in(blobs).map_err(|e| Error::io(blobs, &e))?;
                write(part.as_file_mut())?;
                part.persist(&blob).map_err(|e| Error::io(&blob, &e.error))?;
            }
        }
        self.refer(revision, commit)?;
        let snapshot = self.snapshot(commit, file);
        folder_of(&snapshot)?;
        point(&snapshot, &blob, file.split('/').count()).map_err(|e| Error::io(&snapshot, &e))?;
        Ok(snapshot)
    }

    /// Marks that a commit has no such file, as `huggingface_hub` does.
    pub(super) fn mark_absent(&self, [revision, commit, file]: [&str; 3]) -> Result<()> {
        let mark = self.folder.join(".no_exist").join(commit).join(file);
        folder_of(&mark)?;
        File::create(&mark).map_err(|e| Error::io(&mark, &e))?;
        self.refer(revision, commit)
    }

    /// Records the commit of a branch or tag.
    fn refer(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        folder_of(&path)?;
        crate::atomic::write(&path, commit.as_bytes())
    }

    fn snapshot(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }
}

/// Makes the pointer of a snapshot: a relative link to the blob `depth` folders down from `snapshots/COMMIT`; where links
/// need rights that users lack, a copy.
fn point(snapshot: &Path, blob: &Path, depth: usize) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let up = "../".repeat(depth + 1);
        let target = Path::new(&up).join("blobs").join(blob.file_name().unwrap_or_default());
        if std::fs::read_link(snapshot).is_ok_and(|t| t == target) {
            return Ok(());
        }
        let _ = std::fs::remove_file(snapshot);
        match std::os::unix::fs::symlink(&target, snapshot) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = depth;
        std::fs::copy(blob, snapshot).map(|_| ())
    }
}

/// The folder of a path, made where it is not there.
fn folder_of(path: &Path) -> Result<&Path> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|e| {
        Error::io(folder, &e).hint("name a folder that can be written in the environment variable HF_HOME")
    })?;
    Ok(folder)
}

/// Whether a revision is a commit and no branch or tag.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A text of the Hub's, where it can be the name of one file.
pub(super) fn name(text: &str) -> Option<String> {
    (is_inside(text) && !text.contains(['/', '\\'])).then(|| text.to_string())
}

/// Whether a path joined to a folder stays in it.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}
