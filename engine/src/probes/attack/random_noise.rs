//! Noise of an attack's size, independent of the net: the control against which attacks are compared.
//!
//! Szegedy et al. 2013, section 4.2 (Gaussian noise of equal distortion); Goodfellow, Shlens, Szegedy 2014, section 8 and figure 4
//! (random signs).

use crate::error::Result;
use crate::job::Job;
use crate::probes::attack::{Attack, AttackBatch, Norm, Perturbed};

crate::params! {
    /// Noise of a given size as a control of attacks: each value moved by eps with a random sign in the max-norm, a Gaussian
    /// scaled to the length eps in the 2-norm.
    #[probe(
        family = Fool,
        source = "Szegedy et al. 2013, section 4.2; Goodfellow, Shlens, Szegedy 2014, section 8",
        subjects = crate::probes::attack::SUBJECTS,
        input = Any,
        example = "random_noise(#{ eps: 8 }).run(net, image)"
    )]
    pub struct RandomNoise as "random_noise" {
        /// The size, pixel values (0 to 255); for "l2" the 2-norm over all values.
        eps: f64 = 8.0, in 0.0..=1e6;
        /// The norm that measures the size.
        norm: Norm = Norm::Linf;
    }
}

impl Attack for RandomNoise {
    fn target(&self) -> Option<&super::Target> {
        None
    }

    fn budget(&self) -> Option<(Norm, f64)> {
        Some((self.norm, self.eps))
    }

    fn perturb(&self, batch: &AttackBatch<'_>, job: &Job) -> Result<Perturbed> {
        let each = batch.space.frame.len();
        let mut pixels = batch.pixels.to_vec();
        for (n, (x, clean)) in pixels.chunks_mut(each).zip(batch.pixels.chunks(each)).enumerate() {
            let rng = job.rng(&format!("random_noise {}", batch.first + n));
            match self.norm {
                Norm::Linf => {
                    let sign = |i: usize| if rng.uniform_at(i as u64) < 0.5 { -1.0 } else { 1.0 };
                    x.iter_mut().enumerate().for_each(|(i, x)| *x += self.eps * sign(i));
                }
                Norm::L2 => {
                    let r: Vec<f64> = (0..each).map(|i| rng.normal_at(i as u64)).collect();
                    Norm::step_along(x, &r, self.eps);
                }
            }
            self.norm.project(x, clean, self.eps);
        }
        Ok(Perturbed { pixels, done: 1, planned: 1 })
    }
}
