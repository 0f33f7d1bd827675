//! What a sealed process may read and write: a list of files and folders for the whole process, which cannot be changed later.
//! [`regular`](crate::regular) checks it before it opens a file, [`atomic`](crate::atomic) before it writes one.

use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// Links that are followed from one path.
const MAX_LINKS: usize = 40;

static BOUNDS: OnceLock<Bounds> = OnceLock::new();

/// What a sealed process may read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Files and folders that may be read, with everything in them.
    pub read: Vec<PathBuf>,
    /// Folders that may be written, and read.
    pub write: Vec<PathBuf>,
    /// The command that declares more by `--input PATH`, for hints.
    pub command: String,
    /// The folder, as the user sees it, that a script's paths are relative to, for hints.
    pub base: PathBuf,
}

/// Applies `bounds` to this process from now on.
///
/// # Errors
/// Where the process has bounds already.
pub fn hold(bounds: &Bounds) -> Result<()> {
    BOUNDS.set(bounds.real()).map_err(|_| Error::internal("the process is sealed already"))
}

/// Whether this process is sealed.
pub fn is_held() -> bool {
    BOUNDS.get().is_some()
}

/// Whether the file or folder at `path` may be read.
///
/// # Errors
/// Where the seal forbids it; the hint says how to declare it. Nothing is opened, and the error does not reveal whether it exists.
pub fn may_read(path: &Path) -> Result<()> {
    BOUNDS.get().map_or(Ok(()), |bounds| bounds.may_read(path))
}

/// As [`may_read`], for `path`, which a script calls `name`.
///
/// # Errors
/// As [`may_read`].
pub fn may_read_as(path: &Path, name: &Path) -> Result<()> {
    BOUNDS.get().map_or(Ok(()), |bounds| bounds.may_read_as(path, name))
}

/// Whether the file at `path` may be written.
///
/// # Errors
/// Where the seal forbids it.
pub fn may_write(path: &Path) -> Result<()> {
    BOUNDS.get().map_or(Ok(()), |bounds| bounds.may_write(path))
}

impl Bounds {
    /// The same bounds with links resolved.
    pub fn real(&self) -> Self {
        let all = |paths: &[PathBuf]| paths.iter().map(|path| real(path)).collect();
        Bounds { read: all(&self.read), write: all(&self.write), ..self.clone() }
    }

    /// As [`may_read`], for these bounds, which are [`Bounds::real`].
    ///
    /// # Errors
    /// Where `path` lies outside of them.
    pub fn may_read(&self, path: &Path) -> Result<()> {
        self.may_read_as(path, path)
    }

    fn may_read_as(&self, path: &Path, name: &Path) -> Result<()> {
        let found = real(path);
        if self.read.iter().chain(&self.write).any(|allowed| found.starts_with(allowed)) {
            return Ok(());
        }
        let declared = quoted(&self.base.join(path).display().to_string());
        Err(Error::new(Kind::Io, format!("`{}` lies outside of what a sealed run may read", name.display()))
            .hint(format!("if it is yours to read, declare it: {} --input {declared}", self.command)))
    }

    /// As [`may_write`], for these bounds, which are [`Bounds::real`].
    ///
    /// # Errors
    /// Where `path` lies outside of them.
    pub fn may_write(&self, path: &Path) -> Result<()> {
        let found = real(path);
        if self.write.iter().any(|allowed| found.starts_with(allowed)) {
            return Ok(());
        }
        let message = format!("`{}` lies outside of the folder that a sealed run may write to", path.display());
        Err(Error::new(Kind::Io, message).hint("give a path relative to `--out`, without `..`"))
    }
}

/// A path or another word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Where a path leads: links followed, `.` and `..` taken out, also where it leads to nothing.
pub fn real(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut left: VecDeque<PathBuf> = absolute.components().map(|c| PathBuf::from(c.as_os_str())).collect();
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(part) = left.pop_front() {
        match part.components().next() {
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::CurDir) | None => {}
            Some(Component::Prefix(_) | Component::RootDir) => at.push(&part),
            Some(Component::Normal(_)) => {
                let next = at.join(&part);
                match std::fs::read_link(&next) {
                    Ok(target) if links < MAX_LINKS => {
                        links += 1;
                        if target.is_absolute() {
                            at = PathBuf::new();
                        }
                        for part in target.components().rev() {
                            left.push_front(PathBuf::from(part.as_os_str()));
                        }
                    }
                    _ => at = next,
                }
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_path_leads_where_its_links_lead() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let inside = root.join("inside");
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::write(root.join("secret"), "x").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, inside.join(name)).unwrap();
        link("../secret", "up");
        link("/etc", "etc");
        link("deep", "down");
        link("../none", "dangling");
        link("loop", "loop");
        let bounds =
            Bounds { read: vec![inside.clone()], command: "convscope lock s.rhai".into(), ..Bounds::default() };
        let may = |path: &str| bounds.may_read(&inside.join(path)).is_ok();
        for path in ["a.png", "deep/a.png", "down/a.png", "down/../deep/a", "no/../a", "./deep/.", "loop"] {
            assert!(may(path), "{path}");
        }
        for path in
            ["../secret", "up", "etc/hostname", "deep/../../secret", "dangling", "down/../up", "no/../../secret"]
        {
            assert!(!may(path), "{path}");
        }
        let error = bounds.may_read(Path::new("/etc/host name")).unwrap_err();
        assert_eq!(error.message, "`/etc/host name` lies outside of what a sealed run may read");
        assert!(error.hint.unwrap().ends_with("convscope lock s.rhai --input '/etc/host name'"));
        assert!(bounds.may_write(&inside.join("a")).is_err());
    }

    #[test]
    fn an_empty_path_is_the_working_folder() {
        assert_eq!(real(Path::new("")), real(&std::env::current_dir().unwrap()));
    }
}
