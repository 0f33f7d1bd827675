//! Winograd convolution for 3 x 3 kernels with stride 1: F(2 x 2, 3 x 3), 16 multiplications for 4 outputs instead of 36, and
//! F(4 x 4, 3 x 3), 36 for 16 outputs instead of 144.
//!
//! Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4: every tile of M x M outputs reads N x N
//! inputs d, N = M + 2. With the transformed weights u = G g G^T, made once, the tile is A^T [u * (B^T d B)] A, summed over
//! channels before A. The sums over channels are N x N matrix products of the [micro-kernel](super::microkernel), in its order. For
//! M = 2, G and A have only the entries 0, 1/2, 1 and -1, and rounding errors stay near those of the plain sum; for M = 4 they are
//! four to five times as large.

mod tile;
mod transform;
mod weights;

use super::epilogue::{Clamp, Combine, Epilogue, EpilogueRow};
use super::microkernel::{MR, PanelGemm, RowOffsets, Tile, nr};
use super::narrow::buffered_columns;
use super::problem::{ConvProblem, Operands};
use super::scratch::{SCRATCH, Scratch, grow};
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};
use crate::simd::{MAX_LANES, arch};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;
use transform::{InputTransform, OutputTransform, TilePatch};

pub use tile::WinogradTile;

/// Values by which rows that are read together lie farther apart than a power of two; otherwise all would compete for one set of
/// the cache.
const ROW_SKEW: usize = MAX_LANES;
/// Output channels whose sums are kept until the output transform.
const CHANNELS_PER_OUTPUT_BLOCK: usize = 64;
/// Cost model: loading a weight from memory costs as much as multiplying it with this many tiles.
const WEIGHT_LOAD_COST: usize = 32;
/// Blocks of tiles from which on each task transforms its own inputs.
const MIN_FUSED_BLOCKS: usize = 4;
/// Tasks below which output channels are split over tasks, too.
const MIN_TASKS: usize = 8;
/// Input channels of a task that only transforms inputs.
const CHANNELS_PER_INPUT_TASK: usize = 32;
/// Tiles side by side from which on an input transform takes one row of tiles at a time.
const MIN_SINGLE_ROW_TILES: usize = 40;

/// A problem, computed in tiles of `side` x `side` outputs.
pub(super) struct WinogradConv<'a> {
    problem: &'a ConvProblem,
    /// M, outputs along a tile's side.
    side: usize,
    /// Rows of tiles in a sample.
    down: usize,
    /// Tiles side by side.
    across: usize,
}

/// Whether the taps are those of a 3 x 3 kernel without dilation, with stride 1.
fn is_3x3(problem: &ConvProblem) -> bool {
    let [first, ..] = problem.taps[..] else { return false };
    let kernel = (0..9).map(|t| [first[0] + t / 3, first[1] + t % 3]);
    let is_plain = problem.stride == [1, 1] && problem.layout.column == 1;
    problem.taps.len() == 9 && is_plain && problem.taps.iter().copied().eq(kernel)
}

impl<'a> WinogradConv<'a> {
    /// The problem in tiles no larger than `tile`, where that takes clearly less work than plain sums: by the shape of the layer,
    /// never by the batch.
    pub fn of(problem: &'a ConvProblem, tile: WinogradTile) -> Option<Self> {
        let (c, o) = (problem.in_channels, problem.out_channels);
        let small = Self::with_side(problem, 2);
        // Packing a column costs as much as MR rows of its products; a quarter of plain sums' time is no multiplication (measured).
        let plain = 9 * problem.out_pixels() * c * (o + MR) * 4 / 3;
        let pays = is_3x3(problem) && c >= 8 && o >= MR && 8 * small.work() < 7 * plain;
        if tile == WinogradTile::None || !pays {
            return None;
        }
        let large = Self::with_side(problem, 4);
        Some(if tile == WinogradTile::F4 && large.cost() < small.cost() { large } else { small })
    }

    /// A problem with the channels and taps of one that [`WinogradConv::of`] took, whatever its output size, in tiles of `side`.
    pub fn with_side(problem: &'a ConvProblem, side: usize) -> Self {
        let [down, across] = problem.output.map(|n| n.div_ceil(side));
        WinogradConv { problem, side, down, across }
    }

    /// M, outputs along a tile's side.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The tile's size.
    pub fn tile(&self) -> WinogradTile {
        if self.side == 2 { WinogradTile::F2 } else { WinogradTile::F4 }
    }

    /// Values of a transformed tile, N * N.
    fn points(&self) -> usize {
        (self.side + 2) * (self.side + 2)
    }

    /// Multiplications of a sample. Transforming a value takes as long as some of them (measured).
    fn work(&self) -> usize {
        let (c, o) = (self.problem.in_channels, self.problem.out_channels);
        let [input, output] = if self.side == 2 { [22, 40] } else { [70, 60] };
        self.down * self.across * self.points() * (c * o + input * c + output * o)
    }

    /// As [`WinogradConv::work`], with the time to load the weights.
    fn cost(&self) -> usize {
        self.work() + WEIGHT_LOAD_COST * self.points() * self.problem.in_channels * self.problem.out_channels
    }

    /// Computes the problem into `out`, a buffer of `len` values; `weights` are those of [`WinogradConv::pack_weights`].
    ///
    /// # Panics
    /// Where a slice is shorter than the problem needs: a defect of the caller.
    pub fn run(&self, operands: &Operands<'_>, weights: &[f32], out: DisjointSlice<f32>, len: usize) {
        if !self.problem.check_activations(operands, len) {
            return;
        }
        match self.side {
            2 => self.run_tiles::<2, 4>(operands, weights, out),
            _ => self.run_tiles::<4, 6>(operands, weights, out),
        }
    }

    fn run_tiles<const M: usize, const N: usize>(
        &self,
        operands: &Operands<'_>,
        weights: &[f32],
        out: DisjointSlice<f32>,
    ) {
        let (problem, rows, len) = (self.problem, self.problem.out_channels, N * N * self.point_pitch());
        let enough = problem.groups * N * N * rows.next_multiple_of(MR) * problem.in_channels;
        assert!(weights.len() >= enough, "too few weights");
        let total = problem.batch * self.down * self.across;
        let blocks = total.div_ceil(nr());
        let tiles = |block: usize| block * nr()..total.min((block + 1) * nr());
        let tasks = problem.groups * blocks;
        if tasks >= MIN_FUSED_BLOCKS {
            // Each task transforms the inputs of its block for itself, even where several share the block's output channels:
            // that costs less than keeping transformed inputs where all can read them.
            let parts = MIN_TASKS.div_ceil(tasks).min(rows.div_ceil(2 * CHANNELS_PER_OUTPUT_BLOCK));
            let each = rows.div_ceil(parts).next_multiple_of(MR);
            (0..rows.div_ceil(each) * tasks).into_par_iter().for_each(|task| {
                let (first, group, block) = (task / tasks * each, task % tasks / blocks, task % blocks);
                SCRATCH.with_borrow_mut(|scratch| {
                    grow(&mut scratch.columns, len);
                    let Scratch { columns, planes, results } = &mut *scratch;
                    let (channels, to) = (0..problem.in_channels, DisjointSlice::new(&mut columns[..len]));
                    // SAFETY: the columns are this thread's own.
                    unsafe { self.transform_inputs::<M, N>(operands.x, group, channels, tiles(block), planes, to) };
                    let end = rows.min(first + each);
                    for first in (first..end).step_by(CHANNELS_PER_OUTPUT_BLOCK) {
                        let rows = first..end.min(first + CHANNELS_PER_OUTPUT_BLOCK);
                        let part = OutputBlock { group, rows, tiles: tiles(block) };
                        self.multiply::<M, N>(operands, weights, &part, columns, results, out);
                    }
                });
            });
            return;
        }
        for group in 0..problem.groups {
            let transformed = self.transform_all::<M, N>(operands.x, group, blocks, tiles);
            let each = rows.div_ceil(8).next_multiple_of(MR).min(CHANNELS_PER_OUTPUT_BLOCK);
            (0..rows.div_ceil(each) * blocks).into_par_iter().for_each(|task| {
                let (first, block) = (task / blocks * each, task % blocks);
                let part = OutputBlock { group, rows: first..rows.min(first + each), tiles: tiles(block) };
                let inputs = &transformed[block * len..];
                SCRATCH.with_borrow_mut(|scratch| {
                    self.multiply::<M, N>(operands, weights, &part, inputs, &mut scratch.results, out);
                });
            });
        }
    }

    /// The transformed inputs of all blocks of tiles of a group: block, then as of [`WinogradConv::transform_inputs`].
    fn transform_all<const M: usize, const N: usize>(
        &self,
        x: &[f32],
        group: usize,
        blocks: usize,
        tiles: impl Fn(usize) -> Range<usize> + Sync,
    ) -> Vec<f32> {
        let (in_channels, len) = (self.problem.in_channels, N * N * self.point_pitch());
        let parts = in_channels.div_ceil(CHANNELS_PER_INPUT_TASK);
        let task = |to: DisjointSlice<f32>, task: usize| {
            let (b, first) = (task / parts, task % parts * CHANNELS_PER_INPUT_TASK);
            let channels = first..in_channels.min(first + CHANNELS_PER_INPUT_TASK);
            // SAFETY: each task writes its own channels of one block.
            SCRATCH.with_borrow_mut(|scratch| unsafe {
                self.transform_inputs::<M, N>(x, group, channels, tiles(b), &mut scratch.planes, to.from(b * len));
            });
        };
        // SAFETY: the tasks fill every channel of every block that is read.
        unsafe {
            vec_filled_by(blocks * len, |to| (0..blocks * parts).into_par_iter().for_each(|number| task(to, number)))
        }
    }

    /// Values between the transformed channels of one point and the next.
    fn point_pitch(&self) -> usize {
        self.problem.in_channels * nr() + ROW_SKEW
    }

    /// B^T d B of some tiles, for some channels of a group: point, channel, tile.
    ///
    /// # Safety
    /// `to` must have room for all points of all channels, and no other task may touch those of these channels.
    unsafe fn transform_inputs<const M: usize, const N: usize>(
        &self,
        x: &[f32],
        group: usize,
        channels: Range<usize>,
        tiles: Range<usize>,
        planes: &mut Vec<f32>,
        to: DisjointSlice<f32>,
    ) {
        let (problem, point_pitch, size) = (self.problem, self.point_pitch(), self.problem.input);
        let plane = size[0] * size[1];
        for (n, patch) in self.patches(tiles) {
            planes.clear();
            planes.resize(patch.scratch_len(M), 0.0);
            let first = ((n * problem.groups + group) * problem.in_channels + channels.start) * plane;
            let maps = &x[first..][..channels.len() * plane];
            // SAFETY: the caller's.
            let to = unsafe { to.from(channels.start * nr()) };
            arch().dispatch(InputTransform::<M, N> { maps, size, patch, planes, to, point_pitch });
        }
    }

    /// The tiles cut where a sample ends and, where rows are long, where a row ends: sample and patch.
    fn patches(&self, tiles: Range<usize>) -> impl Iterator<Item = (usize, TilePatch)> {
        let (per_sample, across, side) = (self.down * self.across, self.across, self.side);
        let [top, left] = self.problem.taps[0];
        let mut at = tiles.start;
        std::iter::from_fn(move || {
            let (n, tile, lane, rest) = (at / per_sample, at % per_sample, at - tiles.start, tiles.end - at);
            let (row, column) = (tile / across, tile % across);
            let corner = |row: usize, column: usize| [(side * row) as isize + top, (side * column) as isize + left];
            let patch = if across < MIN_SINGLE_ROW_TILES {
                let count = rest.min(per_sample - tile);
                let size = [(tile + count).div_ceil(across) - row, across];
                TilePatch { corner: corner(row, 0), size, first: column, count, lane }
            } else {
                let count = rest.min(across - column);
                TilePatch { corner: corner(row, column), size: [1, count], first: 0, count, lane }
            };
            at += patch.count;
            (patch.count > 0).then_some((n, patch))
        })
    }

    /// Computes and stores the outputs of some output channels and tiles, whose transformed inputs are `inputs`.
    fn multiply<const M: usize, const N: usize>(
        &self,
        operands: &Operands<'_>,
        weights: &[f32],
        part: &OutputBlock,
        inputs: &[f32],
        scratch: &mut Vec<f32>,
        out: DisjointSlice<f32>,
    ) {
        let (c, rows) = (self.problem.in_channels, part.rows.len());
        let padded_rows = self.problem.out_channels.next_multiple_of(MR);
        let point_pitch = rows * nr() + ROW_SKEW;
        let count = buffered_columns(part.tiles.len());
        let (sums, lines) = (N * N * point_pitch, M * M * nr());
        grow(scratch, sums + lines);
        let (sums, lines) = scratch[..sums + lines].split_at_mut(sums);
        for point in 0..N * N {
            let panels = &weights[((part.group * N * N + point) * padded_rows + part.rows.start) * c..];
            let tile = Tile {
                columns: inputs[point * self.point_pitch()..][..c * nr()].as_ptr(),
                row_offsets: RowOffsets::Packed(nr()),
                count,
                out: sums[point * point_pitch..][..rows * nr()].as_mut_ptr(),
                out_pitch: nr(),
                residual: std::ptr::null(),
                combine: Combine::None,
                clamp: Clamp::None,
            };
            // SAFETY: the columns are `c` rows of NR values, the sums this thread's own.
            unsafe { PanelGemm { panels, depth: c, rows, bias: &[], tile }.run() };
        }
        arch().dispatch(StoreTiles::<M, N> { conv: self, operands, part, sums, point_pitch, lines, out });
    }

    /// Stores the tiles of one output channel; `lines` holds the rows of their outputs.
    #[inline(always)]
    fn store<S: Simd>(
        &self,
        simd: S,
        operands: &Operands<'_>,
        tiles: &Range<usize>,
        channel: usize,
        lines: &[f32],
        out: DisjointSlice<f32>,
    ) {
        let (problem, side, per_sample) = (self.problem, self.side, self.down * self.across);
        let Epilogue { residual, combine, .. } = operands.epilogue;
        let mut at = tiles.start;
        while at < tiles.end {
            let (n, tile) = (at / per_sample, at % per_sample);
            let (y, x) = (side * (tile / self.across), side * (tile % self.across));
            let count = (self.across - tile % self.across).min(tiles.end - at);
            let length = (problem.output[1] - x).min(side * count);
            for (row, line) in lines.chunks_exact(side * nr()).enumerate().take(problem.output[0] - y) {
                let first = problem.output_index(n, channel, y + row, x);
                let from = &line[side * (at - tiles.start)..][..length];
                // SAFETY: the problem was checked: its last output lies inside `out` (and the residual). No other task has
                // these output channels and tiles.
                let to = unsafe { out.slice(first, length) };
                let residual = if combine == Combine::None { residual } else { &residual[first..first + length] };
                let epilogue = Epilogue { residual, ..operands.epilogue };
                EpilogueRow { from, epilogue, to: &mut *to }.with_simd(simd);
                epilogue.activate(to);
            }
            at += count;
        }
    }
}

/// Output channels `rows` of a group, for some tiles.
struct OutputBlock {
    group: usize,
    rows: Range<usize>,
    tiles: Range<usize>,
}

/// The output transform of a block's sums, and the store.
struct StoreTiles<'a, const M: usize, const N: usize> {
    conv: &'a WinogradConv<'a>,
    operands: &'a Operands<'a>,
    part: &'a OutputBlock,
    /// Point, output channel, tile.
    sums: &'a [f32],
    /// Values between points.
    point_pitch: usize,
    lines: &'a mut [f32],
    out: DisjointSlice<f32>,
}

impl<const M: usize, const N: usize> WithSimd for StoreTiles<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (part, point_pitch) = (self.part, self.point_pitch);
        for r in 0..part.rows.len() {
            let channel = part.group * self.conv.problem.out_channels + part.rows.start + r;
            let bias = self.operands.bias.get(channel).copied().unwrap_or(0.0);
            let (sums, lines) = (&self.sums[r * nr()..], &mut *self.lines);
            OutputTransform::<M, N> { sums, point_pitch, count: part.tiles.len(), bias, lines }.with_simd(simd);
            self.conv.store(simd, self.operands, &part.tiles, channel, self.lines, self.out);
        }
    }
}
