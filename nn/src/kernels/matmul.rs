//! Matrix products of strided views by [`row_gemm`], with the same bits on every machine.

use super::disjoint::DisjointSlice;
use super::row_gemm::{self, ColumnOffsets, PackedColumns, RowEpilogue, Rows};
use crate::tensor::Real;

/// A matrix inside a slice: element (i, j) lies at `i * row + j * column`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    /// The values.
    pub data: &'a [T],
    /// Values between rows.
    pub row: usize,
    /// Values between columns.
    pub column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix with `columns` columns.
    pub fn rows(data: &'a [T], columns: usize) -> Self {
        Matrix { data, row: columns, column: 1 }
    }

    /// The transposed view.
    pub fn transposed(self) -> Self {
        Matrix { row: self.column, column: self.row, ..self }
    }
}

impl<'a, T> From<Matrix<'a, T>> for Rows<'a, T> {
    fn from(m: Matrix<'a, T>) -> Self {
        Rows { data: m.data, row: m.row, columns: ColumnOffsets::Apart(m.column) }
    }
}

/// out (m x n, rows `out_row` apart) = or += a (m x k) b (k x n), in one order of summation.
///
/// # Panics
/// Where a slice is too short for its matrix: a defect of the calling kernel.
#[allow(clippy::too_many_arguments)]
pub fn matmul<T: Real>(
    m: usize,
    n: usize,
    k: usize,
    out: &mut [T],
    out_row: usize,
    add: bool,
    a: Matrix<T>,
    b: Matrix<T>,
) {
    assert!(m == 0 || n == 0 || (m - 1) * out_row + n <= out.len(), "the matrix product's result is too short");
    // SAFETY: the assert keeps all of the result inside `out`.
    unsafe { matmul_into(m, n, k, out.as_mut_ptr(), out_row, add, a, b) }
}

/// As [`matmul`], into memory that other threads may be writing other parts of.
///
/// # Safety
/// Rows of n values, `out_row` apart, m of them, must be writable at `out` and touched by no other thread.
#[allow(clippy::too_many_arguments)]
pub unsafe fn matmul_into<T: Real>(
    m: usize,
    n: usize,
    k: usize,
    out: *mut T,
    out_row: usize,
    add: bool,
    a: Matrix<T>,
    b: Matrix<T>,
) {
    if m == 0 || n == 0 {
        return;
    }
    let last = |x: &Matrix<T>, rows: usize, columns: usize| (rows.max(1) - 1) * x.row + (columns.max(1) - 1) * x.column;
    assert!(
        k == 0 || (last(&a, m, k) < a.data.len() && last(&b, k, n) < b.data.len()),
        "matrix operands are too short"
    );
    let packed = PackedColumns::new(b, k, n);
    let epilogue = RowEpilogue { is_added: add, ..Default::default() };
    // SAFETY: the caller guarantees the result.
    unsafe { row_gemm::multiply(m, a, &packed, &epilogue, DisjointSlice::at_pointer(out), out_row) }
}
