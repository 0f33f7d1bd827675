//! Average and max pools with their gradients. A max pool's gradient goes to the first largest value of each
//! window (its switch), summed where windows overlap.

use crate::graph::op::Pool;
use crate::tensor::Real;
use rayon::prelude::*;

/// The sizes of a pool over `planes` maps.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// The pool.
    pub pool: Pool,
}

impl Geometry {
    fn sizes(&self) -> (usize, usize) {
        (self.input[0] * self.input[1], self.output[0] * self.output[1])
    }

    /// The input rows (axis 0) or columns (axis 1) that output position `o` covers: first, count.
    fn taps(&self, axis: usize, o: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let w = self.pool.window;
        let before = [w.padding.top, w.padding.left][axis];
        let size = self.input[axis];
        let (start, step) = (o * w.stride[axis], w.dilation[axis]);
        (0..w.kernel[axis]).filter_map(move |k| (start + k * step).checked_sub(before)).filter(move |i| *i < size)
    }

    /// What an average at output (y, x) divides by.
    fn divisor(&self, y: usize, x: usize) -> usize {
        let w = self.pool.window;
        let axis = |a: usize, o: usize, before: usize, after: usize| {
            if self.pool.count_padding {
                // Padding counts, what a ceil-mode window covers beyond it does not.
                let end = self.input[a] + before + after;
                (0..w.kernel[a]).filter(|k| o * w.stride[a] + k * w.dilation[a] < end).count()
            } else {
                self.taps(a, o).count()
            }
        };
        (axis(0, y, w.padding.top, w.padding.bottom) * axis(1, x, w.padding.left, w.padding.right)).max(1)
    }
}

/// The largest of each window.
pub fn max<T: Real>(g: &Geometry, x: &[T]) -> Vec<T> {
    planes(g, x, |x, y| {
        for_each_output(g, |o, oy, ox| y[o] = x[winner(g, x, oy, ox)]);
    })
}

/// The gradient of [`max`]: each window's flow to its winner.
pub fn max_gradient<T: Real>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    let (source, pixels) = g.sizes();
    let mut dx = vec![T::zero(); x.len()];
    dx.par_chunks_mut(source).zip(x.par_chunks(source)).zip(dy.par_chunks(pixels)).for_each(|((dx, x), dy)| {
        for_each_output(g, |o, oy, ox| {
            if dy[o] != T::zero() {
                dx[winner(g, x, oy, ox)] += dy[o];
            }
        });
    });
    dx
}

/// The index of each window's winner within its plane (Zeiler and Fergus's switches).
pub fn switches<T: Real>(g: &Geometry, x: &[T]) -> Vec<usize> {
    let (source, pixels) = g.sizes();
    let mut out = vec![0; x.len() / source * pixels];
    out.par_chunks_mut(pixels).zip(x.par_chunks(source)).for_each(|(out, x)| {
        for_each_output(g, |o, oy, ox| out[o] = winner(g, x, oy, ox));
    });
    out
}

/// The mean of each window.
pub fn average<T: Real>(g: &Geometry, x: &[T]) -> Vec<T> {
    let width = g.input[1];
    planes(g, x, |x, y| {
        for_each_output(g, |o, oy, ox| {
            let mut sum = T::zero();
            for i in g.taps(0, oy) {
                g.taps(1, ox).for_each(|j| sum += x[i * width + j]);
            }
            y[o] = sum / T::of(g.divisor(oy, ox) as f64);
        });
    })
}

/// The gradient of [`average`] for planes of the input's size.
pub fn average_gradient<T: Real>(g: &Geometry, dy: &[T]) -> Vec<T> {
    let (source, pixels) = g.sizes();
    let width = g.input[1];
    let mut dx = vec![T::zero(); dy.len() / pixels * source];
    dx.par_chunks_mut(source).zip(dy.par_chunks(pixels)).for_each(|(dx, dy)| {
        for_each_output(g, |o, oy, ox| {
            let share = dy[o] / T::of(g.divisor(oy, ox) as f64);
            for i in g.taps(0, oy) {
                g.taps(1, ox).for_each(|j| dx[i * width + j] += share);
            }
        });
    });
    dx
}

fn planes<T: Real>(g: &Geometry, x: &[T], f: impl Fn(&[T], &mut [T]) + Sync) -> Vec<T> {
    let (source, pixels) = g.sizes();
    let mut y = vec![T::zero(); x.len() / source * pixels];
    y.par_chunks_mut(pixels).zip(x.par_chunks(source)).for_each(|(y, x)| f(x, y));
    y
}

fn for_each_output(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    for oy in 0..g.output[0] {
        (0..g.output[1]).for_each(|ox| f(oy * g.output[1] + ox, oy, ox));
    }
}

/// The first largest value of a window; a NaN wins.
#[inline]
fn winner<T: Real>(g: &Geometry, x: &[T], oy: usize, ox: usize) -> usize {
    let columns = g.taps(1, ox);
    let mut best: Option<usize> = None;
    for i in g.taps(0, oy) {
        for j in columns.clone() {
            let at = i * g.input[1] + j;
            let wins = match best {
                None => true,
                Some(b) => x[at] > x[b] || (x[at].is_nan_value() && !x[b].is_nan_value()),
            };
            if wins {
                best = Some(at);
            }
        }
    }
    best.unwrap_or(0)
}
