//! Which nodes a forward pass computes as one kernel: a convolution and, where nothing else reads the values between them, the
//! product with a gate before it and the batch normalisation, residual sum, activation and max pool after it; or a linear layer
//! over positions and its activation; or attention.

use super::attention::FusedAttention;
use super::channels_last::segments;
use super::consumer::only_consumer;
use super::gate::{self, Gate};
use crate::error::Result;
use crate::graph::op::{Activation, Binary, Window};
use crate::graph::{Graph, NodeId, Op};
use crate::kernels::conv::{Clamp, fusion_pays};
use crate::kernels::elementwise;
use crate::pass::apply::{conv_geometry, with_batch};
use crate::tensor::{tensor, values};
use crate::with_real;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// A convolution or linear layer and what is computed with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusedLayer {
    /// The product of maps and a gate, where the layer reads it; its kernel then computes the product, too.
    pub gate: Option<Gate>,
    /// The batch normalisation that is folded into the weights.
    pub norm: Option<NodeId>,
    /// The node whose value is added.
    pub residual: Option<NodeId>,
    /// The clamp that the activation is, where it is a rectifier such as ReLU.
    pub clamp: Clamp,
    /// The activation, where it is no clamp.
    pub activation: Option<Activation>,
    /// The max pool after these.
    pub pool: Option<NodeId>,
    /// The depthwise convolution after these.
    pub depthwise: Option<Depthwise>,
    /// The last of the fused nodes, whose value is the kernel's result.
    pub output: NodeId,
}

/// A depthwise convolution behind a pointwise one, and what is computed with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depthwise {
    /// The convolution.
    pub conv: NodeId,
    /// The batch normalisation that is folded into its weights.
    pub norm: Option<NodeId>,
    /// As [`FusedLayer::clamp`].
    pub clamp: Clamp,
    /// As [`FusedLayer::activation`].
    pub activation: Option<Activation>,
}

/// Which kernel computes each node.
#[derive(Clone, Debug)]
pub struct FusionPlan {
    /// What is fused with each convolution or linear layer.
    fused: Vec<Option<FusedLayer>>,
    /// The last node of each fused node's kernel; only that one has a value.
    output: Vec<Option<NodeId>>,
    /// Where a convolution that writes into a concatenation writes.
    slots: Vec<Option<ConcatSlot>>,
    /// Attention by its last node.
    attention: BTreeMap<NodeId, FusedAttention>,
    /// The later node at which a fused node's kernel runs; none where it runs at the node itself or before it.
    runs_at: Vec<Option<NodeId>>,
    /// The nodes that begin a segment whose channels are neighbours.
    channels_last: Vec<bool>,
}

/// Where a value lies in a concatenation of channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcatSlot {
    /// The concatenation.
    pub concat: NodeId,
    /// The value's first channel in it.
    pub channel: usize,
}

impl FusionPlan {
    /// Every node by itself.
    pub fn unfused(graph: &Graph) -> Self {
        let n = graph.nodes().len();
        let (output, slots, runs_at) = (vec![None; n], vec![None; n], vec![None; n]);
        let channels_last = vec![false; n];
        FusionPlan { fused: vec![None; n], output, slots, attention: BTreeMap::new(), runs_at, channels_last }
    }

    /// Fuses what can be fused, except that the nodes in `goals` keep values of their own. Without `forward_only`, a backward pass
    /// follows, and nodes whose inputs it needs, such as max pools and smooth activations, are not fused.
    pub fn new(graph: &Graph, goals: &[NodeId], forward_only: bool) -> Self {
        let mut plan = FusionPlan::unfused(graph);
        let varies = graph.descendants(graph.input());
        for id in graph.ids() {
            let node = graph.node(id);
            plan.channels_last[id.0] =
                forward_only && (segments::begins_at(graph, id, goals) || segments::leads_to_one(graph, id, goals));
            if plan.output[id.0].is_some() {
                continue;
            }
            if let Some(found) = FusedAttention::ending_at(graph, &varies, id, goals).filter(|_| forward_only) {
                for inner in found.inner() {
                    (plan.output[inner.0], plan.runs_at[inner.0]) = (Some(id), Some(id));
                }
                plan.attention.insert(id, found);
                continue;
            }
            let is_conv = matches!(node.op, Op::Conv2d(_) | Op::ConvTranspose2d(..));
            let is_linear = matches!(node.op, Op::Linear { .. }) && node.shape.len() > 1 && forward_only;
            if !is_conv && !is_linear {
                continue;
            }
            let gate = gate::before(graph, &varies, id, goals).filter(|_| forward_only);
            let mut inner = Vec::new();
            let mut fused = FusedLayer { gate, ..FusedLayer::alone(id) }.with_all(
                graph,
                &varies,
                [id, id],
                goals,
                forward_only,
                &mut inner,
            );
            if let Some(conv) = fused.depthwise_after(graph, id, goals).filter(|_| forward_only) {
                let mut behind = vec![fused.output];
                let f = FusedLayer::alone(conv).with_all(graph, &varies, [conv, id], goals, true, &mut behind);
                if f.residual.is_none() && f.pool.is_none() {
                    let FusedLayer { norm, clamp, activation, output, .. } = f;
                    inner.extend(behind);
                    fused =
                        FusedLayer { depthwise: Some(Depthwise { conv, norm, clamp, activation }), output, ..fused };
                }
            }
            if let Some(gate) = fused.gate {
                (plan.output[gate.product.0], plan.runs_at[gate.product.0]) = (Some(fused.output), Some(id));
            }
            if fused.output != id || fused.gate.is_some() {
                inner.iter().for_each(|node| plan.output[node.0] = Some(fused.output));
                plan.output[fused.output.0] = Some(fused.output);
                plan.fused[id.0] = Some(fused);
            }
        }
        plan.find_slots(graph, goals, &varies);
        plan
    }

    /// Lets convolutions write into a concatenation of channels, where all its parts are values of convolutions.
    fn find_slots(&mut self, graph: &Graph, goals: &[NodeId], varies: &[bool]) {
        let conv_of = |plan: &FusionPlan, value: NodeId| {
            let is_conv = |id: NodeId| matches!(graph.node(id).op, Op::Conv2d(_) | Op::ConvTranspose2d(..));
            let computes = |id: &NodeId| match plan.fused_at(*id) {
                Some(f) => {
                    let is_plain = f.gate.is_none() && f.residual.is_none() && f.activation.is_none();
                    f.output == value && f.pool.is_none() && f.depthwise.is_none() && is_plain
                }
                None => *id == value && !plan.is_absorbed(*id),
            };
            graph.ids().find(|id| is_conv(*id) && varies[id.0] && computes(id))
        };
        for id in graph.ids().filter(|id| matches!(graph.node(*id).op, Op::Concat { axis: 0 })) {
            let inputs = &graph.node(id).inputs;
            let is_free = |i: &NodeId| only_consumer(graph, *i, goals) == Some(id);
            let convs: Option<Vec<NodeId>> = inputs.iter().map(|i| conv_of(self, *i).filter(|_| is_free(i))).collect();
            let mut channel = 0;
            for (conv, input) in convs.into_iter().flatten().zip(inputs) {
                self.slots[conv.0] = Some(ConcatSlot { concat: id, channel });
                channel += graph.node(*input).shape[0];
            }
        }
    }

    /// Where the convolution at `id` writes into a concatenation; none where it has a buffer of its own.
    pub fn concat_slot(&self, id: NodeId) -> Option<ConcatSlot> {
        self.slots[id.0]
    }

    /// Whether a segment whose channels are neighbours begins with `id`.
    pub fn is_channels_last(&self, id: NodeId) -> bool {
        self.channels_last[id.0]
    }

    /// What is fused with the convolution or linear layer at `id`.
    pub fn fused_at(&self, id: NodeId) -> Option<&FusedLayer> {
        self.fused[id.0].as_ref()
    }

    /// The node whose value is kept for `id`: the last of its kernel, or itself.
    pub fn value_node(&self, id: NodeId) -> NodeId {
        self.output[id.0].unwrap_or(id)
    }

    /// Whether `id` is fused into a layer before it.
    pub fn is_absorbed(&self, id: NodeId) -> bool {
        self.output[id.0].is_some() && self.fused[id.0].is_none()
    }

    /// The attention whose last node is `id`.
    pub fn attention_at(&self, id: NodeId) -> Option<&FusedAttention> {
        self.attention.get(&id)
    }

    /// The nodes whose inputs are read when `id` is computed: itself and those before it that its kernel computes; none where it is
    /// itself computed later.
    pub fn read_at(&self, id: NodeId) -> Vec<NodeId> {
        if self.runs_at[id.0].is_some() {
            return Vec::new();
        }
        let gate = self.fused_at(id).and_then(|f| f.gate).map(|gate| gate.product);
        let attention = self.attention_at(id).into_iter().flat_map(FusedAttention::inner);
        std::iter::once(id).chain(gate).chain(attention).collect()
    }

    /// Whether `id` is a batch normalisation that is folded into a convolution.
    pub fn is_folded(&self, id: NodeId) -> bool {
        self.fused.iter().flatten().any(|f| f.norm == Some(id))
    }
}

impl FusedLayer {
    /// The node at `id` by itself.
    pub fn alone(id: NodeId) -> Self {
        let (clamp, pool) = (Clamp::None, None);
        FusedLayer {
            gate: None,
            norm: None,
            residual: None,
            clamp,
            activation: None,
            pool,
            depthwise: None,
            output: id,
        }
    }

    /// `y` after the activation, where one is fused.
    ///
    /// # Errors
    /// Where `y` is no tensor of numbers.
    pub fn activated(&self, y: Tensor) -> Result<Tensor> {
        match self.activation {
            Some(f) => with_real!(y, T => tensor(elementwise::forward(f, &values::<T>(&y)?), y.dims())),
            None => Ok(y),
        }
    }

    /// This and all that follows the convolution or linear layer `layer` and can be one kernel with it. The kernel runs at the node
    /// `at`. The nodes that then have no value are added to `inner`.
    fn with_all(
        self,
        graph: &Graph,
        varies: &[bool],
        [layer, at]: [NodeId; 2],
        goals: &[NodeId],
        forward_only: bool,
        inner: &mut Vec<NodeId>,
    ) -> Self {
        let is_linear = matches!(graph.node(layer).op, Op::Linear { .. });
        let mut fused = self;
        while let Some(next) = only_consumer(graph, fused.output, goals) {
            let more = match is_linear {
                true => fused.with_activation(graph, next),
                false => fused.with(graph, varies, layer, next),
            };
            let is_ready = |f: &FusedLayer| f.residual.is_none_or(|residual| residual < at);
            let Some(more) =
                more.filter(|f| is_ready(f) && (forward_only || (f.pool.is_none() && f.activation.is_none())))
            else {
                break;
            };
            inner.push(fused.output);
            fused = more;
        }
        fused
    }

    /// The depthwise convolution that alone reads the value of this pointwise one, `conv`, and begins a segment whose channels are
    /// neighbours.
    fn depthwise_after(&self, graph: &Graph, conv: NodeId, goals: &[NodeId]) -> Option<NodeId> {
        let Op::Conv2d(c) = &graph.node(conv).op else { return None };
        let is_pointwise = c.window == Window::square(1, 1, 0) && c.groups == 1;
        let is_plain = self.gate.is_none() && self.residual.is_none() && self.pool.is_none();
        let next = only_consumer(graph, self.output, goals).filter(|_| is_plain && is_pointwise)?;
        (segments::begins_at(graph, next, goals) && graph.node(next).inputs[0] == self.output).then_some(next)
    }

    /// This and `next`, the only consumer of its value; none where they cannot be one kernel.
    fn with(&self, graph: &Graph, varies: &[bool], conv: NodeId, next: NodeId) -> Option<Self> {
        let node = graph.node(next);
        let is_linear = self.clamp == Clamp::None && self.pool.is_none() && self.activation.is_none();
        match &node.op {
            Op::BatchNorm { .. } if self.output == conv => Some(FusedLayer { norm: Some(next), output: next, ..*self }),
            Op::Binary(Binary::Add) if is_linear && self.residual.is_none() => {
                let residual = *node.inputs.iter().find(|i| **i != self.output)?;
                let is_same_shape = graph.node(residual).shape == node.shape && graph.node(conv).shape == node.shape;
                let is_ready = residual < conv && varies[residual.0];
                (is_same_shape && is_ready).then_some(FusedLayer { residual: Some(residual), output: next, ..*self })
            }
            Op::Activation(f) if is_linear => match clamp_of(*f) {
                Some(clamp) => Some(FusedLayer { clamp, output: next, ..*self }),
                None => self.with_activation(graph, next),
            },
            Op::MaxPool(_)
                if self.gate.is_none()
                    && self.pool.is_none()
                    && self.residual.is_none()
                    && self.activation.is_none() =>
            {
                let (Op::Conv2d(c), input) = (&graph.node(conv).op, graph.node(conv).inputs[0]) else { return None };
                let g = conv_geometry(c, &with_batch(1, &graph.node(input).shape), &graph.node(conv).shape);
                fusion_pays(&g).then_some(FusedLayer { pool: Some(next), output: next, ..*self })
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
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Identity => None,
        }
    }

    /// This and `next`, where that is an activation and none is fused yet.
    fn with_activation(&self, graph: &Graph, next: NodeId) -> Option<Self> {
        let Op::Activation(f) = graph.node(next).op else { return None };
        self.activation.is_none().then_some(FusedLayer { activation: Some(f), output: next, ..*self })
    }
}

/// The clamp that a rectifier is; none for other functions.
pub fn clamp_of(f: Activation) -> Option<Clamp> {
    if let Activation::Clip { low, high } = f {
        return (low < high).then_some(Clamp::Range(low as f32, high as f32));
    }
    (f == Activation::Relu).then_some(Clamp::Relu)
}
