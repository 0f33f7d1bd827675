//! Resolves the names in a script or command to files: patterns, braces (`shard-{000..047}.tar`), folders, addresses, lists.

use super::bytes::{is_address, is_object};
use crate::data::pattern::matching;
use crate::error::{Error, Kind, Result};
use crate::regular;
use std::path::{Path, PathBuf};

/// Names that one pair of braces may stand for.
const MAX_BRACE_NAMES: usize = 1_000_000;

/// How the rows of a file are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A Parquet file.
    Parquet,
    /// A CSV manifest.
    Csv,
    /// A tar file in WebDataset's form.
    Tar,
    /// A folder of images.
    Folder,
}

impl Format {
    /// Its name in an index.
    pub fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Tar => "tar",
            Format::Folder => "folder",
        }
    }

    /// The format of that name in an index.
    pub fn of_name(name: &str) -> Option<Self> {
        [Format::Parquet, Format::Csv, Format::Tar, Format::Folder].into_iter().find(|f| f.name() == name)
    }

    /// The format of a file by its ending.
    fn of_file(name: &str) -> Option<Self> {
        let name = name.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        match name.rsplit('.').next() {
            Some("parquet" | "pq") => Some(Format::Parquet),
            Some("csv" | "tsv") => Some(Format::Csv),
            Some("tar") => Some(Format::Tar),
            _ => None,
        }
    }
}

/// The files that the names stand for, in order; paths begin at `base`.
///
/// # Errors
/// Where there are none, or one is of no known format.
pub fn files(names: &[String], base: &Path) -> Result<Vec<(String, Format)>> {
    let mut found = Vec::new();
    for name in names {
        for one in braces(name)? {
            found.extend(of_one(&one, base)?);
        }
    }
    if found.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("no table at `{}`", names.join("`, `"))).hint(FORMS));
    }
    Ok(found)
}

const FORMS: &str =
    "a table is a .parquet, .csv or .tar file, a pattern of such, an address of one, or a folder of them or of images";

fn of_one(name: &str, base: &Path) -> Result<Vec<(String, Format)>> {
    let known = |path: &str| {
        Format::of_file(path)
            .map(|format| (path.to_string(), format))
            .ok_or_else(|| Error::unsupported(format!("`{path}` is no table by its name")).hint(FORMS))
    };
    if is_object(name) {
        return of_bucket(name, known);
    }
    if is_address(name) {
        return Ok(vec![known(name)?]);
    }
    if let Some((scheme, _)) = name.split_once("://") {
        return Err(Error::unsupported(format!("`{name}`: this build reads no `{scheme}` addresses"))
            .hint("http, https, s3 and gs addresses and local files are read"));
    }
    let path = base.join(name);
    if path.is_dir() {
        let mut files: Vec<PathBuf> = regular::entries(&path)?;
        files.retain(|p| p.is_file() && !is_hidden(p) && Format::of_file(&p.to_string_lossy()).is_some());
        files.sort();
        return match files.is_empty() {
            true => Ok(vec![(path.to_string_lossy().into_owned(), Format::Folder)]),
            false => files.iter().map(|p| known(&p.to_string_lossy())).collect(),
        };
    }
    if name.contains(['*', '?', '[']) && !path.is_file() {
        let files = matching(&path)?;
        return files.iter().filter(|p| !is_hidden(p)).map(|p| known(&p.to_string_lossy())).collect();
    }
    regular::open(&path).map_err(|e| e.hint(FORMS))?;
    Ok(vec![known(&path.to_string_lossy())?])
}

/// The files in a bucket that a name stands for: those that match a pattern, one, or those in a folder.
#[cfg(feature = "cloud")]
fn of_bucket(name: &str, known: impl Fn(&str) -> Result<(String, Format)>) -> Result<Vec<(String, Format)>> {
    if name.contains(['*', '?', '[']) {
        return super::cloud::matching(name)?.iter().map(|uri| known(uri)).collect();
    }
    if !name.ends_with('/') && Format::of_file(name).is_some() {
        return Ok(vec![known(name)?]);
    }
    let mut files = super::cloud::below(name, false)?;
    files.retain(|uri| Format::of_file(uri).is_some());
    match files.is_empty() {
        // A folder of images is one without a table.
        true => Ok(vec![(name.trim_end_matches('/').to_string(), Format::Folder)]),
        false => files.iter().map(|uri| known(uri)).collect(),
    }
}

#[cfg(not(feature = "cloud"))]
fn of_bucket(name: &str, _: impl Fn(&str) -> Result<(String, Format)>) -> Result<Vec<(String, Format)>> {
    Err(super::bytes::no_buckets(name))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
}

/// What `{000..047}` stands for, the numbers as wide as they are written.
fn braces(name: &str) -> Result<Vec<String>> {
    let part = name.split_once('{').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once('}')?;
        let (first, last) = inside.split_once("..")?;
        Some((before, (first, first.parse::<usize>().ok()?, last.parse::<usize>().ok()?), after))
    });
    let Some((before, (written, first, last), after)) = part else { return Ok(vec![name.to_string()]) };
    if last < first || last - first >= MAX_BRACE_NAMES {
        return Err(Error::value(format!("`{name}`: the braces count from {first} to {last}"))
            .hint("write them as {000..047}, the smaller number first"));
    }
    let width = if written.starts_with('0') { written.len() } else { 0 };
    let mut all = Vec::new();
    for number in first..=last {
        all.extend(braces(&format!("{before}{number:0width$}{after}"))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn braces_count() {
        assert_eq!(braces("a-{008..010}.tar").unwrap(), ["a-008.tar", "a-009.tar", "a-010.tar"]);
        assert_eq!(braces("{0..1}/{8..9}").unwrap(), ["0/8", "0/9", "1/8", "1/9"]);
        assert_eq!(braces("a{b}").unwrap(), ["a{b}"]);
        assert!(braces("{5..2}").is_err());
    }
}
