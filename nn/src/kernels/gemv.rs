//! Linear maps in f32 for few samples, where loading the weights is most of the work: they are read once, in memory order.
//!
//! Forward, every result is 32 partial sums (inputs 0, 32, 64, ... in the first), added by halves, then the bias. The input
//! gradient is a sum over outputs in blocks of KC, as in convolutions (see [`super::conv`]). The order is the same for any batch,
//! number of threads and width of the machine's vectors.

use super::conv::microkernel::KC;
use super::disjoint::vec_filled_by;
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Partial sums of a result.
const PARTIAL_SUMS: usize = 32;
/// Outputs of a task.
const OUTPUTS_PER_TASK: usize = 32;
/// Inputs of a task of the gradient: two memory pages.
const INPUTS_PER_TASK: usize = 2048;

/// x W^T + b: `x` rows x inputs, `w` out x inputs, `bias` out; the result is rows x out.
pub fn forward(rows: usize, inputs: usize, out: usize, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    assert!(x.len() >= rows * inputs && w.len() >= out * inputs && bias.is_none_or(|b| b.len() >= out));
    // SAFETY: the tasks' blocks of outputs cover every row and do not overlap.
    unsafe {
        vec_filled_by(rows * out, |y| {
            (0..out.div_ceil(OUTPUTS_PER_TASK)).into_par_iter().for_each(|block| {
                let (first, count) = (block * OUTPUTS_PER_TASK, OUTPUTS_PER_TASK.min(out - block * OUTPUTS_PER_TASK));
                let mut sums = vec![0.0f32; rows * count];
                let w = &w[first * inputs..(first + count) * inputs];
                arch().dispatch(DotProducts { rows, inputs, x, w, sums: &mut sums });
                for (r, sums) in sums.chunks_exact(count).enumerate() {
                    let y = y.slice(r * out + first, count);
                    match bias {
                        Some(b) => y.iter_mut().zip(sums).zip(&b[first..]).for_each(|((y, s), b)| *y = s + b),
                        None => y.copy_from_slice(sums),
                    }
                }
            });
        })
    }
}

/// Dot products of every row of `x` with every row of `w`: `sums` is rows x rows of `w`.
struct DotProducts<'a> {
    rows: usize,
    inputs: usize,
    x: &'a [f32],
    w: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for DotProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match PARTIAL_SUMS / S::F32_LANES {
            2 => self.with_vectors::<S, 2>(simd),
            4 => self.with_vectors::<S, 4>(simd),
            8 => self.with_vectors::<S, 8>(simd),
            _ => self.with_vectors::<S, PARTIAL_SUMS>(simd),
        }
    }
}

impl DotProducts<'_> {
    /// With the partial sums of a result in V vectors.
    #[inline(always)]
    fn with_vectors<S: Simd, const V: usize>(self, simd: S) {
        let (n, count) = (self.inputs, self.w.len() / self.inputs.max(1));
        let is_wide = S::REGISTER_COUNT >= 32 && V == 2;
        let mut o = 0;
        while o < count {
            // Three outputs at a time share the loads of four rows, which come from the L2 cache where rows are long.
            let outputs = if is_wide && self.rows >= 4 && count - o >= 3 { 3 } else { 1 };
            let w = &self.w[o * n..][..outputs * n];
            let mut r = 0;
            while r < self.rows {
                let (x, sums) = (&self.x[r * n..], &mut self.sums[r * count + o..]);
                r += match (self.rows - r).min(if is_wide { 4 } else { 2 }) {
                    4 if outputs == 3 => store(sums, count, dot_products::<S, 3, 4, V>(simd, n, w, x)),
                    2.. if outputs == 3 => store(sums, count, dot_products::<S, 3, 2, V>(simd, n, w, x)),
                    _ if outputs == 3 => store(sums, count, dot_products::<S, 3, 1, V>(simd, n, w, x)),
                    4 => store(sums, count, dot_products::<S, 1, 4, V>(simd, n, w, x)),
                    2.. => store(sums, count, dot_products::<S, 1, 2, V>(simd, n, w, x)),
                    _ => store(sums, count, dot_products::<S, 1, 1, V>(simd, n, w, x)),
                };
            }
            o += outputs;
        }
    }
}

/// Stores the results of rows, which lie `step` apart; returns how many rows there are.
#[inline(always)]
fn store<const O: usize, const R: usize>(to: &mut [f32], step: usize, values: [[f32; O]; R]) -> usize {
    to.chunks_mut(step).zip(values).for_each(|(to, row)| to[..O].copy_from_slice(&row));
    R
}

/// Dot products of O consecutive rows of `w` with R consecutive rows of `x`, of `n` values each.
#[inline(always)]
fn dot_products<S: Simd, const O: usize, const R: usize, const V: usize>(
    simd: S,
    n: usize,
    w: &[f32],
    x: &[f32],
) -> [[f32; O]; R] {
    let mut acc = [[[simd.splat_f32s(0.0); V]; O]; R];
    let whole = n / PARTIAL_SUMS * PARTIAL_SUMS;
    let (w, x) = (&w[..O * n], &x[..R * n]);
    for k in (0..whole).step_by(PARTIAL_SUMS) {
        for v in 0..V {
            let at = k + v * S::F32_LANES;
            let own: [S::f32s; O] = std::array::from_fn(|o| S::as_simd_f32s(&w[o * n + at..][..S::F32_LANES]).0[0]);
            for (r, acc) in acc.iter_mut().enumerate() {
                let x = S::as_simd_f32s(&x[r * n + at..][..S::F32_LANES]).0[0];
                for (acc, w) in acc.iter_mut().zip(own) {
                    acc[v] = simd.mul_add_f32s(w, x, acc[v]);
                }
            }
        }
    }
    let mut sums = [[0.0; O]; R];
    for r in 0..R {
        for o in 0..O {
            let mut lanes = [0.0f32; PARTIAL_SUMS];
            S::as_mut_simd_f32s(&mut lanes).0.copy_from_slice(&acc[r][o]);
            for k in whole..n {
                lanes[k - whole] = w[o * n + k].mul_add(x[r * n + k], lanes[k - whole]);
            }
            let mut half = PARTIAL_SUMS / 2;
            while half > 0 {
                for i in 0..half {
                    lanes[i] += lanes[i + half];
                }
                half /= 2;
            }
            sums[r][o] = lanes[0];
        }
    }
    sums
}

/// dy W: `dy` rows x out, `w` out x inputs; the result is rows x inputs.
pub fn input_gradient(rows: usize, inputs: usize, out: usize, dy: &[f32], w: &[f32]) -> Vec<f32> {
    assert!(dy.len() >= rows * out && w.len() >= out * inputs);
    let wide = INPUTS_PER_TASK.min(inputs.div_ceil(8).next_multiple_of(64));
    // SAFETY: the tasks' blocks of inputs cover every row and do not overlap.
    unsafe {
        vec_filled_by(rows * inputs, |dx| {
            (0..inputs.div_ceil(wide.max(1))).into_par_iter().for_each(|block| {
                let (first, count) = (block * wide, wide.min(inputs - block * wide));
                for r in 0..rows {
                    dx.slice(r * inputs + first, count).fill(0.0);
                }
                let mut sums_kc = vec![0.0f32; rows * count];
                for from in (0..out).step_by(KC) {
                    sums_kc.fill(0.0);
                    for o in from..out.min(from + KC) {
                        let w = &w[o * inputs + first..][..count];
                        for (r, sums) in sums_kc.chunks_exact_mut(count).enumerate() {
                            // Behind a rectifier about half of the gradient is zero; the weights of those outputs are not read.
                            if dy[r * out + o] != 0.0 {
                                arch().dispatch(Axpy { by: dy[r * out + o], w, sums });
                            }
                        }
                    }
                    for (r, sums) in sums_kc.chunks_exact(count).enumerate() {
                        let dx = dx.slice(r * inputs + first, count);
                        dx.iter_mut().zip(sums).for_each(|(d, s)| *d += *s);
                    }
                }
            });
        })
    }
}

/// sums += by * w
struct Axpy<'a> {
    by: f32,
    w: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Axpy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (w, last) = S::as_simd_f32s(self.w);
        let (sums, rest) = S::as_mut_simd_f32s(self.sums);
        let by = simd.splat_f32s(self.by);
        sums.iter_mut().zip(w).for_each(|(s, w)| *s = simd.mul_add_f32s(by, *w, *s));
        rest.iter_mut().zip(last).for_each(|(s, w)| *s = self.by.mul_add(*w, *s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_machine_without_vectors_gets_the_same_bits() {
        let mut rng = Stream::new(0, "dot");
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
        for (rows, inputs, out) in [(1, 5, 2), (1, 64, 3), (2, 100, 3), (3, 37, 4), (7, 200, 2), (9, 131, 8)] {
            let (x, w) = (random(rows * inputs), random(out * inputs));
            let mut plain = vec![0.0; rows * out];
            DotProducts { rows, inputs, x: &x, w: &w, sums: &mut plain }.with_simd(pulp::Scalar);
            assert_eq!(forward(rows, inputs, out, &x, &w, None), plain, "{rows} {inputs} {out}");
            let (mut here, mut there) = (x.clone(), x.clone());
            arch().dispatch(Axpy { by: 0.3, w: &w[..inputs], sums: &mut here[..inputs] });
            Axpy { by: 0.3, w: &w[..inputs], sums: &mut there[..inputs] }.with_simd(pulp::Scalar);
            assert_eq!(here, there);
        }
    }
}
