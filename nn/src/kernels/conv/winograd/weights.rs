//! The Winograd weight transform G g G^T, computed in f64.

use super::WinogradConv;
use super::transform::weight_row;
use crate::kernels::conv::microkernel::MR;
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

impl WinogradConv<'_> {
    /// The problem's weights, packed as of [`ConvProblem::pack_weights`] and transformed: for each group and point of a tile its
    /// panels. Plain panels are packed one at a time, so that there are never two forms of all of them.
    ///
    /// [`ConvProblem::pack_weights`]: crate::kernels::conv::problem::ConvProblem::pack_weights
    pub fn pack_weights(&self, weight: &(impl Fn(usize, usize, usize, usize) -> f32 + Sync)) -> Vec<f32> {
        match self.side {
            2 => self.transform_weights::<4>(weight),
            _ => self.transform_weights::<6>(weight),
        }
    }

    fn transform_weights<const N: usize>(
        &self,
        weight: &(impl Fn(usize, usize, usize, usize) -> f32 + Sync),
    ) -> Vec<f32> {
        let (c, problem) = (self.problem.in_channels, self.problem);
        let per_group = problem.out_channels.div_ceil(MR);
        let g = std::array::from_fn(|point| weight_row(self.side, point));
        let panel = |out: DisjointSlice<f32>, from: &mut [f32], i: usize| {
            let (group, panel) = (i / per_group, i % per_group);
            problem.pack_panel(i, from, weight);
            // SAFETY: each panel has its own part of every point.
            let to = |point: usize, k: usize| unsafe {
                out.slice((((group * N * N + point) * per_group + panel) * c + k) * MR, MR)
            };
            arch().dispatch(WeightTransform::<N, _> { from, g: &g, channels: c, to });
        };
        // SAFETY: the panels of all points cover the buffer.
        unsafe {
            vec_filled_by(problem.groups * N * N * per_group * MR * c, |out| {
                let panels = (0..problem.groups * per_group).into_par_iter();
                panels.for_each_init(|| vec![0.0; MR * 9 * c], |plain, i| panel(out, plain, i));
            })
        }
    }
}

/// G g G^T for a panel of 3 x 3 kernels, [`MR`] side by side for each input channel.
struct WeightTransform<'a, const N: usize, F> {
    /// The panel: tap, channel, row.
    from: &'a [f32],
    /// G, N x 3.
    g: &'a [[f64; 3]; N],
    channels: usize,
    /// Where a point of a channel goes.
    to: F,
}

impl<'a, const N: usize, F: Fn(usize, usize) -> &'a mut [f32]> WithSimd for WeightTransform<'a, N, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        type Rows = [f64; MR];
        for k in 0..self.channels {
            let kernel = |tap: usize| -> Rows {
                let rows = &self.from[(tap * self.channels + k) * MR..][..MR];
                std::array::from_fn(|r| f64::from(rows[r]))
            };
            let sum = |values: [&Rows; 3], factors: &[f64; 3]| -> Rows {
                let [a, b, c] = values;
                std::array::from_fn(|r| a[r] * factors[0] + b[r] * factors[1] + c[r] * factors[2])
            };
            let taps: [Rows; 9] = std::array::from_fn(kernel);
            for (q, across) in self.g.iter().enumerate() {
                let rows: [Rows; 3] =
                    std::array::from_fn(|i| sum([&taps[3 * i], &taps[3 * i + 1], &taps[3 * i + 2]], across));
                for (p, down) in self.g.iter().enumerate() {
                    let point = sum([&rows[0], &rows[1], &rows[2]], down);
                    (self.to)(p * N + q, k).iter_mut().zip(point).for_each(|(to, v)| *to = v as f32);
                }
            }
        }
    }
}
