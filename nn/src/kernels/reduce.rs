//! Sums, means and maxima over axes, and their gradients. A sum is eight partial sums in f64, of every eighth value each, which
//! are then added one after another.

use super::disjoint::vec_filled_by;
use super::rearrange::strides;
use crate::graph::op::Reduction;
use crate::simd::arch;
use crate::tensor::{Real, VALUES_PER_TASK};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Which elements a reduction reads.
struct Offsets {
    /// For each result the offset of its first element.
    results: Vec<usize>,
    /// The offsets of a result's elements from its first.
    reduced: Vec<usize>,
}

impl Offsets {
    fn new(dims: &[usize], axes: &[usize]) -> Self {
        let strides = &strides(dims);
        let offsets = &|keep: bool| {
            let mut all = vec![0];
            for a in (0..dims.len()).filter(|a| axes.contains(a) != keep) {
                all = all.iter().flat_map(|base| (0..dims[a]).map(move |i| base + i * strides[a])).collect();
            }
            all
        };
        Offsets { results: offsets(true), reduced: offsets(false) }
    }

    /// The number of elements of a result, where each result's elements are neighbours and the next result's follow.
    fn contiguous_len(&self) -> Option<usize> {
        let is_regular = |offsets: &[usize], step: usize| offsets.iter().enumerate().all(|(i, o)| *o == i * step);
        let len = self.reduced.len();
        (is_regular(&self.reduced, 1) && is_regular(&self.results, len)).then_some(len)
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

/// [`sum`] of each of some rows of `len` values.
fn sums<T: Real>(x: &[T], len: usize) -> Vec<f64> {
    let mut groups = x.chunks_exact(ROWS * len);
    let mut all: Vec<f64> = groups.by_ref().flat_map(|x| arch().dispatch(SideBySide { x, len })).collect();
    all.extend(groups.remainder().chunks_exact(len).map(sum));
    all
}

/// Rows whose sums are computed side by side, since each step of one sum waits for the step before.
const ROWS: usize = 4;

/// [`sum`] of each of [`ROWS`] rows of `len` values, with the bits of [`sum`].
struct SideBySide<'a, T> {
    x: &'a [T],
    len: usize,
}

impl<T: Real> WithSimd for SideBySide<'_, T> {
    type Output = [f64; ROWS];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f64; ROWS] {
        let len = self.len;
        let rows: [&[T]; ROWS] = std::array::from_fn(|r| &self.x[r * len..][..len]);
        let mut sums = [[0.0; 8]; ROWS];
        for at in (0..len / 8 * 8).step_by(8) {
            for r in 0..ROWS {
                let group = &rows[r][at..at + 8];
                for i in 0..8 {
                    sums[r][i] += group[i].f64();
                }
            }
        }
        for (sums, row) in sums.iter_mut().zip(&rows) {
            sums.iter_mut().zip(&row[len / 8 * 8..]).for_each(|(s, v)| *s += v.f64());
        }
        sums.map(|sums| sums.iter().sum())
    }
}

/// Reduces `x` of shape `dims` over `axes` (the batch is axis 0).
pub fn forward<T: Real>(reduction: Reduction, dims: &[usize], axes: &[usize], x: &[T]) -> Vec<T> {
    let offsets = Offsets::new(dims, axes);
    let count = offsets.reduced.len();
    let result = |sum: f64| T::of(if reduction == Reduction::Mean { sum / count as f64 } else { sum });
    if reduction == Reduction::Max {
        let tasks = offsets.results.par_iter().with_min_len(VALUES_PER_TASK.div_ceil(count.max(1)));
        return tasks.map(|base| x[base + argmax(&offsets.reduced, *base, x)]).collect();
    }
    if let Some(len) = offsets.contiguous_len().filter(|len| *len > 0) {
        let chunk = VALUES_PER_TASK.div_ceil(len).next_multiple_of(ROWS) * len;
        return x.par_chunks(chunk).flat_map_iter(|x| sums(x, len).into_iter().map(result)).collect();
    }
    let tasks = offsets.results.par_iter().with_min_len(VALUES_PER_TASK.div_ceil(count.max(1)));
    tasks
        .map_init(Vec::new, |values, base| {
            values.clear();
            values.extend(offsets.reduced.iter().map(|o| x[base + o]));
            result(sum(values))
        })
        .collect()
}

/// dL/dx of [`forward`], given `dy`; the gradient of a maximum goes to the first element that is the maximum.
pub fn gradient<T: Real>(reduction: Reduction, dims: &[usize], axes: &[usize], x: &[T], dy: &[T]) -> Vec<T> {
    let offsets = Offsets::new(dims, axes);
    let count = T::of(offsets.reduced.len() as f64);
    let share = |dy: T| if reduction == Reduction::Mean { dy / count } else { dy };
    if let Some(len) = offsets.contiguous_len().filter(|_| reduction != Reduction::Max) {
        // SAFETY: the results' elements cover `x` and do not overlap.
        return unsafe {
            vec_filled_by(x.len(), |dx| {
                let tasks = offsets.results.par_iter().zip(dy).with_min_len(VALUES_PER_TASK.div_ceil(len.max(1)));
                tasks.for_each(|(base, dy)| dx.slice(*base, len).fill(share(*dy)));
            })
        };
    }
    let mut dx = vec![T::zero(); x.len()];
    for (base, dy) in offsets.results.iter().zip(dy) {
        match reduction {
            Reduction::Max => dx[base + argmax(&offsets.reduced, *base, x)] = *dy,
            _ => offsets.reduced.iter().for_each(|o| dx[base + o] = share(*dy)),
        }
    }
    dx
}

/// The offset of the first maximum; a NaN is larger than all numbers.
fn argmax<T: Real>(offsets: &[usize], base: usize, x: &[T]) -> usize {
    let beats = |a: T, b: T| a > b || (a.is_nan_value() && !b.is_nan_value());
    offsets.iter().copied().fold(offsets[0], |best, o| if beats(x[base + o], x[base + best]) { o } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn sums_side_by_side_have_the_bits_of_one_sum() {
        for (rows, len) in [(1, 49), (4, 49), (11, 196), (7, 3), (9, 8)] {
            let mut rng = Stream::new(0, "reduce");
            let x: Vec<f32> = (0..rows * len).map(|_| rng.next_normal() as f32).collect();
            let means = forward(Reduction::Mean, &[1, rows, len], &[2], &x);
            for (row, mean) in x.chunks(len).zip(means) {
                let mut parts = [0.0f64; 8];
                row.iter().enumerate().for_each(|(i, v)| parts[i % 8] += f64::from(*v));
                let want = (parts.into_iter().sum::<f64>() / len as f64) as f32;
                assert_eq!(mean.to_bits(), want.to_bits(), "{rows} {len}");
            }
        }
    }
}
