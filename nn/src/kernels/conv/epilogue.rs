//! The epilogue of a kernel: what happens to a result between its sum and its store. It is combined with a residual tensor
//! (added to it, or masked by it), then clamped. Convolutions, max-pool gradients and slices of channels share it, so that
//! y = relu(conv(x) + residual) and dx = conv_gradient(dy) * relu'(x) take one pass over memory.

use crate::kernels::elementwise::{maximum, minimum};
use crate::simd::arch;
use pulp::{Simd, WithSimd};

/// An epilogue: residual operand, how it is combined, final clamp.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// The residual tensor, laid out as the result; empty with [`Combine::None`].
    pub residual: &'a [f32],
    /// How a result is combined with the residual.
    pub combine: Combine,
    /// The range that the combined value is clamped to.
    pub clamp: Clamp,
}

impl Epilogue<'_> {
    /// Stores results as they are.
    pub const NONE: Epilogue<'static> = Epilogue { residual: &[], combine: Combine::None, clamp: Clamp::None };
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

    /// As [`Combine::scalar`]; the residual is read only where it plays a part.
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
    fn vector<S: Simd>(self, simd: S, x: S::f32s, residual: S::f32s) -> S::f32s {
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
    pub(super) fn bounds(self) -> (f32, f32) {
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
        let Epilogue { residual, combine, clamp } = self.epilogue;
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
