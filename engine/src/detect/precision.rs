//! Mean average precision as COCO defines it (Lin et al. 2014): at each threshold of intersection over union from .5 to .95,
//! boxes are matched to the truth in the order of their scores, each truth once; precision, made monotone, is averaged at 101
//! recalls.

use super::overlap;

/// The thresholds of intersection over union: .5, .55, .., .95.
pub const THRESHOLDS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// A box of an image: left, top, right, bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The number of the image.
    pub image: usize,
    /// Its class.
    pub class: usize,
    /// Its corners.
    pub corners: [f64; 4],
    /// Its score; not used for the truth.
    pub score: f64,
}

/// The average precision of one class at one threshold; none where the truth holds no box of it.
pub fn average_precision(truth: &[Placed], found: &[Placed], class: usize, threshold: f64) -> Option<f64> {
    let truth: Vec<&Placed> = truth.iter().filter(|t| t.class == class).collect();
    if truth.is_empty() {
        return None;
    }
    let mut found: Vec<&Placed> = found.iter().filter(|f| f.class == class).collect();
    // Stable: equal scores in the order of images and boxes.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut taken = vec![false; truth.len()];
    let (mut hits, mut curve) = (0usize, Vec::with_capacity(found.len()));
    for (n, f) in found.iter().enumerate() {
        let mut best: Option<(usize, f64)> = None;
        for (i, t) in truth.iter().enumerate().filter(|(i, t)| !taken[*i] && t.image == f.image) {
            let iou = overlap(&t.corners, &f.corners);
            if iou >= threshold && best.is_none_or(|(_, b)| iou > b) {
                best = Some((i, iou));
            }
        }
        if let Some((i, _)) = best {
            taken[i] = true;
            hits += 1;
        }
        curve.push((hits as f64 / truth.len() as f64, hits as f64 / (n + 1) as f64));
    }
    for n in (1..curve.len()).rev() {
        curve[n - 1].1 = curve[n - 1].1.max(curve[n].1);
    }
    let at = |recall: f64| curve.iter().find(|(r, _)| *r >= recall - 1e-12).map_or(0.0, |(_, p)| *p);
    Some((0..=100).map(|i| at(f64::from(i) / 100.0)).sum::<f64>() / 101.0)
}
