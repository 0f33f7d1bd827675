//! The last columns of a tile where they are few, such as the 49th of a 7 x 7 map after 48: the vector holds the rows of a panel
//! instead of columns, of which most lanes would be empty. The sums are those of the micro-kernel, in its order.

use super::epilogue::Combine;
use super::microkernel::{KC, MR, PanelGemm, RowOffsets, Tile};
use crate::simd::lanes;

/// Panels whose sums are kept in registers together.
const PANELS: usize = 4;
/// The largest number of columns that are computed this way.
pub(super) const MAX_COLUMNS: usize = 4;

/// How many of the last of `count` columns are computed this way: the remainder modulo a vector's lanes, where that is at most a
/// quarter of a vector.
#[inline(always)]
pub(super) fn narrow_columns(count: usize, lanes: usize) -> usize {
    let rest = count % lanes;
    if rest <= (lanes / 4).min(MAX_COLUMNS) { rest } else { 0 }
}

/// The columns to store for `count` results in a buffer with room for whole vectors.
pub(super) fn buffered_columns(count: usize) -> usize {
    if narrow_columns(count, lanes()) > 0 { count } else { count.next_multiple_of(lanes()) }
}

/// Rows of all panels times C columns of `gemm` from column `first` on.
///
/// # Safety
/// As [`PanelGemm::run`].
#[inline(always)]
pub(super) unsafe fn last_columns<const C: usize>(gemm: &PanelGemm<'_>, first: usize) {
    // SAFETY: the caller's.
    unsafe {
        match gemm.tile.row_offsets {
            RowOffsets::Packed(pitch) | RowOffsets::Unpacked(pitch) => panels::<C>(gemm, first, |k| k * pitch),
            RowOffsets::Listed(at) => panels::<C>(gemm, first, |k| *at.get_unchecked(k)),
        }
    }
}

/// # Safety
/// As [`last_columns`]; `row(k)` is the offset of row k of the columns.
#[inline(always)]
unsafe fn panels<const C: usize>(gemm: &PanelGemm<'_>, first: usize, row: impl Fn(usize) -> usize) {
    let count = gemm.rows.div_ceil(MR);
    let mut panel = 0;
    while panel < count {
        // SAFETY: the caller's.
        unsafe {
            panel += match count - panel {
                PANELS.. => some_panels::<PANELS, C>(gemm, panel, first, &row),
                2.. => some_panels::<2, C>(gemm, panel, first, &row),
                _ => some_panels::<1, C>(gemm, panel, first, &row),
            };
        }
    }
}

/// P panels from number `panel` on; returns P.
///
/// # Safety
/// As [`panels`].
#[inline(always)]
unsafe fn some_panels<const P: usize, const C: usize>(
    gemm: &PanelGemm<'_>,
    panel: usize,
    first: usize,
    row: &impl Fn(usize) -> usize,
) -> usize {
    let (depth, tile) = (gemm.depth, &gemm.tile);
    // SAFETY: the caller's.
    unsafe {
        let weights: [*const f32; P] =
            std::array::from_fn(|p| gemm.panels.as_ptr().wrapping_add((panel + p) * MR * depth));
        let mut total = [[[0.0f32; MR]; C]; P];
        for begin in (0..depth).step_by(KC) {
            let mut acc = [[[0.0f32; MR]; C]; P];
            for k in begin..depth.min(begin + KC) {
                let x = tile.columns.add(row(k) + first);
                for (p, acc) in acc.iter_mut().enumerate() {
                    let w = (weights[p].add(k * MR) as *const [f32; MR]).read();
                    for (c, acc) in acc.iter_mut().enumerate() {
                        let x = *x.add(c);
                        for r in 0..MR {
                            acc[r] = w[r].mul_add(x, acc[r]);
                        }
                    }
                }
            }
            if begin == 0 {
                total = acc;
                continue;
            }
            for (total, acc) in
                total.as_flattened_mut().as_flattened_mut().iter_mut().zip(acc.as_flattened().as_flattened())
            {
                *total += acc;
            }
        }
        for (p, total) in total.iter().enumerate() {
            let begin = (panel + p) * MR;
            for (r, row) in (begin..gemm.rows.min(begin + MR)).enumerate() {
                let bias = gemm.bias.get(row).copied().unwrap_or(0.0);
                let values: [f32; C] = std::array::from_fn(|c| total[c][r] + bias);
                store(tile, row, first, values);
            }
        }
    }
    P
}

/// Stores the results of one row through the epilogue.
///
/// # Safety
/// As [`last_columns`].
#[inline(always)]
unsafe fn store<const C: usize>(tile: &Tile<'_>, row: usize, first: usize, values: [f32; C]) {
    let at = row * tile.out_pitch + first;
    for (c, value) in values.into_iter().enumerate() {
        // SAFETY: the caller's; the residual is read only where there is one.
        unsafe {
            let value = match tile.combine {
                Combine::None => value,
                combine => combine.scalar_at(value, tile.residual.add(at + c)),
            };
            *tile.out.add(at + c) = tile.clamp.scalar(value);
        }
    }
}
