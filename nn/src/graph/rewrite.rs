//! Rewrites of a graph: one class instead of all, and a node's values times a mask, for ablation.

use super::dag::{Graph, Node, NodeId, Shape};
use super::op::{Activation, Binary, Conv, Op, ParamId};
use super::weights::Weights;
use crate::error::{Error, Result};
use candle_core::Tensor;
use smallvec::smallvec;

impl Graph {
    /// The layer that computes the class scores, each from its own row of weights: a linear layer, or a 1 x 1 convolution with only
    /// operations by channel after it. None where there is none.
    pub fn class_layer(&self) -> Option<NodeId> {
        let mut id = self.scores();
        let classes = self.node(id).shape.iter().product();
        loop {
            let node = self.node(id);
            if node.shape.first() != Some(&classes) {
                return None;
            }
            match &node.op {
                Op::Conv2d(c) if c.groups == 1 && c.window.kernel == [1, 1] => return Some(id),
                Op::Linear { .. } if node.shape.len() == 1 => return Some(id),
                Op::Activation(_) | Op::Identity | Op::AvgPool(_) | Op::MaxPool(_) | Op::Reshape(_) => {}
                Op::Reduce { axes, .. } if !axes.contains(&0) => {}
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
                | Op::Binary(_)
                | Op::Reduce { .. }
                | Op::Softmax { .. }
                | Op::Concat { .. }
                | Op::Select { .. }
                | Op::Order { .. }
                | Op::Pick { .. }
                | Op::Transpose(_)
                | Op::Pad { .. }
                | Op::Resize { .. } => return None,
            }
            id = node.inputs[0];
            if self.consumers(id).len() != 1 {
                return None;
            }
        }
    }

    /// The graph up to its scores, with the score of class `index` only: `layer` ([`Graph::class_layer`]) keeps that class's row of its
    /// weights. Nodes keep their ids.
    ///
    /// # Errors
    /// Where there is no such class.
    pub fn one_class(&self, layer: NodeId, index: usize, weights: &Weights) -> Result<(Graph, Weights)> {
        let (mut graph, mut weights, scores) = (self.clone(), weights.clone(), self.scores());
        graph.nodes.truncate(scores.0 + 1);
        graph.consumers.truncate(scores.0 + 1);
        graph.consumers.iter_mut().for_each(|ids| ids.retain(|id| *id <= scores));
        graph.aliases.retain(|_, id| *id <= scores);
        graph.output = scores;
        let mut keep_row = |param: &mut ParamId| -> Result<()> {
            let cut = weights.tensor(*param).narrow(0, index, 1)?;
            let name = weights.name(*param).to_string();
            *param = weights.push(&name, cut)?;
            Ok(())
        };
        let (Op::Conv2d(Conv { weight, bias, .. }) | Op::Linear { weight, bias }) = &mut graph.nodes[layer.0].op else {
            return Err(Error::internal("class scores come from a convolution or a linear layer"));
        };
        keep_row(weight)?;
        bias.as_mut().map(keep_row).transpose()?;
        let mut id = scores;
        loop {
            let node = &mut graph.nodes[id.0];
            node.shape[0] = 1;
            if let Op::Reshape(to) = &mut node.op {
                to[0] = 1;
            }
            if id == layer {
                return Ok((graph, weights));
            }
            id = node.inputs[0];
        }
    }

    /// The graph without the rounding of quantised values, which are still clipped to the range of their integers; none where
    /// nothing is rounded.
    pub fn unrounded(&self) -> Option<Graph> {
        let mut graph = self.clone();
        let mut found = false;
        for node in &mut graph.nodes {
            if let Op::Activation(Activation::Quantise { rounds, .. }) = &mut node.op {
                found |= std::mem::replace(rounds, false);
            }
        }
        found.then_some(graph)
    }

    /// The graph with the value of `at` multiplied by `mask` (of the node's shape, or C x 1 x 1) before its consumers. The product
    /// takes over the node's names; the node itself becomes `NAME/unmasked`.
    ///
    /// # Errors
    /// Where the mask holds values that are not finite.
    pub fn masked(&self, at: NodeId, mask: &Tensor, weights: &Weights) -> Result<(Graph, Weights)> {
        let mut weights = weights.clone();
        let name = self.node(at).name.clone();
        let fresh = |stem: String| {
            let mut free = stem.clone();
            let mut n = 1;
            while self.aliases.contains_key(&free) {
                free = format!("{stem}_{n}");
                n += 1;
            }
            free
        };
        let (bare, constant) = (fresh(format!("{name}/unmasked")), fresh(format!("{name}/mask")));
        let param = weights.push(&constant, mask.clone())?;
        let shape: Shape = self.node(at).shape.clone();
        let product = NodeId(at.0 + 2);
        let moved = |id: NodeId| if id > at { NodeId(id.0 + 2) } else { id };
        let read = |id: NodeId| if id == at { product } else { moved(id) };

        let mut nodes = Vec::with_capacity(self.nodes.len() + 2);
        for (i, node) in self.nodes.iter().enumerate() {
            let mut node = node.clone();
            node.inputs.iter_mut().for_each(|input| *input = read(*input));
            if i == at.0 {
                node.name.clone_from(&bare);
                nodes.push(node);
                let op = Op::Constant(param);
                nodes.push(Node { name: constant.clone(), op, inputs: smallvec![], shape: mask.dims().to_vec() });
                let inputs = smallvec![at, NodeId(at.0 + 1)];
                nodes.push(Node { name: name.clone(), op: Op::Binary(Binary::Mul), inputs, shape: shape.clone() });
            } else {
                nodes.push(node);
            }
        }
        let mut consumers = vec![Vec::new(); nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|n| consumers[n.0].push(NodeId(i)));
        }
        let mut aliases: std::collections::BTreeMap<_, _> =
            self.aliases.iter().map(|(k, v)| (k.clone(), read(*v))).collect();
        aliases.insert(bare, at);
        aliases.insert(constant, NodeId(at.0 + 1));
        let (input, output, volumes) = (moved(self.input), read(self.output), self.volumes.clone());
        let graph = Graph { nodes, consumers, aliases, input, output, volumes };
        Ok((graph, weights))
    }
}
