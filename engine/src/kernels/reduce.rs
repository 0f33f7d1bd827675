//! Sums, means and maxima over axes, and their gradients. Sums run in f64, every eighth value in one of eight, which are added
//! in turn.

use super::CHUNK;
use super::layout::strides;
use super::target::filled;
use super::tile::arch;
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

    /// The length of the stretches that are reduced, where they lie one behind another.
    fn stretch(&self) -> Option<usize> {
        let in_turn = |offsets: &[usize], step: usize| offsets.iter().enumerate().all(|(i, o)| *o == i * step);
        let len = self.gone.len();
        (in_turn(&self.gone, 1) && in_turn(&self.kept, len)).then_some(len)
    }
}

/// The sum of all values.
pub fn sum<T: Real>(x: &[T]) -> f64 {
    arch().dispatch(
        #[inline(always)]
        || {
            let mut sums = [0.0; 8];
            let (groups, rest) = x.as_chunks::<8>();
            groups.iter().for_each(|group| sums.iter_mut().zip(group).for_each(|(s, v)| *s += v.f64()));
            sums.iter_mut().zip(rest).for_each(|(s, v)| *s += v.f64());
            sums.iter().sum()
        },
    )
}

/// Reduces `x` of `dims` over `axes` (the batch is axis 0).
pub fn forward<T: Real>(reduction: Reduction, dims: &[usize], axes: &[usize], x: &[T]) -> Vec<T> {
    let plan = Plan::new(dims, axes);
    let count = plan.gone.len();
    let reduced = |sum: f64| T::of(if reduction == Reduction::Mean { sum / count as f64 } else { sum });
    let tasks = plan.kept.par_iter().with_min_len(CHUNK.div_ceil(count.max(1)));
    if reduction == Reduction::Max {
        return tasks.map(|base| x[base + winner(&plan.gone, *base, x)]).collect();
    }
    if let Some(len) = plan.stretch() {
        return tasks.map(|base| reduced(sum(&x[*base..base + len]))).collect();
    }
    tasks
        .map_init(Vec::new, |values, base| {
            values.clear();
            values.extend(plan.gone.iter().map(|o| x[base + o]));
            reduced(sum(values))
        })
        .collect()
}

/// The gradient of [`forward`].
pub fn gradient<T: Real>(reduction: Reduction, dims: &[usize], axes: &[usize], x: &[T], dy: &[T]) -> Vec<T> {
    let plan = Plan::new(dims, axes);
    let count = T::of(plan.gone.len() as f64);
    let share = |dy: T| if reduction == Reduction::Mean { dy / count } else { dy };
    if let Some(len) = plan.stretch().filter(|_| reduction != Reduction::Max) {
        // SAFETY: the stretches cover `x`, and each task has its own.
        return unsafe {
            filled(x.len(), |dx| {
                let tasks = plan.kept.par_iter().zip(dy).with_min_len(CHUNK.div_ceil(len.max(1)));
                tasks.for_each(|(base, dy)| dx.slice(*base, len).fill(share(*dy)));
            })
        };
    }
    let mut dx = vec![T::zero(); x.len()];
    for (base, dy) in plan.kept.iter().zip(dy) {
        match reduction {
            Reduction::Max => dx[base + winner(&plan.gone, *base, x)] = *dy,
            _ => plan.gone.iter().for_each(|o| dx[base + o] = share(*dy)),
        }
    }
    dx
}

fn winner<T: Real>(offsets: &[usize], base: usize, x: &[T]) -> usize {
    offsets.iter().copied().fold(offsets[0], |best, o| if x[base + o] > x[base + best] { o } else { best })
}
