//! Normalisations and their gradients: batch (with fixed statistics), layer, group, and local response; and softmax.
//! Means and variances are summed in f64.

use crate::tensor::Real;
use rayon::prelude::*;

/// y = x * factor + offset, with a factor and an offset for each of `channels` planes.
pub fn affine<T: Real>(channels: usize, plane: usize, x: &[T], factor: &[T], offset: Option<&[T]>) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(plane).zip(x.par_chunks(plane)).enumerate().for_each(|(i, (y, x))| {
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
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(b.len).zip(x.par_chunks(b.len)).enumerate().for_each(|(i, (y, x))| {
        let (mean, inverse) = moments(x, b.eps);
        let first = b.first(i);
        for (j, (y, x)) in y.iter_mut().zip(x).enumerate() {
            let p = first + j / b.repeat;
            let unit = T::of((x.f64() - mean) * inverse);
            *y = unit * b.scale[p] + b.shift.map_or(T::zero(), |s| s[p]);
        }
    });
    y
}

/// dL/dx of [`normalise`], given `dy`: the block's mean and variance are functions of x.
pub fn normalise_gradient<T: Real>(b: &Blocks<T>, x: &[T], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::zero(); x.len()];
    dx.par_chunks_mut(b.len).zip(x.par_chunks(b.len)).zip(dy.par_chunks(b.len)).enumerate().for_each(
        |(i, ((dx, x), dy))| {
            let (mean, inverse) = moments(x, b.eps);
            let first = b.first(i);
            let flow = |j: usize| dy[j].f64() * b.scale[first + j / b.repeat].f64();
            let unit = |j: usize| (x[j].f64() - mean) * inverse;
            let n = b.len as f64;
            let mean_flow = (0..b.len).map(flow).sum::<f64>() / n;
            let mean_product = (0..b.len).map(|j| flow(j) * unit(j)).sum::<f64>() / n;
            for (j, dx) in dx.iter_mut().enumerate() {
                *dx = T::of(inverse * (flow(j) - mean_flow - unit(j) * mean_product));
            }
        },
    );
    dx
}

/// A block's mean, and 1 / sqrt(var + eps).
fn moments<T: Real>(x: &[T], eps: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().map(|v| v.f64()).sum::<f64>() / n;
    let var = x.iter().map(|v| (v.f64() - mean).powi(2)).sum::<f64>() / n;
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

/// Softmax along an axis of `len` values `inner` apart, or its logarithm.
pub fn softmax<T: Real>(len: usize, inner: usize, log: bool, x: &[T]) -> Vec<T> {
    samples(len * inner, x, x, |x, _, y| {
        for i in 0..inner {
            let at = |k: usize| x[k * inner + i].f64();
            let top = (0..len).map(at).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..len).map(|k| libm::exp(at(k) - top)).sum();
            for k in 0..len {
                let v = at(k) - top;
                y[k * inner + i] = T::of(if log { v - libm::log(sum) } else { libm::exp(v) / sum });
            }
        }
    })
}

/// dL/dx of [`softmax`], whose result is `y`, given `dy`.
pub fn softmax_gradient<T: Real>(len: usize, inner: usize, log: bool, y: &[T], dy: &[T]) -> Vec<T> {
    samples(len * inner, y, dy, |y, dy, dx| {
        for i in 0..inner {
            let at = |v: &[T], k: usize| v[k * inner + i].f64();
            let sum: f64 = (0..len).map(|k| if log { at(dy, k) } else { at(dy, k) * at(y, k) }).sum();
            for k in 0..len {
                let v = if log { at(dy, k) - libm::exp(at(y, k)) * sum } else { at(y, k) * (at(dy, k) - sum) };
                dx[k * inner + i] = T::of(v);
            }
        }
    })
}
