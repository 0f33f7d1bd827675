//! What a convolution reads and writes, tap by tap, and the driver that cuts it into tiles.
//!
//! A [`Walk`] covers a forward convolution and, phase by phase, its input gradient: output position (y, x) of the grid
//! reads input (y * stride + tap) for each tap. Columns of inputs are laid out for [`tile`](super::tile) and the results
//! land where the walk says.

use super::target::{Target, filled};
use super::tile::{Block, Finish, Inner, Join, Line, Product, ROWS, arch, lanes, width};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// How outputs read inputs.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Samples.
    pub batch: usize,
    /// Groups that do not mix.
    pub groups: usize,
    /// Input channels in a group.
    pub channels: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output channels in a group.
    pub rows: usize,
    /// Output positions down and right.
    pub grid: [usize; 2],
    /// Input steps between output positions.
    pub stride: [usize; 2],
    /// Input row and column that each tap reads at position (0, 0).
    pub taps: Vec<[isize; 2]>,
    /// Where the results lie.
    pub place: Placing,
}

/// Where a walk's results lie: sample n, channel c, position (y, x) at n * sample + c * plane + first + y * row + x * column.
#[derive(Clone, Copy, Debug)]
pub struct Placing {
    /// Values between samples.
    pub sample: usize,
    /// Values between channels.
    pub plane: usize,
    /// Position (0, 0) within its plane.
    pub first: usize,
    /// Values between rows.
    pub row: usize,
    /// Values between columns.
    pub column: usize,
}

/// What a walk computes with.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The input, N x C x H x W.
    pub x: &'a [f32],
    /// For each group its panels, see [`Walk::pack`].
    pub panels: &'a [f32],
    /// One value an output channel, or none.
    pub bias: &'a [f32],
    /// Laid out as the results, for `join`.
    pub other: &'a [f32],
    /// How a value meets the other's.
    pub join: Join,
    /// What happens to it then.
    pub finish: Finish,
}

/// Multiply-adds that are worth a task of their own.
const TASK: usize = 1 << 20;

impl Walk {
    /// Length of the sums.
    pub fn inner(&self) -> usize {
        self.channels * self.taps.len()
    }

    fn pixels(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Values in a group's panels.
    fn panel_len(&self) -> usize {
        self.rows.next_multiple_of(ROWS) * self.inner()
    }

    /// Whether every group reads one channel of several.
    pub(super) fn is_planes(&self) -> bool {
        self.channels == 1 && self.groups > 1
    }

    /// Panels of weights: `weight(group, row, channel, tap)`; sums run over taps and, within each, over channels, in the
    /// order that oneDNN's plain kernels have too. Of [planes](super::depthwise) just their kernels.
    pub fn pack(&self, weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync) -> Vec<f32> {
        let (inner, channels) = (self.inner(), self.channels);
        if self.is_planes() {
            let kernels = (0..self.groups * self.rows).flat_map(|o| (0..inner).map(move |t| (o, t)));
            return kernels.map(|(o, t)| weight(o / self.rows, o % self.rows, 0, t)).collect();
        }
        let mut panels = vec![0.0; self.groups * self.panel_len()];
        if inner > 0 {
            panels.par_chunks_mut(ROWS * inner).enumerate().for_each(|(p, panel)| {
                let each = self.rows.div_ceil(ROWS);
                let (group, first) = (p / each, p % each * ROWS);
                for r in 0..ROWS.min(self.rows - first) {
                    let places = (0..inner / channels).flat_map(|tap| (0..channels).map(move |c| (tap, c)));
                    for (k, (tap, c)) in places.enumerate() {
                        panel[k * ROWS + r] = weight(group, first + r, c, tap);
                    }
                }
            });
        }
        panels
    }

    /// Computes the walk into `out`, a buffer of `len` values.
    ///
    /// # Panics
    /// Where a slice is shorter than the walk needs: a defect of the caller.
    pub fn run(&self, work: &Work<'_>, out: Target<f32>, len: usize) {
        if !self.checked(work, len) {
            return;
        }
        if self.stride[1] > 1 && self.taps.len() > 1 {
            let (walk, x) = self.split_columns(work.x);
            return walk.cut(&Work { x: &x, ..*work }, out);
        }
        self.cut(work, out);
    }

    /// Whether there is anything to compute.
    pub(super) fn checked(&self, work: &Work<'_>, len: usize) -> bool {
        let any = self.checked_reads(work, len);
        assert!(!any || work.panels.len() >= self.groups * self.panel_len(), "the panels are too short");
        any
    }

    /// As [`Walk::checked`], but for the weights.
    pub(super) fn checked_reads(&self, work: &Work<'_>, len: usize) -> bool {
        if self.batch * self.pixels() == 0 || self.rows == 0 {
            return false;
        }
        let last = self.index(self.batch - 1, self.groups * self.rows - 1, self.grid[0] - 1, self.grid[1] - 1);
        assert!(last < len, "the result is too short");
        assert!(work.join == Join::Alone || last < work.other.len(), "what is joined is too short");
        assert!(work.x.len() >= self.batch * self.groups * self.channels * self.input[0] * self.input[1]);
        true
    }

    /// Where the result of sample n, channel, row y, column x lies.
    pub(super) fn index(&self, n: usize, channel: usize, y: usize, x: usize) -> usize {
        let p = self.place;
        n * p.sample + channel * p.plane + p.first + y * p.row + x * p.column
    }

    /// Cuts the work into tasks: tiles of columns where there are many, else blocks of rows over columns laid out once.
    fn cut(&self, work: &Work<'_>, out: Target<f32>) {
        let (total, wide) = (self.batch * self.pixels(), width());
        let tiles = total.div_ceil(wide);
        let each = (TASK / (self.inner() * wide * self.rows.next_multiple_of(ROWS)).max(1)).clamp(1, tiles);
        if self.inner() == 0 || self.rows <= 2 * ROWS || self.groups * tiles.div_ceil(each) >= 8 {
            let runs = tiles.div_ceil(each);
            (0..self.groups * runs).into_par_iter().for_each(|task| {
                let (group, run) = (task / runs, task % runs);
                for t in run * each..((run + 1) * each).min(tiles) {
                    let tile = Columns { group, from: t * wide, count: wide.min(total - t * wide) };
                    SCRATCH.with_borrow_mut(|scratch| self.tile(work, tile, 0..self.rows, None, scratch, out));
                }
            });
            return;
        }
        let inner = self.inner();
        for group in 0..self.groups {
            let columns = |t: usize| Columns { group, from: t * wide, count: wide.min(total - t * wide) };
            // SAFETY: each task fills its own tile.
            let laid = unsafe {
                filled(tiles * inner * wide, |laid| {
                    (0..tiles).into_par_iter().for_each(|t| {
                        self.lay_out(work.x, columns(t), laid.slice(t * inner * wide, inner * wide));
                    });
                })
            };
            let panels = self.rows.div_ceil(ROWS);
            let block = panels.div_ceil(8) * ROWS;
            (0..self.rows.div_ceil(block)).into_par_iter().for_each(|b| {
                let rows = b * block..((b + 1) * block).min(self.rows);
                for (t, laid) in laid.chunks(inner * wide).enumerate() {
                    SCRATCH.with_borrow_mut(|scratch| {
                        self.tile(work, columns(t), rows.clone(), Some(laid), scratch, out);
                    });
                }
            });
        }
    }

    /// One tile of columns times some rows, whose first is the first of a panel.
    fn tile(
        &self,
        work: &Work<'_>,
        tile: Columns,
        rows: std::ops::Range<usize>,
        laid: Option<&[f32]>,
        scratch: &mut Scratch,
        out: Target<f32>,
    ) {
        let inner = self.inner();
        let (n, pixel) = (tile.from / self.pixels(), tile.from % self.pixels());
        let whole = pixel + tile.count <= self.pixels() && self.place.column == 1 && self.place.row == self.grid[1];
        let channel = tile.group * self.rows + rows.start;
        let (columns, pitch) = match laid {
            Some(laid) => (laid.as_ptr(), width()),
            None if self.reads_pixels() && self.rows <= 3 * ROWS && pixel + width() <= self.pixels() => {
                let first = (n * self.groups + tile.group) * self.channels * self.pixels() + pixel;
                (work.x[first..].as_ptr(), self.pixels())
            }
            None => {
                grow(&mut scratch.columns, inner * width());
                self.lay_out(work.x, tile, &mut scratch.columns);
                (scratch.columns.as_ptr(), width())
            }
        };
        let panels = &work.panels[tile.group * self.panel_len() + rows.start * inner..];
        let bias = work.bias.get(channel..channel + rows.len()).unwrap_or_default();
        let product = |block| Product { panels, inner, rows: rows.len(), bias, block };
        if whole {
            let first = n * self.place.sample + channel * self.place.plane + self.place.first + pixel;
            let other = work.other.get(first..).unwrap_or_default().as_ptr();
            // SAFETY: `run` checked that the last result lies inside `out` (and `other`), and no other task has these
            // rows and columns; the columns were laid out, or lie inside `x`, a whole tile of them in each inner row.
            unsafe {
                let (out, out_pitch) = (out.at(first), self.place.plane);
                let (join, finish) = (work.join, work.finish);
                product(Block {
                    columns,
                    inner: Inner::Every(pitch),
                    count: tile.count,
                    out,
                    out_pitch,
                    other,
                    join,
                    finish,
                })
                .run();
            }
            return;
        }
        grow(&mut scratch.results, rows.len().next_multiple_of(ROWS) * width());
        let block = Block {
            columns,
            inner: Inner::Every(pitch),
            // Whole vectors: there is room behind the last column.
            count: tile.count.next_multiple_of(lanes()),
            out: scratch.results.as_mut_ptr(),
            out_pitch: width(),
            other: std::ptr::null(),
            join: Join::Alone,
            finish: Finish::Keep,
        };
        // SAFETY: the results are this thread's own.
        unsafe { product(block).run() };
        arch().dispatch(Scatter { walk: self, work, tile, channel, rows: rows.len(), results: &scratch.results, out });
    }

    /// Whether inner rows are just the input's channels.
    fn reads_pixels(&self) -> bool {
        self.taps == [[0, 0]] && self.stride == [1, 1] && self.grid == self.input
    }

    /// The runs of a tile's columns that lie in one row of the grid.
    fn runs(&self, tile: Columns) -> impl Iterator<Item = Run> + Clone + use<> {
        let (pixels, across, end) = (self.pixels(), self.grid[1], tile.from + tile.count);
        let mut at = tile.from;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (n, pixel) = (at / pixels, at % pixels);
            let (y, x) = (pixel / across, pixel % across);
            let len = (across - x).min(end - at);
            let run = Run { lane: at - tile.from, len, n, y, x };
            at += len;
            Some(run)
        })
    }

    /// Writes what the tile's columns read: inner row (tap, channel), [`width`] values a row.
    fn lay_out(&self, x: &[f32], tile: Columns, to: &mut [f32]) {
        let [h, w] = self.input;
        let (wide, plane, step) = (width(), h * w, self.stride[1]);
        let mut pieces: Vec<Piece> = Vec::with_capacity(16);
        let runs: Vec<Run> = self.runs(tile).collect();
        for (t, [down, right]) in self.taps.iter().enumerate() {
            pieces.clear();
            let mut lane = 0;
            for run in &runs {
                let row = (run.y * self.stride[0]) as isize + down;
                if !(0..h as isize).contains(&row) {
                    continue;
                }
                let (lo, hi) = super::conv::inside(run.x, run.len, *right, step, w);
                if lo < hi {
                    let column = ((run.x + lo) * step).wrapping_add_signed(*right);
                    let from = (run.n * self.groups + tile.group) * self.channels * plane + row as usize * w + column;
                    pieces.extend((lane < run.lane + lo).then(|| Piece {
                        lane,
                        len: run.lane + lo - lane,
                        from: None,
                    }));
                    pieces.push(Piece { lane: run.lane + lo, len: hi - lo, from: Some(from) });
                    lane = run.lane + hi;
                }
            }
            pieces.extend((lane < wide).then(|| Piece { lane, len: wide - lane, from: None }));
            let rows = &mut to[t * self.channels * wide..][..self.channels * wide];
            arch().dispatch(Rows { x, plane, pieces: &pieces, step, wide, rows });
        }
    }

    /// The same walk over an input whose columns are sorted by their remainder: each plane holds `stride` smaller ones
    /// side by side, so that neighbouring outputs read neighbouring columns.
    fn split_columns(&self, x: &[f32]) -> (Walk, Vec<f32>) {
        let ([h, w], step) = (self.input, self.stride[1]);
        let narrow = w.div_ceil(step);
        // A gap of zeros as wide as any tap reaches stands before and behind each part, for taps beyond the border.
        let reach = self.taps.iter().map(|t| t[1].div_euclid(step as isize)).collect::<Vec<_>>();
        let before = reach.iter().copied().min().map_or(0, |m| (-m).max(0)) as usize;
        let furthest = reach.iter().copied().max().unwrap_or(0) + self.grid[1] as isize;
        let part = before + narrow.max(furthest.max(0) as usize);
        let mut sorted = vec![0.0; x.len() / w * part * step];
        sorted.par_chunks_mut(part * step).zip(x.par_chunks(w)).for_each(|(to, from)| {
            for r in 0..step.min(w) {
                to[r * part + before..].iter_mut().zip(from[r..].iter().step_by(step)).for_each(|(t, f)| *t = *f);
            }
        });
        let tap = |t: &[isize; 2]| {
            let (q, r) = (t[1].div_euclid(step as isize), t[1].rem_euclid(step as isize));
            [t[0], r * part as isize + before as isize + q]
        };
        let taps = self.taps.iter().map(tap).collect();
        (Walk { input: [h, part * step], stride: [self.stride[0], 1], taps, ..self.clone() }, sorted)
    }
}

/// Columns `from..from + count` of a group, counted through samples and positions.
#[derive(Clone, Copy)]
struct Columns {
    group: usize,
    from: usize,
    count: usize,
}

/// Results of a tile on their way to where the walk says.
struct Scatter<'a> {
    walk: &'a Walk,
    work: &'a Work<'a>,
    tile: Columns,
    /// The channel of the first row.
    channel: usize,
    rows: usize,
    /// Rows of [`width`] values.
    results: &'a [f32],
    out: Target<f32>,
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Work { join, finish, other, .. } = *self.work;
        let step = self.walk.place.column;
        for run in self.walk.runs(self.tile) {
            for (r, row) in self.results.chunks(width()).take(self.rows).enumerate() {
                let first = self.walk.index(run.n, self.channel + r, run.y, run.x);
                let from = &row[run.lane..run.lane + run.len];
                if step == 1 {
                    let other = other.get(first..first + run.len).unwrap_or_default();
                    // SAFETY: the walk checked that its last result lies inside `out` (and `other`), and no other task has
                    // these rows and columns.
                    let to = unsafe { self.out.slice(first, run.len) };
                    Line { from, other, join, finish, to }.with_simd(simd);
                    continue;
                }
                for (i, value) in from.iter().enumerate() {
                    let at = first + i * step;
                    // SAFETY: as above.
                    unsafe {
                        let value = join.apply(*value, other.as_ptr().wrapping_add(at));
                        *self.out.at(at) = finish.apply(value);
                    }
                }
            }
        }
    }
}

/// Neighbouring columns in one row of one sample.
#[derive(Clone, Copy)]
struct Run {
    lane: usize,
    len: usize,
    n: usize,
    y: usize,
    x: usize,
}

/// Neighbouring columns that read neighbouring values of a channel, those of the first from here on, or zeros.
struct Piece {
    lane: usize,
    len: usize,
    from: Option<usize>,
}

/// What a tile is laid out in and computed into before it is scattered.
#[derive(Default)]
pub(super) struct Scratch {
    /// Inputs sorted for [Winograd's tiles](super::winograd).
    pub(super) planes: Vec<f32>,
    pub(super) columns: Vec<f32>,
    pub(super) results: Vec<f32>,
}

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Makes room for `to` values.
pub(super) fn grow(values: &mut Vec<f32>, to: usize) {
    if values.len() < to {
        values.resize(to, 0.0);
    }
}

/// What the columns of a tile read under one tap: a row for every channel.
struct Rows<'a> {
    x: &'a [f32],
    /// Values between channels.
    plane: usize,
    /// All columns of a row, from left to right.
    pieces: &'a [Piece],
    /// Values between neighbouring columns.
    step: usize,
    wide: usize,
    rows: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        for (c, first) in (0..self.rows.len()).step_by(self.wide).enumerate() {
            for p in self.pieces {
                let to = &mut self.rows[first + p.lane..];
                // Whole vectors may reach over the end of a piece, into what is written after it.
                let over = p.len.next_multiple_of(lanes);
                let Some(from) = p.from else {
                    let n = if over <= to.len() { over } else { p.len };
                    let (vectors, rest) = S::as_mut_simd_f32s(&mut to[..n]);
                    vectors.iter_mut().for_each(|v| *v = simd.splat_f32s(0.0));
                    rest.fill(0.0);
                    continue;
                };
                let from = &self.x[from + c * self.plane..];
                if self.step > 1 {
                    to[..p.len].iter_mut().zip(from.iter().step_by(self.step)).for_each(|(t, f)| *t = *f);
                } else if over <= to.len().min(from.len()) {
                    let vectors = S::as_mut_simd_f32s(&mut to[..over]).0.iter_mut();
                    vectors.zip(S::as_simd_f32s(&from[..over]).0).for_each(|(t, f)| *t = *f);
                } else {
                    to[..p.len].copy_from_slice(&from[..p.len]);
                }
            }
        }
    }
}
