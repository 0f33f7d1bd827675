//! The finite-difference check: does a map that claims to be the gradient agree with small steps of the score?

use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::{Probe, ProbeArg};
use crate::probes::attribution::gradient::Gradient;
use crate::probes::judge::{order, value_range};
use crate::show::{Artifact, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::{DType, Tensor};
use std::sync::Arc;

crate::params! {
    /// A map's values beside central differences of the score, computed in double precision, at the places where the
    /// map is largest and at random ones.
    #[probe(
        family = Judge,
        source = "central differences: any textbook of numerical analysis",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "gradient_check(gradient(), #{ places: 4 }).run(net, image)"
    )]
    pub struct GradientCheck as "gradient_check" {
        /// The probe whose map is checked.
        probe: ProbeArg = ProbeArg(Arc::new(Gradient::new()));
        /// Places checked.
        places: usize = 20, in 1..=100_000;
        /// The step, as a share of the input's range.
        step: f64 = 1e-5, in 1e-12..=1.0;
    }
}

impl Probe for GradientCheck {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let model = target.model()?;
        let at_place = off_ties(model, &prepared.x, job)?;
        let beside = at_place.is_some();
        let input = at_place.unwrap_or_else(|| prepared.x.clone());
        let map = to_f64(&self.probe.0.attribute(&target, &input, job)?)?;
        let x = to_f64(&input)?;
        if map.len() != x.len() {
            return Err(Error::subject(format!("the map of `{}` is not shaped as the input", self.probe.0.name())));
        }
        let step = self.step * value_range(model, &x);
        let exact = target.with_model(&model.to_dtype(DType::F64)?);
        let at = |i: usize, by: f64| -> Result<f64> {
            let mut moved = x.clone();
            moved[i] += by;
            crate::probes::judge::score(&exact, &tensor(moved, prepared.x.dims())?)
        };
        let mut table = Table::new(["place", "map", "central difference", "gap"]);
        let (mut worst, mut done) = (0.0f64, 0);
        let largest = map.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
        let magnitudes: Vec<f64> = map.iter().map(|v| v.abs()).collect();
        let top = order(&magnitudes);
        let random = job.rng("gradient_check").permutation(map.len());
        for k in job.steps("gradient_check", self.places.min(map.len())) {
            let i = if k % 2 == 0 { top[k / 2] } else { random[k / 2] };
            let difference = (at(i, step)? - at(i, -step)?) / (2.0 * step);
            let gap = (map[i] - difference).abs() / largest;
            worst = worst.max(gap);
            table.push([i.into(), map[i].into(), difference.into(), gap.into()]);
            done += 1;
        }
        Ok(Artifact::new(format!("finite differences against {} of {target}", self.probe.0.name()))
            .part(Part::Table("map and central differences".into(), table))
            .array("gap", tensor(vec![worst], &[1])?)
            .note(format!("largest gap {worst:.2e} of the map's largest magnitude; at a kink of a rectifier or pool the two may differ"))
            .notes(beside.then(|| {
                "the input is constant, so that all of a pool's values tie; map and differences are those of a point beside it".to_string()
            }))
            .reached(done, self.places.min(map.len())))
    }
}

/// A point near a constant input (noise of a thousandth of its range is added), where pools have no ties; none for other inputs.
///
/// # Errors
/// Where the input cannot be read.
fn off_ties(model: &Model, x: &Tensor, job: &Job) -> Result<Option<Tensor>> {
    let values = to_f64(x)?;
    if values.iter().any(|v| *v != values[0]) {
        return Ok(None);
    }
    let (size, noise) = (1e-3 * value_range(model, &values), job.rng("gradient_check/beside"));
    let moved = values.iter().enumerate().map(|(i, v)| (v + size * noise.normal_at(i as u64)) as f32);
    Ok(Some(tensor(moved.collect::<Vec<f32>>(), x.dims())?.to_dtype(x.dtype())?))
}
