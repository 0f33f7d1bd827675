//! Bounds of a node's values, by interval arithmetic from sigmoids, softmaxes and constants on.

use super::class::OpClass;
use super::dag::{Graph, Node, NodeId};
use super::elementary::Elementary;
use super::op::{Activation, Binary, Border, Op, Reduction};
use super::weights::Weights;
use crate::tensor::to_f64;

/// The range of a node's values.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether it follows from a sigmoid or softmax, not from constants alone.
    pub(super) squashed: bool,
}

impl Range {
    const UNIT: Range = Range { low: 0.0, high: 1.0, squashed: true };
    const POSITIVE: Range = Range { low: 0.0, high: f64::INFINITY, squashed: false };
    /// Logarithms of probabilities. Negated, they are costs: the best class has the smallest.
    const LOGARITHM: Range = Range { low: f64::NEG_INFINITY, high: 0.0, squashed: true };

    /// Whether a probability, or one in percent, keeps within it.
    pub(super) fn is_of_probabilities(&self) -> bool {
        self.low >= -SLACK && (self.high <= 1.0 + SLACK || self.is_of_percent())
    }

    /// Whether it ends at 100.
    pub(super) fn is_of_percent(&self) -> bool {
        (self.high - 100.0).abs() <= 100.0 * SLACK
    }
}

/// What rounded constants may add to a bound, as a part of it.
pub(super) const SLACK: f64 = 1e-6;

/// The most weights of a layer behind which the bounds of independent numbers are followed: hidden layers have more.
pub(super) const FEW_WEIGHTS: usize = 1 << 16;

impl Graph {
    /// Whether `sum` is the sum of the entries of `id`, a list.
    pub(super) fn is_part_of_sum(&self, id: NodeId, sum: NodeId) -> bool {
        let sum = self.node(self.through_shapes(sum));
        let whole = matches!(sum.op, Op::Reduce { reduction: Reduction::Sum, .. });
        whole
            && sum.shape.iter().product::<usize>() == 1
            && self.through_shapes(sum.inputs[0]) == self.through_shapes(id)
    }

    /// The range of a node's values; none where it is not known. Each node before it is visited once.
    pub(super) fn range(&self, id: NodeId, weights: &Weights) -> Option<Range> {
        let mut wanted = vec![false; id.0 + 1];
        wanted[id.0] = true;
        for at in (0..=id.0).rev() {
            let node = self.node(NodeId(at));
            let stops = matches!(node.op.class(), OpClass::Source | OpClass::Weighted | OpClass::Normalisation);
            if wanted[at] && (!stops || self.is_plain_sum(node)) {
                node.inputs.iter().for_each(|input| wanted[input.0] = true);
            }
        }
        let mut known = vec![None; id.0 + 1];
        for at in (0..=id.0).filter(|at| wanted[*at]) {
            known[at] = self.range_from(NodeId(at), &known, weights);
        }
        known[id.0]
    }

    /// Whether a node is a product with few weights and no bias: perhaps sums of what comes before.
    fn is_plain_sum(&self, node: &Node) -> bool {
        let wide = |node: &Node| node.shape.last().copied().unwrap_or(1);
        matches!(node.op, Op::Linear { bias: None, .. }) && wide(node) * wide(self.node(node.inputs[0])) <= FEW_WEIGHTS
    }

    /// The range of a node's values from those of its inputs; none where it is not known.
    fn range_from(&self, id: NodeId, known: &[Option<Range>], weights: &Weights) -> Option<Range> {
        let node = self.node(id);
        let input = |k: usize| known[node.inputs[k].0];
        match &node.op {
            Op::Softmax { log: false, .. } => Some(Range::UNIT),
            Op::Softmax { log: true, .. } | Op::Activation(Activation::LogSigmoid) => Some(Range::LOGARITHM),
            Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. } | Activation::Step(_)) => {
                Some(Range::UNIT)
            }
            Op::Activation(Activation::Tanh) => Some(Range { low: -1.0, ..Range::UNIT }),
            Op::Activation(Activation::Exp) => Some(match input(0).filter(|r| r.squashed && r.high <= SLACK) {
                Some(r) => Range { low: libm::exp(r.low), high: libm::exp(r.high), ..r },
                None => Range::POSITIVE,
            }),
            Op::Activation(Activation::Log) => input(0)
                .filter(|r| r.squashed && r.low >= -SLACK && r.high <= 1.0 + SLACK)
                .map(|r| Range { low: libm::log(r.low.max(0.0)), high: libm::log(r.high.max(0.0)), ..r }),
            Op::Linear { weight, bias: None } => {
                // Sums of logarithms of probabilities, as a cumulative product makes.
                let r = input(0).filter(|r| r.squashed && r.low == f64::NEG_INFINITY && r.high <= SLACK)?;
                let adds = to_f64(weights.tensor(*weight)).ok()?.iter().all(|w| *w >= 0.0);
                adds.then_some(Range { high: 0.0, ..r })
            }
            Op::Activation(Activation::Relu | Activation::Softplus | Activation::Abs) => {
                Some(input(0).filter(|r| r.low >= 0.0).unwrap_or(Range::POSITIVE))
            }
            Op::Activation(Activation::Sqrt) => Some(match input(0).filter(|r| r.low >= 0.0) {
                Some(r) => Range { low: r.low.sqrt(), high: r.high.sqrt(), ..r },
                None => Range::POSITIVE,
            }),
            Op::Activation(Activation::Reciprocal) => power(input(0)?, -1.0),
            Op::Activation(Activation::Pow(exponent)) => power(input(0)?, *exponent),
            Op::Activation(Activation::Clip { low, high }) => Some(match input(0) {
                Some(r) if *low <= r.low + SLACK && *high >= r.high - SLACK => r,
                Some(r) => Range { low: r.low.max(*low), high: r.high.min(*high), ..r },
                None => Range { low: *low, high: *high, squashed: *low == 0.0 && *high == 1.0 },
            }),
            Op::Activation(Activation::Neg) => input(0).map(|r| Range { low: -r.high, high: -r.low, ..r }),
            Op::Activation(Activation::Elementary(f)) => {
                let round: fn(f64) -> f64 = if *f == Elementary::Round {
                    libm::rint
                } else if *f == Elementary::Floor {
                    libm::floor
                } else if *f == Elementary::Ceil {
                    libm::ceil
                } else if *f == Elementary::Sign {
                    return Some(Range { low: -1.0, high: 1.0, squashed: false });
                } else {
                    return None;
                };
                input(0).map(|r| Range { low: round(r.low), high: round(r.high), ..r })
            }
            Op::Constant(id) => {
                let values = to_f64(weights.tensor(*id)).ok()?;
                let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Some(Range { low, high, squashed: false })
            }
            Op::Binary(Binary::Div) if self.is_part_of_sum(node.inputs[0], node.inputs[1]) => {
                input(0).filter(|r| r.low >= 0.0).map(|_| Range::UNIT)
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
            Op::Pad { border: Border::Constant(value), .. } => {
                input(0).map(|r| Range { low: r.low.min(*value), high: r.high.max(*value), ..r })
            }
            Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Identity
            | Op::Select { .. }
            | Op::Order { indices: false, .. }
            | Op::Pick { .. }
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
            | Op::Order { indices: true, .. }
            | Op::Pad { .. } => None,
        }
    }
}

/// The range of a power of values that are not negative.
fn power(r: Range, exponent: f64) -> Option<Range> {
    let (a, b) = (libm::pow(r.low, exponent), libm::pow(r.high, exponent));
    (r.low >= 0.0).then(|| Range { low: a.min(b), high: a.max(b), ..r })
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
        Binary::Gate => Some(Range { low: b.low.min(0.0), high: b.high.max(0.0), squashed }),
        Binary::Div if b.low > 0.0 || b.high < 0.0 => Some(corners(|a, b| a / b)),
        Binary::Max => Some(corners(f64::max)),
        Binary::Min => Some(corners(f64::min)),
        Binary::Div | Binary::Prelu | Binary::Pow => None,
    }
}
