//! Linear support vector machines, one against the rest, by dual coordinate descent until the duality gap is small.
//!
//! Hsieh et al. 2008, "A dual coordinate descent method for large-scale linear SVM" (LIBLINEAR), with squared hinge loss: the
//! primal is P = |w|^2 / 2 + c sum max(0, 1 - y w x)^2, the dual D = sum alpha - |w|^2 / 2 - sum alpha^2 / 4c, and
//! |w - w*|^2 <= 2 (P - D) whatever the number of rounds.

use crate::random::Stream;
use rayon::prelude::*;

/// The shift and scale of features before classification.
#[derive(Clone, Debug)]
pub struct Scaling {
    mean: Vec<f64>,
    scale: f64,
}

/// A linear classifier over standardised features.
#[derive(Clone, Debug)]
pub struct Svm {
    scaling: Scaling,
    /// Classes x (d + 1); the last is the bias.
    weights: Vec<Vec<f64>>,
    /// The largest duality gap over classes, as a share of the primal objective.
    gap: f64,
}

/// The duality gap, as a share of the objective, at which training ends.
const MAX_GAP: f64 = 1e-5;
/// The most rounds over the rows.
const MAX_ROUNDS: usize = 5000;
/// The number of rows up to which their inner products are stored: with fewer rows than features, rounds over these are faster.
const MAX_ROWS_WITH_PRODUCTS: usize = 4096;

impl Scaling {
    /// For `rows` (n x d): their mean, and one scale for all features, such that rows have norm 1 on average.
    pub fn of(rows: &[f32], d: usize) -> Self {
        Self::over(|| rows.chunks(d.max(1)), d)
    }

    /// As [`Scaling::of`], for rows from an iterator that is used twice.
    pub fn over<R: AsRef<[f32]>, I: Iterator<Item = R>>(rows: impl Fn() -> I, d: usize) -> Self {
        let n = rows().count().max(1) as f64;
        let mut mean = vec![0f64; d];
        rows().for_each(|r| mean.iter_mut().zip(r.as_ref()).for_each(|(m, v)| *m += f64::from(*v) / n));
        let apart = |r: R| r.as_ref().iter().zip(&mean).map(|(v, m)| (f64::from(*v) - m).powi(2)).sum::<f64>();
        let variance: f64 = rows().map(apart).sum();
        let scale = 1.0 / (variance / n).sqrt().max(1e-12);
        Scaling { mean, scale }
    }

    /// A standardised row followed by 1 for the bias.
    fn row(&self, row: &[f32]) -> Vec<f64> {
        row.iter().zip(&self.mean).map(|(v, m)| (f64::from(*v) - m) * self.scale).chain([1.0]).collect()
    }
}

impl Svm {
    /// Trains on `rows` (n x d) of the classes 0 to `count` - 1; `c` is the cost of a margin violation.
    pub fn train(rows: &[f32], d: usize, classes: &[usize], count: usize, c: f64) -> Self {
        let trained = Trained::on(Scaling::of(rows, d), rows, d);
        let all = (0..count).into_par_iter().map(|k| trained.one(|i| classes[i] == k, c, k)).collect();
        trained.finished(all)
    }

    /// Trains one detector that separates the positive rows from the others, with its own scaling.
    pub fn detector(scaling: Scaling, rows: &[f32], d: usize, positive: &[bool], c: f64) -> Self {
        let trained = Trained::on(scaling, rows, d);
        let one = trained.one(|i| positive[i], c, 0);
        trained.finished(vec![one])
    }

    /// The distance from the optimum: the largest duality gap over classes, as a share of the objective.
    pub fn gap(&self) -> f64 {
        self.gap
    }

    /// The score of class `k`: positive on its side of the hyperplane.
    pub fn score(&self, k: usize, row: &[f32]) -> f64 {
        let (w, Scaling { mean, scale }) = (&self.weights[k], &self.scaling);
        let inner: f64 = row.iter().zip(mean).zip(w).map(|((v, m), w)| (f64::from(*v) - m) * scale * w).sum();
        inner + w[w.len() - 1]
    }

    /// The predicted class of a feature.
    pub fn class(&self, row: &[f32]) -> usize {
        let scores: Vec<f64> = (0..self.weights.len()).map(|k| self.score(k, row)).collect();
        (0..scores.len()).fold(0, |b, k| if scores[k] > scores[b] { k } else { b })
    }
}

/// The rows that classifiers are trained on.
struct Trained {
    scaling: Scaling,
    x: Vec<Vec<f64>>,
    /// The rows' inner products, where they are stored.
    products: Option<Vec<Vec<f64>>>,
}

impl Trained {
    fn on(scaling: Scaling, rows: &[f32], d: usize) -> Self {
        let x: Vec<Vec<f64>> = rows.par_chunks(d.max(1)).map(|r| scaling.row(r)).collect();
        let few = x.len() <= MAX_ROWS_WITH_PRODUCTS.min(d);
        let products = few.then(|| x.par_iter().map(|a| x.iter().map(|b| inner(a, b)).collect()).collect());
        Trained { scaling, x, products }
    }

    fn finished(self, all: Vec<(Vec<f64>, f64)>) -> Svm {
        let gap = all.iter().map(|(_, gap)| *gap).fold(0.0, f64::max);
        Svm { scaling: self.scaling, weights: all.into_iter().map(|(w, _)| w).collect(), gap }
    }

    /// The weights that separate the positive rows from the others, and the duality gap as a share of the objective.
    fn one(&self, positive: impl Fn(usize) -> bool, c: f64, class: usize) -> (Vec<f64>, f64) {
        let n = self.x.len();
        let y: Vec<f64> = (0..n).map(|i| if positive(i) { 1.0 } else { -1.0 }).collect();
        let mut dual = Dual { rows: self, y: &y, c, alpha: vec![0.0; n], w: self.start() };
        let mut stream = Stream::new(class as u64, "svm");
        let mut gap = 0.0;
        for round in 1..=MAX_ROUNDS {
            let moved = dual.round(&stream.permutation(n));
            let last = round == MAX_ROUNDS || moved == 0.0;
            if last || round % 10 == 0 {
                gap = dual.gap();
                if last || gap <= MAX_GAP {
                    break;
                }
            }
        }
        (dual.weights(), gap)
    }

    /// The initial inner products with the rows, or the initial weights: all 0.
    fn start(&self) -> Vec<f64> {
        vec![0.0; if self.products.is_some() { self.x.len() } else { self.x.first().map_or(0, Vec::len) }]
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The dual problem of one class during training.
struct Dual<'a> {
    rows: &'a Trained,
    y: &'a [f64],
    c: f64,
    alpha: Vec<f64>,
    /// The weights; where inner products are stored, the weights' inner product with each row instead.
    w: Vec<f64>,
}

impl Dual<'_> {
    fn seen(&self, i: usize) -> f64 {
        if self.rows.products.is_some() { self.w[i] } else { inner(&self.rows.x[i], &self.w) }
    }

    /// One step for each row in the given order; returns the longest step.
    fn round(&mut self, order: &[usize]) -> f64 {
        let diagonal = 0.5 / self.c;
        let mut longest = 0f64;
        for &i in order {
            let slope = self.y[i] * self.seen(i) - 1.0 + diagonal * self.alpha[i];
            if self.alpha[i] == 0.0 && slope >= 0.0 {
                continue;
            }
            let along = self.rows.products.as_ref().map_or(&self.rows.x[i], |p| &p[i]);
            let length = self.rows.products.as_ref().map_or_else(|| inner(along, along), |p| p[i][i]);
            let next = (self.alpha[i] - slope / (length + diagonal)).max(0.0);
            let step = (next - self.alpha[i]) * self.y[i];
            self.alpha[i] = next;
            if step != 0.0 {
                self.w.iter_mut().zip(along).for_each(|(w, v)| *w += step * v);
                longest = longest.max(step.abs());
            }
        }
        longest
    }

    /// The duality gap as a share of the primal objective.
    fn gap(&self) -> f64 {
        let seen: Vec<f64> = (0..self.y.len()).map(|i| self.seen(i)).collect();
        // The sum of alpha y (w x) is |w|^2.
        let square: f64 = seen.iter().zip(&self.alpha).zip(self.y).map(|((s, a), y)| s * a * y).sum();
        let loss: f64 = seen.iter().zip(self.y).map(|(s, y)| (1.0 - y * s).max(0.0).powi(2)).sum();
        let primal = 0.5 * square + self.c * loss;
        let dual = self.alpha.iter().sum::<f64>() - 0.5 * square - inner(&self.alpha, &self.alpha) / (4.0 * self.c);
        if primal > 0.0 { (primal - dual) / primal } else { 0.0 }
    }

    fn weights(self) -> Vec<f64> {
        if self.rows.products.is_none() {
            return self.w;
        }
        let mut w = vec![0.0; self.rows.x.first().map_or(0, Vec::len)];
        for ((x, alpha), y) in self.rows.x.iter().zip(&self.alpha).zip(self.y) {
            if *alpha != 0.0 {
                w.iter_mut().zip(x).for_each(|(w, v)| *w += alpha * y * v);
            }
        }
        w
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: u64, d: u64) -> (Vec<f32>, Vec<usize>) {
        let stream = Stream::new(3, "rows");
        let value = |i: u64, j: u64| stream.normal_at(i * d + j) * 0.5 + if i % 3 == j { 4.0 } else { 100.0 };
        let all = (0..n).flat_map(|i| (0..d).map(move |j| (i, j))).map(|(i, j)| value(i, j) as f32).collect();
        (all, (0..n as usize).map(|i| i % 3).collect())
    }

    #[test]
    fn what_a_plane_separates_is_told_apart() {
        let (rows, classes) = rows(300, 3);
        let svm = Svm::train(&rows[..600], 3, &classes[..200], 3, 1.0);
        let right = (200..300).filter(|i| svm.class(&rows[i * 3..][..3]) == classes[*i]).count();
        assert_eq!(right, 100);
    }

    /// The gradient of the primal is 0 at the optimum; rounds over inner products end at the same weights as rounds over rows,
    /// within the duality gap.
    #[test]
    fn training_ends_at_the_optimum() {
        let stream = Stream::new(4, "features");
        for (n, d) in [(60usize, 5usize), (40, 70)] {
            let rows: Vec<f32> = (0..n * d).map(|i| stream.normal_at(i as u64) as f32).collect();
            let positive: Vec<bool> = (0..n).map(|i| stream.uniform_at((9 * n * d + i) as u64) < 0.4).collect();
            let scaling = Scaling::of(&rows, d);
            let svm = Svm::detector(scaling.clone(), &rows, d, &positive, 10.0);
            assert!(svm.gap() <= MAX_GAP, "{}", svm.gap());
            let w = &svm.weights[0];
            let (mut gradient, mut size, mut primal) = (w.clone(), 0.0, 0.5 * inner(w, w));
            for (row, positive) in rows.chunks(d).zip(&positive) {
                let (x, y) = (scaling.row(row), if *positive { 1.0 } else { -1.0 });
                let short = (1.0 - y * inner(&x, w)).max(0.0);
                primal += 10.0 * short * short;
                size += 2.0 * 10.0 * short * inner(&x, &x).sqrt();
                gradient.iter_mut().zip(&x).for_each(|(g, x)| *g -= 2.0 * 10.0 * short * y * x);
            }
            let left = inner(&gradient, &gradient).sqrt();
            assert!(left < 1e-3 * size, "{n} x {d}: gradient {left} of {size}");
            let one = Trained { products: None, ..Trained::on(scaling, &rows, d) }.one(|i| positive[i], 10.0, 0).0;
            let apart = one.iter().zip(w).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            assert!(apart <= 8.0 * MAX_GAP * primal, "{n} x {d}: {apart} of {primal}");
        }
    }
}
