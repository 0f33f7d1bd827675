//! Softmax and log-softmax along one axis, and their gradient.

use super::disjoint::vec_filled_by;
use super::norm::in_eight;
use crate::simd::arch;
use crate::tensor::{Real, VALUES_PER_TASK};
use crate::transcendental::{BLOCK, exp_f64, exp_f64_block};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Softmax along an axis of `len` values `inner` apart, or its logarithm.
pub fn softmax<T: Real>(len: usize, inner: usize, log: bool, x: &[T]) -> Vec<T> {
    along_axis(len, inner, x, x, |x, _, row, y| arch().dispatch(SoftmaxLine { x, log, row, y }))
}

/// [`softmax`] of one row of neighbours, on this thread; `scratch` has room for as many values.
pub(super) fn softmax_row(x: &[f32], scratch: &mut [f64], y: &mut [f32]) {
    arch().dispatch(SoftmaxLine { x, log: false, row: scratch, y });
}

/// The values along the axis at one place, and room for their exponentials.
struct SoftmaxLine<'a, T> {
    x: &'a [T],
    log: bool,
    row: &'a mut [f64],
    y: &'a mut [T],
}

impl<T: Real> WithSimd for SoftmaxLine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        softmax_line(self.x, self.log, self.row, self.y);
    }
}

#[inline(always)]
fn softmax_line<T: Real>(x: &[T], log: bool, row: &mut [f64], y: &mut [T]) {
    let top = largest(x);
    // In f32 by a polynomial; in f64, the truth of tests, by the library.
    if T::singles(y).is_some() {
        for (e, v) in row.iter_mut().zip(x) {
            *e = v.f64() - top;
        }
        let (blocks, rest) = row.as_chunks_mut::<BLOCK>();
        for block in blocks {
            exp_f64_block(block);
        }
        // A block pays from about half of it on.
        if 2 * rest.len() >= BLOCK {
            let mut block = [0.0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            exp_f64_block(&mut block);
            rest.copy_from_slice(&block[..rest.len()]);
        } else {
            for e in rest {
                *e = exp_f64(*e);
            }
        }
    } else {
        for (e, v) in row.iter_mut().zip(x) {
            *e = libm::exp(v.f64() - top);
        }
    }
    let sum = if T::singles(y).is_some() { in_eight(row, row, |e, _| e) } else { row.iter().sum() };
    if log {
        let ln_sum = libm::log(sum);
        for (y, v) in y.iter_mut().zip(x) {
            *y = T::of(v.f64() - top - ln_sum);
        }
        return;
    }
    for (y, e) in y.iter_mut().zip(row) {
        *y = T::of(*e / sum);
    }
}

/// The largest value; NaNs are ignored.
#[inline(always)]
fn largest<T: Real>(x: &[T]) -> f64 {
    let mut tops = [f64::NEG_INFINITY; 16];
    let (groups, rest) = x.as_chunks::<16>();
    for group in groups {
        for (top, v) in tops.iter_mut().zip(group) {
            *top = if v.f64() > *top { v.f64() } else { *top };
        }
    }
    for (top, v) in tops.iter_mut().zip(rest) {
        *top = if v.f64() > *top { v.f64() } else { *top };
    }
    tops.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

/// dL/dx of [`softmax`], whose result is `y`, given `dy`.
pub fn softmax_gradient<T: Real>(len: usize, inner: usize, log: bool, y: &[T], dy: &[T]) -> Vec<T> {
    along_axis(len, inner, y, dy, |y, dy, _, dx| arch().dispatch(SoftmaxGradientLine { y, dy, log, dx }))
}

/// The values and gradients along the axis at one place.
struct SoftmaxGradientLine<'a, T> {
    y: &'a [T],
    dy: &'a [T],
    log: bool,
    dx: &'a mut [T],
}

impl<T: Real> WithSimd for SoftmaxGradientLine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let all = self.dx.iter_mut().zip(self.y).zip(self.dy);
        if self.log {
            let sum = in_eight(self.dy, self.dy, |g, _| g.f64());
            for ((dx, y), dy) in all {
                *dx = T::of(dy.f64() - libm::exp(y.f64()) * sum);
            }
            return;
        }
        let sum = in_eight(self.dy, self.y, |g, y| g.f64() * y.f64());
        for ((dx, y), dy) in all {
            *dx = T::of(y.f64() * (dy.f64() - sum));
        }
    }
}

/// Calls `f(a, b, scratch, out)` for every line of `len` values along an axis; neighbours on the axis lie `inner` apart.
fn along_axis<T: Real>(
    len: usize,
    inner: usize,
    a: &[T],
    b: &[T],
    f: impl Fn(&[T], &[T], &mut [f64], &mut [T]) + Sync + Send,
) -> Vec<T> {
    // SAFETY: the lines cover all values and do not overlap.
    unsafe {
        vec_filled_by(a.len(), |out| {
            let lines = a.len() / len.max(1);
            let tasks = (0..lines).into_par_iter().with_min_len(VALUES_PER_TASK.div_ceil(16 * len.max(1)));
            tasks.for_each_init(
                || vec![0.0; len],
                |scratch, line| {
                    let first = line / inner * len * inner + line % inner;
                    if inner == 1 {
                        return f(&a[first..first + len], &b[first..first + len], scratch, out.slice(first, len));
                    }
                    let at = |x: &[T]| -> Vec<T> { x[first..].iter().step_by(inner).take(len).copied().collect() };
                    let (a, b, mut y) = (at(a), at(b), vec![T::zero(); len]);
                    f(&a, &b, scratch, &mut y);
                    y.iter().enumerate().for_each(|(k, y)| *out.at(first + k * inner) = *y);
                },
            );
        })
    }
}
