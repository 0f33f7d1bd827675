//! Element-wise functions of two inputs that broadcast, and their gradients (summed over the broadcast axes).

use super::elementwise::{largest, smallest, zip_map};
use super::rearrange::strides;
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

    /// A length such that that many neighbouring elements of the result read either neighbouring elements or all the same one, and
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

/// f(a, b), both broadcast to `to`.
pub fn forward<T: Real>(f: Binary, a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize]) -> Vec<T> {
    broadcast_map(a, b, to, |x, y| value(f, x, y))
}

/// The gradients for a and b, in their own shapes.
pub fn gradient<T: Real>(f: Binary, a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize], dy: &[T]) -> [Vec<T>; 2] {
    let by = |first: bool| {
        let slopes = broadcast_map(a, b, to, move |x, y| {
            let (da, db) = derivatives(f, x, y);
            if first { da } else { db }
        });
        let flow: Vec<T> = slopes.par_iter().zip(dy).map(|(s, g)| *s * *g).collect();
        sum_to_shape(&flow, if first { a.1 } else { b.1 }, to)
    };
    [by(true), by(false)]
}

/// Sums values of shape `to` over the axes along which `from` broadcasts; the result is of shape `from`.
pub fn sum_to_shape<T: Real>(flow: &[T], from: &[usize], to: &[usize]) -> Vec<T> {
    let operand = Broadcast::new(from, to);
    if operand.is_whole {
        return flow.to_vec();
    }
    let mut sums = vec![0.0f64; from.iter().product()];
    flow.iter().enumerate().for_each(|(i, g)| sums[operand.index(i)] += g.f64());
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
    let mut out = vec![T::zero(); to.iter().product()];
    // Both runs end where an axis ends, so that the longer is made of whole shorter ones.
    let len = m.min(n);
    out.par_chunks_mut(len).with_min_len(VALUES_PER_TASK.div_ceil(len)).enumerate().for_each(|(i, out)| {
        let (p, q) = (left.index(i * len), right.index(i * len));
        match (a_same, b_same) {
            (false, false) => out.iter_mut().zip(&a.0[p..]).zip(&b.0[q..]).for_each(|((o, x), y)| *o = f(*x, *y)),
            (true, false) => out.iter_mut().zip(&b.0[q..]).for_each(|(o, y)| *o = f(a.0[p], *y)),
            (false, true) => out.iter_mut().zip(&a.0[p..]).for_each(|(o, x)| *o = f(*x, b.0[q])),
            (true, true) => out.fill(f(a.0[p], b.0[q])),
        }
    });
    out
}

fn value<T: Real>(f: Binary, a: T, b: T) -> T {
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
    }
}

/// The derivatives by a and by b; a tie of max or min counts half for each, as in PyTorch.
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
    }
}
