//! Linear maps over the last axis: y = x W^T + b, and their input gradient.

use super::dot;
use super::matmul::{Matrix, matmul};
use crate::tensor::Real;
use rayon::prelude::*;

/// Outputs (or inputs, for the gradient) that one task computes for all rows.
const BLOCK: usize = 64;

/// `x` rows x inputs, `w` out x inputs, result rows x out.
pub fn forward<T: Real>(rows: usize, inputs: usize, out: usize, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    if let (Some(x), Some(w)) = (T::singles(x), T::singles(w)) {
        return T::of_singles(dot::forward(rows, inputs, out, x, w, bias.and_then(T::singles)));
    }
    let y = blocks(rows, out, |from, n, y| {
        if let Some(b) = bias {
            y.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(&b[from..from + n]));
        }
        let w = Matrix::rows(&w[from * inputs..(from + n) * inputs], inputs).transposed();
        matmul(rows, n, inputs, y, n, bias.is_some(), Matrix::rows(x, inputs), w);
    });
    join(rows, out, &y)
}

/// `dy` rows x out, `w` out x inputs, result rows x inputs.
pub fn input_gradient<T: Real>(rows: usize, inputs: usize, out: usize, dy: &[T], w: &[T]) -> Vec<T> {
    if let (Some(dy), Some(w)) = (T::singles(dy), T::singles(w)) {
        return T::of_singles(dot::input_gradient(rows, inputs, out, dy, w));
    }
    let dx = blocks(rows, inputs, |from, n, dx| {
        let w = Matrix { data: &w[from..], row: inputs, column: 1 };
        matmul(rows, n, out, dx, n, false, Matrix::rows(dy, out), w);
    });
    join(rows, inputs, &dx)
}

/// Computes blocks of columns apart, each rows x n.
fn blocks<T: Real>(rows: usize, columns: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) -> Vec<Vec<T>> {
    (0..columns.div_ceil(BLOCK))
        .into_par_iter()
        .map(|b| {
            let n = BLOCK.min(columns - b * BLOCK);
            let mut out = vec![T::zero(); rows * n];
            f(b * BLOCK, n, &mut out);
            out
        })
        .collect()
}

fn join<T: Real>(rows: usize, columns: usize, blocks: &[Vec<T>]) -> Vec<T> {
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
