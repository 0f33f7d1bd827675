//! Insertion and deletion: how fast the score falls when the most important pixels are deleted, and rises when they are inserted.
//!
//! Petsiuk, Das, Saenko, "RISE", 2018, section 4.1.

use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attribution::baseline::{Baseline, Baselines};
use crate::probes::judge::{ProbeList, order, pixels, watched};
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

crate::params! {
    /// The areas under the deletion and insertion curves of one or several probes' maps.
    ///
    /// Deletion sets pixels of the preprocessed input to zero, the most important first (a lower area is better); insertion
    /// puts them into a blurred input, the most important first (a higher area is better).
    #[probe(
        family = Judge,
        source = "Petsiuk, Das, Saenko 2018, section 4.1",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "insertion_deletion(gradient(), #{ steps: 10 }).run(net, image)"
    )]
    pub struct InsertionDeletion as "insertion_deletion" {
        /// The probes whose maps are judged.
        probes: ProbeList = ProbeList::default();
        /// Points on a curve besides the first.
        steps: usize = 50, in 1..=10_000;
    }
}

impl Probe for InsertionDeletion {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let mut table = Table::new(["probe", "deletion", "insertion"]);
        let mut plots: [Vec<Series>; 2] = [Vec::new(), Vec::new()];
        let mut areas = Vec::new();
        for probe in &self.probes.0 {
            let curves =
                curves(&pixels(probe.0.as_ref(), &target, &prepared.x, job)?, &target, &prepared.x, self.steps, job)?;
            let area = curves.each_ref().map(|c| area(c, self.steps));
            table.push([probe.0.name().into(), area[0].into(), area[1].into()]);
            areas.extend(area);
            let x: Vec<f64> = (0..=self.steps).map(|i| i as f64 / self.steps as f64).collect();
            for (plot, y) in plots.iter_mut().zip(curves) {
                let name = probe.0.name().to_string();
                plot.push(Series { name, x: x[..y.len()].to_vec(), y, bars: Vec::new(), mark: Mark::Line });
            }
        }
        let plot = |title: &str, series: Vec<Series>| {
            Part::Plot(Plot {
                title: title.into(),
                x_label: "share of pixels".into(),
                y_label: format!("score of {target}"),
                categories: Vec::new(),
                series,
            })
        };
        let [deletion, insertion] = plots;
        Ok(Artifact::new(format!("insertion and deletion for {target} in {}", model.card().name))
            .part(plot("deletion (lower is better)", deletion))
            .part(plot("insertion (higher is better)", insertion))
            .part(Part::Table("area under the curves".into(), table))
            .array("areas", tensor(areas, &[self.probes.0.len(), 2])?))
    }
}

/// The deletion and insertion curves of an order of pixels: what is watched after each of `steps` equal shares.
///
/// # Errors
/// As the forward pass.
pub fn curves(importance: &[f64], target: &Subject, x: &Tensor, steps: usize, job: &Job) -> Result<[Vec<f64>; 2]> {
    let model = target.model()?;
    let order = order(importance);
    let original = to_f32(x)?;
    let blurred = to_f32(&Baselines(vec![Baseline::Blur]).tensors(model, x, job)?[0])?;
    let zeros = vec![0.0; original.len()];
    let batch = job.through(model, 1, 2 * model.graph().peak_len() + original.len(), 16);
    let one = |from: &[f32], to: &[f32]| -> Result<Vec<f64>> {
        let mut curve = Vec::with_capacity(steps + 1);
        let mut now = from.to_vec();
        let (mut at, plane) = (0, order.len());
        for chunk in job.steps("insertion_deletion", (steps + 1).div_ceil(batch)) {
            let mut rows = Vec::new();
            let range = chunk * batch..((chunk + 1) * batch).min(steps + 1);
            for step in range.clone() {
                let until = plane * step / steps;
                for p in &order[at..until] {
                    (*p..now.len()).step_by(plane).for_each(|i| now[i] = to[i]);
                }
                at = until;
                rows.extend_from_slice(&now);
            }
            curve.extend(watched(target, &tensor(rows, &[&[range.len()], &x.dims()[1..]].concat())?)?);
        }
        Ok(curve)
    };
    Ok([one(&original, &zeros)?, one(&blurred, &original)?])
}

/// The area under a curve of `steps` steps over 0..1, by trapezoids; NaN for a curve that was stopped before its end.
pub fn area(curve: &[f64], steps: usize) -> f64 {
    if curve.len() <= steps {
        return f64::NAN;
    }
    curve.windows(2).map(|w| (w[0] + w[1]) / 2.0).sum::<f64>() / steps as f64
}
