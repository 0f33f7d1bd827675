//! The attack by box-constrained L-BFGS, the first of its kind.
//!
//! Szegedy et al., "Intriguing properties of neural networks", 2013, section 4.1.

use crate::ascent::loss::Escape;
use crate::ascent::{Aim, CrossEntropy, LbfgsOptimiser as Solver, Objective, Optimiser};
use crate::error::Result;
use crate::job::Job;
use crate::probes::attack::{Attack, AttackBatch, Norm, Perturbed, Target};

crate::params! {
    /// The smallest perturbation in the 2-norm: min c |r| + loss(x + r), x + r within 0 to 255, by L-BFGS. A line search finds the
    /// largest c whose minimiser succeeds. The loss is the cross-entropy of a target, or -log(1 - p) of the right class.
    #[probe(
        family = Fool,
        source = "Szegedy et al. 2013, section 4.1",
        subjects = crate::probes::attack::SUBJECTS,
        input = Any,
        example = "lbfgs(#{ steps: 5, searches: 2 }).run(net, image)"
    )]
    pub struct Lbfgs as "lbfgs" {
        /// Steps of L-BFGS for each c.
        steps: usize = 20, in 1..=10_000;
        /// Values of c that are tried.
        searches: usize = 6, in 1..=100;
        /// The first c, in units of the loss's gradient at the image.
        c: f64 = 0.1, in 1e-9..=1e9;
        /// The class that the prediction is to become; any other where absent.
        target: Option<Target> = None;
    }
}

impl Attack for Lbfgs {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn budget(&self) -> Option<(Norm, f64)> {
        None
    }

    fn perturb(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed> {
        let each = batch.space.frame.len();
        let (mut pixels, mut done) = (Vec::new(), 0);
        for (n, x) in batch.pixels.chunks(each).enumerate() {
            let one = AttackBatch { pixels: x, aims: &batch.aims[n..=n], ..*batch };
            let (found, steps) = self.one(&one, job)?;
            pixels.extend(found);
            done += steps;
        }
        batch.shrink(&mut pixels)?;
        Ok(Perturbed { pixels, done, planned: batch.aims.len() * self.steps * self.searches })
    }
}

impl Lbfgs {
    /// One image: the closest of all evaluated points that reach the aim.
    fn one(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<(Vec<f64>, usize)> {
        let aim = batch.aims[0];
        let x = batch.pixels;
        let loss: Box<dyn Objective> = match aim {
            Aim::Be(_) => Box::new(CrossEntropy::new(batch.model, vec![aim])),
            Aim::Not(class) => Box::new(Escape::new(batch.model, class)),
        };
        let (_, gradient) = batch.measure(loss.as_ref(), x)?;
        let scale = Norm::L2.of(&gradient).max(f64::MIN_POSITIVE);
        let (mut low, mut c, mut high) = (0.0, self.c * scale, f64::INFINITY);
        let mut best = (f64::INFINITY, x.to_vec());
        let mut done = 0;
        for _ in 0..self.searches {
            let mut solver = Solver::new(10, 4.0).within(vec![0.0; x.len()], vec![255.0; x.len()]);
            let mut now = x.to_vec();
            let mut reached = false;
            for step in job.steps("lbfgs", self.steps) {
                solver.step(&mut now, &mut |p: &[f64]| {
                    let (value, mut gradient) = batch.measure(loss.as_ref(), p)?;
                    let r: Vec<f64> = p.iter().zip(x).map(|(p, x)| p - x).collect();
                    let length = Norm::L2.of(&r);
                    if length > 0.0 {
                        gradient.iter_mut().zip(&r).for_each(|(g, r)| *g -= c * r / length);
                    }
                    Ok((value[0] - c * length, gradient))
                })?;
                if aim.reached(&batch.scores(&now)?[0]) {
                    reached = true;
                    let length = now.iter().zip(x).map(|(p, x)| (p - x) * (p - x)).sum::<f64>().sqrt();
                    if length < best.0 {
                        best = (length, now.clone());
                    }
                }
                done += 1;
                if solver.ended() {
                    done += self.steps - step - 1;
                    break;
                }
            }
            match reached {
                true => low = c,
                false => high = c,
            }
            c = match (low > 0.0, high.is_finite()) {
                (true, true) => (low * high).sqrt(),
                (true, false) => 4.0 * c,
                _ => c / 4.0,
            };
            if job.stopped() {
                break;
            }
        }
        Ok((best.1, done))
    }
}
