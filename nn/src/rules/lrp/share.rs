//! How relevance passes operations that have no weights of their own.

use super::{STABILISER, share_of};
use crate::error::Result;
use crate::graph::op::{Activation, Binary, Op};
use crate::graph::{Graph, NodeId};
use crate::kernels::{binary, elementwise};
use crate::pass::apply::aligned;
use crate::pass::vjp::vjp;
use crate::rules::{Rule, Site};
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// Relevance passes unchanged, whatever the operation does: activations and normalisations of one input.
/// A second input (a learned slope) gets none.
#[derive(Clone, Copy, Debug)]
pub struct Pass;

impl Rule for Pass {
    fn name(&self) -> String {
        "pass".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let rest = site.inputs[1..].iter().map(|t| Ok(t.zeros_like()?));
        std::iter::once(Ok(site.flow.clone())).chain(rest).collect()
    }
}

/// Each input gets x R / (y + e sign(y)) through the operation's own weights: sums of branches share what arrives
/// in proportion to what each branch brought, so that nothing is doubled; averages likewise.
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

/// x J^T (R / (y + e sign(y))) for each input.
fn contributions(site: &Site<'_>, epsilon: f64) -> Result<SmallVec<[Tensor; 2]>> {
    let flow = with_real!(site.flow, T => {
        let (r, y) = (values::<T>(site.flow)?, values::<T>(site.output)?);
        tensor::<T>(elementwise::zip_map(&r, &y, |r, y| share_of(r, y, epsilon)), site.flow.dims())
    })?;
    let parts = vjp(&Site { flow: &flow, ..*site })?;
    parts.iter().zip(site.inputs).map(|(part, x)| Ok((part * *x)?)).collect()
}

/// Products, quotients and matrix products: all relevance goes to the signal, none to what gates it.
///
/// A constant gates what depends on the input; the smaller of two factors (one for each channel) gates the larger; else
/// a sigmoid or softmax gates the other, and two alike share by halves. The divisor gates. Within a matrix product
/// relevance is shared in proportion to contributions.
#[derive(Clone, Copy, Debug)]
pub struct Carrier;

impl Rule for Carrier {
    fn name(&self) -> String {
        "carrier".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let weights = carried(site);
        if site.node.op == Op::MatMul {
            let parts = contributions(site, STABILISER)?;
            return parts.iter().zip(weights).map(|(part, w)| Ok((part * w)?)).collect();
        }
        with_real!(site.flow, T => handed::<T>(site, weights))
    }
}

fn handed<T: Real>(site: &Site<'_>, weights: [f64; 2]) -> Result<SmallVec<[Tensor; 2]>> {
    let (a, b) = aligned(site.inputs[0], site.inputs[1], site.node.shape.len())?;
    let r = values::<T>(site.flow)?;
    let mut parts = smallvec![];
    for ((input, raised), weight) in site.inputs.iter().zip([a, b]).zip(weights) {
        let mut part = binary::sum_to_shape(&r, raised.dims(), site.flow.dims());
        part.iter_mut().for_each(|p| *p *= T::of(weight));
        parts.push(tensor(part, input.dims())?);
    }
    Ok(parts)
}

/// The share of each operand.
fn carried(site: &Site<'_>) -> [f64; 2] {
    let graph = site.model.graph();
    let reached = graph.descendants(graph.input());
    let [a, b] = [site.node.inputs[0], site.node.inputs[1]];
    let size = |id: NodeId| match site.node.op {
        Op::MatMul => 0,
        _ => graph.node(id).shape.iter().product::<usize>(),
    };
    match (reached[a.0], reached[b.0]) {
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
    match (is_gate(graph, &reached, a), is_gate(graph, &reached, b)) {
        (true, false) => [0.0, 1.0],
        (false, true) => [1.0, 0.0],
        _ => [0.5, 0.5],
    }
}

/// Whether a value is a sigmoid's or a softmax's, up to constants and shape.
fn is_gate(graph: &Graph, reached: &[bool], mut id: NodeId) -> bool {
    loop {
        let node = graph.node(id);
        id = match &node.op {
            Op::Softmax { log: false, .. } | Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. }) => {
                return true;
            }
            Op::Activation(Activation::Clip { low, .. }) => return *low >= 0.0,
            Op::Identity | Op::Reshape(_) | Op::Transpose(_) | Op::Resize { .. } => node.inputs[0],
            Op::Binary(Binary::Mul | Binary::Div) if !reached[node.inputs[1].0] => node.inputs[0],
            Op::Binary(Binary::Mul) if !reached[node.inputs[0].0] => node.inputs[1],
            _ => return false,
        }
    }
}
