//! Elementary functions and their derivatives, computed in f64 by `libm`: the same bits everywhere.

use crate::graph::activation::Elementary;
use crate::tensor::Real;

/// f(x)
pub fn value<T: Real>(f: Elementary, x: T) -> T {
    let x = x.f64();
    let truth = |t: bool| if t { 1.0 } else { 0.0 };
    T::of(match f {
        Elementary::Sin => libm::sin(x),
        Elementary::Cos => libm::cos(x),
        Elementary::Tan => libm::tan(x),
        Elementary::Asin => libm::asin(x),
        Elementary::Acos => libm::acos(x),
        Elementary::Atan => libm::atan(x),
        Elementary::Sinh => libm::sinh(x),
        Elementary::Cosh => libm::cosh(x),
        Elementary::Asinh => libm::asinh(x),
        Elementary::Acosh => libm::acosh(x),
        Elementary::Atanh => libm::atanh(x),
        Elementary::Floor => x.floor(),
        Elementary::Ceil => x.ceil(),
        Elementary::Round => x.round_ties_even(),
        Elementary::Truncate => x.trunc(),
        Elementary::LowByte => x.trunc().rem_euclid(256.0),
        Elementary::SignedByte => (x.trunc() + 128.0).rem_euclid(256.0) - 128.0,
        Elementary::Sign if x == 0.0 || x.is_nan() => x,
        Elementary::Sign => x.signum(),
        Elementary::IsNan => truth(x.is_nan()),
        Elementary::IsInfinite => truth(x.is_infinite()),
        Elementary::Detach => x,
    })
}

/// f'(x), zero where the function jumps, as in PyTorch.
pub fn derivative<T: Real>(f: Elementary, x: T) -> T {
    let x = x.f64();
    T::of(match f {
        Elementary::Sin => libm::cos(x),
        Elementary::Cos => -libm::sin(x),
        Elementary::Tan => 1.0 / libm::cos(x).powi(2),
        Elementary::Asin => 1.0 / (1.0 - x * x).sqrt(),
        Elementary::Acos => -1.0 / (1.0 - x * x).sqrt(),
        Elementary::Atan => 1.0 / (1.0 + x * x),
        Elementary::Sinh => libm::cosh(x),
        Elementary::Cosh => libm::sinh(x),
        Elementary::Asinh => 1.0 / (1.0 + x * x).sqrt(),
        Elementary::Acosh => 1.0 / (x * x - 1.0).sqrt(),
        Elementary::Atanh => 1.0 / (1.0 - x * x),
        _ => 0.0,
    })
}

/// clip(round(x / scale) + zero, low, high), in the kind's own arithmetic as onnxruntime computes it; halves go to even.
pub fn quantised<T: Real>(x: T, scale: f64, zero: f64, [low, high]: [f64; 2], rounds: bool) -> T {
    let q = (x / T::of(scale)).f64();
    let q = if rounds { q.round_ties_even() } else { q } + zero;
    // Not a number becomes the smallest.
    T::of(if q > low { q.min(high) } else { low })
}

/// The slope of [`quantised`], as if it did not round.
pub fn quantised_slope<T: Real>(x: T, scale: f64, zero: f64, [low, high]: [f64; 2], rounds: bool) -> T {
    let q = (x / T::of(scale)).f64();
    let q = if rounds { q.round_ties_even() } else { q } + zero;
    if q >= low && q <= high { T::of(1.0 / scale) } else { T::zero() }
}
