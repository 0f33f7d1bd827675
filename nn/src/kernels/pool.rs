//! Max pooling, and the geometry of pools. The gradient is in [`max_pool_backward`](super::max_pool_backward), averages are in
//! [`average_pool`](super::average_pool).

use super::conv::padded_plane::PaddedPlane;
use crate::graph::op::{Padding, Pool};
use crate::simd::{MAX_LANES, arch};
use crate::tensor::{Real, VALUES_PER_TASK};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The sizes of a pool, which runs over any number of planes.
#[derive(Clone, Copy, Debug)]
pub struct PoolGeometry {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Window, ceil mode, and what an average divides by.
    pub pool: Pool,
}

impl PoolGeometry {
    /// Values of an input plane and of an output plane.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.input[0] * self.input[1], self.output[0] * self.output[1])
    }

    /// The same pool, without padding, over a window of size `input` that contains all inputs of `output` results.
    pub fn part(&self, input: [usize; 2], output: [usize; 2]) -> Self {
        let mut pool = self.pool;
        pool.window.padding = Padding::default();
        PoolGeometry { input, output, pool }
    }

    /// A padded copy of the plane, as windows read it.
    pub(super) fn padded_plane(&self) -> PaddedPlane {
        let taps: Vec<_> = self.taps().collect();
        PaddedPlane::new(self.input, self.pool.window.stride, [(self.output, &taps[..])])
    }

    /// The inputs of the first window, row by row; negative in the padding.
    pub(super) fn taps(&self) -> impl Iterator<Item = [isize; 2]> + use<> {
        let w = self.pool.window;
        let at = move |a: usize, k: usize| (k * w.dilation[a]) as isize - [w.padding.top, w.padding.left][a] as isize;
        (0..w.kernel[0]).flat_map(move |i| (0..w.kernel[1]).map(move |j| [at(0, i), at(1, j)]))
    }

    /// The inputs, along an axis, of the window at output position `o`.
    pub(super) fn span(&self, axis: usize, o: usize) -> Span {
        let w = self.pool.window;
        let before = [w.padding.top, w.padding.left][axis];
        let (start, step) = (o * w.stride[axis], w.dilation[axis]);
        let skipped = before.saturating_sub(start).div_ceil(step);
        let first = start + skipped * step - before.min(start + skipped * step);
        let end = (start + w.kernel[axis] * step).saturating_sub(before).min(self.input[axis]);
        Span { first, step, end }
    }
}

/// The maximum of each window; zero where the window lies wholly in the padding. A NaN wins.
pub fn max<T: Real>(g: &PoolGeometry, x: &[T]) -> Vec<T> {
    let Some(singles) = T::singles(x) else { return planes_with(g.sizes(), x, || (), |(), x, y| scalar_max(g, x, y)) };
    let w = g.pool.window;
    let across: Vec<_> =
        (0..w.kernel[1]).map(|j| [0, (j * w.dilation[1]) as isize - w.padding.left as isize]).collect();
    let band = (BAND_LEN / g.input[1].max(1)).clamp(1, g.output[0].max(1));
    let padded = PaddedPlane::new([band, g.input[1]], [1, w.stride[1]], [([band, g.output[1]], &across[..])]);
    let taps: Vec<usize> = across.iter().map(|t| padded.tap_offset(*t)).collect();
    let empty = [0, 1].map(|a| (0..g.output[a]).filter(|o| g.span(a, *o).taps().next().is_none()).collect());
    let scratch = || MaxScratch {
        row: vec![0.0; g.input[1].next_multiple_of(MAX_LANES)],
        columns: vec![f32::NEG_INFINITY; padded.len() + MAX_LANES],
        maxima: vec![0.0; padded.positions([band, g.output[1]]).next_multiple_of(MAX_LANES)],
    };
    T::of_singles(planes_with(g.sizes(), singles, scratch, |scratch, x, y| {
        if !arch().dispatch(MaxPlane { g, padded: &padded, taps: &taps, empty: &empty, scratch, x, y: &mut *y }) {
            scalar_max(g, x, y);
        }
    }))
}

/// The maxima of a plane; a NaN wins.
fn scalar_max<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T]) {
    for_each_output(g, |o, oy, ox| {
        let window = g.span(0, oy).taps().flat_map(|i| g.span(1, ox).taps().map(move |j| x[i * g.input[1] + j]));
        y[o] = window.reduce(first_maximum).unwrap_or_else(T::zero);
    });
}

/// The maximum, the first of equals; a NaN wins.
#[inline(always)]
#[allow(clippy::eq_op)]
fn first_maximum<T: Real>(a: T, b: T) -> T {
    if (a >= b) | (a != a) { a } else { b }
}

/// Input rows or columns of a window: `first`, then every `step`-th, before `end`.
#[derive(Clone, Copy)]
pub(super) struct Span {
    first: usize,
    step: usize,
    end: usize,
}

impl Span {
    #[inline(always)]
    pub(super) fn taps(self) -> impl Iterator<Item = usize> + Clone {
        let count = self.end.saturating_sub(self.first).div_ceil(self.step);
        (0..count).map(move |k| self.first + k * self.step)
    }
}

/// The maxima of a plane: first of each window's columns, then across these. Returns false where a value is not finite:
/// comparisons alone would lose a NaN.
struct MaxPlane<'a> {
    g: &'a PoolGeometry,
    /// The padded rows of column maxima.
    padded: &'a PaddedPlane,
    taps: &'a [usize],
    /// Rows and columns of results whose windows lie wholly in the padding.
    empty: &'a [Vec<usize>; 2],
    scratch: &'a mut MaxScratch,
    x: &'a [f32],
    y: &'a mut [f32],
}

/// A task's buffers.
struct MaxScratch {
    /// The column maxima of one row of windows.
    row: Vec<f32>,
    /// A band of such rows, padded.
    columns: Vec<f32>,
    /// The maxima of a band of windows.
    maxima: Vec<f32>,
}

/// Values of a band of column maxima, which stays in a core's L1 cache.
const BAND_LEN: usize = 1 << 11;

impl WithSimd for MaxPlane<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let (g, padded, [_, across], lanes) = (self.g, self.padded, self.g.output, S::F32_LANES);
        let larger = |a, b| simd.select_f32s(simd.less_than_f32s(a, b), b, a);
        let load = |values: &[f32], at: usize| S::as_simd_f32s(&values[at..at + lanes]).0[0];
        let (width, MaxScratch { row, columns, maxima }) = (g.input[1], self.scratch);
        // x - x is zero where x is finite.
        let mut zero = simd.splat_f32s(0.0);
        let band = padded.shape.input[0];
        for (first, y) in (0..).step_by(band).zip(self.y.chunks_mut(band * across)) {
            for oy in first..g.output[0].min(first + band) {
                let rows = g.span(0, oy);
                for at in (0..width).step_by(lanes) {
                    let mut best = simd.splat_f32s(f32::NEG_INFINITY);
                    for from in rows.taps().map(|i| i * width + at) {
                        // A vector may reach past the end of the row, but not of the plane.
                        let x = if from + lanes <= self.x.len() {
                            load(self.x, from)
                        } else {
                            let mut last = [0.0; MAX_LANES];
                            last[..self.x.len() - from].copy_from_slice(&self.x[from..]);
                            load(&last, 0)
                        };
                        zero = simd.add_f32s(zero, simd.sub_f32s(x, x));
                        best = larger(best, x);
                    }
                    S::as_mut_simd_f32s(&mut row[at..at + lanes]).0[0] = best;
                }
                padded.fill_row(oy - first, row, columns);
            }
            for (at, to) in (0..).step_by(lanes).zip(S::as_mut_simd_f32s(maxima).0) {
                let lowest = simd.splat_f32s(f32::NEG_INFINITY);
                *to = self.taps.iter().fold(lowest, |best, tap| larger(best, load(columns, tap + at)));
            }
            let rows = y.chunks_exact_mut(across).zip(maxima.chunks(padded.pitch()));
            rows.for_each(|(y, maxima)| y.copy_from_slice(&maxima[..across]));
        }
        let [rows, columns] = self.empty;
        rows.iter().for_each(|row| self.y[row * across..][..across].fill(0.0));
        for y in self.y.chunks_exact_mut(across) {
            columns.iter().for_each(|column| y[*column] = 0.0);
        }
        simd.reduce_sum_f32s(zero) == 0.0
    }
}

/// Applies `f(buffers, input, output)` to every plane of `x`, given the values of an input plane and of an output plane; `scratch`
/// makes a task's buffers. An output plane is zero before.
pub(super) fn planes_with<T: Real, R>(
    (source, pixels): (usize, usize),
    x: &[T],
    scratch: impl Fn() -> R + Sync + Send,
    f: impl Fn(&mut R, &[T], &mut [T]) + Sync + Send,
) -> Vec<T> {
    let mut y = vec![T::zero(); x.len() / source.max(1) * pixels];
    let tasks = y
        .par_chunks_mut(pixels.max(1))
        .zip(x.par_chunks(source.max(1)))
        .with_min_len(VALUES_PER_TASK.div_ceil(source.max(1)));
    tasks.for_each_init(scratch, |scratch, (y, x)| f(scratch, x, y));
    y
}

/// Calls `f(index, y, x)` for every output position.
pub(super) fn for_each_output(g: &PoolGeometry, mut f: impl FnMut(usize, usize, usize)) {
    for oy in 0..g.output[0] {
        (0..g.output[1]).for_each(|ox| f(oy * g.output[1] + ox, oy, ox));
    }
}
