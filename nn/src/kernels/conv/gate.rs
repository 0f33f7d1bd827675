//! Columns of a pointwise convolution whose input is multiplied by a gate, one factor a sample and channel, as in
//! squeeze-and-excitation (Hu et al. 2018): the products are computed while the columns are packed, so they are never stored.

use super::im2col_masked::SampleSpan;
use pulp::{Simd, WithSimd};

/// Packs the columns of one block of positions: row k holds channel k of the input times its gate, `pitch` values a row.
pub(super) struct PackGated<'a> {
    /// The input, N x C x positions, and how many positions a channel has.
    pub x: &'a [f32],
    pub pixels: usize,
    /// N x C.
    pub gate: &'a [f32],
    /// C.
    pub depth: usize,
    /// Which positions lie in which columns; `from` is where those of the first channel would begin in column 0.
    pub spans: &'a [SampleSpan],
    pub rows: &'a mut [f32],
    pub pitch: usize,
}

impl WithSimd for PackGated<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let PackGated { x, pixels, gate, depth, spans, rows, pitch } = self;
        let lanes = S::F32_LANES;
        for span in spans {
            let first = (span.from + span.lane as isize) as usize;
            let gate = &gate[first / (depth * pixels) * depth..][..depth];
            for (k, (row, factor)) in rows.chunks_exact_mut(pitch).zip(gate).enumerate() {
                let from = &x[first + k * pixels..][..span.len];
                let to = &mut row[span.lane..span.lane + span.len];
                let factor = simd.splat_f32s(*factor);
                for (from, to) in from.chunks(lanes).zip(to.chunks_mut(lanes)) {
                    if from.len() == lanes {
                        let product = simd.mul_f32s(S::as_simd_f32s(from).0[0], factor);
                        S::as_mut_simd_f32s(to).0[0] = product;
                    } else {
                        simd.partial_store_f32s(to, simd.mul_f32s(simd.partial_load_f32s(from), factor));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::op::{Padding, Window};
    use crate::kernels::conv::{Clamp, Combine, Epilogue, Geometry, PrepackedConv, WinogradTile};
    use crate::random::Stream;

    #[test]
    fn a_gated_convolution_is_the_convolution_of_the_product() {
        let mut rng = Stream::new(0, "gate");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        // Full and narrow blocks, blocks of several samples, few channels, kernels that have ways of their own.
        for (batch, channels, out, input, kernel, groups) in [
            (1, 24, 40, [14, 14], 1, 1),
            (2, 130, 100, [7, 7], 1, 1),
            (3, 33, 16, [3, 5], 1, 1),
            (1, 96, 24, [20, 20], 1, 1),
            (1, 3, 9, [1, 1], 1, 1),
            (2, 24, 24, [9, 9], 3, 1),
            (2, 12, 12, [9, 9], 3, 12),
            (1, 12, 18, [9, 9], 1, 3),
            (1, 2, 18, [9, 9], 3, 1),
        ] {
            let padding = Padding::same(kernel / 2);
            let window = Window { kernel: [kernel; 2], stride: [1; 2], dilation: [1; 2], padding };
            let g = Geometry { batch, channels, input, out, output: input, groups, window };
            let pixels = input[0] * input[1];
            let (x, gate) = (random(batch * channels * pixels), random(batch * channels));
            let (w, bias) = (random(out * channels / groups * kernel * kernel), random(out));
            let residual = random(batch * out * pixels);
            let product: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * gate[i / pixels]).collect();
            let conv = PrepackedConv::forward(&g, &w, Some(&bias), WinogradTile::F2);
            let epilogue =
                Epilogue { residual: &residual, combine: Combine::Add, clamp: Clamp::Relu, activation: None };
            assert_eq!(conv.run_gated(batch, &x, &gate, &epilogue), conv.run(batch, &product, &epilogue), "{g:?}");
        }
    }
}
