//! Quality measures of an embedding (Kobak and Berens 2019; Venna and Kaski 2001), which every figure prints.

use super::knn::{Metric, Neighbours, nearest, squared, squared_from};
use crate::random::Stream;
use crate::stats::spearman;
use rayon::prelude::*;
use std::borrow::Cow;

/// Quality measures of an embedding.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// The share of each point's nearest codes that are among its nearest points in the plane (KNN).
    pub preserved: f64,
    /// Trustworthiness: 1 less a penalty for points that are near only in the plane, by their rank among the codes; 1 is perfect.
    pub trustworthiness: f64,
    /// Spearman's correlation of the distances of codes and of points (CPD).
    pub distances: f64,
    /// The number of neighbours in the first two measures.
    pub k: usize,
}

/// The most points whose neighbours' ranks are looked up; they are drawn at random.
const MAX_RANKED: usize = 1000;
/// The most points between which distances are correlated; they are drawn from these.
const MAX_CORRELATED: usize = 400;

/// At most `most` of `n` numbers, drawn without regard to their order (data may repeat a pattern), in that order.
fn sample(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let mut some = Stream::new(0, "sample").permutation(n);
    some.truncate(most);
    some.sort_unstable();
    some
}

/// The neighbours in the plane by which an embedding is judged: ten of each point, or as many as `near` has of its code.
pub fn nearest_in_plane(points: &[[f64; 2]], near: &Neighbours) -> Neighbours {
    let flat: Vec<f32> = points.iter().flat_map(|p| p.map(|v| v as f32)).collect();
    nearest(&flat, 2, None, 10.min(near.k), Metric::Euclidean)
}

/// The figures of `points`, whose [`nearest_in_plane`] are `plane`, for codes whose neighbours are `near`.
pub fn quality(
    codes: &[f32],
    d: usize,
    (near, plane): (&Neighbours, &Neighbours),
    points: &[[f64; 2]],
    metric: Metric,
) -> Quality {
    let (n, k) = (points.len(), plane.k);
    let kept: usize = (0..n).map(|i| plane.of(i).iter().filter(|j| near.of(i)[..k].contains(j)).count()).sum();
    let ranked = sample(n, MAX_RANKED);
    let scaled = unit(codes, d, metric);
    let row = |i: usize| &scaled[i * d..(i + 1) * d];
    let costs: Vec<f64> = ranked
        .par_iter()
        .map(|i| {
            let all = squared_from(row(*i), &scaled);
            let rank = |j: usize| (0..n).filter(|o| o != i && (all[*o], *o) < (all[j], j)).count() + 1;
            plane.of(*i).iter().map(|j| rank(*j as usize).saturating_sub(k) as f64).sum()
        })
        .collect();
    let worst = ranked.len() as f64 * k as f64 * (2.0 * n as f64 - 3.0 * k as f64 - 1.0).max(1.0);
    let (mut high, mut low) = (Vec::new(), Vec::new());
    let few: Vec<usize> = sample(ranked.len(), MAX_CORRELATED).into_iter().map(|i| ranked[i]).collect();
    for (a, i) in few.iter().enumerate() {
        for j in &few[..a] {
            high.push(squared(row(*i), row(*j)).sqrt());
            low.push(libm::hypot(points[*i][0] - points[*j][0], points[*i][1] - points[*j][1]));
        }
    }
    Quality {
        preserved: kept as f64 / (n * k).max(1) as f64,
        trustworthiness: 1.0 - 2.0 * costs.iter().sum::<f64>() / worst.max(1.0),
        distances: spearman(&high, &low).unwrap_or(0.0),
        k,
    }
}

/// The mean share of the k nearest labelled points that have a labelled point's own label.
pub fn purity(near: &Neighbours, k: usize, labels: &[Option<usize>]) -> Option<f64> {
    let (mut same, mut all) = (0usize, 0usize);
    for (i, label) in labels.iter().enumerate().filter_map(|(i, l)| l.map(|l| (i, l))) {
        for other in near.of(i).iter().take(k).filter_map(|j| labels[*j as usize]) {
            same += usize::from(other == label);
            all += 1;
        }
    }
    (all > 0).then(|| same as f64 / all as f64)
}

/// For each labelled point, the most frequent label among its k nearest labelled points; of equally frequent ones the nearest's.
pub fn votes(near: &Neighbours, k: usize, labels: &[Option<usize>]) -> Vec<Option<usize>> {
    (0..near.indices.len() / near.k.max(1))
        .map(|i| {
            let around: Vec<usize> = near.of(i).iter().filter_map(|j| labels[*j as usize]).take(k).collect();
            let count = |label: usize| around.iter().filter(|l| **l == label).count();
            let most = around.iter().map(|l| count(*l)).max()?;
            around.iter().copied().find(|l| count(*l) == most)
        })
        .collect()
}

/// Rows of length 1 where angles count.
fn unit(codes: &[f32], d: usize, metric: Metric) -> Cow<'_, [f32]> {
    if metric == Metric::Euclidean {
        return Cow::Borrowed(codes);
    }
    let mut out = codes.to_vec();
    out.par_chunks_mut(d.max(1)).for_each(|row| {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt().max(1e-300);
        row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    });
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_plane_in_itself_is_perfect_and_a_shuffled_one_is_chance() {
        let stream = Stream::new(1, "plane");
        let codes: Vec<f32> = (0..400u64).map(|i| stream.normal_at(i) as f32).collect();
        let near = nearest(&codes, 2, None, 10, Metric::Euclidean);
        let points: Vec<[f64; 2]> = codes.chunks(2).map(|p| [f64::from(p[0]) * 3.0, f64::from(p[1]) * 3.0]).collect();
        let judged = |points: &[[f64; 2]]| {
            quality(&codes, 2, (&near, &nearest_in_plane(points, &near)), points, Metric::Euclidean)
        };
        let q = judged(&points);
        assert!(q.preserved > 0.999 && q.trustworthiness > 0.9999 && q.distances > 0.9999, "{q:?}");
        let order = Stream::new(2, "order").permutation(200);
        let shuffled: Vec<[f64; 2]> = order.iter().map(|i| points[*i]).collect();
        let q = judged(&shuffled);
        assert!(q.preserved < 0.12 && q.trustworthiness < 0.6 && q.distances.abs() < 0.2, "{q:?}");
    }

    #[test]
    fn labels_are_voted_for_by_the_nearest() {
        let near = Neighbours { k: 3, indices: vec![1, 2, 3, 0, 2, 3, 3, 0, 1, 2, 0, 1], distances: vec![0.0; 12] };
        let labels = [Some(0), Some(0), Some(1), None];
        assert_eq!(votes(&near, 2, &labels), [Some(0), Some(0), Some(0), Some(1)]);
        assert_eq!(purity(&near, 3, &labels), Some(2.0 / 6.0));
    }
}
