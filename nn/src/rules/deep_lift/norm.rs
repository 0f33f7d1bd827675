//! DeepLIFT multipliers of normalisations, each decomposed into sums, products and functions of one variable:
//!
//! - layer and group normalisation: c = x - mean(x), v = mean(c^2), r = (v + eps)^-1/2, y = c r scale + shift;
//! - local response normalisation: d = bias + alpha / size sum of x^2, y = x d^-beta;
//! - softmax: z = x - ln sum exp(x), y = exp(z). Let r be the changes of y over those of z. Since y sums to 1 for input and baseline,
//!   the change of the logarithm of the sum is sum r dx / sum r.

use super::mean;
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::kernels::norm::{Blocks, Response};
use crate::kernels::softmax;
use crate::pass::apply::{response_of, with_blocks};
use crate::pass::rule::Site;
use crate::tensor::{Real, tensor, values};
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// The multipliers of the normalisation at `site` for its input.
pub(super) fn multipliers<T: Real>(site: &Site<'_>, base: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    let wide = |t: &Tensor| -> Result<Vec<f64>> { Ok(values::<T>(t)?.iter().map(|v| v.f64()).collect()) };
    let operands = Operands { x: &wide(site.inputs[0])?, x0: &wide(base.inputs[0])?, g: &wide(site.flow)? };
    let dims = site.inputs[0].dims();
    let m = match &site.node.op {
        op @ (Op::LayerNorm { .. } | Op::GroupNorm { .. }) => {
            with_blocks::<T, _>(op, dims, site.model.weights(), |b| operands.blocks(b))?
        }
        op @ Op::LocalResponseNorm { .. } => operands.response(&response_of(op)?, dims[1], dims[2..].iter().product()),
        Op::Softmax { axis, log } => operands.softmax(dims[axis + 1], dims[axis + 2..].iter().product(), *log),
        Op::Input
        | Op::Constant(_)
        | Op::Conv2d(_)
        | Op::ConvTranspose2d(..)
        | Op::Linear { .. }
        | Op::MatMul
        | Op::BatchNorm { .. }
        | Op::Activation(_)
        | Op::Binary(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce { .. }
        | Op::Concat { .. }
        | Op::Select { .. }
        | Op::Order { .. }
        | Op::Pick { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Identity => return Err(Error::internal("not a normalisation")),
    };
    Ok(smallvec![tensor(m.into_iter().map(T::of).collect::<Vec<T>>(), dims)?])
}

/// An input, its baseline, and the multipliers of the output.
struct Operands<'a> {
    x: &'a [f64],
    x0: &'a [f64],
    g: &'a [f64],
}

impl Operands<'_> {
    fn blocks<T: Real>(&self, b: &Blocks<'_, T>) -> Vec<f64> {
        let n = b.len as f64;
        let mut m = vec![0.0; self.x.len()];
        for (block, m) in m.chunks_mut(b.len).enumerate() {
            let from = block * b.len;
            let centred = |x: &[f64]| -> Vec<f64> {
                let centre = x[from..from + b.len].iter().sum::<f64>() / n;
                x[from..from + b.len].iter().map(|v| v - centre).collect()
            };
            let (c, c0) = (centred(self.x), centred(self.x0));
            let variance = |c: &[f64]| c.iter().map(|v| v * v).sum::<f64>() / n + b.eps;
            let (v, v0) = (variance(&c), variance(&c0));
            let (r, r0) = (1.0 / v.sqrt(), 1.0 / v0.sqrt());
            let by_variance = ratio(v - v0, r - r0, -0.5 * r / v);
            let g: Vec<f64> =
                (0..b.len).map(|j| self.g[from + j] * b.scale[b.first(block) + j / b.repeat].f64()).collect();
            let at_r: f64 = (0..b.len).map(|j| g[j] * mean(c[j], c0[j])).sum();
            let at_c: Vec<f64> =
                (0..b.len).map(|j| g[j] * mean(r, r0) + at_r * by_variance * (c[j] + c0[j]) / n).collect();
            let centre = at_c.iter().sum::<f64>() / n;
            m.iter_mut().zip(at_c).for_each(|(m, v)| *m = v - centre);
        }
        m
    }

    fn response(&self, r: &Response, channels: usize, plane: usize) -> Vec<f64> {
        let mut m = vec![0.0; self.x.len()];
        let len = channels * plane;
        for (sample, m) in m.chunks_mut(len).enumerate() {
            let part = |v: &'_ [f64]| v[sample * len..(sample + 1) * len].to_vec();
            let (x, x0, g) = (part(self.x), part(self.x0), part(self.g));
            let (d, d0) = (r.denominators(channels, plane, &x), r.denominators(channels, plane, &x0));
            for c in 0..channels {
                for p in 0..plane {
                    let i = c * plane + p;
                    let (f, f0) = (libm::pow(d[i], -r.beta), libm::pow(d0[i], -r.beta));
                    m[i] += g[i] * mean(f, f0);
                    let by_sum = ratio(d[i] - d0[i], f - f0, -r.beta * f / d[i]) * r.alpha / r.size as f64;
                    let at_sum = g[i] * mean(x[i], x0[i]) * by_sum;
                    r.reach(c, channels).map(|k| k * plane + p).for_each(|k| m[k] += at_sum * (x[k] + x0[k]));
                }
            }
        }
        m
    }

    fn softmax(&self, len: usize, inner: usize, log: bool) -> Vec<f64> {
        let mut m = vec![0.0; self.x.len()];
        let logarithm = |x: &[f64]| softmax::softmax(len, inner, true, x);
        let (z, z0) = (logarithm(self.x), logarithm(self.x0));
        for outer in 0..self.x.len() / (len * inner) {
            for i in 0..inner {
                let at = |k: usize| (outer * len + k) * inner + i;
                // What a mask hides is minus infinity at both.
                let change = |i: usize| if z[i] == z0[i] { 0.0 } else { z[i] - z0[i] };
                let by_z = |i: usize| ratio(change(i), libm::exp(z[i]) - libm::exp(z0[i]), libm::exp(z[i]));
                let r: Vec<f64> = (0..len).map(|k| by_z(at(k))).collect();
                let total: f64 = r.iter().sum();
                let own = |k: usize| if log { self.g[at(k)] } else { self.g[at(k)] * r[k] };
                let at_sum = (0..len).map(own).sum::<f64>() / total;
                (0..len).for_each(|k| m[at(k)] = own(k) - at_sum * r[k]);
            }
        }
        m
    }
}

/// dy / dx for the changes of y and x, or `slope` where x hardly changes.
fn ratio(dx: f64, dy: f64, slope: f64) -> f64 {
    if dx.abs() < 1e-9 { slope } else { dy / dx }
}
