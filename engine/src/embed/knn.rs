//! Exact nearest neighbours: candidates by f32 matrix products with an error bound, their distances again in f64.

use crate::kernels::matmul::{Matrix, matmul};
use rayon::prelude::*;

crate::choice! {
    /// The distance between two codes.
    pub enum Metric {
        /// 1 - cos of the angle.
        Cosine = "cosine",
        /// The Euclidean distance.
        Euclidean = "euclidean",
    }
}

/// The k nearest rows for each query, nearest first; of equal distances the lower row.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// The number of neighbours for each query.
    pub k: usize,
    /// Queries x k row indices.
    pub indices: Vec<u32>,
    /// Queries x k distances.
    pub distances: Vec<f64>,
}

impl Neighbours {
    /// The row indices for query `i`.
    pub fn of(&self, i: usize) -> &[u32] {
        &self.indices[i * self.k..(i + 1) * self.k]
    }

    /// The distances for query `i`.
    pub fn distances_of(&self, i: usize) -> &[f64] {
        &self.distances[i * self.k..(i + 1) * self.k]
    }
}

/// How many queries are multiplied at a time.
const QUERIES_PER_BLOCK: usize = 64;

/// The `k` nearest rows of `base` (n x d) for each row of `queries` (m x d); `None` stands for each row's neighbours among the
/// others. `k` is at most the number of rows. Exact for any finite values: a row is left out only where the error bound of its f32
/// product proves that `k` others are nearer.
pub fn nearest(base: &[f32], d: usize, queries: Option<&[f32]>, k: usize, metric: Metric) -> Neighbours {
    let (n, itself) = (base.len() / d.max(1), queries.is_none());
    let k = k.min(if itself { n.saturating_sub(1) } else { n });
    let scaling = Scaling::of(base, queries, d, metric);
    let rows = scaling.rows(base, d);
    let asked = queries.map_or_else(|| rows.clone(), |q| scaling.rows(q, d));
    let norms: Vec<f64> = rows.par_chunks(d.max(1)).map(norm).collect();
    let blocks: Vec<Vec<(u32, f64)>> = asked
        .par_chunks(QUERIES_PER_BLOCK * d.max(1))
        .enumerate()
        .map(|(b, block)| {
            let m = block.len() / d;
            let mut products = vec![0f32; m * n];
            matmul(m, n, d, &mut products, n, false, Matrix::rows(block, d), Matrix::rows(&rows, d).transposed());
            let mut found = Vec::with_capacity(m * k);
            for (r, products) in products.chunks(n).enumerate() {
                let i = b * QUERIES_PER_BLOCK + r;
                let query = &block[r * d..(r + 1) * d];
                let exact = |j: u32| match metric {
                    Metric::Cosine => squared(query, &rows[j as usize * d..][..d]),
                    Metric::Euclidean => squared(&queries.unwrap_or(base)[i * d..][..d], &base[j as usize * d..][..d]),
                };
                let candidates = candidates(products, norm(query), &norms, d, k, itself.then_some(i));
                let mut exact: Vec<(u32, f64)> = candidates.into_iter().map(|j| (j, exact(j))).collect();
                exact.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
                found.extend(exact.into_iter().take(k));
            }
            found
        })
        .collect();
    let (indices, distances): (Vec<u32>, Vec<f64>) = blocks.into_iter().flatten().unzip();
    let distances = distances.into_iter().map(|s| if metric == Metric::Cosine { s / 2.0 } else { s.sqrt() }).collect();
    Neighbours { k, indices, distances }
}

/// The rows that may be among the `k` nearest, given their f32 products with a query and the squared norms of both; `own` is the
/// query's own row.
///
/// A squared distance |q|^2 + |b|^2 - 2 q b has an error of at most (d + 8) 2^-24 (|q|^2 + |b|^2): d roundings of the product
/// (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1), and those of centring.
fn candidates(products: &[f32], query: f64, norms: &[f64], d: usize, k: usize, own: Option<usize>) -> Vec<u32> {
    if k == 0 {
        return Vec::new();
    }
    let unit = (d as f64 + 8.0) * 2f64.powi(-24);
    let distance = |j: usize| norms[j] - 2.0 * f64::from(products[j]);
    let error = |j: usize| unit * (query + norms[j]);
    let others = || (0..norms.len()).filter(|j| Some(*j) != own);
    let mut most: Vec<f64> = others().map(|j| distance(j) + error(j)).collect();
    let (_, kth, _) = most.select_nth_unstable_by(k - 1, f64::total_cmp);
    let kth = *kth;
    others().filter(|j| distance(*j) - error(*j) <= kth).map(|j| j as u32).collect()
}

/// The squared norm of a row.
fn norm(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v).powi(2)).sum()
}

/// The squared Euclidean distance of two rows.
pub fn squared(a: &[f32], b: &[f32]) -> f64 {
    // Four sums in a fixed pattern, which the compiler can vectorise.
    let mut sums = [0f64; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 =
        a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    for (x, y) in a4.zip(b4) {
        for i in 0..4 {
            let d = f64::from(x[i]) - f64::from(y[i]);
            sums[i] += d * d;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The scaling of rows for f32 products.
enum Scaling {
    /// To norm 1, for cosine distances.
    Unit,
    /// Centred, and scaled by a power of two, for Euclidean distances.
    Centred { centre: Vec<f32>, factor: f32 },
}

impl Scaling {
    fn of(base: &[f32], queries: Option<&[f32]>, d: usize, metric: Metric) -> Self {
        if metric == Metric::Cosine {
            return Scaling::Unit;
        }
        let centre = median(base, d);
        let span = |rows: &[f32]| {
            rows.chunks(d.max(1)).flat_map(|r| r.iter().zip(&centre).map(|(v, c)| (v - c).abs())).fold(0f32, f32::max)
        };
        let span = span(base).max(queries.map_or(0.0, span));
        let exponent = if span > 0.0 && span.is_finite() { -libm::log2(f64::from(span)).floor() } else { 0.0 };
        Scaling::Centred { centre, factor: libm::exp2(exponent.clamp(-126.0, 126.0)) as f32 }
    }

    fn rows(&self, rows: &[f32], d: usize) -> Vec<f32> {
        let mut out = rows.to_vec();
        out.par_chunks_mut(d.max(1)).for_each(|row| match self {
            Scaling::Centred { centre, factor } => {
                row.iter_mut().zip(centre).for_each(|(v, c)| *v = (*v - c) * factor);
            }
            Scaling::Unit => {
                let length = norm(row).sqrt();
                let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
                row.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
            }
        });
        out
    }
}

/// How many rows, evenly spaced, the centre is computed from.
const CENTRE_ROWS: usize = 501;

/// The median of each column over rows: a centre that outliers do not move.
fn median(rows: &[f32], d: usize) -> Vec<f32> {
    let n = rows.len() / d.max(1);
    let sampled = n.min(CENTRE_ROWS);
    let mut values = vec![0f32; sampled];
    (0..if n == 0 { 0 } else { d })
        .map(|c| {
            values.iter_mut().enumerate().for_each(|(i, v)| *v = rows[i * n / sampled * d + c]);
            *values.select_nth_unstable_by(sampled / 2, f32::total_cmp).1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn neighbours_are_those_of_a_plain_search() {
        let stream = Stream::new(5, "points");
        let d = 7;
        let rows: Vec<f32> = (0..200 * d as u64).map(|i| stream.normal_at(i) as f32 + 3.0).collect();
        for metric in [Metric::Cosine, Metric::Euclidean] {
            let found = nearest(&rows, d, None, 5, metric);
            for i in 0..200 {
                let distance = |j: usize| {
                    let (a, b) = (&rows[i * d..][..d], &rows[j * d..][..d]);
                    let dot = |p: &[f32], q: &[f32]| -> f64 {
                        p.iter().zip(q).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
                    };
                    match metric {
                        Metric::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
                        Metric::Euclidean => squared(a, b).sqrt(),
                    }
                };
                let mut order: Vec<usize> = (0..200).filter(|j| *j != i).collect();
                order.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
                let want: Vec<u32> = order[..5].iter().map(|j| *j as u32).collect();
                assert_eq!(found.of(i), want, "{i} {metric:?}");
                assert!((found.distances_of(i)[4] - distance(order[4])).abs() < 1e-5);
            }
            let asked = nearest(&rows, d, Some(&rows[..3 * d]), 1, metric);
            assert_eq!(asked.indices, [0, 1, 2]);
        }
        assert_eq!(nearest(&rows[..2 * d], d, None, 9, Metric::Euclidean).k, 1);
    }

    /// Far rows, common offsets, one large value and tiny values: products of f32 alone would misorder neighbours.
    #[test]
    fn neighbours_are_exact_where_f32_cancels() {
        let (n, d) = (120, 16);
        let stream = Stream::new(9, "points");
        let plain: Vec<f32> = (0..(n * d) as u64).map(|i| stream.normal_at(i) as f32).collect();
        let changed = |f: &dyn Fn(usize, usize, f32) -> f32| -> Vec<f32> {
            plain.iter().enumerate().map(|(i, v)| f(i / d, i % d, *v)).collect()
        };
        let sets = [
            changed(&|row, _, v| if row == 0 { 1e6 } else { v }),
            changed(&|_, _, v| v + 1e5),
            changed(&|row, _, v| if row < n / 2 { v } else { v + 1e5 }),
            changed(&|_, column, v| if column == 0 { v * 1e4 } else { v }),
            changed(&|_, _, v| v * 1e-21),
            changed(&|_, _, v| v * 1e-30),
            changed(&|_, _, v| v * 1e30),
        ];
        for (number, rows) in sets.iter().enumerate() {
            let found = nearest(rows, d, None, 5, Metric::Euclidean);
            for i in 0..n {
                let distance = |j: usize| squared(&rows[i * d..][..d], &rows[j * d..][..d]);
                let mut order: Vec<usize> = (0..n).filter(|j| *j != i).collect();
                order.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
                let want: Vec<u32> = order[..5].iter().map(|j| *j as u32).collect();
                assert_eq!(found.of(i), want, "set {number}, row {i}");
            }
        }
    }
}
