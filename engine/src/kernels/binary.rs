//! Element-wise functions of two inputs with broadcasting, and their gradients (summed over what was broadcast).

use super::layout::strides;
use super::map::{larger, smaller};
use crate::graph::op::Binary;
use crate::tensor::Real;
use rayon::prelude::*;

/// Which element of a smaller operand each element of the result reads.
struct Reads {
    dims: Vec<usize>,
    steps: Vec<usize>,
    whole: bool,
}

impl Reads {
    fn new(from: &[usize], to: &[usize]) -> Self {
        let missing = to.len() - from.len();
        let own = strides(from);
        let steps =
            (0..to.len()).map(|a| if a < missing || from[a - missing] == 1 { 0 } else { own[a - missing] }).collect();
        let whole = from.iter().product::<usize>() == to.iter().product::<usize>();
        Reads { dims: to.to_vec(), steps, whole }
    }

    #[inline]
    fn at(&self, mut i: usize) -> usize {
        if self.whole {
            return i;
        }
        let mut source = 0;
        for a in (0..self.dims.len()).rev() {
            source += i % self.dims[a] * self.steps[a];
            i /= self.dims[a];
        }
        source
    }

    /// How many neighbouring elements, at least, read neighbours or all the same one; and which of the two.
    fn run(&self) -> (usize, bool) {
        let mut len = 1;
        let mut same = None;
        for (n, step) in self.dims.iter().zip(&self.steps).rev() {
            let here = if *n == 1 { continue } else { *step == 0 };
            if *same.get_or_insert(here) != here || (!here && *step != len) {
                break;
            }
            len *= n;
        }
        (len, same.unwrap_or(true))
    }
}

/// f(a, b), both broadcast to `to`.
pub fn forward<T: Real>(f: Binary, a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize]) -> Vec<T> {
    pairs(a, b, to, |x, y| value(f, x, y))
}

/// The gradients for a and b, in their own shapes.
pub fn gradient<T: Real>(f: Binary, a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize], dy: &[T]) -> [Vec<T>; 2] {
    let by = |first: bool| {
        let slopes = pairs(a, b, to, move |x, y| if first { slopes(f, x, y).0 } else { slopes(f, x, y).1 });
        let flow: Vec<T> = slopes.par_iter().zip(dy).map(|(s, g)| *s * *g).collect();
        collapse(&flow, if first { a.1 } else { b.1 }, to)
    };
    [by(true), by(false)]
}

/// Sums values of shape `to` over the axes along which `from` was broadcast.
pub fn collapse<T: Real>(flow: &[T], from: &[usize], to: &[usize]) -> Vec<T> {
    let reads = Reads::new(from, to);
    if reads.whole {
        return flow.to_vec();
    }
    let mut sums = vec![0.0f64; from.iter().product()];
    flow.iter().enumerate().for_each(|(i, g)| sums[reads.at(i)] += g.f64());
    sums.into_iter().map(T::of).collect()
}

fn pairs<T: Real>(a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let (left, right) = (Reads::new(a.1, to), Reads::new(b.1, to));
    if left.whole && right.whole {
        return super::map::each(a.0, b.0, f);
    }
    let ((m, a_same), (n, b_same)) = (left.run(), right.run());
    let mut out = vec![T::zero(); to.iter().product()];
    // A run of one operand is whole runs of the other: both end at axes.
    let len = m.min(n);
    out.par_chunks_mut(len).with_min_len(super::CHUNK.div_ceil(len)).enumerate().for_each(|(i, out)| {
        let (p, q) = (left.at(i * len), right.at(i * len));
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
        Binary::Max => larger(a, b),
        Binary::Min => smaller(a, b),
        Binary::Prelu => {
            if a > T::zero() {
                a
            } else {
                a * b
            }
        }
    }
}

/// The derivatives for a and for b; a tie of max or min is shared by halves, as PyTorch does.
fn slopes<T: Real>(f: Binary, a: T, b: T) -> (T, T) {
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
