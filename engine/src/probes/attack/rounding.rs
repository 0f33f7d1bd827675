//! Rounding a perturbed image to whole pixel values, so that it still reaches its aim.

use super::{AttackBatch, Norm};
use crate::ascent::{Aim, Margin};
use crate::error::Result;

/// The largest factor by which a smallest perturbation is enlarged.
const MAX_ENLARGEMENT: f64 = 64.0;

/// The most rounds of steps of one.
const MAX_UNIT_STEP_ROUNDS: usize = 30;

/// Whole values within the ball: at its edge towards the clean image.
pub fn round_within(norm: Norm, eps: f64, clean: &[f64], float: &[f64]) -> Vec<f64> {
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

/// Whole values that reach the aim: the nearer in the 2-norm of the enlarged and of the stepped image, the plain rounding
/// where neither reaches it.
///
/// # Errors
/// As the passes.
pub fn round_to_reach(batch: &AttackBatch<'_>, aim: Aim, clean: &[f64], float: &[f64]) -> Result<Vec<f64>> {
    let plain = enlarged(clean, float, 1.0);
    if reaches(batch, aim, &plain)? {
        return Ok(plain);
    }
    let mut found = [enlarge(batch, aim, clean, float)?, mend(batch, aim, clean, float)?];
    let size = |x: &Vec<f64>| Norm::L2.of(&x.iter().zip(clean).map(|(a, b)| a - b).collect::<Vec<_>>());
    found.sort_by(|a, b| match (a, b) {
        (Some(a), Some(b)) => size(a).total_cmp(&size(b)),
        _ => b.is_some().cmp(&a.is_some()),
    });
    let [first, _] = found;
    Ok(first.unwrap_or(plain))
}

fn reaches(batch: &AttackBatch<'_>, aim: Aim, pixels: &[f64]) -> Result<bool> {
    Ok(aim.reached(&batch.scores(pixels)?[0]))
}

fn enlarged(clean: &[f64], float: &[f64], t: f64) -> Vec<f64> {
    clean.iter().zip(float).map(|(c, f)| (c + t * (f - c)).round().clamp(0.0, 255.0)).collect()
}

/// The perturbation scaled up, by the smallest factor that doubling and bisection find.
fn enlarge(batch: &AttackBatch<'_>, aim: Aim, clean: &[f64], float: &[f64]) -> Result<Option<Vec<f64>>> {
    let reached = |t: f64| reaches(batch, aim, &enlarged(clean, float, t));
    let (mut low, mut high) = (1.0, 1.5);
    while !reached(high)? {
        low = high;
        high *= 1.5;
        if high > MAX_ENLARGEMENT {
            return Ok(None);
        }
    }
    for _ in 0..7 {
        let t = (low + high) / 2.0;
        match reached(t)? {
            true => high = t,
            false => low = t,
        }
    }
    Ok(Some(enlarged(clean, float, high)))
}

/// The rounded image corrected by steps of one, or a scaled one where that does not succeed.
fn mend(batch: &AttackBatch<'_>, aim: Aim, clean: &[f64], float: &[f64]) -> Result<Option<Vec<f64>>> {
    for factor in [1.0, 1.5, 2.25] {
        let found = step(batch, aim, clean, &enlarged(clean, float, factor))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The rounded image with steps of one along the gradient of the margin: first those that gain most margin for what they add to the
/// squared distance, as many as the gradient predicts; repeated where the net is less linear than that.
fn step(batch: &AttackBatch<'_>, aim: Aim, clean: &[f64], plain: &[f64]) -> Result<Option<Vec<f64>>> {
    let mut whole = plain.to_vec();
    let margin = Margin::new(batch.model, vec![aim], f64::INFINITY);
    for round in 0..MAX_UNIT_STEP_ROUNDS {
        let (values, gradient) = batch.measure(&margin, &whole)?;
        let mut moves: Vec<(f64, usize)> = Vec::new();
        for (i, g) in gradient.iter().enumerate().filter(|(_, g)| **g != 0.0) {
            if (0.0..=255.0).contains(&(whole[i] + g.signum())) {
                // A step back towards the clean value adds nothing.
                let added = 1.0 + 2.0 * g.signum() * (whole[i] - clean[i]);
                moves.push((g.abs() / added.max(0.25), i));
            }
        }
        moves.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // A little more than the gradient says, the more the longer it takes, and at least one step.
        let mut missing = (1.05 + 0.05 * round as f64) * -values[0];
        for (_, i) in moves {
            whole[i] += gradient[i].signum();
            missing -= gradient[i].abs();
            if missing <= 0.0 {
                break;
            }
        }
        if reaches(batch, aim, &whole)? {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}
