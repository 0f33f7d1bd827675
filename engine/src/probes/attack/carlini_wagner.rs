//! The 2-norm attack of Carlini and Wagner.
//!
//! Carlini, Wagner, "Towards Evaluating the Robustness of Neural Networks", 2016, sections 5 and 6.1.

use crate::ascent::{Adam, Boxed, Margin};
use crate::error::Result;
use crate::job::Job;
use crate::probes::attack::{Attack, AttackBatch, Norm, Perturbed, Target};

crate::params! {
    /// The smallest perturbation in the 2-norm: min |x' - x|^2 + c max(margin to the aim, -confidence), x' = 255 (tanh w + 1) / 2
    /// so that it never leaves the box, by Adam. For each image a binary search finds the least c that succeeds.
    #[probe(
        family = Fool,
        source = "Carlini and Wagner 2016, sections 5 and 6.1",
        subjects = crate::probes::attack::SUBJECTS,
        input = Any,
        example = "carlini_wagner(#{ steps: 10, searches: 2 }).run(net, image)"
    )]
    pub struct CarliniWagner as "carlini_wagner" {
        /// Steps of Adam for each c.
        steps: usize = 100, in 1..=100_000;
        /// Values of c that the binary search tries.
        searches: usize = 5, in 1..=100;
        /// The first c; the distance counts in units of 255.
        c: f64 = 0.1, in 1e-9..=1e9;
        /// How far the raw score of the target must lie above all others; without a target, that of some class above the label's.
        confidence: f64 = 0.0, in 0.0..=1e6;
        /// The learning rate of Adam, in units of w.
        rate: f64 = 0.01, in 1e-6..=10.0;
        /// The class that the prediction is to become; any other where absent.
        target: Option<Target> = None;
    }
}

impl Attack for CarliniWagner {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn budget(&self) -> Option<(Norm, f64)> {
        None
    }

    fn perturb(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed> {
        let each = batch.space.frame.len();
        let n = batch.aims.len();
        let mut search: Vec<(f64, f64, f64)> = vec![(0.0, self.c, f64::INFINITY); n];
        let mut best: Vec<(f64, Vec<f64>)> =
            (0..n).map(|i| (f64::INFINITY, batch.pixels[i * each..(i + 1) * each].to_vec())).collect();
        let start = Boxed::params(batch.pixels);
        let mut done = 0;
        for _ in 0..self.searches {
            let (mut w, mut adam) = (start.clone(), Adam::new(self.rate).falling_to(0.1, self.steps));
            let mut reached = vec![false; n];
            let mut margin = Margin::new(batch.model, batch.aims.to_vec(), self.confidence);
            // The margin counts c in each image; distances are in units of 255.
            margin.weights = search.iter().map(|s| s.1).collect();
            let mut before = f64::INFINITY;
            for step in job.steps("carlini_wagner", self.steps) {
                let pixels = Boxed::pixels(&w);
                let (values, mut gradient) = batch.measure(&margin, &pixels)?;
                let mut loss = 0.0;
                for i in 0..n {
                    let range = i * each..(i + 1) * each;
                    let (x, x0) = (&pixels[range.clone()], &batch.pixels[range.clone()]);
                    let square: f64 = x.iter().zip(x0).map(|(a, b)| (a - b) * (a - b)).sum();
                    gradient[range]
                        .iter_mut()
                        .zip(x.iter().zip(x0))
                        .for_each(|(g, (a, b))| *g -= 2.0 * (a - b) / (255.0 * 255.0));
                    loss += square / (255.0 * 255.0) - values[i];
                    let beyond = values[i] / search[i].1;
                    if beyond >= self.confidence {
                        reached[i] = true;
                        if square < best[i].0 {
                            best[i] = (square, x.to_vec());
                        }
                    }
                }
                let by_w = Boxed::pull_pixels(&w, &gradient);
                adam.ascend(&mut w, &by_w);
                done += 1;
                // Every tenth of the way: no progress, no further steps for this c (as in the authors' code).
                if (step + 1) % (self.steps / 10).max(1) == 0 {
                    if loss > 0.9999 * before {
                        done += self.steps - step - 1;
                        break;
                    }
                    before = loss;
                }
            }
            for (s, ok) in search.iter_mut().zip(reached) {
                match ok {
                    true => s.2 = s.1,
                    false => s.0 = s.1,
                }
                s.1 = if s.2.is_finite() { (s.0 + s.2) / 2.0 } else { s.1 * 10.0 };
            }
            if job.stopped() {
                break;
            }
        }
        let mut pixels: Vec<f64> = best.into_iter().flat_map(|(_, x)| x).collect();
        if self.confidence == 0.0 {
            batch.shrink(&mut pixels)?;
        }
        Ok(Perturbed { pixels, done, planned: self.steps * self.searches })
    }
}
