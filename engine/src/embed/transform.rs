//! Places new points in a finished embedding, whose points stay: Poličar, Stražar, Zupan, "Embedding to reference t-SNE space
//! addresses batch effects in single-cell classification", 2021.

use super::knn::Neighbours;
use super::perplexity::conditional;
use super::quadtree::Quadtree;
use super::tsne::advance;
use rayon::prelude::*;

/// The perplexity of a new point.
pub const PERPLEXITY: f64 = 5.0;
/// The number of neighbours of a new point.
pub const NEIGHBOURS: usize = 15;
const STEPS: usize = 250;
const EXAGGERATION: f64 = 1.5;
const RATE: f64 = 0.1;
const MAX_STEP: f64 = 0.25;

/// The positions of new points, given their neighbours among the points of `reference`.
pub fn project(reference: &[[f64; 2]], neighbours: &Neighbours) -> Vec<[f64; 2]> {
    let p = conditional(neighbours, PERPLEXITY);
    let tree = Quadtree::new(reference, 0.5);
    let k = neighbours.k;
    (0..neighbours.indices.len() / k.max(1))
        .into_par_iter()
        .map(|i| {
            let near: Vec<([f64; 2], f64)> =
                neighbours.of(i).iter().zip(&p[i * k..]).map(|(j, p)| (reference[*j as usize], *p)).collect();
            let mut point = [0, 1].map(|a| weighted_median(near.iter().map(|(y, w)| (y[a], *w)).collect()));
            let (mut step, mut gain) = ([0.0; 2], [1.0; 2]);
            for _ in 0..STEPS {
                let (away, z) = tree.repulsion(point);
                let mut g = away.map(|v| -v / z.max(f64::MIN_POSITIVE));
                for (y, p) in &near {
                    let d = [point[0] - y[0], point[1] - y[1]];
                    let pull = EXAGGERATION * p / (1.0 + d[0] * d[0] + d[1] * d[1]);
                    g[0] += pull * d[0];
                    g[1] += pull * d[1];
                }
                advance(&mut point, &mut step, &mut gain, g, RATE, MAX_STEP);
            }
            point
        })
        .collect()
}

/// The weighted median.
fn weighted_median(mut values: Vec<(f64, f64)>) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|v| v.1).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    for (value, weight) in &values {
        sum += weight;
        if sum >= half {
            return *value;
        }
    }
    values.last().map_or(0.0, |v| v.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::knn::{Metric, nearest};
    use crate::random::Stream;

    #[test]
    fn a_new_point_comes_to_lie_among_its_like() {
        let stream = Stream::new(4, "two");
        let rows: Vec<f32> =
            (0..100u64 * 3).map(|i| (stream.normal_at(i) + if (i / 3) % 2 == 0 { 20.0 } else { 0.0 }) as f32).collect();
        let places: Vec<[f64; 2]> = (0..100u64)
            .map(|i| [stream.normal_at(900 + i) + if i % 2 == 0 { 30.0 } else { -30.0 }, stream.normal_at(1900 + i)])
            .collect();
        let new = [20.5f32, 19.0, 21.0, 0.3, -0.2, 0.9];
        let found = project(&places, &nearest(&rows, 3, Some(&new), NEIGHBOURS, Metric::Euclidean));
        assert!((found[0][0] - 30.0).abs() < 6.0 && (found[1][0] + 30.0).abs() < 6.0, "{found:?}");
    }
}
