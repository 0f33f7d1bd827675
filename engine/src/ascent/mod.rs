//! Images made by ascent, in parts: an objective over a net's values ([`Objective`]), a parametrisation of the image
//! ([`Parametrisation`]), random transforms of the image ([`Transforms`]), priors on the image ([`Prior`]), and an optimiser
//! ([`Optimiser`]). [`Ascent`] is the loop over them.
//!
//! Everything is maximised, in f64, over a batch of images in the units of the net's input. The loop is the one that
//! Simonyan et al. 2013, Mahendran and Vedaldi 2014 and Olah et al. 2017 share; adversarial attacks use its parts.

pub mod diversity;
pub mod lbfgs;
pub mod loss;
pub mod objective;
pub mod optimiser;
pub mod parametrisation;
pub mod prior;
pub mod space;
pub mod transform;

pub use diversity::Diversity;
pub use lbfgs::LbfgsOptimiser;
pub use loss::{Aim, CrossEntropy, Escape, Margin};
pub use objective::{CodeAlignment, MatchCode, Measured, Objective, Score, Weighted, measure, measure_input};
pub use optimiser::{Adam, Balanced, Momentum, Optimiser};
pub use parametrisation::{Boxed, Fourier, Parametrisation, Pixels};
pub use prior::{Prior, Schedule};
pub use space::{Frame, Space};
pub use transform::Transforms;

use crate::error::Result;
use crate::job::Job;
use crate::model::Model;
use crate::random::Stream;

/// The loop: what is maximised over which images, and how.
pub struct Ascent<'a> {
    /// The net.
    pub model: &'a Model,
    /// The map between net units and pixel values.
    pub space: &'a Space,
    /// What is maximised, one value an image.
    pub objective: &'a dyn Objective,
    /// How parameters become images.
    pub parametrisation: &'a dyn Parametrisation,
    /// The random transforms of the images before the net.
    pub transforms: &'a Transforms,
    /// The priors.
    pub priors: &'a [Prior],
    /// The edits of pixel parameters every few steps.
    pub schedule: Option<Schedule>,
    /// Whether the result is the image with the largest value (where nothing is random), instead of the last one.
    pub keep_best: bool,
    /// Steps.
    pub steps: usize,
    /// The name of the work in progress reports and random streams.
    pub label: &'a str,
}

/// The result of a loop.
#[derive(Clone, Debug)]
pub struct Made {
    /// The parameters it ended with.
    pub params: Vec<f64>,
    /// The images, N x C x H x W, in the units of the net's input.
    pub images: Vec<f64>,
    /// The objective of each image, without transforms and priors.
    pub values: Vec<f64>,
    /// The summed objective before each step, priors included.
    pub history: Vec<f64>,
    /// Steps done.
    pub done: usize,
}

/// Starting parameters for which every image has a gradient: where the gradient of an image is zero (on a flat picture all
/// rectifiers of a trained net can be zero), its parameters are multiplied by four, up to seven times.
///
/// # Errors
/// As the passes.
pub fn with_gradient(
    model: &Model,
    objective: &dyn Objective,
    parametrisation: &dyn Parametrisation,
    mut params: Vec<f64>,
    each: usize,
) -> Result<Vec<f64>> {
    for _ in 0..7 {
        let (_, gradient) = measure(model, objective, &parametrisation.images(&params))?;
        let silent: Vec<bool> = gradient.chunks(each).map(|g| g.iter().all(|v| *v == 0.0)).collect();
        if !silent.contains(&true) {
            break;
        }
        let images = params.chunks_mut(each).zip(silent).filter(|(_, s)| *s);
        images.for_each(|(p, _)| p.iter_mut().for_each(|v| *v *= 4.0));
    }
    Ok(params)
}

/// The zero image of `len` values, or, where its gradient is zero, weak noise with a gradient; and whether noise was needed.
///
/// # Errors
/// As the passes.
pub fn zero_or_noise(
    model: &Model,
    objective: &dyn Objective,
    parametrisation: &dyn Parametrisation,
    len: usize,
    noise: &Stream,
) -> Result<(Vec<f64>, bool)> {
    let zero = vec![0.0; len];
    let (_, gradient) = measure(model, objective, &parametrisation.images(&zero))?;
    if gradient.iter().any(|v| *v != 0.0) {
        return Ok((zero, false));
    }
    let faint = (0..len as u64).map(|i| 0.01 * noise.normal_at(i)).collect();
    Ok((with_gradient(model, objective, parametrisation, faint, len)?, true))
}

impl<'a> Ascent<'a> {
    /// The bare loop: no transforms, no priors, no schedule; the best is kept.
    pub fn plain(
        model: &'a Model,
        space: &'a Space,
        objective: &'a dyn Objective,
        parametrisation: &'a dyn Parametrisation,
    ) -> Self {
        static NONE: Transforms = Transforms::NONE;
        Ascent {
            model,
            space,
            objective,
            parametrisation,
            transforms: &NONE,
            priors: &[],
            schedule: None,
            keep_best: true,
            steps: 0,
            label: "ascent",
        }
    }

    /// Runs the loop from `params`. An interrupt ends it early with the result so far: the parameters with the largest
    /// objective where nothing is random, the last ones otherwise.
    ///
    /// # Errors
    /// As the passes.
    pub fn run(&self, params: Vec<f64>, optimiser: &mut dyn Optimiser, job: &Job) -> Result<Made> {
        let mut params = params;
        self.parametrisation.project(&mut params);
        let mut best = (f64::NEG_INFINITY, params.clone());
        let mut history = Vec::with_capacity(self.steps);
        let mut done = 0;
        let every = (self.steps / 16).max(1);
        for step in job.steps(self.label, self.steps) {
            let before = params.clone();
            let value = optimiser.step(&mut params, &mut |p: &[f64]| self.evaluate(p, step, job))?;
            if let Some(schedule) = &self.schedule {
                schedule.apply(self.space.frame, &mut params, step + 1);
            }
            self.parametrisation.project(&mut params);
            if self.compares() && value > best.0 {
                best = (value, before);
            }
            history.push(value);
            done = step + 1;
            if done % every == 0 {
                self.show(&params, job)?;
            }
            if optimiser.ended() {
                done = self.steps;
                break;
            }
        }
        if self.compares() {
            let (value, _) = self.evaluate(&params, done, job)?;
            if value < best.0 {
                params = best.1;
            }
        }
        let images = self.parametrisation.images(&params);
        let (values, _) = measure(self.model, self.objective, &images)?;
        Ok(Made { params, images, values, history, done })
    }

    /// Whether the values of two steps can be compared.
    fn compares(&self) -> bool {
        self.keep_best && self.transforms.is_none() && self.schedule.is_none()
    }

    /// The objective with priors, summed over the images, and its gradient with respect to the parameters.
    fn evaluate(&self, params: &[f64], step: usize, job: &Job) -> Result<(f64, Vec<f64>)> {
        let images = self.parametrisation.images(params);
        let warps = self.transforms.draw(self.space.frame, job, self.label, step);
        let seen = warps.apply(&images);
        let (values, gradient) = measure(self.model, self.objective, &seen)?;
        let mut gradient = warps.pull(&gradient);
        let mut total: f64 = values.iter().sum();
        for prior in self.priors {
            total -= prior.add_to(self.space.frame, &images, &mut gradient);
        }
        Ok((total, self.parametrisation.pull(params, &gradient)))
    }

    fn show(&self, params: &[f64], job: &Job) -> Result<()> {
        if self.model.card().preprocess.is_some() {
            let images = self.parametrisation.images(params);
            job.picture(self.label, &self.space.picture(self.model, &images[..self.space.frame.len()])?);
        }
        Ok(())
    }
}
