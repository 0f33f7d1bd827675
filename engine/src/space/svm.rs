//! Linear support vector machines, one class against the rest, by dual coordinate descent.
//!
//! Hsieh et al. 2008, "A dual coordinate descent method for large-scale linear SVM" (LIBLINEAR), with squared hinge loss.

use crate::random::Stream;
use rayon::prelude::*;

/// A linear classifier of standardised features.
#[derive(Clone, Debug)]
pub struct Svm {
    mean: Vec<f64>,
    scale: f64,
    /// Classes x (d + 1), the last for the constant.
    weights: Vec<Vec<f64>>,
}

const ROUNDS: usize = 60;

impl Svm {
    /// Trained on `rows` (n x d) of the given classes, 0 to `classes` - 1; `c` is the price of a violated margin.
    pub fn train(rows: &[f32], d: usize, classes: &[usize], count: usize, c: f64) -> Self {
        Self::train_in(rows, d, classes, count, c, ROUNDS)
    }

    /// As [`Svm::train`], with at most so many rounds over the rows: features that tell little apart need more of them.
    pub fn train_in(rows: &[f32], d: usize, classes: &[usize], count: usize, c: f64, rounds: usize) -> Self {
        let n = classes.len();
        let mut mean = vec![0f64; d];
        rows.chunks(d).for_each(|r| mean.iter_mut().zip(r).for_each(|(m, v)| *m += f64::from(*v) / n as f64));
        let variance: f64 =
            rows.chunks(d).map(|r| r.iter().zip(&mean).map(|(v, m)| (f64::from(*v) - m).powi(2)).sum::<f64>()).sum();
        // One scale for all features, so that rows have length 1 on average.
        let scale = 1.0 / (variance / n.max(1) as f64).sqrt().max(1e-12);
        let x: Vec<Vec<f64>> = rows
            .chunks(d)
            .map(|r| r.iter().zip(&mean).map(|(v, m)| (f64::from(*v) - m) * scale).chain([1.0]).collect())
            .collect();
        let weights = (0..count).into_par_iter().map(|k| one(&x, |i| classes[i] == k, c, (k, rounds))).collect();
        Svm { mean, scale, weights }
    }

    /// The class of a feature.
    pub fn class(&self, row: &[f32]) -> usize {
        let score = |w: &Vec<f64>| {
            let inner: f64 =
                row.iter().zip(&self.mean).zip(w).map(|((v, m), w)| (f64::from(*v) - m) * self.scale * w).sum();
            inner + w[w.len() - 1]
        };
        let scores: Vec<f64> = self.weights.iter().map(score).collect();
        (0..scores.len()).fold(0, |b, k| if scores[k] > scores[b] { k } else { b })
    }
}

/// The weights that tell the positive rows from the others.
fn one(x: &[Vec<f64>], positive: impl Fn(usize) -> bool, c: f64, (class, rounds): (usize, usize)) -> Vec<f64> {
    let d = x.first().map_or(0, Vec::len);
    let mut w = vec![0f64; d];
    let mut alpha = vec![0f64; x.len()];
    let diagonal = 0.5 / c;
    let norms: Vec<f64> = x.iter().map(|r| r.iter().map(|v| v * v).sum::<f64>() + diagonal).collect();
    let mut stream = Stream::new(class as u64, "svm");
    for _ in 0..rounds {
        let mut largest = 0f64;
        for i in stream.permutation(x.len()) {
            let y = if positive(i) { 1.0 } else { -1.0 };
            let g = y * x[i].iter().zip(&w).map(|(v, w)| v * w).sum::<f64>() - 1.0 + diagonal * alpha[i];
            let next = (alpha[i] - g / norms[i]).max(0.0);
            let step = (next - alpha[i]) * y;
            alpha[i] = next;
            if step != 0.0 {
                w.iter_mut().zip(&x[i]).for_each(|(w, v)| *w += step * v);
                largest = largest.max(step.abs());
            }
        }
        if largest < 1e-6 {
            break;
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plane_separates_is_told_apart() {
        let stream = Stream::new(3, "rows");
        let rows: Vec<f32> = (0..300u64)
            .flat_map(|i| (0..3u64).map(move |j| (i, j)))
            .map(|(i, j)| (stream.normal_at(i * 3 + j) * 0.5 + if i % 3 == j { 4.0 } else { 100.0 }) as f32)
            .collect();
        let classes: Vec<usize> = (0..300).map(|i| i % 3).collect();
        let svm = Svm::train(&rows[..600], 3, &classes[..200], 3, 1.0);
        let right = (200..300).filter(|i| svm.class(&rows[i * 3..][..3]) == classes[*i]).count();
        assert_eq!(right, 100);
    }
}
