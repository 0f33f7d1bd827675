//! The cost of nodes: parameters, floating-point operations, values.

use super::dag::{Graph, NodeId};
use super::op::{Op, ParamId};
use super::weights::Weights;

impl Graph {
    /// Parameters that a node reads.
    pub fn params(&self, id: NodeId, weights: &Weights) -> usize {
        self.node(id).op.params().iter().map(|p| weights.tensor(*p).elem_count()).sum()
    }

    /// Floating-point operations of one sample at a node (a multiply-add counts as two).
    pub fn flops(&self, id: NodeId, weights: &Weights) -> u64 {
        let node = self.node(id);
        let out: usize = node.shape.iter().product();
        let size = |i: usize| node.inputs.get(i).map_or(0, |n| self.node(*n).shape.iter().product::<usize>());
        let per_value = |p: &ParamId| weights.tensor(*p).dims()[1..].iter().product::<usize>();
        (match &node.op {
            Op::Conv2d(c) => out * (2 * per_value(&c.weight) + usize::from(c.bias.is_some())),
            Op::ConvTranspose2d(c, _) => size(0) * 2 * per_value(&c.weight),
            Op::Linear { weight, bias } => out * (2 * per_value(weight) + usize::from(bias.is_some())),
            Op::MatMul => 2 * out * self.node(node.inputs[0]).shape.last().copied().unwrap_or(1),
            Op::MaxPool(p) | Op::AvgPool(p) => out * p.window.kernel[0] * p.window.kernel[1],
            Op::BatchNorm { .. } => 2 * out,
            Op::LayerNorm { .. } | Op::GroupNorm { .. } | Op::Softmax { .. } => 5 * out,
            Op::LocalResponseNorm { size, .. } => out * (2 * size + 2),
            Op::Activation(_) | Op::Binary(_) => out,
            Op::Reduce { .. } => size(0),
            Op::Resize { .. } => 7 * out,
            // Comparisons of a sort.
            Op::Order { .. } => size(0) * (size(0).max(2).ilog2() as usize),
            Op::Input | Op::Constant(_) | Op::Concat { .. } | Op::Select { .. } | Op::Reshape(_) => 0,
            Op::Transpose(_) | Op::Pad { .. } | Op::Identity | Op::Pick { .. } => 0,
        }) as u64
    }

    /// Values of all nodes for one sample: what a trace that keeps all of them holds.
    pub fn trace_len(&self) -> usize {
        self.nodes().iter().map(|n| n.shape.iter().product::<usize>()).sum()
    }

    /// The largest number of values alive at once in a forward pass that keeps none, for one sample.
    pub fn peak_len(&self) -> usize {
        let mut uses: Vec<usize> = self.ids().map(|id| self.consumers(id).len()).collect();
        let (mut live, mut peak) = (0, 0);
        for id in self.ids() {
            let len = |i: NodeId| self.node(i).shape.iter().product::<usize>();
            live += len(id);
            peak = peak.max(live);
            for input in &self.node(id).inputs {
                uses[input.0] -= 1;
                if uses[input.0] == 0 {
                    live -= len(*input);
                }
            }
        }
        peak
    }
}
