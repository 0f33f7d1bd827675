//! Element-wise functions over many values, and their gradients; those of one value are in [`activation`](super::activation).

pub use super::activation::{derivative, largest, maximum, minimum, sigmoid, smallest, value};
use super::disjoint::{DisjointSlice, vec_filled_by};
use crate::graph::op::Activation;
use crate::simd::{MAX_LANES, arch};
use crate::tensor::{Real, VALUES_PER_TASK};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Values of short rows that are gathered, so that a function is computed for many at a time: loops take several vectors a step.
const ROWS_BUFFER: usize = 64 * MAX_LANES;
/// Values from which on a row is long.
const LONG_ROW: usize = 16 * MAX_LANES;

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
    if count == pitch || rows == 1 {
        return arch().dispatch(Apply { f, values, first, pitch, rows: 1, count: rows * count });
    }
    if count >= LONG_ROW {
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

/// f(x) for every x of some rows, in place. This is not a closure: a closure is compiled as a function of its own, without vector
/// instructions where it is long.
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

/// g f'(x) for every x and g of `flow`, in place.
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
