//! Element-wise functions of one input, and their derivatives.

use super::disjoint::{DisjointSlice, vec_filled_by};
use super::elementary;
use crate::graph::op::Activation;
use crate::simd::{MAX_LANES, arch};
use crate::tensor::{Real, VALUES_PER_TASK};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Values of short rows that functions are taken of together.
const ROWS_BUFFER: usize = 8 * MAX_LANES;
/// sqrt(2 / pi), of the tanh form of GELU.
const GELU_K: f64 = 0.797_884_560_802_865_4;

/// Runs `$body` with `$g` standing for the function `$f`, in a loop of its own for every kind, so that it becomes vectors.
macro_rules! for_each_kind {
    ($f:expr, $g:ident => $body:expr) => {
        for_each_kind!(@kinds $f, $g, $body, [
            Relu, Sigmoid, HardSwish, Silu, Mish, Softplus, Softsign, Tanh, LogSigmoid, Tanhshrink, Erf, Exp, Log, Sqrt, Abs,
            Neg, Reciprocal
        ], [LeakyRelu, ThresholdedRelu, Step, Elu, Celu, Swish])
    };
    (@kinds $f:expr, $g:ident, $body:expr, [$($plain:ident),*], [$($with:ident),*]) => {
        match $f {
            $(Activation::$plain => {
                let $g = Activation::$plain;
                $body
            })*
            $(Activation::$with(number) => {
                let $g = Activation::$with(number);
                $body
            })*
            Activation::Gelu { tanh: true } => {
                let $g = Activation::Gelu { tanh: true };
                $body
            }
            Activation::Gelu { tanh: false } => {
                let $g = Activation::Gelu { tanh: false };
                $body
            }
            Activation::Clip { low, high } => {
                let $g = Activation::Clip { low, high };
                $body
            }
            Activation::Selu { alpha, scale } => {
                let $g = Activation::Selu { alpha, scale };
                $body
            }
            Activation::HardSigmoid { slope, offset } => {
                let $g = Activation::HardSigmoid { slope, offset };
                $body
            }
            Activation::Shrink { lambda, bias } => {
                let $g = Activation::Shrink { lambda, bias };
                $body
            }
            Activation::Pow(power) => {
                let $g = Activation::Pow(power);
                $body
            }
            Activation::Elementary(f) => {
                let $g = Activation::Elementary(f);
                $body
            }
            Activation::Quantise { scale, zero, low, high, rounds } => {
                let $g = Activation::Quantise { scale, zero, low, high, rounds };
                $body
            }
        }
    };
}

/// f(x) for every x.
pub fn forward<T: Real>(f: Activation, x: &[T]) -> Vec<T> {
    let Some(singles) = T::singles(x) else { return zip_map(x, x, |v, _| value(f, v)) };
    // SAFETY: the tasks' chunks cover all values and do not overlap.
    T::of_singles(unsafe {
        vec_filled_by(x.len(), |out| {
            for_each_chunk(x.len(), |from, n| {
                let out = out.slice(from, n);
                out.copy_from_slice(&singles[from..from + n]);
                apply(f, out);
            });
        })
    })
}

/// f(x) for every x of `values`, in its place, on this thread.
pub(super) fn apply(f: Activation, values: &mut [f32]) {
    let (count, values) = (values.len(), DisjointSlice::new(values));
    // SAFETY: the row is the slice.
    unsafe { apply_rows(f, values, 0, 0, 1, count) }
}

/// As [`apply`], for the first `count` values of each of `rows` rows, which begin `pitch` apart from `first` on.
///
/// # Safety
/// The rows must lie inside `values`, and no other task may touch them.
pub(super) unsafe fn apply_rows(
    f: Activation,
    values: DisjointSlice<f32>,
    first: usize,
    pitch: usize,
    rows: usize,
    count: usize,
) {
    if count >= MAX_LANES || rows == 1 {
        return arch().dispatch(Apply { f, values, first, pitch, rows, count });
    }
    // Short rows together, in a buffer.
    let (together, mut buffer) = (ROWS_BUFFER / count.max(1), [0.0; ROWS_BUFFER]);
    for row in (0..rows).step_by(together) {
        let own = row..rows.min(row + together);
        // SAFETY: the caller's.
        let line = |row: usize| unsafe { values.slice(first + row * pitch, count) };
        let part = &mut buffer[..own.len() * count];
        own.clone().zip(part.chunks_exact_mut(count)).for_each(|(row, to)| to.copy_from_slice(line(row)));
        apply(f, part);
        own.zip(part.chunks_exact(count)).for_each(|(row, from)| line(row).copy_from_slice(from));
    }
}

/// f(x) for every x of some rows, in its place. What is dispatched is not a closure: the call of one is a function of its own,
/// compiled without vectors where it is long.
struct Apply {
    f: Activation,
    values: DisjointSlice<f32>,
    first: usize,
    pitch: usize,
    rows: usize,
    count: usize,
}

impl WithSimd for Apply {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for_each_kind!(self.f, f => {
            for row in 0..self.rows {
                // SAFETY: the caller of `apply_rows` guarantees the rows.
                for v in unsafe { self.values.slice(self.first + row * self.pitch, self.count) } {
                    *v = value(f, *v);
                }
            }
        });
    }
}

/// g f'(x) for every pair of x and its gradient g.
pub fn backward<T: Real>(f: Activation, x: &[T], g: &[T]) -> Vec<T> {
    let (Some(singles), Some(flow)) = (T::singles(x), T::singles(g)) else {
        return zip_map(x, g, |v, g| slope_times(f, v, g));
    };
    // SAFETY: the tasks' chunks cover all values and do not overlap.
    T::of_singles(unsafe {
        vec_filled_by(x.len().min(g.len()), |out| {
            for_each_chunk(x.len().min(g.len()), |from, n| {
                let out = out.slice(from, n);
                out.copy_from_slice(&flow[from..from + n]);
                arch().dispatch(TimesSlope { f, x: &singles[from..from + n], flow: out });
            });
        })
    })
}

/// g f'(x) for every x and g of `flow`, in its place.
struct TimesSlope<'a> {
    f: Activation,
    x: &'a [f32],
    flow: &'a mut [f32],
}

impl WithSimd for TimesSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for_each_kind!(self.f, f => {
            for (g, x) in self.flow.iter_mut().zip(self.x) {
                *g = slope_times(f, *x, *g);
            }
        });
    }
}

/// Calls `task(first, count)` for chunks of `n` values, in parallel.
fn for_each_chunk(n: usize, task: impl Fn(usize, usize) + Sync + Send) {
    (0..n.div_ceil(VALUES_PER_TASK)).into_par_iter().for_each(|c| {
        task(c * VALUES_PER_TASK, VALUES_PER_TASK.min(n - c * VALUES_PER_TASK));
    });
}

/// g f'(x); zero where g is, whatever f'(x).
#[inline(always)]
fn slope_times<T: Real>(f: Activation, x: T, g: T) -> T {
    if f == Activation::Relu {
        return if x > T::zero() { g } else { T::zero() };
    }
    let product = g * derivative(f, x);
    if g == T::zero() { T::zero() } else { product }
}

/// h(x, y) for every pair.
pub fn zip_map<T: Real>(x: &[T], y: &[T], h: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let n = x.len().min(y.len());
    // SAFETY: the tasks' chunks cover all n values and do not overlap.
    unsafe {
        vec_filled_by(n, |out| {
            (0..n.div_ceil(VALUES_PER_TASK)).into_par_iter().for_each(|c| {
                let (from, to) = (c * VALUES_PER_TASK, ((c + 1) * VALUES_PER_TASK).min(n));
                let out = out.slice(from, to - from);
                out.iter_mut().zip(&x[from..to]).zip(&y[from..to]).for_each(|((o, x), y)| *o = h(*x, *y));
            });
        })
    }
}

/// f(x). It calls no function of the table again: what calls itself is not inlined, and does not become vectors.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    const SMOOTH: [Activation; 6] = [
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Gelu { tanh: false },
        Activation::Gelu { tanh: true },
        Activation::Tanh,
        Activation::Mish,
    ];

    fn inputs(n: usize) -> Vec<f32> {
        let mut rng = Stream::new(0, "smooth");
        let mut x: Vec<f32> = (0..n).map(|_| (3.0 * rng.next_normal()) as f32).collect();
        let special =
            [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40, 200.0, -200.0, 0.06, -0.0625];
        x[n / 2..][..special.len()].copy_from_slice(&special);
        x
    }

    #[test]
    fn vectors_have_the_bits_of_the_formulas() {
        let bits = |values: Vec<f32>| -> Vec<u32> {
            values.into_iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
        };
        for n in [32, 41, 16 * 7 + 1] {
            let (x, mut g) = (inputs(n), inputs(n + 3)[3..].to_vec());
            (g[3], g[n / 2 + 2], g[n / 2 + 3]) = (0.0, 0.0, 0.0);
            for f in SMOOTH.into_iter().chain([Activation::HardSwish, Activation::Relu]) {
                assert_eq!(bits(forward(f, &x)), bits(x.iter().map(|x| value(f, *x)).collect()), "{f:?}");
                let slopes = x.iter().zip(&g).map(|(x, g)| slope_times(f, *x, *g)).collect();
                assert_eq!(bits(backward(f, &x, &g)), bits(slopes), "{f:?}");
                // Rows, short and long, with what lies between them.
                for (rows, count, pitch) in [(1, n, n), (3, 9, 10), (n, 1, 1), (2, 16, 16)] {
                    let mut made = x.clone();
                    // SAFETY: the rows lie inside the values.
                    unsafe { apply_rows(f, DisjointSlice::new(&mut made), 0, pitch, rows, count) };
                    let is_inside = |i: usize| i / pitch < rows && i % pitch < count;
                    let want = x.iter().enumerate().map(|(i, x)| if is_inside(i) { value(f, *x) } else { *x });
                    assert_eq!(bits(made), bits(want.collect()), "{f:?} {rows} {count}");
                }
            }
        }
    }

    #[test]
    fn smooth_functions_and_slopes_are_near_those_in_f64() {
        let x: Vec<f32> = (-4_000..4_000).map(|i| i as f32 * 0.005 + 0.001).collect();
        let ones = vec![1.0f32; x.len()];
        for f in SMOOTH {
            for (made, truth) in [
                (forward(f, &x), value::<f64> as fn(Activation, f64) -> f64),
                (backward(f, &x, &ones), derivative::<f64> as fn(Activation, f64) -> f64),
            ] {
                for (x, y) in x.iter().zip(made) {
                    let want = truth(f, f64::from(*x));
                    let error = (f64::from(y) - want).abs();
                    assert!(error <= 4e-7 * want.abs().max(f64::from(x.abs())).max(1e-3), "{f:?} {x}: {y} {want}");
                }
            }
        }
    }
}
