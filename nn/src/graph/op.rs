//! The operations of a graph. Shapes here are those of one sample: the batch is the axis before them.
//!
//! `Op` is a closed enum on purpose: a new operation makes the compiler list every pass that must learn it
//! (shape inference, forward, gradient, receptive field, cost).

use std::sync::Arc;

/// Index of a parameter tensor in [`crate::graph::Weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub usize);

/// Rows or columns added on each side: top, left, bottom, right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The same number on each side.
    pub fn same(n: usize) -> Self {
        Padding { top: n, left: n, bottom: n, right: n }
    }

    /// No padding at all.
    pub fn is_zero(&self) -> bool {
        *self == Padding::default()
    }
}

/// A window that slides over rows and columns: of a convolution or a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Distance between the window's taps.
    pub dilation: [usize; 2],
    /// What surrounds the map: zeros for a convolution, nothing for a pool.
    pub padding: Padding,
}

impl Window {
    /// A square window of size `k`, stride `s` and padding `p`.
    pub fn square(k: usize, s: usize, p: usize) -> Self {
        Window { kernel: [k, k], stride: [s, s], dilation: [1, 1], padding: Padding::same(p) }
    }

    /// Rows and columns that the dilated window spans.
    pub fn span(&self) -> [usize; 2] {
        [0, 1].map(|a| (self.kernel[a] - 1) * self.dilation[a] + 1)
    }

    /// Output height and width over a map of `h` x `w`, rounding up in ceil mode; `None` where the window does not fit.
    ///
    /// In ceil mode a last window that would start in the padding behind the map is dropped, as PyTorch and ONNX do.
    pub fn output(&self, [h, w]: [usize; 2], ceil: bool) -> Option<[usize; 2]> {
        let p = self.padding;
        let axis = |size: usize, before: usize, after: usize, a: usize| {
            let room = (size + before + after).checked_sub(self.span()[a])?;
            let s = self.stride[a];
            let mut n = if ceil { room.div_ceil(s) } else { room / s } + 1;
            if ceil && (n - 1) * s >= size + before {
                n -= 1;
            }
            Some(n)
        };
        Some([axis(h, p.top, p.bottom, 0)?, axis(w, p.left, p.right, 1)?])
    }
}

/// A convolution: weight out x in/groups x kh x kw.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Weight, out x in/groups x kh x kw (for a transposed one in x out/groups x kh x kw).
    pub weight: ParamId,
    /// Bias, out.
    pub bias: Option<ParamId>,
    /// Where the kernel stands.
    pub window: Window,
    /// Channel groups that do not mix.
    pub groups: usize,
}

/// An average or max pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    /// Where the window stands.
    pub window: Window,
    /// Whether a last, partly outside window counts.
    pub ceil: bool,
    /// Whether an average divides by the window's whole size, padding included.
    pub count_padding: bool,
}

/// An element-wise function of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(0, x)
    Relu,
    /// min(max(x, low), high); ReLU6 is `Clip` of 0 and 6.
    Clip {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// x where positive, else slope * x
    LeakyRelu(f64),
    /// x where larger than alpha, else 0
    ThresholdedRelu(f64),
    /// x where positive, else alpha * (e^x - 1)
    Elu(f64),
    /// scale * (x where positive, else alpha * (e^x - 1))
    Selu {
        /// alpha
        alpha: f64,
        /// gamma of ONNX
        scale: f64,
    },
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// clip(slope * x + offset, 0, 1)
    HardSigmoid {
        /// Factor of x.
        slope: f64,
        /// Added before clipping.
        offset: f64,
    },
    /// x * clip(x / 6 + 1/2, 0, 1)
    HardSwish,
    /// x * sigmoid(x)
    Silu,
    /// x * tanh(softplus(x))
    Mish,
    /// x * Phi(x), Phi the normal distribution; or its tanh approximation
    Gelu {
        /// Whether the tanh form is used.
        tanh: bool,
    },
    /// ln(1 + e^x)
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// tanh x
    Tanh,
    /// The error function.
    Erf,
    /// e^x
    Exp,
    /// ln x
    Log,
    /// The square root.
    Sqrt,
    /// |x|
    Abs,
    /// -x
    Neg,
    /// 1 / x
    Reciprocal,
    /// x^p
    Pow(f64),
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
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// a where positive, else b * a (a learned slope b)
    Prelu,
}

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The mean.
    Mean,
    /// The largest.
    Max,
}

/// What lies beyond the border of a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Border {
    /// A constant.
    Constant(f64),
    /// The tensor mirrored, without repeating the edge.
    Reflect,
    /// The edge repeated.
    Edge,
}

/// How a map is enlarged or reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The nearest sample.
    Nearest,
    /// Bilinear between the four around.
    Linear,
}

/// How output positions relate to input positions when a map is resized (ONNX `coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// (i + 1/2) / scale - 1/2
    HalfPixel,
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
    /// Transposed convolution over C x H x W, with rows and columns added behind the result.
    ConvTranspose2d(Conv, [usize; 2]),
    /// y = x W^T + b over the last axis; weight out x in.
    Linear {
        /// Weight, out x in.
        weight: ParamId,
        /// Bias, out.
        bias: Option<ParamId>,
    },
    /// Matrix products of two values over the last two axes; the axes before broadcast.
    MatMul,
    /// (x - mean) / sqrt(var + eps) * scale + shift, a channel each (axis 0).
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
    /// Normalised over the axes from `axis` on, then scaled and shifted.
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
    /// Normalised over each group of channels, then scaled and shifted by channel.
    GroupNorm {
        /// Number of groups; as many as channels is instance normalisation.
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
    /// The largest of each window; ties go to the first.
    MaxPool(Pool),
    /// The mean of each window.
    AvgPool(Pool),
    /// Sum, mean or maximum over axes (global pooling is one over the last two).
    Reduce {
        /// What is computed.
        reduction: Reduction,
        /// Axes that go, ascending.
        axes: Vec<usize>,
        /// Whether they stay with size 1.
        keep: bool,
    },
    /// e^x normalised over an axis, or its logarithm.
    Softmax {
        /// The axis that sums to one.
        axis: usize,
        /// Whether the logarithm is meant.
        log: bool,
    },
    /// Inputs one after another along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Chosen entries along an axis, in order: slices, splits, gathers.
    Select {
        /// The axis.
        axis: usize,
        /// Which entries.
        index: Arc<[usize]>,
    },
    /// The same values in another shape (flatten, squeeze, reshape).
    Reshape(Vec<usize>),
    /// Axes in another order: output axis i is input axis `perm[i]`.
    Transpose(Vec<usize>),
    /// Values added before and after each axis.
    Pad {
        /// (before, after) for each axis.
        pads: Vec<(usize, usize)>,
        /// What they hold.
        border: Border,
    },
    /// A map enlarged or reduced to height x width.
    Resize {
        /// Output height and width.
        size: [usize; 2],
        /// Output size over input size, as the file says it, down and right.
        scale: [f64; 2],
        /// Between samples.
        sampling: Sampling,
        /// Between grids.
        alignment: Alignment,
    },
    /// The input unchanged: a name for a value (dropout at test time, an alias).
    Identity,
}

impl Op {
    /// The field's name of the operation, lower case.
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
            Op::MaxPool(_) => "max_pool",
            Op::AvgPool(_) => "avg_pool",
            Op::Reduce { reduction: Reduction::Sum, .. } => "reduce_sum",
            Op::Reduce { reduction: Reduction::Mean, .. } => "reduce_mean",
            Op::Reduce { reduction: Reduction::Max, .. } => "reduce_max",
            Op::Softmax { log: false, .. } => "softmax",
            Op::Softmax { log: true, .. } => "log_softmax",
            Op::Concat { .. } => "concat",
            Op::Select { .. } => "select",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Pad { .. } => "pad",
            Op::Resize { .. } => "resize",
            Op::Identity => "identity",
        }
    }

    /// The parameters that the operation reads.
    pub fn params(&self) -> Vec<ParamId> {
        match self {
            Op::Constant(p) => vec![*p],
            Op::Conv2d(c) | Op::ConvTranspose2d(c, _) => std::iter::once(c.weight).chain(c.bias).collect(),
            Op::Linear { weight, bias } => std::iter::once(*weight).chain(*bias).collect(),
            Op::BatchNorm { scale, shift, mean, var, .. } => vec![*scale, *shift, *mean, *var],
            Op::LayerNorm { scale, shift, .. } => std::iter::once(*scale).chain(*shift).collect(),
            Op::GroupNorm { scale, shift, .. } => vec![*scale, *shift],
            _ => Vec::new(),
        }
    }
}

impl Activation {
    /// ReLU6: 0 to 6.
    pub const RELU6: Activation = Activation::Clip { low: 0.0, high: 6.0 };

    /// The field's name of the function, lower case.
    pub fn kind(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::RELU6 => "relu6",
            Activation::Clip { .. } => "clip",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::ThresholdedRelu(_) => "thresholded_relu",
            Activation::Elu(_) => "elu",
            Activation::Selu { .. } => "selu",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid { .. } => "hard_sigmoid",
            Activation::HardSwish => "hard_swish",
            Activation::Silu => "silu",
            Activation::Mish => "mish",
            Activation::Gelu { .. } => "gelu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Tanh => "tanh",
            Activation::Erf => "erf",
            Activation::Exp => "exp",
            Activation::Log => "log",
            Activation::Sqrt => "sqrt",
            Activation::Abs => "abs",
            Activation::Neg => "neg",
            Activation::Reciprocal => "reciprocal",
            Activation::Pow(_) => "pow",
        }
    }

    /// Whether the function rectifies: zero (or nearly) for negative inputs. Guided backprop and DeconvNet act on these.
    pub fn rectifies(self) -> bool {
        matches!(
            self,
            Activation::Relu
                | Activation::LeakyRelu(_)
                | Activation::ThresholdedRelu(_)
                | Activation::Elu(_)
                | Activation::Selu { .. }
                | Activation::HardSwish
                | Activation::Silu
                | Activation::Mish
                | Activation::Gelu { .. }
                | Activation::Softplus
        ) || matches!(self, Activation::Clip { low, .. } if low == 0.0)
    }
}
