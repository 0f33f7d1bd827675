//! Which maps lie mirrored over the input: nets that average over a photo and its mirror image hold one pass of each kind.

use super::axes::Axis;
use super::dag::{Graph, NodeId};
use super::op::Op;

/// Whether a node's rows and columns run against the input's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mirror {
    /// Rows from the bottom up.
    pub rows: bool,
    /// Columns from right to left.
    pub columns: bool,
}

impl Graph {
    /// How each node's map is mirrored, given all nodes' axes. What joins a mirrored and a straight map is straight.
    pub(super) fn mirrors(&self, axes: &[Vec<Axis>]) -> Vec<Mirror> {
        let mut all: Vec<Mirror> = Vec::with_capacity(axes.len());
        for id in self.ids() {
            let node = self.node(id);
            let is_map = |k: &&NodeId| axes[k.0].iter().any(|a| !matches!(a, Axis::Channel | Axis::Other));
            let mut before = node.inputs.iter().filter(is_map).map(|k| all[k.0]);
            let first = before.next().unwrap_or_default();
            let mut mirror = if before.any(|m| m != first) { Mirror::default() } else { first };
            if let Op::Select { axis, index } = &node.op {
                let n = self.node(node.inputs[0]).shape[*axis];
                if n > 1 && index.len() == n && index.iter().enumerate().all(|(i, at)| at + i + 1 == n) {
                    match axes[node.inputs[0].0][*axis] {
                        Axis::Row => mirror.rows ^= true,
                        Axis::Column => mirror.columns ^= true,
                        Axis::Positions { .. } => (mirror.rows, mirror.columns) = (!mirror.rows, !mirror.columns),
                        Axis::Channel | Axis::Depth | Axis::Other => {}
                    }
                }
            }
            all.push(mirror);
        }
        all
    }
}
