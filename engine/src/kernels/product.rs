//! Matrix products of two values, the axes before the last two broadcast, and their gradients.

use super::layout::strides;
use super::matmul::{Matrix, matmul};
use crate::tensor::Real;
use rayon::prelude::*;

/// Operands whose leading axes broadcast: which matrices meet.
struct Pairs {
    /// Rows of a, inner size, columns of b.
    sizes: [usize; 3],
    /// The matrices of a and of b that make each matrix of the result.
    of: Vec<[usize; 2]>,
}

impl Pairs {
    fn new(a: &[usize], b: &[usize], to: &[usize]) -> Self {
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
        let of = of_operand(a).into_iter().zip(of_operand(b)).map(|(a, b)| [a, b]).collect();
        Pairs { sizes: [a[rank - 2], a[rank - 1], b[rank - 1]], of }
    }
}

/// a b for operands of as many axes as the result `to`.
pub fn forward<T: Real>(a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize]) -> Vec<T> {
    let pairs = Pairs::new(a.1, b.1, to);
    let [m, k, n] = pairs.sizes;
    let mut y = vec![T::zero(); to.iter().product()];
    y.par_chunks_mut(m * n).zip(&pairs.of).for_each(|(y, [i, j])| {
        let (a, b) = (Matrix::rows(&a.0[i * m * k..][..m * k], k), Matrix::rows(&b.0[j * k * n..][..k * n], n));
        matmul(m, n, k, y, n, false, a, b);
    });
    y
}

/// The gradients for a and b, summed over what was broadcast.
pub fn gradient<T: Real>(a: (&[T], &[usize]), b: (&[T], &[usize]), to: &[usize], dy: &[T]) -> [Vec<T>; 2] {
    let pairs = Pairs::new(a.1, b.1, to);
    let [m, k, n] = pairs.sizes;
    let (mut da, mut db) = (vec![T::zero(); a.0.len()], vec![T::zero(); b.0.len()]);
    for ([i, j], dy) in pairs.of.iter().zip(dy.chunks(m * n)) {
        let (a, b) = (Matrix::rows(&a.0[i * m * k..][..m * k], k), Matrix::rows(&b.0[j * k * n..][..k * n], n));
        let dy = Matrix::rows(dy, n);
        matmul(m, k, n, &mut da[i * m * k..][..m * k], k, true, dy, b.transposed());
        matmul(k, n, m, &mut db[j * k * n..][..k * n], n, true, a.transposed(), dy);
    }
    [da, db]
}
