//! A plane in a halo of padding, its rows and columns sorted by their remainder modulo the stride.
//!
//! Window positions are counted through the padded rows. Under one tap neighbouring positions then read neighbouring values, at
//! a constant offset, however narrow the plane and whatever the stride. Positions that fall between the last of a row and the
//! first of the next have no meaning; their results are dropped.

use crate::simd::{MAX_LANES, arch};
use crate::tensor::Real;
use pulp::Simd;

/// Where the values of a plane lie in its padded copy.
pub(in crate::kernels) struct PaddedPlane {
    /// Its sizes.
    pub shape: PaddedShape,
    /// Where each row of the plane begins (at remainder 0 modulo the column stride); none where no window reads it.
    rows: Vec<Option<usize>>,
    columns: ReadColumns,
}

/// The columns of the plane that windows read: `count` from `first` on, which lies `column` right of the leftmost tap.
/// `even` and `odd`: where it and its right neighbour lie in a padded row.
#[derive(Clone, Copy)]
struct ReadColumns {
    first: usize,
    count: usize,
    column: usize,
    even: usize,
    odd: usize,
}

/// The sizes of a plane and its halo.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::kernels) struct PaddedShape {
    /// Height and width of the plane.
    pub input: [usize; 2],
    /// Rows and columns between neighbouring window positions.
    pub stride: [usize; 2],
    /// The topmost row and leftmost column that a tap reads at position (0, 0).
    pub origin: [isize; 2],
    /// Padded rows and columns of each remainder modulo the stride.
    pub size: [usize; 2],
}

impl PaddedPlane {
    /// For `windows` over a plane of size `input`: each has its grid of positions and the input offsets of its taps at position
    /// (0, 0).
    pub fn new<'a>(
        input: [usize; 2],
        stride: [usize; 2],
        windows: impl IntoIterator<Item = ([usize; 2], &'a [[isize; 2]])> + Clone,
    ) -> Self {
        let taps = || windows.clone().into_iter().flat_map(|(_, taps)| taps);
        let origin = [0, 1].map(|a| taps().map(|t| t[a]).min().unwrap_or(0));
        let size = [0, 1].map(|a| {
            let reach = |taps: &[[isize; 2]]| taps.iter().map(|t| (t[a] - origin[a]) as usize).max().unwrap_or(0);
            let sizes = windows.clone().into_iter().map(|(grid, taps)| reach(taps) / stride[a] + grid[a]);
            sizes.max().unwrap_or(0)
        });
        let shape = PaddedShape { input, stride, origin, size };
        let rows = (0..input[0]).map(|i| {
            let row = usize::try_from(i as isize - origin[0]).ok()?;
            (row / stride[0] < size[0]).then(|| shape.at(row, 0))
        });
        let first = (origin[1].max(0) as usize).min(input[1]);
        let column = (origin[1].max(0) - origin[1]) as usize;
        let count = (input[1] - first).min((size[1] * stride[1]).saturating_sub(column));
        let columns = ReadColumns { first, count, column, even: shape.at(0, column), odd: shape.at(0, column + 1) };
        PaddedPlane { shape, rows: rows.collect(), columns }
    }

    /// Where a tap reads at position (0, 0).
    pub fn tap_offset(&self, tap: [isize; 2]) -> usize {
        let [down, right] = [0, 1].map(|a| (tap[a] - self.shape.origin[a]) as usize);
        self.shape.at(down, right)
    }

    /// Values of a padded plane.
    pub fn len(&self) -> usize {
        let PaddedShape { stride, size, .. } = self.shape;
        stride[0] * stride[1] * size[0] * size[1]
    }

    /// Values between neighbouring rows of positions.
    pub fn pitch(&self) -> usize {
        self.shape.size[1]
    }

    /// Positions of a grid, those between its rows included.
    pub fn positions(&self, grid: [usize; 2]) -> usize {
        if grid.contains(&0) { 0 } else { (grid[0] - 1) * self.pitch() + grid[1] }
    }

    /// Copies a plane's values to where they lie; the halo is left as it is.
    #[inline(always)]
    pub fn fill<T: Real>(&self, plane: &[T], to: &mut [T]) {
        plane.chunks_exact(self.shape.input[1]).enumerate().for_each(|(i, line)| self.fill_row(i, line, to));
    }

    /// As [`PaddedPlane::fill`], by vectors; `to` must have room for one after the plane.
    #[inline(always)]
    pub fn fill_by_vectors<S: Simd>(&self, simd: S, plane: &[f32], to: &mut [f32]) {
        if self.shape.stride == [1, 1] {
            return self.fill_dense(simd, plane, to);
        }
        self.fill(plane, to);
    }

    /// Rows without gaps. The last vector of a row is filled up with zeros, which belong where they go: to the halo, and to the next
    /// row, which is written after it.
    #[inline(always)]
    fn fill_dense<S: Simd>(&self, simd: S, plane: &[f32], to: &mut [f32]) {
        let (lanes, width) = (S::F32_LANES, self.shape.input[1]);
        let ReadColumns { first, count, column, .. } = self.columns;
        let full = count / lanes * lanes;
        let numbers: [f32; MAX_LANES] = std::array::from_fn(|i| i as f32);
        let lane = S::as_simd_f32s(&numbers[..lanes]).0[0];
        let is_tail = simd.less_than_f32s(lane, simd.splat_f32s((count - full) as f32));
        for (i, row) in self.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let (from, at) = (i * width + first, row + column);
            for c in (0..full).step_by(lanes) {
                store(simd, load(simd, &plane[from + c..][..lanes]), &mut to[at + c..][..lanes]);
            }
            if full < count {
                let tail = match plane.get(from + full..from + full + lanes) {
                    Some(tail) => simd.select_f32s(is_tail, load(simd, tail), simd.splat_f32s(0.0)),
                    None => load(simd, &plane[from + full..from + count]),
                };
                store(simd, tail, &mut to[at + full..][..lanes]);
            }
        }
    }

    /// As [`PaddedPlane::fill`], for row i of the plane.
    pub fn fill_row<T: Real>(&self, i: usize, line: &[T], to: &mut [T]) {
        let Some(row) = self.rows[i] else { return };
        let ReadColumns { first, count, column, even, odd } = self.columns;
        let (line, to, step) = (&line[first..first + count], &mut to[row..], self.shape.stride[1]);
        match step {
            1 => to[column..column + count].copy_from_slice(line),
            2 => split_pairs(line, to, even, odd),
            _ => {
                for begin in 0..step.min(count) {
                    let to = &mut to[self.shape.at(0, column + begin)..];
                    to.iter_mut().zip(line[begin..].iter().step_by(step)).for_each(|(t, v)| *t = *v);
                }
            }
        }
    }

    /// As [`PaddedPlane::fill_row`], for a row of zeros.
    pub fn zero_row<T: Real>(&self, i: usize, to: &mut [T]) {
        let Some(row) = self.rows[i] else { return };
        for column in 0..self.shape.stride[1] {
            to[row + self.shape.at(0, column)..][..self.shape.size[1]].fill(T::zero());
        }
    }

    /// Writes one value for each window of `grid` to its position; the values between rows are left as they are.
    #[inline(always)]
    pub fn spread<T: Real>(&self, values: &[T], grid: [usize; 2], to: &mut [T]) {
        let rows = to.chunks_exact_mut(self.pitch()).zip(values.chunks_exact(grid[1]));
        rows.for_each(|(to, from)| to[..grid[1]].copy_from_slice(from));
    }

    /// The inverse of [`PaddedPlane::spread`]: the value at each position of `grid`.
    #[inline(always)]
    pub fn collect<T: Real>(&self, from: &[T], grid: [usize; 2], values: &mut [T]) {
        let rows = values.chunks_exact_mut(grid[1].max(1)).zip(from.chunks(self.pitch().max(1)));
        rows.for_each(|(to, from)| to.copy_from_slice(&from[..grid[1]]));
    }

    /// The inverse of [`PaddedPlane::fill`]; zero where no window reads a value.
    #[inline(always)]
    pub fn gather<T: Real>(&self, from: &[T], plane: &mut [T]) {
        let (PaddedShape { input, stride: [_, step], .. }, ReadColumns { first, count, column, even, odd }) =
            (self.shape, self.columns);
        for (line, row) in plane.chunks_exact_mut(input[1]).zip(&self.rows) {
            let Some(row) = row else {
                line.fill(T::zero());
                continue;
            };
            line[..first].fill(T::zero());
            line[first + count..].fill(T::zero());
            let (line, from) = (&mut line[first..first + count], &from[*row..]);
            match step {
                1 => line.copy_from_slice(&from[column..column + count]),
                2 => {
                    let values = from[even..][..count / 2].iter().zip(&from[odd..][..count / 2]);
                    line.chunks_exact_mut(2).zip(values).for_each(|(pair, (e, o))| (pair[0], pair[1]) = (*e, *o));
                    if count % 2 == 1 {
                        line[count - 1] = from[even + count / 2];
                    }
                }
                _ => line.iter_mut().enumerate().for_each(|(i, v)| *v = from[self.shape.at(0, column + i)]),
            }
        }
    }
}

/// Writes the values of even number to those from `even` on, the others to those from `odd` on.
fn split_pairs<T: Real>(line: &[T], to: &mut [T], even: usize, odd: usize) {
    let (pairs, last) = line.as_chunks::<2>();
    #[cfg(target_arch = "x86_64")]
    if let (Some(line), pulp::Arch::V4(simd)) = (T::singles(line), arch()) {
        let [evens, odds] =
            [(even, line.len().div_ceil(2)), (odd, pairs.len())].map(|(from, n)| &raw mut to[from..from + n]);
        // SAFETY: the processor has these instructions; an f32 has the layout of T, which is f32, and the parts were sliced.
        return unsafe { split_pairs_avx512(simd, line, evens.cast(), odds.cast()) };
    }
    to[even..][..pairs.len()].iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[0]);
    to[odd..][..pairs.len()].iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[1]);
    if let [last] = last {
        to[even + pairs.len()] = *last;
    }
}

/// [`split_pairs`] by permutations of two vectors.
///
/// # Safety
/// Half of the values, of which the first takes the odd one, must be writable at `evens` and at `odds`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn split_pairs_avx512(_: pulp::x86::V4, line: &[f32], evens: *mut f32, odds: *mut f32) {
    use std::arch::x86_64::*;
    let numbers: [i32; 16] = std::array::from_fn(|i| 2 * i as i32);
    let first = |n: usize| ((1u32 << n.min(16)) - 1) as __mmask16;
    // SAFETY: the caller's; masks bound what is read and written.
    unsafe {
        let even = _mm512_loadu_si512(numbers.as_ptr().cast());
        let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
        for (block, part) in line.chunks(32).enumerate() {
            let n = part.len();
            let low = _mm512_maskz_loadu_ps(first(n), part.as_ptr());
            let high = _mm512_maskz_loadu_ps(first(n.saturating_sub(16)), part.as_ptr().wrapping_add(16));
            let to = 16 * block;
            _mm512_mask_storeu_ps(
                evens.wrapping_add(to),
                first(n.div_ceil(2)),
                _mm512_permutex2var_ps(low, even, high),
            );
            _mm512_mask_storeu_ps(odds.wrapping_add(to), first(n / 2), _mm512_permutex2var_ps(low, odd, high));
        }
    }
}

/// The values of a part of at most a vector, zeros after them.
#[inline(always)]
fn load<S: Simd>(simd: S, part: &[f32]) -> S::f32s {
    if part.len() == S::F32_LANES { S::as_simd_f32s(part).0[0] } else { simd.partial_load_f32s(part) }
}

/// Stores the first values of a vector, all that `to` has room for.
#[inline(always)]
fn store<S: Simd>(simd: S, values: S::f32s, to: &mut [f32]) {
    if to.len() == S::F32_LANES {
        S::as_mut_simd_f32s(to).0[0] = values;
    } else {
        simd.partial_store_f32s(to, values);
    }
}

impl PaddedShape {
    /// Where a row and a column lie, both counted from the origin.
    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> usize {
        let part = row % self.stride[0] * self.stride[1] + column % self.stride[1];
        (part * self.size[0] + row / self.stride[0]) * self.size[1] + column / self.stride[1]
    }
}
