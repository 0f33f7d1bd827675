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
        /// Cells of a coarse mask along each axis.
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
        let cells = vec![self.cells.to_string(); axes(&prepared.x)?.len()].join(" x ");
        Ok(artifact
            .notes(model.readout().note().filter(|_| is_class))
            .note(format!("{done} masks of {cells} cells, kept with chance {}", self.keep))
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
        let axes = axes(x)?;
        let base = to_f32(x)?;
        let rng = job.rng("rise");
        let batch = job.through(model, 1, 2 * model.graph().peak_len() + base.len(), 16);
        let tap = Tap::Only(target.watched_nodes()?);
        let mut sum = vec![0.0f64; axes.iter().product()];
        let mut done = 0;
        for chunk in job.steps("rise", self.masks.div_ceil(batch)) {
            let n = batch.min(self.masks - chunk * batch);
            let masks: Vec<Vec<f32>> =
                (done..done + n).map(|i| mask(&rng, i as u64, self.cells, self.keep, axes)).collect();
            let all = masked(&base, &masks);
            let trace = model.forward(&tensor(all, &[&[n], &x.dims()[1..]].concat())?, &tap)?;
            let scores = target.watched(&trace)?;
            for (mask, score) in masks.iter().zip(scores) {
                sum.iter_mut().zip(mask).for_each(|(s, m)| *s += score * f64::from(*m));
            }
            done += n;
        }
        let each = 1.0 / (done.max(1) as f64 * self.keep);
        Ok((tensor(sum.into_iter().map(|s| (s * each) as f32).collect::<Vec<_>>(), axes)?, done))
    }
}

/// The axes that a mask covers: rows and columns of an image, the length of a signal, the three axes of a volume.
fn axes(x: &Tensor) -> Result<&[usize]> {
    match x.dims() {
        [_, length] => Ok(std::slice::from_ref(length)),
        [_, _, axes @ ..] if (1..=3).contains(&axes.len()) => Ok(axes),
        other => Err(Error::subject(format!("masks over an input of {other:?}"))),
    }
}

/// The input (channels x axes) under each mask (axes), one after another.
pub fn masked(base: &[f32], masks: &[Vec<f32>]) -> Vec<f32> {
    let mut all = Vec::with_capacity(masks.len() * base.len());
    for mask in masks {
        for plane in base.chunks_exact(mask.len()) {
            all.extend(plane.iter().zip(mask).map(|(v, m)| v * m));
        }
    }
    all
}

/// Mask `i` over an image, a signal or a volume: random coarse cells, `s` along each axis, enlarged linearly to one cell more than
/// the input and cut out at a random shift.
pub fn mask(rng: &Stream, i: u64, s: usize, keep: f64, axes: &[usize]) -> Vec<f32> {
    let cells = s.pow(axes.len() as u32);
    let draw = |k: usize| rng.uniform_at(i * (cells + axes.len()) as u64 + k as u64);
    let coarse: Vec<f32> = (0..cells).map(|k| if draw(k) < keep { 1.0 } else { 0.0 }).collect();
    let cell: Vec<usize> = axes.iter().map(|side| side.div_ceil(s)).collect();
    let shift = |axis: usize| (draw(cells + axis) * cell[axis] as f64) as usize;
    let large = |axis: usize| (s + 1) * cell[axis];
    match *axes {
        [depth, height, width] => {
            let slices = coarse.chunks_exact(s * s).flat_map(|slice| enlarged(slice, [s, s], [large(1), large(2)]));
            let plane = large(1) * large(2);
            let wide = enlarged(&slices.collect::<Vec<_>>(), [s, plane], [large(0), plane]);
            let slices = wide.chunks_exact(plane).skip(shift(0)).take(depth);
            slices.flat_map(|slice| cut(slice, large(2), [shift(1), shift(2)], [height, width])).collect()
        }
        [height, width] => {
            cut(&enlarged(&coarse, [s, s], [large(0), large(1)]), large(1), [shift(0), shift(1)], [height, width])
        }
        _ => cut(&enlarged(&coarse, [1, s], [1, large(0)]), large(0), [0, shift(0)], [1, axes[0]]),
    }
}

/// A plane enlarged linearly.
fn enlarged(plane: &[f32], input: [usize; 2], output: [usize; 2]) -> Vec<f32> {
    let scale = [0, 1].map(|a| output[a] as f64 / input[a] as f64);
    let g =
        resize::ResizeGeometry { input, output, scale, sampling: Sampling::Linear, alignment: Alignment::HalfPixel };
    resize::forward(&g, plane)
}

/// The part of a plane with rows of `stride` values that begins at `from`, row by row.
fn cut(plane: &[f32], stride: usize, from: [usize; 2], [height, width]: [usize; 2]) -> Vec<f32> {
    (0..height).flat_map(|y| &plane[(y + from[0]) * stride + from[1]..][..width]).copied().collect()
}
