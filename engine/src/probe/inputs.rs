//! Attribution for nets with several inputs: maps and tables of the inputs besides the asked one.

use super::ProbeArg;
use crate::error::Result;
use crate::job::Job;
use crate::show::{Artifact, Cell, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::to_f64;

/// Values of a further input that a table lists, the largest in magnitude first.
const LISTED_VALUES: usize = 16;

/// The artifact with the probe's map of each input, the array "input NAME", and for each input besides the asked one a table
/// of the values that the map gives most. The map of an input is computed with all other inputs held at their values.
///
/// # Errors
/// As the probe's own.
pub fn of_others(probe: &ProbeArg, on: &Subject, input: &Input, artifact: Artifact, job: &Job) -> Result<Artifact> {
    let model = on.model()?;
    let prepared = input.prepared(model)?;
    let target = on.asked(&prepared)?;
    let inputs = model.inputs();
    let Some(asked) = inputs.iter().find(|i| i.is_asked) else { return Ok(artifact) };
    let mut artifact = match artifact.value().cloned() {
        Ok(map) => artifact.array(&format!("input {}", asked.name), map),
        Err(_) => artifact,
    };
    for other in inputs.iter().filter(|i| !i.is_asked) {
        let Some(value) = model.held_at(&other.name) else { continue };
        let turned = model.asked_with(&other.name)?.given([(asked.name.as_str(), prepared.x.clone())])?;
        let x = turned.batched(value)?;
        let map = probe.0.attribute(&target.with_model(&turned), &x, job)?.squeeze(0)?;
        let (values, at) = (to_f64(&map)?, to_f64(value)?);
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b)));
        let mut table = Table::new(["index", "input", probe.0.name()]);
        for i in order.into_iter().take(LISTED_VALUES) {
            table.push([Cell::Int(i as i64), Cell::Float(at[i]), Cell::Float(values[i])]);
        }
        let title = format!("input `{}`: the largest of {} values", other.name, values.len());
        artifact = artifact.part(Part::Table(title, table)).array(&format!("input {}", other.name), map);
    }
    Ok(artifact)
}
