//! Tiles laid out piece by piece: runs of columns that read neighbouring values, or zeros beyond the border.

use super::cut::{Columns, Run};
use super::tile::{arch, width};
use super::walk::Walk;
use pulp::{Simd, WithSimd};

/// Writes what the tile's columns read: inner row (tap, channel), [`width`] values a row.
pub(super) fn lay_out(walk: &Walk, x: &[f32], tile: Columns, to: &mut [f32]) {
    let [h, w] = walk.input;
    let (wide, plane, step) = (width(), h * w, walk.stride[1]);
    let mut pieces: Vec<Piece> = Vec::with_capacity(16);
    let runs: Vec<Run> = walk.runs(tile).collect();
    for (t, [down, right]) in walk.taps.iter().enumerate() {
        pieces.clear();
        let mut lane = 0;
        for run in &runs {
            let row = (run.y * walk.stride[0]) as isize + down;
            if !(0..h as isize).contains(&row) {
                continue;
            }
            let (lo, hi) = super::conv::inside(run.x, run.len, *right, step, w);
            if lo < hi {
                let column = ((run.x + lo) * step).wrapping_add_signed(*right);
                let from = (run.n * walk.groups + tile.group) * walk.channels * plane + row as usize * w + column;
                pieces.extend((lane < run.lane + lo).then(|| Piece { lane, len: run.lane + lo - lane, from: None }));
                pieces.push(Piece { lane: run.lane + lo, len: hi - lo, from: Some(from) });
                lane = run.lane + hi;
            }
        }
        pieces.extend((lane < wide).then(|| Piece { lane, len: wide - lane, from: None }));
        let rows = &mut to[t * walk.channels * wide..][..walk.channels * wide];
        arch().dispatch(Rows { x, plane, pieces: &pieces, step, wide, rows });
    }
}

/// Neighbouring columns that read neighbouring values of a channel, those of the first from here on, or zeros.
struct Piece {
    lane: usize,
    len: usize,
    from: Option<usize>,
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
