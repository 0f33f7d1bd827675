//! Linear maps over the last axis, y = x W^T + b, and their input gradient.

use super::gemv;
use super::matmul::{Matrix, matmul};
use crate::tensor::Real;
use rayon::prelude::*;

/// Outputs (or inputs, for the gradient) that a task computes, for all rows.
const COLUMNS_PER_TASK: usize = 64;

/// x W^T + b: `x` rows x inputs, `w` out x inputs, `bias` out; the result is rows x out.
pub fn forward<T: Real>(rows: usize, inputs: usize, out: usize, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    if let (Some(x), Some(w)) = (T::singles(x), T::singles(w)) {
        return T::of_singles(gemv::forward(rows, inputs, out, x, w, bias.and_then(T::singles)));
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
pub fn input_gradient<T: Real>(rows: usize, inputs: usize, out: usize, dy: &[T], w: &[T]) -> Vec<T> {
    if let (Some(dy), Some(w)) = (T::singles(dy), T::singles(w)) {
        return T::of_singles(gemv::input_gradient(rows, inputs, out, dy, w));
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
