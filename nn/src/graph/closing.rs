//! How a graph ends, as far as it can be proved from its operations: in a softmax or its logarithm, in the logarithm of sigmoids,
//! in values that can only be probabilities (sigmoids, averages, scalings and merged classes of softmaxes, 1 - p, parts of a sum), or
//! in values that cannot be probabilities (a sigmoid times 120, an expected age, a vector of length 1, distances, the index of the
//! largest score).

use super::dag::{Graph, NodeId};
use super::elementary::Elementary;
use super::op::{Activation, Binary, Op, Reduction};
use super::range::{Range, SLACK};
use super::tail::Tail;
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
        /// What stands for certainty: 1, 100 of percent, or the sum of all shares.
        whole: f64,
    },
    /// Logarithms of the probabilities of exclusive classes.
    LogProbability,
    /// The same within other bounds, or distances: quantities.
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
        if let Some(closing) = self.closing_logarithm(head, weights).or_else(|| self.bounded(head, range, weights)) {
            return closing;
        }
        match range.filter(|r| r.squashed && (r.low.is_finite() || r.high.is_finite())) {
            Some(Range { low, high, .. }) if self.is_picture(head) => Closing::Value { low, high },
            // Several numbers of both signs may be logits that are kept small.
            Some(Range { low, high, .. }) if low >= -SLACK || outputs == 1 => Closing::Value { low, high },
            // The logit of one class has both signs; the scores of several may end in a rectifier.
            None if self.classes() == 1
                && let Some(Range { low, high, .. }) = range.filter(|r| r.low >= 0.0 || r.high <= 0.0) =>
            {
                Closing::Value { low, high }
            }
            _ if self.is_unit_vector(head) || self.is_sign() => Closing::Value { low: -1.0, high: 1.0 },
            _ if self.is_distance(head, weights) => Closing::Value { low: 0.0, high: f64::INFINITY },
            _ => Closing::Raw,
        }
    }

    /// The closing of a node whose values can only be probabilities within their `range`, or quantities made of them; none for
    /// others.
    fn bounded(&self, id: NodeId, range: Option<Range>, weights: &Weights) -> Option<Closing> {
        let whole_of = |high: f64| if high > 50.0 { 100.0 } else { 1.0 };
        if let Some(r) = range.filter(|r| r.squashed && r.is_of_probabilities()) {
            return Some(Closing::Probability { low: r.low, high: r.high, whole: whole_of(r.high) });
        }
        let outputs: usize = self.node(id).shape.iter().product();
        let mut tail = Tail::of(self, weights, id)?;
        let sum = if outputs > 1 { tail.sum().filter(|sum| *sum > SLACK) } else { None };
        let all = tail.entries();
        let known = all.map(|all| Range { low: all.low, high: all.high, squashed: true });
        let Range { low, high, .. } = known.or(range.filter(|r| r.squashed))?;
        let is_positive = |sum: f64| low >= -SLACK * sum.max(1.0);
        if let Some(sum) = sum {
            // Entries that can hold more than half of the sum are shares of it; others have sums of their own.
            let is_share = high > sum / 2.0 * (1.0 + SLACK) && high <= sum * (1.0 + SLACK);
            // Differences of neighbouring sigmoids sum to 1, and may lie below 0 by training alone.
            let whole = match high <= 1.0 + SLACK {
                true => (is_positive(sum) || sum == 1.0).then_some(1.0),
                false => (is_positive(sum) && is_share).then_some(sum),
            };
            if let Some(whole) = whole {
                return Some(Closing::Probability { low, high, whole });
            }
        }
        let all = all.filter(|all| all.is_proved)?;
        if all.is_event && (Range { low, high, squashed: true }).is_of_probabilities() {
            return Some(Closing::Probability { low, high, whole: whole_of(high) });
        }
        (is_positive(1.0) || outputs == 1 || all.is_even).then_some(Closing::Value { low, high })
    }

    /// The closing of a logarithm of probabilities.
    fn closing_logarithm(&self, head: NodeId, weights: &Weights) -> Option<Closing> {
        let node = self.node(self.through_shapes(head));
        let before = node.inputs.first().copied().filter(|_| node.op == Op::Activation(Activation::Log))?;
        let Closing::Probability { high, .. } = self.bounded(before, self.range(before, weights), weights)? else {
            return None;
        };
        let outputs: usize = self.node(before).shape.iter().product();
        let is_exclusive = outputs > 1 && Tail::of(self, weights, before)?.sum().is_some_and(|sum| sum > SLACK);
        Some(match is_exclusive {
            true => Closing::LogProbability,
            false => Closing::Value { low: f64::NEG_INFINITY, high: libm::log(high) },
        })
    }

    /// Whether a node holds distances or lengths: sums of squares or of sizes, or functions of them that keep their order.
    fn is_distance(&self, id: NodeId, weights: &Weights) -> bool {
        let node = self.node(self.through_shapes(id));
        let before = |k: usize| self.is_distance(node.inputs[k], weights);
        if matches!(node.op, Op::Reduce { reduction: Reduction::Sum | Reduction::Mean, .. }) {
            let each = self.node(self.through_shapes(node.inputs[0]));
            let is_square = matches!(each.op, Op::Binary(Binary::Mul)) && each.inputs[0] == each.inputs[1];
            return is_square || [Activation::Abs, Activation::Pow(2.0)].map(Op::Activation).contains(&each.op);
        }
        if matches!(node.op, Op::Binary(Binary::Add | Binary::Mul | Binary::Div | Binary::Max)) {
            let Op::Constant(values) = self.node(node.inputs[1]).op else { return false };
            return before(0) && to_f64(weights.tensor(values)).is_ok_and(|all| all.iter().all(|v| *v >= 0.0));
        }
        let keeps = matches!(
            node.op,
            Op::Activation(Activation::Sqrt | Activation::Relu | Activation::Clip { .. })
                | Op::Concat { .. }
                | Op::Select { .. }
        );
        let is_root = matches!(node.op, Op::Activation(Activation::Pow(exponent)) if exponent > 0.0);
        (keeps || is_root) && (0..node.inputs.len()).all(before)
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
        assert_eq!(graph.closing(&weights), Closing::Probability { low: 0.0, high: 1.0, whole: 1.0 });
    }
}
