//! t-SNE (van der Maaten and Hinton 2008) with a Barnes-Hut tree (van der Maaten 2014) and the settings of Kobak and Berens 2019
//! and Belkina et al. 2019 (PCA initialisation, learning rate n / exaggeration), as in openTSNE.

use super::knn::Neighbours;
use super::perplexity::{Sparse, joint};
use super::quadtree::Quadtree;
use crate::job::Job;
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The settings of the optimisation.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The perplexity, the effective number of neighbours.
    pub perplexity: f64,
    /// The number of steps with early exaggeration.
    pub early: usize,
    /// The factor of early exaggeration.
    pub exaggeration: f64,
    /// The number of steps after it.
    pub steps: usize,
    /// The accuracy of the tree: a square is opened if its side divided by its distance exceeds theta.
    pub theta: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { perplexity: 30.0, early: 250, exaggeration: 12.0, steps: 500, theta: 0.5 }
    }
}

/// Points in the plane.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// One for each row.
    pub points: Vec<[f64; 2]>,
    /// The Kullback-Leibler divergence of the two similarity distributions, nats.
    pub kl: f64,
    /// The number of steps done.
    pub done: usize,
}

/// The momentum.
const MOMENTUM: f64 = 0.8;
/// The least gain.
const MIN_GAIN: f64 = 0.01;
/// The greatest length of a step.
const MAX_STEP: f64 = 5.0;
/// How many points a task moves.
const POINTS_PER_TASK: usize = 64;

/// Embeds points with these neighbours, starting at `start`, one for each row. An interrupt returns the points so far.
pub fn embed(neighbours: &Neighbours, start: Vec<[f64; 2]>, settings: &Settings, job: &Job) -> Embedding {
    let n = start.len();
    let p = joint(neighbours, n, settings.perplexity);
    let mut points = start;
    let mut steps = vec![[0.0; 2]; n];
    let mut gains = vec![[1.0; 2]; n];
    let mut done = 0;
    for step in job.steps("t-SNE", settings.early + settings.steps) {
        let exaggeration = if step < settings.early { settings.exaggeration } else { 1.0 };
        if step == settings.early {
            steps.fill([0.0; 2]);
            gains.fill([1.0; 2]);
        }
        let rate = n as f64 / exaggeration;
        let (gradient, _) = gradient(&p, &points, exaggeration, settings.theta);
        let each = points
            .par_chunks_mut(POINTS_PER_TASK)
            .zip(steps.par_chunks_mut(POINTS_PER_TASK))
            .zip(gains.par_chunks_mut(POINTS_PER_TASK));
        each.zip(gradient.par_chunks(POINTS_PER_TASK)).for_each(|(((points, steps), gains), gradient)| {
            for (((point, step), gain), g) in points.iter_mut().zip(steps).zip(gains).zip(gradient) {
                advance(point, step, gain, *g, rate, MAX_STEP);
            }
        });
        centre(&mut points);
        done = step + 1;
    }
    let kl = divergence(&p, &points, settings.theta);
    Embedding { points, kl, done }
}

/// One step of gradient descent with momentum and gains (Jacobs 1988), of length at most `longest`.
pub(super) fn advance(
    point: &mut [f64; 2],
    step: &mut [f64; 2],
    gain: &mut [f64; 2],
    g: [f64; 2],
    rate: f64,
    longest: f64,
) {
    for a in 0..2 {
        let turned = (step[a] > 0.0) != (g[a] > 0.0);
        gain[a] = if turned { gain[a] + 0.2 } else { (gain[a] * 0.8).max(MIN_GAIN) };
        step[a] = MOMENTUM * step[a] - rate * gain[a] * g[a];
    }
    let length = (step[0] * step[0] + step[1] * step[1]).sqrt();
    let cut = if length > longest { longest / length } else { 1.0 };
    for a in 0..2 {
        step[a] *= cut;
        point[a] += step[a];
    }
}

/// A quarter of the divergence's gradient for each point, and the normaliser Z of the embedding's similarities.
fn gradient(p: &Sparse, points: &[[f64; 2]], exaggeration: f64, theta: f64) -> (Vec<[f64; 2]>, f64) {
    let repulsions = Quadtree::new(points, theta).repulsions(points);
    let z = repulsions.iter().map(|(_, z)| z - 1.0).sum::<f64>().max(f64::MIN_POSITIVE);
    let gradient = points
        .par_iter()
        .zip(&repulsions)
        .enumerate()
        .with_min_len(POINTS_PER_TASK)
        .map(|(i, (y, (away, _)))| {
            let row = p.starts[i]..p.starts[i + 1];
            let (columns, values) = (&p.columns[row.clone()], &p.values[row]);
            let toward = arch().dispatch(Attraction { of: *y, columns, values, points });
            [0, 1].map(|a| exaggeration * toward[a] - away[a] / z)
        })
        .collect();
    (gradient, z)
}

/// Neighbours whose pulls are computed side by side.
const SIDE_BY_SIDE: usize = 8;

/// The pull of a point's neighbours: sum of p q (y - y_j), with q = 1 / (1 + |y - y_j|^2).
struct Attraction<'a> {
    of: [f64; 2],
    columns: &'a [u32],
    values: &'a [f64],
    points: &'a [[f64; 2]],
}

impl WithSimd for Attraction<'_> {
    type Output = [f64; 2];

    // Plain loops over the lanes: the compiler makes vectors of them, and no bit depends on their width.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f64; 2] {
        let zero = [0.0; SIDE_BY_SIDE];
        let (mut sx, mut sy) = (zero, zero);
        for (columns, values) in self.columns.chunks(SIDE_BY_SIDE).zip(self.values.chunks(SIDE_BY_SIDE)) {
            // Lanes that are left over stay at a distance of 0 and pull by 0.
            let (mut dx, mut dy, mut p) = (zero, zero, zero);
            for (l, (column, value)) in columns.iter().zip(values).enumerate() {
                let other = self.points[*column as usize];
                (dx[l], dy[l], p[l]) = (self.of[0] - other[0], self.of[1] - other[1], *value);
            }
            for l in 0..SIDE_BY_SIDE {
                let pull = p[l] / (1.0 + (dx[l] * dx[l] + dy[l] * dy[l]));
                sx[l] += pull * dx[l];
                sy[l] += pull * dy[l];
            }
        }
        [sx.iter().sum(), sy.iter().sum()]
    }
}

/// sum of p ln(p / q).
fn divergence(p: &Sparse, points: &[[f64; 2]], theta: f64) -> f64 {
    let repulsions = Quadtree::new(points, theta).repulsions(points);
    let z = repulsions.iter().map(|(_, z)| z - 1.0).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut sum = 0.0;
    for (i, y) in points.iter().enumerate() {
        for e in p.starts[i]..p.starts[i + 1] {
            let other = points[p.columns[e] as usize];
            let d = (y[0] - other[0]).powi(2) + (y[1] - other[1]).powi(2);
            if p.values[e] > 0.0 {
                sum += p.values[e] * (libm::log(p.values[e]) + libm::log(1.0 + d));
            }
        }
    }
    sum + libm::log(z)
}

fn centre(points: &mut [[f64; 2]]) {
    for a in 0..2 {
        let mean = points.iter().map(|p| p[a]).sum::<f64>() / points.len().max(1) as f64;
        points.iter_mut().for_each(|p| p[a] -= mean);
    }
}

/// The first two principal components of the rows, the first scaled to a standard deviation of 1e-4.
pub fn start(rows: &[f32], d: usize) -> Vec<[f64; 2]> {
    let found = super::pca::pca(rows, d, 2);
    let width = found.variances.len();
    let factor = 1e-4 / found.variances.first().copied().unwrap_or(1.0).sqrt().max(1e-300);
    let n = rows.len() / d.max(1);
    let at = |i: usize, c: usize| if c < width { found.scores[i * width + c] * factor } else { 0.0 };
    // Equal rows would never separate; an offset of 1e-12 by row index separates them.
    (0..n).map(|i| [at(i, 0) + 1e-12 * i as f64, at(i, 1) - 1e-12 * (i % 7) as f64]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::knn::{Metric, nearest};
    use crate::random::Stream;

    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let stream = Stream::new(3, "rows");
        let rows: Vec<f32> = (0..60u64 * 4).map(|i| stream.normal_at(i) as f32).collect();
        let p = joint(&nearest(&rows, 4, None, 30, Metric::Euclidean), 60, 10.0);
        let mut points: Vec<[f64; 2]> =
            (0..60u64).map(|i| [1, 2].map(|a| stream.normal_at(1000 + 2 * i + a))).collect();
        let (found, _) = gradient(&p, &points, 1.0, 0.0);
        for i in [0, 7, 59] {
            for a in 0..2 {
                let h = 1e-5;
                let at = |points: &[[f64; 2]]| divergence(&p, points, 0.0);
                points[i][a] += h;
                let up = at(&points);
                points[i][a] -= 2.0 * h;
                let down = at(&points);
                points[i][a] += h;
                let want = (up - down) / (2.0 * h);
                assert!((4.0 * found[i][a] - want).abs() < 1e-6, "{} {want}", 4.0 * found[i][a]);
            }
        }
    }

    #[test]
    fn clusters_come_apart() {
        let stream = Stream::new(9, "clusters");
        let rows: Vec<f32> = (0..150u64 * 10)
            .map(|i| (stream.normal_at(i) + if i % 10 == (i / 10) % 3 { 12.0 } else { 0.0 }) as f32)
            .collect();
        let neighbours = nearest(&rows, 10, None, 45, Metric::Euclidean);
        let settings = Settings { perplexity: 15.0, early: 100, steps: 150, ..Settings::default() };
        let found = embed(&neighbours, start(&rows, 10), &settings, &Job::new());
        let flat: Vec<f32> = found.points.iter().flat_map(|p| p.map(|v| v as f32)).collect();
        let near = nearest(&flat, 2, None, 10, Metric::Euclidean);
        let same =
            (0..150).flat_map(|i| near.of(i).iter().map(move |j| *j as usize % 3 == i % 3)).filter(|s| *s).count();
        assert!(same > 1480, "{same} of 1500");
        assert!(found.kl > 0.0 && found.kl < 1.5, "{}", found.kl);
    }
}
