//! Maps over a data set: runs a probe of one image on every image and streams its maps to files, or stacks them.
//!
//! A run into a folder resumes: maps of the same question that are already there are not computed again.

use super::{Family, ProbeArg, Takes};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::show::{Artifact, Cell, Encoded, Part, Saved, Table, encode};
use crate::stream::StreamReport;
use crate::subject::{Input, Subject};
use candle_core::Tensor;
use std::path::Path;

/// Images of the contact sheet.
const SHOWN: usize = 24;
/// Their columns.
const COLUMNS: usize = 4;
/// The file that says which question a folder answers.
const QUESTION: &str = "maps.json";

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

/// The maps of every image: written to `folder`, one `.npy` an image and a table `maps.csv`, or stacked as the array `maps`.
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
    let data = input.data()?;
    let question = serde_json::json!({
        "probe": probe.0.settings(),
        "subject": on.to_string(),
        "weights": on.model()?.weights_digest()?,
        "data": data.name,
        "images": data.len(),
        "seed": job.seed,
    });
    if let Some(folder) = folder.as_deref_mut() {
        begin(folder, QUESTION, "maps", &question)?;
    }
    let mut table = Table::new(["image", "name", "label", "map", "file"]);
    let (mut sheet, mut stacked, mut report, mut found) =
        (Vec::new(), Vec::<Tensor>::new(), StreamReport::default(), 0);
    let digits = data.len().saturating_sub(1).max(1).to_string().len();
    for i in job.steps(name, data.len()) {
        let file = format!("{i:0digits$}.npy");
        let there = folder.as_deref().map(|f| f.has(&file)).transpose()?.unwrap_or(false);
        let item = data.item(i)?;
        let mut row: Vec<Cell> =
            vec![i.into(), item.caption(i).into(), item.label.clone().map_or(Cell::Nothing, Cell::from)];
        if there && i >= SHOWN {
            report.reached += 1;
            found += 1;
            row.extend([Cell::Nothing, file.into()]);
            table.push(row);
            continue;
        }
        let Some(photo) = report.take(i, data.get(i))? else { continue };
        let made = probe.0.run(on, &Input::Image(photo), &job.quiet())?;
        if job.stopped() && !made.complete {
            report.reached -= 1;
            break;
        }
        found += usize::from(there);
        row.push(made.title.as_str().into());
        match folder.as_deref_mut() {
            Some(folder) => {
                if !there {
                    folder.write(&file, encode(&Saved::Tensor(made.value()?), Path::new(&file))?)?;
                }
                row.push(file.into());
            }
            None => {
                let map = made.value()?.clone();
                let bytes = 4 * map.elem_count() as u64 * data.len() as u64;
                if bytes > job.memory {
                    return Err(Error::value(format!(
                        "the maps of {} images take {:.1} GB, the ceiling is {:.1} GB",
                        data.len(),
                        bytes as f64 / 1e9,
                        job.memory as f64 / 1e9
                    ))
                    .hint("name a folder: `probe.run(subject, data, \"maps\")` writes them there one by one"));
                }
                stacked.push(map);
                row.push(Cell::Nothing);
            }
        }
        if sheet.len() < SHOWN {
            let first = made.parts.into_iter().next();
            sheet.push(Artifact {
                title: item.caption(i),
                parts: first.into_iter().collect(),
                complete: true,
                ..Artifact::default()
            });
        }
        table.push(row);
    }
    report.check()?;
    let count = table.len();
    if let Some(folder) = folder {
        folder.write("maps.csv", encode(&Saved::Table(&table), Path::new("maps.csv"))?)?;
    }
    let mut artifact = Artifact::new(format!("{name} of {on} over {count} images"))
        .part(Part::Figure(sheet, COLUMNS))
        .part(Part::Table("maps".into(), table));
    if let Some(first) = stacked.first() {
        artifact = match stacked.iter().all(|m| m.dims() == first.dims()) {
            true => artifact.array("maps", Tensor::stack(&stacked, 0)?),
            false => artifact.note("the maps differ in size, so there is no array of all; a folder holds each"),
        };
    }
    if found > 0 {
        artifact = artifact.note(format!("{found} maps were there already"));
    }
    if count > SHOWN {
        artifact = artifact.note(format!("the first {SHOWN} are drawn"));
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
