//! The fast gradient sign method.
//!
//! Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", 2014, section 4.

use crate::ascent::CrossEntropy;
use crate::error::Result;
use crate::job::Job;
use crate::probes::attack::{Attack, Bout, Norm, Perturbed, Target};

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

    fn perturb(&self, bout: &Bout<'_>, _: &Job) -> Result<Perturbed> {
        let loss = CrossEntropy::new(bout.model, bout.aims.to_vec());
        let (_, gradient) = bout.measure(&loss, bout.pixels)?;
        let mut pixels: Vec<f64> = bout.pixels.iter().zip(gradient).map(|(x, g)| x + self.eps * sign(g)).collect();
        Norm::Linf.project(&mut pixels, bout.pixels, self.eps);
        Ok(Perturbed { pixels, done: 1, planned: 1 })
    }
}

/// -1, 0 or 1.
pub fn sign(g: f64) -> f64 {
    if g == 0.0 { 0.0 } else { g.signum() }
}
