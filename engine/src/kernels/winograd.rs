//! 3 x 3 convolutions with stride 1 at 16 multiplications for 4 outputs instead of 36: F(2 x 2, 3 x 3).
//!
//! Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4: every 2 x 2 tile of outputs reads
//! 4 x 4 inputs d; with u = G g G^T made once, the tile is A^T [u * (B^T d B)] A, summed over channels before A. The 16
//! sums over channels are the same register tiles in the same order as everywhere (see [`super::tile`]). G and A have only
//! 0, 1/2, 1 and -1, so rounding errors stay near those of the plain sum.

use super::columns::{SCRATCH, Walk, Work, grow};
use super::target::{Target, filled};
use super::tile::{Block, Finish, Inner, Join, Line, Product, ROWS, arch, width};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// Values of a transformed tile.
const POINTS: usize = 16;
/// Values of the widest vector.
const VECTOR: usize = 16;
/// Output channels whose transformed sums are kept until they are turned back.
const TOGETHER: usize = 64;

/// How a walk is done in tiles.
pub struct Winograd<'a> {
    walk: &'a Walk,
    /// Rows of tiles in a sample, and tiles between rows: one more than stand side by side, for the inputs behind the last.
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
    pub fn of(walk: &'a Walk) -> Option<Self> {
        let tiled = Self::over(walk);
        // Turning a tile of one channel costs as much as about five of its multiplications with one channel's weights.
        let work = |c: usize, o: usize| POINTS * (c * o + 5 * (c + o));
        let here = tiled.down * tiled.pitch * work(walk.channels, walk.rows);
        let plain = walk.grid[0] * walk.grid[1] * 9 * walk.channels * walk.rows;
        (suits(walk) && walk.channels >= 8 && walk.rows >= ROWS && 8 * here < 7 * plain).then_some(tiled)
    }

    /// A walk over the same channels and taps as one that [`Winograd::of`] took, whatever its grid.
    pub fn over(walk: &'a Walk) -> Self {
        Winograd { walk, down: walk.grid[0].div_ceil(2), pitch: walk.grid[1].div_ceil(2) + 1 }
    }

    /// The walk's panels of weights, transformed: for each group and point its panels.
    pub fn pack(&self, panels: &[f32]) -> Vec<f32> {
        let (c, walk) = (self.walk.channels, self.walk);
        let each = walk.rows.div_ceil(ROWS);
        let mut out = vec![0.0f32; walk.groups * POINTS * each * ROWS * c];
        out.par_chunks_mut(ROWS * c).enumerate().for_each(|(i, to)| {
            let (group, point, panel) = (i / each / POINTS, i / each % POINTS, i % each);
            let from = &panels[(group * each + panel) * ROWS * 9 * c..][..ROWS * 9 * c];
            let (down, across) = (KERNEL[point / 4], KERNEL[point % 4]);
            for (k, to) in to.chunks_exact_mut(ROWS).enumerate() {
                for (r, to) in to.iter_mut().enumerate() {
                    let g = |i: usize, j: usize| f64::from(from[((i * 3 + j) * c + k) * ROWS + r]);
                    let row = |i: usize| (0..3).map(|j| g(i, j) * across[j]).sum::<f64>();
                    *to = (0..3).map(|i| row(i) * down[i]).sum::<f64>() as f32;
                }
            }
        });
        out
    }

    /// Computes the walk into `out`; `weights` are those of [`Winograd::pack`].
    ///
    /// # Panics
    /// As [`Walk::run`].
    pub fn run(&self, work: &Work<'_>, weights: &[f32], out: Target<f32>, len: usize) {
        let (walk, wide) = (self.walk, width());
        let (c, rows) = (walk.channels, walk.rows);
        if !walk.checked_reads(work, len) {
            return;
        }
        assert!(weights.len() >= walk.groups * POINTS * rows.next_multiple_of(ROWS) * c, "the weights are too short");
        let split = self.split(work.x);
        let total = walk.batch * self.down * self.pitch;
        let blocks = total.div_ceil(wide);
        let tiles = |block: usize| block * wide..total.min((block + 1) * wide);
        if walk.groups * blocks >= 16 {
            (0..walk.groups * blocks).into_par_iter().for_each(|task| {
                let (group, block) = (task / blocks, task % blocks);
                SCRATCH.with_borrow_mut(|scratch| {
                    grow(&mut scratch.columns, POINTS * c * wide);
                    self.turn(&split, group, tiles(block), &mut scratch.columns[..POINTS * c * wide]);
                    for first in (0..rows).step_by(TOGETHER) {
                        let rows = first..rows.min(first + TOGETHER);
                        let part = Part { group, rows, tiles: tiles(block) };
                        self.multiply(work, weights, &part, &scratch.columns, &mut scratch.results, out);
                    }
                });
            });
            return;
        }
        for group in 0..walk.groups {
            let size = POINTS * c * wide;
            // SAFETY: each task fills its own block.
            let turned = unsafe {
                filled(blocks * size, |turned| {
                    (0..blocks).into_par_iter().for_each(|b| {
                        self.turn(&split, group, tiles(b), turned.slice(b * size, size));
                    });
                })
            };
            let together = rows.div_ceil(8).next_multiple_of(ROWS).min(TOGETHER);
            (0..rows.div_ceil(together) * blocks).into_par_iter().for_each(|task| {
                let (first, block) = (task / blocks * together, task % blocks);
                let part = Part { group, rows: first..rows.min(first + together), tiles: tiles(block) };
                SCRATCH.with_borrow_mut(|scratch| {
                    self.multiply(work, weights, &part, &turned[block * size..], &mut scratch.results, out);
                });
            });
        }
    }

    /// Values of one of a channel's four planes: those of one sample stand together.
    fn plane(&self) -> usize {
        (self.down + 1) * self.pitch + 1
    }

    /// The input, each channel as four planes by the parity of row and column, counted from the first tile's first input,
    /// with zeros beyond the border.
    fn split(&self, x: &[f32]) -> Vec<f32> {
        let ([h, w], plane, [top, left]) = (self.walk.input, self.plane(), self.walk.taps[0]);
        let maps = self.walk.batch * self.walk.groups * self.walk.channels;
        let mut split = vec![0.0; maps * 4 * plane + VECTOR];
        let least = (1usize << 13).div_ceil(h * w);
        let (planes, _) = split.split_at_mut(maps * 4 * plane);
        planes.par_chunks_mut(4 * plane).with_min_len(least).zip(x.par_chunks(h * w)).for_each(|(to, from)| {
            arch().dispatch(Split {
                from,
                size: [h, w],
                to,
                plane,
                pitch: self.pitch,
                rows: 2 * (self.down + 1),
                top,
                left,
            });
        });
        split
    }

    /// B^T d B of some tiles, for every channel of a group: point, channel, tile.
    fn turn(&self, split: &[f32], group: usize, tiles: Range<usize>, to: &mut [f32]) {
        let (c, each, plane) = (self.walk.channels, self.down * self.pitch, self.plane());
        let mut at = tiles.start;
        while at < tiles.end {
            let (n, first) = (at / each, at % each);
            let count = (each - first).min(tiles.end - at);
            let maps = &split[(n * self.walk.groups + group) * c * 4 * plane..];
            let turned = Turn { maps, plane, pitch: self.pitch, first, count, channels: c, lane: at - tiles.start, to };
            arch().dispatch(turned);
            at += count;
        }
    }

    /// The outputs of some rows and tiles.
    fn multiply(
        &self,
        work: &Work<'_>,
        weights: &[f32],
        part: &Part,
        turned: &[f32],
        scratch: &mut Vec<f32>,
        out: Target<f32>,
    ) {
        let (walk, c, wide) = (self.walk, self.walk.channels, width());
        let (count, rows) = (part.tiles.len(), part.rows.len());
        let padded = walk.rows.next_multiple_of(ROWS);
        let (sums, lines) = (POINTS * rows * wide, 4 * wide);
        grow(scratch, sums + lines);
        let (sums, lines) = scratch[..sums + lines].split_at_mut(sums);
        for point in 0..POINTS {
            let panels = &weights[((part.group * POINTS + point) * padded + part.rows.start) * c..];
            let block = Block {
                columns: turned[point * c * wide..][..c * wide].as_ptr(),
                inner: Inner::Every(wide),
                count,
                out: sums[point * rows * wide..].as_mut_ptr(),
                out_pitch: wide,
                other: std::ptr::null(),
                join: Join::Alone,
                finish: Finish::Keep,
            };
            // SAFETY: the columns are `c` rows of `wide` values, the sums this thread's own.
            unsafe { Product { panels, inner: c, rows, bias: &[], block }.run() };
        }
        arch().dispatch(Results { tiled: self, work, part, sums, lines, out });
    }

    /// Writes the tiles of one channel: `lines` holds their upper and their lower rows.
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
        let (walk, wide, each) = (self.walk, width(), self.down * self.pitch);
        let mut at = tiles.start;
        while at < tiles.end {
            let (n, tile) = (at / each, at % each);
            let (y, x) = (2 * (tile / self.pitch), 2 * (tile % self.pitch));
            let count = (self.pitch - tile % self.pitch).min(tiles.end - at);
            let length = walk.grid[1].saturating_sub(x).min(2 * count);
            for (lower, line) in lines.chunks_exact(2 * wide).enumerate() {
                if y + lower >= walk.grid[0] || length == 0 {
                    continue;
                }
                let first = walk.index(n, channel, y + lower, x);
                let from = &line[2 * (at - tiles.start)..][..length];
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

/// Sums of transformed tiles on their way back.
struct Results<'a> {
    tiled: &'a Winograd<'a>,
    work: &'a Work<'a>,
    part: &'a Part,
    /// Point, row, tile.
    sums: &'a [f32],
    lines: &'a mut [f32],
    out: Target<f32>,
}

impl WithSimd for Results<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (part, wide, rows) = (self.part, width(), self.part.rows.len());
        for r in 0..rows {
            let channel = part.group * self.tiled.walk.rows + part.rows.start + r;
            let bias = self.work.bias.get(channel).copied().unwrap_or(0.0);
            let (sums, step, lines) = (&self.sums[r * wide..], rows * wide, &mut *self.lines);
            Back { sums, step, wide, count: part.tiles.len(), bias, lines }.with_simd(simd);
            self.tiled.scatter(simd, self.work, &part.tiles, channel, self.lines, self.out);
        }
    }
}

/// Which outputs a call computes.
struct Part {
    group: usize,
    rows: Range<usize>,
    tiles: Range<usize>,
}

/// Rows of G.
const KERNEL: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// One channel into its four planes.
struct Split<'a> {
    from: &'a [f32],
    size: [usize; 2],
    to: &'a mut [f32],
    plane: usize,
    pitch: usize,
    rows: usize,
    top: isize,
    left: isize,
}

impl WithSimd for Split<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [h, w] = self.size;
        // The first column that is there, and the places of it and of its right neighbour.
        let column = self.left.max(0) as usize;
        let place = (column as isize - self.left) as usize;
        if column >= w || place >= 2 * self.pitch {
            return;
        }
        for row in 0..self.rows {
            let y = row as isize + self.top;
            if y < 0 || y >= h as isize {
                continue;
            }
            let line = &self.from[y as usize * w..][column..w];
            let (even, odd) = self.to[row % 2 * 2 * self.plane..][..2 * self.plane].split_at_mut(self.plane);
            let (even, odd) =
                (&mut even[row / 2 * self.pitch..][..self.pitch], &mut odd[row / 2 * self.pitch..][..self.pitch]);
            let (one, two) = if place.is_multiple_of(2) { (even, odd) } else { (odd, even) };
            let (one, two) = (&mut one[place / 2..], &mut two[place.div_ceil(2)..]);
            let pairs = (line.len() / 2).min(one.len()).min(two.len());
            let (left, right) = (&mut one[..pairs], &mut two[..pairs]);
            for (i, pair) in line[..2 * pairs].chunks_exact(2).enumerate() {
                left[i] = pair[0];
                right[i] = pair[1];
            }
            if let (Some(to), Some(v)) = (one.get_mut(pairs), line.get(2 * pairs)) {
                *to = *v;
            }
        }
    }
}

/// B^T d B for a run of tiles in one sample.
struct Turn<'a> {
    /// The planes of the first channel, those of the others behind it, and at least a vector more.
    maps: &'a [f32],
    plane: usize,
    pitch: usize,
    first: usize,
    count: usize,
    channels: usize,
    lane: usize,
    to: &'a mut [f32],
}

impl WithSimd for Turn<'_> {
    type Output = ();

    #[expect(clippy::needless_range_loop, reason = "iterators here would leave vectors in memory")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (wide, lanes) = (width(), S::F32_LANES);
        for channel in 0..self.channels {
            let map = &self.maps[channel * 4 * self.plane..];
            for begin in (0..self.count).step_by(lanes) {
                // B^T d: the inputs (i, j) of a vector of tiles, their rows combined.
                let mut rows = [[simd.splat_f32s(0.0); 4]; 4];
                for j in 0..4 {
                    let mut column = [simd.splat_f32s(0.0); 4];
                    for (i, value) in column.iter_mut().enumerate() {
                        let at = (2 * (i % 2) + j % 2) * self.plane + self.first + begin + i / 2 * self.pitch + j / 2;
                        *value = S::as_simd_f32s(&map[at..][..lanes]).0[0];
                    }
                    let turned = turn(simd, column);
                    for i in 0..4 {
                        rows[i][j] = turned[i];
                    }
                }
                let left = lanes.min(self.count - begin);
                for i in 0..4 {
                    let row = turn(simd, rows[i]);
                    for j in 0..4 {
                        let value = row[j];
                        let at = ((4 * i + j) * self.channels + channel) * wide + self.lane + begin;
                        if left == lanes {
                            S::as_mut_simd_f32s(&mut self.to[at..][..lanes]).0[0] = value;
                        } else {
                            let mut part = [0.0f32; VECTOR];
                            S::as_mut_simd_f32s(&mut part[..lanes]).0[0] = value;
                            self.to[at..][..left].copy_from_slice(&part[..left]);
                        }
                    }
                }
            }
        }
    }
}

/// B^T times a column.
#[inline(always)]
fn turn<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// A^T m A and the bias for the tiles of one channel.
struct Back<'a> {
    sums: &'a [f32],
    step: usize,
    wide: usize,
    count: usize,
    bias: f32,
    lines: &'a mut [f32],
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[expect(clippy::needless_range_loop, reason = "iterators here would leave vectors in memory")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let bias = simd.splat_f32s(self.bias);
        let (upper, lower) = self.lines.split_at_mut(2 * self.wide);
        let lanes = S::F32_LANES;
        for first in (0..self.count).step_by(lanes) {
            let mut rows = [[simd.splat_f32s(0.0); 4]; 2];
            for j in 0..4 {
                let mut column = [simd.splat_f32s(0.0); 4];
                for (i, value) in column.iter_mut().enumerate() {
                    *value = S::as_simd_f32s(&self.sums[(4 * i + j) * self.step + first..][..lanes]).0[0];
                }
                let [a, b] = back(simd, column);
                (rows[0][j], rows[1][j]) = (a, b);
            }
            interleave(simd, back(simd, rows[0]), bias, &mut upper[2 * first..][..2 * lanes]);
            interleave(simd, back(simd, rows[1]), bias, &mut lower[2 * first..][..2 * lanes]);
        }
    }
}

/// A^T times a column.
#[inline(always)]
fn back<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    [simd.add_f32s(simd.add_f32s(a, b), c), simd.sub_f32s(simd.sub_f32s(b, c), d)]
}

/// Both vectors and the bias, their values in turns.
#[inline(always)]
fn interleave<S: Simd>(simd: S, [a, b]: [S::f32s; 2], bias: S::f32s, to: &mut [f32]) {
    let (mut even, mut odd) = ([0.0f32; VECTOR], [0.0f32; VECTOR]);
    S::as_mut_simd_f32s(&mut even[..S::F32_LANES]).0[0] = simd.add_f32s(a, bias);
    S::as_mut_simd_f32s(&mut odd[..S::F32_LANES]).0[0] = simd.add_f32s(b, bias);
    for (i, pair) in to.chunks_exact_mut(2).enumerate() {
        pair[0] = even[i];
        pair[1] = odd[i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_machine_without_vectors_gets_the_same_bits() {
        let mut rng = Stream::new(0, "winograd");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        let (wide, channels, pitch, plane, count) = (width(), 2, 7, 29, 20.min(width()));
        let maps = random(channels * 4 * plane + VECTOR);
        let turned = |to: &mut Vec<f32>, plain: bool| {
            let turn = Turn { maps: &maps, plane, pitch, first: 0, count, channels, lane: 0, to };
            if plain { turn.with_simd(pulp::Scalar) } else { arch().dispatch(turn) }
        };
        let (mut here, mut there) = (vec![0.0; POINTS * channels * wide], vec![0.0; POINTS * channels * wide]);
        turned(&mut here, false);
        turned(&mut there, true);
        assert_eq!(here, there);
        let (sums, mut lines) = (random(POINTS * wide + VECTOR), [vec![0.0; 4 * wide], vec![0.0; 4 * wide]]);
        for (plain, lines) in lines.iter_mut().enumerate() {
            let back = Back { sums: &sums, step: wide, wide, count: wide, bias: 0.25, lines };
            if plain == 1 { back.with_simd(pulp::Scalar) } else { arch().dispatch(back) }
        }
        assert_eq!(lines[0], lines[1]);
    }
}
