//! Rewrites of a graph: a node's values times a mask, for ablation.

use super::op::Binary;
use super::{Graph, Node, NodeId, Op, Shape};
use crate::error::Result;
use crate::model::Weights;
use candle_core::Tensor;
use smallvec::smallvec;

impl Graph {
    /// The graph in which the values of `at` are multiplied by `mask` (of the node's shape, or C x 1 x 1) before anything
    /// reads them. The product takes over the node's names; the node itself becomes `NAME/unmasked`.
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
        let graph = Graph { nodes, consumers, aliases, input: moved(self.input), output: read(self.output) };
        Ok((graph, weights))
    }
}
