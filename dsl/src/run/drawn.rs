//! Draws a script's results once: the figures in the folder for outputs, the parts of the report, and the outputs of the
//! record.

use super::keep::Event;
use super::script::Recording;
use crate::shown::Shown;
use convscope_engine::run::finished::ArrayDigest;
use convscope_engine::run::{Array, Content, RunOutput, finished};
use convscope_engine::show::report::drawn as drawn_section;
use convscope_engine::show::{Part, Section, alt, draw, html_within, to_html, viewer, words};
use convscope_engine::{Artifact, Context, Error, Result, atomic};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The drawn results of a script.
#[derive(Default)]
pub struct DrawnRun {
    /// The entries of `run.json`.
    pub shown: Vec<finished::ShownRecord>,
    /// The parts of the report.
    pub sections: Vec<String>,
    /// Shown results that are in no file, as outputs, in order.
    pub outputs: Vec<RunOutput>,
    /// The printed text.
    pub printed: Option<RunOutput>,
    /// The figures, in order.
    pub figures: Vec<RunOutput>,
    /// Texts in full, where another process reads the results.
    pub texts: BTreeMap<String, String>,
    /// Arrays in full, likewise.
    pub arrays: BTreeMap<String, Array>,
    /// The entries of `shown.json`, one for each shown result.
    pub entries: Vec<Value>,
    /// The bytes left for the report's viewers.
    room: usize,
}

/// Draws a script's results into the folder `out`.
///
/// # Errors
/// Where a figure cannot be drawn or written, or an array cannot be read.
pub fn drawn(events: Vec<Event>, out: &Path, recording: Recording) -> Result<DrawnRun> {
    let mut drawn = DrawnRun { room: viewer::MAX_PAGE_BYTES, ..DrawnRun::default() };
    let mut printed = String::new();
    let mut count = 0;
    for event in events {
        match event {
            Event::Printed(text) => {
                // Empty lines separate results in a terminal; a report needs none.
                if !text.trim().is_empty() {
                    drawn.sections.push(drawn_section(&Section::Text(text.trim_end_matches('\n').to_string()))?);
                }
                match printed.is_empty() {
                    true => printed = text,
                    false => printed += &text,
                }
            }
            Event::Shown(shown) => {
                count += 1;
                drawn.add(count, &shown, out, recording)?;
            }
        }
    }
    if !printed.is_empty() {
        drawn.printed = Some(drawn.text("print".into(), printed, recording));
    }
    Ok(drawn)
}

impl DrawnRun {
    /// Adds a shown result with number `count`.
    fn add(&mut self, count: usize, shown: &Shown, out: &Path, recording: Recording) -> Result<()> {
        let artifact = match shown {
            Shown::Text(text) => {
                let output = self.text(format!("show/{count:02}-text"), text.clone(), recording);
                self.outputs.push(output);
                self.sections.push(drawn_section(&Section::Text(text.clone()))?);
                self.entries.push(json!({ "text": text }));
                return Ok(());
            }
            Shown::Artifact(artifact) => artifact,
        };
        let title = if artifact.title.is_empty() { "untitled".into() } else { slug(&artifact.title) };
        let name = format!("show/{count:02}-{title}");
        let mut words = words(artifact);
        let said = serde_json::to_string_pretty(&words).map_err(|e| Error::internal(e.to_string()))?;
        let output = self.text(name.clone(), said, recording);
        self.outputs.push(output);
        let mut entry = finished::ShownRecord::of(artifact);
        for (array, tensor) in &artifact.data {
            let (values, full) = (Array::of(tensor)?, format!("{name}/{array}"));
            let output = RunOutput::array(full.clone(), &values, recording.values);
            let digest = ArrayDigest { shape: values.shape.clone(), blake3: output.blake3.clone() };
            entry.arrays.insert(array.clone(), digest);
            self.outputs.push(output);
            if recording.whole {
                self.arrays.insert(full, values);
            }
        }
        if let Some(text) = prose(artifact) {
            self.entries.push(json!({ "markdown": text }));
            self.sections.push(drawn_section(&Section::Markdown(text))?);
            return Ok(());
        }
        let section = match artifact.is_drawn() {
            true => self.figure(artifact, &mut entry, out)?,
            false => to_html(artifact)?,
        };
        self.sections.push(section);
        if artifact.is_drawn() {
            words["alt"] = alt(artifact).into();
        }
        words["arrays"] = artifact.data.keys().cloned().collect();
        words["value"] = artifact.value().map_or(Value::Null, |_| artifact.primary.clone().into());
        words["figure"] = entry.figure.clone().into();
        self.entries.push(words);
        self.shown.push(entry);
        Ok(())
    }

    /// Writes an artifact's figure; returns the part of the report with it.
    fn figure(&mut self, artifact: &Artifact, entry: &mut finished::ShownRecord, out: &Path) -> Result<String> {
        let name = format!("figures/{:02}-{}.png", self.figures.len() + 1, slug(&artifact.title));
        let picture = draw(artifact).context(|| format!("`{name}`"))?;
        let bytes = picture.png()?;
        let folder = out.join("figures");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
        atomic::write(out.join(&name), &bytes)?;
        self.figures.push(RunOutput::file(name.clone(), &bytes, &Content::Image(picture.page.clone()), 0));
        entry.figure = Some(name);
        html_within(artifact, &picture, &mut self.room)
    }

    fn text(&mut self, name: String, text: String, recording: Recording) -> RunOutput {
        let output = RunOutput::text(name.clone(), &text);
        if recording.whole {
            self.texts.insert(name, text);
        }
        output
    }
}

/// The text of an artifact that consists of text only.
fn prose(artifact: &Artifact) -> Option<String> {
    match &artifact.parts[..] {
        [Part::Text(text)] if artifact.title.is_empty() && artifact.notes.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// A title as part of a file name: lower case, digits and hyphens; whole words of up to 40 letters in all.
fn slug(title: &str) -> String {
    const MAX_SLUG: usize = 40;
    let mut slug = String::new();
    for word in title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        let hyphen = usize::from(!slug.is_empty());
        if hyphen == 1 && slug.len() + 1 + word.len() > MAX_SLUG {
            break;
        }
        slug += &"-"[..hyphen];
        slug += &word[..word.len().min(MAX_SLUG)].to_ascii_lowercase();
    }
    if slug.is_empty() { "figure".into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_file_names() {
        assert_eq!(slug("gradient of tabby, tabby cat in squeezenet1_1"), "gradient-of-tabby-tabby-cat-in");
        assert_eq!(slug("../..//Ä"), "figure");
    }
}
