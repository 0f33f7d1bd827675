//! Exact nearest neighbours by matrix products: candidates from f32 products, distances again in f64.

use crate::kernels::matmul::{Matrix, matmul};
use rayon::prelude::*;

crate::choice! {
    /// How far apart two codes are.
    pub enum Metric {
        /// 1 - cos of the angle.
        Cosine = "cosine",
        /// The straight line.
        Euclidean = "euclidean",
    }
}

/// For each query its k nearest rows, nearest first; of equals the lower row.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// Neighbours a query.
    pub k: usize,
    /// Queries x k row numbers.
    pub indices: Vec<u32>,
    /// Queries x k distances.
    pub distances: Vec<f64>,
}

impl Neighbours {
    /// The row numbers of query `i`.
    pub fn of(&self, i: usize) -> &[u32] {
        &self.indices[i * self.k..(i + 1) * self.k]
    }

    /// The distances of query `i`.
    pub fn distances_of(&self, i: usize) -> &[f64] {
        &self.distances[i * self.k..(i + 1) * self.k]
    }
}

/// Queries whose products are computed at a time.
const BLOCK: usize = 64;
/// Candidates kept beyond k, since f32 products may misorder near ties.
const SPARE: usize = 8;

/// The `k` nearest rows of `base` (n x d) for each row of `queries` (m x d); `None` asks for each row's neighbours among
/// the others. `k` is cut to what there is.
pub fn nearest(base: &[f32], d: usize, queries: Option<&[f32]>, k: usize, metric: Metric) -> Neighbours {
    let (n, itself) = (base.len() / d.max(1), queries.is_none());
    let k = k.min(if itself { n.saturating_sub(1) } else { n });
    let centre = mean(base, d, metric);
    let base = prepared(base, d, &centre, metric);
    let queries = queries.map_or_else(|| base.clone(), |q| prepared(q, d, &centre, metric));
    let norms: Vec<f32> = base.par_chunks(d.max(1)).map(|r| r.iter().map(|v| v * v).sum()).collect();
    let blocks: Vec<Vec<(u32, f64)>> = queries
        .par_chunks(BLOCK * d.max(1))
        .enumerate()
        .map(|(b, rows)| {
            let m = rows.len() / d;
            let mut products = vec![0f32; m * n];
            matmul(m, n, d, &mut products, n, false, Matrix::rows(rows, d), Matrix::rows(&base, d).transposed());
            let mut found = Vec::with_capacity(m * k);
            for (r, products) in products.chunks(n).enumerate() {
                let own = if itself { Some(b * BLOCK + r) } else { None };
                let mut order: Vec<(f32, u32)> =
                    (0..n).filter(|j| Some(*j) != own).map(|j| (norms[j] - 2.0 * products[j], j as u32)).collect();
                let keep = (k + SPARE).min(order.len());
                let by = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
                if keep > 0 && keep < order.len() {
                    order.select_nth_unstable_by(keep - 1, by);
                    order.truncate(keep);
                }
                let query = &rows[r * d..(r + 1) * d];
                let mut exact: Vec<(u32, f64)> =
                    order.into_iter().map(|(_, j)| (j, squared(query, &base[j as usize * d..][..d]))).collect();
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

/// The squared distance of two rows.
pub fn squared(a: &[f32], b: &[f32]) -> f64 {
    // Four sums in a fixed pattern, so that the compiler may use vector registers.
    let mut sums = [0f64; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| f64::from(x - y).powi(2)).sum();
    for (x, y) in a4.zip(b4) {
        for i in 0..4 {
            let d = f64::from(x[i] - y[i]);
            sums[i] += d * d;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The mean row (for straight distances, where centring keeps the products small); zero for angles.
fn mean(rows: &[f32], d: usize, metric: Metric) -> Vec<f32> {
    if metric == Metric::Cosine {
        return vec![0.0; d];
    }
    let n = (rows.len() / d.max(1)).max(1) as f64;
    let mut sums = vec![0f64; d];
    rows.chunks(d.max(1)).for_each(|r| sums.iter_mut().zip(r).for_each(|(s, v)| *s += f64::from(*v)));
    sums.iter().map(|s| (s / n) as f32).collect()
}

/// Rows of length 1 for angles; centred rows for straight distances.
fn prepared(rows: &[f32], d: usize, centre: &[f32], metric: Metric) -> Vec<f32> {
    let mut out = rows.to_vec();
    out.par_chunks_mut(d.max(1)).for_each(|row| match metric {
        Metric::Euclidean => row.iter_mut().zip(centre).for_each(|(v, c)| *v -= c),
        Metric::Cosine => {
            let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
            row.iter_mut().for_each(|v| *v = (f64::from(*v) * factor) as f32);
        }
    });
    out
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
}
