//! Several probes' maps of one input in one figure, on one colour scale, with a table of scores.

use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attribution::heat_map;
use crate::probes::judge::ProbeList;
use crate::probes::judge::completeness::promised;
use crate::probes::judge::insertion_deletion::{area, curves};
use crate::show::{Artifact, Cell, Map, Part, Scale, Style, Table};
use crate::subject::{Input, Prepared, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;

crate::params! {
    /// The maps of several probes side by side, each as a share of its own largest value, on one colour scale. A table has the
    /// raw values, deletion, insertion and completeness.
    #[probe(
        family = Judge,
        source = "the scores: Petsiuk et al. 2018; Sundararajan et al. 2017",
        subjects = "what all the probes take",
        input = One,
        example = "compare([gradient(), grad_cam()], #{ steps: 5 }).run(net, image)"
    )]
    pub struct Compare as "compare" {
        /// The probes.
        probes: ProbeList = ProbeList::default();
        /// Points of the deletion and insertion curves; 0 leaves them out.
        steps: usize = 25, in 0..=10_000;
        /// Maps in a row.
        columns: usize = 3, in 1..=12;
    }
}

impl Probe for Compare {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let [.., height, width] = *prepared.x.dims() else {
            return Err(Error::subject("maps are compared over images"));
        };
        let mut table = Table::new(["probe", "largest", "deletion", "insertion", "completeness delta"]);
        let mut shown = Vec::new();
        let mut artifact = Artifact::new(format!("maps of {target} in {}", model.card().name));
        for i in job.steps("compare", self.probes.0.len()) {
            let probe = self.probes.0[i].0.as_ref();
            let raw = probe.attribute(&target, &prepared.x, job)?;
            let importance = probe.importance(&probe.on_input(&target, raw.squeeze(0)?)?, [height, width])?;
            let largest = importance.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let shares: Vec<f32> =
                importance.iter().map(|v| if largest > 0.0 { (v.max(0.0) / largest) as f32 } else { 0.0 }).collect();
            let areas = if self.steps > 0 {
                Some(curves(&importance, &target, &prepared.x, self.steps, job)?.map(|c| area(&c, self.steps)))
            } else {
                None
            };
            let delta = match probe.promise(&target, &prepared.x, job)? {
                Some(promise) => Some(to_f64(&raw)?.iter().sum::<f64>() - promised(&promise, &target, &prepared.x)?),
                None => None,
            };
            let cell = |v: Option<f64>| v.map_or(Cell::Nothing, Cell::Float);
            table.push([
                probe.name().into(),
                largest.into(),
                cell(areas.map(|a| a[0])),
                cell(areas.map(|a| a[1])),
                cell(delta),
            ]);
            shown.push((probe.name(), tensor(shares, &[height, width])?));
            artifact = artifact.array(&format!("{i} {}", probe.name()), raw.squeeze(0)?);
        }
        let done = shown.len();
        Ok(artifact
            .part(Part::Figure(panels(&shown, &target, &prepared)?, self.columns))
            .part(Part::Table("scores".into(), table))
            .note("each map is drawn as a share of its own largest value; the arrays hold the raw values")
            .reached(done, self.probes.0.len()))
    }
}

/// The photo, where there is one, then a panel a map; the last has the colour bar of all.
fn panels(maps: &[(&str, Tensor)], target: &Subject, prepared: &Prepared) -> Result<Vec<Artifact>> {
    let panel = |title: &str, values: &Tensor, label: &str, style: Style| -> Result<Artifact> {
        let scale = Scale::Sequential { low: Some(0.0), high: Some(1.0) };
        let drawn = match heat_map(title, target, prepared, values, label, scale, style)? {
            Part::Map(map) => Part::Map(Map { title: String::new(), ..map }),
            other => other,
        };
        Ok(Artifact::new(title).part(drawn))
    };
    let photo = maps.first().filter(|_| prepared.photo.is_some());
    let mut panels =
        photo.map(|(_, values)| panel("photo", values, "", Style::Photo)).into_iter().collect::<Result<Vec<_>>>()?;
    for (i, (name, values)) in maps.iter().enumerate() {
        let label = if i + 1 == maps.len() { "share of the largest value" } else { "" };
        panels.push(panel(name, values, label, Style::Panel)?);
    }
    Ok(panels)
}
