//! DeepLIFT's rescale rule. The signal is a multiplier: the change of the output against a baseline for each unit of change of the
//! input. All multipliers are complete: multipliers times input changes sum to the output's change, so that an attribution map sums
//! to S(x) - S(x').
//!
//! Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation Differences", 2017,
//! sections 3.2 and 3.5.1. The paper leaves products, quotients and normalisations open. Here they are decomposed into sums,
//! products and functions of one variable, and the change of a product is split evenly: d(ab) = da mean(b) + db mean(a).

mod norm;

use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary, Elementary, Reduction};
use crate::graph::{Node, Op};
use crate::kernels::{binary, elementwise};
use crate::pass::Trace;
use crate::pass::apply::aligned;
use crate::pass::rule::{Rule, Site};
use crate::pass::vjp::vjp;
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// The change of an input below which its multiplier is the gradient (of a max pool: zero).
const MIN_CHANGE: f64 = 1e-6;

/// The rescale rule, given a pass over the baseline with as many samples as the pass that is explained.
#[derive(Clone, Debug)]
pub struct Rescale {
    /// The pass over the baseline.
    pub baseline: Trace,
}

impl Rule for Rescale {
    fn name(&self) -> String {
        "deep_lift".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let inputs = site.node.inputs.iter().map(|i| self.baseline.get(*i)).collect::<Result<Vec<_>>>()?;
        let base = Site { inputs: &inputs, output: self.baseline.get(site.id)?, ..*site };
        if base.output.dims() != site.output.dims() {
            let (a, b) = (base.output.dims(), site.output.dims());
            return Err(Error::shape(format!(
                "a baseline of {a:?} at `{}`, where the input gives {b:?}",
                site.node.name
            )));
        }
        with_real!(site.flow, T => typed::<T>(site, &base))
    }
}

fn typed<T: Real>(site: &Site<'_>, base: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    match &site.node.op {
        Op::Activation(Activation::Elementary(Elementary::Detach)) => {
            let why =
                "a baseline has another range, by which its values are quantised, so that changes cannot be compared";
            Err(Error::unsupported(why)
                .hint("gradients and `lrp` take such a net, `deep_lift` a net that is quantised with known scales"))
        }
        Op::Activation(f) => rescaled::<T>(*f, site, base),
        Op::MaxPool(_) | Op::Reduce { reduction: Reduction::Max, .. } | Op::Binary(Binary::Max) => {
            extremum::<T>(site, base, elementwise::maximum)
        }
        Op::Binary(Binary::Min) => extremum::<T>(site, base, elementwise::minimum),
        Op::Binary(Binary::Mul) | Op::MatMul => product(site, base),
        // What is chosen and the choice share a change as two factors do.
        Op::Binary(Binary::Gate) => {
            let node = Node { op: Op::Binary(Binary::Mul), ..site.node.clone() };
            product(&Site { node: &node, ..*site }, base)
        }
        Op::Binary(f @ (Binary::Div | Binary::Prelu | Binary::Pow)) => quotient_or_prelu::<T>(*f, site, base),
        Op::Softmax { .. } | Op::LayerNorm { .. } | Op::GroupNorm { .. } | Op::LocalResponseNorm { .. } => {
            norm::multipliers::<T>(site, base)
        }
        Op::Conv2d(_)
        | Op::ConvTranspose2d(..)
        | Op::Linear { .. }
        | Op::BatchNorm { .. }
        | Op::Binary(Binary::Add | Binary::Sub)
        | Op::AvgPool(_)
        | Op::Reduce { reduction: Reduction::Sum | Reduction::Mean, .. }
        | Op::Concat { .. }
        | Op::Select { .. }
        | Op::Order { .. }
        | Op::Pick { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Identity
        | Op::Input
        | Op::Constant(_) => vjp(site),
    }
}

/// dy / dx for the changes of y and x, or `slope` where x hardly changes.
fn ratio<T: Real>(dx: T, dy: T, slope: impl FnOnce() -> T) -> T {
    if dx.f64().abs() < MIN_CHANGE { slope() } else { dy / dx }
}

/// The mean of two values.
fn mean<T: Real>(a: T, b: T) -> T {
    T::of(0.5) * (a + b)
}

/// An element-wise function: the multiplier is change over change.
fn rescaled<T: Real>(f: Activation, site: &Site<'_>, base: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    let (x, x0) = (values::<T>(site.inputs[0])?, values::<T>(base.inputs[0])?);
    let (y, y0) = (values::<T>(site.output)?, values::<T>(base.output)?);
    let g = values::<T>(site.flow)?;
    let m = (0..x.len()).map(|i| match g[i] == T::zero() {
        true => g[i],
        false if x[i] == x0[i] => g[i] * elementwise::derivative(f, x[i]),
        false => g[i] * ratio(x[i] - x0[i], y[i] - y0[i], || elementwise::derivative(f, x[i])),
    });
    Ok(smallvec![tensor(m.collect(), site.inputs[0].dims())?])
}

/// A maximum over a window or of two values. With t = max(y, y'), t - y' goes to the argmax at x, and y - t to the argmax at the
/// baseline; these are summed where windows overlap, then divided by that input's change. A minimum is the same with t = min(y, y').
fn extremum<T: Real>(site: &Site<'_>, base: &Site<'_>, t: impl Fn(T, T) -> T) -> Result<SmallVec<[Tensor; 2]>> {
    let (y, y0, g) = (values::<T>(site.output)?, values::<T>(base.output)?, values::<T>(site.flow)?);
    let (mut here, mut there) = (Vec::with_capacity(g.len()), Vec::with_capacity(g.len()));
    for i in 0..g.len() {
        let t = t(y[i], y0[i]);
        here.push(g[i] * (t - y0[i]));
        there.push(g[i] * (y[i] - t));
    }
    let dims = site.flow.dims();
    let here = vjp(&Site { flow: &tensor(here, dims)?, ..*site })?;
    let there = vjp(&Site { flow: &tensor(there, dims)?, ..*base })?;
    let shares = here.iter().zip(&there).zip(site.inputs.iter().zip(base.inputs));
    shares
        .map(|((a, b), (input, before))| {
            let (a, b, x, x0) = (values::<T>(a)?, values::<T>(b)?, values::<T>(input)?, values::<T>(before)?);
            let m = (0..x.len()).map(|i| ratio(x[i] - x0[i], a[i] + b[i], T::zero));
            tensor(m.collect(), input.dims())
        })
        .collect()
}

/// d(ab) = da mean(b) + db mean(a): the gradient at the midpoint.
fn product(site: &Site<'_>, base: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    let midpoint = |i: usize| Ok::<Tensor, Error>(((site.inputs[i] + base.inputs[i])? * 0.5)?);
    let (a, b) = (midpoint(0)?, midpoint(1)?);
    vjp(&Site { inputs: &[&a, &b], ..*site })
}

/// A quotient a / b is the product of a and 1 / b; a learned slope is max(a, 0) + b min(a, 0); a power shares its change.
fn quotient_or_prelu<T: Real>(f: Binary, site: &Site<'_>, base: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
    let rank = site.node.shape.len();
    let to = site.flow.dims();
    let (a, b) = aligned(site.inputs[0], site.inputs[1], rank)?;
    let (a0, b0) = aligned(base.inputs[0], base.inputs[1], rank)?;
    let spread = |t: &Tensor| Ok::<Tensor, Error>(t.broadcast_as(to)?.contiguous()?);
    let (wa, wb, wa0, wb0) = (spread(&a)?, spread(&b)?, spread(&a0)?, spread(&b0)?);
    let (va, vb, va0, vb0) = (values::<T>(&wa)?, values::<T>(&wb)?, values::<T>(&wa0)?, values::<T>(&wb0)?);
    let g = values::<T>(site.flow)?;
    let (zero, one) = (T::zero(), T::one());
    let slopes = |i: usize| {
        let (a, b, a0, b0) = (va[i], vb[i], va0[i], vb0[i]);
        if f == Binary::Div {
            return (mean(one / b, one / b0), zero - mean(a, a0) / (b * b0));
        }
        if f == Binary::Pow {
            // Each input's share is the mean over the two orders in which they can change.
            let pow = |a: T, b: T| a.powf(b);
            let by_a = mean(pow(a, b) - pow(a0, b), pow(a, b0) - pow(a0, b0));
            let by_b = mean(pow(a, b) - pow(a, b0), pow(a0, b) - pow(a0, b0));
            let slope_a = b * pow(a, b - one);
            let slope_b = pow(a, b) * a.ln();
            return (ratio(a - a0, by_a, || slope_a), ratio(b - b0, by_b, || slope_b));
        }
        let above = elementwise::maximum(a, zero) - elementwise::maximum(a0, zero);
        let (below, below0) = (elementwise::minimum(a, zero), elementwise::minimum(a0, zero));
        let by_a = ratio(a - a0, above + mean(b, b0) * (below - below0), || if a > zero { one } else { b });
        (by_a, mean(below, below0))
    };
    let (da, db): (Vec<T>, Vec<T>) = (0..g.len()).map(|i| (slopes(i), g[i])).map(|((a, b), g)| (g * a, g * b)).unzip();
    Ok(smallvec![
        tensor(binary::sum_to_shape(&da, a.dims(), to), site.inputs[0].dims())?,
        tensor(binary::sum_to_shape(&db, b.dims(), to), site.inputs[1].dims())?
    ])
}
