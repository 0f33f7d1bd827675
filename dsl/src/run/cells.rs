//! Runs the cells of a script one by one and stores their outputs in a notebook.

use super::keep::KeptBytes;
use super::source::Source;
use crate::diag::Diagnostic;
use crate::notebook::{CellKind, cells};
use crate::output::Output;
use crate::place::Place;
use crate::session::Session;
use crate::shown::Shown;
use base64::Engine as _;
use convscope_engine::show::{TextStyle, png, to_html, to_text};
use convscope_engine::{Error, Job, Result};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs the code cells of `source` and stores what they print and show in `notebook`, in Jupyter's format; files go to `out`.
/// Returns the number of the cell, from 1, that ended with an error, and the error.
///
/// # Errors
/// Where a result cannot be drawn.
pub fn fill(source: &Source, notebook: &mut Value, out: PathBuf) -> Result<Option<(usize, Diagnostic)>> {
    let kept = Arc::new(Filled::default());
    let mut job = Job::new();
    job.seed = source.front.seed.unwrap_or(0);
    let mut session = Session::new(job, kept.clone());
    let declared = source.front.params.iter().map(|(name, param)| (name.clone(), param.default.clone()));
    session.context().declare(declared.collect());
    session.set_place(Place { inputs: source.folder.clone(), outputs: out });
    let mut count = 0;
    for (i, cell) in cells(&source.text).iter().enumerate().filter(|(_, c)| c.kind == CellKind::Code) {
        count += 1;
        let result = session.run(&format!("cell {}", i + 1), &cell.text());
        let mut outputs = kept.take();
        if let Some(value) = &result.value {
            let mut data = forms(value)?;
            data["output_type"] = "execute_result".into();
            data["execution_count"] = count.into();
            outputs.push(data);
        }
        if let Some(error) = &result.error {
            let lines: Vec<String> = error.to_string().lines().map(str::to_string).collect();
            outputs.push(json!({
                "output_type": "error", "ename": error.kind.name(), "evalue": error.message, "traceback": lines,
            }));
        }
        notebook["cells"][i]["outputs"] = outputs.into();
        notebook["cells"][i]["execution_count"] = count.into();
        if let Some(error) = result.error {
            return Ok(Some((i + 1, error)));
        }
    }
    Ok(None)
}

/// Collects what cells print and show as Jupyter's outputs.
#[derive(Default)]
struct Filled(Mutex<Vec<Value>>, KeptBytes);

impl Filled {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Output for Filled {
    fn too_much(&self) -> Option<Error> {
        self.1.too_much()
    }

    fn print(&self, line: &str) {
        if !self.1.printed(line) {
            return;
        }
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outputs.last_mut().and_then(|o| o.get_mut("text")).and_then(Value::as_array_mut) {
            Some(text) => text.push(format!("{line}\n").into()),
            None => outputs.push(json!({ "output_type": "stream", "name": "stdout", "text": [format!("{line}\n")] })),
        }
    }

    fn show(&self, shown: &Shown) {
        if !self.1.shown(shown) {
            return;
        }
        let made = forms(shown).unwrap_or_else(|e| json!({ "data": { "text/plain": e.to_string() }, "metadata": {} }));
        let mut outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.push(made);
        if let Some(last) = outputs.last_mut() {
            last["output_type"] = "display_data".into();
        }
    }
}

/// A value in the representations that front ends choose from.
fn forms(shown: &Shown) -> Result<Value> {
    let style = TextStyle { colour: false, width: 100 };
    Ok(match shown {
        Shown::Text(text) => json!({ "data": { "text/plain": text }, "metadata": {} }),
        Shown::Artifact(artifact) => {
            let mut data = json!({ "text/plain": to_text(artifact, &style), "text/html": to_html(artifact)? });
            if let Ok(picture) = png(artifact) {
                data["image/png"] = base64::engine::general_purpose::STANDARD.encode(picture).into();
            }
            json!({ "data": data, "metadata": {} })
        }
    })
}
