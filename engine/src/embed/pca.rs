//! Principal components by subspace iteration, with a small dense eigenproblem at the end (Halko, Martinsson, Tropp 2011).

use crate::kernels::matmul::{Matrix, matmul};
use crate::random::Stream;
use rayon::prelude::*;

/// The leading principal components of a set of rows.
#[derive(Clone, Debug)]
pub struct Pca {
    /// The mean row.
    pub mean: Vec<f64>,
    /// Components x d, orthonormal, by decreasing variance; the entry of largest magnitude of each is positive.
    pub components: Vec<f64>,
    /// The variance along each component (divisor n - 1).
    pub variances: Vec<f64>,
    /// The total variance over all d columns.
    pub total: f64,
    /// The rows' coordinates, n x components.
    pub scores: Vec<f64>,
}

/// How many rows a task multiplies.
const ROWS_PER_TASK: usize = 256;

/// The `k` leading principal components of `rows`, n x d; k is at most min(n, d).
pub fn pca(rows: &[f32], d: usize, k: usize) -> Pca {
    let n = rows.len() / d.max(1);
    let k = k.min(d).min(n);
    let mut mean = vec![0f64; d];
    rows.chunks(d.max(1)).for_each(|r| mean.iter_mut().zip(r).for_each(|(m, v)| *m += f64::from(*v)));
    mean.iter_mut().for_each(|m| *m /= n.max(1) as f64);
    let centred: Vec<f64> =
        rows.par_chunks(d.max(1)).flat_map_iter(|r| r.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m)).collect();
    let total = centred.iter().map(|v| v * v).sum::<f64>() / (n.max(2) - 1) as f64;
    // More columns than requested, so that the requested ones converge quickly.
    let width = (k + 8).min(d).min(n);
    let stream = Stream::new(0, "pca");
    let mut basis: Vec<f64> = (0..(d * width) as u64).map(|i| stream.normal_at(i)).collect();
    orthonormalise(&mut basis, d, width);
    let mut before = vec![0.0; k];
    let mut values = Vec::new();
    for _ in 0..200 {
        let y = times(&centred, n, d, &basis, width);
        let mut next = transposed_times(&centred, n, d, &y, width);
        let small = transposed_times(&y, n, width, &y, width);
        let (eigenvalues, turn) = eigen(&small, width);
        basis = orthonormal_turned(&mut next, d, width, &turn);
        values = eigenvalues;
        let change = values.iter().zip(&before).map(|(v, b)| (v - b).abs()).fold(0.0, f64::max);
        let settled = change <= 1e-12 * values.first().copied().unwrap_or(0.0);
        before = values[..k].to_vec();
        if settled {
            break;
        }
    }
    // Rayleigh-Ritz: the best components in the final subspace.
    let y = times(&centred, n, d, &basis, width);
    let (eigenvalues, turn) = eigen(&transposed_times(&y, n, width, &y, width), width);
    let full = turned(&basis, d, width, &turn);
    let mut components = vec![0f64; k * d];
    for c in 0..k {
        let column: Vec<f64> = (0..d).map(|i| full[i * width + c]).collect();
        let largest = column.iter().fold(0f64, |b, v| if v.abs() > b.abs() { *v } else { b });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        components[c * d..(c + 1) * d].iter_mut().zip(column).for_each(|(o, v)| *o = v * sign);
    }
    let mut scores = vec![0f64; n * k];
    scores.par_chunks_mut(ROWS_PER_TASK * k.max(1)).zip(centred.par_chunks(ROWS_PER_TASK * d.max(1))).for_each(
        |(out, x)| {
            let m = x.len() / d;
            matmul(m, k, d, out, k, false, Matrix::rows(x, d), Matrix::rows(&components, d).transposed());
        },
    );
    let variances = eigenvalues[..k].iter().map(|v| v.max(0.0) / (n.max(2) - 1) as f64).collect();
    values.clear();
    Pca { mean, components, variances, total, scores }
}

/// x (n x d) times b (d x w).
fn times(x: &[f64], n: usize, d: usize, b: &[f64], w: usize) -> Vec<f64> {
    let mut y = vec![0f64; n * w];
    y.par_chunks_mut(ROWS_PER_TASK * w.max(1)).zip(x.par_chunks(ROWS_PER_TASK * d.max(1))).for_each(|(y, x)| {
        matmul(x.len() / d, w, d, y, w, false, Matrix::rows(x, d), Matrix::rows(b, w));
    });
    y
}

/// The transpose of x (n x d) times y (n x w): blocks of rows, summed in order.
fn transposed_times(x: &[f64], n: usize, d: usize, y: &[f64], w: usize) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = (0..n.div_ceil(ROWS_PER_TASK))
        .into_par_iter()
        .map(|b| {
            let (from, to) = (b * ROWS_PER_TASK, ((b + 1) * ROWS_PER_TASK).min(n));
            let mut out = vec![0f64; d * w];
            let x = Matrix::rows(&x[from * d..to * d], d).transposed();
            matmul(d, w, to - from, &mut out, w, false, x, Matrix::rows(&y[from * w..to * w], w));
            out
        })
        .collect();
    parts.into_iter().fold(vec![0f64; d * w], |mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        sum
    })
}

/// a (rows x w) times the w x w matrix whose columns are the new axes.
fn turned(a: &[f64], rows: usize, w: usize, turn: &[f64]) -> Vec<f64> {
    let mut out = vec![0f64; rows * w];
    matmul(rows, w, w, &mut out, w, false, Matrix::rows(a, w), Matrix::rows(turn, w));
    out
}

fn orthonormal_turned(a: &mut [f64], rows: usize, w: usize, turn: &[f64]) -> Vec<f64> {
    let mut out = turned(a, rows, w, turn);
    orthonormalise(&mut out, rows, w);
    out
}

/// Gram-Schmidt over the columns of a (rows x w), twice, which suffices.
fn orthonormalise(a: &mut [f64], rows: usize, w: usize) {
    let mut columns: Vec<Vec<f64>> = (0..w).map(|c| (0..rows).map(|r| a[r * w + c]).collect()).collect();
    for c in 0..w {
        let (done, rest) = columns.split_at_mut(c);
        let column = &mut rest[0];
        for _ in 0..2 {
            for other in done.iter() {
                let dot: f64 = column.iter().zip(other).map(|(x, y)| x * y).sum();
                column.iter_mut().zip(other).for_each(|(x, y)| *x -= dot * y);
            }
        }
        let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
        let factor = if length > 1e-300 { 1.0 / length } else { 0.0 };
        column.iter_mut().for_each(|v| *v *= factor);
    }
    for (c, column) in columns.iter().enumerate() {
        column.iter().enumerate().for_each(|(r, v)| a[r * w + c] = *v);
    }
}

/// Eigenvalues, decreasing, and eigenvectors (columns) of a small symmetric matrix, by cyclic Jacobi rotations.
pub fn eigen(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = a.to_vec();
    let mut v: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    for _ in 0..60 {
        let off: f64 = (0..n * n).filter(|i| i / n != i % n).map(|i| a[i] * a[i]).sum();
        let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= 1e-30 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    (v[k * n + p], v[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[j * n + j].total_cmp(&a[i * n + i]).then(i.cmp(j)));
    let values = order.iter().map(|i| a[i * n + i]).collect();
    let vectors = (0..n * n).map(|i| v[(i / n) * n + order[i % n]]).collect();
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenpairs_satisfy_their_equation() {
        let n = 6;
        let a: Vec<f64> = (0..n * n).map(|i| ((i / n) * (i % n)) as f64 * 0.3 + (i / n + i % n) as f64).collect();
        let (values, vectors) = eigen(&a, n);
        for c in 0..n {
            for r in 0..n {
                let left: f64 = (0..n).map(|k| a[r * n + k] * vectors[k * n + c]).sum();
                assert!((left - values[c] * vectors[r * n + c]).abs() < 1e-9);
            }
        }
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
    }

    #[test]
    fn components_are_those_of_the_covariance() {
        let stream = Stream::new(2, "rows");
        let (n, d) = (300, 12);
        let rows: Vec<f32> =
            (0..n * d).map(|i| (stream.normal_at(i as u64) * (1.0 + (i % d) as f64) + 5.0) as f32).collect();
        let found = pca(&rows, d, 3);
        let mut covariance = vec![0f64; d * d];
        for row in rows.chunks(d) {
            for i in 0..d {
                for j in 0..d {
                    covariance[i * d + j] +=
                        (f64::from(row[i]) - found.mean[i]) * (f64::from(row[j]) - found.mean[j]) / (n - 1) as f64;
                }
            }
        }
        let (values, vectors) = eigen(&covariance, d);
        for c in 0..3 {
            assert!((found.variances[c] - values[c]).abs() < 1e-9 * values[0], "{c}");
            let dot: f64 = (0..d).map(|i| found.components[c * d + i] * vectors[i * d + c]).sum();
            assert!((dot.abs() - 1.0).abs() < 1e-7, "{c}: {dot}");
        }
        assert!((found.total - (0..d).map(|i| covariance[i * d + i]).sum::<f64>()).abs() < 1e-8);
    }
}
