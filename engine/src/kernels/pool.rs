//! Average and max pools with their gradients. A max pool's gradient goes to the first largest value of each
//! window (its switch), summed where windows overlap.

use super::tile::arch;
use crate::graph::op::{Padding, Pool};
use crate::tensor::Real;
use pulp::{Simd, WithSimd};
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
    let empty = g.empty_columns();
    planes(g, x, |x, y| arch().dispatch(Largest { g, x, y, empty: &empty }))
}

/// The larger, the first of equals; a NaN wins.
#[inline(always)]
fn leader<T: Real>(a: T, b: T) -> T {
    if keeps(a, b) { a } else { b }
}

/// Whether `a` stays ahead of a later `b`.
#[inline(always)]
#[allow(clippy::eq_op)]
fn keeps<T: Real>(a: T, b: T) -> bool {
    (a >= b) | (a != a)
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

impl Geometry {
    /// Values of an input row with what windows read beside it.
    fn line(&self) -> usize {
        let w = self.pool.window;
        let read = self.output[1].saturating_sub(1) * w.stride[1] + (w.kernel[1] - 1) * w.dilation[1] + 1;
        read.max(w.padding.left + self.input[1])
    }

    /// Output columns whose windows lie wholly in the border.
    fn empty_columns(&self) -> Vec<usize> {
        (0..self.output[1]).filter(|ox| self.span(1, *ox).taps().next().is_none()).collect()
    }
}

/// The maximum of a plane: first down each column, then across; the largest value is the same in any order.
struct Largest<'a, T> {
    g: &'a Geometry,
    x: &'a [T],
    y: &'a mut [T],
    empty: &'a [usize],
}

impl<T: Real> WithSimd for Largest<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (g, width, w) = (self.g, self.g.input[1], self.g.pool.window);
        // What is best so far, and room for the next: a value that is written where it was read makes compilers write
        // under a mask, which is slow on some machines.
        let (mut line, mut next) = (vec![T::of(f64::NEG_INFINITY); g.line()], vec![T::of(f64::NEG_INFINITY); g.line()]);
        let (mut row, mut other) = (vec![T::zero(); g.output[1]], vec![T::zero(); g.output[1]]);
        for (oy, y) in self.y.chunks_exact_mut(g.output[1]).enumerate() {
            let mut rows = g.span(0, oy).taps();
            let Some(first) = rows.next() else { continue };
            line[w.padding.left..][..width].copy_from_slice(&self.x[first * width..][..width]);
            for i in rows {
                let places = next[w.padding.left..][..width].iter_mut().zip(&line[w.padding.left..]);
                places.zip(&self.x[i * width..][..width]).for_each(|((n, m), v)| *n = leader(*m, *v));
                std::mem::swap(&mut line, &mut next);
            }
            strided(&mut row, &line, w.stride[1], |_, v| v);
            for j in 1..w.kernel[1] {
                strided(&mut other, &line[j * w.dilation[1]..], w.stride[1], |at, v| leader(row[at], v));
                std::mem::swap(&mut row, &mut other);
            }
            y.copy_from_slice(&row);
            self.empty.iter().for_each(|ox| y[*ox] = T::zero());
        }
    }
}

/// Sets each of `to` to what `f` makes of its place and of every `step`-th value of `from`.
#[inline(always)]
fn strided<A, B: Copy>(to: &mut [A], from: &[B], step: usize, f: impl Fn(usize, B) -> A) {
    match step {
        1 => to.iter_mut().zip(from).enumerate().for_each(|(i, (t, v))| *t = f(i, *v)),
        2 => {
            let pairs = (from.len() / 2).min(to.len());
            let (front, rest) = to.split_at_mut(pairs);
            front.iter_mut().zip(from.chunks_exact(2)).enumerate().for_each(|(i, (t, v))| *t = f(i, v[0]));
            let last = rest.iter_mut().zip(from[2 * pairs..].iter().step_by(2)).enumerate();
            last.for_each(|(i, (t, v))| *t = f(pairs + i, *v));
        }
        _ => to.iter_mut().zip(from.iter().step_by(step)).enumerate().for_each(|(i, (t, v))| *t = f(i, *v)),
    }
}

/// The gradient of [`max`]: each window's flow to its winner.
pub fn max_gradient<T: Real>(g: &Geometry, x: &[T], dy: &[T]) -> Vec<T> {
    let (source, pixels) = g.sizes();
    let mut dx = vec![T::zero(); x.len()];
    dx.par_chunks_mut(source)
        .zip(x.par_chunks(source))
        .zip(dy.par_chunks(pixels))
        .for_each(|((dx, x), dy)| arch().dispatch(Winners { g, x, dy, dx }));
    dx
}

/// The gradient of a plane's maxima.
struct Winners<'a, T> {
    g: &'a Geometry,
    x: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

/// The row of a value beside the input: behind all others.
const NOWHERE: u32 = u32::MAX;

/// The best so far of each of several windows or columns.
struct Best<T> {
    value: Vec<T>,
    row: Vec<u32>,
    tap: Vec<u32>,
}

impl<T: Real> Best<T> {
    fn new(n: usize) -> Self {
        Best { value: vec![T::of(f64::NEG_INFINITY); n], row: vec![NOWHERE; n], tap: vec![0; n] }
    }

    /// This or `tap`, what stands under a later tap of each window: the first in row-major order of the largest wins.
    #[inline(always)]
    fn meet(&self, tap: &Best<T>, next: &mut Best<T>) {
        let to = next.value.iter_mut().zip(&mut next.row).zip(&mut next.tap);
        let old = self.value.iter().zip(&self.row).zip(&self.tap);
        let new = tap.value.iter().zip(&tap.row).zip(&tap.tap);
        for (((value, row), column), (((v, r), c), ((w, s), d))) in to.zip(old.zip(new)) {
            let stays = before((*v, *r), (*w, *s));
            *value = if stays { *v } else { *w };
            *row = if stays { *r } else { *s };
            *column = if stays { *c } else { *d };
        }
    }

    /// This or the values `x` of row `i`, from place `left` on.
    #[inline(always)]
    fn taller(&self, left: usize, x: &[T], i: u32, next: &mut Best<T>) {
        let (values, rows) = (&self.value[left..][..x.len()], &self.row[left..][..x.len()]);
        let to = next.value[left..][..x.len()].iter_mut().zip(&mut next.row[left..][..x.len()]);
        for ((value, row), ((v, r), x)) in to.zip(values.iter().zip(rows).zip(x)) {
            let stays = keeps(*v, *x);
            *value = if stays { *v } else { *x };
            *row = if stays { *r } else { i };
        }
    }
}

impl<T: Real> WithSimd for Winners<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (g, width, w) = (self.g, self.g.input[1], self.g.pool.window);
        let left = w.padding.left;
        let (mut columns, mut taller) = (Best::new(g.line()), Best::new(g.line()));
        let [mut best, mut better, mut tap] = [0, 1, 2].map(|_| Best::new(g.output[1]));
        for (oy, dy) in self.dy.chunks_exact(g.output[1]).enumerate() {
            let mut rows = g.span(0, oy).taps();
            let Some(first) = rows.next() else { continue };
            columns.value[left..][..width].copy_from_slice(&self.x[first * width..][..width]);
            columns.row[left..][..width].fill(first as u32);
            for i in rows {
                columns.taller(left, &self.x[i * width..][..width], i as u32, &mut taller);
                std::mem::swap(&mut columns, &mut taller);
            }
            for j in 0..w.kernel[1] {
                let from = j * w.dilation[1];
                let to = if j == 0 { &mut best } else { &mut tap };
                strided(&mut to.value, &columns.value[from..], w.stride[1], |_, v| v);
                strided(&mut to.row, &columns.row[from..], w.stride[1], |_, r| r);
                to.tap.fill(j as u32);
                if j > 0 {
                    best.meet(&tap, &mut better);
                    std::mem::swap(&mut best, &mut better);
                }
            }
            for (ox, dy) in dy.iter().enumerate() {
                if best.row[ox] != NOWHERE {
                    let column = ox * w.stride[1] + best.tap[ox] as usize * w.dilation[1] - left;
                    self.dx[best.row[ox] as usize * width + column] += *dy;
                }
            }
        }
    }
}

/// Whether `a`, a column's largest value and its row, wins over that of a later column.
#[inline(always)]
#[allow(clippy::eq_op)]
fn before<T: Real>(a: (T, u32), b: (T, u32)) -> bool {
    let (above, nan_a, nan_b) = (a.1 <= b.1, a.0 != a.0, b.0 != b.0);
    (nan_a & (!nan_b | above)) | (!nan_a & !nan_b & ((a.0 > b.0) | ((a.0 == b.0) & above)))
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
