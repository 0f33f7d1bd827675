//! Kernels for maps whose channels are neighbours, N x H x W x C. Depthwise convolutions, gates and means over positions take many
//! channels in a vector, however small the maps, and pointwise convolutions are matrix products whose rows are positions.
//!
//! Each result has the bits of the kernel for N x C x H x W: the same products are summed in the same order.

mod dense;
mod depthwise;
mod ring_rows;

pub use dense::DenseRows;
pub use depthwise::{DepthwiseRows, Expansion};

use super::disjoint::vec_filled_by;
use crate::simd::arch;
use crate::tensor::VALUES_PER_TASK;
use rayon::prelude::*;

/// Maps of a batch in either layout.
#[derive(Clone, Copy)]
pub enum Maps<'a> {
    /// N x H x W x C.
    ChannelsLast(&'a [f32]),
    /// N x C x H x W.
    Planes(&'a [f32]),
}

/// Channels whose sums are kept together: a line of the cache.
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
                let from = &x[n * positions * channels + first..];
                let out = out.slice(n * channels + first, count);
                arch().dispatch(
                    #[inline(always)]
                    || {
                        let mut sums = [[0.0f64; MEAN_CHANNELS]; 8];
                        for p in 0..positions {
                            let sums = &mut sums[p % 8];
                            let values = &from[p * channels..p * channels + count];
                            if let Some(values) = values.as_chunks::<MEAN_CHANNELS>().0.first() {
                                (0..MEAN_CHANNELS).for_each(|c| sums[c] += f64::from(values[c]));
                            } else {
                                sums.iter_mut().zip(values).for_each(|(s, v)| *s += f64::from(*v));
                            }
                        }
                        for (c, out) in out.iter_mut().enumerate() {
                            let sum: f64 = sums.iter().map(|s| s[c]).sum();
                            *out = if is_mean { (sum / positions as f64) as f32 } else { sum as f32 };
                        }
                    },
                );
            });
        })
    }
}

/// `x` times one factor for each channel of each sample, `factors` N x C, or C for all samples.
pub fn times(x: &[f32], positions: usize, channels: usize, factors: &[f32]) -> Vec<f32> {
    by_channel(x, positions, channels, factors, |x, factor| x * factor)
}

/// `f` of each value and what `with`, N x C or C, holds for its channel.
fn by_channel(
    x: &[f32],
    positions: usize,
    channels: usize,
    with: &[f32],
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Vec<f32> {
    let rows = x.len() / channels.max(1);
    let rows_per_task = VALUES_PER_TASK.div_ceil(channels.max(1)).max(1);
    // SAFETY: the tasks' rows cover all values and do not overlap.
    unsafe {
        vec_filled_by(x.len(), |out| {
            (0..rows.div_ceil(rows_per_task)).into_par_iter().for_each(|task| {
                let own = task * rows_per_task..rows.min((task + 1) * rows_per_task);
                arch().dispatch(
                    #[inline(always)]
                    || {
                        for row in own {
                            let with = if with.len() == channels { with } else { &with[row / positions * channels..] };
                            let (x, y) = (&x[row * channels..][..channels], out.slice(row * channels, channels));
                            y.iter_mut().zip(x).zip(with).for_each(|((y, x), w)| *y = f(*x, *w));
                        }
                    },
                );
            });
        })
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
