//! Completeness: does a map sum to what its method promises?
//!
//! Sundararajan, Taly, Yan 2017, section 3.1. LRP conserves relevance only up to what biases absorb, which `lrp` lists
//! itself.

use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::{Probe, ProbeArg, Promise};
use crate::probes::attribution::integrated_gradients::IntegratedGradients;
use crate::probes::judge::score;
use crate::show::{Artifact, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::sync::Arc;

crate::params! {
    /// The sum of a map beside the sum that its method promises, and the delta between them.
    #[probe(
        family = Judge,
        source = "Sundararajan, Taly, Yan 2017, section 3.1",
        subjects = "what the inner probe takes",
        input = One,
        example = "completeness(integrated_gradients(#{ steps: 16 })).run(net, image)"
    )]
    pub struct Completeness as "completeness" {
        /// A probe that promises a sum: integrated_gradients or deep_lift.
        probe: ProbeArg = ProbeArg(Arc::new(IntegratedGradients::new()));
        /// A map to judge in place of the probe's own, from the same subject and input: its sum must be the promised one, and
        /// each of its values must be that of the probe's own map.
        map: Option<Tensor> = None;
        /// The delta allowed, as a share of the promised sum; and, where a map is given, the largest difference between it and the
        /// probe's own as a share of that map's largest magnitude.
        tolerance: f64 = 0.01, in 0.0..=1.0;
    }
}

impl Probe for Completeness {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let inner = self.probe.0.as_ref();
        let prepared = input.prepared(on.model()?)?;
        let target = on.asked(&prepared)?;
        let Some(promise) = inner.promise(&target, &prepared.x, job)? else {
            return Err(Error::subject(format!("`{}` promises no sum", inner.name()))
                .hint("`integrated_gradients` and `deep_lift` do; `lrp` lists what its biases absorb"));
        };
        let own = to_f64(&inner.attribute(&target, &prepared.x, job)?)?;
        let map = self.map.as_ref().map_or_else(|| Ok(own.clone()), to_f64)?;
        let expected = promised(&promise, &target, &prepared.x)?;
        let sum: f64 = map.iter().sum();
        let delta = sum - expected;
        let gap = gap(&map, &own)?;
        let sums = delta.abs() <= self.tolerance * expected.abs().max(1e-6);
        let holds = sums && gap <= self.tolerance;
        let mut table = Table::new(["probe", "sum of the map", "promised", "delta", "gap to the probe's map", "holds"]);
        table.push([inner.name().into(), sum.into(), expected.into(), delta.into(), gap.into(), holds.into()]);
        let mut artifact = Artifact::new(format!("completeness of {} for {target}", inner.name()))
            .part(Part::Table("completeness".into(), table))
            .array("delta", tensor(vec![delta], &[1])?)
            .array("holds", tensor(vec![if holds { 1.0f32 } else { 0.0 }], &[1])?);
        if !sums {
            artifact = artifact.note(format!(
                "the map does not sum to what {} promises: {sum:.6} against {expected:.6}",
                inner.name()
            ));
        }
        if gap > self.tolerance {
            artifact = artifact.note(format!(
                "the map is not the one that {} gives for this subject and input: they differ by up to {gap:.3} of its largest magnitude",
                inner.name()
            ));
        }
        Ok(artifact)
    }
}

/// The largest difference between a map and the probe's own, as a share of that one's largest magnitude; NaN counts as 1.
fn gap(map: &[f64], own: &[f64]) -> Result<f64> {
    if map.len() != own.len() {
        return Err(Error::shape(format!("the map holds {} values, the probe's own {}", map.len(), own.len())));
    }
    let largest = own.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(f64::MIN_POSITIVE);
    Ok(map.iter().zip(own).map(|(a, b)| if a.is_nan() { 1.0 } else { (a - b).abs() / largest }).fold(0.0, f64::max))
}

/// What a map of `target` at `x` should sum to.
///
/// # Errors
/// As the forward pass.
pub fn promised(promise: &Promise, target: &Subject, x: &Tensor) -> Result<f64> {
    let at = score(target, x)?;
    let Promise::Difference(baselines) = promise;
    let mut mean = 0.0;
    for b in baselines {
        mean += score(target, b)? / baselines.len() as f64;
    }
    Ok(at - mean)
}
