//! Judges attacks: one has succeeded where the image, rounded to whole pixel values, saved as a PNG and read again, is
//! classified as aimed. The result of the unrounded image is recorded beside it.

use super::rounding::{round_to_reach, round_within};
use super::{Attack, AttackBatch, Norm};
use crate::data::Image;
use crate::error::Result;
use crate::probes::synthesis::through_png;
use rayon::prelude::*;

/// The size of a perturbation, in pixel values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distortion {
    /// The largest change of a value.
    pub linf: f64,
    /// The root of the sum of squared changes.
    pub l2: f64,
    /// The root of their mean (Szegedy et al. 2013, section 4.1; there in units of 255).
    pub rms: f64,
}

impl Distortion {
    /// From one image to another.
    pub fn between(a: &[f64], b: &[f64]) -> Self {
        let r: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let l2 = Norm::L2.of(&r);
        Distortion { linf: Norm::Linf.of(&r), l2, rms: l2 / (r.len().max(1) as f64).sqrt() }
    }
}

/// The result of an attack on one image.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The pixel values as the attack left them.
    pub float: Vec<f64>,
    /// The whole pixel values.
    pub rounded: Vec<f64>,
    /// Whether the aim is reached by the former and by the latter.
    pub success: [bool; 2],
    /// The raw scores of the former and of the latter.
    pub scores: [Vec<f64>; 2],
    /// How far the former and the latter are from the clean image.
    pub distortion: [Distortion; 2],
    /// The picture as it came back from the PNG.
    pub picture: Image,
}

/// Judges perturbed images. Rounding keeps to an attack's budget; where it has none, the perturbation grows as little as is
/// needed to survive rounding.
///
/// # Errors
/// As the forward pass; where the PNG cannot be written.
pub fn judge(attack: &dyn Attack, batch: &AttackBatch<'_>, pixels: &[f64]) -> Result<Vec<Outcome>> {
    let each = batch.space.frame.len();
    let images = pixels.par_chunks(each).zip(batch.pixels.par_chunks(each)).zip(batch.aims);
    let saved = images.map(|((float, clean), aim)| {
        let rounded = match attack.budget() {
            Some((norm, eps)) => round_within(norm, eps, clean, float),
            None => round_to_reach(batch, *aim, clean, float)?,
        };
        let picture = through_png(&batch.space.picture(batch.model, &batch.space.to_net(&rounded))?)?;
        let rounded = batch.space.read(batch.model, &picture)?;
        let distortion = [Distortion::between(float, clean), Distortion::between(&rounded, clean)];
        Ok(Outcome {
            float: float.to_vec(),
            rounded,
            success: [false; 2],
            scores: Default::default(),
            distortion,
            picture,
        })
    });
    let mut outcomes = saved.collect::<Result<Vec<_>>>()?;
    let read: Vec<f64> = outcomes.iter().flat_map(|one| one.rounded.iter().copied()).collect();
    let scores = batch.scores(pixels)?.into_iter().zip(batch.scores(&read)?);
    for ((one, aim), (before, after)) in outcomes.iter_mut().zip(batch.aims).zip(scores) {
        one.success = [aim.reached(&before), aim.reached(&after)];
        one.scores = [before, after];
    }
    Ok(outcomes)
}
