//! Inversions under several strengths of the prior, with one table of their errors (Mahendran and Vedaldi 2014, table 3, figure 7).

use super::{Invert, default_variation};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::show::{Artifact, Cell, Mark, Part, Pictures, Plot, Series, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};

/// All layers under all strengths, a row of pictures a strength.
///
/// # Errors
/// Where a strength is negative, or as of one inversion.
pub fn all(probe: &Invert, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
    if probe.strengths.iter().any(|s| !s.is_finite() || *s < 0.0) {
        return Err(Error::value("option `strengths` takes numbers from 0 up"));
    }
    let model = on.model()?;
    let nodes = probe.nodes(on)?;
    let names: Vec<String> = nodes.iter().map(|n| model.graph().node(*n).name.clone()).collect();
    let mut table = Table::new(["strength", "layer", "error", "distance / N"]);
    let (mut shown, mut images, mut series, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut notes, mut reached) = (Vec::new(), 0);
    for strength in &probe.strengths {
        let mut errors = Vec::new();
        for (node, name) in nodes.iter().zip(&names) {
            if job.stopped() {
                break;
            }
            let variation = probe.variation.unwrap_or_else(|| default_variation(model, *node));
            let one = Invert {
                strengths: Vec::new(),
                layers: None,
                norm: probe.norm * strength,
                variation: Some(variation * strength),
                ..probe.clone()
            };
            let layer = Subject::Layer { model: model.clone(), node: *node };
            let made = super::Probe::run(&one, &layer, input, job)?;
            let (key, over) = if made.data.contains_key("error") {
                ("error", made.data.get("normalised").map(to_f64).transpose()?.and_then(|v| v.first().copied()))
            } else {
                ("errors", made.table().and_then(|t| t.rows().first()?.last()?.number()))
            };
            let each = to_f64(made.array_named(key)?)?;
            let error = crate::stats::median(&each);
            table.push([
                (*strength).into(),
                name.as_str().into(),
                error.into(),
                over.map_or(Cell::Nothing, Cell::from),
            ]);
            errors.push(error);
            notes = made.notes;
            reached += usize::from(made.complete);
            // The given image leads each row; a data set's pictures stand by themselves.
            match made.parts.into_iter().next() {
                Some(Part::Pictures(pictures)) if !matches!(input, Input::Data(_)) => {
                    let given = pictures.images.first().cloned().filter(|_| errors.len() == 1);
                    images.extend(given.map(|(image, _)| (image, format!("priors × {strength}"))));
                    images.extend(pictures.images.into_iter().skip(1));
                }
                Some(pictures @ Part::Pictures(_)) => {
                    let title = format!("{name}, priors × {strength}");
                    shown.push(Artifact { title, parts: vec![pictures], complete: true, ..Artifact::default() });
                }
                _ => {}
            }
        }
        if errors.len() < names.len() {
            break;
        }
        all.extend(errors.iter().copied());
        series.push(Series {
            name: format!("priors × {strength}"),
            x: (0..errors.len()).map(|i| i as f64).collect(),
            y: errors,
            bars: Vec::new(),
            mark: Mark::Line,
        });
    }
    let (rows, columns) = (series.len(), names.len());
    let plot = Plot {
        title: "error of inversion".into(),
        x_label: String::new(),
        y_label: "|phi(x) - phi0|² / |phi0|²".into(),
        categories: names,
        series,
    };
    let artifact = Artifact::new(format!("inversion of {on} under {} strengths of the prior", probe.strengths.len()));
    let pictures = match images.is_empty() {
        true => Part::Figure(shown, 1),
        false => Part::Pictures(Pictures { title: String::new(), images, columns: Some(columns + 1) }),
    };
    Ok(artifact
        .part(pictures)
        .part(Part::Plot(plot))
        .part(Part::Table("errors".into(), table))
        .array("errors", tensor(all, &[rows, columns])?)
        .notes(notes)
        .reached(reached, probe.strengths.len() * columns))
}
