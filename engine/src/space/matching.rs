//! Matches between the positions of two images: each to its nearest feature, or all jointly with a smoothness term.
//!
//! Smooth matches minimise the sum of feature distances plus beta times the squared difference of neighbours' displacements (Long
//! et al. 2014, section 3), by loopy belief propagation with distance transforms (Felzenszwalb, Huttenlocher 2006), as SIFT flow
//! does (Liu, Yuen, Torralba 2011).

use super::features::FeatureMap;
use crate::embed::knn::{Metric, nearest, squared};
use crate::error::{Error, Result};
use rayon::prelude::*;

/// The match in the second image for each position of the first.
#[derive(Clone, Debug)]
pub struct Matches {
    /// The matched positions.
    pub to: Vec<usize>,
    /// The distances of the features.
    pub distances: Vec<f64>,
}

/// Matches each position to the nearest feature.
pub fn independent(a: &FeatureMap, b: &FeatureMap, metric: Metric) -> Matches {
    let found = nearest(&b.values, b.d, Some(&a.values), 1, metric);
    Matches { to: found.indices.iter().map(|i| *i as usize).collect(), distances: found.distances }
}

/// How many pairs of positions smooth matching considers.
const MAX_PAIRS: usize = 1 << 21;
/// The number of rounds of message passing.
const MESSAGE_ROUNDS: usize = 40;
/// The weight of the old message in a new one.
const DAMPING: f64 = 0.4;

/// Matches with similar displacements of neighbours; `beta` is the cost of a difference of one position, in mean feature distances.
///
/// # Errors
/// Where there are too many positions.
pub fn smooth(a: &FeatureMap, b: &FeatureMap, metric: Metric, beta: f64) -> Result<Matches> {
    let (n, m) = (a.lattice.len(), b.lattice.len());
    if beta == 0.0 {
        return Ok(independent(a, b, metric));
    }
    if n * m > MAX_PAIRS {
        return Err(Error::value(format!("smooth matches of {n} to {m} positions are too many"))
            .hint("take a deeper layer, or no smoothing"));
    }
    let distances = all_distances(a, b, metric);
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let cost: Vec<f64> = distances.iter().map(|d| d / mean.max(1e-12)).collect();
    let field = Messages { from: a.lattice.size, to: b.lattice.size, beta, cost: &cost };
    let to = field.solve();
    let distances = to.iter().enumerate().map(|(i, j)| distances[i * m + j]).collect();
    Ok(Matches { to, distances })
}

/// The distances of all positions of a to all positions of b.
fn all_distances(a: &FeatureMap, b: &FeatureMap, metric: Metric) -> Vec<f64> {
    let scaled = |f: &FeatureMap| -> Vec<f32> {
        if metric == Metric::Euclidean {
            return f.values.clone();
        }
        let unit = |row: &[f32]| {
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            row.iter().map(|v| v / length).collect::<Vec<f32>>()
        };
        f.values.chunks(f.d.max(1)).flat_map(unit).collect()
    };
    let (x, y) = (scaled(a), scaled(b));
    x.par_chunks(a.d.max(1))
        .flat_map_iter(|p| {
            y.chunks(b.d.max(1)).map(move |q| {
                let s = squared(p, q);
                if metric == Metric::Cosine { s / 2.0 } else { s.sqrt() }
            })
        })
        .collect()
}

/// Min-sum message passing on the lattice of the first image; labels are the positions of the second.
struct Messages<'a> {
    from: [usize; 2],
    to: [usize; 2],
    beta: f64,
    cost: &'a [f64],
}

/// Up, down, left, right.
const AROUND: [[isize; 2]; 4] = [[-1, 0], [1, 0], [0, -1], [0, 1]];

impl Messages<'_> {
    fn solve(&self) -> Vec<usize> {
        let (n, m) = (self.from[0] * self.from[1], self.to[0] * self.to[1]);
        // Entry [i * 4 + k] is the message to i from its neighbour in direction k.
        let mut messages = vec![0f64; n * 4 * m];
        for _ in 0..MESSAGE_ROUNDS {
            let next: Vec<f64> = (0..n * 4)
                .into_par_iter()
                .flat_map_iter(|e| {
                    let (i, k) = (e / 4, e % 4);
                    let old = &messages[e * m..(e + 1) * m];
                    match self.neighbour(i, k) {
                        Some(j) => self.message(&messages, j, i, k, old),
                        None => old.to_vec(),
                    }
                })
                .collect();
            messages = next;
        }
        (0..n)
            .into_par_iter()
            .map(|i| {
                let belief = self.belief(&messages, i, None);
                (0..m).fold(0, |best, l| if belief[l] < belief[best] { l } else { best })
            })
            .collect()
    }

    fn neighbour(&self, i: usize, k: usize) -> Option<usize> {
        let [h, w] = self.from;
        let (r, c) = ((i / w) as isize + AROUND[k][0], (i % w) as isize + AROUND[k][1]);
        (r >= 0 && c >= 0 && r < h as isize && c < w as isize).then_some(r as usize * w + c as usize)
    }

    /// The belief of node i, a value for each label: its cost plus all messages except that from direction `but`.
    fn belief(&self, messages: &[f64], i: usize, but: Option<usize>) -> Vec<f64> {
        let m = self.to[0] * self.to[1];
        let mut sum = self.cost[i * m..(i + 1) * m].to_vec();
        for k in (0..4).filter(|k| Some(*k) != but) {
            sum.iter_mut().zip(&messages[(i * 4 + k) * m..]).for_each(|(s, v)| *s += v);
        }
        sum
    }

    /// The message from node j to node i, its neighbour in the direction opposite to k: for each label of i, the minimum over j's
    /// labels of j's belief plus beta |displacement of j - displacement of i|^2.
    fn message(&self, messages: &[f64], j: usize, i: usize, k: usize, old: &[f64]) -> Vec<f64> {
        let opposite = k ^ 1;
        let belief = self.belief(messages, j, Some(opposite));
        let w = self.from[1];
        let apart = |a: usize, b: usize| [(a / w) as isize - (b / w) as isize, (a % w) as isize - (b % w) as isize];
        // With equal displacements, j's match is i's match moved by the distance of j from i.
        let mut message = transform(&belief, self.to, self.beta, apart(j, i));
        let least = message.iter().copied().fold(f64::INFINITY, f64::min);
        message.iter_mut().zip(old).for_each(|(t, o)| *t = DAMPING * o + (1.0 - DAMPING) * (*t - least));
        message
    }
}

/// g(q) = min over p of f(p) + beta |q + shift - p|^2 on a grid: rows, then columns.
fn transform(f: &[f64], [h, w]: [usize; 2], beta: f64, shift: [isize; 2]) -> Vec<f64> {
    let mut across = vec![0f64; h * w];
    for r in 0..h {
        envelope(&f[r * w..(r + 1) * w], beta, shift[1], &mut across[r * w..(r + 1) * w]);
    }
    let mut out = vec![0f64; h * w];
    let (mut column, mut down) = (vec![0f64; h], vec![0f64; h]);
    for c in 0..w {
        (0..h).for_each(|r| column[r] = across[r * w + c]);
        envelope(&column, beta, shift[0], &mut down);
        (0..h).for_each(|r| out[r * w + c] = down[r]);
    }
    out
}

/// The lower envelope of the parabolas f(p) + beta (x - p)^2 at x = q + shift.
fn envelope(f: &[f64], beta: f64, shift: isize, out: &mut [f64]) {
    let n = f.len();
    let mut apex = vec![0usize; n];
    let mut from = vec![f64::NEG_INFINITY; n + 1];
    let mut top = 0;
    for q in 1..n {
        loop {
            let p = apex[top];
            let cross = ((f[q] - f[p]) / beta + (q * q) as f64 - (p * p) as f64) / (2.0 * (q - p) as f64);
            if cross <= from[top] && top > 0 {
                top -= 1;
                continue;
            }
            if cross <= from[top] {
                apex[0] = q;
            } else {
                top += 1;
                apex[top] = q;
                from[top] = cross;
            }
            break;
        }
        from[top + 1] = f64::INFINITY;
    }
    from[top + 1] = f64::INFINITY;
    let mut k = 0;
    for (q, out) in out.iter_mut().enumerate() {
        let x = q as f64 + shift as f64;
        while from[k + 1] < x {
            k += 1;
        }
        *out = f[apex[k]] + beta * (x - apex[k] as f64).powi(2);
    }
}

/// The position (column, row) on b's lattice that matches a feature best: the nearest position, refined along each axis by a
/// parabola through its neighbours' distances.
pub fn locate(feature: &[f32], b: &FeatureMap, metric: Metric) -> (f64, f64) {
    let [h, w] = b.lattice.size;
    let length = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    let own = length(feature);
    let distance = |i: usize| {
        let other = b.at(i);
        match metric {
            Metric::Euclidean => squared(feature, other),
            Metric::Cosine => {
                let dot: f64 = feature.iter().zip(other).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                1.0 - dot / own / length(other)
            }
        }
    };
    let all: Vec<f64> = (0..h * w).map(distance).collect();
    let best = (0..h * w).fold(0, |m, i| if all[i] < all[m] { i } else { m });
    let (r, c) = (best / w, best % w);
    let refine = |before: Option<usize>, after: Option<usize>| match (before, after) {
        (Some(a), Some(b)) => {
            let (l, m, r) = (all[a], all[best], all[b]);
            let curve = l - 2.0 * m + r;
            if curve > 1e-12 { ((l - r) / (2.0 * curve)).clamp(-0.5, 0.5) } else { 0.0 }
        }
        _ => 0.0,
    };
    let dx = refine((c > 0).then(|| best - 1), (c + 1 < w).then_some(best + 1));
    let dy = refine((r > 0).then(|| best - w), (r + 1 < h).then_some(best + w));
    (c as f64 + dx, r as f64 + dy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Stream;
    use crate::space::Lattice;

    #[test]
    fn the_transform_is_the_minimum_over_all_places() {
        let stream = Stream::new(1, "f");
        let f: Vec<f64> = (0..30u64).map(|i| stream.normal_at(i)).collect();
        for (beta, shift) in [(0.1, [0, 0]), (0.7, [1, 0]), (0.02, [0, -1])] {
            let found = transform(&f, [5, 6], beta, shift);
            for (q, found) in found.iter().enumerate() {
                let at = |p: usize| {
                    let dy = (q / 6) as f64 + shift[0] as f64 - (p / 6) as f64;
                    let dx = (q % 6) as f64 + shift[1] as f64 - (p % 6) as f64;
                    f[p] + beta * (dy * dy + dx * dx)
                };
                let want = (0..30).map(at).fold(f64::INFINITY, f64::min);
                assert!((found - want).abs() < 1e-12, "{q}");
            }
        }
    }

    fn random(seed: u64, shift: usize, noise: f64) -> FeatureMap {
        let stream = Stream::new(7, "features");
        let own = Stream::new(seed, "noise");
        let lattice = Lattice { size: [8, 8], first: [4.0; 2], stride: [8.0; 2], field: [16; 2] };
        let value = |p: usize, c: usize| {
            let (r, col) = (p / 8, (p % 8 + 16 - shift) % 16);
            stream.normal_at(((r * 16 + col) * 4 + c) as u64) + noise * own.normal_at((p * 4 + c) as u64)
        };
        let values = (0..64).flat_map(|p| (0..4).map(move |c| (p, c))).map(|(p, c)| value(p, c) as f32).collect();
        FeatureMap { values, d: 4, lattice }
    }

    #[test]
    fn smoothness_finds_a_shift_that_noise_hides_from_single_features() {
        let (a, b) = (random(1, 0, 0.7), random(2, 1, 0.7));
        let right = |m: &Matches| (0..64).filter(|i| i % 8 < 7 && m.to[*i] == i + 1).count();
        let alone = right(&independent(&a, &b, Metric::Euclidean));
        let together = right(&smooth(&a, &b, Metric::Euclidean, 0.1).unwrap());
        assert!(together >= 45 && alone < 20, "{alone} alone, {together} together of 56");
        let still = independent(&a, &a, Metric::Cosine);
        assert_eq!(still.to, (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn a_feature_is_located_between_positions() {
        let lattice = Lattice { size: [1, 5], first: [0.0; 2], stride: [1.0; 2], field: [1; 2] };
        let values = (0..5).flat_map(|i| [i as f32, 1.0]).collect();
        let map = FeatureMap { values, d: 2, lattice };
        let (c, r) = locate(&[2.3, 1.0], &map, Metric::Euclidean);
        assert!((c - 2.3).abs() < 1e-6 && r == 0.0);
    }
}
