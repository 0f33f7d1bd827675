//! Element-wise functions of two inputs that broadcast, and their gradients (summed over the broadcast axes).

use super::disjoint::vec_filled_by;
use super::elementwise::{largest, smallest, zip_map};
use super::rearrange::strides;
use super::reduce::sum;
use crate::graph::op::Binary;
use crate::tensor::{Real, VALUES_PER_TASK};
use rayon::prelude::*;

/// Which element of a broadcast operand each element of the result reads.
struct Broadcast {
    /// The shape of the result.
    dims: Vec<usize>,
    /// The operand's stride along each axis; 0 where it broadcasts.
    strides: Vec<usize>,
    /// Whether the operand is as large as the result.
    is_whole: bool,
}

impl Broadcast {
    fn new(from: &[usize], to: &[usize]) -> Self {
        let missing = to.len() - from.len();
        let own = strides(from);
        let strides =
            (0..to.len()).map(|a| if a < missing || from[a - missing] == 1 { 0 } else { own[a - missing] }).collect();
        let is_whole = from.iter().product::<usize>() == to.iter().product::<usize>();
        Broadcast { dims: to.to_vec(), strides, is_whole }
    }

    /// The operand's element for element i of the result.
    #[inline]
    fn index(&self, mut i: usize) -> usize {
        if self.is_whole {
            return i;
        }
        let mut source = 0;
        for a in (0..self.dims.len()).rev() {
            source += i % self.dims[a] * self.strides[a];
            i /= self.dims[a];
        }
        source
    }

    /// The length of runs of neighbouring elements of the result that read either neighbouring elements or all the same one, and
    /// whether it is the same one.
    fn run(&self) -> (usize, bool) {
        let mut len = 1;
        let mut same = None;
        for (n, stride) in self.dims.iter().zip(&self.strides).rev() {
            let here = if *n == 1 { continue } else { *stride == 0 };
            if *same.get_or_insert(here) != here || (!here && *stride != len) {
                break;
            }
            len *= n;
        }
        (len, same.unwrap_or(true))
    }
}

/// Runs `$body` with `$g` standing for the function `$f`, in a loop of its own for the common ones.
macro_rules! for_common_kinds {
    ($f:expr, $g:ident => $body:expr) => {
        match $f {
            Binary::Add => {
                let $g = Binary::Add;
                $body
            }
            Binary::Mul => {
                let $g = Binary::Mul;
                $body
            }
            $g => $body,
        }
    };
}

/// f(a, b), both broadcast to `to`.
pub fn forward<T: Real>(f: Binary, a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize]) -> Vec<T> {
    for_common_kinds!(f, f => broadcast_map(a, b, to, |x, y| value(f, x, y)))
}

/// The gradients for a and b, in their own shapes.
pub fn gradient<T: Real>(f: Binary, a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize], dy: &[T]) -> [Vec<T>; 2] {
    for_common_kinds!(f, f => [
        gradient_of(a, b, to, dy, a.1, |x, y| derivatives(f, x, y).0),
        gradient_of(a, b, to, dy, b.1, |x, y| derivatives(f, x, y).1),
    ])
}

/// dy times `slope(a, b)`, summed to the shape `own` of one of the operands.
fn gradient_of<T: Real>(
    a: (&[T], &[usize]),
    b: (&[T], &[usize]),
    to: &[usize],
    dy: &[T],
    own: &[usize],
    slope: impl Fn(T, T) -> T + Sync,
) -> Vec<T> {
    let mut flow = broadcast_map(a, b, to, slope);
    flow.par_chunks_mut(VALUES_PER_TASK).zip(dy.par_chunks(VALUES_PER_TASK)).for_each(|(flow, dy)| {
        flow.iter_mut().zip(dy).for_each(|(s, g)| *s *= *g);
    });
    if Broadcast::new(own, to).is_whole { flow } else { sum_to_shape(&flow, own, to) }
}

/// Sums values of shape `to` over the axes along which `from` broadcasts; the result is of shape `from`.
pub fn sum_to_shape<T: Real>(flow: &[T], from: &[usize], to: &[usize]) -> Vec<T> {
    let operand = Broadcast::new(from, to);
    if operand.is_whole {
        return flow.to_vec();
    }
    let mut sums = vec![0.0f64; from.iter().product()];
    let (len, is_same) = operand.run();
    if is_same {
        // Each run has one place.
        let runs: Vec<f64> = flow.par_chunks(len).with_min_len(VALUES_PER_TASK.div_ceil(len)).map(sum).collect();
        runs.into_iter().enumerate().for_each(|(i, run)| sums[operand.index(i * len)] += run);
        return sums.into_iter().map(T::of).collect();
    }
    for (i, run) in flow.chunks(len).enumerate() {
        let at = operand.index(i * len);
        sums[at..at + run.len()].iter_mut().zip(run).for_each(|(s, g)| *s += g.f64());
    }
    sums.into_iter().map(T::of).collect()
}

/// f(a, b), both broadcast to `to`.
fn broadcast_map<T: Real>(
    a: (&[T], &[usize]),
    b: (&[T], &[usize]),
    to: &[usize],
    f: impl Fn(T, T) -> T + Sync,
) -> Vec<T> {
    let (left, right) = (Broadcast::new(a.1, to), Broadcast::new(b.1, to));
    if left.is_whole && right.is_whole {
        return zip_map(a.0, b.0, f);
    }
    let ((m, a_same), (n, b_same)) = (left.run(), right.run());
    // Both runs end where an axis ends, so that the longer is made of whole shorter ones.
    let len = m.min(n);
    let runs = to.iter().product::<usize>() / len;
    // SAFETY: the runs cover all values and do not overlap.
    unsafe {
        vec_filled_by(runs * len, |out| {
            (0..runs).into_par_iter().with_min_len(VALUES_PER_TASK.div_ceil(len)).for_each(|i| {
                let (out, p, q) = (out.slice(i * len, len), left.index(i * len), right.index(i * len));
                match (a_same, b_same) {
                    (false, false) => {
                        out.iter_mut().zip(&a.0[p..]).zip(&b.0[q..]).for_each(|((o, x), y)| *o = f(*x, *y))
                    }
                    (true, false) => {
                        let x = a.0[p];
                        out.iter_mut().zip(&b.0[q..]).for_each(|(o, y)| *o = f(x, *y));
                    }
                    (false, true) => {
                        let y = b.0[q];
                        out.iter_mut().zip(&a.0[p..]).for_each(|(o, x)| *o = f(*x, y));
                    }
                    (true, true) => out.fill(f(a.0[p], b.0[q])),
                }
            });
        })
    }
}

/// f(a, b) of single numbers.
#[inline(always)]
pub fn value<T: Real>(f: Binary, a: T, b: T) -> T {
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => largest(a, b),
        Binary::Min => smallest(a, b),
        Binary::Prelu => {
            if a > T::zero() {
                a
            } else {
                a * b
            }
        }
        Binary::Pow => a.powf(b),
        Binary::Gate => {
            if a == T::zero() {
                T::zero()
            } else {
                b
            }
        }
    }
}

/// The derivatives with respect to a and b; a tie of max or min counts half for each, as in PyTorch.
#[inline(always)]
fn derivatives<T: Real>(f: Binary, a: T, b: T) -> (T, T) {
    let (zero, one, half) = (T::zero(), T::one(), T::of(0.5));
    let choose = |first: bool| {
        if a == b {
            (half, half)
        } else if first {
            (one, zero)
        } else {
            (zero, one)
        }
    };
    match f {
        Binary::Add => (one, one),
        Binary::Sub => (one, zero - one),
        Binary::Mul => (b, a),
        Binary::Div => (one / b, zero - a / (b * b)),
        Binary::Max => choose(a > b),
        Binary::Min => choose(a < b),
        Binary::Prelu => {
            if a > zero {
                (one, zero)
            } else {
                (b, a)
            }
        }
        Binary::Pow => {
            let by_a = if b == zero { zero } else { b * a.powf(b - one) };
            // Zero to any positive power stays zero.
            let by_b = if a == zero && b >= zero { zero } else { a.powf(b) * a.ln() };
            (by_a, by_b)
        }
        Binary::Gate => (zero, if a == zero { zero } else { one }),
    }
}
