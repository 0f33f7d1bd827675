//! SmoothGrad: a map averaged over noisy copies of the input.
//!
//! Smilkov, Thorat, Kim, Viegas, Wattenberg, "SmoothGrad", 2017; squared: Hooker et al. 2018; variance: Adebayo et al. 2018.

use crate::error::Result;
use crate::job::Job;
use crate::probe::{Probe, ProbeArg};
use crate::probes::attribution;
use crate::probes::attribution::gradient::Gradient;
use crate::random::Stream;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{VALUES_PER_TASK, tensor, to_f32, to_f64};
use candle_core::Tensor;
use rayon::prelude::*;
use std::sync::Arc;

crate::choice! {
    /// The statistic over the samples.
    pub enum Statistic {
        /// The mean of the maps.
        Mean = "plain",
        /// The mean of their squares.
        Squared = "squared",
        /// Their variance.
        Variance = "var",
    }
}

crate::params! {
    /// Any probe's map, averaged over copies of the input with Gaussian noise.
    #[probe(
        family = Where,
        source = "Smilkov et al. 2017",
        subjects = "what the inner probe takes",
        input = One,
        example = "smooth_grad(gradient(), #{ samples: 8 }).run(net, image)"
    )]
    pub struct SmoothGrad as "smooth_grad" {
        /// The probe that is averaged.
        probe: ProbeArg = ProbeArg(Arc::new(Gradient::new()));
        /// Noisy copies.
        samples: usize = 25, in 1..=100_000;
        /// The noise's standard deviation as a share of the input's range (its largest minus its smallest value).
        noise: f64 = 0.15, in 0.0..=10.0;
        /// "plain" for the mean, "squared" for the mean of squares, "var" for the variance.
        statistic: Statistic = Statistic::Mean;
    }
}

impl Probe for SmoothGrad {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let (map, done) = self.average(&target, &prepared.x, job)?;
        let map = self.probe.0.on_input(&target, map.squeeze(0)?)?;
        let artifact = attribution::saliency("smooth_grad", &target, &prepared, &map)?;
        Ok(artifact
            .note(format!("{} of {done} noisy copies, noise {}", self.probe.0.name(), self.noise))
            .reached(done, self.samples))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let maps = (0..x.dims()[0])
            .map(|n| Ok(self.average(target, &x.narrow(0, n, 1)?, job)?.0))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&maps, 0)?)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        self.probe.0.on_input(target, map)
    }

    fn multiplied_by(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Option<Tensor>> {
        self.probe.0.multiplied_by(target, x, job)
    }
}

impl SmoothGrad {
    /// The statistic over the samples (1 x ...) and how many there were.
    fn average(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<(Tensor, usize)> {
        let target = &target.with_model(&job.fitted(&target.model()?.with_winograd_forward()));
        let base = to_f32(x)?;
        let (low, high) = base.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let sigma = self.noise * f64::from(high - low);
        let noise = job.rng("smooth_grad");
        let batch = job.through(target.model()?, 3, 3 * target.model()?.graph().trace_len(), 8);
        let (mut sum, mut squares, mut dims, mut done) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for chunk in job.steps("smooth_grad", self.samples.div_ceil(batch)) {
            let n = batch.min(self.samples - chunk * batch);
            let copies = noisy(&base, n, done, sigma, &noise);
            let x = tensor(copies, &[&[n], &x.dims()[1..]].concat())?.to_dtype(x.dtype())?;
            let maps = self.probe.0.attribute(target, &x, job)?;
            dims = maps.dims()[1..].to_vec();
            let values = to_f64(&maps)?;
            let len = values.len() / n;
            sum.resize(len, 0.0);
            squares.resize(len, 0.0);
            let sums = sum.par_chunks_mut(VALUES_PER_TASK).zip(squares.par_chunks_mut(VALUES_PER_TASK));
            sums.enumerate().for_each(|(i, (sum, squares))| {
                for map in values.chunks(len) {
                    let sums = sum.iter_mut().zip(squares.iter_mut());
                    map[i * VALUES_PER_TASK..].iter().zip(sums).for_each(|(v, (s, q))| {
                        *s += v;
                        *q += v * v;
                    });
                }
            });
            done += n;
        }
        let n = done.max(1) as f64;
        let value = |(s, q): (&f64, &f64)| match self.statistic {
            Statistic::Mean => s / n,
            Statistic::Squared => q / n,
            Statistic::Variance => (q / n - (s / n).powi(2)).max(0.0),
        };
        let map: Vec<f32> = sum.iter().zip(&squares).map(|v| value(v) as f32).collect();
        if done == 0 {
            return Ok((x.zeros_like()?, 0));
        }
        Ok((tensor(map, &[&[1], &dims[..]].concat())?, done))
    }
}

/// `n` copies with noise, the first of them copy number `first` of all.
fn noisy(base: &[f32], n: usize, first: usize, sigma: f64, noise: &Stream) -> Vec<f32> {
    let mut copies = vec![0.0; n * base.len()];
    copies.par_chunks_mut(VALUES_PER_TASK).enumerate().for_each(|(i, part)| {
        let from = i * VALUES_PER_TASK;
        let mut values = vec![0.0; part.len()];
        noise.normals((first * base.len() + from) as u64, &mut values);
        let mut at = from % base.len();
        for (copy, value) in part.iter_mut().zip(values) {
            *copy = base[at] + (sigma * value) as f32;
            at = if at + 1 == base.len() { 0 } else { at + 1 };
        }
    });
    copies
}
