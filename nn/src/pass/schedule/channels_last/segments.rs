//! Where segments begin whose channels are neighbours in memory, by the shapes of layers and what reads them.

use crate::graph::op::{Binary, Conv};
use crate::graph::{Graph, NodeId, Op};
use crate::kernels::channels_last::{DenseRows, DepthwiseRows};
use crate::kernels::conv::Geometry;
use crate::pass::apply::{conv_geometry, with_batch};
use crate::pass::schedule::consumer::only_consumer;

/// The axes of a sample's maps with channels last, and those that lead back.
pub(super) const TO_LAST: [usize; 3] = [1, 2, 0];
pub(super) const FROM_LAST: [usize; 3] = [2, 0, 1];

/// Whether the depthwise convolution at `id` begins such a segment: something in it follows.
pub fn begins_at(graph: &Graph, id: NodeId, goals: &[NodeId]) -> bool {
    let is_depthwise = matches!(&graph.node(id).op, Op::Conv2d(c) if DepthwiseRows::suits(&geometry(graph, id, c)));
    is_depthwise && graph.consumers(last_of_layer(graph, id, goals)).iter().any(|next| follows(graph, *next, goals))
}

/// Whether the first layer at `id`, or the transposition of channels that are last already, makes the input of such a segment.
pub fn leads_to_one(graph: &Graph, id: NodeId, goals: &[NodeId]) -> bool {
    let op = &graph.node(id).op;
    let is_first_layer = |c: &Conv| {
        let g = geometry(graph, id, c);
        DenseRows::suits(&g) && g.window.kernel != [1, 1]
    };
    let can_begin = matches!(op, Op::Conv2d(c) if is_first_layer(c)) || transposes(op, FROM_LAST);
    let takes = |next: NodeId| {
        let op = &graph.node(next).op;
        begins_at(graph, next, goals)
            || transposes(op, TO_LAST)
            || (matches!(op, Op::Binary(_)) && follows(graph, next, goals))
    };
    can_begin && graph.consumers(last_of_layer(graph, id, goals)).iter().any(|next| takes(*next))
}

/// Whether the node at `id` takes its maps in this layout and goes on in it.
fn follows(graph: &Graph, id: NodeId, goals: &[NodeId]) -> bool {
    let node = graph.node(id);
    if let Op::Conv2d(c) = &node.op {
        let g = geometry(graph, id, c);
        // A concatenation would bring the result back to planes.
        let consumers = graph.consumers(last_of_layer(graph, id, goals));
        let is_joined = consumers.iter().any(|next| matches!(graph.node(*next).op, Op::Concat { .. }));
        return DepthwiseRows::suits(&g) || (g.window.kernel == [1, 1] && g.groups == 1 && !is_joined);
    }
    let is_of_maps = matches!(node.op, Op::Binary(Binary::Add | Binary::Mul)) && node.shape.len() == 3;
    is_of_maps || matches!(&node.op, Op::Reduce { axes, .. } if axes[..] == [1, 2]) || transposes(&node.op, TO_LAST)
}

/// Whether an operation brings a sample's axes into this order.
pub(super) fn transposes(op: &Op, order: [usize; 3]) -> bool {
    matches!(op, Op::Transpose(own) if own[..] == order)
}

/// The last of the normalisation and activations that alone follow the layer at `id`, or itself.
fn last_of_layer(graph: &Graph, id: NodeId, goals: &[NodeId]) -> NodeId {
    let mut at = id;
    while let Some(next) = only_consumer(graph, at, goals)
        && matches!(graph.node(next).op, Op::BatchNorm { .. } | Op::Activation(_) | Op::Identity)
    {
        at = next;
    }
    at
}

/// The sizes of the convolution at `id` for one sample.
pub(super) fn geometry(graph: &Graph, id: NodeId, c: &Conv) -> Geometry {
    let node = graph.node(id);
    conv_geometry(c, &with_batch(1, &graph.node(node.inputs[0]).shape), &node.shape)
}
