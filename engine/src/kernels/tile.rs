//! The register tile that f32 convolutions are made of: up to eight rows of outputs by up to three vectors of columns.
//!
//! Every value is a sum in one order: the bias, then, added to it one after another, stretches of 128 products, each
//! stretch a chain of fused multiply-adds from zero. No other order exists, whatever the tile, the number of threads, the
//! batch or the width of the machine's vectors, so that all of them give the same bits. Stretches keep rounding errors
//! small where sums are long.

use super::finish::{Finish, Join, Line, clip};
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
use std::sync::OnceLock;

/// Rows of a panel of packed weights.
pub const ROWS: usize = 8;
/// Products that are summed by themselves before they join the rest.
pub const STRETCH: usize = 128;
/// Weights between those that are multiplied and those that are fetched meanwhile: reading them from far away takes as long.
const AHEAD: usize = 128 * ROWS;
/// Vectors of columns in a full tile.
const VECTORS: usize = 3;
/// Columns of the widest tile on any machine.
pub(super) const WIDEST: usize = VECTORS * 16;

/// The machine's vector instructions, detected once.
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(Arch::new)
}

/// Values of a vector on this machine.
pub fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    static LANES: OnceLock<usize> = OnceLock::new();
    // A wider machine than any known would still use sixteen lanes of its vectors.
    *LANES.get_or_init(|| arch().dispatch(Lanes).min(WIDEST / VECTORS))
}

/// Columns of a full tile on this machine.
pub fn width() -> usize {
    VECTORS * lanes()
}

/// Where inner rows of columns lie.
#[derive(Clone, Copy)]
pub enum Inner<'a> {
    /// Row k this many values times k behind the first.
    Every(usize),
    /// As every, in an input that is read where it lies: what stands there for the next tile is fetched meanwhile.
    Apart(usize),
    /// Row k as many values behind the first as stands at k.
    At(&'a [usize]),
}

/// A block of columns and where its results go.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// Where inner row 0 begins; a full tile of columns can be read in each.
    pub columns: *const f32,
    /// Where the other inner rows begin.
    pub inner: Inner<'a>,
    /// Columns that count, at most [`width`].
    pub count: usize,
    /// Result row r begins at `out + r * out_pitch`.
    pub out: *mut f32,
    /// Distance between result rows.
    pub out_pitch: usize,
    /// What [`Join`] reads, laid out as the results.
    pub other: *const f32,
    /// What happens to a value before it is finished.
    pub join: Join,
    /// What happens to a value before it is written.
    pub finish: Finish,
}

impl Block<'_> {
    /// The block from result row `first` on.
    #[inline(always)]
    unsafe fn at_row(&self, first: usize) -> Self {
        let by = first * self.out_pitch;
        // SAFETY: the caller's: the row exists.
        let other = if self.join == Join::Alone { self.other } else { unsafe { self.other.add(by) } };
        Block { out: unsafe { self.out.add(by) }, other, ..*self }
    }
}

/// Packed panels times a block of columns.
pub struct Product<'a> {
    /// Panels of [`ROWS`] rows: for each inner index the panel's rows.
    pub panels: &'a [f32],
    /// Length of the inner axis.
    pub inner: usize,
    /// Rows that count, over all panels.
    pub rows: usize,
    /// What each row's chain begins with; zeros where empty.
    pub bias: &'a [f32],
    /// The columns, and where the results go.
    pub block: Block<'a>,
}

impl Product<'_> {
    /// Computes every row, on this thread.
    ///
    /// # Safety
    /// The block's columns and what it joins must be readable as it says, its results writable and touched by no other thread.
    pub unsafe fn run(self) {
        assert!(self.panels.len() >= self.rows.next_multiple_of(ROWS) * self.inner, "the panels are too short");
        if let Inner::At(rows) = self.block.inner {
            assert!(rows.len() >= self.inner, "too few inner rows");
        }
        assert!(self.bias.is_empty() || self.bias.len() >= self.rows, "the bias is too short");
        arch().dispatch(self);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for first in (0..self.rows).step_by(ROWS) {
            let rows = ROWS.min(self.rows - first);
            let mut start = [0.0; ROWS];
            if let Some(bias) = self.bias.get(first..first + rows) {
                start[..rows].copy_from_slice(bias);
            }
            let panel = self.panels[first * self.inner..].as_ptr();
            // SAFETY: `run` checked the panels, its caller vouches for the block; rows stay below `self.rows`.
            unsafe { tile(simd, self.inner, panel, &self.block.at_row(first), &start, rows) }
        }
    }
}

/// One panel times one block, in parts that fit the machine's registers.
#[inline(always)]
unsafe fn tile<S: Simd>(simd: S, inner: usize, panel: *const f32, block: &Block<'_>, start: &[f32; ROWS], rows: usize) {
    let vectors = block.count.div_ceil(S::F32_LANES);
    // SAFETY: the caller's.
    unsafe {
        if S::REGISTER_COUNT >= 32 && rows > ROWS / 2 {
            match vectors {
                1 => sized::<S, 8, 1>(simd, inner, panel, block, start, rows),
                2 => sized::<S, 8, 2>(simd, inner, panel, block, start, rows),
                _ => sized::<S, 8, 3>(simd, inner, panel, block, start, rows),
            }
            return;
        }
        for first in (0..rows).step_by(4) {
            let block = block.at_row(first);
            let (panel, rows) = (panel.add(first), 4.min(rows - first));
            match vectors {
                // The channels of a photo.
                3 if rows == 3 => sized::<S, 3, 3>(simd, inner, panel, &block, &start[first..], rows),
                1 => sized::<S, 4, 1>(simd, inner, panel, &block, &start[first..], rows),
                2 => sized::<S, 4, 2>(simd, inner, panel, &block, &start[first..], rows),
                _ => sized::<S, 4, 3>(simd, inner, panel, &block, &start[first..], rows),
            }
        }
    }
}

/// The chains of M rows by V vectors of columns, then their finish.
#[inline(always)]
unsafe fn sized<S: Simd, const M: usize, const V: usize>(
    simd: S,
    inner: usize,
    panel: *const f32,
    block: &Block<'_>,
    start: &[f32],
    rows: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        match block.inner {
            Inner::Every(pitch) => summed::<S, M, V>(simd, inner, panel, block, |k| k * pitch, start, rows),
            Inner::Apart(pitch) => {
                let row = |k: usize| {
                    let next = block.columns.wrapping_add(k * pitch + V * S::F32_LANES);
                    (0..V).for_each(|v| fetch(next.wrapping_add(v * S::F32_LANES)));
                    k * pitch
                };
                summed::<S, M, V>(simd, inner, panel, block, row, start, rows)
            }
            Inner::At(at) => summed::<S, M, V>(simd, inner, panel, block, |k| *at.get_unchecked(k), start, rows),
        }
    }
}

#[inline(always)]
unsafe fn summed<S: Simd, const M: usize, const V: usize>(
    simd: S,
    inner: usize,
    panel: *const f32,
    block: &Block<'_>,
    row: impl Fn(usize) -> usize,
    start: &[f32],
    rows: usize,
) {
    let lanes = S::F32_LANES;
    // SAFETY: the caller's: `inner` panel columns of ROWS values, `inner` rows of V vectors, `rows` rows of results.
    unsafe {
        let mut total = stretch::<S, M, V>(simd, 0..inner.min(STRETCH), panel, block.columns, &row);
        for first in (STRETCH..inner).step_by(STRETCH) {
            let acc = stretch::<S, M, V>(simd, first..inner.min(first + STRETCH), panel, block.columns, &row);
            for (total, acc) in total.iter_mut().zip(&acc) {
                total.iter_mut().zip(acc).for_each(|(t, a)| *t = simd.add_f32s(*t, *a));
            }
        }
        if rows == M && block.count == V * lanes {
            match block.join {
                Join::Alone => whole(simd, &total, start, block, |x, _| x),
                Join::Add => whole(simd, &total, start, block, |x, other| Join::Add.vector(simd, x, other)),
                gate => whole(simd, &total, start, block, |x, other| gate.vector(simd, x, other)),
            }
            return;
        }
        for (m, (row, start)) in total.iter().zip(start).enumerate().take(rows) {
            for (v, value) in row.iter().enumerate() {
                let at = m * block.out_pitch + v * lanes;
                let count = lanes.min(block.count - v * lanes);
                let mut part = [0.0f32; 16];
                (part.as_mut_ptr() as *mut S::f32s).write_unaligned(simd.add_f32s(*value, simd.splat_f32s(*start)));
                let other = match block.join {
                    Join::Alone => &[][..],
                    _ => std::slice::from_raw_parts(block.other.add(at), count),
                };
                let to = std::slice::from_raw_parts_mut(block.out.add(at), count);
                Line { from: &part[..count], other, join: block.join, finish: block.finish, to }.with_simd(simd);
            }
        }
    }
}

/// Writes a whole tile; loops of fixed length without a way out let the sums stay in registers.
#[inline(always)]
unsafe fn whole<S: Simd, const M: usize, const V: usize>(
    simd: S,
    total: &[[S::f32s; V]; M],
    start: &[f32],
    block: &Block<'_>,
    join: impl Fn(S::f32s, *const f32) -> S::f32s,
) {
    let (low, high) = block.finish.bounds();
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    for (m, row) in total.iter().enumerate() {
        for (v, sum) in row.iter().enumerate() {
            let at = m * block.out_pitch + v * S::F32_LANES;
            // SAFETY: the caller's: every row and vector of the tile counts.
            unsafe {
                let value = simd.add_f32s(*sum, simd.splat_f32s(*start.get_unchecked(m)));
                let value = clip(simd, join(value, block.other.wrapping_add(at)), low, high);
                (block.out.add(at) as *mut S::f32s).write_unaligned(value);
            }
        }
    }
}

/// Asks for a value that will be read soon, where the machine has a word for that.
#[inline(always)]
fn fetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read; an address that does not exist is ignored.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at as *const i8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The chains of one stretch of the inner axis.
#[inline(always)]
unsafe fn stretch<S: Simd, const M: usize, const V: usize>(
    simd: S,
    inner: Range<usize>,
    panel: *const f32,
    columns: *const f32,
    row: &impl Fn(usize) -> usize,
) -> [[S::f32s; V]; M] {
    let mut acc = [[simd.splat_f32s(0.0); V]; M];
    // SAFETY: the caller's, as above.
    unsafe {
        let mut a = panel.add(inner.start * ROWS);
        for k in inner {
            let b = columns.add(row(k));
            fetch(a.wrapping_add(AHEAD));
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
            a = a.add(ROWS);
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
        // Three columns are a full tile where vectors hold one value.
        let (count, pitch) = (3, width());
        for (rows, inner) in [(1, 5), (4, 130), (7, 128), (8, 300)] {
            let (panels, columns, bias) = (random(ROWS * inner), random(inner * pitch), random(rows));
            let mut made = [vec![0.0f32; ROWS * pitch], vec![0.0f32; ROWS * pitch]];
            for (plain, out) in made.iter_mut().enumerate() {
                let block = Block {
                    columns: columns.as_ptr(),
                    inner: Inner::Every(pitch),
                    count,
                    out: out.as_mut_ptr(),
                    out_pitch: pitch,
                    other: std::ptr::null(),
                    join: Join::Alone,
                    finish: Finish::Relu,
                };
                let product = Product { panels: &panels, inner, rows, bias: &bias, block };
                if plain == 1 { product.with_simd(pulp::Scalar) } else { arch().dispatch(product) }
            }
            assert_eq!(made[0], made[1], "{rows} {inner}");
        }
    }
}
