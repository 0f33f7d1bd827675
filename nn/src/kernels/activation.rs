//! Activations of one value and their derivatives, as formulas that become vectors in the loops of
//! [`elementwise`](super::elementwise); the larger and the smaller of two values.

use super::elementary;
use crate::graph::op::Activation;
use crate::tensor::Real;

/// sqrt(2 / pi), of the tanh form of GELU.
const GELU_K: f64 = 0.797_884_560_802_865_4;

/// f(x). It does not call itself: a recursive function is not inlined, and loops over it do not become vectors.
#[inline(always)]
pub fn value<T: Real>(f: Activation, x: T) -> T {
    let (zero, one) = (T::zero(), T::one());
    match f {
        Activation::Relu => maximum(x, zero),
        Activation::Clip { low, high } => minimum(maximum(x, T::of(low)), T::of(high)),
        Activation::LeakyRelu(a) => {
            if x > zero {
                x
            } else {
                T::of(a) * x
            }
        }
        Activation::ThresholdedRelu(a) => {
            if x > T::of(a) {
                x
            } else {
                zero
            }
        }
        Activation::Step(at) => {
            if x > T::of(at) {
                one
            } else {
                zero
            }
        }
        Activation::Elu(a) => elu(a, x),
        Activation::Celu(a) => {
            if x > zero {
                x
            } else {
                T::of(a) * ((x / T::of(a)).exp() - one)
            }
        }
        Activation::Selu { alpha, scale } => T::of(scale) * elu(alpha, x),
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { slope, offset } => hard_sigmoid(slope, offset, x),
        Activation::HardSwish => x * hard_sigmoid(1.0 / 6.0, 0.5, x),
        Activation::Silu => x * sigmoid(x),
        Activation::Swish(b) => x * sigmoid(T::of(b) * x),
        Activation::Mish => x * softplus(x).tanh(),
        Activation::Gelu { tanh: false } => T::of(0.5) * x * (one + (x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf()),
        Activation::Gelu { tanh: true } => T::of(0.5) * x * (one + gelu_inner(x).tanh()),
        Activation::Softplus => softplus(x),
        Activation::Softsign => x / (one + abs(x)),
        Activation::LogSigmoid => zero - softplus(zero - x),
        Activation::Tanh => x.tanh(),
        Activation::Tanhshrink => x - x.tanh(),
        Activation::Shrink { lambda, bias } => {
            if x > T::of(lambda) {
                x - T::of(bias)
            } else if x < T::of(-lambda) {
                x + T::of(bias)
            } else {
                zero
            }
        }
        Activation::Erf => x.erf(),
        Activation::Exp => x.exp(),
        Activation::Log => x.ln(),
        Activation::Sqrt => Real::sqrt(x),
        Activation::Abs => abs(x),
        Activation::Neg => zero - x,
        Activation::Reciprocal => one / x,
        Activation::Pow(p) => x.powf(T::of(p)),
        Activation::Elementary(f) => elementary::value(f, x),
        Activation::Quantise { scale, zero, low, high, rounds } => {
            elementary::quantised(x, scale, zero, [low, high], rounds)
        }
    }
}

/// f'(x); at a kink what PyTorch takes (zero for ReLU at zero).
#[inline(always)]
pub fn derivative<T: Real>(f: Activation, x: T) -> T {
    let (zero, one, two) = (T::zero(), T::one(), T::of(2.0));
    let step = |inside: bool| if inside { one } else { zero };
    match f {
        Activation::Relu => step(x > zero),
        Activation::ThresholdedRelu(a) => step(x > T::of(a)),
        Activation::Step(_) => zero,
        Activation::Clip { low, high } => step(x > T::of(low) && x < T::of(high)),
        Activation::LeakyRelu(a) => {
            if x > zero {
                one
            } else {
                T::of(a)
            }
        }
        Activation::Elu(a) => elu_slope(a, x),
        Activation::Celu(a) => {
            if x > zero {
                one
            } else {
                (x / T::of(a)).exp()
            }
        }
        Activation::Selu { alpha, scale } => T::of(scale) * elu_slope(alpha, x),
        Activation::Sigmoid => {
            let s = sigmoid(x);
            s * (one - s)
        }
        Activation::HardSigmoid { slope, offset } => {
            let y = T::of(slope) * x + T::of(offset);
            if y > zero && y < one { T::of(slope) } else { zero }
        }
        Activation::HardSwish => {
            let three = T::of(3.0);
            if x <= zero - three {
                zero
            } else if x >= three {
                one
            } else {
                x / three + T::of(0.5)
            }
        }
        Activation::Silu => {
            let s = sigmoid(x);
            s * (one + x * (one - s))
        }
        Activation::Swish(b) => {
            let s = sigmoid(T::of(b) * x);
            s * (one + T::of(b) * x * (one - s))
        }
        Activation::Mish => {
            let t = softplus(x).tanh();
            t + x * (one - t * t) * sigmoid(x)
        }
        Activation::Gelu { tanh: false } => {
            let density = (zero - x * x / two).exp() * T::of(0.398_942_280_401_432_7);
            T::of(0.5) * (one + (x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf()) + x * density
        }
        Activation::Gelu { tanh: true } => {
            let t = gelu_inner(x).tanh();
            let inner = T::of(GELU_K) * (one + T::of(3.0 * 0.044_715) * x * x);
            T::of(0.5) * (one + t) + T::of(0.5) * x * (one - t * t) * inner
        }
        Activation::Softplus => sigmoid(x),
        Activation::Softsign => {
            let d = one + abs(x);
            one / (d * d)
        }
        Activation::LogSigmoid => sigmoid(zero - x),
        Activation::Tanh => {
            let t = x.tanh();
            one - t * t
        }
        Activation::Tanhshrink => {
            let t = x.tanh();
            t * t
        }
        Activation::Shrink { lambda, .. } => step(abs(x) > T::of(lambda)),
        Activation::Erf => T::of(std::f64::consts::FRAC_2_SQRT_PI) * (zero - x * x).exp(),
        Activation::Exp => x.exp(),
        Activation::Log => one / x,
        Activation::Sqrt => one / (two * Real::sqrt(x)),
        Activation::Abs => {
            if x > zero {
                one
            } else if x < zero {
                zero - one
            } else {
                zero
            }
        }
        Activation::Neg => zero - one,
        Activation::Reciprocal => zero - one / (x * x),
        Activation::Pow(0.0) => zero,
        Activation::Pow(p) => T::of(p) * x.powf(T::of(p - 1.0)),
        Activation::Elementary(f) => elementary::derivative(f, x),
        Activation::Quantise { scale, zero, low, high, rounds } => {
            elementary::quantised_slope(x, scale, zero, [low, high], rounds)
        }
    }
}

/// The argument of tanh in the tanh form of GELU.
#[inline(always)]
fn gelu_inner<T: Real>(x: T) -> T {
    T::of(GELU_K) * (x + T::of(0.044_715) * x * x * x)
}

/// x where positive, else alpha (e^x - 1).
#[inline(always)]
fn elu<T: Real>(alpha: f64, x: T) -> T {
    if x > T::zero() { x } else { T::of(alpha) * (x.exp() - T::one()) }
}

/// The derivative of [`elu`].
#[inline(always)]
fn elu_slope<T: Real>(alpha: f64, x: T) -> T {
    if x > T::zero() { T::one() } else { T::of(alpha) * x.exp() }
}

/// slope x + offset between 0 and 1.
#[inline(always)]
fn hard_sigmoid<T: Real>(slope: f64, offset: f64, x: T) -> T {
    minimum(maximum(T::of(slope) * x + T::of(offset), T::zero()), T::one())
}

/// 1 / (1 + e^-x), without overflow.
#[inline(always)]
pub fn sigmoid<T: Real>(x: T) -> T {
    let e = (T::zero() - abs(x)).exp();
    (if x >= T::zero() { T::one() } else { e }) / (T::one() + e)
}

/// ln(1 + e^x), without overflow.
#[inline(always)]
fn softplus<T: Real>(x: T) -> T {
    maximum(x, T::zero()) + (T::one() + (T::zero() - abs(x)).exp()).ln()
}

#[inline(always)]
fn abs<T: Real>(x: T) -> T {
    if x < T::zero() { T::zero() - x } else { x }
}

/// max(x, bound); a NaN in `x` stays.
#[inline(always)]
pub fn maximum<T: Real>(x: T, bound: T) -> T {
    if x < bound { bound } else { x }
}

/// min(x, bound); a NaN in `x` stays.
#[inline(always)]
pub fn minimum<T: Real>(x: T, bound: T) -> T {
    if x > bound { bound } else { x }
}

/// The larger; a NaN in either wins.
#[inline(always)]
pub fn largest<T: Real>(a: T, b: T) -> T {
    if b.is_nan_value() { b } else { maximum(a, b) }
}

/// The smaller; a NaN in either wins.
#[inline(always)]
pub fn smallest<T: Real>(a: T, b: T) -> T {
    if b.is_nan_value() { b } else { minimum(a, b) }
}
