//! The fast gradient sign method.
//!
//! Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", 2014, section 4.

use crate::ascent::CrossEntropy;
use crate::error::Result;
use crate::job::Job;
use crate::probes::attack::{Attack, AttackBatch, Norm, Perturbed, Target};

crate::params! {
    /// x + eps sign(dJ/dx), J the cross-entropy of the right class (minus that of a target): one step, the exact max-norm
    /// adversary of a linear model.
    #[probe(
        family = Fool,
        source = "Goodfellow, Shlens, Szegedy 2014, section 4",
        subjects = crate::probes::attack::SUBJECTS,
        input = Any,
        example = "fgsm().run(net, image)"
    )]
    pub struct Fgsm as "fgsm" {
        /// The step, pixel values (0 to 255).
        eps: f64 = 8.0, in 0.0..=255.0;
        /// The class that the prediction is to become; any other where absent.
        target: Option<Target> = None;
    }
}

impl Attack for Fgsm {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn budget(&self) -> Option<(Norm, f64)> {
        Some((Norm::Linf, self.eps))
    }

    fn perturb(&self, batch: &AttackBatch<'_>, _: &Job) -> Result<Perturbed> {
        let loss = CrossEntropy::new(batch.model, batch.aims.to_vec());
        let (_, gradient) = batch.measure(&loss, batch.pixels)?;
        let mut pixels: Vec<f64> = batch.pixels.iter().zip(gradient).map(|(x, g)| x + self.eps * sign(g)).collect();
        Norm::Linf.project(&mut pixels, batch.pixels, self.eps);
        Ok(Perturbed { pixels, done: 1, planned: 1 })
    }
}

/// -1, 0 or 1.
pub fn sign(g: f64) -> f64 {
    if g == 0.0 { 0.0 } else { g.signum() }
}
