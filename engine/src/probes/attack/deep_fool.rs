//! DeepFool: steps across the nearest boundary of the linearised net, until the prediction changes.
//!
//! Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks", 2015,
//! algorithm 2.

use crate::ascent::Aim;
use crate::error::Result;
use crate::job::Job;
use crate::pass::Tap;
use crate::probes::attack::fgsm::sign;
use crate::probes::attack::{Attack, AttackBatch, Norm, Perturbed, Target};
use crate::rules::Rules;
use crate::tensor::{tensor, to_f64};

crate::params! {
    /// The smallest perturbation that crosses a decision boundary: the net is linearised and the image is moved just across the
    /// nearest boundary of the linearisation, again and again until the prediction changes. Then the image is moved back as far
    /// as the prediction stays changed.
    #[probe(
        family = Fool,
        source = "Moosavi-Dezfooli, Fawzi, Frossard 2015, algorithm 2; max-norm: section 3.3",
        subjects = crate::probes::attack::SUBJECTS,
        input = Any,
        example = "deep_fool(#{ candidates: 4 }).run(net, image)"
    )]
    pub struct DeepFool as "deep_fool" {
        /// The norm that measures the distance to a boundary.
        norm: Norm = Norm::L2;
        /// Steps at most.
        steps: usize = 50, in 1..=10_000;
        /// Classes whose boundaries are considered: those with the largest scores.
        candidates: usize = 10, in 2..=10_000;
        /// The fraction of the perturbation by which each step goes beyond the boundary.
        overshoot: f64 = 0.02, in 0.0..=10.0;
        /// The class that the prediction is to become; any other where absent.
        target: Option<Target> = None;
    }
}

impl Attack for DeepFool {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn budget(&self) -> Option<(Norm, f64)> {
        None
    }

    fn perturb(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed> {
        let mut made = self.cross(batch, job)?;
        batch.shrink(&mut made.pixels)?;
        Ok(made)
    }
}

impl DeepFool {
    /// The images moved across their nearest boundaries, and beyond by the overshoot.
    ///
    /// # Errors
    /// As the passes.
    pub fn cross(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed> {
        let each = batch.space.frame.len();
        let mut moved = vec![0.0; batch.pixels.len()];
        let mut pixels = batch.pixels.to_vec();
        let mut active: Vec<usize> = (0..batch.aims.len()).collect();
        let (mut done, mut ended) = (0, false);
        for _ in job.steps("deep_fool", self.steps) {
            let (rows, aims) = batch.select(&pixels, &active);
            let steps = self.nearest(batch, &rows, &aims)?;
            let mut left = Vec::new();
            for (n, r) in active.iter().zip(steps) {
                let Some(r) = r else { continue };
                let range = n * each..(n + 1) * each;
                moved[range.clone()].iter_mut().zip(r).for_each(|(m, r)| *m += r);
                for i in range {
                    pixels[i] = (batch.pixels[i] + (1.0 + self.overshoot) * moved[i]).clamp(0.0, 255.0);
                }
                left.push(*n);
            }
            active = left;
            done += 1;
            ended = active.is_empty();
            if ended {
                break;
            }
        }
        let planned = if ended { done } else { self.steps };
        Ok(Perturbed { pixels, done, planned })
    }

    /// The step of each image across the nearest boundary of its linearisation; none where the aim is reached.
    fn nearest(&self, batch: &AttackBatch<'_>, pixels: &[f64], aims: &[Aim]) -> Result<Vec<Option<Vec<f64>>>> {
        let each = batch.space.frame.len();
        let node = batch.model.graph().scores();
        let x = batch.space.tensor(&batch.space.to_net(pixels))?;
        let trace = batch.model.forward(&x, &Tap::Signs(vec![node]))?;
        let value = trace.get(node)?;
        let flat = to_f64(value)?;
        let len = flat.len() / aims.len().max(1);
        let readout = batch.model.readout();
        let scores: Vec<Vec<f64>> = flat.chunks(len).map(|row| readout.decision(row)).collect();
        let pairs: Vec<Vec<(usize, usize)>> = scores.iter().zip(aims).map(|(s, a)| self.boundaries(s, *a)).collect();
        let most = pairs.iter().map(Vec::len).max().unwrap_or(0);
        let mut best: Vec<Option<(f64, Vec<f64>)>> = vec![None; aims.len()];
        for k in 0..most {
            let mut seed = Vec::with_capacity(flat.len());
            for (pairs, scores) in pairs.iter().zip(&scores) {
                let mut row = vec![0.0; scores.len()];
                if let Some((up, down)) = pairs.get(k) {
                    row[*up] += 1.0;
                    row[*down] -= 1.0;
                }
                seed.extend(readout.to_scores(&row));
            }
            let seed = vec![(node, tensor(seed, value.dims())?)];
            let gradient = to_f64(&trace.backward_to(batch.model.graph().input(), seed, &Rules::gradient())?)?;
            for (n, w) in batch.space.pull(&gradient).chunks(each).enumerate() {
                let Some((up, down)) = pairs[n].get(k) else { continue };
                let f = (scores[n][*up] - scores[n][*down]).abs();
                let dual = match self.norm {
                    Norm::L2 => Norm::L2.of(w),
                    Norm::Linf => w.iter().map(|w| w.abs()).sum(),
                };
                if dual == 0.0 {
                    continue;
                }
                // The least beyond the boundary, so that rounding does not leave it on it.
                let distance = (f + 1e-6 * f.max(1e-3)) / dual;
                if best[n].as_ref().is_none_or(|(d, _)| distance < *d) {
                    let r = match self.norm {
                        Norm::L2 => w.iter().map(|w| distance * w / dual).collect(),
                        Norm::Linf => w.iter().map(|w| distance * sign(*w)).collect(),
                    };
                    best[n] = Some((distance, r));
                }
            }
        }
        Ok(best.into_iter().map(|b| b.map(|(_, r)| r)).collect())
    }

    /// The boundaries considered, each as the class to rise and the class to fall; none where the aim is reached.
    fn boundaries(&self, scores: &[f64], aim: Aim) -> Vec<(usize, usize)> {
        if aim.reached(scores) {
            return Vec::new();
        }
        match aim {
            Aim::Be(class) => vec![(class, aim.margin(scores).2)],
            Aim::Not(class) => {
                let mut order: Vec<usize> = (0..scores.len()).filter(|i| *i != class).collect();
                order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
                order.into_iter().take(self.candidates - 1).map(|other| (other, class)).collect()
            }
        }
    }
}
