//! How a graph ends, as far as it can be proved from its operations: in a softmax or its logarithm, or in values that can only be
//! probabilities (sigmoids, averages and scalings of softmaxes, 1 - p).

use super::class::Class;
use super::dag::{Graph, NodeId};
use super::op::{Activation, Binary, Op, Reduction};
use super::weights::Weights;
use crate::tensor::to_f64;

/// How a graph ends, as far as it can be proved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closing {
    /// A softmax or its logarithm, which [`Graph::scores`] peels off.
    Softmax,
    /// Averages, scalings and complements of sigmoids and softmaxes, within these bounds.
    Probability {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
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
}

impl Graph {
    /// How the graph ends.
    pub fn closing(&self, weights: &Weights) -> Closing {
        if self.scores() != self.output() {
            return Closing::Softmax;
        }
        match self.range(self.output(), weights) {
            Some(Range { low, high, squashed: true }) if low >= -1e-6 => Closing::Probability { low, high },
            _ => Closing::Raw,
        }
    }

    /// The parts of an output that joins branches with different endings along one axis, each with the entries it has there:
    /// heads of different meaning (objectness, boxes and classes of a detector; tasks of a multi-task net), which no one
    /// softmax is taken over. None where all branches end alike.
    pub fn joined(&self) -> Option<Vec<(usize, Ending)>> {
        let join = self.node(self.through_shapes(self.output()));
        let Op::Concat { axis } = join.op else { return None };
        let parts: Vec<(usize, Ending)> =
            join.inputs.iter().map(|id| (self.node(*id).shape[axis], self.ending(*id))).collect();
        parts.iter().any(|(_, ending)| *ending != parts[0].1).then_some(parts)
    }

    fn ending(&self, id: NodeId) -> Ending {
        let op = &self.node(self.through_shapes(id)).op;
        if matches!(op, Op::Softmax { .. }) {
            Ending::Softmax
        } else if matches!(op, Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. })) {
            Ending::Sigmoid
        } else {
            Ending::Raw
        }
    }

    /// The node whose values a node only lays out anew.
    fn through_shapes(&self, id: NodeId) -> NodeId {
        let node = self.node(id);
        match matches!(node.op, Op::Reshape(_) | Op::Transpose(_) | Op::Identity) {
            true => self.through_shapes(node.inputs[0]),
            false => id,
        }
    }

    /// The range of a node's values; none where it is not known. Each node before it is looked at once.
    fn range(&self, id: NodeId, weights: &Weights) -> Option<Range> {
        let mut wanted = vec![false; id.0 + 1];
        wanted[id.0] = true;
        for at in (0..=id.0).rev() {
            let node = self.node(NodeId(at));
            if wanted[at] && !matches!(node.op.class(), Class::Source | Class::Affine | Class::Normalisation) {
                node.inputs.iter().for_each(|input| wanted[input.0] = true);
            }
        }
        let mut known = vec![None; id.0 + 1];
        for at in (0..=id.0).filter(|at| wanted[*at]) {
            known[at] = self.range_from(NodeId(at), &known, weights);
        }
        known[id.0]
    }

    /// The range of a node's values from those of its inputs; none where it is not known.
    fn range_from(&self, id: NodeId, known: &[Option<Range>], weights: &Weights) -> Option<Range> {
        let node = self.node(id);
        let input = |k: usize| known[node.inputs[k].0];
        let unit = Range { low: 0.0, high: 1.0, squashed: true };
        match &node.op {
            Op::Softmax { log: false, .. } => Some(unit),
            Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. }) => Some(unit),
            Op::Activation(Activation::Exp)
                if matches!(self.node(node.inputs[0]).op, Op::Softmax { log: true, .. }) =>
            {
                Some(unit)
            }
            Op::Activation(Activation::Clip { low, high }) => {
                input(0).map(|r| Range { low: r.low.max(*low), high: r.high.min(*high), ..r })
            }
            Op::Activation(Activation::Neg) => input(0).map(|r| Range { low: -r.high, high: -r.low, ..r }),
            Op::Constant(id) => {
                let values = to_f64(weights.tensor(*id)).ok()?;
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Some(Range { low, high, squashed: false })
            }
            Op::Binary(op) => combined(*op, input(0)?, input(1)?),
            Op::Reduce { reduction: Reduction::Mean | Reduction::Max, .. } => input(0),
            Op::Reduce { reduction: Reduction::Sum, axes, .. } => {
                let shape = &self.node(node.inputs[0]).shape;
                let n = axes.iter().map(|a| shape[*a]).product::<usize>() as f64;
                input(0).map(|r| Range { low: n * r.low, high: n * r.high, ..r })
            }
            Op::Concat { .. } => {
                let ranges = (0..node.inputs.len()).map(input).collect::<Option<Vec<Range>>>()?;
                ranges.into_iter().reduce(|a, b| Range {
                    low: a.low.min(b.low),
                    high: a.high.max(b.high),
                    squashed: a.squashed || b.squashed,
                })
            }
            Op::Select { .. }
            | Op::Order { places: false, .. }
            | Op::Pick { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Identity
            | Op::Resize { .. } => input(0),
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
            | Op::Softmax { log: true, .. }
            | Op::Order { places: true, .. }
            | Op::Pad { .. } => None,
        }
    }
}

/// The range of a function of two values.
fn combined(op: Binary, a: Range, b: Range) -> Option<Range> {
    let squashed = a.squashed || b.squashed;
    let corners = |f: fn(f64, f64) -> f64| {
        let all = [f(a.low, b.low), f(a.low, b.high), f(a.high, b.low), f(a.high, b.high)];
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        Range { low, high: all.iter().copied().fold(f64::NEG_INFINITY, f64::max), squashed }
    };
    match op {
        Binary::Add => Some(corners(|a, b| a + b)),
        Binary::Sub => Some(corners(|a, b| a - b)),
        Binary::Mul => Some(corners(|a, b| a * b)),
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
