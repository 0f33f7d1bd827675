//! Products of packed weights and tiles of columns, which are laid out first.

use super::finish::{Finish, Join, Line};
use super::pieces;
use super::shift::{Lay, Part, Places, Shifts};
use super::target::Target;
use super::tile::{Block, Inner, Product, ROWS, arch, lanes, width};
use super::walk::{Walk, Work};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Multiply-adds that are worth a task of their own.
const TASK: usize = 1 << 20;
/// Tasks that are enough.
const TASKS: usize = 8;
/// Panels for which pixels are read where they lie.
const FEW: usize = 8;
/// Panels that are worth laying out a tile for them.
const TOGETHER: usize = 4;

/// A walk to be cut into tiles.
pub(super) struct Cut<'a> {
    pub walk: &'a Walk,
    pub work: &'a Work<'a>,
    /// How far off its taps read, where rows of outputs lie as what they read does.
    pub shifts: Option<&'a Shifts>,
}

impl Cut<'_> {
    /// Cuts the work into tasks: runs of tiles of columns, for some of the rows where there are few tiles.
    pub fn run(&self, out: Target<f32>) {
        let walk = self.walk;
        let (total, wide, panels) = (walk.batch * walk.pixels(), width(), walk.rows.div_ceil(ROWS));
        let tiles = total.div_ceil(wide);
        let each = (TASK / (walk.inner() * wide * panels * ROWS).max(1)).clamp(1, tiles);
        let runs = walk.groups * tiles.div_ceil(each);
        let block = panels.div_ceil(TASKS.div_ceil(runs).min(panels.div_ceil(TOGETHER))) * ROWS;
        (0..walk.rows.div_ceil(block) * runs).into_par_iter().for_each(|task| {
            let (first, group, run) = (task / runs * block, task % runs % walk.groups, task % runs / walk.groups);
            for t in run * each..((run + 1) * each).min(tiles) {
                let tile = Columns { group, from: t * wide, count: wide.min(total - t * wide) };
                let rows = first..walk.rows.min(first + block);
                SCRATCH.with_borrow_mut(|scratch| self.tile(tile, rows, scratch, out));
            }
        });
    }

    /// One tile of columns times some rows, whose first is the first of a panel.
    fn tile(&self, tile: Columns, rows: std::ops::Range<usize>, scratch: &mut Scratch, out: Target<f32>) {
        let Cut { walk, work, .. } = *self;
        let inner = walk.inner();
        let (n, pixel) = (tile.from / walk.pixels(), tile.from % walk.pixels());
        let whole = pixel + tile.count <= walk.pixels() && walk.place.column == 1 && walk.place.row == walk.grid[1];
        let channel = tile.group * walk.rows + rows.start;
        let (columns, at) = if walk.reads_pixels() && walk.rows <= FEW * ROWS && pixel + width() <= walk.pixels() {
            let first = (n * walk.groups + tile.group) * walk.channels * walk.pixels() + pixel;
            (work.x[first..].as_ptr(), Inner::Apart(walk.pixels()))
        } else {
            grow(&mut scratch.columns, inner * width());
            self.lay_out(tile, &mut scratch.columns);
            (scratch.columns.as_ptr(), Inner::Every(width()))
        };
        let panels = &work.panels[tile.group * walk.panel_len() + rows.start * inner..];
        let bias = work.bias.get(channel..channel + rows.len()).unwrap_or_default();
        let product = |block| Product { panels, inner, rows: rows.len(), bias, block };
        if whole {
            let first = n * walk.place.sample + channel * walk.place.plane + walk.place.first + pixel;
            let other = work.other.get(first..).unwrap_or_default().as_ptr();
            // SAFETY: `run` checked that the last result lies inside `out` (and `other`), and no other task has these
            // rows and columns; the columns were laid out, or lie inside `x`, a whole tile of them in each inner row.
            unsafe {
                let (out, out_pitch) = (out.at(first), walk.place.plane);
                let (join, finish) = (work.join, work.finish);
                product(Block { columns, inner: at, count: tile.count, out, out_pitch, other, join, finish }).run();
            }
            return;
        }
        grow(&mut scratch.results, rows.len().next_multiple_of(ROWS) * width());
        let block = Block {
            columns,
            inner: at,
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
        let runs: Vec<Run> = walk.runs(tile).collect();
        let results = &scratch.results[..];
        arch().dispatch(Scatter { walk, work, runs: &runs, channel, rows: rows.len(), results, out });
    }

    /// Writes what the tile's columns read: inner row (tap, channel), [`width`] values a row.
    fn lay_out(&self, tile: Columns, to: &mut [f32]) {
        let Cut { walk, work, shifts } = *self;
        let Some(shifts) = shifts else { return pieces::lay_out(walk, work.x, tile, to) };
        let pixels = walk.pixels();
        let (mut places, mut parts) = (Places::NONE, Vec::with_capacity(2));
        let mut lane = 0;
        while lane < tile.count {
            let (n, first) = ((tile.from + lane) / pixels, (tile.from + lane) % pixels);
            let len = (pixels - first).min(tile.count - lane);
            shifts.place(&mut places, first, len, lane);
            let sample = (n * walk.groups + tile.group) * walk.channels * shifts.plane;
            parts.push(Part { lane, len, from: (sample + first) as isize - lane as isize });
            lane += len;
        }
        let rows = &mut to[..walk.inner() * width()];
        arch().dispatch(Lay { x: work.x, shifts, places: &places, parts: &parts, wide: width(), rows });
    }
}

impl Walk {
    /// Whether inner rows are just the input's channels.
    fn reads_pixels(&self) -> bool {
        self.taps == [[0, 0]] && self.stride == [1, 1] && self.grid == self.input
    }

    /// The runs of a tile's columns that lie in one row of the grid.
    pub(super) fn runs(&self, tile: Columns) -> impl Iterator<Item = Run> + Clone + use<> {
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
}

/// Columns `from..from + count` of a group, counted through samples and positions.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) group: usize,
    pub(super) from: usize,
    pub(super) count: usize,
}

/// Results of a tile on their way to where the walk says.
pub(super) struct Scatter<'a> {
    pub(super) walk: &'a Walk,
    pub(super) work: &'a Work<'a>,
    /// The tile's columns that are results.
    pub(super) runs: &'a [Run],
    /// The channel of the first row.
    pub(super) channel: usize,
    pub(super) rows: usize,
    /// Rows of [`width`] values.
    pub(super) results: &'a [f32],
    pub(super) out: Target<f32>,
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Work { join, finish, other, .. } = *self.work;
        let step = self.walk.place.column;
        for run in self.runs {
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
pub(super) struct Run {
    pub(super) lane: usize,
    pub(super) len: usize,
    pub(super) n: usize,
    pub(super) y: usize,
    pub(super) x: usize,
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
