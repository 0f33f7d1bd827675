//! Sums, means and maxima over axes, and their gradients. Sums run in f64, in row-major order.

use super::layout::strides;
use crate::graph::op::Reduction;
use crate::tensor::Real;
use rayon::prelude::*;

/// The result index and the reduced elements of a reduction, as offsets.
struct Plan {
    kept: Vec<usize>,
    gone: Vec<usize>,
}

impl Plan {
    fn new(dims: &[usize], axes: &[usize]) -> Self {
        let strides = &strides(dims);
        let offsets = &|keep: bool| {
            let mut all = vec![0];
            for a in (0..dims.len()).filter(|a| axes.contains(a) != keep) {
                all = all.iter().flat_map(|base| (0..dims[a]).map(move |i| base + i * strides[a])).collect();
            }
            all
        };
        Plan { kept: offsets(true), gone: offsets(false) }
    }
}

/// Reduces `x` of `dims` over `axes` (the batch is axis 0).
pub fn forward<T: Real>(reduction: Reduction, dims: &[usize], axes: &[usize], x: &[T]) -> Vec<T> {
    let plan = Plan::new(dims, axes);
    let one = |base: &usize| {
        let values = plan.gone.iter().map(|o| x[base + o]);
        match reduction {
            Reduction::Sum => T::of(values.map(Real::f64).sum()),
            Reduction::Mean => T::of(values.map(Real::f64).sum::<f64>() / plan.gone.len() as f64),
            Reduction::Max => x[base + winner(&plan.gone, *base, x)],
        }
    };
    plan.kept.par_iter().map(one).collect()
}

/// The gradient of [`forward`].
pub fn gradient<T: Real>(reduction: Reduction, dims: &[usize], axes: &[usize], x: &[T], dy: &[T]) -> Vec<T> {
    let plan = Plan::new(dims, axes);
    let mut dx = vec![T::zero(); x.len()];
    for (base, dy) in plan.kept.iter().zip(dy) {
        let share = match reduction {
            Reduction::Max => {
                dx[base + winner(&plan.gone, *base, x)] = *dy;
                continue;
            }
            Reduction::Sum => *dy,
            Reduction::Mean => *dy / T::of(plan.gone.len() as f64),
        };
        plan.gone.iter().for_each(|o| dx[base + o] = share);
    }
    dx
}

fn winner<T: Real>(offsets: &[usize], base: usize, x: &[T]) -> usize {
    offsets.iter().copied().fold(offsets[0], |best, o| if x[base + o] > x[base + best] { o } else { best })
}
