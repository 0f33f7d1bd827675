//! Similarities of neighbours at a given perplexity (van der Maaten and Hinton 2008, section 2), as a sparse matrix.

use super::knn::Neighbours;
use rayon::prelude::*;

/// A sparse square matrix: the entries of row i are `starts[i]..starts[i + 1]`, by column.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// The start of each row; one more than there are rows.
    pub starts: Vec<usize>,
    /// The column of each entry.
    pub columns: Vec<u32>,
    /// The value of each entry.
    pub values: Vec<f64>,
}

/// p(j | i) over the neighbours of each query, with the bandwidth for `perplexity` (at most a third of the neighbours).
pub fn conditional(neighbours: &Neighbours, perplexity: f64) -> Vec<f64> {
    let k = neighbours.k;
    let target = libm::log(perplexity.min(k as f64 / 3.0).max(1.0 + 1e-9));
    neighbours.distances.par_chunks(k.max(1)).flat_map_iter(|d| row(d, target)).collect()
}

/// One row: the precision beta at which the entropy is `target`, by bisection.
fn row(distances: &[f64], target: f64) -> Vec<f64> {
    let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
    let squared: Vec<f64> = distances.iter().map(|d| d * d - nearest * nearest).collect();
    if squared.iter().all(|d| *d == 0.0) {
        return vec![1.0 / squared.len() as f64; squared.len()];
    }
    let (mut low, mut high, mut beta) =
        (0.0, f64::INFINITY, 1.0 / squared.iter().sum::<f64>().max(1e-300) * squared.len() as f64);
    let mut p = vec![0.0; squared.len()];
    for _ in 0..200 {
        let mut sum = 0.0;
        let mut mean = 0.0;
        for (p, d) in p.iter_mut().zip(&squared) {
            *p = libm::exp(-beta * d);
            sum += *p;
            mean += *p * d;
        }
        let entropy = libm::log(sum) + beta * mean / sum;
        p.iter_mut().for_each(|p| *p /= sum);
        let over = entropy - target;
        if over.abs() < 1e-8 {
            break;
        }
        if over > 0.0 {
            low = beta;
            beta = if high.is_finite() { (low + high) / 2.0 } else { beta * 2.0 };
        } else {
            high = beta;
            beta = (low + high) / 2.0;
        }
    }
    p
}

/// The symmetric joint similarities (p(j | i) + p(i | j)) / 2n.
pub fn joint(neighbours: &Neighbours, n: usize, perplexity: f64) -> Sparse {
    let (k, p) = (neighbours.k, conditional(neighbours, perplexity));
    let mut rows: Vec<Vec<(u32, f64)>> = vec![Vec::with_capacity(2 * k); n];
    for i in 0..n {
        for (j, v) in neighbours.of(i).iter().zip(&p[i * k..(i + 1) * k]) {
            rows[i].push((*j, *v));
            rows[*j as usize].push((i as u32, *v));
        }
    }
    let mut out = Sparse { starts: vec![0], columns: Vec::new(), values: Vec::new() };
    for mut row in rows {
        row.sort_by_key(|(j, _)| *j);
        for same in row.chunk_by(|a, b| a.0 == b.0) {
            out.columns.push(same[0].0);
            out.values.push(same.iter().map(|s| s.1).sum::<f64>() / (2 * n) as f64);
        }
        out.starts.push(out.columns.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::knn::{Metric, nearest};
    use crate::random::Stream;

    #[test]
    fn every_row_has_the_perplexity_asked_for_and_all_sum_to_one() {
        let stream = Stream::new(8, "rows");
        let rows: Vec<f32> = (0..300u64 * 5).map(|i| stream.normal_at(i) as f32).collect();
        let neighbours = nearest(&rows, 5, None, 90, Metric::Euclidean);
        for p in conditional(&neighbours, 30.0).chunks(90) {
            let entropy: f64 = p.iter().filter(|v| **v > 0.0).map(|v| -v * libm::log(*v)).sum();
            assert!((libm::exp(entropy) - 30.0).abs() < 1e-4, "{}", libm::exp(entropy));
        }
        let joint = joint(&neighbours, 300, 30.0);
        assert!((joint.values.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for i in 0..300 {
            for e in joint.starts[i]..joint.starts[i + 1] {
                let j = joint.columns[e] as usize;
                let back = (joint.starts[j]..joint.starts[j + 1]).find(|b| joint.columns[*b] as usize == i);
                assert!((joint.values[back.unwrap_or(0)] - joint.values[e]).abs() < 1e-15);
            }
        }
    }
}
