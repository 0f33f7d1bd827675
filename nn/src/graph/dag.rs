//! The graph type: named nodes in topological order, their consumers, ancestors and descendants, and the node of the class scores.

use super::op::{Activation, Op};
use super::volume_field::VolumeWindow;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The size of one sample at a node, without the batch: C x H x W, or C.
pub type Shape = Vec<usize>;

/// Index of a node in its graph; a node comes after its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// One node: an operation on earlier nodes' values.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique within the graph.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes whose values are its operands, in order.
    pub inputs: SmallVec<[NodeId; 2]>,
    /// The shape of its value for one sample.
    pub shape: Shape,
}

/// A directed acyclic graph with one output and one input that questions are about (others are held at fixed values), in topological
/// order by construction (see [`Builder`](super::Builder)).
#[derive(Clone, Debug)]
pub struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) consumers: Vec<Vec<NodeId>>,
    pub(super) aliases: BTreeMap<String, NodeId>,
    pub(super) input: NodeId,
    pub(super) output: NodeId,
    pub(super) volumes: std::sync::Arc<BTreeMap<String, VolumeWindow>>,
}

impl Graph {
    /// All nodes, each after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The ids of all nodes in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The same graph with other operations at some nodes; their inputs and shapes stay.
    pub(crate) fn with_ops(&self, changed: impl IntoIterator<Item = (NodeId, Op)>) -> Self {
        let mut graph = self.clone();
        changed.into_iter().for_each(|(id, op)| graph.nodes[id.0].op = op);
        graph
    }

    /// The input that questions are about: images go there.
    pub fn input(&self) -> NodeId {
        self.input
    }

    /// All inputs, that of [`Graph::input`] among them, as they were added.
    pub fn inputs(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ids().filter(|id| self.node(*id).op == Op::Input)
    }

    /// The same graph with another of its inputs as [`Graph::input`].
    pub(crate) fn asked_with(&self, input: NodeId) -> Self {
        Graph { input, ..self.clone() }
    }

    /// The node whose value is the net's raw output.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// The nodes that have this node as an input.
    pub fn consumers(&self, id: NodeId) -> &[NodeId] {
        &self.consumers[id.0]
    }

    /// The node of that name, or whose output has that name in the file.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.aliases.get(name).copied()
    }

    /// Whether a node is a layer, which can be a subject: any but a constant.
    pub fn is_layer(&self, id: NodeId) -> bool {
        !matches!(self.node(id).op, Op::Constant(_))
    }

    /// The node whose value holds the class scores: the input of the closing softmax or log-sigmoid, if there is one, else
    /// the output, each before a [`Graph::last_step`].
    pub fn scores(&self) -> NodeId {
        let Some(softmax) = self.closing_softmax() else {
            return self.closing_log_sigmoid().map_or(self.head(), |id| self.node(id).inputs[0]);
        };
        let mut scores = self.node(softmax).inputs[0];
        // The softmax of a log-softmax is that softmax; that of a softmax is a function of its own.
        while let Some((inner, true)) = self.softmax_at(scores) {
            scores = self.node(inner).inputs[0];
        }
        scores
    }

    /// The softmax that closes the net, if it has one.
    pub fn closing_softmax(&self) -> Option<NodeId> {
        self.softmax_at(self.head()).map(|(softmax, _)| softmax)
    }

    /// The log-sigmoid that closes the net, or the sigmoid before the logarithm that does, if it has one.
    fn closing_log_sigmoid(&self) -> Option<NodeId> {
        let mut id = self.head();
        while matches!(self.node(id).op, Op::Reshape(_) | Op::Identity) {
            id = self.node(id).inputs[0];
        }
        if matches!(self.node(id).op, Op::Activation(Activation::Log)) {
            let sigmoid = self.node(id).inputs[0];
            return matches!(self.node(sigmoid).op, Op::Activation(Activation::Sigmoid)).then_some(sigmoid);
        }
        matches!(self.node(id).op, Op::Activation(Activation::LogSigmoid)).then_some(id)
    }

    /// Whether a softmax normalises over all entries of the output, or over the channels of a map of the output's size. A
    /// softmax over an axis of one entry, or over groups of a list, gives no scores of exclusive classes.
    fn competes(&self, softmax: NodeId, axis: usize) -> bool {
        let wide = |id: NodeId| self.node(id).shape.iter().filter(|n| **n > 1).count();
        let shape = &self.node(softmax).shape;
        wide(softmax) == 0 || (shape[axis] > 1 && wide(softmax) <= wide(self.head()))
    }

    /// The softmax whose values, or their logarithms, `id` holds, possibly reshaped, and whether they are logarithms.
    fn softmax_at(&self, mut id: NodeId) -> Option<(NodeId, bool)> {
        let mut logarithm = false;
        loop {
            let node = self.node(id);
            match &node.op {
                Op::Softmax { log, axis } => {
                    return (!(logarithm && *log) && self.competes(id, *axis)).then_some((id, logarithm || *log));
                }
                Op::Reshape(_) | Op::Identity => {}
                Op::Activation(Activation::Log) if !logarithm => logarithm = true,
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
                | Op::Concat { .. }
                | Op::Select { .. }
                | Op::Order { .. }
                | Op::Pick { .. }
                | Op::Transpose(_)
                | Op::Pad { .. }
                | Op::Resize { .. } => return None,
            }
            id = node.inputs[0];
        }
    }

    /// Whether a node is the softmax of an attention: its only use is in a matrix product.
    pub fn is_attention(&self, id: NodeId) -> bool {
        let mut at = id;
        matches!(self.node(id).op, Op::Softmax { log: false, .. })
            && loop {
                let [next] = self.consumers(at) else { break false };
                match self.node(*next).op {
                    Op::MatMul => break true,
                    Op::Identity | Op::Reshape(_) | Op::Transpose(_) => at = *next,
                    Op::Input
                    | Op::Constant(_)
                    | Op::Conv2d(_)
                    | Op::ConvTranspose2d(..)
                    | Op::Linear { .. }
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
                    | Op::Pad { .. }
                    | Op::Resize { .. } => break false,
                }
            }
    }

    /// The shape of one sample of the input as the file has it, and which of its axes is each axis of the net's; none where both have
    /// the same order.
    pub fn input_in_file(&self) -> Option<(&[usize], Vec<usize>)> {
        let input = &self.node(self.input).name;
        let turned = self.find(&format!("{input}/axes")).or_else(|| self.find(&format!("{input}/channels_last")))?;
        let Op::Transpose(perm) = &self.node(turned).op else { return None };
        let place = |axis: usize| perm.iter().position(|p| *p == axis).unwrap_or(axis);
        Some((&self.node(turned).shape, (0..perm.len()).map(place).collect()))
    }

    /// The nodes that `of` depends on, itself included, as flags by index.
    pub fn ancestors(&self, of: NodeId) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        needed[of.0] = true;
        for id in self.ids().rev() {
            if needed[id.0] {
                self.node(id).inputs.iter().for_each(|i| needed[i.0] = true);
            }
        }
        needed
    }

    /// The helper nodes, by which other nodes are computed and which the file does not name, as flags by index: those named after a
    /// later node, as `lstm/seen 0` after `lstm`.
    pub fn helper_nodes(&self) -> Vec<bool> {
        let places: BTreeMap<&str, NodeId> = self.ids().map(|id| (self.node(id).name.as_str(), id)).collect();
        let is_helper = |id: NodeId| {
            let name = &self.node(id).name;
            name.match_indices('/').any(|(end, _)| places.get(&name[..end]).is_some_and(|later| *later > id))
        };
        self.ids().map(is_helper).collect()
    }

    /// The nodes that depend on `of`, itself included, as flags by index.
    pub fn descendants(&self, of: NodeId) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        reached[of.0] = true;
        for id in self.ids() {
            if self.node(id).inputs.iter().any(|i| reached[i.0]) {
                reached[id.0] = true;
            }
        }
        reached
    }
}
