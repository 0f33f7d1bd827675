//! Merges operations that exporters write separately: an activation, normalisation, softmax or bias becomes one node, so that
//! rules, summaries and maps do not depend on the exporter.
//!
//! Activations and normalisations are recognised by their values, whatever operations the file uses: the stretch of element-wise
//! operations that computes a value ([`stretch`]) is evaluated in f64 and compared with a table ([`curves`], [`norms`]).

mod affine;
mod curves;
mod norms;
mod softmax;
mod stretch;

use crate::error::Result;
use crate::graph::{Builder, NodeId, Op};
use crate::limits::ONNX_EVALUATED;
use crate::signal::go_on;
use std::cell::Cell;

/// Rewrites the nodes that `outputs` depend on; names stay, and values but for rounding. Returns whether all nodes were examined:
/// the search ends early in a net of very many operations.
///
/// # Errors
/// Where a rewritten node does not fit, which is a defect, or the work was interrupted.
pub fn restore(b: &mut Builder, outputs: &[NodeId]) -> Result<bool> {
    let passes: [Pass; 6] =
        [softmax::softmax, curves::activation, affine::bias, norms::norm, norms::group_norm, affine::scaled_norm];
    let mut live = Live { readers: Vec::new(), left: Cell::new(Some(ONNX_EVALUATED)) };
    for pass in passes {
        live.count(b, outputs);
        b.ids().filter(|id| live.readers[id.0] > 0).try_for_each(|id| go_on().and_then(|()| pass(b, id, &live)))?;
    }
    // From the last node: the last operation of a batch normalisation takes in all others.
    live.count(b, outputs);
    b.ids()
        .rev()
        .filter(|id| live.readers[id.0] > 0)
        .try_for_each(|id| go_on().and_then(|()| affine::batch_norm(b, id, &live)))?;
    Ok(live.left.get().is_some())
}

/// A rewrite of a node at which a pattern ends.
type Pass = fn(&mut Builder, NodeId, &Live) -> Result<()>;

/// The number of readers of each value, counted before a pass, and the work left for the search.
struct Live {
    /// The number of readers of each node's value; an output counts as read.
    readers: Vec<usize>,
    /// The work left, in additions; `None` once it was exceeded.
    left: Cell<Option<u64>>,
}

impl Live {
    /// Counts the readers again.
    fn count(&mut self, b: &Builder, outputs: &[NodeId]) {
        let needed = b.ancestors(outputs);
        let mut readers = vec![0; needed.len()];
        outputs.iter().for_each(|output| readers[output.0] += 1);
        for id in b.ids().filter(|id| needed[id.0]) {
            b.node(id).inputs.iter().for_each(|i| readers[i.0] += 1);
        }
        self.readers = readers;
    }

    /// Takes `sums` additions from the work left; `None` where less is left.
    fn spend(&self, sums: usize) -> Option<()> {
        let left = self.left.get().and_then(|left| left.checked_sub(sums as u64));
        self.left.set(left);
        left.map(drop)
    }

    /// Whether the value has one reader.
    fn alone(&self, id: NodeId) -> bool {
        self.readers.get(id.0).is_none_or(|n| *n <= 1)
    }
}

/// Of a node with two inputs, one of them constant: the other input, the constant, and whether the constant is first.
fn with_constant(b: &Builder, id: NodeId) -> Option<(NodeId, crate::graph::ParamId, bool)> {
    let &[first, second] = b.node(id).inputs.as_slice() else { return None };
    match (b.op(first), b.op(second)) {
        (Op::Constant(_), Op::Constant(_)) => None,
        (_, Op::Constant(p)) => Some((first, *p, false)),
        (Op::Constant(p), _) => Some((second, *p, true)),
        _ => None,
    }
}

/// `dims` without leading ones.
fn bare(dims: &[usize]) -> &[usize] {
    &dims[dims.iter().take_while(|n| **n == 1).count()..]
}
