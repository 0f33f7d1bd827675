//! Which nodes a forward pass computes in one go: a convolution with the batch normalisation, the sum, the rectifier and the
//! max pool behind it, where nobody else reads what lies between.

use super::apply::{conv_geometry, with_batch};
use crate::graph::op::{Activation, Binary};
use crate::graph::{Graph, NodeId, Op};
use crate::kernels::conv::Clamp;
use crate::kernels::conv::fusion_pays;

/// A convolution and what is computed with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    /// The batch normalisation that is folded into the weights.
    pub norm: Option<NodeId>,
    /// The node whose value is added.
    pub other: Option<NodeId>,
    /// What the rectifier does.
    pub clamp: Clamp,
    /// The max pool over what comes out of that.
    pub pool: Option<NodeId>,
    /// The node whose value comes out.
    pub last: NodeId,
}

/// For every node how its value comes about.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For a convolution what is computed with it.
    heads: Vec<Option<Fused>>,
    /// For a node whose value is never made apart, the node whose value is.
    inside: Vec<Option<NodeId>>,
    /// For a convolution whose value is written where it is joined with others, where that is.
    joins: Vec<Option<Join>>,
}

/// Where a value stands in a concatenation of channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Join {
    /// The concatenation.
    pub into: NodeId,
    /// Its first channel there.
    pub channel: usize,
}

impl Plan {
    /// Every node by itself.
    pub fn apart(graph: &Graph) -> Self {
        let n = graph.nodes().len();
        Plan { heads: vec![None; n], inside: vec![None; n], joins: vec![None; n] }
    }

    /// Nodes computed together, but for those in `goals`, whose values are asked for; with `pools` a max pool too, of which no
    /// signal back can ask where its values came from.
    pub fn fused(graph: &Graph, goals: &[NodeId], pools: bool) -> Self {
        let mut plan = Plan::apart(graph);
        let varies = graph.descendants(graph.input());
        for id in graph.ids() {
            if !matches!(graph.node(id).op, Op::Conv2d(_) | Op::ConvTranspose2d(..)) {
                continue;
            }
            let mut fused = Fused::alone(id);
            let mut passed = Vec::new();
            while let Some(next) = alone(graph, fused.last, goals) {
                let Some(more) = fused.with(graph, &varies, id, next).filter(|f| pools || f.pool.is_none()) else {
                    break;
                };
                passed.push(fused.last);
                fused = more;
            }
            if fused.last != id {
                passed.iter().for_each(|p| plan.inside[p.0] = Some(fused.last));
                plan.inside[fused.last.0] = Some(fused.last);
                plan.heads[id.0] = Some(fused);
            }
        }
        plan.join(graph, goals, &varies);
        plan
    }

    /// Lets convolutions write their values where a concatenation of channels holds nothing but such.
    fn join(&mut self, graph: &Graph, goals: &[NodeId], varies: &[bool]) {
        let maker = |plan: &Plan, value: NodeId| {
            let is_conv = |id: NodeId| matches!(graph.node(id).op, Op::Conv2d(_) | Op::ConvTranspose2d(..));
            let makes = |id: &NodeId| match plan.head(*id) {
                Some(fused) => fused.last == value && fused.other.is_none() && fused.pool.is_none(),
                None => *id == value,
            };
            graph.ids().find(|id| is_conv(*id) && varies[id.0] && makes(id))
        };
        for id in graph.ids().filter(|id| matches!(graph.node(*id).op, Op::Concat { axis: 0 })) {
            let inputs = &graph.node(id).inputs;
            let free = |i: &NodeId| alone(graph, *i, goals) == Some(id);
            let makers: Option<Vec<NodeId>> = inputs.iter().map(|i| maker(self, *i).filter(|_| free(i))).collect();
            let mut channel = 0;
            for (maker, input) in makers.into_iter().flatten().zip(inputs) {
                self.joins[maker.0] = Some(Join { into: id, channel });
                channel += graph.node(*input).shape[0];
            }
        }
    }

    /// Where the value of the convolution at `id` is written, where it is not by itself.
    pub fn join_of(&self, id: NodeId) -> Option<Join> {
        self.joins[id.0]
    }

    /// What is computed with the convolution at `id`.
    pub fn head(&self, id: NodeId) -> Option<&Fused> {
        self.heads[id.0].as_ref()
    }

    /// The node whose value stands for that of `id`; itself where it is made apart.
    pub fn stands_for(&self, id: NodeId) -> NodeId {
        self.inside[id.0].unwrap_or(id)
    }

    /// Whether `id` is computed with a convolution before it.
    pub fn is_inside(&self, id: NodeId) -> bool {
        self.inside[id.0].is_some() && self.heads[id.0].is_none()
    }

    /// Whether `id` is a normalisation that was folded into a convolution.
    pub fn is_folded(&self, id: NodeId) -> bool {
        self.heads.iter().flatten().any(|f| f.norm == Some(id))
    }
}

impl Fused {
    /// The convolution at `id` by itself.
    pub fn alone(id: NodeId) -> Self {
        Fused { norm: None, other: None, clamp: Clamp::None, pool: None, last: id }
    }

    /// This and `next`, the only reader of its value; nothing where they cannot be computed together.
    fn with(&self, graph: &Graph, varies: &[bool], conv: NodeId, next: NodeId) -> Option<Self> {
        let node = graph.node(next);
        let fresh = self.clamp == Clamp::None && self.pool.is_none();
        match &node.op {
            Op::BatchNorm { .. } if self.last == conv => Some(Fused { norm: Some(next), last: next, ..*self }),
            Op::Binary(Binary::Add) if fresh && self.other.is_none() => {
                let other = *node.inputs.iter().find(|i| **i != self.last)?;
                let same = graph.node(other).shape == node.shape && graph.node(conv).shape == node.shape;
                let known = other < conv && varies[other.0];
                (same && known).then_some(Fused { other: Some(other), last: next, ..*self })
            }
            Op::Activation(f) if fresh => Some(Fused { clamp: clamp_of(*f)?, last: next, ..*self }),
            Op::MaxPool(_) if self.pool.is_none() && self.other.is_none() => {
                let (Op::Conv2d(c), from) = (&graph.node(conv).op, graph.node(conv).inputs[0]) else { return None };
                let g = conv_geometry(c, &with_batch(1, &graph.node(from).shape), &graph.node(conv).shape);
                fusion_pays(&g).then_some(Fused { pool: Some(next), last: next, ..*self })
            }
            _ => None,
        }
    }
}

/// The rectifiers that kernels apply to a value before they write it.
pub fn clamp_of(f: Activation) -> Option<Clamp> {
    match f {
        Activation::Relu => Some(Clamp::Relu),
        Activation::Clip { low, high } if low < high => Some(Clamp::Range(low as f32, high as f32)),
        _ => None,
    }
}

/// The node that alone reads `id`, where nobody asks for the value of `id`.
fn alone(graph: &Graph, id: NodeId, goals: &[NodeId]) -> Option<NodeId> {
    match graph.consumers(id) {
        [one] if !goals.contains(&id) && id != graph.output() => Some(*one),
        _ => None,
    }
}
