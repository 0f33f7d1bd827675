//! Walks whose outputs lie as what they read does: under a tap, neighbouring outputs read neighbouring values a fixed way off,
//! from one row into the next. So whole vectors of them are read at once, those left out that stand beyond the border.

use super::tile::{WIDEST, lanes};
use super::walk::Walk;
use pulp::{MemMask, Simd, WithSimd};
use rayon::prelude::*;

/// How far off each tap of a walk reads.
pub(super) struct Shifts {
    /// Values between channels.
    pub plane: usize,
    pub taps: Vec<Shift>,
    /// Outputs in a row.
    across: usize,
}

/// What a tap reads.
pub(super) struct Shift {
    /// How far behind an output's own place, counted through rows as long as the outputs', in its channel.
    pub offset: isize,
    /// Rows and columns that lie between.
    by: [i32; 2],
    /// Height and width of what is there.
    size: [i32; 2],
}

impl Shifts {
    /// The shifts of a walk, strided ones over an input that [`Shifts::sort`] sorted; none where rows of outputs are shorter
    /// or longer than the rows that they read, or vectors too narrow to leave out values.
    pub fn of(walk: &Walk) -> Option<Self> {
        let ([h, w], [down, right], across) = (walk.input, walk.stride, walk.grid[1]);
        if lanes() < 8 || w.div_ceil(right) != across {
            return None;
        }
        let part = h.div_ceil(down) * across;
        let shift = |tap: &[isize; 2]| {
            let split =
                |a: usize, step: usize| (tap[a].div_euclid(step as isize), tap[a].rem_euclid(step as isize) as usize);
            let ((y, row), (x, column)) = (split(0, down), split(1, right));
            let size = [h.saturating_sub(row).div_ceil(down), w.saturating_sub(column).div_ceil(right)];
            let offset = ((row * right + column) * part) as isize + y * across as isize + x;
            Shift { offset, by: [y as i32, x as i32], size: size.map(|n| n as i32) }
        };
        Some(Shifts { plane: down * right * part, taps: walk.taps.iter().map(shift).collect(), across })
    }

    /// The input with each plane's rows and columns sorted by their remainder by the stride.
    pub fn sort(&self, walk: &Walk, x: &[f32]) -> Vec<f32> {
        let ([h, w], [down, right], across) = (walk.input, walk.stride, self.across);
        let mut sorted = vec![0.0; x.len() / (h * w) * self.plane];
        let part = self.plane / (down * right);
        sorted.par_chunks_mut(self.plane).zip(x.par_chunks_exact(h * w)).for_each(|(to, x)| {
            for (y, line) in x.chunks_exact(w).enumerate() {
                let to = &mut to[(y % down * right) * part + y / down * across..];
                if right == 2 {
                    // Pairs, so that compilers see vectors.
                    let (even, odd) = to.split_at_mut(part);
                    even.iter_mut().zip(line.chunks_exact(2)).for_each(|(t, pair)| *t = pair[0]);
                    odd.iter_mut().zip(line.chunks_exact(2)).for_each(|(t, pair)| *t = pair[1]);
                    if let (1, Some(last)) = (w % 2, line.last()) {
                        even[across - 1] = *last;
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

    /// Where `count` outputs from `first` of a sample on stand in a tile, from `lane` on.
    pub fn place(&self, places: &mut Places, first: usize, count: usize, lane: usize) {
        for i in 0..count {
            let (y, x) = ((first + i) / self.across, (first + i) % self.across);
            (places.rows[lane + i], places.columns[lane + i]) = (y as i32, x as i32);
        }
    }
}

impl Shift {
    /// A value above zero for every place that reads an input that exists.
    #[inline(always)]
    pub fn inside(&self, places: &Places) -> [f32; WIDEST] {
        let ([down, right], [h, w]) = (self.by, self.size);
        std::array::from_fn(|i| {
            let (y, x) = (places.rows[i] + down, places.columns[i] + right);
            f32::from(u8::from((y >= 0) & (y < h) & (x >= 0) & (x < w)))
        })
    }
}

/// Rows and columns of a tile's outputs.
pub(super) struct Places {
    rows: [i32; WIDEST],
    columns: [i32; WIDEST],
}

impl Places {
    /// No outputs, which read nothing.
    pub const NONE: Places = Places { rows: [i32::MIN / 2; WIDEST], columns: [0; WIDEST] };
}

/// Some of a tile's outputs, all of one sample.
pub(super) struct Part {
    /// The first and how many.
    pub lane: usize,
    pub len: usize,
    /// Where the first channel's value of the tile's first output would lie.
    pub from: isize,
}

/// Writes what a tile reads: inner row (tap, channel), `wide` values a row.
pub(super) struct Lay<'a> {
    pub x: &'a [f32],
    pub shifts: &'a Shifts,
    pub places: &'a Places,
    pub parts: &'a [Part],
    pub wide: usize,
    pub rows: &'a mut [f32],
}

impl WithSimd for Lay<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, zero) = (S::F32_LANES, simd.splat_f32s(0.0));
        let each = self.rows.len() / self.shifts.taps.len().max(1);
        for (shift, rows) in self.shifts.taps.iter().zip(self.rows.chunks_exact_mut(each.max(1))) {
            let inside = shift.inside(self.places);
            for first in (0..self.wide).step_by(lanes) {
                let touching = self.parts.iter().filter(|p| p.lane < first + lanes && first < p.lane + p.len);
                for (i, part) in touching.enumerate() {
                    let mut own = [0.0; WIDEST];
                    let lanes_of = first.max(part.lane)..(first + lanes).min(part.lane + part.len);
                    own[..lanes_of.len()].copy_from_slice(&inside[lanes_of.clone()]);
                    own[..lanes].rotate_right(lanes_of.start - first);
                    let mask = MemMask::new(simd.greater_than_f32s(S::as_simd_f32s(&own[..lanes]).0[0], zero));
                    let from = self.x.as_ptr().wrapping_offset(part.from + shift.offset).wrapping_add(first);
                    for (c, row) in rows.chunks_exact_mut(self.wide).enumerate() {
                        // SAFETY: values that are inside lie in `x`.
                        let new = unsafe { simd.mask_load_ptr_f32s(mask, from.wrapping_add(c * self.shifts.plane)) };
                        let to = &mut S::as_mut_simd_f32s(&mut row[first..first + lanes]).0[0];
                        *to = if i == 0 { new } else { simd.or_f32s(*to, new) };
                    }
                }
            }
        }
    }
}
