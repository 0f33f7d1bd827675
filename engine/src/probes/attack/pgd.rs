//! Projected gradient descent.
//!
//! Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", 2017.

use crate::ascent::CrossEntropy;
use crate::error::Result;
use crate::job::Job;
use crate::probes::attack::fgsm::sign;
use crate::probes::attack::{Attack, AttackBatch, Norm, Perturbed, Target};
use crate::random::Stream;

crate::params! {
    /// Steps along the gradient of the loss (its sign in the max-norm, its direction in the 2-norm), each projected back
    /// into a ball around the image and into 0 to 255; from random starts in the ball.
    #[probe(
        family = Fool,
        source = "Madry et al. 2017, section 2.1; Kurakin, Goodfellow, Bengio 2016",
        subjects = crate::probes::attack::SUBJECTS,
        input = Any,
        example = "pgd(#{ steps: 10 }).run(net, image)"
    )]
    pub struct Pgd as "pgd" {
        /// The ball's radius, pixel values (0 to 255); for "l2" the 2-norm over all values.
        eps: f64 = 4.0, in 0.0..=1e6;
        /// The ball's norm.
        norm: Norm = Norm::Linf;
        /// Steps from each start.
        steps: usize = 40, in 1..=100_000;
        /// A step's length, in the unit of `eps`. Where absent, eps / 30 (as Madry et al.), or 1.25 eps / steps where that is
        /// more; from halfway on half of that for images that have reached their aim, and three times that for the others.
        step: Option<f64> = None;
        /// Starts; the first success with the largest margin is kept.
        restarts: usize = 1, in 1..=1000;
        /// Whether it starts at a random point of the ball; otherwise it starts at the image.
        random_start: bool = true;
        /// The class that the prediction is to become; any other where absent.
        target: Option<Target> = None;
    }
}

impl Attack for Pgd {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn budget(&self) -> Option<(Norm, f64)> {
        Some((self.norm, self.eps))
    }

    fn perturb(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed> {
        let each = batch.space.frame.len();
        let first = self.step.unwrap_or_else(|| (self.eps / 30.0).max(1.25 * self.eps / self.steps as f64));
        let loss = CrossEntropy::new(batch.model, batch.aims.to_vec());
        let mut best = batch.pixels.to_vec();
        let mut margins = vec![f64::NEG_INFINITY; batch.aims.len()];
        let mut keep = |pixels: &[f64]| -> Result<()> {
            for (n, scores) in batch.scores(pixels)?.iter().enumerate() {
                let margin = batch.aims[n].margin(scores).0;
                if margin > margins[n] {
                    margins[n] = margin;
                    best[n * each..(n + 1) * each].copy_from_slice(&pixels[n * each..(n + 1) * each]);
                }
            }
            Ok(())
        };
        let mut done = 0;
        let planned = self.steps * self.restarts;
        for start in 0..self.restarts {
            let mut pixels = self.start(batch, start, job);
            let mut lengths = vec![first; batch.aims.len()];
            for at in job.steps("pgd", self.steps) {
                if at == self.steps / 2 && at > 0 && self.step.is_none() {
                    for ((length, scores), aim) in lengths.iter_mut().zip(batch.scores(&pixels)?).zip(batch.aims) {
                        *length *= if aim.reached(&scores) { 0.5 } else { 3.0 };
                    }
                }
                batch.step_by_gradient(&loss, &mut pixels, |n, x, g| {
                    match self.norm {
                        Norm::Linf => x.iter_mut().zip(g).for_each(|(x, g)| *x += lengths[n] * sign(*g)),
                        Norm::L2 => Norm::step_along(x, g, lengths[n]),
                    }
                    self.norm.project(x, &batch.pixels[n * each..(n + 1) * each], self.eps);
                })?;
                done += 1;
            }
            keep(&pixels)?;
            if job.stopped() {
                break;
            }
        }
        Ok(Perturbed { pixels: best, done, planned })
    }
}

impl Pgd {
    /// The image, or a point drawn evenly from the ball around it.
    fn start(&self, batch: &AttackBatch<'_>, start: usize, job: &Job) -> Vec<f64> {
        let each = batch.space.frame.len();
        let mut pixels = batch.pixels.to_vec();
        if !self.random_start {
            return pixels;
        }
        for (n, x) in pixels.chunks_mut(each).enumerate() {
            let rng: Stream = job.rng(&format!("pgd/start/{start}/{}", batch.first + n));
            match self.norm {
                Norm::Linf => {
                    x.iter_mut().enumerate().for_each(|(i, x)| *x += self.eps * (2.0 * rng.uniform_at(i as u64) - 1.0));
                }
                Norm::L2 => {
                    let r: Vec<f64> = (0..each).map(|i| rng.normal_at(i as u64)).collect();
                    let radius = libm::pow(rng.uniform_at(each as u64), 1.0 / each as f64);
                    Norm::step_along(x, &r, self.eps * radius);
                }
            }
            self.norm.project(x, &batch.pixels[n * each..(n + 1) * each], self.eps);
        }
        pixels
    }
}
