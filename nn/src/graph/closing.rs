//! How a graph ends, as far as it can be proved from its operations: in a softmax or its logarithm, in the logarithm of sigmoids,
//! in values that can only be probabilities (sigmoids, averages and scalings of softmaxes, 1 - p, parts of a sum), or in bounded
//! values that cannot be probabilities (a sigmoid times 120, an expected age, a vector of length 1, the index of the largest score).

use super::class::Class;
use super::dag::{Graph, NodeId};
use super::elementary::Elementary;
use super::op::{Activation, Binary, Border, Op, Reduction};
use super::weights::Weights;
use crate::tensor::to_f64;

/// How a graph ends, as far as it can be proved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closing {
    /// A softmax or its logarithm, which [`Graph::scores`] peels off.
    Softmax,
    /// The logarithm of sigmoids, which [`Graph::scores`] peels off.
    LogSigmoid,
    /// Averages, scalings and complements of sigmoids and softmaxes, within these bounds: 0 and 1, 0 and 100, or shares of
    /// a sum that is the same for every input.
    Probability {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// The same within other bounds: quantities.
    Value {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// Indices of the largest or smallest of other numbers; they have no gradient.
    Place,
    /// Numbers in order of their size, which belong to no class.
    Sorted,
    /// Anything else.
    Raw,
}

/// What one part of a joined output is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A softmax.
    Softmax,
    /// A sigmoid of each number.
    Sigmoid,
    /// Anything else.
    Raw,
}

impl Ending {
    /// Its word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Softmax => "softmax",
            Ending::Sigmoid => "sigmoid",
            Ending::Raw => "raw",
        }
    }
}

/// The range of a node's values.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
    /// Whether it follows from a sigmoid or softmax, not from constants alone.
    squashed: bool,
    /// How many entries together have the same sum for every input; 0 where that is not known.
    shares: usize,
}

impl Range {
    const UNIT: Range = Range { low: 0.0, high: 1.0, squashed: true, shares: 0 };
    const POSITIVE: Range = Range { low: 0.0, high: f64::INFINITY, squashed: false, shares: 0 };
    /// Logarithms of probabilities. Negated, they are costs: the best class has the smallest.
    const LOGARITHM: Range = Range { low: f64::NEG_INFINITY, high: 0.0, squashed: true, shares: 0 };

    /// Whether a probability, or one in percent, keeps within it.
    fn is_of_probabilities(&self) -> bool {
        self.low >= -SLACK && (self.high <= 1.0 + SLACK || (self.high - 100.0).abs() <= 100.0 * SLACK)
    }
}

/// What rounded constants may add to a bound, as a part of it.
const SLACK: f64 = 1e-6;

impl Graph {
    /// How the graph ends, before a [`Graph::last_step`].
    pub fn closing(&self, weights: &Weights) -> Closing {
        let head = self.head();
        if self.is_sorted(head) {
            return Closing::Sorted;
        }
        if self.closing_softmax().is_some() {
            return Closing::Softmax;
        }
        if self.scores() != head {
            return Closing::LogSigmoid;
        }
        if self.is_index(head) {
            return Closing::Place;
        }
        let outputs: usize = self.node(head).shape.iter().product();
        let range = self.range(head, weights);
        match range.filter(|r| r.squashed) {
            Some(Range { low, high, shares, .. }) if low >= -SLACK && outputs > 1 && shares == outputs => {
                Closing::Probability { low, high }
            }
            Some(r) if r.is_of_probabilities() => Closing::Probability { low: r.low, high: r.high },
            Some(Range { low, high, .. }) if self.is_picture(head) => Closing::Value { low, high },
            // Several numbers of both signs may be logits that are kept small.
            Some(Range { low, high, .. }) if low >= -SLACK || outputs == 1 => Closing::Value { low, high },
            // The logit of one class has both signs; the scores of several may end in a rectifier.
            None if self.classes() == 1
                && let Some(Range { low, high, .. }) = range.filter(|r| r.low >= 0.0 || r.high <= 0.0) =>
            {
                Closing::Value { low, high }
            }
            _ if self.is_unit_vector(head) => Closing::Value { low: -1.0, high: 1.0 },
            _ => Closing::Raw,
        }
    }

    /// The classes that the output may be of: its channels, where it is a map.
    fn classes(&self) -> usize {
        let maps = self.map_layout(self.head()).filter(|l| l.shape[1] * l.shape[2] > 1);
        maps.map_or_else(|| self.node(self.head()).shape.iter().product(), |l| l.shape[0])
    }

    /// Whether a node's values are indices from an [`Op::Order`], possibly reshaped.
    fn is_index(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let cast = matches!(node.op, Op::Activation(Activation::Elementary(Elementary::Truncate)));
        let laid_out = matches!(node.op, Op::Reshape(_) | Op::Transpose(_) | Op::Identity | Op::Select { .. });
        matches!(node.op, Op::Order { indices: true, .. }) || (laid_out || cast) && self.is_index(node.inputs[0])
    }

    /// Whether a node holds a vector divided by its Euclidean length.
    fn is_unit_vector(&self, id: NodeId) -> bool {
        let node = self.node(self.through_shapes(id));
        matches!(node.op, Op::Binary(Binary::Div)) && self.is_length_of(node.inputs[1], node.inputs[0])
    }

    /// Whether a node holds the Euclidean length of `x`, possibly with a lower bound.
    fn is_length_of(&self, id: NodeId, x: NodeId) -> bool {
        let node = self.node(self.through_shapes(id));
        let is = |id: &NodeId| self.through_shapes(*id) == self.through_shapes(x);
        let passed = matches!(node.op, Op::Binary(Binary::Max | Binary::Add) | Op::Select { .. });
        let step = matches!(
            node.op,
            Op::Activation(Activation::Clip { .. } | Activation::Sqrt | Activation::Pow(_))
                | Op::Reduce { reduction: Reduction::Sum, .. }
        );
        if matches!(node.op, Op::Binary(Binary::Mul)) {
            return node.inputs.iter().all(is);
        }
        (passed || step) && node.inputs.iter().any(|input| step && is(input) || self.is_length_of(*input, x))
    }

    /// The parts of an output that joins branches with different endings along one axis, each with the entries it has there:
    /// heads of different meaning (objectness, boxes and classes of a detector; tasks of a multi-task net), over which no common
    /// softmax is taken. None where all branches end alike.
    pub fn joined(&self) -> Option<Vec<(usize, Ending)>> {
        let join = self.node(self.through_shapes(self.head()));
        let Op::Concat { axis } = join.op else { return None };
        let parts: Vec<(usize, Ending)> =
            join.inputs.iter().map(|id| (self.node(*id).shape[axis], self.ending(*id))).collect();
        parts.iter().any(|(_, ending)| *ending != parts[0].1).then_some(parts)
    }

    /// How the values of a node end.
    pub fn ending(&self, id: NodeId) -> Ending {
        let op = &self.node(self.through_shapes(id)).op;
        if matches!(op, Op::Softmax { .. }) {
            Ending::Softmax
        } else if matches!(op, Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. })) {
            Ending::Sigmoid
        } else {
            Ending::Raw
        }
    }

    /// The node whose values `id` only reshapes.
    pub fn through_shapes(&self, id: NodeId) -> NodeId {
        let node = self.node(id);
        match matches!(node.op, Op::Reshape(_) | Op::Transpose(_) | Op::Identity) {
            true => self.through_shapes(node.inputs[0]),
            false => id,
        }
    }

    /// Whether `sum` is the sum of the entries of `id`, a list.
    fn is_part_of_sum(&self, id: NodeId, sum: NodeId) -> bool {
        let sum = self.node(self.through_shapes(sum));
        let whole = matches!(sum.op, Op::Reduce { reduction: Reduction::Sum, .. });
        whole
            && sum.shape.iter().product::<usize>() == 1
            && self.through_shapes(sum.inputs[0]) == self.through_shapes(id)
    }

    /// The range of a node's values; none where it is not known. Each node before it is visited once.
    fn range(&self, id: NodeId, weights: &Weights) -> Option<Range> {
        let mut wanted = vec![false; id.0 + 1];
        wanted[id.0] = true;
        for at in (0..=id.0).rev() {
            let node = self.node(NodeId(at));
            if wanted[at] && !matches!(node.op.class(), Class::Source | Class::Weighted | Class::Normalisation) {
                node.inputs.iter().for_each(|input| wanted[input.0] = true);
            }
        }
        let mut known = vec![None; id.0 + 1];
        for at in (0..=id.0).filter(|at| wanted[*at]) {
            known[at] = self.range_from(NodeId(at), &known, weights);
        }
        known[id.0]
    }

    /// The range of e to the power of a node's values.
    fn range_of_power(&self, id: NodeId) -> Range {
        let op = &self.node(id).op;
        if let Op::Softmax { log: true, axis } = op {
            return Range { shares: self.node(id).shape[*axis], ..Range::UNIT };
        }
        let probability = matches!(op, Op::Activation(Activation::LogSigmoid));
        if probability { Range::UNIT } else { Range::POSITIVE }
    }

    /// The range of a node's values from those of its inputs; none where it is not known.
    fn range_from(&self, id: NodeId, known: &[Option<Range>], weights: &Weights) -> Option<Range> {
        let node = self.node(id);
        let input = |k: usize| known[node.inputs[k].0];
        match &node.op {
            Op::Softmax { log: false, axis } => Some(Range { shares: node.shape[*axis], ..Range::UNIT }),
            Op::Softmax { log: true, .. } | Op::Activation(Activation::LogSigmoid) => Some(Range::LOGARITHM),
            Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. } | Activation::Step(_)) => {
                Some(Range::UNIT)
            }
            Op::Activation(Activation::Tanh) => Some(Range { low: -1.0, ..Range::UNIT }),
            Op::Activation(Activation::Exp) => Some(self.range_of_power(node.inputs[0])),
            Op::Activation(Activation::Relu | Activation::Softplus | Activation::Abs) => {
                Some(input(0).filter(|r| r.low >= 0.0).unwrap_or(Range::POSITIVE))
            }
            Op::Activation(Activation::Sqrt) => Some(match input(0).filter(|r| r.low >= 0.0) {
                Some(r) => Range { low: r.low.sqrt(), high: r.high.sqrt(), shares: 0, ..r },
                None => Range::POSITIVE,
            }),
            Op::Activation(Activation::Reciprocal) => power(input(0)?, -1.0),
            Op::Activation(Activation::Pow(exponent)) => power(input(0)?, *exponent),
            Op::Activation(Activation::Clip { low, high }) => Some(match input(0) {
                // What only lies beside the bounds by rounding keeps its sum.
                Some(r) if *low <= r.low + SLACK && *high >= r.high - SLACK => r,
                Some(r) => Range { low: r.low.max(*low), high: r.high.min(*high), shares: 0, ..r },
                None => Range { low: *low, high: *high, squashed: *low == 0.0 && *high == 1.0, shares: 0 },
            }),
            Op::Activation(Activation::Neg) => input(0).map(|r| Range { low: -r.high, high: -r.low, ..r }),
            Op::Activation(Activation::Elementary(f)) => {
                let round: fn(f64) -> f64 = if *f == Elementary::Round {
                    libm::rint
                } else if *f == Elementary::Floor {
                    libm::floor
                } else if *f == Elementary::Ceil {
                    libm::ceil
                } else {
                    return None;
                };
                input(0).map(|r| Range { low: round(r.low), high: round(r.high), ..r })
            }
            Op::Constant(id) => {
                let values = to_f64(weights.tensor(*id)).ok()?;
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Some(Range { low, high, squashed: false, shares: 0 })
            }
            Op::Binary(Binary::Div) if self.is_part_of_sum(node.inputs[0], node.inputs[1]) => {
                input(0).filter(|r| r.low >= 0.0).map(|_| Range { shares: node.shape.iter().product(), ..Range::UNIT })
            }
            Op::Binary(op) => combined(*op, input(0)?, input(1)?),
            Op::Reduce { reduction: Reduction::Mean, axes, .. } => {
                let shape = &self.node(node.inputs[0]).shape;
                // A mean over other axes than that of the softmax keeps the sum.
                input(0).map(|r| {
                    let kept = shape.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, n)| *n);
                    Range { shares: if kept.product::<usize>() == r.shares { r.shares } else { 0 }, ..r }
                })
            }
            Op::Reduce { reduction: Reduction::Max, .. } => input(0).map(|r| Range { shares: 0, ..r }),
            Op::Reduce { reduction: Reduction::Sum, axes, .. } => {
                let shape = &self.node(node.inputs[0]).shape;
                let n = axes.iter().map(|a| shape[*a]).product::<usize>() as f64;
                input(0).map(|r| Range { low: n * r.low, high: n * r.high, shares: 0, ..r })
            }
            Op::Concat { .. } => {
                let ranges = (0..node.inputs.len()).map(input).collect::<Option<Vec<Range>>>()?;
                ranges.into_iter().reduce(|a, b| Range {
                    low: a.low.min(b.low),
                    high: a.high.max(b.high),
                    squashed: a.squashed || b.squashed,
                    shares: 0,
                })
            }
            Op::Pad { border: Border::Constant(value), .. } => {
                input(0).map(|r| Range { low: r.low.min(*value), high: r.high.max(*value), shares: 0, ..r })
            }
            Op::Reshape(_) | Op::Transpose(_) | Op::Identity => input(0),
            Op::Select { .. } | Op::Order { indices: false, .. } | Op::Pick { .. } | Op::Resize { .. } => {
                input(0).map(|r| Range { shares: 0, ..r })
            }
            Op::Input
            | Op::Conv2d(_)
            | Op::ConvTranspose2d(..)
            | Op::Linear { .. }
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Order { indices: true, .. }
            | Op::Pad { .. } => None,
        }
    }
}

/// The range of a power of values that are not negative.
fn power(r: Range, exponent: f64) -> Option<Range> {
    let (a, b) = (libm::pow(r.low, exponent), libm::pow(r.high, exponent));
    (r.low >= 0.0).then(|| Range { low: a.min(b), high: a.max(b), shares: 0, ..r })
}

/// The range of a function of two values.
fn combined(op: Binary, a: Range, b: Range) -> Option<Range> {
    let squashed = a.squashed || b.squashed;
    let one = |r: Range| !r.squashed && r.low == r.high;
    let sums = matches!(op, Binary::Add | Binary::Sub);
    let keeps_a = (sums || matches!(op, Binary::Mul | Binary::Div)) && one(b);
    let keeps_b = matches!(op, Binary::Add | Binary::Mul) && one(a);
    let shares = if sums && a.shares == b.shares || keeps_a {
        a.shares
    } else if keeps_b {
        b.shares
    } else {
        0
    };
    let corners = |f: fn(f64, f64) -> f64| {
        let all = [f(a.low, b.low), f(a.low, b.high), f(a.high, b.low), f(a.high, b.high)];
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        Range { low, high: all.iter().copied().fold(f64::NEG_INFINITY, f64::max), squashed, shares }
    };
    match op {
        Binary::Add => Some(corners(|a, b| a + b)),
        Binary::Sub => Some(corners(|a, b| a - b)),
        Binary::Mul => Some(corners(|a, b| a * b)),
        Binary::Gate => Some(Range { low: b.low.min(0.0), high: b.high.max(0.0), squashed, shares: 0 }),
        Binary::Div if b.low > 0.0 || b.high < 0.0 => Some(corners(|a, b| a / b)),
        Binary::Max => Some(corners(f64::max)),
        Binary::Min => Some(corners(f64::min)),
        Binary::Div | Binary::Prelu | Binary::Pow => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::graph::Builder;

    #[test]
    fn a_value_that_is_used_twice_again_and_again_is_looked_at_once() {
        let mut b = Builder::new();
        let x = b.input("x", vec![4]).unwrap();
        let mut at = b.add("s", Op::Activation(Activation::Sigmoid), &[x]).unwrap();
        for k in 0..60 {
            at = b.add(&format!("m{k}"), Op::Binary(Binary::Max), &[at, at]).unwrap();
        }
        let (graph, weights) = b.finish(at).unwrap();
        assert_eq!(graph.closing(&weights), Closing::Probability { low: 0.0, high: 1.0 });
    }
}
