//! `convscope convert`: a script as a notebook and back, without losing a byte of text; on request with the outputs that the
//! cells have.

use super::source::{Source, folder};
use super::terminal::{complain, say};
use clap::Args;
use convscope_dsl::notebook::{self, Kind, cells, layout, to_notebook};
use convscope_dsl::{Output, Place, Session, Shown};
use convscope_engine::show::{TextStyle, png, to_html, to_text};
use convscope_engine::{Context, Error, Job, Result, atomic};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Turn a script into a notebook, or a notebook into a script.
#[derive(Args)]
pub struct Convert {
    /// The script (.rhai) or notebook (.ipynb).
    from: PathBuf,
    /// The file to write: the other kind [default: beside it, under the other ending].
    to: Option<PathBuf>,
    /// Run the cells and put what they print and show into the notebook.
    #[arg(long)]
    outputs: bool,
}

impl Convert {
    /// Writes the other form.
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
        let bytes = std::fs::read(&self.from).map_err(|e| Error::io(&self.from, &e))?;
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
        say(&format!("{}\n", to.display()));
        Ok(())
    }

    /// Runs the cells of code and puts what they printed and showed into the notebook, as Jupyter's format has it.
    fn run(&self, text: &str, notebook: &mut Value) -> Result<()> {
        let source = Source::of("notebook", &self.from.display().to_string(), text.to_string(), folder(&self.from))?;
        let kept = Arc::new(Kept::default());
        let mut job = Job::new();
        job.seed = source.front.seed.unwrap_or(0);
        let mut session = Session::new(job, kept.clone());
        let declared = source.front.params.iter().map(|(name, param)| (name.clone(), param.default.clone()));
        session.context().declare(declared.collect());
        let out = super::out_folder(None, &self.from.file_stem().unwrap_or_default().to_string_lossy());
        session.set_place(Place { inputs: source.folder.clone(), outputs: out });
        let mut count = 0;
        for (i, cell) in cells(text).iter().enumerate().filter(|(_, c)| c.kind == Kind::Code) {
            count += 1;
            let result = session.run(&format!("cell {}", i + 1), &cell.text());
            let mut outputs = kept.take();
            if let Some(value) = &result.value {
                let mut data = bundle(value)?;
                data["output_type"] = "execute_result".into();
                data["execution_count"] = count.into();
                outputs.push(data);
            }
            if let Some(error) = &result.error {
                complain(&error.to_string());
                let lines: Vec<String> = error.to_string().lines().map(str::to_string).collect();
                outputs.push(json!({
                    "output_type": "error", "ename": error.kind.name(), "evalue": error.message, "traceback": lines,
                }));
            }
            notebook["cells"][i]["outputs"] = outputs.into();
            notebook["cells"][i]["execution_count"] = count.into();
            if result.error.is_some() {
                return Err(Error::value(format!("cell {} ended with an error; the notebook was not written", i + 1)));
            }
        }
        Ok(())
    }
}

/// Keeps what cells print and show as Jupyter's outputs.
#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

impl Kept {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Output for Kept {
    fn print(&self, line: &str) {
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outputs.last_mut().and_then(|o| o.get_mut("text")).and_then(Value::as_array_mut) {
            Some(text) => text.push(format!("{line}\n").into()),
            None => outputs.push(json!({ "output_type": "stream", "name": "stdout", "text": [format!("{line}\n")] })),
        }
    }

    fn show(&self, shown: &Shown) {
        let made = bundle(shown).unwrap_or_else(|e| json!({ "data": { "text/plain": e.to_string() }, "metadata": {} }));
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.push(made);
        if let Some(last) = outputs.last_mut() {
            last["output_type"] = "display_data".into();
        }
    }
}

/// A value in the forms that front ends pick from.
fn bundle(shown: &Shown) -> Result<Value> {
    let style = TextStyle { colour: false, width: 100 };
    Ok(match shown {
        Shown::Text(text) => json!({ "data": { "text/plain": text }, "metadata": {} }),
        Shown::Artifact(artifact) => {
            let mut data = json!({ "text/plain": to_text(artifact, &style), "text/html": to_html(artifact)? });
            if let Ok(picture) = png(artifact) {
                use base64::Engine as _;
                data["image/png"] = base64::engine::general_purpose::STANDARD.encode(picture).into();
            }
            json!({ "data": data, "metadata": {} })
        }
    })
}
