//! Linear maps over the last axis, y = x W^T + b, and their input gradient.

use super::disjoint::vec_filled_by;
use super::gemv;
use super::matmul::{Matrix, matmul};
use super::row_gemm::{self, PackedColumns, RowEpilogue};
use crate::tensor::Real;
use rayon::prelude::*;

/// Outputs (or inputs, for the gradient) that a task computes, for all rows.
const COLUMNS_PER_TASK: usize = 64;

/// The sizes of a linear map over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Samples.
    pub batch: usize,
    /// Rows of a sample. One row's product is bound by memory, many rows' by arithmetic: they have kernels of their own.
    pub positions: usize,
    /// Values of a row of the input.
    pub inputs: usize,
    /// Values of a row of the output.
    pub out: usize,
}

impl Sizes {
    /// Rows of all samples.
    pub fn rows(&self) -> usize {
        self.batch * self.positions
    }
}

/// The weights of a linear map over positions, packed for one direction: W^T forward, W for the input gradient.
#[derive(Debug)]
pub struct PackedLinear {
    columns: PackedColumns,
    outputs: usize,
}

impl PackedLinear {
    /// For y = x W^T; `w` out x inputs.
    pub fn forward(inputs: usize, out: usize, w: &[f32]) -> Self {
        PackedLinear { columns: PackedColumns::new(Matrix::rows(w, inputs).transposed(), inputs, out), outputs: out }
    }

    /// For dx = dy W; `w` out x inputs.
    pub fn input_gradient(inputs: usize, out: usize, w: &[f32]) -> Self {
        PackedLinear { columns: PackedColumns::new(Matrix::rows(w, inputs), out, inputs), outputs: inputs }
    }

    /// The product of `x`, `rows` rows of neighbouring values, through the epilogue.
    ///
    /// # Panics
    /// Where `x` is shorter than its rows: a defect of the caller.
    pub fn run(&self, rows: usize, x: &[f32], epilogue: &RowEpilogue<'_>) -> Vec<f32> {
        let depth = self.columns.depth();
        // SAFETY: the product covers all rows and columns.
        unsafe {
            vec_filled_by(rows * self.outputs, |y| {
                row_gemm::multiply(rows, Matrix::rows(x, depth), &self.columns, epilogue, y, self.outputs);
            })
        }
    }
}

/// x W^T + b: `x` rows x inputs, `w` out x inputs, `bias` out; the result is rows x out.
pub fn forward<T: Real>(sizes: Sizes, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    let Sizes { positions, inputs, out, .. } = sizes;
    let rows = sizes.rows();
    if let (Some(x), Some(w)) = (T::singles(x), T::singles(w)) {
        let bias = bias.and_then(T::singles);
        if positions == 1 {
            return T::of_singles(gemv::forward(rows, inputs, out, x, w, bias));
        }
        let epilogue = RowEpilogue { bias: bias.unwrap_or_default(), ..Default::default() };
        return T::of_singles(PackedLinear::forward(inputs, out, w).run(rows, x, &epilogue));
    }
    let y = blocks(rows, out, |from, n, y| {
        if let Some(b) = bias {
            y.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(&b[from..from + n]));
        }
        let w = Matrix::rows(&w[from * inputs..(from + n) * inputs], inputs).transposed();
        matmul(rows, n, inputs, y, n, bias.is_some(), Matrix::rows(x, inputs), w);
    });
    concat_columns(rows, out, &y)
}

/// dL/dx, given `dy` = dL/dy: `dy` rows x out, `w` out x inputs; the result is rows x inputs.
pub fn input_gradient<T: Real>(sizes: Sizes, dy: &[T], w: &[T]) -> Vec<T> {
    let Sizes { positions, inputs, out, .. } = sizes;
    let rows = sizes.rows();
    if let (Some(dy), Some(w)) = (T::singles(dy), T::singles(w)) {
        if positions == 1 {
            return T::of_singles(gemv::input_gradient(rows, inputs, out, dy, w));
        }
        return T::of_singles(PackedLinear::input_gradient(inputs, out, w).run(rows, dy, &RowEpilogue::default()));
    }
    let dx = blocks(rows, inputs, |from, n, dx| {
        let w = Matrix { data: &w[from..], row: inputs, column: 1 };
        matmul(rows, n, out, dx, n, false, Matrix::rows(dy, out), w);
    });
    concat_columns(rows, inputs, &dx)
}

/// Calls `f(first column, columns, block)` for each block of columns of the result; a block is rows x columns.
fn blocks<T: Real>(rows: usize, columns: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) -> Vec<Vec<T>> {
    (0..columns.div_ceil(COLUMNS_PER_TASK))
        .into_par_iter()
        .map(|b| {
            let n = COLUMNS_PER_TASK.min(columns - b * COLUMNS_PER_TASK);
            let mut out = vec![T::zero(); rows * n];
            f(b * COLUMNS_PER_TASK, n, &mut out);
            out
        })
        .collect()
}

/// The blocks side by side.
fn concat_columns<T: Real>(rows: usize, columns: usize, blocks: &[Vec<T>]) -> Vec<T> {
    if rows == 1 {
        return blocks.concat();
    }
    let mut all = Vec::with_capacity(rows * columns);
    for r in 0..rows {
        blocks.iter().for_each(|b| {
            let n = b.len() / rows;
            all.extend_from_slice(&b[r * n..(r + 1) * n]);
        });
    }
    all
}
