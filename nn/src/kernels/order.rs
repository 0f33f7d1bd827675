//! Entries in order along an axis and entries picked by computed indices, each with its gradient.

use super::rearrange::strides;
use crate::tensor::Real;
use rayon::prelude::*;
use std::cmp::Ordering;

/// What is sorted: an axis of `len` entries, each `inner` values apart; the first `k` are kept.
#[derive(Clone, Copy, Debug)]
pub struct Sorting {
    /// Entries of the axis.
    pub len: usize,
    /// Values between neighbours.
    pub inner: usize,
    /// How many are kept.
    pub k: usize,
    /// Whether the largest come first.
    pub largest: bool,
}

impl Sorting {
    /// The indices of the kept entries, in order: outer x k x inner. Of equal entries the one with the lower index comes first.
    pub fn indices<T: Real>(&self, x: &[T]) -> Vec<usize> {
        let Sorting { len, inner, k, largest } = *self;
        let lines = x.len() / len;
        let sorted: Vec<Vec<usize>> = (0..lines)
            .into_par_iter()
            .map(|line| {
                let from = line / inner * len * inner + line % inner;
                let at = |i: usize| x[from + i * inner].f64();
                // Not a number is larger than all numbers, as in PyTorch.
                let compare = |a: f64, b: f64| {
                    a.partial_cmp(&b).unwrap_or_else(|| match (a.is_nan(), b.is_nan()) {
                        (true, false) => Ordering::Greater,
                        (false, true) => Ordering::Less,
                        _ => Ordering::Equal,
                    })
                };
                let mut order: Vec<usize> = (0..len).collect();
                order.sort_by(|i, j| if largest { compare(at(*j), at(*i)) } else { compare(at(*i), at(*j)) });
                order.truncate(k);
                order
            })
            .collect();
        let mut indices = vec![0; lines * k];
        for (line, order) in sorted.iter().enumerate() {
            for (i, place) in order.iter().enumerate() {
                indices[(line / inner * k + i) * inner + line % inner] = *place;
            }
        }
        indices
    }

    /// The kept entries themselves.
    pub fn values<T: Real>(&self, x: &[T]) -> Vec<T> {
        let sources = self.sources(x);
        sources.into_iter().map(|s| x[s]).collect()
    }

    /// The gradient of [`Sorting::values`]: each kept entry's gradient goes to the position that it came from.
    pub fn gradient<T: Real>(&self, x: &[T], dy: &[T]) -> Vec<T> {
        let mut dx = vec![T::zero(); x.len()];
        self.sources(x).into_iter().zip(dy).for_each(|(s, g)| dx[s] += *g);
        dx
    }

    fn sources<T: Real>(&self, x: &[T]) -> Vec<usize> {
        let Sorting { len, inner, k, .. } = *self;
        let source = |(i, place): (usize, usize)| i / (k * inner) * len * inner + place * inner + i % inner;
        self.indices(x).into_iter().enumerate().map(source).collect()
    }
}

/// For each element of a result of shape `to` the element of `data` at the computed index along `axis`; index and data
/// broadcast against the result on the other axes. Indices count from the end where negative, and stop at the ends.
pub fn sources<T: Real>(axis: usize, data: &[usize], index: (&[T], &[usize]), to: &[usize]) -> Vec<usize> {
    let step = |dims: &[usize]| -> Vec<usize> {
        strides(dims).into_iter().zip(dims).map(|(s, n)| if *n == 1 { 0 } else { s }).collect()
    };
    let (data_steps, index_steps, n) = (step(data), step(index.1), data[axis]);
    (0..to.iter().product::<usize>())
        .into_par_iter()
        .map(|mut i| {
            let (mut at, mut place) = (0, 0);
            for a in (0..to.len()).rev() {
                let p = i % to[a];
                i /= to[a];
                place += p * index_steps[a];
                at += if a == axis { 0 } else { p * data_steps[a] };
            }
            let wanted = index.0[place].f64();
            let wanted = if wanted < 0.0 { wanted + n as f64 } else { wanted };
            at + (wanted.max(0.0) as usize).min(n - 1) * data_steps[axis]
        })
        .collect()
}
