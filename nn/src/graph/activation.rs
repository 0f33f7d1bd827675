//! Element-wise functions of one input.

pub use super::elementary::Elementary;

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
    /// x if x > 0, else slope * x
    LeakyRelu(f64),
    /// x if x > alpha, else 0
    ThresholdedRelu(f64),
    /// 1 if x is larger than the number, else 0
    Step(f64),
    /// x if x > 0, else alpha * (e^x - 1)
    Elu(f64),
    /// x if x > 0, else alpha * (e^(x / alpha) - 1)
    Celu(f64),
    /// scale * (x if x > 0, else alpha * (e^x - 1))
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
    /// x * sigmoid(beta * x)
    Swish(f64),
    /// x * tanh(softplus(x))
    Mish,
    /// x * Phi(x) with the normal distribution function Phi, or its tanh approximation
    Gelu {
        /// Whether it is the tanh approximation.
        tanh: bool,
    },
    /// ln(1 + e^x)
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// tanh x
    Tanh,
    /// ln(1 / (1 + e^-x))
    LogSigmoid,
    /// x - tanh x
    Tanhshrink,
    /// x moved towards zero by `bias` where |x| > lambda, else 0
    Shrink {
        /// Values up to this magnitude become zero.
        lambda: f64,
        /// By how much the others are moved: `lambda` in soft shrinkage, 0 in hard.
        bias: f64,
    },
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
    /// A function without numbers of its own: trigonometric, hyperbolic, rounding, tests.
    Elementary(Elementary),
    /// clip(round(x / scale) + zero, low, high), the integer that stands for x in a quantised net; halves go to the even
    /// integer. Its gradient passes straight through where nothing is clipped.
    Quantise {
        /// The step between neighbouring integers.
        scale: f64,
        /// The integer that stands for zero.
        zero: f64,
        /// The smallest integer.
        low: f64,
        /// The largest integer.
        high: f64,
        /// Whether it rounds; the net without rounding (`net.float()`) only clips.
        rounds: bool,
    },
}

impl Activation {
    /// ReLU6: 0 to 6.
    pub const RELU6: Activation = Activation::Clip { low: 0.0, high: 6.0 };

    /// The function's usual name, lower case.
    pub fn kind(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::RELU6 => "relu6",
            Activation::Clip { .. } => "clip",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::ThresholdedRelu(_) => "thresholded_relu",
            Activation::Step(_) => "step",
            Activation::Elu(_) => "elu",
            Activation::Celu(_) => "celu",
            Activation::Selu { .. } => "selu",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid { .. } => "hard_sigmoid",
            Activation::HardSwish => "hard_swish",
            Activation::Silu => "silu",
            Activation::Swish(_) => "swish",
            Activation::Mish => "mish",
            Activation::Gelu { .. } => "gelu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::LogSigmoid => "log_sigmoid",
            Activation::Tanh => "tanh",
            Activation::Tanhshrink => "tanhshrink",
            Activation::Shrink { .. } => "shrink",
            Activation::Erf => "erf",
            Activation::Exp => "exp",
            Activation::Log => "log",
            Activation::Sqrt => "sqrt",
            Activation::Abs => "abs",
            Activation::Neg => "neg",
            Activation::Reciprocal => "reciprocal",
            Activation::Pow(_) => "pow",
            Activation::Elementary(f) => f.kind(),
            Activation::Quantise { .. } => "quantise",
        }
    }

    /// Whether the function bends smoothly instead of at a kink, so that its slope is no mask of zeros and ones.
    pub fn is_smooth(self) -> bool {
        !matches!(
            self,
            Activation::Relu
                | Activation::Clip { .. }
                | Activation::LeakyRelu(_)
                | Activation::ThresholdedRelu(_)
                | Activation::Step(_)
                | Activation::HardSigmoid { .. }
                | Activation::Shrink { .. }
                | Activation::Abs
                | Activation::Neg
                | Activation::Quantise { .. }
        ) && !matches!(self, Activation::Elementary(f) if f.has_no_derivative())
    }

    /// Whether the function is a rectifier: zero, or nearly, for negative inputs. Guided backprop and DeconvNet act on these.
    pub fn rectifies(self) -> bool {
        matches!(
            self,
            Activation::Relu
                | Activation::LeakyRelu(_)
                | Activation::ThresholdedRelu(_)
                | Activation::Elu(_)
                | Activation::Celu(_)
                | Activation::Selu { .. }
                | Activation::HardSwish
                | Activation::Silu
                | Activation::Swish(_)
                | Activation::Mish
                | Activation::Gelu { .. }
                | Activation::Softplus
        ) || matches!(self, Activation::Clip { low, .. } if low == 0.0)
    }
}
