//! Normalisations and their gradients: batch (with fixed statistics), layer, group, and local response.
//! Means and variances are summed in f64.

use super::disjoint::vec_filled_by;
use crate::simd::arch;
use crate::tensor::{Real, VALUES_PER_TASK};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// y = x * factor + offset, with a factor and an offset for each of `channels` planes.
pub fn affine<T: Real>(channels: usize, plane: usize, x: &[T], factor: &[T], offset: Option<&[T]>) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    let planes = y.par_chunks_mut(plane).zip(x.par_chunks(plane)).with_min_len(VALUES_PER_TASK.div_ceil(plane));
    planes.enumerate().for_each(|(i, (y, x))| {
        let c = i % channels;
        let (f, o) = (factor[c], offset.map_or(T::zero(), |o| o[c]));
        y.iter_mut().zip(x).for_each(|(y, x)| *y = *x * f + o);
    });
    y
}

/// A normalisation over blocks of `len` values, and its scale and shift. `repeat` neighbouring values share a parameter;
/// block `i` begins at parameter `(i % periods) * len / repeat`.
#[derive(Clone, Copy)]
pub struct Blocks<'a, T> {
    /// Values normalised together.
    pub len: usize,
    /// Neighbouring values that share a parameter.
    pub repeat: usize,
    /// Blocks after which the parameters repeat.
    pub periods: usize,
    /// Factors.
    pub scale: &'a [T],
    /// Added after scaling.
    pub shift: Option<&'a [T]>,
    /// Added to the variance.
    pub eps: f64,
}

impl<T: Real> Blocks<'_, T> {
    /// The first parameter of a block.
    pub(crate) fn first(&self, block: usize) -> usize {
        block % self.periods * (self.len / self.repeat)
    }
}

/// (x - mean) / sqrt(var + eps) * scale + shift over each block.
pub fn normalise<T: Real>(b: &Blocks<T>, x: &[T]) -> Vec<T> {
    // SAFETY: the blocks cover all values and do not overlap.
    unsafe {
        vec_filled_by(x.len(), |y| {
            for_each_block(b.len, x.len(), |i, from| {
                let (x, y) = (&x[from..from + b.len], y.slice(from, b.len));
                arch().dispatch(NormaliseBlock { b, first: b.first(i), x, y });
            });
        })
    }
}

/// One block and the first of its parameters.
struct NormaliseBlock<'a, T> {
    b: &'a Blocks<'a, T>,
    first: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> WithSimd for NormaliseBlock<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        normalise_block(self.b, self.first, self.x, self.y);
    }
}

#[inline(always)]
fn normalise_block<T: Real>(b: &Blocks<T>, first: usize, x: &[T], y: &mut [T]) {
    let (mean, inverse) = moments(x, b.eps);
    let unit = |x: T| T::of((x.f64() - mean) * inverse);
    let params = b.len / b.repeat;
    let scale = &b.scale[first..first + params];
    let shift = b.shift.map(|s| &s[first..first + params]);
    match (b.repeat, shift) {
        (1, Some(shift)) => {
            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                *y = unit(*x) * *scale + *shift;
            }
        }
        (1, None) => {
            for ((y, x), scale) in y.iter_mut().zip(x).zip(scale) {
                *y = unit(*x) * *scale + T::zero();
            }
        }
        (repeat, shift) => {
            for (p, (y, x)) in y.chunks_mut(repeat).zip(x.chunks(repeat)).enumerate() {
                let (scale, shift) = (scale[p], shift.map_or(T::zero(), |s| s[p]));
                for (y, x) in y.iter_mut().zip(x) {
                    *y = unit(*x) * scale + shift;
                }
            }
        }
    }
}

/// dL/dx of [`normalise`], given `dy`: the block's mean and variance are functions of x.
pub fn normalise_gradient<T: Real>(b: &Blocks<T>, x: &[T], dy: &[T]) -> Vec<T> {
    // SAFETY: the blocks cover all values and do not overlap.
    unsafe {
        vec_filled_by(x.len(), |dx| {
            for_each_block(b.len, x.len(), |i, from| {
                let (x, dy, dx) = (&x[from..from + b.len], &dy[from..from + b.len], dx.slice(from, b.len));
                FLOW.with_borrow_mut(|flow| {
                    flow.resize(b.len, 0.0);
                    arch().dispatch(GradientOfBlock { b, first: b.first(i), x, dy, dx, flow });
                });
            });
        })
    }
}

/// One block, the first of its parameters, and room for the gradient before its scale.
struct GradientOfBlock<'a, T> {
    b: &'a Blocks<'a, T>,
    first: usize,
    x: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
    flow: &'a mut [f64],
}

impl<T: Real> WithSimd for GradientOfBlock<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        gradient_of_block(self.b, self.first, self.x, self.dy, self.dx, self.flow);
    }
}

thread_local! {
    /// The gradient of a block before its scale.
    static FLOW: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

#[inline(always)]
fn gradient_of_block<T: Real>(b: &Blocks<T>, first: usize, x: &[T], dy: &[T], dx: &mut [T], flow: &mut [f64]) {
    let (mean, inverse) = moments(x, b.eps);
    let scale = &b.scale[first..first + b.len / b.repeat];
    if b.repeat == 1 {
        for ((f, dy), scale) in flow.iter_mut().zip(dy).zip(scale) {
            *f = dy.f64() * scale.f64();
        }
    } else {
        for ((flow, dy), scale) in flow.chunks_mut(b.repeat).zip(dy.chunks(b.repeat)).zip(scale) {
            for (f, dy) in flow.iter_mut().zip(dy) {
                *f = dy.f64() * scale.f64();
            }
        }
    }
    let unit = |x: T| (x.f64() - mean) * inverse;
    let n = b.len as f64;
    let mean_flow = in_eight(flow, x, |f, _| f) / n;
    let mean_product = in_eight(flow, x, |f, x| f * unit(x)) / n;
    for ((dx, x), flow) in dx.iter_mut().zip(x).zip(flow.iter()) {
        *dx = T::of(inverse * (flow - mean_flow - unit(*x) * mean_product));
    }
}

/// Calls `task(block, first value)` for blocks of `len` values, small ones several a task.
fn for_each_block(len: usize, n: usize, task: impl Fn(usize, usize) + Sync + Send) {
    let len = len.max(1);
    (0..n / len).into_par_iter().with_min_len(VALUES_PER_TASK.div_ceil(len)).for_each(|i| task(i, i * len));
}

/// The sum of f over pairs: eight partial sums, of every eighth pair each, which are then added one after another.
#[inline(always)]
pub(super) fn in_eight<A: Copy, B: Copy>(a: &[A], b: &[B], f: impl Fn(A, B) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += f(a[i], b[i]);
        }
    }
    for (s, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *s += f(*a, *b);
    }
    sums.iter().sum()
}

/// A block's mean, and 1 / sqrt(var + eps).
#[inline(always)]
fn moments<T: Real>(x: &[T], eps: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = in_eight(x, x, |v, _| v.f64()) / n;
    let var = in_eight(x, x, |v, _| (v.f64() - mean) * (v.f64() - mean)) / n;
    (mean, 1.0 / (var + eps).sqrt())
}

/// The constants of a local response normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// Channels in the sum.
    pub size: usize,
    /// Factor of the sum, divided by `size`.
    pub alpha: f64,
    /// Exponent.
    pub beta: f64,
    /// Added to the sum.
    pub bias: f64,
}

impl Response {
    /// The channels whose squares are summed at channel c: (size - 1) / 2 before it, the rest after.
    pub(crate) fn reach(&self, c: usize, channels: usize) -> std::ops::Range<usize> {
        let before = (self.size - 1) / 2;
        c.saturating_sub(before)..(c + self.size - before).min(channels)
    }

    /// bias + alpha / size * sum of squares, for each value of one sample.
    pub(crate) fn denominators<T: Real>(&self, channels: usize, plane: usize, x: &[T]) -> Vec<f64> {
        let mut d = vec![0.0; x.len()];
        for c in 0..channels {
            for p in 0..plane {
                let sum: f64 = self.reach(c, channels).map(|k| x[k * plane + p].f64().powi(2)).sum();
                d[c * plane + p] = self.bias + self.alpha / self.size as f64 * sum;
            }
        }
        d
    }
}

/// x / d^beta, d as of `Response::denominators`.
pub fn response<T: Real>(r: &Response, channels: usize, plane: usize, x: &[T]) -> Vec<T> {
    samples(channels * plane, x, x, |x, _, y| {
        let d = r.denominators(channels, plane, x);
        (0..x.len()).for_each(|i| y[i] = T::of(x[i].f64() * libm::pow(d[i], -r.beta)));
    })
}

/// dL/dx of [`response`], given `dy`.
pub fn response_gradient<T: Real>(r: &Response, channels: usize, plane: usize, x: &[T], dy: &[T]) -> Vec<T> {
    samples(channels * plane, x, dy, |x, dy, dx| {
        let d = r.denominators(channels, plane, x);
        let inner: Vec<f64> = (0..x.len()).map(|i| dy[i].f64() * x[i].f64() * libm::pow(d[i], -r.beta - 1.0)).collect();
        let factor = 2.0 * r.alpha * r.beta / r.size as f64;
        // The channels whose sum contains channel c.
        let before = (r.size - 1) / 2;
        for c in 0..channels {
            let users = (c + before + 1).saturating_sub(r.size)..(c + before + 1).min(channels);
            for p in 0..plane {
                let i = c * plane + p;
                let spread: f64 =
                    users.clone().filter(|k| r.reach(*k, channels).contains(&c)).map(|k| inner[k * plane + p]).sum();
                dx[i] = T::of(dy[i].f64() * libm::pow(d[i], -r.beta) - factor * x[i].f64() * spread);
            }
        }
    })
}

/// Calls `f(x, g, out)` for every sample of `len` values.
fn samples<T: Real>(len: usize, x: &[T], g: &[T], f: impl Fn(&[T], &[T], &mut [T]) + Sync) -> Vec<T> {
    let mut out = vec![T::zero(); x.len()];
    out.par_chunks_mut(len).zip(x.par_chunks(len)).zip(g.par_chunks(len)).for_each(|((out, x), g)| f(x, g, out));
    out
}
