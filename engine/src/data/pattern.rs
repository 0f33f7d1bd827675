//! Looks through folders for files: whole folders, and patterns with `*`, `?`, `[..]` and `**`, by one rule. Hidden files
//! and folders are left out (a pattern's part that begins with a dot means them). Links are followed, except those that lead
//! back to a folder around them.

use crate::error::{Error, Result};
use crate::limits::{FOLDERS, LINKED_FOLDERS};
use crate::regular;
use crate::signal::go_on;
use glob::{MatchOptions, Pattern};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The files under `root`, however deep, sorted.
///
/// # Errors
/// Where a folder cannot be read.
pub fn walk(root: &Path) -> Result<Vec<PathBuf>> {
    let mut search = Search::default();
    search.descend(root, &[Part::Any])?;
    Ok(search.found.into_iter().collect())
}

/// The files that match `pattern`, sorted.
///
/// # Errors
/// Where it is no pattern, or a folder cannot be read.
pub fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let mut root = PathBuf::new();
    let mut parts: Vec<Part> = Vec::new();
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            parts.push(Part::Named(PathBuf::from(component.as_os_str())));
            continue;
        };
        let text = name.to_string_lossy();
        parts.push(match &*text {
            "**" if matches!(parts.last(), Some(Part::Any)) => continue,
            "**" => Part::Any,
            text if text.contains(['*', '?', '[']) => {
                let made = Pattern::new(text);
                let wrong = |e: glob::PatternError| {
                    Error::value(format!("`{}` is no file pattern: {}", pattern.display(), e.msg))
                };
                Part::Like(Box::new(made.map_err(wrong)?))
            }
            _ => Part::Named(PathBuf::from(name)),
        });
    }
    // A pattern that ends with `**` means the files there.
    let first = parts.iter().position(|p| !matches!(p, Part::Named(_))).unwrap_or(parts.len());
    for part in parts.drain(..first) {
        if let Part::Named(name) = part {
            root.push(name);
        }
    }
    if root.as_os_str().is_empty() {
        root.push(".");
    }
    let mut search = Search::default();
    if root.is_dir() {
        search.descend(&root, &parts)?;
    }
    let bare = |path: PathBuf| path.strip_prefix("./").map_or(path.clone(), Path::to_path_buf);
    Ok(search.found.into_iter().map(bare).collect())
}

/// One part of a pattern.
enum Part {
    /// `**`: any number of folders.
    Any,
    /// A name with wildcards.
    Like(Box<Pattern>),
    /// A name, `..` or a root.
    Named(PathBuf),
}

#[derive(Default)]
struct Search {
    /// The real paths of the folders around the one that is read.
    above: Vec<PathBuf>,
    /// Folders that were read, by their path and how many parts were left.
    read: BTreeSet<(PathBuf, usize)>,
    found: BTreeSet<PathBuf>,
    /// Folders that were entered by links.
    linked: usize,
}

impl Search {
    /// Adds the files under `folder` that the parts lead to.
    fn descend(&mut self, folder: &Path, parts: &[Part]) -> Result<()> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        if let Part::Named(name) = part {
            return self.arrive(folder.join(name), rest);
        }
        let real = folder.canonicalize().map_err(|e| Error::io(folder, &e))?;
        if self.above.contains(&real)
            || self.above.len() >= FOLDERS
            || !self.read.insert((folder.to_path_buf(), parts.len()))
        {
            return Ok(());
        }
        if let (Part::Any, [_, ..]) = (part, rest) {
            self.descend(folder, rest)?;
        }
        self.above.push(real);
        for path in regular::entries(folder)? {
            go_on()?;
            let name = path.file_name().unwrap_or_default();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            match part {
                Part::Any if hidden => {}
                // A link is a folder where what it leads to is one.
                Part::Any if path.is_dir() => {
                    self.linked += usize::from(path.is_symlink());
                    if self.linked > LINKED_FOLDERS {
                        return Err(Error::value(format!(
                            "more than {LINKED_FOLDERS} folders are reached through links"
                        ))
                        .context(format!("`{}`", path.display()))
                        .hint("folders that link to each other are walked in every order; name the folder meant"));
                    }
                    self.descend(&path, parts)?;
                }
                Part::Any if rest.is_empty() => drop(self.found.insert(path)),
                Part::Like(pattern) if pattern.matches_with(&name.to_string_lossy(), PLAIN) => {
                    self.arrive(path, rest)?;
                }
                _ => {}
            }
        }
        self.above.pop();
        Ok(())
    }

    /// Goes on from `path`, or takes it where no part is left.
    fn arrive(&mut self, path: PathBuf, rest: &[Part]) -> Result<()> {
        match (rest.is_empty(), path.is_dir()) {
            (true, false) if path.symlink_metadata().is_ok() => drop(self.found.insert(path)),
            (false, true) => self.descend(&path, rest)?,
            _ => {}
        }
        Ok(())
    }
}

/// A wildcard does not stand for the dot of a hidden name.
const PLAIN: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_walk_ends_where_the_work_should() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.png"), "x").unwrap();
        let signal = crate::signal::StopSignal::default();
        assert_eq!(signal.during(|| walk(root.path())).unwrap().len(), 1);
        signal.stop();
        assert_eq!(signal.during(|| walk(root.path())).unwrap_err().kind, crate::error::Kind::Interrupted);
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in ["a/1.png", "a/b/2.png", "a/b/c/3.png", ".git/x.png", "a/.cache/y.png", "a/.z.png", "4.png"] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.path(), root.path().join("a/b/up")).unwrap();
            std::os::unix::fs::symlink(".", root.path().join("a/self")).unwrap();
            std::os::unix::fs::symlink("nowhere", root.path().join("a/broken.png")).unwrap();
        }
        root
    }

    /// Folders that all link to each other can be walked in as many orders as there are.
    #[cfg(unix)]
    #[test]
    fn a_web_of_links_is_refused_and_not_walked_for_ever() {
        let root = tempfile::tempdir().unwrap();
        for i in 0..10 {
            let folder = root.path().join(format!("{i}"));
            std::fs::create_dir(&folder).unwrap();
            (0..10).filter(|k| *k != i).for_each(|k| {
                std::os::unix::fs::symlink(root.path().join(format!("{k}")), folder.join(format!("to {k}"))).unwrap();
            });
        }
        let said = walk(root.path()).unwrap_err().to_string();
        assert!(said.contains("folders are reached through links"), "{said}");
    }

    fn names(root: &Path, found: Vec<PathBuf>) -> Vec<String> {
        found.iter().map(|p| p.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn folders_and_patterns_find_the_same_files() {
        let root = tree();
        let all = ["4.png", "a/1.png", "a/b/2.png", "a/b/c/3.png", "a/broken.png"];
        assert_eq!(names(root.path(), walk(root.path()).unwrap()), all);
        for pattern in ["**/*.png", "**", "**/**/*.png", "**/*"] {
            assert_eq!(names(root.path(), matching(&root.path().join(pattern)).unwrap()), all, "{pattern}");
        }
        for (pattern, want) in [
            ("*.png", &["4.png"][..]),
            ("*/*.png", &["a/1.png", "a/broken.png"]),
            ("a/**/[23].png", &["a/b/2.png", "a/b/c/3.png"]),
            ("a/b/../?.png", &["a/b/../1.png"]),
            (".git/*.png", &[".git/x.png"]),
            (".*/*.png", &[".git/x.png"]),
            ("a/.*.png", &["a/.z.png"]),
            ("**/c/*.png", &["a/b/c/3.png"]),
            ("no/*.png", &[]),
        ] {
            assert_eq!(names(root.path(), matching(&root.path().join(pattern)).unwrap()), want, "{pattern}");
        }
        assert!(matching(Path::new("x/***")).unwrap_err().message.contains("no file pattern"));
    }
}
