//! DeepLIFT: what each input value's difference from a baseline adds to the score's difference.
//!
//! Shrikumar, Greenside, Kundaje 2017; the multipliers are in [`crate::rules::deep_lift`].

use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probe::Promise;
use crate::probes::attribution::baseline::Baselines;
use crate::probes::attribution::{diagnose, signed};
use crate::rules::{On, Rescale, Rules};
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::sync::Arc;

crate::params! {
    /// DeepLIFT's rescale rule: multipliers (change of output over change of input, against a baseline) propagated back to the
    /// input, times the input's difference from the baseline.
    ///
    /// Its values sum to S(x) - S(baseline), even with overlapping pools; a note gives the remaining delta.
    #[probe(
        family = Where,
        source = "Shrikumar, Greenside, Kundaje 2017, sections 3.2 and 3.5.1",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "deep_lift().run(net, image)"
    )]
    pub struct DeepLift as "deep_lift" {
        /// What the input is compared with: "zero", "blur", "random", a number, an image, a tensor, or a list of these, whose
        /// maps are averaged.
        baseline: Baselines = Baselines::default();
    }
}

impl Probe for DeepLift {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let found = self.compare(&target, &prepared.x, job)?;
        let map = found.map.squeeze(0)?;
        let label = "contribution to the score, summed over channels";
        let mut artifact = signed("deep_lift", &target, &prepared, &map, label)?;
        for reason in diagnose(&map, &target, &prepared.x, &Rules::gradient())? {
            artifact = artifact.note(reason);
        }
        let sum = to_f64(&map)?.iter().sum::<f64>();
        let delta = sum - found.difference;
        Ok(artifact
            .note(format!(
                "completeness: the map sums to {sum:.6}, S(x) - S(baseline) is {:.6}, delta {delta:.2e}",
                found.difference
            ))
            .array("delta", tensor(vec![delta], &[1])?))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let one = |n: usize| Ok(self.compare(target, &x.narrow(0, n, 1)?.contiguous()?, job)?.map);
        Ok(Tensor::cat(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn promise(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Option<Promise>> {
        Ok(Some(Promise::Difference(self.baseline.tensors(target.model()?, x, job)?)))
    }
}

/// A map and the score's difference that it explains, means over baselines.
struct Found {
    map: Tensor,
    difference: f64,
}

impl DeepLift {
    fn compare(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Found> {
        let model = target.model()?;
        let tap = target.tap()?;
        let trace = model.forward(x, &tap)?;
        let baselines = self.baseline.tensors(model, x, job)?;
        let mut found = Found { map: x.zeros_like()?, difference: 0.0 };
        let share = 1.0 / baselines.len() as f64;
        for b in &baselines {
            let baseline = model.forward(b, &tap)?;
            found.difference += share * (target.scores(&trace)?[0] - target.scores(&baseline)?[0]);
            let change = (trace.get(model.graph().input())? - baseline.get(model.graph().input())?)?;
            let rules = Rules(vec![(On::Any, Arc::new(Rescale { baseline }))]);
            let multipliers = trace.backward_to(model.graph().input(), target.seed(&trace)?, &rules)?;
            found.map = (found.map + ((multipliers * change)? * share)?)?;
        }
        Ok(found)
    }
}
