//! `convscope convert`: a script to a notebook and back, without losing a byte of text; on request with the outputs of the
//! cells.

use super::terminal::{print_err, print_out};
use clap::Args;
use convscope_dsl::notebook::{self, layout, to_notebook};
use convscope_dsl::run::cells;
use convscope_dsl::run::source::{Source, folder};
use convscope_engine::limits::TEXT;
use convscope_engine::{Context, Error, Result, atomic, regular};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Convert a script to a notebook, or a notebook to a script.
#[derive(Args)]
pub struct Convert {
    /// The script (.rhai) or notebook (.ipynb).
    from: PathBuf,
    /// The file to write, of the other kind [default: beside it, with the other extension].
    to: Option<PathBuf>,
    /// Run the cells and store what they print and show in the notebook.
    #[arg(long)]
    outputs: bool,
}

impl Convert {
    /// Writes the converted file.
    pub fn main(self) -> Result<()> {
        let kind = |path: &Path| path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_string();
        let other = match kind(&self.from).as_str() {
            "rhai" => "ipynb",
            "ipynb" => "rhai",
            _ => {
                return Err(Error::value(format!("`{}` is neither a script nor a notebook", self.from.display()))
                    .hint("scripts end in .rhai, notebooks in .ipynb"));
            }
        };
        let to = self.to.clone().unwrap_or_else(|| self.from.with_extension(other));
        if kind(&to) != other {
            return Err(Error::value(format!("`{}` cannot be made of `{}`", to.display(), self.from.display()))
                .hint(format!("name a file that ends in .{other}")));
        }
        let bytes = regular::read(&self.from, |bytes| TEXT.check(bytes))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::format(format!("`{}` is not a text file", self.from.display())))?;
        let written = match other {
            "ipynb" => {
                let mut notebook = to_notebook(&text);
                if self.outputs {
                    self.run(&text, &mut notebook)?;
                }
                layout(&notebook)?
            }
            _ if self.outputs => {
                return Err(Error::value("a script has no place for outputs").hint("leave `--outputs` out"));
            }
            _ => notebook::to_script(&text).context(|| format!("`{}`", self.from.display()))?,
        };
        atomic::write(&to, written.as_bytes())?;
        print_out(&format!("{}\n", to.display()));
        Ok(())
    }

    /// Runs the cells and writes their outputs into the notebook.
    fn run(&self, text: &str, notebook: &mut Value) -> Result<()> {
        let source = Source::of("notebook", &self.from.display().to_string(), text.to_string(), folder(&self.from))?;
        let out = super::out_folder(None, &self.from.file_stem().unwrap_or_default().to_string_lossy());
        match cells::fill(&source, notebook, out)? {
            None => Ok(()),
            Some((cell, error)) => {
                print_err(&error.to_string());
                Err(Error::value(format!("cell {cell} ended with an error; the notebook was not written")))
            }
        }
    }
}
