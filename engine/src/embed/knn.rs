//! Exact nearest neighbours: candidates by f32 matrix products with an error bound, their distances again in f64.

use crate::kernels::matmul::{Matrix, matmul};
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::borrow::Cow;

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

/// The most queries that are multiplied at a time: the base is packed anew for each block.
const MAX_QUERIES_PER_BLOCK: usize = 512;
/// The number of blocks that few queries are cut into, so that every thread has some.
const MIN_BLOCKS: usize = 16;

/// The `k` nearest rows of `base` (n x d) for each row of `queries` (m x d); `None` stands for each row's neighbours among the
/// others. `k` is at most the number of rows. Exact for any finite values: a row is left out only where the error bound of its f32
/// product proves that `k` others are nearer.
pub fn nearest(base: &[f32], d: usize, queries: Option<&[f32]>, k: usize, metric: Metric) -> Neighbours {
    let (n, itself) = (base.len() / d.max(1), queries.is_none());
    let k = k.min(if itself { n.saturating_sub(1) } else { n });
    let scaling = Scaling::of(base, queries, d, metric);
    let rows = scaling.rows(base, d);
    let asked = queries.map_or(Cow::Borrowed(&rows), |q| Cow::Owned(scaling.rows(q, d)));
    let norms: Vec<f64> = rows.par_chunks(d.max(1)).map(norm).collect();
    let per_block = (asked.len() / d.max(1)).div_ceil(MIN_BLOCKS).clamp(1, MAX_QUERIES_PER_BLOCK);
    let blocks: Vec<Vec<(u32, f64)>> = asked
        .par_chunks(per_block * d.max(1))
        .enumerate()
        .map(|(b, block)| {
            let m = block.len() / d;
            let mut products = vec![0f32; m * n];
            matmul(m, n, d, &mut products, n, false, Matrix::rows(block, d), Matrix::rows(&rows, d).transposed());
            let mut found = Vec::with_capacity(m * k);
            for (r, products) in products.chunks(n).enumerate() {
                let i = b * per_block + r;
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
    let bounds = Bounds { products, norms, query, unit: (d as f64 + 8.0) * 2f64.powi(-24), own };
    let buckets = arch().dispatch(bounds);
    // k buckets hold a row each that is at most so far: the k nearest are, too.
    let far = kth(buckets.iter().map(|b| b.upper).collect(), k);
    let within = |j: &usize| bounds.at(*j).upper <= far;
    let uppers = bounds.of_buckets(&buckets, |b| b.upper <= far).filter(within).map(|j| bounds.at(j).upper).collect();
    let kth = kth(uppers, k);
    let maybe = |j: &usize| bounds.at(*j).lower <= kth;
    bounds.of_buckets(&buckets, |b| b.lower <= kth).filter(maybe).map(|j| j as u32).collect()
}

/// The `k`th smallest value; infinity where there are fewer.
fn kth(mut values: Vec<f64>, k: usize) -> f64 {
    if values.len() < k {
        return f64::INFINITY;
    }
    *values.select_nth_unstable_by(k - 1, f64::total_cmp).1
}

/// The number of rows whose least bounds are found together.
const BUCKET: usize = 16;

/// A squared distance, less the query's own length, lies between these.
#[derive(Clone, Copy)]
struct Bound {
    lower: f64,
    upper: f64,
}

/// The bounds of a query's squared distances.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    products: &'a [f32],
    norms: &'a [f64],
    query: f64,
    /// The relative error.
    unit: f64,
    /// The query's own row, which is infinitely far.
    own: Option<usize>,
}

impl Bounds<'_> {
    #[inline(always)]
    fn of(&self, product: f32, norm: f64) -> Bound {
        let (distance, error) = (norm - 2.0 * f64::from(product), self.unit * (self.query + norm));
        Bound { lower: distance - error, upper: distance + error }
    }

    fn at(&self, j: usize) -> Bound {
        if Some(j) == self.own {
            return Bound { lower: f64::INFINITY, upper: f64::INFINITY };
        }
        self.of(self.products[j], self.norms[j])
    }

    /// The other rows in the buckets that `pass`.
    fn of_buckets(&self, buckets: &[Bound], pass: impl Fn(&Bound) -> bool) -> impl Iterator<Item = usize> {
        let passing = buckets.iter().enumerate().filter(move |(_, b)| pass(b));
        let (n, own) = (self.norms.len(), self.own);
        passing.flat_map(move |(b, _)| b * BUCKET..((b + 1) * BUCKET).min(n)).filter(move |j| Some(*j) != own)
    }
}

impl WithSimd for Bounds<'_> {
    /// The least bounds of each bucket.
    type Output = Vec<Bound>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Bound> {
        let (products, _) = self.products.as_chunks::<BUCKET>();
        let (norms, _) = self.norms.as_chunks::<BUCKET>();
        let mut out: Vec<Bound> = Vec::with_capacity(self.norms.len().div_ceil(BUCKET));
        for (products, norms) in products.iter().zip(norms) {
            // Eight minima side by side.
            let mut least = [[f64::INFINITY; 8]; 2];
            for (products, norms) in products.as_chunks::<8>().0.iter().zip(norms.as_chunks::<8>().0) {
                for l in 0..8 {
                    let bound = self.of(products[l], norms[l]);
                    least[0][l] = if bound.lower < least[0][l] { bound.lower } else { least[0][l] };
                    least[1][l] = if bound.upper < least[1][l] { bound.upper } else { least[1][l] };
                }
            }
            let [lower, upper] = least.map(|v| v.into_iter().fold(f64::INFINITY, f64::min));
            out.push(Bound { lower, upper });
        }
        // The last rows that fill no bucket, and the query's own bucket, in which it must not count.
        let apart = [(out.len() * BUCKET < self.norms.len()).then_some(out.len()), self.own.map(|own| own / BUCKET)];
        for bucket in apart.into_iter().flatten() {
            let rows = bucket * BUCKET..((bucket + 1) * BUCKET).min(self.norms.len());
            let least = rows.map(|j| self.at(j)).fold(Bound { lower: f64::INFINITY, upper: f64::INFINITY }, |a, b| {
                Bound { lower: a.lower.min(b.lower), upper: a.upper.min(b.upper) }
            });
            if bucket < out.len() { out[bucket] = least } else { out.push(least) }
        }
        out
    }
}

/// The squared norm of a row.
fn norm(row: &[f32]) -> f64 {
    row.iter().map(|v| f64::from(*v).powi(2)).sum()
}

/// The squared distances of a row from each of `rows`.
pub fn squared_from(row: &[f32], rows: &[f32]) -> Vec<f64> {
    struct Distances<'a>(&'a [f32], &'a [f32]);
    impl WithSimd for Distances<'_> {
        type Output = Vec<f64>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
            self.1.chunks_exact(self.0.len().max(1)).map(|other| squared(self.0, other)).collect()
        }
    }
    arch().dispatch(Distances(row, rows))
}

/// The squared distance of two rows.
#[inline(always)]
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
