//! Scaled dot-product attention, softmax(steps(Q K)) V (Vaswani et al. 2017, section 3.2.1), a block of rows at a time: the scores
//! of a block stay in the core's cache, and the matrix of all of them is never written.
//!
//! A block has whole rows of scores, so that every value has the bits of the separate operations: the products are summed in the
//! order of [`row_gemm`], softmax is computed as in [`softmax`].

use super::batched_matmul::BroadcastPairs;
use super::binary;
use super::conv::microkernel::MR;
use super::disjoint::{DisjointSlice, vec_filled_by};
use super::matmul::Matrix;
use super::rearrange::strides;
use super::row_gemm::{self, PackedColumns, RowEpilogue};
use super::softmax;
use crate::graph::op::Binary;
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Scores of a block: an eighth of a core's cache.
const BLOCK_SCORES: usize = 1 << 15;
/// The most rows of a block.
const MAX_ROWS: usize = 64;

/// A step between the scores' product and softmax, such as their scale or a mask: f of each score and an operand that broadcasts.
pub struct ScoreStep<'a> {
    f: Binary,
    operand: &'a [f32],
    /// For each matrix of scores where its operand begins.
    starts: Vec<usize>,
    /// From an operand's value to that of the next row, and of the next column.
    row: usize,
    column: usize,
    /// Whether the operand is the first argument.
    is_first: bool,
}

impl<'a> ScoreStep<'a> {
    /// f(score, operand), or f(operand, score) where the operand `is_first`. The operand comes with its shape, of as many axes as
    /// `to`, the scores' own.
    pub fn new(f: Binary, (operand, dims): (&'a [f32], &[usize]), to: &[usize], is_first: bool) -> Self {
        let (rank, own) = (to.len(), strides(dims));
        let step = |axis: usize| if dims[axis] == 1 { 0 } else { own[axis] };
        let mut starts = vec![0];
        for (axis, n) in to.iter().enumerate().take(rank - 2) {
            let step = step(axis);
            starts = starts.iter().flat_map(|base| (0..*n).map(move |i| base + i * step)).collect();
        }
        ScoreStep { f, operand, starts, row: step(rank - 2), column: step(rank - 1), is_first }
    }
}

/// The operands of attention, each with its shape; those of a product have as many axes.
pub struct Attention<'a> {
    /// Queries, .. x m x d.
    pub q: (&'a [f32], &'a [usize]),
    /// Keys, transposed: .. x d x n.
    pub k: (&'a [f32], &'a [usize]),
    /// Values, .. x n x e.
    pub v: (&'a [f32], &'a [usize]),
    /// The shape of Q K.
    pub scores: &'a [usize],
    /// That shape before V, whose axes before the last two may be grouped in another way.
    pub weights: &'a [usize],
    /// The shape of the result; its axes but the last two are those of the weights.
    pub to: &'a [usize],
    /// The steps between the scores' product and softmax, in order.
    pub steps: Vec<ScoreStep<'a>>,
}

impl Attention<'_> {
    /// The result, of shape `to`.
    pub fn run(&self) -> Vec<f32> {
        let scores = BroadcastPairs::new(self.q.1, self.k.1, self.scores);
        let mixes = BroadcastPairs::new(self.weights, self.v.1, self.to);
        let ([m, d, n], e) = (scores.sizes, mixes.sizes[2]);
        let rows = (BLOCK_SCORES / n.max(1)).clamp(MR, MAX_ROWS) / MR * MR;
        // SAFETY: the blocks cover all rows of all matrices and do not overlap.
        unsafe {
            vec_filled_by(self.to.iter().product(), |out| {
                (0..scores.operands.len().min(mixes.operands.len())).into_par_iter().for_each(|at| {
                    let ([q, k], [_, v]) = (scores.operands[at], mixes.operands[at]);
                    let queries = &self.q.0[q * m * d..][..m * d];
                    let keys = PackedColumns::new(Matrix::rows(&self.k.0[k * d * n..][..d * n], n), d, n);
                    let values = PackedColumns::new(Matrix::rows(&self.v.0[v * n * e..][..n * e], e), n, e);
                    (0..m.div_ceil(rows)).into_par_iter().for_each(|block| {
                        let (first, count) = (block * rows, rows.min(m - block * rows));
                        let block = Block { at, first, queries: &queries[first * d..][..count * d], n };
                        self.block(&block, &keys, &values, out.from((at * m + first) * e));
                    });
                });
            })
        }
    }

    /// Some rows of the result, which begin at `out`.
    ///
    /// # Safety
    /// The rows must lie inside the result, and no other task may touch them.
    unsafe fn block(&self, block: &Block<'_>, keys: &PackedColumns, values: &PackedColumns, out: DisjointSlice<f32>) {
        let (n, d, e) = (block.n, keys.depth(), values.columns());
        let count = block.queries.len() / d.max(1);
        let (mut scores, mut row) = (vec![0.0f32; count * n], vec![0.0; n]);
        let plain = RowEpilogue::default();
        // SAFETY: the scores are this task's own.
        unsafe {
            let own = DisjointSlice::new(&mut scores);
            row_gemm::multiply_here(count, Matrix::rows(block.queries, d), keys, &plain, own, n);
        }
        for step in &self.steps {
            arch().dispatch(StepRows { step, block, scores: &mut scores });
        }
        let mut line = vec![0.0f32; n];
        for scores in scores.chunks_exact_mut(n.max(1)) {
            line.copy_from_slice(scores);
            softmax::softmax_row(&line, &mut row, scores);
        }
        // SAFETY: the caller's.
        unsafe { row_gemm::multiply_here(count, Matrix::rows(&scores, n), values, &plain, out, e) }
    }
}

/// Rows of one matrix of scores.
struct Block<'a> {
    /// The number of the matrix.
    at: usize,
    /// The first row.
    first: usize,
    /// Their queries.
    queries: &'a [f32],
    /// Scores of a row.
    n: usize,
}

/// One step of all scores of a block.
struct StepRows<'a> {
    step: &'a ScoreStep<'a>,
    block: &'a Block<'a>,
    scores: &'a mut [f32],
}

impl WithSimd for StepRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let StepRows { step, block, scores } = self;
        for (i, scores) in scores.chunks_exact_mut(block.n.max(1)).enumerate() {
            let start = step.starts[block.at] + (block.first + i) * step.row;
            let value = |score: f32, operand: f32| match step.is_first {
                true => binary::value(step.f, operand, score),
                false => binary::value(step.f, score, operand),
            };
            if step.column == 0 {
                let operand = step.operand[start];
                scores.iter_mut().for_each(|score| *score = value(*score, operand));
            } else {
                scores.iter_mut().zip(&step.operand[start..]).for_each(|(score, o)| *score = value(*score, *o));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::batched_matmul;
    use crate::random::Stream;

    fn random(n: usize, name: &str) -> Vec<f32> {
        let mut rng = Stream::new(0, name);
        (0..n).map(|_| rng.next_normal() as f32).collect()
    }

    #[test]
    fn blocks_have_the_bits_of_the_operations_one_by_one() {
        for (m, n, d, e) in [(5, 7, 3, 4), (197, 197, 64, 64), (130, 600, 32, 48), (1, 9, 8, 8), (70, 1, 4, 3)] {
            let (q, k, v) = (random(6 * m * d, "q"), random(2 * d * n, "k"), random(6 * n * e, "v"));
            let mask = random(3 * m * n, "mask");
            // Keys are shared by three heads; the mask is one a head.
            let (qd, kd, vd, s, to) = ([2, 3, m, d], [2, 1, d, n], [2, 3, n, e], [2, 3, m, n], [2, 3, m, e]);
            let products = batched_matmul::forward((&q, &qd), (&k, &kd), &s);
            let scaled = binary::forward(Binary::Div, (&products, &s), (&[1.7], &[1, 1, 1, 1]), &s);
            let masked = binary::forward(Binary::Add, (&mask, &[1, 3, m, n]), (&scaled, &s), &s);
            let want = batched_matmul::forward((&softmax::softmax(n, 1, false, &masked), &s), (&v, &vd), &to);
            let steps = vec![
                ScoreStep::new(Binary::Div, (&[1.7], &[1, 1, 1, 1]), &s, false),
                ScoreStep::new(Binary::Add, (&mask, &[1, 3, m, n]), &s, true),
            ];
            let attention =
                Attention { q: (&q, &qd), k: (&k, &kd), v: (&v, &vd), scores: &s, weights: &s, to: &to, steps };
            let made = attention.run();
            assert!(made == want, "{m} {n} {d} {e}");
            // And near the definition in f64.
            let f64s = |x: &[f32]| -> Vec<f64> { x.iter().map(|v| f64::from(*v)).collect() };
            let (at, i) = (4, m / 2);
            let query = f64s(&q[(at * m + i) * d..][..d]);
            let scores: Vec<f64> = (0..n)
                .map(|j| {
                    let product: f64 = (0..d).map(|c| query[c] * f64::from(k[((at / 3) * d + c) * n + j])).sum();
                    libm::exp(product / f64::from(1.7f32) + f64::from(mask[(at % 3 * m + i) * n + j]))
                })
                .collect();
            for c in 0..e {
                let mix: f64 = scores.iter().enumerate().map(|(j, s)| s * f64::from(v[(at * n + j) * e + c])).sum();
                let value = f64::from(made[(at * m + i) * e + c]);
                assert!((value - mix / scores.iter().sum::<f64>()).abs() < 1e-5, "{m} {n} {d} {e}: {value}");
            }
        }
    }
}
