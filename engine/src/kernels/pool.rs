//! Average and max pools with their gradients. A max pool's gradient goes to the first largest value of each
//! window (its switch), summed where windows overlap.

use crate::graph::op::{Padding, Pool};
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

    /// The same pool over a window of `input`, which holds all that `output` results read.
    pub fn part(&self, input: [usize; 2], output: [usize; 2]) -> Self {
        let mut pool = self.pool;
        pool.window.padding = Padding::default();
        Geometry { input, output, pool }
    }

    /// The inputs along an axis under the window at output position `o`.
    fn span(&self, axis: usize, o: usize) -> Span {
        let w = self.pool.window;
        let before = [w.padding.top, w.padding.left][axis];
        let (start, step) = (o * w.stride[axis], w.dilation[axis]);
        let skipped = before.saturating_sub(start).div_ceil(step);
        let first = start + skipped * step - before.min(start + skipped * step);
        let end = (start + w.kernel[axis] * step).saturating_sub(before).min(self.input[axis]);
        Span { first, step, end }
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
                self.span(a, o).taps().count()
            }
        };
        (axis(0, y, w.padding.top, w.padding.bottom) * axis(1, x, w.padding.left, w.padding.right)).max(1)
    }
}

/// The largest of each window.
pub fn max<T: Real>(g: &Geometry, x: &[T]) -> Vec<T> {
    let width = g.input[1];
    let columns: Vec<Span> = (0..g.output[1]).map(|ox| g.span(1, ox)).collect();
    planes(g, x, |x, y| {
        // First down each column, then across: the largest value is the same in any order.
        let mut tallest = vec![T::zero(); width];
        for (oy, y) in y.chunks_exact_mut(g.output[1]).enumerate() {
            let mut rows = g.span(0, oy).taps();
            let Some(first) = rows.next() else { continue };
            tallest.copy_from_slice(&x[first * width..(first + 1) * width]);
            for i in rows {
                let row = &x[i * width..(i + 1) * width];
                tallest.iter_mut().zip(row).for_each(|(m, v)| *m = leader(*m, *v));
            }
            for (y, span) in y.iter_mut().zip(&columns) {
                *y = span.taps().map(|j| tallest[j]).reduce(leader).unwrap_or(T::zero());
            }
        }
    })
}

/// The larger, the first of equals; a NaN wins.
#[inline(always)]
fn leader<T: Real>(a: T, b: T) -> T {
    if a >= b || a.is_nan_value() { a } else { b }
}

/// Input rows or columns under a window: `first`, then every `step`, before `end`.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    step: usize,
    end: usize,
}

impl Span {
    #[inline(always)]
    fn taps(self) -> impl Iterator<Item = usize> + Clone {
        let count = self.end.saturating_sub(self.first).div_ceil(self.step);
        (0..count).map(move |k| self.first + k * self.step)
    }
}

/// The gradient of [`max`]: each window's flow to its winner.
pub fn max_gradient<T: Real>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    let (source, pixels) = g.sizes();
    let mut dx = vec![T::zero(); x.len()];
    let columns: Vec<Span> = (0..g.output[1]).map(|ox| g.span(1, ox)).collect();
    dx.par_chunks_mut(source).zip(x.par_chunks(source)).zip(dy.par_chunks(pixels)).for_each(|((dx, x), dy)| {
        let width = g.input[1];
        // The first largest value down each column, and its row; then across.
        let mut tallest = vec![(T::zero(), 0); width];
        for (oy, dy) in dy.chunks_exact(g.output[1]).enumerate() {
            let mut rows = g.span(0, oy).taps();
            let Some(first) = rows.next() else { continue };
            let row = &x[first * width..(first + 1) * width];
            tallest.iter_mut().zip(row).for_each(|(t, v)| *t = (*v, first));
            for i in rows {
                let row = &x[i * width..(i + 1) * width];
                for (t, v) in tallest.iter_mut().zip(row) {
                    let keeps = t.0 >= *v || t.0.is_nan_value();
                    *t = if keeps { *t } else { (*v, i) };
                }
            }
            for (dy, span) in dy.iter().zip(&columns) {
                let best = span.taps().reduce(|b, j| if before(tallest[b], tallest[j]) { b } else { j });
                if let Some(j) = best {
                    dx[tallest[j].1 * width + j] += *dy;
                }
            }
        }
    });
    dx
}

/// Whether `a`, a column's largest value and its row, wins over that of a later column.
#[inline(always)]
fn before<T: Real>(a: (T, usize), b: (T, usize)) -> bool {
    match (a.0.is_nan_value(), b.0.is_nan_value()) {
        (true, true) => a.1 <= b.1,
        (one, other) if one != other => one,
        _ => a.0 > b.0 || (a.0 == b.0 && a.1 <= b.1),
    }
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
            for i in g.span(0, oy).taps() {
                g.span(1, ox).taps().for_each(|j| sum += x[i * width + j]);
            }
            y[o] = sum / T::of(g.divisor(oy, ox) as f64);
        });
    })
}

/// [`average`] for windows of outputs, `size` each, at `starts`: `x` holds the inputs that each reads, `read` in size, zero
/// beyond the border.
pub fn average_windows<T: Real>(
    g: &Geometry,
    starts: &[[usize; 2]],
    size: [usize; 2],
    read: [usize; 2],
    x: &[T],
) -> Vec<T> {
    let part = g.part(read, size);
    let (source, pixels) = part.sizes();
    let channels = x.len() / source / starts.len().max(1);
    let mut y = vec![T::zero(); starts.len() * channels * pixels];
    y.par_chunks_mut(pixels).zip(x.par_chunks(source)).enumerate().for_each(|(i, (y, x))| {
        let [top, left] = starts[i / channels];
        for_each_output(&part, |o, oy, ox| {
            let mut sum = T::zero();
            for i in part.span(0, oy).taps() {
                part.span(1, ox).taps().for_each(|j| sum += x[i * read[1] + j]);
            }
            y[o] = sum / T::of(g.divisor(top + oy, left + ox) as f64);
        });
    });
    y
}

/// The gradient of [`average`] for planes of the input's size.
pub fn average_gradient<T: Real>(g: &Geometry, dy: &[T]) -> Vec<T> {
    let (source, pixels) = g.sizes();
    let width = g.input[1];
    let mut dx = vec![T::zero(); dy.len() / pixels * source];
    dx.par_chunks_mut(source).zip(dy.par_chunks(pixels)).for_each(|(dx, dy)| {
        for_each_output(g, |o, oy, ox| {
            let share = dy[o] / T::of(g.divisor(oy, ox) as f64);
            for i in g.span(0, oy).taps() {
                g.span(1, ox).taps().for_each(|j| dx[i * width + j] += share);
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
#[inline(always)]
fn winner<T: Real>(g: &Geometry, x: &[T], oy: usize, ox: usize) -> usize {
    let columns = g.span(1, ox);
    let rows = g.span(0, oy);
    let mut best = (rows.first * g.input[1] + columns.first).min(x.len() - 1);
    for i in rows.taps() {
        for j in columns.taps() {
            let at = i * g.input[1] + j;
            if !(x[best] >= x[at] || x[best].is_nan_value()) {
                best = at;
            }
        }
    }
    best
}
