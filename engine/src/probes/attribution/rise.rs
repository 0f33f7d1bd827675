//! RISE: the score averaged over random masks.
//!
//! Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018.

use crate::error::{Error, Result};
use crate::graph::op::{Alignment, Sampling};
use crate::job::Job;
use crate::kernels::resize;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::heat_map;
use crate::random::Stream;
use crate::show::{Artifact, Scale, Style};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

crate::params! {
    /// The mean of random coarse masks, each weighted by the class's probability for the masked input (by the score for other
    /// subjects).
    #[probe(
        family = Where,
        source = "Petsiuk, Das, Saenko 2018, section 3",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "rise(#{ masks: 64 }).run(net, image)"
    )]
    pub struct Rise as "rise" {
        /// Masks.
        masks: usize = 4000, in 1..=1_000_000;
        /// Cells a side of a coarse mask.
        cells: usize = 7, in 1..=64;
        /// The probability that a cell is kept.
        keep: f64 = 0.5, in 0.01..=0.99;
    }
}

impl Probe for Rise {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let (map, done) = self.average(&target, &prepared.x, job)?;
        let scale = Scale::Sequential { low: None, high: None };
        let part = heat_map("rise", &target, &prepared, &map, "mean score where kept", scale, Style::Overlay)?;
        let artifact =
            Artifact::new(format!("rise of {target} in {}", model.card().name)).part(part).array("rise", map);
        let is_class = matches!(target, Subject::Class { .. });
        Ok(artifact
            .notes(model.readout().note().filter(|_| is_class))
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

impl Rise {
    fn average(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<(Tensor, usize)> {
        let model = target.model()?;
        let [_, channels, height, width] = *x.dims() else {
            return Err(Error::subject(format!("{target} takes no image")));
        };
        let base = to_f32(x)?;
        let rng = job.rng("rise");
        let batch = job.through(model, 1, 2 * model.graph().peak_len() + base.len(), 16);
        let tap = Tap::Only(target.watched_nodes()?);
        let mut sum = vec![0.0f64; height * width];
        let mut done = 0;
        for chunk in job.steps("rise", self.masks.div_ceil(batch)) {
            let n = batch.min(self.masks - chunk * batch);
            let masks: Vec<Vec<f32>> =
                (done..done + n).map(|i| mask(&rng, i as u64, self.cells, self.keep, [height, width])).collect();
            let all = masked(&base, &masks);
            let trace = model.forward(&tensor(all, &[n, channels, height, width])?, &tap)?;
            let scores = target.watched(&trace)?;
            for (mask, score) in masks.iter().zip(scores) {
                sum.iter_mut().zip(mask).for_each(|(s, m)| *s += score * f64::from(*m));
            }
            done += n;
        }
        let each = 1.0 / (done.max(1) as f64 * self.keep);
        Ok((tensor(sum.into_iter().map(|s| (s * each) as f32).collect::<Vec<_>>(), &[height, width])?, done))
    }
}

/// The input (C x H x W) under each mask (H x W), one after another.
pub fn masked(base: &[f32], masks: &[Vec<f32>]) -> Vec<f32> {
    let mut all = Vec::with_capacity(masks.len() * base.len());
    for mask in masks {
        for plane in base.chunks_exact(mask.len()) {
            all.extend(plane.iter().zip(mask).map(|(v, m)| v * m));
        }
    }
    all
}

/// Mask `i`: coarse random cells enlarged bilinearly to one cell more than the input, then cut out at a random shift.
pub fn mask(rng: &Stream, i: u64, s: usize, keep: f64, [height, width]: [usize; 2]) -> Vec<f32> {
    let draw = |k: usize| rng.uniform_at(i * (s * s + 2) as u64 + k as u64);
    let coarse: Vec<f32> = (0..s * s).map(|k| if draw(k) < keep { 1.0 } else { 0.0 }).collect();
    let cell = [height.div_ceil(s), width.div_ceil(s)];
    let large = [(s + 1) * cell[0], (s + 1) * cell[1]];
    let scale = [large[0] as f64 / s as f64, large[1] as f64 / s as f64];
    let g = resize::ResizeGeometry {
        input: [s, s],
        output: large,
        scale,
        sampling: Sampling::Linear,
        alignment: Alignment::HalfPixel,
    };
    let wide = resize::forward(&g, &coarse);
    let shift = [0, 1].map(|a| (draw(s * s + a) * cell[a] as f64) as usize);
    (0..height).flat_map(|y| wide[(y + shift[0]) * large[1] + shift[1]..][..width].to_vec()).collect()
}
