//! Classes of operations, for passes and rules that treat all operations of a class alike.

use super::Op;
use super::op::{Binary, Reduction};

/// The class of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The net's input and constants.
    Source,
    /// Linear in its input up to a bias, with weights: convolutions and fully connected layers.
    Weighted,
    /// Sums and averages, of its inputs or of positions of one input: add, subtract, average pool, mean, resize.
    Sum,
    /// Products of two values: multiply, divide, power, matrix product.
    Product,
    /// A function of each value alone: activations, PReLU.
    Elementwise,
    /// Values divided by a statistic of others: batch, layer, group and local response normalisation, softmax.
    Normalisation,
    /// One of several values wins: max pool, maximum, minimum, the largest in order.
    Selection,
    /// The same values in other places: concat, select, reshape, transpose, pad, identity.
    Rearrangement,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 8] = [
        Class::Source,
        Class::Weighted,
        Class::Sum,
        Class::Product,
        Class::Elementwise,
        Class::Normalisation,
        Class::Selection,
        Class::Rearrangement,
    ];

    /// The class in words, for tables of rules.
    pub fn name(self) -> &'static str {
        match self {
            Class::Source => "sources",
            Class::Weighted => "weighted layers",
            Class::Sum => "sums",
            Class::Product => "products",
            Class::Elementwise => "element-wise functions",
            Class::Normalisation => "normalisations",
            Class::Selection => "selections",
            Class::Rearrangement => "rearrangements",
        }
    }
}

impl Op {
    /// The operation's class.
    pub fn class(&self) -> Class {
        match self {
            Op::Input | Op::Constant(_) => Class::Source,
            Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. } => Class::Weighted,
            Op::Binary(Binary::Add | Binary::Sub)
            | Op::AvgPool(_)
            | Op::Reduce { reduction: Reduction::Sum | Reduction::Mean, .. }
            | Op::Resize { .. } => Class::Sum,
            Op::MatMul | Op::Binary(Binary::Mul | Binary::Div | Binary::Pow | Binary::Gate) => Class::Product,
            Op::Activation(_) | Op::Binary(Binary::Prelu) => Class::Elementwise,
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Softmax { .. } => Class::Normalisation,
            Op::MaxPool(_)
            | Op::Reduce { reduction: Reduction::Max, .. }
            | Op::Binary(Binary::Max | Binary::Min)
            | Op::Order { .. } => Class::Selection,
            Op::Concat { .. }
            | Op::Select { .. }
            | Op::Pick { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Pad { .. }
            | Op::Identity => Class::Rearrangement,
        }
    }
}
