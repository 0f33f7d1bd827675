//! What happens to the values of a product before they are written: they meet another tensor's, then are cut to a range.

use super::tile::arch;
use pulp::{Simd, WithSimd};

/// What happens to a value before it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finish {
    /// Nothing.
    Keep,
    /// max(0, x)
    Relu,
    /// min(max(x, low), high)
    Clip(f32, f32),
}

impl Finish {
    /// The finished value.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Finish::Keep => x,
            Finish::Relu => super::map::larger(x, 0.0),
            Finish::Clip(low, high) => super::map::smaller(super::map::larger(x, low), high),
        }
    }

    /// The range that a value is cut to.
    #[inline(always)]
    pub(super) fn bounds(self) -> (f32, f32) {
        match self {
            Finish::Keep => (f32::NEG_INFINITY, f32::INFINITY),
            Finish::Relu => (0.0, f32::INFINITY),
            Finish::Clip(low, high) => (low, high),
        }
    }

    /// As [`Finish::apply`], for a vector.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let (low, high) = self.bounds();
        clip(simd, x, simd.splat_f32s(low), simd.splat_f32s(high))
    }
}

/// min(max(x, low), high) by comparisons, which keep a NaN: the machine's own minimum and maximum may not.
#[inline(always)]
pub(super) fn clip<S: Simd>(simd: S, x: S::f32s, low: S::f32s, high: S::f32s) -> S::f32s {
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    simd.select_f32s(simd.greater_than_f32s(x, high), high, x)
}

/// How a value meets another tensor's before it is finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Join {
    /// Not at all.
    Alone,
    /// The other is added.
    Add,
    /// The value passes where the other lies between 0 and this bound, both excluded: a rectifier's gradient.
    Gate(f32),
}

impl Join {
    /// The joined value.
    #[inline(always)]
    pub fn meet(self, x: f32, other: f32) -> f32 {
        match self {
            Join::Alone => x,
            Join::Add => x + other,
            Join::Gate(high) => {
                if other > 0.0 && other < high {
                    x
                } else {
                    0.0
                }
            }
        }
    }

    /// As [`Join::meet`], the other read only where it plays a part.
    ///
    /// # Safety
    /// Unless alone, `other` must be readable.
    #[inline(always)]
    pub unsafe fn apply(self, x: f32, other: *const f32) -> f32 {
        match self {
            Join::Alone => x,
            // SAFETY: the caller's.
            _ => self.meet(x, unsafe { *other }),
        }
    }

    /// As [`Join::meet`], for a vector.
    #[inline(always)]
    fn meet_vector<S: Simd>(self, simd: S, x: S::f32s, other: S::f32s) -> S::f32s {
        match self {
            Join::Alone => x,
            Join::Add => simd.add_f32s(x, other),
            Join::Gate(high) => {
                let zero = simd.splat_f32s(0.0);
                let x = simd.select_f32s(simd.greater_than_f32s(other, zero), x, zero);
                simd.select_f32s(simd.less_than_f32s(other, simd.splat_f32s(high)), x, zero)
            }
        }
    }

    /// As [`Join::apply`], for a vector.
    ///
    /// # Safety
    /// Unless alone, a vector must be readable at `other`.
    #[inline(always)]
    pub(super) unsafe fn vector<S: Simd>(self, simd: S, x: S::f32s, other: *const f32) -> S::f32s {
        match self {
            Join::Alone => x,
            // SAFETY: the caller's.
            _ => self.meet_vector(simd, x, unsafe { (other as *const S::f32s).read_unaligned() }),
        }
    }
}

/// A line of values, joined and finished.
pub struct Line<'a> {
    /// The values.
    pub from: &'a [f32],
    /// What [`Join`] reads, as long as the values unless alone.
    pub other: &'a [f32],
    /// How a value meets the other's.
    pub join: Join,
    /// What happens to it then.
    pub finish: Finish,
    /// As long as the values.
    pub to: &'a mut [f32],
}

impl Line<'_> {
    /// Writes the line.
    pub fn write(self) {
        assert!(self.to.len() == self.from.len() && (self.join == Join::Alone || self.other.len() >= self.from.len()));
        arch().dispatch(self);
    }
}

impl WithSimd for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (from, last) = S::as_simd_f32s(self.from);
        let (to, rest) = S::as_mut_simd_f32s(self.to);
        let other = self.other.as_ptr();
        for (i, (t, v)) in to.iter_mut().zip(from).enumerate() {
            // SAFETY: the other is as long, where it is read.
            let value = unsafe { self.join.vector(simd, *v, other.wrapping_add(i * S::F32_LANES)) };
            *t = self.finish.vector(simd, value);
        }
        if last.is_empty() {
            return;
        }
        let value = simd.partial_load_f32s(last);
        let value = match self.join {
            Join::Alone => value,
            _ => {
                let done = self.from.len() - last.len();
                self.join.meet_vector(simd, value, simd.partial_load_f32s(&self.other[done..self.from.len()]))
            }
        };
        simd.partial_store_f32s(rest, self.finish.vector(simd, value));
    }
}
