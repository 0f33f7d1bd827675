//! Where fetched files are kept: `convscope/` in the XDG cache folder, or the folder that CONVSCOPE_CACHE names.

use etcetera::BaseStrategy;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folders within the cache; nothing else in it is ever touched.
const FOLDERS: [&str; 5] = ["nets", "labels", "photos", "hub", "codes"];

/// A file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The cache's folder; it need not exist.
///
/// # Errors
/// Where neither CONVSCOPE_CACHE nor a home folder says where.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CONVSCOPE_CACHE").filter(|f| !f.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let base = etcetera::choose_base_strategy().map_err(|_| {
        Error::new(crate::error::Kind::Io, "there is no home folder to keep fetched files in")
            .hint("name a folder in the environment variable CONVSCOPE_CACHE")
    })?;
    Ok(base.cache_dir().join("convscope"))
}

/// All files in the cache, sorted by path.
///
/// # Errors
/// Where a folder cannot be read.
pub fn cache_list() -> Result<Vec<Cached>> {
    let root = cache_dir()?;
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Deletes everything in the cache; returns what was in it.
///
/// # Errors
/// Where a folder cannot be deleted.
pub fn cache_clear() -> Result<Vec<Cached>> {
    let (root, gone) = (cache_dir()?, cache_list()?);
    for folder in FOLDERS.map(|f| root.join(f)).iter().filter(|f| f.is_dir()) {
        std::fs::remove_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    }
    Ok(gone)
}

/// The folders of known nets, labels and photos, which a sealed run may read; made where that is possible.
///
/// # Errors
/// As [`cache_dir`].
pub fn known_folders() -> Result<Vec<PathBuf>> {
    let root = cache_dir()?;
    let folders: Vec<PathBuf> = ["nets", "labels", "photos"].iter().map(|name| root.join(name)).collect();
    // What cannot be made holds nothing to be read; fetching says so.
    folders.iter().for_each(|folder| drop(std::fs::create_dir_all(folder)));
    Ok(folders)
}

/// The path of a file in one of the cache's folders, which is made.
pub(super) fn place(folder: &'static str, file: &str) -> Result<PathBuf> {
    Ok(self::folder(folder)?.join(file))
}

/// One of the cache's folders, created if it does not exist.
pub(in crate::load) fn folder(name: &'static str) -> Result<PathBuf> {
    let folder = cache_dir()?.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| {
        Error::io(&folder, &e).hint("name a folder that can be written in the environment variable CONVSCOPE_CACHE")
    })?;
    Ok(folder)
}

fn collect(folder: &Path, found: &mut Vec<Cached>) -> Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(folder, &e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, &e))?.path();
        let Ok(about) = path.symlink_metadata() else { continue };
        if about.is_dir() {
            collect(&path, found)?;
        } else {
            found.push(Cached { path, bytes: about.len() });
        }
    }
    Ok(())
}
