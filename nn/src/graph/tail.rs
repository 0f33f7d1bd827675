//! The linear end of a graph behind softmaxes and sigmoids: sums, averages, differences, merging matrices, expected values. The
//! bounds of a weighted sum of its entries follow from the weights with which the sum reaches each softmax, whose entries sum to 1,
//! and each sigmoid.

use super::dag::{Graph, Node, NodeId, Shape};
use super::op::{Activation, Binary, Border, Conv, Op, Reduction};
use super::range::{FEW_WEIGHTS, Range, SLACK};
use super::weights::Weights;
use super::{ParamId, window::Padding};
use crate::tensor::to_f64;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The most entries of a node that are followed.
const MAX_ENTRIES: usize = 1 << 20;

/// The most products that one question takes.
const MAX_PRODUCTS: usize = 1 << 24;

/// What a clip may cut off for the sake of a logarithm.
const MOST_CUT: f64 = 1e-4;

/// The linear end of a graph: the nodes before it are softmaxes, and nodes whose bounds are known.
pub(super) struct Tail<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    head: NodeId,
    /// The parameters that were read.
    values: BTreeMap<ParamId, Rc<[f64]>>,
    /// The bounds of the nodes before it that are no softmaxes.
    ranges: BTreeMap<NodeId, Range>,
    /// Whether layers with weights are part of it.
    is_weighted: bool,
    /// Products since the last question.
    products: usize,
}

/// What is known of weighted sums of the entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    /// Lower bound.
    pub(super) low: f64,
    /// Upper bound.
    pub(super) high: f64,
    /// Whether each counts some classes of every softmax alike and the others alike, as the probability of an event does.
    pub(super) is_event: bool,
    /// Whether the classes of every softmax have evenly spaced weights, as the centres of bins have.
    pub(super) is_even: bool,
    /// Whether it follows from more than the bounds of the hidden units of a layer.
    pub(super) is_proved: bool,
}

impl Sums {
    const NONE: Sums = Sums { low: 0.0, high: 0.0, is_event: true, is_even: true, is_proved: true };

    fn with(self, other: Sums) -> Sums {
        Sums {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            is_event: self.is_event && other.is_event,
            is_even: self.is_even && other.is_even,
            is_proved: self.is_proved && other.is_proved,
        }
    }

    /// Counts one softmax, whose classes have these weights.
    fn count(&mut self, weights: &[f64]) {
        let low = weights.iter().copied().fold(f64::INFINITY, f64::min);
        let high = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let slack = SLACK * low.abs().max(high.abs());
        let step = weights.get(1).map_or(0.0, |second| second - weights[0]);
        self.low += low;
        self.high += high;
        self.is_event &= weights.iter().all(|w| w - low <= slack || high - w <= slack);
        self.is_even &= weights.len() > 2
            && step != 0.0
            && weights.windows(2).all(|pair| (pair[1] - pair[0] - step).abs() <= 1e-3 * step.abs());
    }
}

impl<'a> Tail<'a> {
    /// The linear end before `head`, whose entries lie along one axis; none where another value than a softmax or one of known
    /// bounds comes before it.
    pub(super) fn of(graph: &'a Graph, weights: &'a Weights, head: NodeId) -> Option<Self> {
        let (values, ranges) = (BTreeMap::new(), BTreeMap::new());
        let mut tail = Tail { graph, weights, head, values, ranges, is_weighted: false, products: 0 };
        let (mut open, mut has_softmax, mut most) = (BTreeSet::from([head]), false, 0);
        if graph.node(head).shape.iter().filter(|n| **n > 1).count() > 1 {
            return None;
        }
        while let Some(id) = open.pop_last() {
            let node = graph.node(id);
            if len(&node.shape) > MAX_ENTRIES {
                return None;
            }
            if tail.group(id).is_some() {
                has_softmax = true;
            } else if tail.is_linear(node) {
                if matches!(node.op, Op::Linear { .. } | Op::Conv2d(_)) {
                    tail.is_weighted = true;
                    most = most.max(node.op.params().first().map_or(0, |p| weights.tensor(*p).elem_count()));
                }
                open.extend(node.inputs.iter().copied());
            } else {
                let range =
                    graph.range(id, weights).filter(|r| r.squashed && r.low.is_finite() && r.high.is_finite())?;
                tail.ranges.insert(id, range);
            }
        }
        let is_hidden = !tail.ranges.is_empty() && most > FEW_WEIGHTS;
        ((has_softmax || !tail.ranges.is_empty()) && !is_hidden).then_some(tail)
    }

    /// The sum of all entries, where it is the same for every input.
    pub(super) fn sum(&mut self) -> Option<f64> {
        self.products = 0;
        let all = self.bounds(vec![1.0; len(&self.graph.node(self.head).shape)])?;
        let middle = (all.low + all.high) / 2.0;
        let is_constant = all.high - all.low <= SLACK * middle.abs().max(1.0);
        let near = |whole: f64| (middle - whole).abs() <= SLACK * whole;
        is_constant.then_some([1.0, 100.0].into_iter().find(|whole| near(*whole)).unwrap_or(middle))
    }

    /// What is known of every entry.
    pub(super) fn entries(&mut self) -> Option<Sums> {
        self.products = 0;
        let n = len(&self.graph.node(self.head).shape);
        let mut all: Option<Sums> = None;
        for i in 0..n {
            let mut one = vec![0.0; n];
            one[i] = 1.0;
            let sums = self.bounds(one)?;
            all = Some(all.map_or(sums, |all| all.with(sums)));
        }
        all
    }

    /// The bounds of the sum of the head's entries times `factors`.
    fn bounds(&mut self, factors: Vec<f64>) -> Option<Sums> {
        let graph = self.graph;
        let mut open = BTreeMap::from([(self.head, factors)]);
        let mut sums = Sums::NONE;
        let (mut constant, mut total, mut adds, mut softmaxes) = (0.0, 0.0, true, 0);
        while let Some((id, factors)) = open.pop_last() {
            self.products += factors.len();
            if self.products > MAX_PRODUCTS {
                return None;
            }
            if factors.iter().all(|f| *f == 0.0) {
                continue;
            }
            if let Some(axis) = self.group(id) {
                softmaxes += 1;
                grouped(&factors, &graph.node(id).shape, axis).iter().for_each(|group| sums.count(group));
            } else if let Some(range) = self.ranges.get(&id) {
                for f in factors.iter().filter(|f| **f != 0.0) {
                    sums.low += (f * range.low).min(f * range.high);
                    sums.high += (f * range.low).max(f * range.high);
                    (total, adds) = (total + f, adds && *f > 0.0);
                }
            } else {
                for (input, part) in graph.node(id).inputs.iter().zip(self.before(id, &factors, &mut constant)?) {
                    match open.get_mut(input) {
                        Some(known) => known.iter_mut().zip(part).for_each(|(a, b)| *a += b),
                        None => _ = open.insert(*input, part),
                    }
                }
            }
        }
        sums.low += constant;
        sums.high += constant;
        sums.is_even &= softmaxes > 0;
        // The weights of a layer over hidden units prove nothing; those of an average do.
        sums.is_proved = !self.is_weighted || adds && total <= 1.0 + SLACK;
        Some(sums)
    }

    /// The axis along which a node's values sum to 1, all axes where there is none within; none where they need not.
    fn group(&self, id: NodeId) -> Option<Option<usize>> {
        let (graph, node) = (self.graph, self.graph.node(id));
        if let Op::Softmax { log: false, axis } = node.op {
            return Some(Some(axis));
        }
        let before = graph.node(*node.inputs.first()?);
        if let (Op::Activation(Activation::Exp), Op::Softmax { log: true, axis }) = (&node.op, &before.op) {
            return Some(Some(*axis));
        }
        let is_part =
            matches!(node.op, Op::Binary(Binary::Div)) && graph.is_part_of_sum(node.inputs[0], node.inputs[1]);
        let adds = || graph.range(node.inputs[0], self.weights).is_some_and(|r| r.low >= 0.0);
        (is_part && adds()).then_some(None)
    }

    fn is_constant(&self, id: NodeId) -> bool {
        matches!(self.graph.node(id).op, Op::Constant(_))
    }

    /// Whether a node is linear in the values before it, up to a constant.
    fn is_linear(&self, node: &Node) -> bool {
        match &node.op {
            Op::Activation(Activation::Clip { low, high }) => self
                .graph
                .range(node.inputs[0], self.weights)
                .is_some_and(|r| r.squashed && *low <= r.low + MOST_CUT && *high >= r.high - MOST_CUT),
            Op::Activation(f) => *f == Activation::Neg,
            Op::Binary(Binary::Add | Binary::Sub) => true,
            Op::Binary(Binary::Mul) => node.inputs.iter().any(|id| self.is_constant(*id)),
            Op::Binary(Binary::Div) => self.is_constant(node.inputs[1]),
            Op::Conv2d(conv) => is_pointwise(conv),
            Op::Pad { border, .. } => matches!(border, Border::Constant(_)),
            Op::Reduce { reduction, .. } => *reduction != Reduction::Max,
            Op::Constant(_)
            | Op::Linear { .. }
            | Op::Concat { .. }
            | Op::Select { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Identity => true,
            Op::Input
            | Op::ConvTranspose2d(..)
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Binary(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Softmax { .. }
            | Op::Order { .. }
            | Op::Pick { .. }
            | Op::Resize { .. } => false,
        }
    }

    /// The values of a parameter.
    fn read(&mut self, id: ParamId) -> Option<Rc<[f64]>> {
        if let Some(known) = self.values.get(&id) {
            return Some(known.clone());
        }
        let values: Rc<[f64]> = to_f64(self.weights.tensor(id)).ok()?.into();
        self.values.insert(id, values.clone());
        Some(values)
    }

    /// The factors with which a sum of a linear node's entries times `factors` counts the entries of its inputs; what it adds to
    /// them goes to `constant`.
    fn before(&mut self, id: NodeId, factors: &[f64], constant: &mut f64) -> Option<Vec<Vec<f64>>> {
        let graph = self.graph;
        let node = graph.node(id);
        let shapes: Vec<&Shape> = node.inputs.iter().map(|i| &graph.node(*i).shape).collect();
        let mut parts: Vec<Vec<f64>> = shapes.iter().map(|shape| vec![0.0; len(shape)]).collect();
        let counted = || factors.iter().enumerate().filter(|(_, f)| **f != 0.0);
        if let Op::Constant(values) = node.op {
            *constant += self.read(values)?.iter().zip(factors).map(|(v, f)| v * f).sum::<f64>();
        } else if let Op::Reduce { reduction, axes, .. } = &node.op {
            let n =
                if *reduction == Reduction::Mean { axes.iter().map(|a| shapes[0][*a]).product::<usize>() } else { 1 };
            let kept = |index: &[usize]| -> usize {
                let other = (0..index.len()).filter(|a| !axes.contains(a));
                other.fold(0, |at, a| at * shapes[0][a] + index[a])
            };
            for at in 0..parts[0].len() {
                parts[0][at] = factors[kept(&indices(at, shapes[0]))] / n as f64;
            }
        } else if let Op::Linear { weight, bias } | Op::Conv2d(Conv { weight, bias, .. }) = &node.op {
            let (weight, bias) = (self.read(*weight)?, bias.map(|bias| self.read(bias)));
            // Entries along the summed axis lie a step apart: channels a map apart.
            let axis = if matches!(node.op, Op::Conv2d(_)) { 0 } else { node.shape.len() - 1 };
            let (out, inn, step) = (node.shape[axis], shapes[0][axis], len(&node.shape[axis + 1..]));
            for (at, f) in counted() {
                let (before, o, behind) = (at / step / out, at / step % out, at % step);
                *constant += f * bias.as_ref().map_or(Some(0.0), |bias| bias.as_ref().map(|bias| bias[o]))?;
                (0..inn).for_each(|i| parts[0][(before * inn + i) * step + behind] += f * weight[o * inn + i]);
                self.products += inn;
            }
        } else if let Op::Binary(op) = node.op {
            let scales = matches!(op, Binary::Mul | Binary::Div);
            let held = (0..2).rev().find(|k| scales && self.is_constant(node.inputs[*k]));
            let by = match held.map(|k| &graph.node(node.inputs[k]).op) {
                Some(Op::Constant(values)) => Some(self.read(*values)?),
                _ => None,
            };
            for (at, f) in counted() {
                let index = indices(at, &node.shape);
                match (&by, held) {
                    (Some(by), Some(k)) => {
                        let factor = by[broadcast(&index, shapes[k])];
                        let factor = if op == Binary::Div { 1.0 / factor } else { factor };
                        parts[1 - k][broadcast(&index, shapes[1 - k])] += f * factor;
                    }
                    _ => {
                        parts[0][broadcast(&index, shapes[0])] += f;
                        parts[1][broadcast(&index, shapes[1])] += if op == Binary::Sub { -f } else { *f };
                    }
                }
            }
        } else if node.op == Op::Activation(Activation::Neg) {
            parts[0] = factors.iter().map(|f| -f).collect();
        } else if matches!(node.op, Op::Reshape(_) | Op::Identity | Op::Activation(_)) {
            parts[0] = factors.to_vec();
        } else {
            for (at, f) in counted() {
                match source(node, indices(at, &node.shape), &shapes)? {
                    Source::Entry(k, index) => parts[k][broadcast(&index, shapes[k])] += f,
                    Source::Number(value) => *constant += f * value,
                }
            }
        }
        constant.is_finite().then_some(parts)
    }
}

/// Where an entry of a rearrangement comes from.
enum Source {
    /// Input number, and the indices in it.
    Entry(usize, Vec<usize>),
    /// Padding.
    Number(f64),
}

/// The source of the entry at `index` of a node that only rearranges; none for other nodes.
fn source(node: &Node, mut index: Vec<usize>, shapes: &[&Shape]) -> Option<Source> {
    if let Op::Transpose(perm) = &node.op {
        let mut from = index.clone();
        perm.iter().enumerate().for_each(|(to, axis)| from[*axis] = index[to]);
        return Some(Source::Entry(0, from));
    }
    if let Op::Select { axis, index: chosen } = &node.op {
        index[*axis] = chosen[index[*axis]];
        return Some(Source::Entry(0, index));
    }
    if let Op::Concat { axis } = node.op {
        for (k, shape) in shapes.iter().enumerate() {
            match index[axis].checked_sub(shape[axis]) {
                Some(rest) => index[axis] = rest,
                None => return Some(Source::Entry(k, index)),
            }
        }
    }
    if let Op::Pad { pads, border: Border::Constant(value) } = &node.op {
        let from =
            index.iter().zip(pads).zip(shapes[0]).map(|((i, (before, _)), n)| i.checked_sub(*before).filter(|i| i < n));
        return Some(from.collect::<Option<Vec<_>>>().map_or(Source::Number(*value), |from| Source::Entry(0, from)));
    }
    None
}

/// Whether a convolution treats each position alone.
fn is_pointwise(conv: &Conv) -> bool {
    let window = conv.window;
    conv.groups == 1 && window.kernel == [1, 1] && window.stride == [1, 1] && window.padding == Padding::same(0)
}

/// The factors along an axis, one list a position of the others; all of them where there is no axis.
fn grouped(factors: &[f64], shape: &[usize], axis: Option<usize>) -> Vec<Vec<f64>> {
    let Some(axis) = axis else { return vec![factors.to_vec()] };
    let (n, step) = (shape[axis], len(&shape[axis + 1..]));
    let starts = (0..factors.len()).filter(|at| at / step % n == 0);
    starts.map(|start| (0..n).map(|i| factors[start + i * step]).collect()).collect()
}

fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The indices of entry `at`.
fn indices(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, n) in index.iter_mut().zip(shape).rev() {
        (*i, at) = (at % n, at / n);
    }
    index
}

/// The entry of a value of this shape that an index of a value it broadcasts to takes; axes align at the last.
fn broadcast(index: &[usize], shape: &[usize]) -> usize {
    let lead = index.len() - shape.len();
    shape.iter().enumerate().fold(0, |at, (a, n)| at * n + if *n == 1 { 0 } else { index[lead + a] })
}
