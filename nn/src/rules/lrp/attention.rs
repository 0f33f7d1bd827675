//! LRP through attention: softmax, products of two values, layer normalisation.
//!
//! Achtibat, Hatefi, Dreyer, Jain, Wiegand, Lapuschkin, Samek, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation
//! for Transformers", 2024. Relevance that the inputs' linear parts do not get is counted as a bias's.

use super::stabilised_ratio;
use super::weightless::contributions;
use crate::error::{Error, Result};
use crate::graph::op::Op;
use crate::pass::rule::{Rule, Shares, Site};
use crate::tensor::{Real, tensor, to_f64, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// Softmax, expanded at its input: R_i = x_i (R_i - s_i sum of R) (proposition 3.1 there).
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxExpansion;

impl Rule for SoftmaxExpansion {
    fn name(&self) -> String {
        "softmax expansion".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let Op::Softmax { axis, log: false } = site.node.op else {
            return Err(Error::internal("the rule for softmax at another operation"));
        };
        let dims = site.flow.dims();
        let (n, inner) = (dims[axis + 1], dims[axis + 2..].iter().product::<usize>());
        with_real!(site.flow, T => {
            let (r, x, s) = (values::<T>(site.flow)?, values::<T>(site.inputs[0])?, values::<T>(site.output)?);
            let mut out = vec![T::of(0.0); r.len()];
            for outer in 0..r.len() / (n * inner).max(1) {
                for k in 0..inner {
                    let at = |i: usize| (outer * n + i) * inner + k;
                    let total = (0..n).fold(T::of(0.0), |sum, i| sum + r[at(i)]);
                    // What a mask hides (s = 0 at x of minus infinity) takes nothing: x e^x goes to 0.
                    let seen = (0..n).map(at).filter(|i| x[*i].f64().is_finite());
                    seen.for_each(|i| out[i] = x[i] * (r[i] - s[i] * total));
                }
            }
            Ok(smallvec![tensor::<T>(out, dims)?])
        })
    }

    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        rest_to_bias(site, self.backward(site)?)
    }
}

/// Products of two values. Where both depend on the input, each gets half of the relevance, in proportion to its contributions
/// (proposition 3.3); where one is constant, the other gets all.
#[derive(Clone, Copy, Debug)]
pub struct Bilinear(pub f64);

impl Rule for Bilinear {
    fn name(&self) -> String {
        format!("bilinear({})", self.0)
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let graph = site.model.graph();
        let depends = graph.descendants(graph.input());
        let share = match [0, 1].map(|k| depends[site.node.inputs[k].0]) {
            [true, false] => [1.0, 0.0],
            [false, true] => [0.0, 1.0],
            _ => [0.5, 0.5],
        };
        let parts = contributions(site, self.0)?;
        parts.iter().zip(share).map(|(part, w)| Ok((part * w)?)).collect()
    }
}

/// Layer normalisation as a linear map, with its deviation held constant: x J^T (R / y). The shift absorbs its share.
#[derive(Clone, Copy, Debug)]
pub struct KnownDeviation(pub f64);

impl Rule for KnownDeviation {
    fn name(&self) -> String {
        format!("known deviation({})", self.0)
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let Op::LayerNorm { axis, scale, eps, .. } = site.node.op else {
            return Err(Error::internal("the rule for layer normalisation at another operation"));
        };
        let scale = to_f64(site.model.weights().tensor(scale))?;
        let n: usize = site.node.shape[axis..].iter().product();
        with_real!(site.flow, T => {
            let (r, x, y) = (values::<T>(site.flow)?, values::<T>(site.inputs[0])?, values::<T>(site.output)?);
            let mut out = Vec::with_capacity(r.len());
            for ((r, x), y) in r.chunks(n).zip(x.chunks(n)).zip(y.chunks(n)) {
                let count = T::of(n as f64);
                let mean = x.iter().fold(T::of(0.0), |sum, v| sum + *v) / count;
                let var = x.iter().fold(T::of(0.0), |sum, v| sum + (*v - mean) * (*v - mean)) / count;
                let deviation = (var + T::of(eps)).sqrt();
                // What arrives at each centred value; the mean hands back to all alike.
                let g: Vec<T> = r.iter().zip(y).zip(&scale)
                    .map(|((r, y), w)| stabilised_ratio(*r, *y, self.0) * T::of(*w) / deviation)
                    .collect();
                let shared = g.iter().fold(T::of(0.0), |sum, v| sum + *v) / count;
                out.extend(x.iter().zip(&g).map(|(x, g)| *x * (*g - shared)));
            }
            Ok(smallvec![tensor::<T>(out, site.flow.dims())?])
        })
    }

    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        rest_to_bias(site, self.backward(site)?)
    }
}

/// Counts what the inputs do not get as the bias's share.
fn rest_to_bias(site: &Site<'_>, inputs: SmallVec<[Tensor; 2]>) -> Result<Shares> {
    let total = |t: &Tensor| -> Result<f64> { Ok(to_f64(t)?.iter().sum()) };
    let mut bias = total(site.flow)?;
    for part in &inputs {
        bias -= total(part)?;
    }
    Ok(Shares { inputs, bias })
}
