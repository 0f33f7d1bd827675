//! Kernels for maps whose channels are neighbours, N x H x W x C. Depthwise convolutions, gates and means over positions take many
//! channels in a vector, however small the maps, and pointwise convolutions are matrix products whose rows are positions.
//!
//! Each result has the bits of the kernel for N x C x H x W: the same products are summed in the same order.

mod dense;
mod depthwise;
mod maps;
mod ring_rows;

pub use dense::DenseRows;
pub use depthwise::{DepthwiseRows, Expansion};
pub use maps::Maps;

use super::disjoint::vec_filled_by;
use crate::simd::arch;
use crate::tensor::VALUES_PER_TASK;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Channels whose sums are kept together.
const MEAN_CHANNELS: usize = 16;

/// The mean (or the sum) of each channel over the positions of a sample, N x C. A sum is eight partial sums in f64, of every eighth
/// position each, which are then added one after another, as in [`reduce`](super::reduce).
pub fn means(x: &[f32], positions: usize, channels: usize, is_mean: bool) -> Vec<f32> {
    let parts = channels.div_ceil(MEAN_CHANNELS);
    let samples = x.len() / (positions * channels).max(1);
    // SAFETY: the parts cover all channels of all samples and do not overlap.
    unsafe {
        vec_filled_by(samples * channels, |out| {
            let tasks = (0..samples * parts).into_par_iter();
            let least = VALUES_PER_TASK.div_ceil(MEAN_CHANNELS * positions.max(1));
            tasks.with_min_len(least).for_each(|task| {
                let (n, first) = (task / parts, task % parts * MEAN_CHANNELS);
                let count = MEAN_CHANNELS.min(channels - first);
                let sums = Sums { x: &x[n * positions * channels + first..], positions, channels, count };
                for (out, sum) in out.slice(n * channels + first, count).iter_mut().zip(arch().dispatch(sums)) {
                    *out = if is_mean { (sum / positions as f64) as f32 } else { sum as f32 };
                }
            });
        })
    }
}

/// The sums of neighbouring channels over positions. This is not a closure: a closure is compiled as a function of its own, without
/// vector instructions where it is long.
struct Sums<'a> {
    /// From the first of the channels on.
    x: &'a [f32],
    positions: usize,
    /// Values between positions.
    channels: usize,
    /// Channels that are summed, at most [`MEAN_CHANNELS`].
    count: usize,
}

impl WithSimd for Sums<'_> {
    type Output = [f64; MEAN_CHANNELS];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f64; MEAN_CHANNELS] {
        let Sums { x, positions, channels, count } = self;
        let mut sums = [[0.0f64; MEAN_CHANNELS]; 8];
        for p in 0..positions {
            let (sums, values) = (&mut sums[p % 8], &x[p * channels..p * channels + count]);
            match values.first_chunk::<MEAN_CHANNELS>() {
                Some(values) => (0..MEAN_CHANNELS).for_each(|c| sums[c] += f64::from(values[c])),
                None => sums.iter_mut().zip(values).for_each(|(s, v)| *s += f64::from(*v)),
            }
        }
        std::array::from_fn(|c| sums.iter().map(|s| s[c]).sum())
    }
}

/// `x` times one factor for each channel of each sample, `factors` N x C, or C for all samples.
pub fn times(x: &[f32], positions: usize, channels: usize, factors: &[f32]) -> Vec<f32> {
    let rows = x.len() / channels.max(1);
    let rows_per_task = VALUES_PER_TASK.div_ceil(channels.max(1));
    // SAFETY: the tasks' rows cover all values and do not overlap.
    unsafe {
        vec_filled_by(x.len(), |out| {
            (0..rows.div_ceil(rows_per_task.max(1))).into_par_iter().for_each(|task| {
                let own = task * rows_per_task..rows.min((task + 1) * rows_per_task);
                let y = out.slice(own.start * channels, own.len() * channels);
                arch().dispatch(Times { x, factors, first: own.start, positions, channels, y });
            });
        })
    }
}

/// Some positions times the factors of their channels.
struct Times<'a> {
    x: &'a [f32],
    factors: &'a [f32],
    /// The first of the positions.
    first: usize,
    positions: usize,
    channels: usize,
    y: &'a mut [f32],
}

impl WithSimd for Times<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Times { x, factors, first, positions, channels, y } = self;
        for (row, y) in y.chunks_exact_mut(channels).enumerate() {
            let row = first + row;
            let sample = if factors.len() == channels { 0 } else { row / positions };
            let factors = &factors[sample * channels..][..channels];
            let x = &x[row * channels..][..channels];
            y.iter_mut().zip(x).zip(factors).for_each(|((y, x), factor)| *y = x * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::Reduction;
    use crate::kernels::rearrange::transpose;
    use crate::kernels::reduce;
    use crate::random::Stream;

    #[test]
    fn means_and_products_have_the_bits_of_those_of_planes() {
        for (samples, channels, positions) in [(1, 16, 49), (2, 40, 196), (3, 5, 7), (1, 72, 1000)] {
            let mut rng = Stream::new(0, "last");
            let x: Vec<f32> = (0..samples * channels * positions).map(|_| rng.next_normal() as f32).collect();
            let last = transpose(&[samples, channels, positions], &[0, 2, 1], &x);
            let dims = [samples, channels, positions];
            for reduction in [Reduction::Mean, Reduction::Sum] {
                let want = reduce::forward(reduction, &dims, &[2], &x);
                assert_eq!(means(&last, positions, channels, reduction == Reduction::Mean), want, "{dims:?}");
            }
            let factors: Vec<f32> = (0..samples * channels).map(|_| rng.next_normal() as f32).collect();
            let product: Vec<f32> = x.iter().enumerate().map(|(i, v)| v * factors[i / positions]).collect();
            assert_eq!(times(&last, positions, channels, &factors), transpose(&dims, &[0, 2, 1], &product));
        }
    }
}
