//! How stable and how faithful a map is under small changes of the input: max-sensitivity and infidelity.
//!
//! Yeh, Hsieh, Suggala, Inouye, Ravikumar, "On the (In)fidelity and Sensitivity of Explanations", 2019.

use crate::error::Result;
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::judge::{ProbeList, score, value_range};
use crate::show::{Artifact, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;

crate::params! {
    /// Max-sensitivity: the largest relative change of a map when the input moves within a small box. Infidelity: the mean squared
    /// difference between the change of the score under noise and the change that the map predicts (the noise times the map). A
    /// map that is a multiple of the input (gradient x input, LRP) or of its difference from a baseline (integrated gradients,
    /// DeepLIFT) is first divided by that factor.
    #[probe(
        family = Judge,
        source = "Yeh et al. 2019, definitions 2.1 and 3.1",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "sensitivity(gradient(), #{ samples: 3 }).run(net, image)"
    )]
    pub struct Sensitivity as "sensitivity" {
        /// The probes whose maps are judged.
        probes: ProbeList = ProbeList::default();
        /// Half the side of the box, as a share of the input's range.
        radius: f64 = 0.02, in 0.0..=1.0;
        /// The infidelity noise's standard deviation, as a share of the input's range.
        noise: f64 = 0.1, in 0.0..=1.0;
        /// Changes of the input that are tried.
        samples: usize = 10, in 1..=10_000;
        /// Whether each map is first scaled by the factor that minimises its infidelity, so that maps of different units can be
        /// compared.
        normalize: bool = true;
    }
}

impl Probe for Sensitivity {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let mut table = Table::new(["probe", "max-sensitivity", "infidelity"]);
        let mut values = Vec::new();
        let (mut reached, mut divided) = (self.samples, Vec::new());
        for probe in &self.probes.0 {
            let base = to_f64(&probe.0.attribute(&target, &prepared.x, job)?)?;
            let norm = length(&base);
            let (mut largest, mut done) = (0.0f64, 0);
            for i in job.steps("sensitivity", self.samples) {
                let moved = self.changed(model, &prepared.x, i, self.radius, false, job)?;
                let map = to_f64(&probe.0.attribute(&target, &moved, job)?)?;
                let gap: Vec<f64> = map.iter().zip(&base).map(|(a, b)| a - b).collect();
                largest = largest.max(length(&gap) / norm.max(f64::MIN_POSITIVE));
                done += 1;
            }
            reached = reached.min(done);
            let infidelity = if base.len() == prepared.x.elem_count() {
                let local = match probe.0.multiplied_by(&target, &prepared.x, job)? {
                    Some(factor) => {
                        divided.push(probe.0.name());
                        quotient(&base, &to_f64(&factor)?)
                    }
                    None => base.clone(),
                };
                Some(self.infidelity(&local, &target, &prepared.x, job)?)
            } else {
                None
            };
            table.push([
                probe.0.name().into(),
                largest.into(),
                infidelity.map_or(crate::show::Cell::Nothing, Into::into),
            ]);
            values.extend([largest, infidelity.unwrap_or(f64::NAN)]);
        }
        let mut artifact = Artifact::new(format!("sensitivity of maps of {target} in {}", model.card().name))
            .part(Part::Table("sensitivity and infidelity".into(), table))
            .array("values", tensor(values, &[self.probes.0.len(), 2])?)
            .note("infidelity is told of maps shaped as the input only")
            .reached(reached, self.samples);
        if !divided.is_empty() {
            artifact = artifact.note(format!(
                "infidelity: maps of {} are divided by the input, or its difference from the baseline, which they multiply",
                divided.join(", ")
            ));
        }
        Ok(artifact)
    }
}

impl Sensitivity {
    /// The input after change `i`: uniform in the box, or normal.
    fn changed(&self, model: &Model, x: &Tensor, i: usize, share: f64, normal: bool, job: &Job) -> Result<Tensor> {
        let values = to_f32(x)?;
        let size = share * value_range(model, &values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        let rng = job.rng(if normal { "infidelity" } else { "sensitivity" });
        let draw = |k: usize| {
            let at = (i * values.len() + k) as u64;
            if normal { rng.normal_at(at) } else { 2.0 * rng.uniform_at(at) - 1.0 }
        };
        let moved: Vec<f32> = values.iter().enumerate().map(|(k, v)| v + (size * draw(k)) as f32).collect();
        tensor(moved, x.dims())
    }

    /// E[(b I.map - (S(x) - S(x - I)))^2] with b the best scale, or 1.
    fn infidelity(&self, map: &[f64], target: &Subject, x: &Tensor, job: &Job) -> Result<f64> {
        let (base, at) = (score(target, x)?, to_f64(x)?);
        let mut pairs = Vec::new();
        for i in 0..self.samples {
            let moved = self.changed(target.model()?, x, i, self.noise, true, job)?;
            let change = to_f64(&moved)?;
            let said: f64 = map.iter().zip(change.iter().zip(&at)).map(|(m, (c, a))| m * (a - c)).sum();
            pairs.push((said, base - score(target, &moved)?));
        }
        let (over, under) = pairs.iter().fold((0.0, 0.0), |(o, u), (s, d)| (o + s * d, u + s * s));
        let b = match self.normalize {
            true if under > 0.0 => over / under,
            true => 0.0,
            false => 1.0,
        };
        Ok(pairs.iter().map(|(s, d)| (b * s - d).powi(2)).sum::<f64>() / pairs.len() as f64)
    }
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// A map over what it multiplies; zero where that is zero.
fn quotient(map: &[f64], factor: &[f64]) -> Vec<f64> {
    map.iter().zip(factor).map(|(m, f)| if *f == 0.0 { 0.0 } else { m / f }).collect()
}
