//! im2col packing by masked vector loads, where output rows are as long as (stride-sorted) input rows: for one tap, output i
//! reads input i + offset, from one row into the next. Lanes that fall into the padding are masked to zero.

use super::microkernel::{MAX_NR, nr};
use super::problem::ConvProblem;
use crate::simd::lanes;
use pulp::{MemMask, Simd, WithSimd};
use rayon::prelude::*;

/// The input offset of each tap of a problem.
pub(super) struct MaskedIm2col {
    /// Values between channels of the (stride-sorted) input.
    pub plane: usize,
    pub taps: Vec<TapOffset>,
    /// Output columns.
    width: usize,
}

/// What a tap reads.
pub(super) struct TapOffset {
    /// From an output's own position to its input, both counted through rows as long as the output's.
    pub offset: isize,
    /// The same in rows and columns.
    by: [i32; 2],
    /// Height and width of the (stride-sorted) input that the tap reads.
    size: [i32; 2],
}

impl MaskedIm2col {
    /// The offsets of a problem's taps; for a strided problem those in an input that [`MaskedIm2col::sort_by_stride`] sorted.
    /// None where output rows are not as long as input rows, or vectors are too narrow for masked loads.
    pub fn of(problem: &ConvProblem) -> Option<Self> {
        let ([h, w], [down, right], width) = (problem.input, problem.stride, problem.output[1]);
        if lanes() < 8 || w.div_ceil(right) != width {
            return None;
        }
        let part = h.div_ceil(down) * width;
        let offset = |tap: &[isize; 2]| {
            let split =
                |a: usize, step: usize| (tap[a].div_euclid(step as isize), tap[a].rem_euclid(step as isize) as usize);
            let ((y, row), (x, column)) = (split(0, down), split(1, right));
            let size = [h.saturating_sub(row).div_ceil(down), w.saturating_sub(column).div_ceil(right)];
            let offset = ((row * right + column) * part) as isize + y * width as isize + x;
            TapOffset { offset, by: [y as i32, x as i32], size: size.map(|n| n as i32) }
        };
        Some(MaskedIm2col { plane: down * right * part, taps: problem.taps.iter().map(offset).collect(), width })
    }

    /// The input with the rows and columns of each plane sorted by their remainder modulo the stride.
    pub fn sort_by_stride(&self, problem: &ConvProblem, x: &[f32]) -> Vec<f32> {
        let ([h, w], [down, right], width) = (problem.input, problem.stride, self.width);
        let mut sorted = vec![0.0; x.len() / (h * w) * self.plane];
        let part = self.plane / (down * right);
        sorted.par_chunks_mut(self.plane).zip(x.par_chunks_exact(h * w)).for_each(|(to, x)| {
            for (y, line) in x.chunks_exact(w).enumerate() {
                let to = &mut to[(y % down * right) * part + y / down * width..];
                if right == 2 {
                    // In pairs, which compilers vectorise.
                    let (even, odd) = to.split_at_mut(part);
                    even.iter_mut().zip(line.chunks_exact(2)).for_each(|(t, pair)| *t = pair[0]);
                    odd.iter_mut().zip(line.chunks_exact(2)).for_each(|(t, pair)| *t = pair[1]);
                    if let (1, Some(last)) = (w % 2, line.last()) {
                        even[width - 1] = *last;
                    }
                    continue;
                }
                for column in 0..right.min(w) {
                    to[column * part..].iter_mut().zip(line[column..].iter().step_by(right)).for_each(|(t, v)| *t = *v);
                }
            }
        });
        sorted
    }

    /// Writes the positions of `count` outputs of a sample, from number `first` on, to the lanes from `lane` on.
    pub fn set_positions(&self, positions: &mut LanePositions, first: usize, count: usize, lane: usize) {
        for i in 0..count {
            let (y, x) = ((first + i) / self.width, (first + i) % self.width);
            (positions.rows[lane + i], positions.columns[lane + i]) = (y as i32, x as i32);
        }
    }
}

impl TapOffset {
    /// A value above zero for every lane that reads inside the image.
    #[inline(always)]
    fn valid_lanes(&self, positions: &LanePositions) -> [f32; MAX_NR] {
        let ([down, right], [h, w]) = (self.by, self.size);
        std::array::from_fn(|i| {
            let (y, x) = (positions.rows[i] + down, positions.columns[i] + right);
            f32::from(u8::from((y >= 0) & (y < h) & (x >= 0) & (x < w)))
        })
    }
}

/// Output row and column of each lane of a block of columns.
pub(super) struct LanePositions {
    rows: [i32; MAX_NR],
    columns: [i32; MAX_NR],
}

impl LanePositions {
    /// No outputs: every lane lies in the padding.
    pub const NONE: LanePositions = LanePositions { rows: [i32::MIN / 2; MAX_NR], columns: [0; MAX_NR] };
}

/// The lanes of a block whose outputs are of one sample.
pub(super) struct SampleSpan {
    /// The first lane, and how many.
    pub lane: usize,
    pub len: usize,
    /// Where lane 0 would read channel 0 under a tap without an offset.
    pub from: isize,
}

/// Packs the columns of a block: row (tap, channel), [`nr`] values a row.
pub(super) struct PackColumns<'a> {
    pub x: &'a [f32],
    pub masked: &'a MaskedIm2col,
    pub positions: &'a LanePositions,
    pub spans: &'a [SampleSpan],
    pub rows: &'a mut [f32],
}

impl WithSimd for PackColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, wide, zero) = (S::F32_LANES, nr(), simd.splat_f32s(0.0));
        let per_tap = self.rows.len() / self.masked.taps.len().max(1);
        for (tap, rows) in self.masked.taps.iter().zip(self.rows.chunks_exact_mut(per_tap.max(1))) {
            let valid = tap.valid_lanes(self.positions);
            for first in (0..wide).step_by(lanes) {
                let touching = self.spans.iter().filter(|s| s.lane < first + lanes && first < s.lane + s.len);
                for (i, span) in touching.enumerate() {
                    let mut own = [0.0; MAX_NR];
                    let span_lanes = first.max(span.lane)..(first + lanes).min(span.lane + span.len);
                    own[..span_lanes.len()].copy_from_slice(&valid[span_lanes.clone()]);
                    own[..lanes].rotate_right(span_lanes.start - first);
                    let mask = MemMask::new(simd.greater_than_f32s(S::as_simd_f32s(&own[..lanes]).0[0], zero));
                    let from = self.x.as_ptr().wrapping_offset(span.from + tap.offset).wrapping_add(first);
                    for (c, row) in rows.chunks_exact_mut(wide).enumerate() {
                        // SAFETY: the lanes of the mask lie inside `x`.
                        let new = unsafe { simd.mask_load_ptr_f32s(mask, from.wrapping_add(c * self.masked.plane)) };
                        let to = &mut S::as_mut_simd_f32s(&mut row[first..first + lanes]).0[0];
                        *to = if i == 0 { new } else { simd.or_f32s(*to, new) };
                    }
                }
            }
        }
    }
}
