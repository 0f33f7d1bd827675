//! Maps over a data set: runs a probe of one image on every image and streams its maps to files, or stacks them.
//!
//! A run into a folder resumes: maps of the same question that are already there are not computed again.

mod writer;

use super::{Family, ProbeArg, Takes};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::show::{Artifact, Cell, Encoded, Part};
use crate::stream::StreamReport;
use crate::subject::{Input, Subject};
use writer::MapWriter;

/// Images of the contact sheet.
const DRAWN_MAPS: usize = 24;
/// Their columns.
const SHEET_COLUMNS: usize = 4;
/// The file that says which question a folder answers; readers of Parquet tables pass over names with an underscore.
const QUESTION_FILES: [&str; 2] = ["maps.json", "_maps.json"];

/// Where the maps of a data set go.
pub trait Folder {
    /// The bytes of a file that is already there.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Whether a file is already there.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    fn has(&self, name: &str) -> Result<bool>;

    /// Whether maps are kept as parts of a Parquet table, many a file: such a folder is a table for readers of Parquet.
    fn in_columns(&self) -> bool {
        false
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn write(&mut self, name: &str, file: Encoded) -> Result<()>;
}

/// Whether `probe` is one whose maps over a data set are its maps of each image.
pub fn takes_each(probe: &ProbeArg) -> bool {
    let about = probe.0.about();
    about.family == Family::Where && about.input == Takes::One
}

/// The maps of every image: written to `folder`, one `.npy` an image and a table `maps.csv`, or as the parts of a Parquet table
/// (image, name, label, map of, channels, rows, columns, map: a list of f32, row-major), or stacked as the array `maps`.
///
/// # Errors
/// Where the probe is none that asks "where", the folder holds the maps of another question, or the maps do not fit in memory.
pub fn over(
    probe: &ProbeArg,
    on: &Subject,
    input: &Input,
    mut folder: Option<&mut dyn Folder>,
    job: &Job,
) -> Result<Artifact> {
    let name = probe.0.name();
    if !takes_each(probe) {
        return Err(Error::subject(format!("`{name}` makes no map of each image"))
            .hint("probes of the family \"where does it look\" do; others take a data set as a whole"));
    }
    job.whole_data(name)?;
    let (data, model) = (input.data()?, on.model()?);
    let question = serde_json::json!({
        "probe": probe.0.settings(),
        "subject": on.to_string(),
        "weights": model.weights_digest()?,
        "data": data.identity(),
        "images": data.len(),
        "seed": job.seed,
    });
    if let Some(folder) = folder.as_deref_mut() {
        let file = QUESTION_FILES[usize::from(folder.in_columns())];
        begin(folder, file, "maps", &question)?;
    }
    let mut writer = MapWriter::new(folder, data.len(), model.input_shape().iter().product());
    let (mut sheet, mut report, mut found) = (Vec::new(), StreamReport::default(), 0);
    for i in job.steps(name, data.len()) {
        let there = writer.has(i)?;
        let item = data.item(i)?;
        let known = [i.into(), item.caption(i).into(), item.label.clone().map_or(Cell::Nothing, Cell::from)];
        if there && i >= DRAWN_MAPS {
            report.reached += 1;
            found += 1;
            writer.skip(i, known);
            continue;
        }
        if let Some(photo) = report.take(i, data.get(i))? {
            let made = probe.0.run(on, &Input::Image(photo), &job.quiet())?;
            if job.stopped() && !made.complete {
                report.reached -= 1;
                break;
            }
            found += usize::from(there);
            writer.put(i, known, &made.title, made.value()?, job)?;
            if sheet.len() < DRAWN_MAPS {
                let parts = made.parts.into_iter().take(1).collect();
                sheet.push(Artifact { title: item.caption(i), parts, complete: true, ..Artifact::default() });
            }
        }
        writer.end(i)?;
    }
    report.check()?;
    let (mut artifact, table) = writer.finish(Artifact::new(""))?;
    let count = table.len();
    artifact.title = format!("{name} of {on} over {count} images");
    artifact = artifact.part(Part::Figure(sheet, SHEET_COLUMNS)).part(Part::Table("maps".into(), table));
    if found > 0 {
        artifact = artifact.note(format!("{found} maps were there already"));
    }
    if count > DRAWN_MAPS {
        artifact = artifact.note(format!("the first {DRAWN_MAPS} are drawn"));
    }
    Ok(artifact.notes(report.note()).reached(report.reached, data.len()))
}

/// Notes the question whose answer a folder gets, in its file `name`; `what` is that answer, in words.
///
/// # Errors
/// Where another question was noted there.
pub fn begin(folder: &mut dyn Folder, name: &str, what: &str, question: &serde_json::Value) -> Result<()> {
    if let Some(bytes) = folder.read(name)? {
        let noted: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| Error::format(format!("{name}: {e}")))?;
        if noted == *question {
            return Ok(());
        }
        let differs: Vec<&str> = ["probe", "subject", "weights", "data", "images", "seed", "layout"]
            .into_iter()
            .filter(|key| noted[key] != question[key])
            .collect();
        return Err(Error::value(format!("the folder holds {what} of another question: other {}", differs.join(", ")))
            .hint("name another folder, or remove this one"));
    }
    let bytes = (question.to_string() + "\n").into_bytes();
    folder.write(name, Encoded { bytes, picture: None })
}
