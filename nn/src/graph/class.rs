//! Classes of operations, for passes and rules that treat all operations of a class alike.

use super::Op;
use super::op::{Binary, Reduction};

/// The class of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpClass {
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

impl OpClass {
    /// All classes.
    pub const ALL: [OpClass; 8] = [
        OpClass::Source,
        OpClass::Weighted,
        OpClass::Sum,
        OpClass::Product,
        OpClass::Elementwise,
        OpClass::Normalisation,
        OpClass::Selection,
        OpClass::Rearrangement,
    ];

    /// The class in words, for tables of rules.
    pub fn name(self) -> &'static str {
        match self {
            OpClass::Source => "sources",
            OpClass::Weighted => "weighted layers",
            OpClass::Sum => "sums",
            OpClass::Product => "products",
            OpClass::Elementwise => "element-wise functions",
            OpClass::Normalisation => "normalisations",
            OpClass::Selection => "selections",
            OpClass::Rearrangement => "rearrangements",
        }
    }
}

impl Op {
    /// The operation's class.
    pub fn class(&self) -> OpClass {
        match self {
            Op::Input | Op::Constant(_) => OpClass::Source,
            Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. } => OpClass::Weighted,
            Op::Binary(Binary::Add | Binary::Sub)
            | Op::AvgPool(_)
            | Op::Reduce { reduction: Reduction::Sum | Reduction::Mean, .. }
            | Op::Resize { .. } => OpClass::Sum,
            Op::MatMul | Op::Binary(Binary::Mul | Binary::Div | Binary::Pow | Binary::Gate) => OpClass::Product,
            Op::Activation(_) | Op::Binary(Binary::Prelu) => OpClass::Elementwise,
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Softmax { .. } => OpClass::Normalisation,
            Op::MaxPool(_)
            | Op::Reduce { reduction: Reduction::Max, .. }
            | Op::Binary(Binary::Max | Binary::Min)
            | Op::Order { .. } => OpClass::Selection,
            Op::Concat { .. }
            | Op::Select { .. }
            | Op::Pick { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Pad { .. }
            | Op::Identity => OpClass::Rearrangement,
        }
    }
}
