//! A softmax or log-softmax written as exponentials divided by their sum, as in older exporters and hand-written nets.

use super::Live;
use crate::error::Result;
use crate::graph::op::{Activation, Binary, Reduction};
use crate::graph::{Builder, NodeId, Op};

/// Replaces exp(z) / sum exp(z), or z - ln sum exp(z), that ends at `id` by one softmax; the maximum may be subtracted from z
/// first.
pub fn softmax(b: &mut Builder, id: NodeId, _: &Live) -> Result<()> {
    let found = match b.op(id) {
        Op::Binary(Binary::Div) => share(b, b.node(id).inputs[0], b.node(id).inputs[1]),
        Op::Binary(Binary::Mul) => of_two(b, id, |power, inverse| {
            let sum = operand(b, inverse, |op| matches!(op, Op::Activation(Activation::Reciprocal)))?;
            share(b, power, sum)
        }),
        Op::Binary(Binary::Sub) => {
            let (z, total) = (b.node(id).inputs[0], b.node(id).inputs[1]);
            log_sum_exp(b, z, total).map(|axis| (z, axis))
        }
        _ => None,
    };
    let Some((z, axis)) = found.filter(|(z, _)| b.shape(*z) == b.shape(id)) else { return Ok(()) };
    let log = matches!(b.op(id), Op::Binary(Binary::Sub));
    b.rewrite(id, Op::Softmax { axis, log }, &[z])
}

/// The scores and the axis, where `power` is the exponential of scores and `sum` its sum over that axis.
fn share(b: &Builder, power: NodeId, sum: NodeId) -> Option<(NodeId, usize)> {
    let (summed, axis) = reduced(b, sum, Reduction::Sum)?;
    let z = operand(b, power, |op| matches!(op, Op::Activation(Activation::Exp))).filter(|_| summed == power)?;
    Some((without_maximum(b, z, axis).unwrap_or(z), axis))
}

/// The axis over which `total` is ln sum exp(z).
fn log_sum_exp(b: &Builder, z: NodeId, total: NodeId) -> Option<usize> {
    let total = bare(b, total);
    let log = |id: NodeId| {
        let sum = operand(b, bare(b, id), |op| matches!(op, Op::Activation(Activation::Log)))?;
        let (power, axis) = reduced(b, sum, Reduction::Sum)?;
        Some((operand(b, power, |op| matches!(op, Op::Activation(Activation::Exp)))?, axis))
    };
    match b.op(total) {
        Op::Binary(Binary::Add) => of_two(b, total, |logarithm, most| {
            let (shifted, axis) = log(logarithm)?;
            let is_most = reduced(b, most, Reduction::Max) == Some((z, axis));
            (is_most && without_maximum(b, shifted, axis) == Some(z)).then_some(axis)
        }),
        _ => log(total).filter(|(under, _)| *under == z).map(|(_, axis)| axis),
    }
}

/// The minuend, where `z` is a value less its maximum over `axis`.
fn without_maximum(b: &Builder, z: NodeId, axis: usize) -> Option<NodeId> {
    let &[from, most] = b.node(z).inputs.as_slice() else { return None };
    let taken = matches!(b.op(z), Op::Binary(Binary::Sub));
    (taken && reduced(b, most, Reduction::Max) == Some((from, axis))).then_some(from)
}

/// The input and the axis of `id`, where it is this reduction over one axis and keeps the axis.
fn reduced(b: &Builder, id: NodeId, wanted: Reduction) -> Option<(NodeId, usize)> {
    let shape = b.shape(id);
    let id = bare(b, id);
    let from = b.node(id).inputs.first().copied()?;
    match b.op(id) {
        Op::Reduce { reduction, axes, .. } if *reduction == wanted && axes.len() == 1 => {
            let mut kept = b.shape(from).to_vec();
            kept[axes[0]] = 1;
            (kept == shape).then_some((from, axes[0]))
        }
        _ => None,
    }
}

/// The input of a node with one input, where its operation satisfies `is`.
fn operand(b: &Builder, id: NodeId, is: impl Fn(&Op) -> bool) -> Option<NodeId> {
    is(b.op(id)).then(|| b.node(id).inputs[0])
}

/// The result of `f` on the two inputs of a node in either order.
fn of_two<T>(b: &Builder, id: NodeId, f: impl Fn(NodeId, NodeId) -> Option<T>) -> Option<T> {
    let &[first, second] = b.node(id).inputs.as_slice() else { return None };
    f(first, second).or_else(|| f(second, first))
}

/// The value before reshapes.
fn bare(b: &Builder, mut id: NodeId) -> NodeId {
    while matches!(b.op(id), Op::Reshape(_) | Op::Identity) {
        id = b.node(id).inputs[0];
    }
    id
}
