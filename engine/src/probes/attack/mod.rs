//! What attacks share: the images under attack and the aim of each, in pixel values from 0 to 255 as the net's card says. An
//! attack is judged on the image rounded to 8 bits, saved as a PNG and read again.

pub mod aims;
pub mod arg;
pub mod carlini_wagner;
pub mod deep_fool;
pub mod epsilon_sweep;
pub mod fgsm;
pub mod fooling_image;
pub mod lbfgs;
pub mod linear_template;
pub mod logit_sweep;
pub mod map_elites;
pub mod pgd;
pub mod random_noise;
pub mod transfer_matrix;
pub mod universal;

pub mod judge;
pub mod report;
pub mod rounding;

use crate::ascent::{Aim, Objective, Space, measure_input};
use crate::error::Result;
use crate::job::Job;
use crate::model::Model;
use crate::params::Params;
use crate::probe::{Described, Probe};
use crate::show::Artifact;
use crate::subject::{Input, Subject};

pub use aims::{AttackInputs, Target};
pub use judge::{Distortion, Outcome, judge};

crate::choice! {
    /// How the size of a perturbation is measured.
    pub enum Norm {
        /// The largest change of a value.
        Linf = "linf",
        /// The root of the sum of squares.
        L2 = "l2",
    }
}

impl Norm {
    /// The norm of a perturbation.
    pub fn of(self, r: &[f64]) -> f64 {
        match self {
            Norm::Linf => r.iter().fold(0.0, |m: f64, v| m.max(v.abs())),
            Norm::L2 => {
                let plain = r.iter().map(|v| v * v).sum::<f64>();
                if (1e-280..1e280).contains(&plain) {
                    return plain.sqrt();
                }
                // Squares leave the range of f64 where the values do not.
                let largest = Norm::Linf.of(r);
                if largest == 0.0 || !largest.is_finite() {
                    return largest;
                }
                largest * r.iter().map(|v| (v / largest) * (v / largest)).sum::<f64>().sqrt()
            }
        }
    }

    /// Moves `x` along `direction` by `length` in the 2-norm; not at all where the direction is zero or not finite.
    pub fn step_along(x: &mut [f64], direction: &[f64], length: f64) {
        let size = Norm::L2.of(direction);
        if size == 0.0 || !size.is_finite() {
            return;
        }
        let factor = length / size;
        // The factor itself leaves the range where the direction is tiny.
        match factor.is_finite() {
            true => x.iter_mut().zip(direction).for_each(|(x, d)| *x += factor * d),
            false => x.iter_mut().zip(direction).for_each(|(x, d)| *x += length * (d / size)),
        }
    }

    /// Brings `x` back into the ball of radius `eps` around `centre`, and into 0 to 255.
    pub fn project(self, x: &mut [f64], centre: &[f64], eps: f64) {
        match self {
            Norm::Linf => {
                x.iter_mut().zip(centre).for_each(|(x, c)| {
                    let (low, high) = ((c - eps).max(0.0), (c + eps).min(255.0));
                    *x = if *x < low { low } else { *x };
                    *x = if *x > high { high } else { *x };
                });
            }
            Norm::L2 => {
                // The box first: it holds the centre, so that shrinking towards the centre stays inside.
                x.iter_mut().for_each(|x| *x = x.clamp(0.0, 255.0));
                let size = x.iter().zip(centre).map(|(x, c)| (x - c) * (x - c)).sum::<f64>().sqrt();
                if size > eps {
                    // A hair inside, so that rounding does not put it outside.
                    let scale = eps / size * (1.0 - 1e-12);
                    x.iter_mut().zip(centre).for_each(|(x, c)| *x = c + (*x - c) * scale);
                }
            }
        }
    }
}

/// A batch of images under attack.
pub struct AttackBatch<'a> {
    /// The net.
    pub model: &'a Model,
    /// How pixels become its input.
    pub space: &'a Space,
    /// The images' pixel values, N x C x H x W.
    pub pixels: &'a [f64],
    /// The aim for each image's prediction.
    pub aims: &'a [Aim],
    /// The place of the first image in the whole data set: names random streams.
    pub first: usize,
}

/// The perturbed images of a batch.
pub struct Perturbed {
    /// The images' pixel values: within 0 to 255, not rounded.
    pub pixels: Vec<f64>,
    /// Steps done.
    pub done: usize,
    /// Steps planned.
    pub planned: usize,
}

/// The subjects that attacks take, in words.
pub const SUBJECTS: &str = "a net, or the class that the image shows";

/// A probe that changes images so that a net's prediction changes: the part in which attacks differ. Every attack is a
/// [`Probe`], with one common report.
pub trait Attack: Params + Described + std::any::Any + Send + Sync + std::fmt::Debug {
    /// The class that predictions are to become; any other than the right one where there is none.
    fn target(&self) -> Option<&Target>;

    /// Attacks one batch.
    ///
    /// # Errors
    /// As the passes.
    fn perturb(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed>;

    /// The ball that perturbations stay in, if the attack has one; otherwise it searches for the smallest perturbation.
    fn budget(&self) -> Option<(Norm, f64)>;
}

impl<A: Attack> Probe for A {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let inputs = AttackInputs::of(on, input, self.target(), job)?;
        let (outcomes, done, planned) = run_attack(self, &inputs, job)?;
        let made = report::artifact(self, &inputs, &outcomes)?;
        Ok(made.notes(inputs.report.note()).reached(done, planned))
    }
}

/// Attacks the images batch by batch; returns the outcomes of those that were reached, and the steps done and planned.
///
/// # Errors
/// As the passes.
pub fn run_attack(attack: &dyn Attack, inputs: &AttackInputs, job: &Job) -> Result<(Vec<Outcome>, usize, usize)> {
    let each = inputs.space.frame.len();
    let together = crate::probes::synthesis::batch(&inputs.model, job);
    let mut outcomes = Vec::new();
    let (mut done, mut planned) = (0, 0);
    let batches = inputs.aims.len().div_ceil(together);
    for (b, aims) in inputs.aims.chunks(together).enumerate() {
        if job.stopped() && b > 0 {
            planned += planned / b * (batches - b);
            break;
        }
        let from = b * together;
        let pixels = &inputs.pixels[from * each..(from + aims.len()) * each];
        let batch = AttackBatch { model: &inputs.model, space: &inputs.space, pixels, aims, first: from };
        let made = attack.perturb(&batch, job)?;
        outcomes.extend(judge(attack, &batch, &made.pixels)?);
        done += made.done;
        planned += made.planned;
    }
    Ok((outcomes, done, planned))
}

impl AttackBatch<'_> {
    /// The same with only the images at `places`.
    pub fn select(&self, pixels: &[f64], places: &[usize]) -> (Vec<f64>, Vec<Aim>) {
        let each = self.space.frame.len();
        let rows = places.iter().flat_map(|n| pixels[n * each..(n + 1) * each].iter().copied()).collect();
        (rows, places.iter().map(|n| self.aims[*n]).collect())
    }

    /// The decision values of the classes ([`Model::decisions`]) for images given as pixel values.
    ///
    /// # Errors
    /// As the forward pass.
    pub fn scores(&self, pixels: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.model.decisions(&self.space.input(self.model, pixels)?)
    }

    /// An objective of images given as pixel values, and its gradient with respect to them.
    ///
    /// # Errors
    /// As the passes.
    pub fn measure(&self, objective: &dyn Objective, pixels: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        let (values, gradient) = measure_input(self.model, objective, &self.space.input(self.model, pixels)?)?;
        Ok((values, self.space.pull_input(&gradient)?))
    }

    /// Calls `step` for each image of `pixels`, with its number and the objective's gradient with respect to its pixel values.
    ///
    /// # Errors
    /// As the passes.
    pub fn step_by_gradient(
        &self,
        objective: &dyn Objective,
        pixels: &mut [f64],
        step: impl Fn(usize, &mut [f64], &[f64]) + Sync,
    ) -> Result<()> {
        let (_, gradient) = measure_input(self.model, objective, &self.space.input(self.model, pixels)?)?;
        self.space.follow(&gradient, pixels, step)
    }

    /// Scales each perturbation that reaches its aim down to the smallest factor (to 1/256) that still reaches it.
    ///
    /// # Errors
    /// As the forward pass.
    pub fn shrink(&self, pixels: &mut [f64]) -> Result<()> {
        let each = self.space.frame.len();
        let reached = |p: &[f64]| -> Result<Vec<bool>> {
            Ok(self.scores(p)?.iter().zip(self.aims).map(|(s, a)| a.reached(s)).collect())
        };
        let able = reached(pixels)?;
        let mut ends = vec![(0.0, 1.0); self.aims.len()];
        for _ in 0..8 {
            let mut trial = self.pixels.to_vec();
            for (n, (low, high)) in ends.iter().enumerate() {
                let t = (low + high) / 2.0;
                let range = n * each..(n + 1) * each;
                trial[range.clone()].iter_mut().zip(&pixels[range]).for_each(|(x, a)| *x += t * (a - *x));
            }
            for ((ok, end), able) in reached(&trial)?.into_iter().zip(&mut ends).zip(&able) {
                let t = (end.0 + end.1) / 2.0;
                match ok || !able {
                    true => end.1 = t,
                    false => end.0 = t,
                }
            }
        }
        for (n, (_, high)) in ends.iter().enumerate().filter(|(n, _)| able[*n]) {
            let range = n * each..(n + 1) * each;
            pixels[range.clone()].iter_mut().zip(&self.pixels[range]).for_each(|(a, x)| *a = x + high * (*a - x));
        }
        Ok(())
    }
}
