//! A script from a file or from the cells of a notebook, with its front matter.

use super::sealing::Sealing;
use crate::front::Front;
use crate::notebook;
use convscope_engine::digest::{Digested, digest};
use convscope_engine::limits::{SCRIPT, TEXT};
use convscope_engine::run::inputs::digest_prefix;
use convscope_engine::{Context, Error, Result, regular};
use std::path::{Path, PathBuf};

/// A script.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name: the file's stem.
    pub name: String,
    /// Its name in messages.
    pub file: String,
    /// Its text; for a notebook, its cells as a script.
    pub text: String,
    /// The folder that it lies in.
    pub folder: PathBuf,
    /// Its front matter.
    pub front: Front,
}

impl Source {
    /// Reads the script at `path`; `-` is stdin.
    ///
    /// # Errors
    /// Where it cannot be read, is no text, or has invalid front matter.
    pub fn read(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let text = piped(std::io::stdin(), Path::new("stdin"))?;
            return Source::of("stdin", "-", text, PathBuf::new());
        }
        let about = std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
        let text = match about.is_file() || about.is_dir() {
            true => regular::read_text(path, |bytes| TEXT.check(bytes))?,
            false => piped(std::fs::File::open(path).map_err(|e| Error::io(path, &e))?, path)?,
        };
        let text = match path.extension().and_then(|e| e.to_str()) {
            Some("ipynb") => notebook::to_script(&text).context(|| format!("`{}`", path.display()))?,
            _ => text,
        };
        let name = path.file_stem().map_or_else(|| "script".into(), |s| s.to_string_lossy().into_owned());
        Source::of(&name, &path.display().to_string(), text, folder(path))
    }

    /// A script with this text.
    ///
    /// # Errors
    /// Where its front matter is invalid.
    pub fn of(name: &str, file: &str, text: String, folder: PathBuf) -> Result<Self> {
        let front = Front::of(&text).context(|| format!("`{file}`"))?;
        Ok(Source { name: name.into(), file: file.into(), text, folder, front })
    }

    /// The text without a byte order mark.
    pub fn code(&self) -> &str {
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }

    /// Whether it has cells, as notebooks do.
    pub fn has_cells(&self) -> bool {
        notebook::cells(self.code()).iter().any(|cell| !cell.marker.is_empty())
    }

    /// The script's digest; the path is its file's name.
    pub fn digested(&self) -> Digested {
        let path = Path::new(&self.file).file_name().map_or_else(|| self.file.clone(), |n| n.to_string_lossy().into());
        Digested { path, blake3: digest(self.text.as_bytes()), bytes: self.text.len() as u64 }
    }

    /// Checks the requirements in the front matter before the script runs: this engine, and files, which a sealed run must be
    /// allowed to read.
    ///
    /// # Errors
    /// Where one is not met.
    pub fn check(&self, sealing: Option<&Sealing>) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION").parse::<semver::Version>();
        if let (Some(range), Ok(version)) = (&self.front.engine, version)
            && !range.matches(&version)
        {
            return Err(Error::unsupported(format!("`{}` is for convscope {range}, this is {version}", self.file)));
        }
        for (name, declared) in &self.front.inputs {
            let full = self.folder.join(name);
            sealing.map_or(Ok(()), |sealing| sealing.may_read(&full))?;
            let found = Digested::read(name, &full).map_err(|e| {
                let e = e.context("an input that the front matter declares");
                declared.source.iter().fold(e, |e, source| e.hint(format!("it can be had from {source}")))
            })?;
            if let Some(said) = declared.blake3.as_ref().filter(|said| **said != found.blake3) {
                return Err(Error::value(format!(
                    "input `{name}` is not the one that the front matter declares: BLAKE3 {} is declared, {} was found",
                    digest_prefix(said),
                    digest_prefix(&found.blake3)
                )));
            }
        }
        Ok(())
    }
}

/// The text of a script from a pipe or a device, which may be endless.
fn piped(from: impl std::io::Read, name: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut from.take(SCRIPT + 1), &mut bytes).map_err(|e| Error::io(name, &e))?;
    if bytes.len() as u64 > SCRIPT {
        return Err(Error::format(format!("`{}` gives more than {} MB", name.display(), SCRIPT >> 20))
            .hint("a script that comes from a pipe is no longer; save it in a file"));
    }
    regular::text(bytes).ok_or_else(|| Error::format(format!("`{}` gives no text", name.display())))
}

/// The folder of a file.
pub fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

/// The absolute path; of an empty path, the working folder.
pub fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
