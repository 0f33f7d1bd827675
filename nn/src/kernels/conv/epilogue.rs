//! The epilogue of a kernel: what happens to a result between its sum and its store. It is combined with a residual tensor
//! (added to it, or masked by it), then clamped, or a function of it is taken while it is in the cache. Convolutions, max-pool
//! gradients and slices of channels share it, so that y = relu(conv(x) + residual) and dx = conv_gradient(dy) * relu'(x) take one
//! pass over memory.

use crate::graph::op::Activation;
use crate::kernels::disjoint::DisjointSlice;
use crate::kernels::elementwise::{self, maximum, minimum};
use crate::simd::arch;
use pulp::{Simd, WithSimd};

/// An epilogue: residual operand, how it is combined, final clamp or function.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// The residual tensor, laid out as the result; empty with [`Combine::None`].
    pub residual: &'a [f32],
    /// How a result is combined with the residual.
    pub combine: Combine,
    /// The range that the combined value is clamped to.
    pub clamp: Clamp,
    /// A function of the clamped value. A kernel applies it to results that it has just stored (`activate`); `EpilogueRow` does not.
    pub activation: Option<Activation>,
}

impl Epilogue<'_> {
    /// Stores results as they are.
    pub const NONE: Epilogue<'static> =
        Epilogue { residual: &[], combine: Combine::None, clamp: Clamp::None, activation: None };

    /// As [`Epilogue::activate`], for the first `count` values of each of `rows` rows, which begin `pitch` apart from `first` on.
    ///
    /// # Safety
    /// The rows must lie inside `stored`, and no other task may touch them.
    pub(super) unsafe fn activate_rows(
        &self,
        stored: DisjointSlice<f32>,
        first: usize,
        pitch: usize,
        rows: usize,
        count: usize,
    ) {
        if let Some(f) = self.activation {
            // SAFETY: the caller's.
            unsafe { elementwise::apply_rows(f, stored, first, pitch, rows, count) }
        }
    }

    /// Applies the function, if any, to results that have just been stored.
    pub(super) fn activate(&self, stored: &mut [f32]) {
        if let Some(f) = self.activation {
            elementwise::apply(f, stored);
        }
    }
}

/// How the epilogue combines a result with the residual tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combine {
    /// There is no residual.
    None,
    /// result + residual
    Add,
    /// The result where 0 < residual < this bound, else 0: the gradient of ReLU (bound infinity) or of ReLU6 (bound 6), with the
    /// rectifier's output as the residual.
    Mask(f32),
}

impl Combine {
    /// The combined value.
    #[inline(always)]
    pub fn scalar(self, x: f32, residual: f32) -> f32 {
        match self {
            Combine::None => x,
            Combine::Add => x + residual,
            Combine::Mask(high) => {
                if residual > 0.0 && residual < high {
                    x
                } else {
                    0.0
                }
            }
        }
    }

    /// As [`Combine::scalar`]; the residual is not read with [`Combine::None`].
    ///
    /// # Safety
    /// `residual` must be readable unless this is [`Combine::None`].
    #[inline(always)]
    pub(super) unsafe fn scalar_at(self, x: f32, residual: *const f32) -> f32 {
        match self {
            Combine::None => x,
            // SAFETY: the caller's.
            _ => self.scalar(x, unsafe { *residual }),
        }
    }

    /// As [`Combine::scalar`], for a vector.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(self, simd: S, x: S::f32s, residual: S::f32s) -> S::f32s {
        match self {
            Combine::None => x,
            Combine::Add => simd.add_f32s(x, residual),
            Combine::Mask(high) => {
                let zero = simd.splat_f32s(0.0);
                let x = simd.select_f32s(simd.greater_than_f32s(residual, zero), x, zero);
                simd.select_f32s(simd.less_than_f32s(residual, simd.splat_f32s(high)), x, zero)
            }
        }
    }

    /// As [`Combine::scalar_at`], for a vector.
    ///
    /// # Safety
    /// A vector must be readable at `residual` unless this is [`Combine::None`].
    #[inline(always)]
    pub(super) unsafe fn vector_at<S: Simd>(self, simd: S, x: S::f32s, residual: *const f32) -> S::f32s {
        match self {
            Combine::None => x,
            // SAFETY: the caller's.
            _ => self.vector(simd, x, unsafe { (residual as *const S::f32s).read_unaligned() }),
        }
    }
}

/// The range that the epilogue clamps a value to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clamp {
    /// No clamp.
    None,
    /// max(0, x)
    Relu,
    /// min(max(x, low), high)
    Range(f32, f32),
}

impl Clamp {
    /// The clamped value.
    #[inline(always)]
    pub fn scalar(self, x: f32) -> f32 {
        match self {
            Clamp::None => x,
            Clamp::Relu => maximum(x, 0.0),
            Clamp::Range(low, high) => minimum(maximum(x, low), high),
        }
    }

    /// Lower and upper bound.
    #[inline(always)]
    pub(in crate::kernels) fn bounds(self) -> (f32, f32) {
        match self {
            Clamp::None => (f32::NEG_INFINITY, f32::INFINITY),
            Clamp::Relu => (0.0, f32::INFINITY),
            Clamp::Range(low, high) => (low, high),
        }
    }

    /// As [`Clamp::scalar`], for a vector.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let (low, high) = self.bounds();
        clamp_vector(simd, x, simd.splat_f32s(low), simd.splat_f32s(high))
    }
}

/// min(max(x, low), high) by comparisons, which keep a NaN; the machine's own minimum and maximum may not.
#[inline(always)]
pub(super) fn clamp_vector<S: Simd>(simd: S, x: S::f32s, low: S::f32s, high: S::f32s) -> S::f32s {
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    simd.select_f32s(simd.greater_than_f32s(x, high), high, x)
}

/// A row of results, to be written through an epilogue.
pub(in crate::kernels) struct EpilogueRow<'a> {
    /// The results.
    pub from: &'a [f32],
    /// What is applied to them; its residual is as long as the results.
    pub epilogue: Epilogue<'a>,
    /// Where they go, as long as the results.
    pub to: &'a mut [f32],
}

impl EpilogueRow<'_> {
    /// Writes the row.
    pub fn write(self) {
        let Epilogue { residual, combine, .. } = self.epilogue;
        assert!(self.to.len() == self.from.len() && (combine == Combine::None || residual.len() >= self.from.len()));
        arch().dispatch(self);
    }
}

impl WithSimd for EpilogueRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Epilogue { residual, combine, clamp, .. } = self.epilogue;
        let (from, last) = S::as_simd_f32s(self.from);
        let (to, rest) = S::as_mut_simd_f32s(self.to);
        for (i, (t, v)) in to.iter_mut().zip(from).enumerate() {
            // SAFETY: the residual is as long as the results, where it is read.
            let value = unsafe { combine.vector_at(simd, *v, residual.as_ptr().wrapping_add(i * S::F32_LANES)) };
            *t = clamp.vector(simd, value);
        }
        if last.is_empty() {
            return;
        }
        let value = simd.partial_load_f32s(last);
        let value = match combine {
            Combine::None => value,
            _ => {
                let done = self.from.len() - last.len();
                combine.vector(simd, value, simd.partial_load_f32s(&residual[done..self.from.len()]))
            }
        };
        simd.partial_store_f32s(rest, clamp.vector(simd, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::{Padding, Window};
    use crate::kernels::conv::{Geometry, PrepackedConv, WinogradTile};
    use crate::random::Stream;

    #[test]
    fn a_function_in_the_epilogue_is_the_function_of_the_result() {
        let mut rng = Stream::new(0, "epilogue");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        // Read unpacked and packed, few channels, tiles of Winograd, depthwise, several samples in a vector, one pixel.
        for (batch, channels, out, input, kernel, stride, groups) in [
            (1, 24, 40, [14, 14], 1, 1, 1),
            (1, 24, 100, [7, 7], 1, 1, 1),
            (2, 3, 16, [21, 30], 3, 2, 1),
            (1, 64, 64, [28, 28], 3, 1, 1),
            (3, 20, 36, [5, 5], 3, 2, 1),
            (2, 12, 12, [17, 19], 5, 2, 12),
            (3, 40, 9, [1, 1], 1, 1, 1),
            (1, 300, 70, [1, 1], 1, 1, 1),
        ] {
            let padding = Padding::same(kernel / 2);
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], padding };
            let Some(output) = window.output(input, false) else { continue };
            let g = Geometry { batch, channels, input, out, output, groups, window };
            let x = random(batch * channels * input[0] * input[1]);
            let (w, bias) = (random(out * channels / groups * kernel * kernel), random(out));
            let residual = random(batch * out * output[0] * output[1]);
            let conv = PrepackedConv::forward(&g, &w, Some(&bias), WinogradTile::F2);
            for f in [Activation::Silu, Activation::Gelu { tanh: false }, Activation::HardSwish] {
                for plain in [
                    Epilogue::NONE,
                    Epilogue { residual: &residual, combine: Combine::Add, ..Epilogue::NONE },
                    Epilogue { clamp: Clamp::Relu, ..Epilogue::NONE },
                ] {
                    let want = elementwise::forward(f, &conv.run(batch, &x, &plain));
                    let made = conv.run(batch, &x, &Epilogue { activation: Some(f), ..plain });
                    assert_eq!(made, want, "{g:?} {f:?} {:?}", plain.combine);
                }
            }
            // The input gradient, which is a transposed convolution forward, stores phases of the stride.
            let back = PrepackedConv::input_gradient(&g, &w, None, WinogradTile::F2);
            let want = elementwise::forward(Activation::Silu, &back.run(batch, &residual, &Epilogue::NONE));
            let epilogue = Epilogue { activation: Some(Activation::Silu), ..Epilogue::NONE };
            assert_eq!(back.run(batch, &residual, &epilogue), want, "{g:?}");
        }
    }
}
