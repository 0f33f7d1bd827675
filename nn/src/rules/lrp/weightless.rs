//! LRP at operations without weights: activations and normalisations, sums and averages, products and gates.

use super::{STABILISER, stabilised_ratio};
use crate::error::Result;
use crate::graph::op::{Activation, Binary, Op};
use crate::graph::{Graph, NodeId};
use crate::kernels::{binary, elementwise};
use crate::pass::apply::aligned;
use crate::pass::rule::{Rule, Site};
use crate::pass::vjp::vjp;
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// Relevance passes unchanged to the first input: for activations and normalisations. A second input (a learned slope) gets none.
#[derive(Clone, Copy, Debug)]
pub struct PassThrough;

impl Rule for PassThrough {
    fn name(&self) -> String {
        "pass".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let rest = site.inputs[1..].iter().map(|t| Ok(t.zeros_like()?));
        std::iter::once(Ok(site.flow.clone())).chain(rest).collect()
    }
}

/// Each input gets relevance in proportion to its contribution to y: x J^T (R / (y + e sign(y))). For sums of branches, averages and
/// the like.
#[derive(Clone, Copy, Debug)]
pub struct Proportional(pub f64);

impl Rule for Proportional {
    fn name(&self) -> String {
        format!("proportional({})", self.0)
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        contributions(site, self.0)
    }
}

/// x J^T (R / (y + e sign(y))) for each input. Infinite inputs (masks) that no relevance reaches get none.
pub(super) fn contributions(site: &Site<'_>, epsilon: f64) -> Result<SmallVec<[Tensor; 2]>> {
    let flow = with_real!(site.flow, T => {
        let (r, y) = (values::<T>(site.flow)?, values::<T>(site.output)?);
        tensor::<T>(elementwise::zip_map(&r, &y, |r, y| stabilised_ratio(r, y, epsilon)), site.flow.dims())
    })?;
    let parts = vjp(&Site { flow: &flow, ..*site })?;
    let times = |(part, x): (&Tensor, &&Tensor)| -> Result<Tensor> {
        with_real!(part, T => {
            let (p, x) = (values::<T>(part)?, values::<T>(x)?);
            let share = |p: T, x: T| if p == T::of(0.0) && !x.f64().is_finite() { p } else { p * x };
            tensor::<T>(elementwise::zip_map(&p, &x, share), part.dims())
        })
    };
    parts.iter().zip(site.inputs).map(times).collect()
}

/// Signal-takes-all, for products, quotients and matrix products: all relevance goes to the operand that is the signal, none to the
/// gate.
///
/// Which operand is the gate: a constant, if the other depends on the net's input; a divisor; else the factor with fewer values (one
/// for each channel, say); else a sigmoid or softmax. Where neither or both qualify, each gets half. Within a matrix product
/// relevance is distributed in proportion to contributions.
#[derive(Clone, Copy, Debug)]
pub struct SignalTakesAll;

impl Rule for SignalTakesAll {
    fn name(&self) -> String {
        "carrier".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let shares = operand_shares(site);
        if site.node.op == Op::MatMul {
            let parts = contributions(site, STABILISER)?;
            return parts.iter().zip(shares).map(|(part, w)| Ok((part * w)?)).collect();
        }
        with_real!(site.flow, T => distribute::<T>(site, shares))
    }
}

/// Each operand's share of the relevance, summed over the axes along which the operand broadcasts.
fn distribute<T: Real>(site: &Site<'_>, shares: [f64; 2]) -> Result<SmallVec<[Tensor; 2]>> {
    let (a, b) = aligned(site.inputs[0], site.inputs[1], site.node.shape.len())?;
    let r = values::<T>(site.flow)?;
    let mut parts = smallvec![];
    for ((input, aligned), share) in site.inputs.iter().zip([a, b]).zip(shares) {
        let mut part = binary::sum_to_shape(&r, aligned.dims(), site.flow.dims());
        part.iter_mut().for_each(|p| *p *= T::of(share));
        parts.push(tensor(part, input.dims())?);
    }
    Ok(parts)
}

/// The share of each operand.
fn operand_shares(site: &Site<'_>) -> [f64; 2] {
    let graph = site.model.graph();
    let depends_on_input = graph.descendants(graph.input());
    let [a, b] = [site.node.inputs[0], site.node.inputs[1]];
    let size = |id: NodeId| {
        if site.node.op == Op::MatMul { 0 } else { graph.node(id).shape.iter().product::<usize>() }
    };
    match (depends_on_input[a.0], depends_on_input[b.0]) {
        (true, false) => return [1.0, 0.0],
        (false, true) => return [0.0, 1.0],
        _ => {}
    }
    if site.node.op == Op::Binary(Binary::Div) || size(a) > size(b) {
        return [1.0, 0.0];
    }
    if size(a) < size(b) {
        return [0.0, 1.0];
    }
    match (is_gate(graph, &depends_on_input, a), is_gate(graph, &depends_on_input, b)) {
        (true, false) => [0.0, 1.0],
        (false, true) => [1.0, 0.0],
        _ => [0.5, 0.5],
    }
}

/// Whether a value is that of a sigmoid or softmax, up to constant factors and shape.
fn is_gate(graph: &Graph, depends_on_input: &[bool], mut id: NodeId) -> bool {
    loop {
        let node = graph.node(id);
        id = match &node.op {
            Op::Softmax { log: false, .. }
            | Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. } | Activation::Step(_)) => {
                return true;
            }
            Op::Activation(Activation::Clip { low, .. }) => return *low >= 0.0,
            Op::Identity | Op::Reshape(_) | Op::Transpose(_) | Op::Resize { .. } => node.inputs[0],
            Op::Binary(Binary::Mul | Binary::Div) if !depends_on_input[node.inputs[1].0] => node.inputs[0],
            Op::Binary(Binary::Mul | Binary::Sub | Binary::Gate) if !depends_on_input[node.inputs[0].0] => {
                node.inputs[1]
            }
            Op::Input
            | Op::Constant(_)
            | Op::Conv2d(_)
            | Op::ConvTranspose2d(..)
            | Op::Linear { .. }
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Binary(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::Concat { .. }
            | Op::Select { .. }
            | Op::Order { .. }
            | Op::Pick { .. }
            | Op::Pad { .. } => return false,
        }
    }
}
