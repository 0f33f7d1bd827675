//! The register tiles of a product: some rows times one block of packed columns, and the epilogue.

use super::rows::{ColumnOffsets, Rows, VECTORS};
use crate::kernels::conv::microkernel::KC;
use crate::simd::Lane;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Some rows times one block of columns.
pub(super) struct BlockProduct<'a, T> {
    pub rows: usize,
    pub depth: usize,
    /// From the first of the rows on.
    pub a: Rows<'a, T>,
    /// The packed block.
    pub columns: &'a [T],
    /// Columns that are stored.
    pub count: usize,
    pub bias: &'a [T],
    pub is_added: bool,
    /// From the first of the results on; not read where empty.
    pub residual: &'a [T],
    pub low: f32,
    pub high: f32,
    pub out: *mut T,
    pub out_row: usize,
}

impl<T: Lane> WithSimd for BlockProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut bias = [T::splat(simd, T::default()); VECTORS];
        for (v, part) in self.bias.chunks(T::lanes::<S>()).enumerate() {
            bias[v] = T::partial_load(simd, part);
        }
        match self.count.div_ceil(T::lanes::<S>()) {
            1 => self.all_rows::<S, 1>(simd, [bias[0]]),
            2 => self.all_rows::<S, 2>(simd, [bias[0], bias[1]]),
            _ => self.all_rows::<S, VECTORS>(simd, bias),
        }
    }
}

impl<T: Lane> BlockProduct<'_, T> {
    /// All rows times V vectors, eight rows at a time where there are as many registers.
    #[inline(always)]
    fn all_rows<S: Simd, const V: usize>(&self, simd: S, bias: [T::Vector<S>; V]) {
        let mut row = 0;
        while row < self.rows {
            let left = self.rows - row;
            // SAFETY: `multiply` checked the operands; its caller guarantees the result.
            unsafe {
                row += match left {
                    8.. if S::REGISTER_COUNT >= 32 => self.rows::<S, 8, V>(simd, row, bias),
                    4.. => self.rows::<S, 4, V>(simd, row, bias),
                    2.. => self.rows::<S, 2, V>(simd, row, bias),
                    _ => self.rows::<S, 1, V>(simd, row, bias),
                };
            }
        }
    }

    /// [`BlockProduct::tile`], with the offsets of columns resolved at compile time.
    #[inline(always)]
    unsafe fn rows<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        row: usize,
        bias: [T::Vector<S>; V],
    ) -> usize {
        // SAFETY: the caller's.
        unsafe {
            match self.a.columns {
                ColumnOffsets::Apart(column) => self.tile::<S, M, V>(simd, row, |k| k * column, bias),
                ColumnOffsets::Listed(at) => self.tile::<S, M, V>(simd, row, |k| *at.get_unchecked(k), bias),
            }
        }
    }

    /// M rows from `row` on times V vectors of columns; returns M.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        row: usize,
        column: impl Fn(usize) -> usize,
        bias: [T::Vector<S>; V],
    ) -> usize {
        // SAFETY: the caller's: the operands hold these rows, and `depth` rows of a block's width.
        unsafe {
            let a = self.a.data.as_ptr().wrapping_add(row * self.a.row);
            let mut total = self.sums_kc::<S, M, V>(simd, a, &column, 0..self.depth.min(KC));
            for first in (KC..self.depth).step_by(KC) {
                let sums = self.sums_kc::<S, M, V>(simd, a, &column, first..self.depth.min(first + KC));
                for (total, sums) in total.iter_mut().zip(&sums) {
                    total.iter_mut().zip(sums).for_each(|(t, s)| *t = T::add(simd, *t, *s));
                }
            }
            for (m, sums) in total.iter().enumerate() {
                for v in 0..V {
                    let at = (row + m) * self.out_row + v * T::lanes::<S>();
                    let (to, residual) = (self.out.add(at), self.residual.as_ptr().wrapping_add(at));
                    let mut value = T::add(simd, sums[v], bias[v]);
                    let count = T::lanes::<S>().min(self.count - v * T::lanes::<S>());
                    if count == T::lanes::<S>() {
                        if self.is_added {
                            value = T::add(simd, (to as *const T::Vector<S>).read_unaligned(), value);
                        }
                        if !self.residual.is_empty() {
                            value = T::add(simd, value, (residual as *const T::Vector<S>).read_unaligned());
                        }
                        value = T::clamp(simd, value, self.low, self.high);
                        (to as *mut T::Vector<S>).write_unaligned(value);
                        continue;
                    }
                    let to = std::slice::from_raw_parts_mut(to, count);
                    if self.is_added {
                        value = T::add(simd, T::partial_load(simd, to), value);
                    }
                    if !self.residual.is_empty() {
                        let residual = std::slice::from_raw_parts(residual, count);
                        value = T::add(simd, value, T::partial_load(simd, residual));
                    }
                    T::partial_store(simd, to, T::clamp(simd, value, self.low, self.high));
                }
            }
        }
        M
    }

    /// The sums over one block of at most KC products, each a chain of fused multiply-adds.
    #[inline(always)]
    unsafe fn sums_kc<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        a: *const T,
        column: &impl Fn(usize) -> usize,
        ks: Range<usize>,
    ) -> [[T::Vector<S>; V]; M] {
        let mut acc = [[T::splat(simd, T::default()); V]; M];
        let (row, width) = (self.a.row, VECTORS * T::lanes::<S>());
        // SAFETY: the caller's.
        unsafe {
            let mut b = self.columns.as_ptr().add(ks.start * width);
            for k in ks {
                let a = a.add(column(k));
                let mut x = [T::splat(simd, T::default()); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = (b.add(v * T::lanes::<S>()) as *const T::Vector<S>).read_unaligned();
                }
                for (m, acc) in acc.iter_mut().enumerate() {
                    let w = T::splat(simd, *a.add(m * row));
                    for (sum, x) in acc.iter_mut().zip(&x) {
                        *sum = T::mul_add(simd, w, *x, *sum);
                    }
                }
                b = b.add(width);
            }
        }
        acc
    }
}
