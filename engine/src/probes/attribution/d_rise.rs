//! D-RISE: RISE for detectors. A mask is weighted by the similarity of the boxes found under it to the box in question.
//!
//! Petsiuk et al., "Black-box Explanation of Object Detectors via Saliency Maps", 2021.

use super::rise::{mask, masked};
use crate::detect::{Detector, Found, overlap};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attribution::heat_map;
use crate::show::{Artifact, Scale, Style};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

crate::params! {
    /// The similarity of the box to the boxes found under random coarse masks: at each pixel the mean over the masks, weighted
    /// by how much a mask keeps of the pixel. Similarity is intersection over union times the cosine of the class probabilities
    /// times objectness.
    ///
    /// The paper sums masks weighted by similarity; here the sum is divided by the sum of the masks, so that fewer masks are
    /// enough. All candidates of at least `score` are compared, before non-maximum suppression. Where a detector has no
    /// objectness, it is one minus the background's probability, else the largest class probability.
    #[probe(
        family = Where,
        source = "Petsiuk et al. 2021, section 3",
        subjects = "a detector (its best box) or a box",
        input = One,
        example = "d_rise(#{ masks: 32 }).run(detector.box(0), image)"
    )]
    pub struct DRise as "d_rise" {
        /// Masks.
        masks: usize = 5000, in 1..=1_000_000;
        /// Cells a side of a coarse mask.
        cells: usize = 16, in 1..=64;
        /// The probability that a cell is kept.
        keep: f64 = 0.5, in 0.01..=0.99;
        /// The least score of a candidate that is compared.
        score: f64 = 0.05, in 0.0..=1.0;
    }
}

impl Probe for DRise {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let prepared = input.prepared(on.model()?)?;
        let target = on.asked(&prepared)?;
        let (map, done) = self.average(&target, &prepared.x, job)?;
        let scale = Scale::Sequential { low: None, high: None };
        let part = heat_map("d_rise", &target, &prepared, &map, "mean similarity where kept", scale, Style::Overlay)?;
        Ok(Artifact::new(format!("d_rise of {target} in {}", on.model()?.card().name))
            .part(part)
            .array("d_rise", map)
            .note(format!("{done} masks of {0} x {0} cells, kept with chance {1}", self.cells, self.keep))
            .reached(done, self.masks))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let maps = (0..x.dims()[0])
            .map(|n| Ok(self.average(target, &x.narrow(0, n, 1)?, job)?.0))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&maps, 0)?)
    }
}

impl DRise {
    fn average(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<(Tensor, usize)> {
        let (model, found) = of_box(target)?;
        let detector = Detector::new(model)?;
        let [_, channels, height, width] = *x.dims() else {
            return Err(Error::subject(format!("{target} takes no image")));
        };
        let base = to_f32(x)?;
        let rng = job.rng("d_rise");
        let batch = job.through(model, 2, 2 * model.graph().peak_len() + base.len(), 16);
        let (mut sum, mut kept) = (vec![0.0f64; height * width], vec![0.0f64; height * width]);
        let mut done = 0;
        for chunk in job.steps("d_rise", self.masks.div_ceil(batch)) {
            let n = batch.min(self.masks - chunk * batch);
            let masks: Vec<Vec<f32>> =
                (done..done + n).map(|i| mask(&rng, i as u64, self.cells, self.keep, &[height, width])).collect();
            let all = masked(&base, &masks);
            let candidates = detector.candidates(&tensor(all, &[n, channels, height, width])?, self.score)?;
            for (mask, candidates) in masks.iter().zip(candidates) {
                let most = candidates.iter().map(|c| similarity(found, c)).fold(0.0, f64::max);
                sum.iter_mut().zip(mask).for_each(|(s, m)| *s += most * f64::from(*m));
                kept.iter_mut().zip(mask).for_each(|(k, m)| *k += f64::from(*m));
            }
            done += n;
        }
        let mean = sum.iter().zip(&kept).map(|(s, k)| if *k > 0.0 { (s / k) as f32 } else { 0.0 });
        Ok((tensor(mean.collect::<Vec<_>>(), &[height, width])?, done))
    }
}

/// The net and the box that a target is.
fn of_box(target: &Subject) -> Result<(&Model, &Found)> {
    match target {
        Subject::Places(places) if places.found.is_some() => {
            places.found.as_deref().map(|found| (&places.model, found))
        }
        _ => None,
    }
    .ok_or_else(|| {
        Error::subject(format!("{target} is no box"))
            .hint("`d_rise` explains boxes: net.box(0); `rise` explains scores")
    })
}

/// The similarity of a candidate to the box that is explained (equation 4 there).
pub fn similarity(target: &Found, candidate: &Found) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let (a, b) = (&target.classes, &candidate.classes);
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    let cosine = if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 };
    overlap(&target.corners, &candidate.corners) * cosine * candidate.objectness
}
