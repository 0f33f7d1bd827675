//! 3 x 3 convolutions with stride 1 in tiles: F(2 x 2, 3 x 3), 16 multiplications for 4 outputs instead of 36, and
//! F(4 x 4, 3 x 3), 36 for 16 instead of 144.
//!
//! Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4: every M x M tile of outputs reads
//! N x N inputs d, N = M + 2; with u = G g G^T made once, the tile is A^T [u * (B^T d B)] A, summed over channels before A.
//! The N x N sums over channels are the same register tiles in the same order as everywhere (see [`super::tile`]). For
//! M = 2, G and A have only 0, 1/2, 1 and -1, so rounding errors stay near those of the plain sum; for M = 4 they are about
//! four to five times as large.

mod transform;

use super::cut::{SCRATCH, Scratch, grow};
use super::finish::{Finish, Join, Line};
use super::target::{Target, filled};
use super::tile::{Block, Inner, Product, ROWS, arch, lanes, width};
use super::walk::{Walk, Work};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;
use transform::{Back, Piece, Turn};

/// Values of the widest vector. Rows that are read together lie this much farther apart than a power of two, where one
/// place in the cache would have to hold them all.
const VECTOR: usize = 16;
/// Output channels whose transformed sums are kept until they are turned back.
const TOGETHER: usize = 64;
/// How many tiles' multiplications by a weight take as long as it takes to read the weight from memory.
const READ: usize = 32;
/// Blocks of tiles that are few.
const FEW: usize = 4;
/// Tasks that are enough.
const TASKS: usize = 8;
/// Channels that a task turns where there are few tiles.
const CHANNELS: usize = 32;
/// Tiles side by side from which on rows of tiles are turned one by one.
const MANY: usize = 40;

/// Whether sums may be made in tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tiles {
    /// Only plain sums.
    None,
    /// Tiles of 2 x 2 where they take less work.
    Small,
    /// Tiles of 2 x 2 or 4 x 4, for what is not compared with zero afterwards: beyond what an input reaches, but in the same
    /// tile, 4 x 4 tiles leave rounding errors where plain sums and 2 x 2 tiles leave zeros.
    Large,
}

/// How a walk is done in tiles.
pub struct Winograd<'a> {
    walk: &'a Walk,
    /// Outputs along a tile's side.
    side: usize,
    /// Rows of tiles in a sample, and tiles side by side.
    down: usize,
    pitch: usize,
}

/// Whether a walk over `taps` can be done in tiles.
fn suits(walk: &Walk) -> bool {
    let [first, ..] = walk.taps[..] else { return false };
    let grid = (0..9).map(|t| [first[0] + t / 3, first[1] + t % 3]);
    walk.taps.len() == 9 && walk.stride == [1, 1] && walk.place.column == 1 && walk.taps.iter().copied().eq(grid)
}

impl<'a> Winograd<'a> {
    /// The walk in tiles, where that takes clearly less work: by the shape of the layer, never by the batch.
    pub fn of(walk: &'a Walk, tiles: Tiles) -> Option<Self> {
        let small = Self::over(walk, 2);
        // A column is laid out in the time of some rows, and of plain sums' time a quarter goes by around the multiplications.
        let plain = 9 * walk.grid[0] * walk.grid[1] * walk.channels * (walk.rows + ROWS) * 4 / 3;
        let worth = suits(walk) && walk.channels >= 8 && walk.rows >= ROWS && 8 * small.work() < 7 * plain;
        if tiles == Tiles::None || !worth {
            return None;
        }
        let large = Self::over(walk, 4);
        Some(if tiles == Tiles::Large && large.cost() < small.cost() { large } else { small })
    }

    /// A walk over the same channels and taps as one that [`Winograd::of`] took, whatever its grid, in tiles of `side`.
    pub fn over(walk: &'a Walk, side: usize) -> Self {
        Winograd { walk, side, down: walk.grid[0].div_ceil(side), pitch: walk.grid[1].div_ceil(side) }
    }

    /// Outputs along a tile's side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// What allows these tiles.
    pub fn tiles(&self) -> Tiles {
        if self.side == 2 { Tiles::Small } else { Tiles::Large }
    }

    /// Values of a transformed tile.
    fn points(&self) -> usize {
        (self.side + 2) * (self.side + 2)
    }

    /// Multiplications of a sample. Turning a value of a tile, or turning it back, takes as long as some of them (measured).
    fn work(&self) -> usize {
        let (c, o) = (self.walk.channels, self.walk.rows);
        let [turn, back] = if self.side == 2 { [22, 40] } else { [70, 60] };
        self.down * self.pitch * self.points() * (c * o + turn * c + back * o)
    }

    /// As [`Winograd::work`], with the time to read the weights.
    fn cost(&self) -> usize {
        self.work() + READ * self.points() * self.walk.channels * self.walk.rows
    }

    /// The walk's panels of weights, transformed: for each group and point its panels.
    pub fn pack(&self, panels: &[f32]) -> Vec<f32> {
        match self.side {
            2 => self.packed::<4>(panels),
            _ => self.packed::<6>(panels),
        }
    }

    fn packed<const N: usize>(&self, panels: &[f32]) -> Vec<f32> {
        let (c, walk) = (self.walk.channels, self.walk);
        let each = walk.rows.div_ceil(ROWS);
        let turn = std::array::from_fn(|at| transform::kernel_row(self.side, at));
        let panel = |out: Target<f32>, i: usize| {
            let (group, panel) = (i / each, i % each);
            let from = &panels[i * ROWS * 9 * c..][..ROWS * 9 * c];
            // SAFETY: each panel has stretches of its own, one a point.
            let to = |point: usize, k: usize| unsafe {
                out.slice((((group * N * N + point) * each + panel) * c + k) * ROWS, ROWS)
            };
            arch().dispatch(Kernels::<N, _> { from, turn: &turn, channels: c, to });
        };
        // SAFETY: the panels' stretches cover the buffer.
        unsafe {
            filled(walk.groups * N * N * each * ROWS * c, |out| {
                (0..walk.groups * each).into_par_iter().for_each(|i| panel(out, i));
            })
        }
    }

    /// Computes the walk into `out`; `weights` are those of [`Winograd::pack`].
    ///
    /// # Panics
    /// As [`Walk::run`].
    pub fn run(&self, work: &Work<'_>, weights: &[f32], out: Target<f32>, len: usize) {
        if !self.walk.checked_reads(work, len) {
            return;
        }
        match self.side {
            2 => self.tiled::<2, 4>(work, weights, out),
            _ => self.tiled::<4, 6>(work, weights, out),
        }
    }

    fn tiled<const M: usize, const N: usize>(&self, work: &Work<'_>, weights: &[f32], out: Target<f32>) {
        let (walk, wide) = (self.walk, width());
        let (rows, size) = (walk.rows, N * N * self.step());
        assert!(weights.len() >= walk.groups * N * N * rows.next_multiple_of(ROWS) * walk.channels, "too few weights");
        let total = walk.batch * self.down * self.pitch;
        let blocks = total.div_ceil(wide);
        let tiles = |block: usize| block * wide..total.min((block + 1) * wide);
        let tasks = walk.groups * blocks;
        if tasks >= FEW {
            // Fewer rows a task, each turning the tiles for itself, cost less than keeping them where all can read them.
            let apart = rows.div_ceil(TASKS.div_ceil(tasks).min(rows.div_ceil(2 * TOGETHER))).next_multiple_of(ROWS);
            (0..rows.div_ceil(apart) * tasks).into_par_iter().for_each(|task| {
                let (first, group, block) = (task / tasks * apart, task % tasks / blocks, task % blocks);
                SCRATCH.with_borrow_mut(|scratch| {
                    grow(&mut scratch.columns, size);
                    let Scratch { columns, planes, results } = &mut *scratch;
                    let (x, channels, turned) = (work.x, 0..walk.channels, Target::new(&mut columns[..size]));
                    // SAFETY: the columns are this thread's own.
                    unsafe { self.turn::<M, N>(x, group, channels, tiles(block), planes, turned) };
                    let end = rows.min(first + apart);
                    for first in (first..end).step_by(TOGETHER) {
                        let part = Part { group, rows: first..end.min(first + TOGETHER), tiles: tiles(block) };
                        self.multiply::<M, N>(work, weights, &part, columns, results, out);
                    }
                });
            });
            return;
        }
        for group in 0..walk.groups {
            let parts = walk.channels.div_ceil(CHANNELS);
            // SAFETY: the tasks fill every block, each its own channels of one.
            let turned = unsafe {
                filled(blocks * size, |turned| {
                    (0..blocks * parts).into_par_iter().for_each(|task| {
                        let (b, first) = (task / parts, task % parts * CHANNELS);
                        let channels = first..walk.channels.min(first + CHANNELS);
                        SCRATCH.with_borrow_mut(|scratch| {
                            self.turn::<M, N>(
                                work.x,
                                group,
                                channels,
                                tiles(b),
                                &mut scratch.planes,
                                turned.from(b * size),
                            );
                        });
                    });
                })
            };
            let together = rows.div_ceil(8).next_multiple_of(ROWS).min(TOGETHER);
            (0..rows.div_ceil(together) * blocks).into_par_iter().for_each(|task| {
                let (first, block) = (task / blocks * together, task % blocks);
                let part = Part { group, rows: first..rows.min(first + together), tiles: tiles(block) };
                SCRATCH.with_borrow_mut(|scratch| {
                    self.multiply::<M, N>(work, weights, &part, &turned[block * size..], &mut scratch.results, out);
                });
            });
        }
    }

    /// Values between the transformed channels of one point and the next.
    fn step(&self) -> usize {
        self.walk.channels * width() + VECTOR
    }

    /// B^T d B of some tiles, for some channels of a group: point, channel, tile.
    ///
    /// # Safety
    /// `to` must have room for all points of all channels, and no other task may touch those of these channels.
    unsafe fn turn<const M: usize, const N: usize>(
        &self,
        x: &[f32],
        group: usize,
        channels: Range<usize>,
        tiles: Range<usize>,
        planes: &mut Vec<f32>,
        to: Target<f32>,
    ) {
        let (walk, step, size) = (self.walk, self.step(), self.walk.input);
        let plane = size[0] * size[1];
        for (n, piece) in self.pieces(tiles) {
            planes.clear();
            planes.resize(piece.room(M), 0.0);
            let first = ((n * walk.groups + group) * walk.channels + channels.start) * plane;
            let maps = &x[first..][..channels.len() * plane];
            // SAFETY: the caller's.
            let to = unsafe { to.from(channels.start * width()) };
            arch().dispatch(Turn::<M, N> { maps, size, piece, planes, to, step });
        }
    }

    /// Some tiles, cut where a sample ends, and where rows are long where a row ends: samples and pieces.
    fn pieces(&self, tiles: Range<usize>) -> impl Iterator<Item = (usize, Piece)> {
        let (each, pitch, side, [top, left]) = (self.down * self.pitch, self.pitch, self.side, self.walk.taps[0]);
        let mut at = tiles.start;
        std::iter::from_fn(move || {
            let (n, tile, lane, rest) = (at / each, at % each, at - tiles.start, tiles.end - at);
            let (row, column) = (tile / pitch, tile % pitch);
            let corner = |row: usize, column: usize| [(side * row) as isize + top, (side * column) as isize + left];
            let piece = if pitch < MANY {
                let count = rest.min(each - tile);
                let size = [(tile + count).div_ceil(pitch) - row, pitch];
                Piece { corner: corner(row, 0), size, first: column, count, lane }
            } else {
                let count = rest.min(pitch - column);
                Piece { corner: corner(row, column), size: [1, count], first: 0, count, lane }
            };
            at += piece.count;
            (piece.count > 0).then_some((n, piece))
        })
    }

    /// The outputs of some rows and tiles.
    fn multiply<const M: usize, const N: usize>(
        &self,
        work: &Work<'_>,
        weights: &[f32],
        part: &Part,
        turned: &[f32],
        scratch: &mut Vec<f32>,
        out: Target<f32>,
    ) {
        let (c, wide, rows) = (self.walk.channels, width(), part.rows.len());
        let padded = self.walk.rows.next_multiple_of(ROWS);
        let step = rows * wide + VECTOR;
        // Whole vectors: there is room behind the last tile.
        let count = part.tiles.len().next_multiple_of(lanes());
        let (sums, lines) = (N * N * step, M * M * wide);
        grow(scratch, sums + lines);
        let (sums, lines) = scratch[..sums + lines].split_at_mut(sums);
        for point in 0..N * N {
            let panels = &weights[((part.group * N * N + point) * padded + part.rows.start) * c..];
            let block = Block {
                columns: turned[point * self.step()..][..c * wide].as_ptr(),
                inner: Inner::Every(wide),
                count,
                out: sums[point * step..][..rows * wide].as_mut_ptr(),
                out_pitch: wide,
                other: std::ptr::null(),
                join: Join::Alone,
                finish: Finish::Keep,
            };
            // SAFETY: the columns are `c` rows of `wide` values, the sums this thread's own.
            unsafe { Product { panels, inner: c, rows, bias: &[], block }.run() };
        }
        arch().dispatch(Results::<M, N> { tiled: self, work, part, sums, step, lines, out });
    }

    /// Writes the tiles of one channel: `lines` holds the rows of their outputs.
    #[inline(always)]
    fn scatter<S: Simd>(
        &self,
        simd: S,
        work: &Work<'_>,
        tiles: &Range<usize>,
        channel: usize,
        lines: &[f32],
        out: Target<f32>,
    ) {
        let (walk, side, each) = (self.walk, self.side, self.down * self.pitch);
        let mut at = tiles.start;
        while at < tiles.end {
            let (n, tile) = (at / each, at % each);
            let (y, x) = (side * (tile / self.pitch), side * (tile % self.pitch));
            let count = (self.pitch - tile % self.pitch).min(tiles.end - at);
            let length = (walk.grid[1] - x).min(side * count);
            for (lower, line) in lines.chunks_exact(side * width()).enumerate().take(walk.grid[0] - y) {
                let first = walk.index(n, channel, y + lower, x);
                let from = &line[side * (at - tiles.start)..][..length];
                // SAFETY: the walk checked that its last result lies inside `out` (and `other`); no other task has these
                // rows and tiles.
                let to = unsafe { out.slice(first, length) };
                let Work { join, finish, other, .. } = *work;
                let other = if join == Join::Alone { other } else { &other[first..first + length] };
                Line { from, other, join, finish, to }.with_simd(simd);
            }
            at += count;
        }
    }
}

/// G g G^T for a panel of kernels, [`ROWS`] side by side for each channel, in doubles.
struct Kernels<'a, const N: usize, F> {
    from: &'a [f32],
    /// G.
    turn: &'a [[f64; 3]; N],
    channels: usize,
    /// Where a point of a channel goes.
    to: F,
}

impl<'a, const N: usize, F: Fn(usize, usize) -> &'a mut [f32]> WithSimd for Kernels<'a, N, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        type Side = [f64; ROWS];
        for k in 0..self.channels {
            let kernel = |tap: usize| -> Side {
                let rows = &self.from[(tap * self.channels + k) * ROWS..][..ROWS];
                std::array::from_fn(|r| f64::from(rows[r]))
            };
            let sum = |values: [&Side; 3], factors: &[f64; 3]| -> Side {
                let [a, b, c] = values;
                std::array::from_fn(|r| a[r] * factors[0] + b[r] * factors[1] + c[r] * factors[2])
            };
            let taps: [Side; 9] = std::array::from_fn(kernel);
            for (q, across) in self.turn.iter().enumerate() {
                let rows: [Side; 3] =
                    std::array::from_fn(|i| sum([&taps[3 * i], &taps[3 * i + 1], &taps[3 * i + 2]], across));
                for (p, down) in self.turn.iter().enumerate() {
                    let point = sum([&rows[0], &rows[1], &rows[2]], down);
                    (self.to)(p * N + q, k).iter_mut().zip(point).for_each(|(to, v)| *to = v as f32);
                }
            }
        }
    }
}

/// Which outputs a call computes.
struct Part {
    group: usize,
    rows: Range<usize>,
    tiles: Range<usize>,
}

/// Sums of transformed tiles on their way back.
struct Results<'a, const M: usize, const N: usize> {
    tiled: &'a Winograd<'a>,
    work: &'a Work<'a>,
    part: &'a Part,
    /// Points, `step` apart, of rows of tiles.
    sums: &'a [f32],
    step: usize,
    lines: &'a mut [f32],
    out: Target<f32>,
}

impl<const M: usize, const N: usize> WithSimd for Results<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (part, step) = (self.part, self.step);
        for r in 0..part.rows.len() {
            let channel = part.group * self.tiled.walk.rows + part.rows.start + r;
            let bias = self.work.bias.get(channel).copied().unwrap_or(0.0);
            let (sums, lines) = (&self.sums[r * width()..], &mut *self.lines);
            Back::<M, N> { sums, step, count: part.tiles.len(), bias, lines }.with_simd(simd);
            self.tiled.scatter(simd, self.work, &part.tiles, channel, self.lines, self.out);
        }
    }
}
