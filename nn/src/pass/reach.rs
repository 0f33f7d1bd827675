//! How far a change of a window reaches. Convolutions and pools enlarge the window, operations that compute each position from the
//! same position of their inputs leave it as it is, and all others spread the change over the whole map.

use super::crop::Region;
use crate::graph::op::Reduction;
use crate::graph::{Graph, NodeId, Op};

/// The share of a map that a window covers from which on the whole map is recomputed.
const MAX_WINDOW_SHARE: f64 = 0.9;

/// The part of a node's value that a change reaches.
#[derive(Clone)]
pub(super) enum Reach<R> {
    /// None of it.
    Nowhere,
    /// A window.
    Within(R),
    /// All of it.
    Everywhere,
}

/// The window of a node's value (with `residual` added) that a change reaches, given its `reach` at the node's inputs; none where
/// the whole value must be recomputed.
pub(super) fn reach_of<'a>(
    graph: &Graph,
    id: NodeId,
    residual: Option<NodeId>,
    reach: impl Fn(NodeId) -> Reach<&'a Region<usize>>,
) -> Option<Region<usize>> {
    let node = graph.node(id);
    let [_, height, width] = node.shape[..] else { return None };
    let size = [height, width];
    let mut all: Option<Region<usize>> = None;
    let reads = node.inputs.iter().map(|i| (*i, false)).chain(residual.map(|r| (r, true)));
    for (read, is_residual) in reads {
        let region = match reach(read) {
            Reach::Nowhere => continue,
            Reach::Everywhere => return None,
            Reach::Within(region) => region,
        };
        let next = match &node.op {
            _ if is_residual => region.clone(),
            Op::Conv2d(c) => region.outputs_of(&c.window, size),
            Op::MaxPool(p) | Op::AvgPool(p) => region.outputs_of(&p.window, size),
            op if is_local(op) && graph.node(read).shape[1..] == size => region.clone(),
            Op::Input
            | Op::Constant(_)
            | Op::ConvTranspose2d(..)
            | Op::Linear { .. }
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Binary(_)
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
            | Op::Identity => return None,
        };
        all = Some(all.map_or(next.clone(), |r| r.union(&next, size)));
    }
    all.filter(|r| ((r.size[0] * r.size[1]) as f64) < MAX_WINDOW_SHARE * (height * width) as f64)
}

/// Whether a value at (y, x) depends only on the inputs at (y, x).
fn is_local(op: &Op) -> bool {
    match op {
        Op::Activation(_) | Op::BatchNorm { .. } | Op::LocalResponseNorm { .. } | Op::Identity | Op::Binary(_) => true,
        Op::Concat { axis } | Op::Select { axis, .. } | Op::Softmax { axis, .. } => *axis == 0,
        Op::Input
        | Op::Constant(_)
        | Op::Conv2d(_)
        | Op::ConvTranspose2d(..)
        | Op::Linear { .. }
        | Op::MatMul
        | Op::LayerNorm { .. }
        | Op::GroupNorm { .. }
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce { .. }
        | Op::Order { .. }
        | Op::Pick { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Pad { .. }
        | Op::Resize { .. } => false,
    }
}

/// Whether an operation sums each map.
pub(super) fn sums_positions(op: &Op) -> bool {
    matches!(op, Op::Reduce { reduction, axes, .. } if axes[..] == [1, 2] && *reduction != Reduction::Max)
}
