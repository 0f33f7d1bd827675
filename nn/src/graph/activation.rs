//! Element-wise functions of one input.

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
    /// x if x > 0, else alpha * (e^x - 1)
    Elu(f64),
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

    /// Whether the function is a rectifier: zero, or nearly, for negative inputs. Guided backprop and DeconvNet act on these.
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
