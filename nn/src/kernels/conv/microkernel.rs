//! The micro-kernel of all f32 convolutions: a panel of up to MR = 8 output channels times up to NR = 3 vectors of columns.
//!
//! Every result is a sum in one order: blocks of KC = 128 products, each a chain of fused multiply-adds from zero, are added
//! up one after another, and the bias is added at the end. There is no other order, whatever the tile, the number of threads,
//! the batch or the width of the machine's vectors, so that all of them give the same bits. The blocks keep rounding errors
//! small where sums are long.

use super::epilogue::{Clamp, Combine, Epilogue, EpilogueRow, clamp_vector};
use super::narrow::{MAX_COLUMNS, last_columns, narrow_columns};
use crate::simd::{MAX_LANES, arch, lanes};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Rows of a weight panel: output channels that are computed together.
pub(in crate::kernels) const MR: usize = 8;
/// Products that are summed by themselves before they are added to the rest.
pub(in crate::kernels) const KC: usize = 128;
/// Prefetch distance, in weights: about one main-memory latency ahead.
const PREFETCH: usize = 128 * MR;
/// Vectors of columns in a full tile.
const NR_VECTORS: usize = 3;
/// Columns of the widest tile on any machine.
pub(super) const MAX_NR: usize = NR_VECTORS * MAX_LANES;

/// NR, the columns of a full tile on this machine.
pub(in crate::kernels) fn nr() -> usize {
    NR_VECTORS * lanes()
}

/// Where the rows of the column matrix, K x NR, lie.
#[derive(Clone, Copy)]
pub(super) enum RowOffsets<'a> {
    /// Constant row pitch in packed columns.
    Packed(usize),
    /// Constant row pitch in the unpacked input; the next tile is prefetched.
    Unpacked(usize),
    /// Row k this many values after row 0.
    Listed(&'a [usize]),
}

/// One tile of the result: its columns and where it is stored.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// Row 0 of the column matrix; NR values can be read from the start of each row.
    pub columns: *const f32,
    /// Where the other rows lie.
    pub row_offsets: RowOffsets<'a>,
    /// Columns that are stored, at most [`nr`].
    pub count: usize,
    /// The first value of the result; row r begins at `out + r * out_pitch`.
    pub out: *mut f32,
    /// Values between rows of the result.
    pub out_pitch: usize,
    /// The residual, laid out as the result; not read with [`Combine::None`].
    pub residual: *const f32,
    /// How a result is combined with the residual.
    pub combine: Combine,
    /// The range that the combined value is clamped to.
    pub clamp: Clamp,
}

impl Tile<'_> {
    /// The tile from result row `first` on.
    #[inline(always)]
    unsafe fn by_row(&self, first: usize) -> Self {
        let by = first * self.out_pitch;
        // SAFETY: the caller's: the row exists.
        let residual = if self.combine == Combine::None { self.residual } else { unsafe { self.residual.add(by) } };
        // SAFETY: as above.
        let out = unsafe { self.out.add(by) };
        Tile { out, residual, ..*self }
    }
}

/// Weight panels times one tile of columns.
pub(super) struct PanelGemm<'a> {
    /// Panels of [`MR`] rows: for each k the weights of the panel's rows.
    pub panels: &'a [f32],
    /// K, the length of the sums.
    pub depth: usize,
    /// Rows that are stored, over all panels.
    pub rows: usize,
    /// One value a row; zeros where empty.
    pub bias: &'a [f32],
    /// The columns, and where the results go.
    pub tile: Tile<'a>,
}

impl PanelGemm<'_> {
    /// Computes every row, on this thread.
    ///
    /// # Safety
    /// The tile's columns and residual must be readable as it says, its results writable and touched by no other thread.
    pub unsafe fn run(self) {
        assert!(self.panels.len() >= self.rows.next_multiple_of(MR) * self.depth, "the panels are too short");
        if let RowOffsets::Listed(rows) = self.tile.row_offsets {
            assert!(rows.len() >= self.depth, "too few row offsets");
        }
        assert!(self.bias.is_empty() || self.bias.len() >= self.rows, "the bias is too short");
        arch().dispatch(self);
    }
}

impl WithSimd for PanelGemm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let narrow = narrow_columns(self.tile.count, S::F32_LANES);
        let wide = self.tile.count - narrow;
        // SAFETY: `run` checked the panels, its caller guarantees the tile.
        unsafe {
            match narrow {
                0 => {}
                1 => last_columns::<1>(&self, wide),
                2 => last_columns::<2>(&self, wide),
                3 => last_columns::<3>(&self, wide),
                _ => last_columns::<MAX_COLUMNS>(&self, wide),
            }
        }
        if wide == 0 {
            return;
        }
        let tile = Tile { count: wide, ..self.tile };
        for first in (0..self.rows).step_by(MR) {
            let rows = MR.min(self.rows - first);
            let mut bias = [0.0; MR];
            if let Some(own) = self.bias.get(first..first + rows) {
                bias[..rows].copy_from_slice(own);
            }
            let panel = self.panels[first * self.depth..].as_ptr();
            // SAFETY: `run` checked the panels, its caller guarantees the tile; rows stay below `self.rows`.
            unsafe { register_blocks(simd, self.depth, panel, &tile.by_row(first), &bias, rows) }
        }
    }
}

/// One panel times one tile, in register blocks that fit the machine.
#[inline(always)]
unsafe fn register_blocks<S: Simd>(
    simd: S,
    depth: usize,
    panel: *const f32,
    tile: &Tile<'_>,
    bias: &[f32; MR],
    rows: usize,
) {
    let vectors = tile.count.div_ceil(S::F32_LANES);
    // SAFETY: the caller's.
    unsafe {
        if S::REGISTER_COUNT >= 32 && rows > MR / 2 {
            match vectors {
                1 => dispatch_tile::<S, 8, 1>(simd, depth, panel, tile, bias, rows),
                2 => dispatch_tile::<S, 8, 2>(simd, depth, panel, tile, bias, rows),
                _ => dispatch_tile::<S, 8, 3>(simd, depth, panel, tile, bias, rows),
            }
            return;
        }
        for first in (0..rows).step_by(4) {
            let tile = tile.by_row(first);
            let (panel, rows) = (panel.add(first), 4.min(rows - first));
            match vectors {
                // The three channels of an image.
                3 if rows == 3 => dispatch_tile::<S, 3, 3>(simd, depth, panel, &tile, &bias[first..], rows),
                1 => dispatch_tile::<S, 4, 1>(simd, depth, panel, &tile, &bias[first..], rows),
                2 => dispatch_tile::<S, 4, 2>(simd, depth, panel, &tile, &bias[first..], rows),
                _ => dispatch_tile::<S, 4, 3>(simd, depth, panel, &tile, &bias[first..], rows),
            }
        }
    }
}

/// M rows by V vectors of columns, with the row offsets resolved at compile time.
#[inline(always)]
unsafe fn dispatch_tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    depth: usize,
    panel: *const f32,
    tile: &Tile<'_>,
    bias: &[f32],
    rows: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        match tile.row_offsets {
            RowOffsets::Packed(pitch) => micro_kernel::<S, M, V>(simd, depth, panel, tile, |k| k * pitch, bias, rows),
            RowOffsets::Unpacked(pitch) => {
                let row = |k: usize| {
                    let next = tile.columns.wrapping_add(k * pitch + V * S::F32_LANES);
                    (0..V).for_each(|v| prefetch(next.wrapping_add(v * S::F32_LANES)));
                    k * pitch
                };
                micro_kernel::<S, M, V>(simd, depth, panel, tile, row, bias, rows)
            }
            RowOffsets::Listed(at) => {
                micro_kernel::<S, M, V>(simd, depth, panel, tile, |k| *at.get_unchecked(k), bias, rows)
            }
        }
    }
}

/// The sums of M rows by V vectors of columns, then their epilogue and store. `row(k)` is the offset of row k of the columns.
#[inline(always)]
unsafe fn micro_kernel<S: Simd, const M: usize, const V: usize>(
    simd: S,
    depth: usize,
    panel: *const f32,
    tile: &Tile<'_>,
    row: impl Fn(usize) -> usize,
    bias: &[f32],
    rows: usize,
) {
    let lanes = S::F32_LANES;
    // SAFETY: the caller's: `depth` groups of MR weights, `depth` rows of V vectors, `rows` rows of results.
    unsafe {
        let mut total = accumulate_kc::<S, M, V>(simd, 0..depth.min(KC), panel, tile.columns, &row);
        for first in (KC..depth).step_by(KC) {
            let acc = accumulate_kc::<S, M, V>(simd, first..depth.min(first + KC), panel, tile.columns, &row);
            for (total, acc) in total.iter_mut().zip(&acc) {
                total.iter_mut().zip(acc).for_each(|(t, a)| *t = simd.add_f32s(*t, *a));
            }
        }
        if rows == M && tile.count == V * lanes {
            match tile.combine {
                Combine::None => store_full(simd, &total, bias, tile, |x, _| x),
                Combine::Add => store_full(simd, &total, bias, tile, |x, r| Combine::Add.vector_at(simd, x, r)),
                mask => store_full(simd, &total, bias, tile, |x, r| mask.vector_at(simd, x, r)),
            }
            return;
        }
        for (m, (row, bias)) in total.iter().zip(bias).enumerate().take(rows) {
            for (v, value) in row.iter().enumerate() {
                let at = m * tile.out_pitch + v * lanes;
                let count = lanes.min(tile.count - v * lanes);
                let mut part = [0.0f32; MAX_LANES];
                (part.as_mut_ptr() as *mut S::f32s).write_unaligned(simd.add_f32s(*value, simd.splat_f32s(*bias)));
                let residual = match tile.combine {
                    Combine::None => &[][..],
                    _ => std::slice::from_raw_parts(tile.residual.add(at), count),
                };
                let epilogue = Epilogue { residual, combine: tile.combine, clamp: tile.clamp, activation: None };
                let to = std::slice::from_raw_parts_mut(tile.out.add(at), count);
                EpilogueRow { from: &part[..count], epilogue, to }.with_simd(simd);
            }
        }
    }
}

/// Stores a full tile. Loops of fixed length without an early exit let the sums stay in registers.
#[inline(always)]
unsafe fn store_full<S: Simd, const M: usize, const V: usize>(
    simd: S,
    total: &[[S::f32s; V]; M],
    bias: &[f32],
    tile: &Tile<'_>,
    combine: impl Fn(S::f32s, *const f32) -> S::f32s,
) {
    let (low, high) = tile.clamp.bounds();
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    for (m, row) in total.iter().enumerate() {
        for (v, sum) in row.iter().enumerate() {
            let at = m * tile.out_pitch + v * S::F32_LANES;
            // SAFETY: the caller's: every row and vector of the tile counts.
            unsafe {
                let value = simd.add_f32s(*sum, simd.splat_f32s(*bias.get_unchecked(m)));
                let value = clamp_vector(simd, combine(value, tile.residual.wrapping_add(at)), low, high);
                (tile.out.add(at) as *mut S::f32s).write_unaligned(value);
            }
        }
    }
}

/// Prefetches the cache line of a value that will be read soon, where the machine can.
#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read; an invalid address is ignored.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at as *const i8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The sums over one block of at most KC products, each a chain of fused multiply-adds.
#[inline(always)]
unsafe fn accumulate_kc<S: Simd, const M: usize, const V: usize>(
    simd: S,
    ks: Range<usize>,
    panel: *const f32,
    columns: *const f32,
    row: &impl Fn(usize) -> usize,
) -> [[S::f32s; V]; M] {
    let mut acc = [[simd.splat_f32s(0.0); V]; M];
    // SAFETY: the caller's, as above.
    unsafe {
        let mut a = panel.add(ks.start * MR);
        for k in ks {
            let b = columns.add(row(k));
            prefetch(a.wrapping_add(PREFETCH));
            let mut x = [simd.splat_f32s(0.0); V];
            for (v, x) in x.iter_mut().enumerate() {
                *x = (b.add(v * S::F32_LANES) as *const S::f32s).read_unaligned();
            }
            for (m, row) in acc.iter_mut().enumerate() {
                let w = simd.splat_f32s(*a.add(m));
                for (sum, x) in row.iter_mut().zip(&x) {
                    *sum = simd.mul_add_f32s(w, *x, *sum);
                }
            }
            a = a.add(MR);
        }
    }
    acc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_machine_without_vectors_gets_the_same_bits() {
        let mut rng = Stream::new(0, "tile");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        let pitch = nr();
        // Three columns are a full tile where vectors hold one value.
        for (rows, depth, count) in
            [(1usize, 5, 3), (4, 130, 3), (7, 128, 3), (8, 300, 3), (61, 300, 1), (8, 17, 2), (37, 129, 3)]
        {
            let padded = rows.next_multiple_of(MR);
            let (panels, columns, bias) = (random(padded * depth), random(depth * pitch), random(rows));
            let mut made = [vec![0.0f32; padded * pitch], vec![0.0f32; padded * pitch]];
            for (plain, out) in made.iter_mut().enumerate() {
                let tile = Tile {
                    columns: columns.as_ptr(),
                    row_offsets: RowOffsets::Packed(pitch),
                    count,
                    out: out.as_mut_ptr(),
                    out_pitch: pitch,
                    residual: std::ptr::null(),
                    combine: Combine::None,
                    clamp: Clamp::Relu,
                };
                let gemm = PanelGemm { panels: &panels, depth, rows, bias: &bias, tile };
                if plain == 1 { gemm.with_simd(pulp::Scalar) } else { arch().dispatch(gemm) }
            }
            assert_eq!(made[0], made[1], "{rows} {depth} {count}");
        }
    }
}
