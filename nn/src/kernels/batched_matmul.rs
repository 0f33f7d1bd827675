//! Matrix products over the last two axes of two operands whose other axes broadcast, and their gradients.

use super::matmul::{Matrix, matmul};
use super::rearrange::strides;
use crate::tensor::Real;
use rayon::prelude::*;

/// Which matrices of two operands are multiplied.
pub(super) struct BroadcastPairs {
    /// m, k, n: rows of a, columns of a, columns of b.
    pub sizes: [usize; 3],
    /// For each matrix of the result the number of its matrix of a and of b.
    pub operands: Vec<[usize; 2]>,
}

impl BroadcastPairs {
    /// For operands of shapes `a` and `b`, which broadcast to `to`.
    pub fn new(a: &[usize], b: &[usize], to: &[usize]) -> Self {
        let rank = to.len();
        let of_operand = |dims: &[usize]| -> Vec<usize> {
            let front = &dims[..rank - 2];
            let steps = strides(front);
            let mut all = vec![0];
            for axis in 0..rank - 2 {
                let step = if front[axis] == 1 { 0 } else { steps[axis] };
                all = all.iter().flat_map(|base| (0..to[axis]).map(move |i| base + i * step)).collect();
            }
            all
        };
        let operands = of_operand(a).into_iter().zip(of_operand(b)).map(|(a, b)| [a, b]).collect();
        BroadcastPairs { sizes: [a[rank - 2], a[rank - 1], b[rank - 1]], operands }
    }
}

/// a b; each operand comes with its shape, which has as many axes as that of the result, `to`.
pub fn forward<T: Real>(a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize]) -> Vec<T> {
    let pairs = BroadcastPairs::new(a.1, b.1, to);
    let [m, k, n] = pairs.sizes;
    let mut y = vec![T::zero(); to.iter().product()];
    y.par_chunks_mut((m * n).max(1)).zip(&pairs.operands).for_each(|(y, [i, j])| {
        let (a, b) = (Matrix::rows(&a.0[i * m * k..][..m * k], k), Matrix::rows(&b.0[j * k * n..][..k * n], n));
        matmul(m, n, k, y, n, false, a, b);
    });
    y
}

/// Adds to a matrix of one operand's gradient the product of the other operand's matrix and the result's gradient.
type AddProduct<'a, T> = dyn Fn(&mut [T], [usize; 2], Matrix<'_, T>) + Sync + 'a;

/// The gradients for a and b, summed over the axes that broadcast.
pub fn gradient<T: Real>(a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize], dy: &[T]) -> [Vec<T>; 2] {
    let pairs = BroadcastPairs::new(a.1, b.1, to);
    let [m, k, n] = pairs.sizes;
    // By matrices of an operand: those of the result that it takes part in are summed in order.
    let matrices = |of: usize, len: usize, one: &AddProduct<'_, T>| {
        let mut users = vec![Vec::new(); len];
        pairs.operands.iter().enumerate().for_each(|(at, pair)| users[pair[of]].push(at));
        let size = if of == 0 { m * k } else { k * n };
        let mut all = vec![T::zero(); len * size];
        all.par_chunks_mut(size.max(1)).zip(&users).for_each(|(to, users)| {
            users.iter().for_each(|at| one(to, pairs.operands[*at], Matrix::rows(&dy[at * m * n..][..m * n], n)));
        });
        all
    };
    let da = matrices(0, a.0.len() / (m * k).max(1), &|da, [_, j], dy| {
        matmul(m, k, n, da, k, true, dy, Matrix::rows(&b.0[j * k * n..][..k * n], n).transposed());
    });
    let db = matrices(1, b.0.len() / (k * n).max(1), &|db, [i, _], dy| {
        matmul(k, n, m, db, n, true, Matrix::rows(&a.0[i * m * k..][..m * k], k).transposed(), dy);
    });
    [da, db]
}
