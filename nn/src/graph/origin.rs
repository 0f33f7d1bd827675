//! Where a single value of a node was computed: back through operations that only move values, such as the reshapes and
//! concatenations that gather a detector's heads.

use super::dag::{Graph, NodeId};
use super::op::{Activation, Op};

impl Graph {
    /// The node and the place in its value (of one sample, row-major) that value `at` of `id` is a copy of.
    pub fn origin(&self, mut id: NodeId, mut at: usize) -> (NodeId, usize) {
        loop {
            let node = self.node(id);
            let coordinates = || -> Vec<usize> {
                strides(&node.shape).iter().zip(&node.shape).map(|(stride, n)| at / stride % n).collect()
            };
            let flat = |input: NodeId, place: &[usize]| {
                strides(&self.node(input).shape).iter().zip(place).map(|(stride, i)| stride * i).sum::<usize>()
            };
            (id, at) = match &node.op {
                Op::Reshape(_) | Op::Identity => (node.inputs[0], at),
                Op::Transpose(perm) => {
                    let mut place = vec![0; perm.len()];
                    coordinates().into_iter().zip(perm).for_each(|(i, axis)| place[*axis] = i);
                    (node.inputs[0], flat(node.inputs[0], &place))
                }
                Op::Select { axis, index } => {
                    let mut place = coordinates();
                    place[*axis] = index[place[*axis]];
                    (node.inputs[0], flat(node.inputs[0], &place))
                }
                Op::Concat { axis } => {
                    let mut place = coordinates();
                    let mut inputs = node.inputs.iter();
                    let from = inputs.find(|input| {
                        let n = self.node(**input).shape[*axis];
                        let inside = place[*axis] < n;
                        if !inside {
                            place[*axis] -= n;
                        }
                        inside
                    });
                    let Some(from) = from else { return (id, at) };
                    (*from, flat(*from, &place))
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
                | Op::Order { .. }
                | Op::Pick { .. }
                | Op::Pad { .. }
                | Op::Resize { .. } => return (id, at),
            };
        }
    }

    /// As [`Graph::origin`], past a sigmoid or softmax that the value comes from: its logit.
    pub fn logit(&self, id: NodeId, at: usize) -> (NodeId, usize) {
        let (id, at) = self.origin(id, at);
        if let Op::Activation(Activation::Sigmoid) | Op::Softmax { log: false, .. } = self.node(id).op {
            return self.origin(self.node(id).inputs[0], at);
        }
        (id, at)
    }
}

/// Values between neighbours along each axis of a row-major value.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for k in (0..shape.len().saturating_sub(1)).rev() {
        strides[k] = strides[k + 1] * shape[k + 1];
    }
    strides
}
