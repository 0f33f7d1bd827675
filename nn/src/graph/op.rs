//! The operations of a graph. Shapes and axes here are those of one sample; the batch is the axis before them.
//!
//! `Op` is a closed enum: with a new operation the compiler lists the passes that must handle it (shape inference, forward,
//! gradient, cost).

use std::sync::Arc;

pub use super::activation::{Activation, Elementary};
pub use super::window::{Padding, Window};

/// Index of a parameter tensor in [`crate::graph::Weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub usize);

/// The parameters of a convolution, or of a transposed convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Weight, out x in/groups x kh x kw; of a transposed convolution in x out/groups x kh x kw.
    pub weight: ParamId,
    /// Bias, out.
    pub bias: Option<ParamId>,
    /// Kernel size, stride, dilation and padding.
    pub window: Window,
    /// Channel groups.
    pub groups: usize,
}

/// An average or max pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    /// Window size, stride, dilation and padding.
    pub window: Window,
    /// Whether the output size is rounded up (ceil mode).
    pub ceil: bool,
    /// Whether an average counts the padding.
    pub count_padding: bool,
}

/// An element-wise function of two inputs, which broadcast as in NumPy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
    /// max(a, b)
    Max,
    /// min(a, b)
    Min,
    /// a if a > 0, else b * a (b is a learned slope)
    Prelu,
    /// a^b
    Pow,
    /// b where the truth value a is not zero, else 0, even where b is infinite or NaN: the choice that ONNX's Where makes. No gradient
    /// goes to a.
    Gate,
}

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The mean.
    Mean,
    /// The maximum.
    Max,
}

/// How a tensor is padded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Border {
    /// With a constant.
    Constant(f64),
    /// Mirrored, without repeating the edge.
    Reflect,
    /// With the edge repeated.
    Edge,
}

/// How a resize interpolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Nearest neighbour.
    Nearest,
    /// Bilinear.
    Linear,
}

/// How output positions map to input positions in a resize (ONNX `coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// (i + 1/2) / scale - 1/2
    HalfPixel,
    /// As half a pixel, moved so that the centres of both maps meet where the size was rounded.
    Symmetric,
    /// i * (in - 1) / (out - 1)
    Corners,
    /// i / scale
    Asymmetric,
}

/// One operation. Axes count within a sample: axis 0 of an image is its channels.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The net's input.
    Input,
    /// A parameter as a value; it has no batch and broadcasts.
    Constant(ParamId),
    /// Convolution over C x H x W.
    Conv2d(Conv),
    /// Transposed convolution over C x H x W; rows and columns added after the result (output padding).
    ConvTranspose2d(Conv, [usize; 2]),
    /// y = x W^T + b over the last axis; weight out x in.
    Linear {
        /// Weight, out x in.
        weight: ParamId,
        /// Bias, out.
        bias: Option<ParamId>,
    },
    /// Matrix products of two values over the last two axes; the other axes broadcast.
    MatMul,
    /// (x - mean) / sqrt(var + eps) * scale + shift, by channel (axis 0).
    BatchNorm {
        /// Scale (gamma), C.
        scale: ParamId,
        /// Shift (beta), C.
        shift: ParamId,
        /// Running mean, C.
        mean: ParamId,
        /// Running variance, C.
        var: ParamId,
        /// Added to the variance.
        eps: f64,
    },
    /// Normalisation over the axes from `axis` on, then scale and shift.
    LayerNorm {
        /// First normalised axis.
        axis: usize,
        /// Scale, shaped as the normalised axes.
        scale: ParamId,
        /// Shift, likewise.
        shift: Option<ParamId>,
        /// Added to the variance.
        eps: f64,
    },
    /// Normalisation over each group of channels, then scale and shift by channel.
    GroupNorm {
        /// Number of groups; with as many as channels it is instance normalisation.
        groups: usize,
        /// Scale, C.
        scale: ParamId,
        /// Shift, C.
        shift: ParamId,
        /// Added to the variance.
        eps: f64,
    },
    /// x / (bias + alpha / size * sum of squares over `size` neighbouring channels)^beta
    LocalResponseNorm {
        /// Channels in the sum.
        size: usize,
        /// Factor of the sum.
        alpha: f64,
        /// Exponent.
        beta: f64,
        /// Added to the sum.
        bias: f64,
    },
    /// An element-wise function.
    Activation(Activation),
    /// An element-wise function of two inputs.
    Binary(Binary),
    /// The maximum of each window; ties go to the first.
    MaxPool(Pool),
    /// The average of each window.
    AvgPool(Pool),
    /// Sum, mean or maximum over axes; over the last two it is global pooling.
    Reduce {
        /// What is computed.
        reduction: Reduction,
        /// The reduced axes, ascending.
        axes: Vec<usize>,
        /// Whether they stay, with size 1.
        keep: bool,
    },
    /// Softmax over an axis, or its logarithm.
    Softmax {
        /// The axis.
        axis: usize,
        /// Whether it is the logarithm.
        log: bool,
    },
    /// Concatenation along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Entries along an axis in a given order: slices, splits, gathers.
    Select {
        /// The axis.
        axis: usize,
        /// The entries.
        index: Arc<[usize]>,
    },
    /// The first `k` entries of an axis in sorted order, or their indices; of equal entries the one with the lower index comes first.
    /// Indices have no gradient.
    Order {
        /// The axis.
        axis: usize,
        /// How many are kept.
        k: usize,
        /// Whether the largest come first.
        largest: bool,
        /// Whether the result is their indices, from 0, instead of their values.
        indices: bool,
    },
    /// Entries of the first input along an axis, at the indices that the second input holds; on the other axes both broadcast.
    Pick {
        /// The axis.
        axis: usize,
    },
    /// The same values in another shape (flatten, squeeze, reshape).
    Reshape(Vec<usize>),
    /// Permuted axes: output axis i is input axis `perm[i]`.
    Transpose(Vec<usize>),
    /// Padding before and after each axis.
    Pad {
        /// (before, after) for each axis.
        pads: Vec<(usize, usize)>,
        /// What the padding holds.
        border: Border,
    },
    /// A map resized to height x width.
    Resize {
        /// Output height and width.
        size: [usize; 2],
        /// Output size over input size, as the file gives it, by axis.
        scale: [f64; 2],
        /// How values are interpolated.
        sampling: Sampling,
        /// How positions are mapped.
        alignment: Alignment,
    },
    /// The input unchanged: a name for a value (dropout at test time, an alias).
    Identity,
}

impl Op {
    /// The operation's usual name, lower case.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Constant(_) => "constant",
            Op::Conv2d(_) => "conv2d",
            Op::ConvTranspose2d(..) => "conv_transpose2d",
            Op::Linear { .. } => "linear",
            Op::MatMul => "matmul",
            Op::BatchNorm { .. } => "batch_norm",
            Op::LayerNorm { .. } => "layer_norm",
            Op::GroupNorm { .. } => "group_norm",
            Op::LocalResponseNorm { .. } => "local_response_norm",
            Op::Activation(a) => a.kind(),
            Op::Binary(Binary::Add) => "add",
            Op::Binary(Binary::Sub) => "sub",
            Op::Binary(Binary::Mul) => "mul",
            Op::Binary(Binary::Div) => "div",
            Op::Binary(Binary::Max) => "max",
            Op::Binary(Binary::Min) => "min",
            Op::Binary(Binary::Prelu) => "prelu",
            Op::Binary(Binary::Pow) => "power",
            Op::Binary(Binary::Gate) => "gate",
            Op::MaxPool(_) => "max_pool",
            Op::AvgPool(_) => "avg_pool",
            Op::Reduce { reduction: Reduction::Sum, .. } => "reduce_sum",
            Op::Reduce { reduction: Reduction::Mean, .. } => "reduce_mean",
            Op::Reduce { reduction: Reduction::Max, .. } => "reduce_max",
            Op::Softmax { log: false, .. } => "softmax",
            Op::Softmax { log: true, .. } => "log_softmax",
            Op::Concat { .. } => "concat",
            Op::Select { .. } => "select",
            Op::Order { indices: false, .. } => "sort",
            Op::Order { indices: true, .. } => "argsort",
            Op::Pick { .. } => "pick",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Pad { .. } => "pad",
            Op::Resize { .. } => "resize",
            Op::Identity => "identity",
        }
    }

    /// Whether the operation rectifies: an activation that does, or a learned slope. Guided backprop and DeconvNet act on
    /// these.
    pub fn rectifies(&self) -> bool {
        match self {
            Op::Activation(f) => f.rectifies(),
            Op::Binary(f) => *f == Binary::Prelu,
            Op::Input
            | Op::Constant(_)
            | Op::Conv2d(_)
            | Op::ConvTranspose2d(..)
            | Op::Linear { .. }
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::Concat { .. }
            | Op::Select { .. }
            | Op::Order { .. }
            | Op::Pick { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Identity => false,
        }
    }

    /// The parameters that the operation reads.
    pub fn params(&self) -> Vec<ParamId> {
        self.clone().params_mut().into_iter().map(|id| *id).collect()
    }

    /// As [`Op::params`], to be changed.
    pub fn params_mut(&mut self) -> Vec<&mut ParamId> {
        match self {
            Op::Constant(p) => vec![p],
            Op::Conv2d(c) | Op::ConvTranspose2d(c, _) => std::iter::once(&mut c.weight).chain(&mut c.bias).collect(),
            Op::Linear { weight, bias } => std::iter::once(weight).chain(bias).collect(),
            Op::BatchNorm { scale, shift, mean, var, .. } => vec![scale, shift, mean, var],
            Op::LayerNorm { scale, shift, .. } => std::iter::once(scale).chain(shift).collect(),
            Op::GroupNorm { scale, shift, .. } => vec![scale, shift],
            Op::Input
            | Op::MatMul
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Binary(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::Concat { .. }
            | Op::Select { .. }
            | Op::Order { .. }
            | Op::Pick { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Identity => Vec::new(),
        }
    }
}
