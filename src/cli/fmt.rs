//! `convscope fmt`: formats scripts.

use super::FAILED;
use super::terminal::{print_err, print_out};
use clap::Args;
use convscope_dsl::{Diagnostic, Session, Silent};
use convscope_engine::limits::{SCRIPT, TEXT};
use convscope_engine::{Error, Job, Result, atomic, regular};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Format scripts: four spaces per level, lines of at most 100 columns; only white space changes.
#[derive(Args)]
pub struct Fmt {
    /// Scripts, and folders of .rhai files; `-` formats stdin to stdout [default: this folder].
    files: Vec<PathBuf>,
    /// Write nothing: list the scripts that would change, and end with code 1 if there are any.
    #[arg(long)]
    check: bool,
}

impl Fmt {
    /// Formats the files; returns the exit code. Files that do not parse are left unchanged; the others are formatted all the same.
    pub fn main(self) -> Result<u8> {
        let session = Session::new(Job::new(), Arc::new(Silent));
        let given = if self.files.is_empty() { vec![PathBuf::from(".")] } else { self.files };
        let mut code = 0;
        for path in &given {
            let found = match path == Path::new("-") || !path.is_dir() {
                true => vec![path.clone()],
                false => scripts(path)?,
            };
            for file in found {
                let ended = match file == Path::new("-") {
                    true => piped(&session, self.check),
                    false => format_file(&session, &file, self.check),
                };
                match ended {
                    Ok(true) => {}
                    Ok(false) => code = FAILED,
                    Err(diagnostic) => {
                        print_err(&diagnostic.to_string());
                        code = FAILED;
                    }
                }
            }
        }
        Ok(code)
    }
}

/// Formats a file; returns whether it was formatted already.
fn format_file(session: &Session, file: &Path, check: bool) -> std::result::Result<bool, Box<Diagnostic>> {
    let failed = |e: Error| Box::new(Diagnostic::of(e));
    if file.extension().is_some_and(|e| e == "ipynb") {
        let error = Error::value(format!("`{}` is a notebook, no script", file.display()));
        return Err(failed(error.hint("`convscope convert` makes a script of it")));
    }
    let text = regular::read_text(file, |bytes| TEXT.check(bytes)).map_err(failed)?;
    let laid = session.format(&file.display().to_string(), &text)?;
    if laid == text {
        return Ok(true);
    }
    if check {
        print_out(&format!("{}\n", file.display()));
        return Ok(false);
    }
    atomic::write(file, laid.as_bytes()).map_err(failed)?;
    Ok(true)
}

fn piped(session: &Session, check: bool) -> std::result::Result<bool, Box<Diagnostic>> {
    let failed = |e: Error| Box::new(Diagnostic::of(e));
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(SCRIPT + 1).read_to_end(&mut bytes);
    read.map_err(|e| failed(Error::io("stdin", &e)))?;
    if bytes.len() as u64 > SCRIPT {
        let error = Error::format(format!("stdin gives more than {} MB", SCRIPT >> 20));
        return Err(failed(error.hint("name the file instead")));
    }
    let text = regular::text(bytes).ok_or_else(|| failed(Error::format("stdin gives no text")))?;
    let laid = session.format("stdin", &text)?;
    match check {
        true if laid != text => {
            print_out("stdin\n");
            Ok(false)
        }
        true => Ok(true),
        false => {
            print_out(&laid);
            Ok(true)
        }
    }
}

/// The scripts in a folder and its sub-folders, sorted; hidden files and the output folders of runs are left out.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, &e))? {
            let entry = entry.map_err(|e| Error::io(&folder, &e))?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().map_err(|e| Error::io(&path, &e))?;
            let passed = name.starts_with('.') || matches!(name.as_str(), "convscope-out" | "node_modules" | "target");
            if kind.is_dir() && !passed {
                open.push(path);
            } else if kind.is_file() && name.ends_with(".rhai") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
