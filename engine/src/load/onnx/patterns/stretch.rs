//! A stretch of element-wise operations and reductions between one value and another, evaluated in f64.

use crate::graph::op::{Activation, Reduction};
use crate::graph::{Builder, NodeId, Op};
use crate::kernels::{binary, elementwise, reduce};
use crate::tensor::to_f64;
use std::collections::{BTreeMap, BTreeSet};

/// The most operations in a stretch.
const MOST: usize = 32;

/// What lies between a value and the only value that it is computed from, constants apart.
pub struct Stretch {
    /// The value at its start.
    pub base: NodeId,
    /// The operations, each after what it takes.
    pub nodes: Vec<NodeId>,
    /// The constants with more than one entry: all of one shape.
    pub wide: Vec<usize>,
    constants: BTreeMap<NodeId, Vec<f64>>,
}

/// The stretches that end at `root`, from the shortest to the longest.
pub fn ending_at(b: &Builder, root: NodeId) -> Vec<Stretch> {
    let (mut open, mut inside) = (BTreeSet::from([root]), Vec::new());
    let (mut constants, mut wide) = (BTreeMap::new(), Vec::new());
    let mut found = Vec::new();
    while let Some(&top) = open.last() {
        if open.len() == 1 && top != root && b.shape(top) == b.shape(root) {
            let nodes = inside.iter().rev().copied().collect();
            found.push(Stretch { base: top, nodes, wide: wide.clone(), constants: constants.clone() });
        }
        if inside.len() == MOST || !passes(b, top, root) {
            break;
        }
        open.remove(&top);
        inside.push(top);
        for input in &b.node(top).inputs {
            let Op::Constant(p) = b.op(*input) else {
                open.insert(*input);
                continue;
            };
            let tensor = b.weights().tensor(*p);
            if tensor.elem_count() > 1 {
                let dims = super::bare(tensor.dims());
                if !wide.is_empty() && wide != dims {
                    return found;
                }
                wide = dims.to_vec();
            }
            let Ok(values) = to_f64(tensor) else { return found };
            constants.insert(*input, values);
        }
    }
    found
}

/// Whether a stretch may go through a node: element-wise over `root`'s shape, or a reduction of it that keeps its axes.
fn passes(b: &Builder, id: NodeId, root: NodeId) -> bool {
    let (shape, full) = (b.shape(id), b.shape(root));
    let fits = shape.len() == full.len() && shape.iter().zip(full).all(|(n, m)| n == m || *n == 1);
    fits && match b.op(id) {
        Op::Activation(_) | Op::Binary(_) | Op::Identity => true,
        Op::Reduce { reduction, keep, .. } => *keep && *reduction == Reduction::Mean,
        _ => false,
    }
}

impl Stretch {
    /// The axes over which it takes means, where all its means are over the same.
    pub fn axes(&self, b: &Builder) -> Option<Vec<usize>> {
        let mut all = self.nodes.iter().filter_map(|id| match b.op(*id) {
            Op::Reduce { axes, .. } => Some(axes),
            _ => None,
        });
        let first = all.next()?;
        all.all(|axes| axes == first).then(|| first.clone())
    }

    /// Whether an operation in it reads its own value alone.
    pub fn is_pointwise(&self, b: &Builder) -> bool {
        self.nodes.iter().all(|id| !matches!(b.op(*id), Op::Reduce { .. }) && b.shape(*id) == b.shape(self.base))
    }

    /// The single numbers in it: constants and the bounds of clips, steps and the like.
    pub fn numbers(&self, b: &Builder) -> Vec<f64> {
        let bounds = self.nodes.iter().flat_map(|id| match *b.op(*id) {
            Op::Activation(Activation::Clip { low, high }) => [low, high],
            Op::Activation(Activation::Step(at) | Activation::ThresholdedRelu(at)) => [at, at],
            Op::Activation(Activation::Shrink { lambda, .. }) => [lambda, lambda],
            _ => [0.0, 0.0],
        });
        self.constants.values().filter(|v| v.len() == 1).map(|v| v[0]).chain(bounds).collect()
    }

    /// Its value over `x` of `dims`, every wide constant being its entry `index`.
    pub fn evaluate(&self, b: &Builder, x: &[f64], dims: &[usize], index: usize) -> Option<Vec<f64>> {
        let ones = vec![1; dims.len()];
        let mut known: BTreeMap<NodeId, (Vec<f64>, Vec<usize>)> = BTreeMap::new();
        for (id, values) in &self.constants {
            known.insert(*id, (vec![*values.get(if values.len() == 1 { 0 } else { index })?], ones.clone()));
        }
        known.insert(self.base, (x.to_vec(), dims.to_vec()));
        for id in &self.nodes {
            let inputs = b.node(*id).inputs.iter().map(|i| known.get(i)).collect::<Option<Vec<_>>>()?;
            let (v, from) = *inputs.first()?;
            let value = match b.op(*id) {
                Op::Identity => (v.clone(), from.clone()),
                Op::Activation(f) => (elementwise::forward(*f, v), from.clone()),
                Op::Binary(f) => {
                    let (w, with) = *inputs.get(1)?;
                    let to: Vec<usize> = from.iter().zip(with).map(|(n, m)| *n.max(m)).collect();
                    (binary::forward(*f, (v, from), (w, with), &to), to)
                }
                Op::Reduce { reduction, axes, .. } => {
                    let to = (0..from.len()).map(|a| if axes.contains(&a) { 1 } else { from[a] }).collect();
                    (reduce::forward(*reduction, from, axes, v), to)
                }
                _ => return None,
            };
            known.insert(*id, value);
        }
        known.remove(self.nodes.last()?).map(|(values, _)| values)
    }
}
