//! The judge: an attack has succeeded where the image, rounded to whole pixel values, saved as a PNG and read again, is
//! taken for what was aimed at. What the unrounded image does is told beside it.

use super::{Attack, Bout, Norm};
use crate::ascent::Aim;
use crate::data::Image;
use crate::error::Result;
use crate::probes::dream::through_png;

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

/// What became of one image.
#[derive(Clone, Debug)]
pub struct Judged {
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

/// The largest factor by which a smallest perturbation is enlarged so that it survives rounding.
const LARGEST: f64 = 64.0;

/// Judges perturbed images. Rounding keeps to an attack's budget; where it has none, its perturbation is enlarged along its
/// own line as little as is needed to survive rounding.
///
/// # Errors
/// As the forward pass; where the PNG cannot be written.
pub fn judge(attack: &dyn Attack, bout: &Bout<'_>, pixels: &[f64]) -> Result<Vec<Judged>> {
    let each = bout.space.frame.len();
    let scores = bout.scores(pixels)?;
    let mut judged = Vec::new();
    for (n, (float, scores)) in pixels.chunks(each).zip(scores).enumerate() {
        let (clean, aim) = (&bout.pixels[n * each..(n + 1) * each], bout.aims[n]);
        let rounded = match attack.budget() {
            Some((norm, eps)) => round_within(norm, eps, clean, float),
            None => round_to_reach(bout, aim, clean, float)?,
        };
        let picture = through_png(&bout.space.picture(bout.model, &bout.space.to_net(&rounded))?)?;
        let read = bout.space.read(bout.model, &picture)?;
        let after = bout.scores(&read)?.remove(0);
        judged.push(Judged {
            success: [aim.reached(&scores), aim.reached(&after)],
            distortion: [Distortion::between(float, clean), Distortion::between(&read, clean)],
            scores: [scores, after],
            float: float.to_vec(),
            rounded: read,
            picture,
        });
    }
    Ok(judged)
}

/// Whole values within the ball: at its edge towards the clean image.
fn round_within(norm: Norm, eps: f64, clean: &[f64], float: &[f64]) -> Vec<f64> {
    let whole = |t: f64| -> Vec<f64> {
        let each = clean.iter().zip(float).map(|(c, f)| {
            let v = (c + t * (f - c)).round();
            match norm {
                Norm::Linf => v.clamp((c - eps).ceil(), (c + eps).floor()),
                Norm::L2 => v,
            }
        });
        each.map(|v| v.clamp(0.0, 255.0)).collect()
    };
    // Rounding can take the 2-norm out of its ball: shrink until it does not.
    let mut t = 1.0;
    loop {
        let rounded = whole(t);
        let r: Vec<f64> = rounded.iter().zip(clean).map(|(a, b)| a - b).collect();
        if norm == Norm::Linf || norm.of(&r) <= eps || t < 1e-3 {
            return rounded;
        }
        t *= 0.98;
    }
}

/// Whole values that reach the aim, with the least enlargement found by doubling and bisection; where none does, the plain
/// rounding.
fn round_to_reach(bout: &Bout<'_>, aim: Aim, clean: &[f64], float: &[f64]) -> Result<Vec<f64>> {
    let whole = |t: f64| -> Vec<f64> {
        clean.iter().zip(float).map(|(c, f)| (c + t * (f - c)).round().clamp(0.0, 255.0)).collect()
    };
    let reaches = |t: f64| -> Result<bool> { Ok(aim.reached(&bout.scores(&whole(t))?[0])) };
    let (mut low, mut high) = (1.0, 1.0);
    while !reaches(high)? {
        low = high;
        high *= 1.5;
        if high > LARGEST {
            return Ok(whole(1.0));
        }
    }
    for _ in 0..7 {
        if high == low {
            break;
        }
        let t = (low + high) / 2.0;
        match reaches(t)? {
            true => high = t,
            false => low = t,
        }
    }
    Ok(whole(high))
}
