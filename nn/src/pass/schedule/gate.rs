//! Finds gates of squeeze-and-excitation: the pointwise convolution after the gate computes the product of maps and gate itself.

use super::consumer::only_consumer;
use crate::graph::op::{Binary, Window};
use crate::graph::{Graph, NodeId, Op};

/// A product of maps and a gate, one factor a channel, as in squeeze-and-excitation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// The node of the product, which has no value of its own.
    pub product: NodeId,
    /// C x H x W.
    pub maps: NodeId,
    /// C x 1 x 1.
    pub factors: NodeId,
}

/// The product with a gate that the pointwise convolution at `conv` alone reads.
pub(super) fn before(graph: &Graph, varies: &[bool], conv: NodeId, goals: &[NodeId]) -> Option<Gate> {
    let (Op::Conv2d(c), [product]) = (&graph.node(conv).op, &graph.node(conv).inputs[..]) else { return None };
    let node = graph.node(*product);
    let is_pointwise = c.window == Window::square(1, 1, 0) && c.groups == 1;
    let ([channels, height, width], [a, b]) = (&node.shape[..], &node.inputs[..]) else { return None };
    if !is_pointwise || node.op != Op::Binary(Binary::Mul) || height * width < 2 {
        return None;
    }
    let is_gate = |id: &NodeId| graph.node(*id).shape[..] == [*channels, 1, 1];
    let (maps, factors) = if is_gate(b) { (*a, *b) } else { (*b, *a) };
    let fits = is_gate(&factors) && graph.node(maps).shape == node.shape && varies[maps.0] && varies[factors.0];
    (fits && only_consumer(graph, *product, goals) == Some(conv)).then_some(Gate { product: *product, maps, factors })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Gate;
    use crate::graph::op::{Activation, Binary, Conv, Reduction, Window};
    use crate::graph::{Builder, NodeId, Op, ParamId};
    use crate::model::{Card, Model};
    use crate::pass::Tap;
    use crate::pass::schedule::fuse::FusionPlan;
    use crate::random::Stream;
    use crate::tensor::{tensor, to_f32};

    fn random(n: usize, name: &str) -> Vec<f32> {
        let mut rng = Stream::new(0, name);
        (0..n).map(|_| 0.3 * rng.next_normal() as f32).collect()
    }

    /// A block with squeeze-and-excitation and a residual sum, whose gate is the second or the first factor.
    fn gated(gate_first: bool) -> Model {
        let mut b = Builder::new();
        let x = b.input("x", vec![12, 9, 9]).unwrap();
        let pointwise = |b: &mut Builder, name: &str, from: NodeId, channels: usize, out: usize| {
            let values = random(out * channels, name);
            let weight: ParamId = b.param(name, tensor(values, &[out, channels, 1, 1]).unwrap()).unwrap();
            let conv = Conv { weight, bias: None, window: Window::square(1, 1, 0), groups: 1 };
            b.add(name, Op::Conv2d(conv), &[from]).unwrap()
        };
        let wide = pointwise(&mut b, "wide", x, 12, 40);
        let maps = b.add("maps", Op::Activation(Activation::Silu), &[wide]).unwrap();
        let mean = Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true };
        let mean = b.add("mean", mean, &[maps]).unwrap();
        let gate = pointwise(&mut b, "gate", mean, 40, 40);
        let gate = b.add("factors", Op::Activation(Activation::Sigmoid), &[gate]).unwrap();
        let factors = if gate_first { [gate, maps] } else { [maps, gate] };
        let product = b.add("product", Op::Binary(Binary::Mul), &factors).unwrap();
        let narrow = pointwise(&mut b, "narrow", product, 40, 12);
        let sum = b.add("sum", Op::Binary(Binary::Add), &[narrow, x]).unwrap();
        let (graph, weights) = b.finish(sum).unwrap();
        Model::new(graph, weights, Card::named("gated"))
    }

    #[test]
    fn gates_are_fused_to_the_same_bits() {
        for gate_first in [false, true] {
            let net = gated(gate_first);
            let id = |name: &str| net.graph().find(name).unwrap();
            let plan = FusionPlan::new(net.graph(), &[net.graph().output()], true);
            let gate = Gate { product: id("product"), maps: id("maps"), factors: id("factors") };
            assert_eq!(plan.fused_at(id("narrow")).and_then(|f| f.gate), Some(gate));
            assert!(plan.is_absorbed(gate.product) && plan.value_node(gate.maps) == gate.maps);
            // A product that is asked for has a value of its own, as in a pass that a signal goes back through.
            for plan in [
                FusionPlan::new(net.graph(), &[gate.product, net.graph().output()], true),
                FusionPlan::new(net.graph(), &[net.graph().output()], false),
            ] {
                assert!(plan.fused_at(id("narrow")).is_none_or(|f| f.gate.is_none()));
            }
            for batch in [1, 3] {
                let x = tensor(random(batch * 12 * 81, "x"), &[batch, 12, 9, 9]).unwrap();
                let all = net.forward(&x, &Tap::All).unwrap();
                let want = to_f32(all.get(net.graph().output()).unwrap()).unwrap();
                assert_eq!(to_f32(&net.output(&x).unwrap()).unwrap(), want, "{gate_first} {batch}");
            }
        }
    }
}
