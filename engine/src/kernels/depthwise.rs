//! Convolution where every output channel reads one input channel: direct, a row at a time, since a matrix product would
//! have nothing to share. The input gradient is the same with the kernel turned round, over a signal with zeros between
//! its values where the convolution strides.

use super::conv::Geometry;
use super::packed::Around;
use super::target::Target;
use super::tile::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// A kernel a plane, ready to run.
#[derive(Clone, Debug)]
pub struct Planes {
    /// Planes of the input and of the result a sample; a result plane reads plane `p / multiple`.
    planes: [usize; 2],
    multiple: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// Rows and columns before the input, in the spread one.
    before: [usize; 2],
    /// Zeros are put between the input's values: they lie this far apart.
    spread: [usize; 2],
    stride: [usize; 2],
    kernel: [usize; 2],
    dilation: [usize; 2],
    weights: Vec<f32>,
}

impl Planes {
    /// The forward convolution, where it is one of planes.
    pub fn forward(g: &Geometry, w: &[f32]) -> Option<Self> {
        if !g.is_depthwise() {
            return None;
        }
        Some(Planes {
            planes: [g.channels, g.out],
            multiple: g.out / g.groups,
            input: g.input,
            output: g.output,
            before: [g.window.padding.top, g.window.padding.left],
            spread: [1, 1],
            stride: g.window.stride,
            kernel: g.window.kernel,
            dilation: g.window.dilation,
            weights: w.to_vec(),
        })
    }

    /// The input gradient, where each plane feeds one plane.
    pub fn input_gradient(g: &Geometry, w: &[f32]) -> Option<Self> {
        let (span, p) = (g.window.span(), g.window.padding);
        let before = [span[0].checked_sub(p.top + 1)?, span[1].checked_sub(p.left + 1)?];
        if !g.is_depthwise() || g.out != g.channels {
            return None;
        }
        let turned = w.chunks(g.taps()).flat_map(|k| k.iter().rev().copied()).collect();
        Some(Planes {
            planes: [g.out, g.channels],
            multiple: 1,
            input: g.output,
            output: g.input,
            before,
            spread: g.window.stride,
            stride: [1, 1],
            kernel: g.window.kernel,
            dilation: g.window.dilation,
            weights: turned,
        })
    }

    /// The same kernels over planes of `input` that need no padding to make planes of `output`.
    pub fn over(&self, input: [usize; 2], output: [usize; 2]) -> Self {
        Planes { input, output, before: [0, 0], ..self.clone() }
    }

    /// Planes of a result's sample.
    pub fn count(&self) -> usize {
        self.planes[1]
    }

    /// Computes `batch` samples into `y`, which has room for them.
    pub fn run(&self, batch: usize, x: &[f32], bias: &[f32], around: &Around<'_>, y: Target<f32>) {
        let (source, pixels) = (self.input[0] * self.input[1], self.output[0] * self.output[1]);
        assert!(x.len() >= batch * self.planes[0] * source, "the input is too short");
        let min = (1usize << 14).div_ceil(pixels * self.kernel[0]);
        (0..batch * self.planes[1]).into_par_iter().with_min_len(min).for_each(|at| {
            SPREAD.with_borrow_mut(|spread| {
                // SAFETY: each task owns its plane.
                let y = unsafe { y.slice(at * pixels, pixels) };
                let (n, o) = (at / self.planes[1], at % self.planes[1]);
                let plane = &x[(n * self.planes[0] + o / self.multiple) * source..][..source];
                spread.fill(self, plane);
                let taps = self.kernel[0] * self.kernel[1];
                let weights = &self.weights[o * taps..][..taps];
                let other = around.other.get(at * pixels..(at + 1) * pixels).unwrap_or_default();
                let bias = bias.get(o).copied().unwrap_or(0.0);
                arch().dispatch(Plane { planes: self, spread, weights, bias, around: &Around { other, ..*around }, y });
            })
        });
    }
}

/// Vectors of one row that are computed together.
const TOGETHER: usize = 4;
/// Columns computed together on the widest machine.
const WIDE: usize = TOGETHER * 16;

/// A padded plane: each row holds, for every remainder by the stride, the columns with that remainder side by side.
struct Spread {
    values: Vec<f32>,
    part: usize,
    row: usize,
}

thread_local! {
    static SPREAD: RefCell<Spread> = const { RefCell::new(Spread { values: Vec::new(), part: 0, row: 0 }) };
}

impl Spread {
    fn fill(&mut self, p: &Planes, plane: &[f32]) {
        let reach = (p.kernel[1] - 1) * p.dilation[1] / p.stride[1] + 1;
        self.part = p.output[1].next_multiple_of(WIDE) + reach;
        self.row = self.part * p.stride[1];
        let rows = (p.output[0] - 1) * p.stride[0] + (p.kernel[0] - 1) * p.dilation[0] + 1;
        self.values.clear();
        self.values.resize(rows * self.row, 0.0);
        for (i, line) in plane.chunks_exact(p.input[1]).enumerate() {
            let y = p.before[0] + i * p.spread[0];
            if y >= rows {
                break;
            }
            let to = &mut self.values[y * self.row..][..self.row];
            let (step, apart) = (p.stride[1], p.spread[1]);
            if step == 1 {
                let room = self.part.saturating_sub(p.before[1]);
                let places = to[p.before[1].min(self.part)..][..room].iter_mut();
                if apart == 1 {
                    places.zip(line).for_each(|(t, v)| *t = *v);
                } else {
                    places.step_by(apart).zip(line).for_each(|(t, v)| *t = *v);
                }
                continue;
            }
            for first in 0..step.min(line.len()) {
                let column = p.before[1] + first;
                let places = to[column % step * self.part..][..self.part].iter_mut().skip(column / step);
                places.zip(line[first..].iter().step_by(step)).for_each(|(t, v)| *t = *v);
            }
        }
    }
}

/// One plane of the result.
struct Plane<'a> {
    planes: &'a Planes,
    spread: &'a Spread,
    weights: &'a [f32],
    bias: f32,
    around: &'a Around<'a>,
    y: &'a mut [f32],
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (p, lanes) = (self.planes, S::F32_LANES);
        let wide = TOGETHER * lanes;
        let mut line = [0.0f32; WIDE];
        for (y, out) in self.y.chunks_exact_mut(p.output[1]).enumerate() {
            for first in (0..p.output[1]).step_by(wide) {
                let mut acc = [simd.splat_f32s(0.0); TOGETHER];
                for i in 0..p.kernel[0] {
                    let row = (y * p.stride[0] + i * p.dilation[0]) * self.spread.row;
                    for j in 0..p.kernel[1] {
                        let column = j * p.dilation[1];
                        let at = row + column % p.stride[1] * self.spread.part + column / p.stride[1] + first;
                        let w = simd.splat_f32s(self.weights[i * p.kernel[1] + j]);
                        let (x, _) = S::as_simd_f32s(&self.spread.values[at..at + wide]);
                        for (sum, x) in acc.iter_mut().zip(x) {
                            *sum = simd.mul_add_f32s(w, *x, *sum);
                        }
                    }
                }
                let (vectors, _) = S::as_mut_simd_f32s(&mut line[..wide]);
                let bias = simd.splat_f32s(self.bias);
                vectors.iter_mut().zip(acc).for_each(|(v, a)| *v = simd.add_f32s(a, bias));
                let end = (first + wide).min(p.output[1]);
                for (i, (out, value)) in out[first..end].iter_mut().zip(&line).enumerate() {
                    let other = self.around.other.as_ptr().wrapping_add(y * p.output[1] + first + i);
                    // SAFETY: where something joins, it is laid out as the result.
                    *out = self.around.finish.apply(unsafe { self.around.join.apply(*value, other) });
                }
            }
        }
    }
}
