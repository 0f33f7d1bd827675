//! A stretch: the element-wise operations and reductions between one value and another, evaluated in f64.

use super::Live;
use crate::graph::op::{Activation, Binary, Reduction};
use crate::graph::{Builder, NodeId, Op};
use crate::kernels::{binary, elementwise, reduce};
use crate::tensor::to_f64;
use candle_core::Tensor;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How many operations a stretch may have.
const MAX_OPERATIONS: usize = 32;
/// The cost of a power, an exponential and the like, in additions.
const TRANSCENDENTAL_COST: usize = 8;
/// The overhead of an operation on an array, in additions.
const OPERATION_COST: usize = 64;

/// The operations between a value and the only other value that it is computed from, apart from constants.
pub struct Stretch {
    /// The value at its start.
    pub base: NodeId,
    /// The shape of the constants with more than one entry, which all have the same.
    pub wide: Vec<usize>,
    /// The operations that compute its end value, of which it has the first `count`.
    behind: Rc<Behind>,
    count: usize,
}

/// The operations that compute a value; all stretches that end at this value are prefixes of them.
#[derive(Default)]
struct Behind {
    /// The operations, each before its operands.
    nodes: Vec<NodeId>,
    /// The constants, each with the index of the first operation that uses it.
    constants: Vec<(usize, NodeId, Constant)>,
}

/// A constant's values; those of an array are read only when they are needed.
struct Constant {
    tensor: Tensor,
    values: OnceCell<Option<Vec<f64>>>,
}

impl Constant {
    /// The entry `index`; of a single number, that number.
    fn entry(&self, index: usize) -> Option<f64> {
        let values = self.values.get_or_init(|| to_f64(&self.tensor).ok()).as_ref()?;
        values.get(if values.len() == 1 { 0 } else { index }).copied()
    }
}

/// The stretches that end at `root`, in order of length.
pub fn ending_at(b: &Builder, root: NodeId) -> Vec<Stretch> {
    let mut open = BTreeSet::from([root]);
    let (mut behind, mut wide) = (Behind::default(), Vec::new());
    let mut found = Vec::new();
    'further: while let Some(&top) = open.last() {
        if open.len() == 1 && top != root && b.shape(top) == b.shape(root) {
            found.push((top, wide.clone(), behind.nodes.len()));
        }
        if behind.nodes.len() == MAX_OPERATIONS || !passes(b, top, root) {
            break;
        }
        open.remove(&top);
        for input in &b.node(top).inputs {
            let Op::Constant(p) = b.op(*input) else {
                open.insert(*input);
                continue;
            };
            let tensor = b.weights().tensor(*p);
            if tensor.elem_count() > 1 {
                let dims = super::bare(tensor.dims());
                if !wide.is_empty() && wide != dims {
                    break 'further;
                }
                wide = dims.to_vec();
            }
            let constant = Constant { tensor: tensor.clone(), values: OnceCell::new() };
            behind.constants.push((behind.nodes.len(), *input, constant));
        }
        behind.nodes.push(top);
    }
    let behind = Rc::new(behind);
    let stretch = |(base, wide, count)| Stretch { base, wide, behind: behind.clone(), count };
    found.into_iter().map(stretch).collect()
}

/// Whether a stretch may include a node: element-wise over `root`'s shape, or a reduction of it that keeps its axes.
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
    /// The operations, each after its operands.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.behind.nodes[..self.count].iter().rev().copied()
    }

    fn constants(&self) -> impl Iterator<Item = (NodeId, &Constant)> + '_ {
        let own = self.behind.constants.iter().take_while(|(at, ..)| *at < self.count);
        own.map(|(_, id, constant)| (*id, constant))
    }

    /// The axes of its means, where all its means have the same axes.
    pub fn axes(&self, b: &Builder) -> Option<Vec<usize>> {
        let mut all = self.nodes().filter_map(|id| match b.op(id) {
            Op::Reduce { axes, .. } => Some(axes),
            _ => None,
        });
        let first = all.next()?;
        all.all(|axes| axes == first).then(|| first.clone())
    }

    /// Whether each value depends only on the value at the same position.
    pub fn is_pointwise(&self, b: &Builder) -> bool {
        self.nodes().all(|id| !matches!(b.op(id), Op::Reduce { .. }) && b.shape(id) == b.shape(self.base))
    }

    /// Whether it can only be a straight line: sums, and products with constants.
    pub fn is_straight(&self, b: &Builder) -> bool {
        self.nodes().all(|id| match b.op(id) {
            Op::Identity | Op::Activation(Activation::Neg) | Op::Binary(Binary::Add | Binary::Sub) => true,
            Op::Binary(Binary::Mul) => super::with_constant(b, id).is_some(),
            Op::Binary(Binary::Div) => super::with_constant(b, id).is_some_and(|(_, _, first)| !first),
            _ => false,
        })
    }

    /// The single numbers in it: constants, and bounds of clips, steps and the like.
    pub fn numbers(&self, b: &Builder) -> Vec<f64> {
        let bounds = self.nodes().flat_map(|id| match *b.op(id) {
            Op::Activation(Activation::Clip { low, high }) => [low, high],
            Op::Activation(Activation::Step(at) | Activation::ThresholdedRelu(at)) => [at, at],
            Op::Activation(Activation::Shrink { lambda, .. }) => [lambda, lambda],
            _ => [0.0, 0.0],
        });
        let single = self.constants().filter(|(_, c)| c.tensor.elem_count() == 1);
        single.filter_map(|(_, c)| c.entry(0)).chain(bounds).collect()
    }

    /// The function of a pointwise stretch, with entry `index` of every wide constant.
    pub fn curve<'a>(&self, b: &'a Builder, live: &'a Live, index: usize) -> Option<Curve<'a>> {
        let mut slots: Vec<(NodeId, f64)> = vec![(self.base, 0.0)];
        for (id, constant) in self.constants() {
            slots.push((id, constant.entry(index)?));
        }
        let mut steps = Vec::with_capacity(self.count);
        for id in self.nodes() {
            let slot = |input: &NodeId| slots.iter().position(|(id, _)| id == input);
            let inputs = b.node(id).inputs.iter().map(slot).collect::<Option<Vec<usize>>>()?;
            let (first, second) = (*inputs.first()?, inputs.get(1).copied());
            steps.push(match (b.op(id), second) {
                (Op::Identity, _) => Step::Same(first),
                (Op::Activation(f), _) => Step::One(*f, first),
                (Op::Binary(f), Some(second)) => Step::Two(*f, first, second),
                _ => return None,
            });
            slots.push((id, 0.0));
        }
        let start = slots[..slots.len() - steps.len()].iter().map(|(_, v)| *v).collect();
        let cost = steps.iter().map(Step::cost).sum();
        Some(Curve { steps, start, cost, live })
    }

    /// Its value for the input `x` of shape `dims`, with entry `index` of every wide constant.
    pub fn evaluate(&self, b: &Builder, live: &Live, x: &[f64], dims: &[usize], index: usize) -> Option<Vec<f64>> {
        live.spend((x.len() + OPERATION_COST) * self.count)?;
        let ones = vec![1; dims.len()];
        let mut known: BTreeMap<NodeId, (Vec<f64>, Vec<usize>)> = BTreeMap::new();
        for (id, constant) in self.constants() {
            known.insert(id, (vec![constant.entry(index)?], ones.clone()));
        }
        known.insert(self.base, (x.to_vec(), dims.to_vec()));
        for id in self.nodes() {
            let inputs = b.node(id).inputs.iter().map(|i| known.get(i)).collect::<Option<Vec<_>>>()?;
            let (v, from) = *inputs.first()?;
            let value = match b.op(id) {
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
            known.insert(id, value);
        }
        known.remove(self.behind.nodes.first()?).map(|(values, _)| values)
    }
}

/// A function of one number, prepared for repeated evaluation.
pub struct Curve<'a> {
    steps: Vec<Step>,
    /// The initial registers: the input's place and the constants.
    start: Vec<f64>,
    /// The cost of an evaluation, in additions.
    cost: usize,
    live: &'a Live,
}

/// An operation on registers.
enum Step {
    Same(usize),
    One(Activation, usize),
    Two(Binary, usize, usize),
}

impl Step {
    /// An upper bound on its cost, in additions.
    fn cost(&self) -> usize {
        match self {
            Step::Same(_) | Step::Two(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, ..) => 1,
            Step::One(..) | Step::Two(..) => TRANSCENDENTAL_COST,
        }
    }
}

impl Curve<'_> {
    /// The function's value at `x`; `None` once the work for the file is used up.
    pub fn at(&self, x: f64) -> Option<f64> {
        self.live.spend(self.cost)?;
        let mut values = [0.0; 1 + 4 * MAX_OPERATIONS];
        let mut end = self.start.len();
        values.get_mut(..end)?.copy_from_slice(&self.start);
        values[0] = x;
        for step in &self.steps {
            *values.get_mut(end)? = match *step {
                Step::Same(a) => values[a],
                Step::One(f, a) => elementwise::value(f, values[a]),
                Step::Two(f, a, b) => binary::value(f, values[a], values[b]),
            };
            end += 1;
        }
        Some(values[end - 1])
    }
}
