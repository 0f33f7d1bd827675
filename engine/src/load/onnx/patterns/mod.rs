//! Puts together again what exporters wrote out: activations, normalisations and biases become one node each, so that
//! rules, summaries and maps do not hang on who wrote the file.
//!
//! Activations and normalisations are known by what they compute, not by how it is written: the stretch of element-wise
//! operations behind a value ([`stretch`]) is evaluated in f64 and compared with a table ([`curves`], [`norms`]).

mod affine;
mod curves;
mod norms;
mod stretch;

use crate::error::Result;
use crate::graph::{Builder, NodeId, Op};

/// Rewrites the nodes that `outputs` depend on; names stay, values stay but for rounding.
///
/// # Errors
/// Where a rewritten node would not fit, which is a defect.
pub fn restore(b: &mut Builder, outputs: &[NodeId]) -> Result<()> {
    let passes: [Pass; 5] = [curves::activation, affine::bias, norms::norm, norms::regrouped, affine::scaled_norm];
    for pass in passes {
        let live = Live::new(b, outputs);
        b.ids().filter(|id| live.readers[id.0] > 0).try_for_each(|id| pass(b, id, &live))?;
    }
    // From the last: the last step of a batch normalisation takes in all others.
    let live = Live::new(b, outputs);
    b.ids().rev().filter(|id| live.readers[id.0] > 0).try_for_each(|id| affine::batch_norm(b, id, &live))
}

/// Rewrites a node where it is the end of what the pass knows.
type Pass = fn(&mut Builder, NodeId, &Live) -> Result<()>;

/// Who reads a value, before a pass.
struct Live {
    /// The readers of each node's value; the output counts as read.
    readers: Vec<usize>,
}

impl Live {
    fn new(b: &Builder, outputs: &[NodeId]) -> Self {
        let needed = b.ancestors(outputs);
        let mut readers = vec![0; needed.len()];
        outputs.iter().for_each(|output| readers[output.0] += 1);
        for id in b.ids().filter(|id| needed[id.0]) {
            b.node(id).inputs.iter().for_each(|i| readers[i.0] += 1);
        }
        Live { readers }
    }

    /// Whether only one node reads the value.
    fn alone(&self, id: NodeId) -> bool {
        self.readers.get(id.0).is_none_or(|n| *n <= 1)
    }
}

/// The operands of a node of two inputs, one a constant: the other, the constant, and whether that came first.
fn with_constant(b: &Builder, id: NodeId) -> Option<(NodeId, crate::graph::ParamId, bool)> {
    let &[first, second] = b.node(id).inputs.as_slice() else { return None };
    match (b.op(first), b.op(second)) {
        (Op::Constant(_), Op::Constant(_)) => None,
        (_, Op::Constant(p)) => Some((first, *p, false)),
        (Op::Constant(p), _) => Some((second, *p, true)),
        _ => None,
    }
}

/// `dims` without the ones before the first other number.
fn bare(dims: &[usize]) -> &[usize] {
    &dims[dims.iter().take_while(|n| **n == 1).count()..]
}
