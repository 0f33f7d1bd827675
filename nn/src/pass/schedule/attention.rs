//! Finds attention in a graph, softmax(steps(Q K)) V, whose nodes a forward pass computes as one kernel, and runs it.

use super::consumer::only_consumer;
use crate::error::{Error, Result};
use crate::graph::op::Binary;
use crate::graph::{Graph, NodeId, Op};
use crate::kernels::attention::{Attention, ScoreStep};
use crate::pass::apply::{aligned, with_batch};
use crate::tensor::{tensor, values};
use candle_core::Tensor;

/// The most steps between the scores' product and softmax.
const MAX_STEPS: usize = 8;

/// The nodes of attention; the last of them, the product with V, has the value.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedAttention {
    /// The product of queries and keys.
    product: NodeId,
    /// Element-wise steps after it, in order, with what they combine the scores with.
    steps: Vec<(NodeId, Step)>,
    softmax: NodeId,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// The axes before the last two are grouped in another way.
    Regroup,
    /// f(score, operand), or f(operand, score) where the operand `is_first`.
    Combine { f: Binary, operand: NodeId, is_first: bool },
}

impl FusedAttention {
    /// The attention whose product with V is the node at `id`.
    pub fn ending_at(graph: &Graph, varies: &[bool], id: NodeId, goals: &[NodeId]) -> Option<Self> {
        let (Op::MatMul, [softmax, _]) = (&graph.node(id).op, &graph.node(id).inputs[..]) else { return None };
        let (node, rank) = (graph.node(*softmax), graph.node(id).shape.len());
        let is_last = matches!(node.op, Op::Softmax { axis, log: false } if axis + 1 == node.shape.len());
        let is_alone = only_consumer(graph, *softmax, goals) == Some(id);
        let has_same_front = node.shape.len() == rank && node.shape[..rank - 2] == graph.node(id).shape[..rank - 2];
        if !is_last || !is_alone || !has_same_front {
            return None;
        }
        let mut found = FusedAttention { product: node.inputs[0], steps: Vec::new(), softmax: *softmax };
        let mut consumer = *softmax;
        loop {
            let at = found.product;
            let node = graph.node(at);
            if only_consumer(graph, at, goals) != Some(consumer) || !varies[at.0] || node.shape.len() < 2 {
                return None;
            }
            if node.op == Op::MatMul {
                return Some(found);
            }
            let step = if let Op::Binary(f @ (Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Gate)) =
                node.op
            {
                let is_first = !leads_to_product(graph, node.inputs[0], &node.shape, MAX_STEPS);
                let (scores, operand) = (node.inputs[usize::from(is_first)], node.inputs[usize::from(!is_first)]);
                (scores, Step::Combine { f, operand, is_first })
            } else if matches!(node.op, Op::Reshape(_)) {
                (node.inputs[0], Step::Regroup)
            } else {
                return None;
            };
            let from = &graph.node(step.0).shape;
            let keeps_rows = from.len() >= 2 && from[from.len() - 2..] == node.shape[node.shape.len() - 2..];
            let is_whole = matches!(step.1, Step::Regroup) || *from == node.shape;
            if !keeps_rows || !is_whole || found.steps.len() == MAX_STEPS {
                return None;
            }
            found.steps.insert(0, (at, step.1));
            (found.product, consumer) = (step.0, at);
        }
    }

    /// The nodes before the last, which have no values of their own.
    pub fn inner(&self) -> impl Iterator<Item = NodeId> {
        let steps = self.steps.iter().map(|(node, _)| *node);
        std::iter::once(self.product).chain(steps).chain(std::iter::once(self.softmax))
    }

    /// The value of the product with V at `id`; `value_of` gives that of a node outside.
    ///
    /// # Errors
    /// Where a value is missing.
    pub fn run<'a>(
        &self,
        graph: &Graph,
        id: NodeId,
        value_of: impl Fn(NodeId) -> Result<&'a Tensor>,
    ) -> Result<Tensor> {
        let [q, k] = graph.node(self.product).inputs[..] else {
            return Err(Error::internal("a product of one matrix"));
        };
        let rank = graph.node(self.product).shape.len();
        let (q, k) = aligned(value_of(q)?, value_of(k)?, rank)?;
        let v = value_of(graph.node(id).inputs[1])?;
        let (v, _) = aligned(v, v, graph.node(id).shape.len())?;
        let batch = q.dims()[0].max(k.dims()[0]);
        let shape_of = |node: NodeId| with_batch(batch, &graph.node(node).shape);
        let mut operands = Vec::new();
        for (node, step) in &self.steps {
            if let Step::Combine { f, operand, is_first } = step {
                let operand = value_of(*operand)?;
                let (operand, _) = aligned(operand, operand, graph.node(*node).shape.len())?;
                operands.push((*f, operand, shape_of(*node), *is_first));
            }
        }
        let held = operands.iter().map(|(_, operand, ..)| values::<f32>(operand)).collect::<Result<Vec<_>>>()?;
        let steps = held
            .iter()
            .zip(&operands)
            .map(|(held, (f, operand, to, is_first))| ScoreStep::new(*f, (held, operand.dims()), to, *is_first));
        let (scores, weights, to) = (shape_of(self.product), shape_of(self.softmax), shape_of(id));
        let (q_held, k_held, v_held) = (values::<f32>(&q)?, values::<f32>(&k)?, values::<f32>(&v)?);
        let attention = Attention {
            q: (&q_held, q.dims()),
            k: (&k_held, k.dims()),
            v: (&v_held, v.dims()),
            scores: &scores,
            weights: &weights,
            to: &to,
            steps: steps.collect(),
        };
        tensor(attention.run(), &to)
    }
}

/// Whether a node of `shape` is made of a matrix product by at most so many steps.
fn leads_to_product(graph: &Graph, id: NodeId, shape: &[usize], steps: usize) -> bool {
    let node = graph.node(id);
    if node.shape[..] != *shape || steps == 0 {
        return false;
    }
    if let Op::Reshape(_) = node.op {
        let before = node.inputs[0];
        return leads_to_product(graph, before, &graph.node(before).shape, steps - 1);
    }
    let is_step = matches!(node.op, Op::Binary(_));
    node.op == Op::MatMul || is_step && node.inputs.iter().any(|i| leads_to_product(graph, *i, shape, steps - 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::graph::op::Binary;
    use crate::graph::{Builder, NodeId, Op};
    use crate::model::{Card, Model};
    use crate::pass::Tap;
    use crate::pass::schedule::fuse::FusionPlan;
    use crate::random::Stream;
    use crate::tensor::{tensor, to_f32};

    fn random(n: usize, name: &str) -> Vec<f32> {
        let mut rng = Stream::new(0, name);
        (0..n).map(|_| rng.next_normal() as f32).collect()
    }

    /// Attention over windows, as Swin's: a scale, a learned bias, and a mask that is added to grouped windows.
    fn net() -> Model {
        let mut b = Builder::new();
        let x = b.input("x", vec![6, 2, 10, 8]).unwrap();
        let constant = |b: &mut Builder, name: &str, dims: &[usize]| {
            let values = random(dims.iter().product(), name);
            let param = b.param(name, tensor(values, dims).unwrap()).unwrap();
            b.add(name, Op::Constant(param), &[]).unwrap()
        };
        let keys = b.add("keys", Op::Transpose(vec![0, 1, 3, 2]), &[x]).unwrap();
        let mut at = b.add("product", Op::MatMul, &[x, keys]).unwrap();
        let combine =
            |b: &mut Builder, name: &str, f: Binary, inputs: [NodeId; 2]| b.add(name, Op::Binary(f), &inputs).unwrap();
        let scale = constant(&mut b, "scale", &[1]);
        at = combine(&mut b, "scaled", Binary::Mul, [at, scale]);
        let bias = constant(&mut b, "bias", &[2, 10, 10]);
        at = combine(&mut b, "biased", Binary::Add, [bias, at]);
        at = b.add("grouped", Op::Reshape(vec![2, 3, 2, 10, 10]), &[at]).unwrap();
        let mask = constant(&mut b, "mask", &[3, 1, 10, 10]);
        at = combine(&mut b, "masked", Binary::Add, [at, mask]);
        at = b.add("ungrouped", Op::Reshape(vec![6, 2, 10, 10]), &[at]).unwrap();
        at = b.add("weights", Op::Softmax { axis: 3, log: false }, &[at]).unwrap();
        at = b.add("mix", Op::MatMul, &[at, x]).unwrap();
        let (graph, weights) = b.finish(at).unwrap();
        Model::new(graph, weights, Card::named("attention"))
    }

    #[test]
    fn attention_is_found_and_has_the_bits_of_its_operations() {
        let net = net();
        let (graph, output) = (net.graph(), net.graph().output());
        let plan = FusionPlan::new(graph, &[output], true);
        assert!(plan.attention_at(output).is_some_and(|found| found.inner().count() == 7));
        let weights = graph.find("weights").unwrap();
        // Weights that are asked for have values, as in a pass that a signal goes back through.
        assert!(FusionPlan::new(graph, &[weights, output], true).attention_at(output).is_none());
        assert!(FusionPlan::new(graph, &[output], false).attention_at(output).is_none());
        for batch in [1, 3] {
            let x = tensor(random(batch * 960, "x"), &[batch, 6, 2, 10, 8]).unwrap();
            let all = net.forward(&x, &Tap::All).unwrap();
            let want = to_f32(all.get(output).unwrap()).unwrap();
            assert_eq!(to_f32(&net.output(&x).unwrap()).unwrap(), want, "{batch}");
        }
    }
}
