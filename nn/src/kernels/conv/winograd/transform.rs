//! The Winograd transforms for tiles of M x M outputs and N x N inputs, N = M + 2: the matrices G, B and A for M = 2 and 4, and the
//! loops that apply B (input transform) and A (output transform) to many tiles side by side.

use crate::kernels::conv::microkernel::nr;
use crate::kernels::disjoint::DisjointSlice;
use crate::simd::MAX_LANES;
use pulp::{Simd, WithSimd};

/// The interpolation points of F(4 x 4, 3 x 3), with both signs; 0 and infinity come on top. The paper has 1 and 2; these halve its
/// root mean square error, and all coefficients made of them are exact in f32.
const NEAR: f64 = 0.75;
const FAR: f64 = 1.5;
const NEAR2: f64 = NEAR * NEAR;
const FAR2: f64 = FAR * FAR;

/// One row of G for tiles of `side` x `side` outputs: the three taps of a kernel at one point.
pub(super) fn weight_row(side: usize, point: usize) -> [f64; 3] {
    let near = |p: f64| [1.0, p, NEAR2].map(|v| v / (2.0 * NEAR2 * (NEAR2 - FAR2)));
    let far = |p: f64| [1.0, p, FAR2].map(|v| v / (2.0 * FAR2 * (FAR2 - NEAR2)));
    match (side, point) {
        (2, 0) => [1.0, 0.0, 0.0],
        (2, 1) => [0.5, 0.5, 0.5],
        (2, 2) => [0.5, -0.5, 0.5],
        (_, 0) => [1.0 / (NEAR2 * FAR2), 0.0, 0.0],
        (4, 1) => near(NEAR),
        (4, 2) => near(-NEAR),
        (4, 3) => far(FAR),
        (4, 4) => far(-FAR),
        _ => [0.0, 0.0, 1.0],
    }
}

/// B^T times a column of N values.
#[inline(always)]
fn input_transform<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let mut y = x;
    if N == 4 {
        y[0] = simd.sub_f32s(x[0], x[2]);
        y[1] = simd.add_f32s(x[1], x[2]);
        y[2] = simd.sub_f32s(x[2], x[1]);
        y[3] = simd.sub_f32s(x[1], x[3]);
        return y;
    }
    let times = |by: f64, x: S::f32s, to: S::f32s| simd.mul_add_f32s(simd.splat_f32s(by as f32), x, to);
    let scaled = |by: f64, x: S::f32s| simd.mul_f32s(simd.splat_f32s(by as f32), x);
    let ends = |x0, x2, x4| times(NEAR2 * FAR2, x0, times(-(NEAR2 + FAR2), x2, x4));
    y[0] = ends(x[0], x[2], x[4]);
    y[N - 1] = ends(x[1], x[3], x[N - 1]);
    let (even, odd) = (times(-FAR2, x[2], x[4]), scaled(NEAR, times(-FAR2, x[1], x[3])));
    (y[1], y[2]) = (simd.add_f32s(even, odd), simd.sub_f32s(even, odd));
    let (even, odd) = (times(-NEAR2, x[2], x[4]), scaled(FAR, times(-NEAR2, x[1], x[3])));
    (y[3], y[4 % N]) = (simd.add_f32s(even, odd), simd.sub_f32s(even, odd));
    y
}

/// A^T times a column of N sums.
#[inline(always)]
fn output_transform<S: Simd, const M: usize, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; M] {
    let mut y = [x[0]; M];
    let (sum, difference) = (simd.add_f32s(x[1], x[2]), simd.sub_f32s(x[1], x[2]));
    if M == 2 {
        y[0] = simd.add_f32s(simd.add_f32s(x[0], x[1]), x[2]);
        y[1] = simd.sub_f32s(difference, x[3]);
        return y;
    }
    let times = |by: f64, x: S::f32s, to: S::f32s| simd.mul_add_f32s(simd.splat_f32s(by as f32), x, to);
    let scaled = |by: f64, x: S::f32s| simd.mul_f32s(simd.splat_f32s(by as f32), x);
    let (more, apart) = (simd.add_f32s(x[3], x[4 % N]), simd.sub_f32s(x[3], x[4 % N]));
    y[0] = simd.add_f32s(x[0], simd.add_f32s(sum, more));
    y[1] = times(NEAR, difference, scaled(FAR, apart));
    y[2 % M] = times(NEAR2, sum, scaled(FAR2, more));
    y[3 % M] = times(NEAR2 * NEAR, difference, times(FAR2 * FAR, apart, x[N - 1]));
    y
}

/// A patch of the tile grid of one sample, whose inputs are rearranged together.
#[derive(Clone, Copy, Debug)]
pub(super) struct TilePatch {
    /// Row and column of the first tile's first input; negative in the padding.
    pub corner: [isize; 2],
    /// Rows of tiles, and tiles side by side.
    pub size: [usize; 2],
    /// The first tile that is transformed and how many are, counted row by row.
    pub first: usize,
    pub count: usize,
    /// The lane of the first.
    pub lane: usize,
}

impl TilePatch {
    /// Values of a rearranged plane: one for every tile, and a row more for what the last row of tiles reads below itself.
    fn plane(&self) -> usize {
        (self.size[0] + 1) * self.size[1]
    }

    /// Values of all rearranged planes of a channel.
    pub fn scratch_len(&self, side: usize) -> usize {
        side * (side + 2) * self.plane() + MAX_LANES
    }
}

/// The input transform B^T d B of a patch of tiles, for several channels.
pub(super) struct InputTransform<'a, const M: usize, const N: usize> {
    /// The channels' maps.
    pub maps: &'a [f32],
    /// Height and width of a map.
    pub size: [usize; 2],
    pub patch: TilePatch,
    /// [`TilePatch::scratch_len`] zeros.
    pub planes: &'a mut [f32],
    /// Point, channel, tile ([`nr`] tiles a channel); written by this task alone.
    pub to: DisjointSlice<f32>,
    /// Values between points.
    pub point_pitch: usize,
}

impl<const M: usize, const N: usize> WithSimd for InputTransform<'_, M, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for (channel, map) in self.maps.chunks_exact(self.size[0] * self.size[1]).enumerate() {
            self.rearrange(map);
            self.transform(simd, channel);
        }
    }
}

impl<const M: usize, const N: usize> InputTransform<'_, M, N> {
    /// Rearranges a map into M x N planes: input rows by their remainder by M, and for each of a tile's N columns that column of
    /// all tiles side by side. Columns that two neighbouring tiles read are in two planes. The padding stays zero.
    #[inline(always)]
    fn rearrange(&mut self, map: &[f32]) {
        let ([h, w], TilePatch { corner: [top, left], size: [down, pitch], .. }) = (self.size, self.patch);
        let plane = self.patch.plane();
        for row in 0..M * down + 2 {
            let Some(y) = row.checked_add_signed(top).filter(|y| *y < h) else { continue };
            let (line, planes) = (&map[y * w..][..w], &mut self.planes[row % M * N * plane..]);
            let at = |j: usize| j * plane + row / M * pitch;
            for j in 0..M {
                // The first tile whose column j lies inside the image, and that column.
                let tile = ((-(left + j as isize)).max(0) as usize).div_ceil(M);
                let column = (M * tile + j).wrapping_add_signed(left);
                if column < w && tile < pitch {
                    let to = &mut planes[at(j)..][tile..pitch];
                    let groups = line[column..].chunks_exact(M);
                    let whole = groups.len().min(to.len());
                    to.iter_mut().zip(groups).for_each(|(t, group)| *t = group[0]);
                    if let (Some(t), Some(f)) = (to.get_mut(whole), line.get(column + whole * M)) {
                        *t = *f;
                    }
                }
            }
            for j in M..N {
                let from = at(j - M);
                planes.copy_within(from + 1..from + pitch, at(j));
                let column = (M * (pitch - 1) + j).checked_add_signed(left);
                if let Some(last) = column.and_then(|c| line.get(c)) {
                    planes[at(j) + pitch - 1] = *last;
                }
            }
        }
    }

    #[expect(clippy::needless_range_loop, reason = "iterators here would leave vectors in memory")]
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, channel: usize) {
        let TilePatch { size: [_, pitch], first, count, lane, .. } = self.patch;
        let (wide, lanes, plane) = (nr(), S::F32_LANES, self.patch.plane());
        for begin in (0..count).step_by(lanes) {
            // B^T d for a vector of tiles.
            let mut rows = [[simd.splat_f32s(0.0); N]; N];
            for j in 0..N {
                let mut column = [simd.splat_f32s(0.0); N];
                for (i, value) in column.iter_mut().enumerate() {
                    let at = (i % M * N + j) * plane + i / M * pitch + first + begin;
                    *value = S::as_simd_f32s(&self.planes[at..][..lanes]).0[0];
                }
                let transformed = input_transform(simd, column);
                for i in 0..N {
                    rows[i][j] = transformed[i];
                }
            }
            let left = lanes.min(count - begin);
            for i in 0..N {
                let row = input_transform(simd, rows[i]);
                for j in 0..N {
                    let at = (N * i + j) * self.point_pitch + channel * wide + lane + begin;
                    // SAFETY: a channel's tiles at a point, which only this task writes.
                    let to = unsafe { self.to.slice(at, left) };
                    if left == lanes {
                        S::as_mut_simd_f32s(to).0[0] = row[j];
                    } else {
                        simd.partial_store_f32s(to, row[j]);
                    }
                }
            }
        }
    }
}

/// The output transform A^T m A, plus the bias, for the tiles of one output channel.
pub(super) struct OutputTransform<'a, const M: usize, const N: usize> {
    /// Point, tile.
    pub sums: &'a [f32],
    /// Values between points.
    pub point_pitch: usize,
    /// Tiles.
    pub count: usize,
    pub bias: f32,
    /// M rows of outputs, M * [`nr`] values each.
    pub lines: &'a mut [f32],
}

impl<const M: usize, const N: usize> WithSimd for OutputTransform<'_, M, N> {
    type Output = ();

    #[expect(clippy::needless_range_loop, reason = "iterators here would leave vectors in memory")]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (bias, lanes, line) = (simd.splat_f32s(self.bias), S::F32_LANES, M * nr());
        for first in (0..self.count).step_by(lanes) {
            let mut rows = [[simd.splat_f32s(0.0); N]; M];
            for j in 0..N {
                let mut column = [simd.splat_f32s(0.0); N];
                for (i, value) in column.iter_mut().enumerate() {
                    *value = S::as_simd_f32s(&self.sums[(N * i + j) * self.point_pitch + first..][..lanes]).0[0];
                }
                let transformed: [S::f32s; M] = output_transform(simd, column);
                for i in 0..M {
                    rows[i][j] = transformed[i];
                }
            }
            for i in 0..M {
                let columns: [S::f32s; M] = output_transform(simd, rows[i]);
                interleave(simd, columns, bias, &mut self.lines[i * line + M * first..][..M * lanes]);
            }
        }
    }
}

/// Adds the bias to M vectors, the columns of a vector of tiles, and interleaves their lanes into a row of outputs.
#[inline(always)]
fn interleave<S: Simd, const M: usize>(simd: S, columns: [S::f32s; M], bias: S::f32s, to: &mut [f32]) {
    let mut values = [[0.0f32; MAX_LANES]; M];
    for (values, column) in values.iter_mut().zip(columns) {
        S::as_mut_simd_f32s(&mut values[..S::F32_LANES]).0[0] = simd.add_f32s(column, bias);
    }
    for (i, group) in to.chunks_exact_mut(M).enumerate() {
        for j in 0..M {
            group[j] = values[j][i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use crate::simd::arch;

    /// One tile by the definition, sum(kernel * input), and by the matrices, in doubles.
    fn check<const M: usize, const N: usize>() {
        let mut rng = Stream::new(1, "transform");
        let d: [[f32; N]; N] = std::array::from_fn(|_| std::array::from_fn(|_| rng.next_normal() as f32));
        let g: [[f64; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| rng.next_normal()));
        let column = |d: &[[f32; N]; N], j: usize| -> [f32; N] {
            input_transform(pulp::Scalar, std::array::from_fn(|i| d[i][j]))
        };
        let half: [[f32; N]; N] = std::array::from_fn(|j| column(&d, j));
        let v: [[f32; N]; N] =
            std::array::from_fn(|i| input_transform(pulp::Scalar, std::array::from_fn(|j| half[j][i])));
        let (row, taps) = (|i| weight_row(M, i), 0..3);
        let u = |i: usize, j: usize| -> f64 {
            taps.clone().map(|a| taps.clone().map(|b| row(i)[a] * g[a][b] * row(j)[b]).sum::<f64>()).sum()
        };
        let m: [[f32; N]; N] = std::array::from_fn(|i| std::array::from_fn(|j| (u(i, j) * f64::from(v[i][j])) as f32));
        let half: [[f32; M]; N] =
            std::array::from_fn(|j| output_transform::<_, M, N>(pulp::Scalar, std::array::from_fn(|i| m[i][j])));
        for y in 0..M {
            let line = output_transform::<_, M, N>(pulp::Scalar, std::array::from_fn(|j| half[j][y]));
            for (x, ours) in line.into_iter().enumerate() {
                let tap = |a: usize, b: usize| g[a][b] * f64::from(d[y + a][x + b]);
                let want: f64 = taps.clone().map(|a| taps.clone().map(|b| tap(a, b)).sum::<f64>()).sum();
                assert!((f64::from(ours) - want).abs() < 1e-5, "{M}: {y} {x}: {ours}, not {want}");
            }
        }
    }

    #[test]
    fn a_tile_is_the_convolution() {
        check::<2, 4>();
        check::<4, 6>();
    }

    fn same_bits<const M: usize, const N: usize>() {
        let mut rng = Stream::new(0, "winograd");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        let (wide, channels, size) = (nr(), 2, [3 * M + 1, 5 * M]);
        let patch = TilePatch { corner: [-1, -1], size: [3, 5], first: 1, count: 14.min(wide), lane: 0 };
        let maps = random(channels * size[0] * size[1]);
        let point_pitch = channels * wide + MAX_LANES;
        let transformed = |plain: bool| {
            let (mut to, mut planes) = (vec![0.0; N * N * point_pitch], vec![0.0; patch.scratch_len(M)]);
            let to_all = DisjointSlice::new(&mut to);
            let input =
                InputTransform::<M, N> { maps: &maps, size, patch, planes: &mut planes, to: to_all, point_pitch };
            if plain {
                input.with_simd(pulp::Scalar)
            } else {
                arch().dispatch(input)
            }
            to
        };
        assert_eq!(transformed(false), transformed(true));
        let sums = random(N * N * wide + MAX_LANES);
        let lines = |plain: bool| {
            let mut lines = vec![0.0; M * M * wide];
            let output =
                OutputTransform::<M, N> { sums: &sums, point_pitch: wide, count: wide, bias: 0.25, lines: &mut lines };
            if plain {
                output.with_simd(pulp::Scalar)
            } else {
                arch().dispatch(output)
            }
            lines
        };
        assert_eq!(lines(false), lines(true));
    }

    #[test]
    fn a_machine_without_vectors_gets_the_same_bits() {
        same_bits::<2, 4>();
        same_bits::<4, 6>();
    }
}
