//! Convolution and its input gradient. In f32 they run as [`Packed`] kernels; in f64, which tests use to be sure, the
//! receptive windows are laid out as columns, then multiplied (im2col + GEMM). Work is cut into tiles of output pixels
//! (forward) or of input channels (gradient), by shape alone; a tile's sum runs over the whole kernel in one call.

use super::matmul::{Matrix, matmul, matmul_into};
use super::packed::{Around, Packed};
use super::target::Target;
use super::winograd::Tiles;
use crate::graph::op::Window;
use crate::tensor::Real;
use rayon::prelude::*;

/// The sizes of a convolution: N x C x H x W to N x O x OH x OW.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Samples.
    pub batch: usize,
    /// Input channels.
    pub channels: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output channels.
    pub out: usize,
    /// Output height and width.
    pub output: [usize; 2],
    /// Groups that do not mix.
    pub groups: usize,
    /// Where the kernel stands.
    pub window: Window,
}

impl Geometry {
    pub(super) fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }

    pub(super) fn in_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    pub(super) fn out_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether a column is just a pixel: 1 x 1, stride 1, no padding.
    fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.window.stride == [1, 1] && self.window.padding.is_zero()
    }
}

/// Bytes of columns that a task lays out at a time: about half of a core's second-level cache.
const COLUMN_BYTES: usize = 1 << 19;

/// y = w * x + b. `x` N x C x H x W, `w` O x C/groups x kh x kw, result N x O x OH x OW.
pub fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    if let (Some(x), Some(w)) = (T::singles(x), T::singles(w)) {
        let packed = Packed::forward(g, w, bias.and_then(T::singles), Tiles::Small);
        return T::of_singles(packed.run(g.batch, x, &Around::NONE));
    }
    let (pixels, per_group, out_per_group) = (g.out_pixels(), g.channels / g.groups, g.out / g.groups);
    let depth = per_group * g.taps();
    let mut y = vec![T::zero(); g.batch * g.out * pixels];
    let wide = (COLUMN_BYTES / (depth * size_of::<T>())).clamp(64, 4096);
    let tile = pixels.div_ceil(pixels.div_ceil(wide)).next_multiple_of(16);
    let tiles = pixels.div_ceil(tile);
    // A task fills a tile of pixels for a block of output channels. Few tiles: more blocks.
    let blocks = if g.batch * g.groups * tiles >= 8 { 1 } else { (out_per_group / 32).clamp(1, 8) };
    let block = out_per_group.div_ceil(blocks);
    let target = Target::new(&mut y);
    let tasks = g.batch * g.groups * tiles * blocks;
    (0..tasks).into_par_iter().for_each_init(Vec::new, |columns, task| {
        let (rest, b) = (task / blocks, task % blocks);
        let (rest, t) = (rest / tiles, rest % tiles);
        let (n, group) = (rest / g.groups, rest % g.groups);
        let (from, to) = (t * tile, ((t + 1) * tile).min(pixels));
        let (o0, o1) = (b * block, ((b + 1) * block).min(out_per_group));
        if o0 >= o1 {
            return;
        }
        let source = &x[(n * g.channels + group * per_group) * g.in_pixels()..][..per_group * g.in_pixels()];
        let columns = if g.is_pointwise() {
            Matrix { data: &source[from..], row: pixels, column: 1 }
        } else {
            columns.resize(depth * (to - from), T::zero());
            lay_out(g, source, per_group, from, to, columns);
            Matrix::rows(columns, to - from)
        };
        let first = group * out_per_group + o0;
        let weights = Matrix::rows(&w[first * depth..(first + o1 - o0) * depth], depth);
        let begin = (n * g.out + first) * pixels + from;
        // SAFETY: each task writes its own rows (n, o) and its own columns from..to of them, all inside `y`.
        unsafe {
            for (o, b) in bias.map_or(&[][..], |b| &b[first..first + o1 - o0]).iter().enumerate() {
                target.slice(begin + o * pixels, to - from).fill(*b);
            }
            matmul_into(o1 - o0, to - from, depth, target.at(begin), pixels, bias.is_some(), weights, columns);
        }
    });
    y
}

/// dL/dx of y = w * x + b for dL/dy = `dy`. `dy` N x O x OH x OW, result N x C x H x W.
pub fn input_gradient<T: Real>(g: &Geometry, dy: &[T], w: &[T]) -> Vec<T> {
    if let (Some(dy), Some(w)) = (T::singles(dy), T::singles(w)) {
        return T::of_singles(Packed::input_gradient(g, w, None, Tiles::Small).run(g.batch, dy, &Around::NONE));
    }
    let (pixels, per_group, out_per_group) = (g.out_pixels(), g.channels / g.groups, g.out / g.groups);
    let depth = per_group * g.taps();
    let mut dx = vec![T::zero(); g.batch * g.channels * g.in_pixels()];
    // A task gathers the gradient of a block of input channels, so that no two tasks add to one value.
    let block = (COLUMN_BYTES / (g.taps() * pixels * size_of::<T>())).clamp(1, per_group.div_ceil(2).max(1));
    let blocks = per_group.div_ceil(block);
    let target = Target::new(&mut dx);
    (0..g.batch * g.groups * blocks).into_par_iter().for_each_init(Vec::new, |columns, task| {
        let (rest, b) = (task / blocks, task % blocks);
        let (n, group) = (rest / g.groups, rest % g.groups);
        let (c0, c1) = (b * block, ((b + 1) * block).min(per_group));
        let rows = (c1 - c0) * g.taps();
        let weights = &w[group * out_per_group * depth + c0 * g.taps()..];
        let weights = Matrix { data: weights, row: 1, column: depth };
        let flow = Matrix::rows(&dy[(n * g.out + group * out_per_group) * pixels..][..out_per_group * pixels], pixels);
        let begin = (n * g.channels + group * per_group + c0) * g.in_pixels();
        // SAFETY: each task owns its block of whole input channels.
        let out = unsafe { target.slice(begin, (c1 - c0) * g.in_pixels()) };
        if g.is_pointwise() {
            matmul(rows, pixels, out_per_group, out, pixels, false, weights, flow);
            return;
        }
        columns.resize(rows * pixels, T::zero());
        matmul(rows, pixels, out_per_group, columns, pixels, false, weights, flow);
        gather(g, columns, c1 - c0, out);
    });
    dx
}

/// Writes the windows of output pixels `from..to` as columns: row (c, i, j), column p.
fn lay_out<T: Real>(g: &Geometry, x: &[T], channels: usize, from: usize, to: usize, columns: &mut [T]) {
    let n = to - from;
    let mut row = columns.chunks_exact_mut(n);
    for c in 0..channels {
        let plane = &x[c * g.in_pixels()..][..g.in_pixels()];
        for i in 0..g.window.kernel[0] {
            for j in 0..g.window.kernel[1] {
                let Some(row) = row.next() else { return };
                for (run, y, sy, xs) in runs(g, from, to, i, j) {
                    let out = &mut row[run.start - from..run.end - from];
                    let Some(sy) = sy else {
                        out.fill(T::zero());
                        continue;
                    };
                    let first = run.start - y * g.output[1];
                    copy_row(&plane[sy * g.input[1]..][..g.input[1]], out, first, xs, g.window.stride[1]);
                }
            }
        }
    }
}

/// One row of a window tap: output column `first + q` reads input column `(first + q) * stride + offset`.
fn copy_row<T: Real>(source: &[T], out: &mut [T], first: usize, offset: isize, stride: usize) {
    let (lo, hi) = inside(first, out.len(), offset, stride, source.len());
    out[..lo].fill(T::zero());
    out[hi..].fill(T::zero());
    if lo >= hi {
        return;
    }
    let start = ((first + lo) * stride).wrapping_add_signed(offset);
    if stride == 1 {
        out[lo..hi].copy_from_slice(&source[start..start + hi - lo]);
    } else {
        out[lo..hi].iter_mut().zip(source[start..].iter().step_by(stride)).for_each(|(o, s)| *o = *s);
    }
}

/// Adds columns back to the pixels that they came from.
fn gather<T: Real>(g: &Geometry, columns: &[T], channels: usize, dx: &mut [T]) {
    let pixels = g.out_pixels();
    dx.fill(T::zero());
    for c in 0..channels {
        let plane = &mut dx[c * g.in_pixels()..][..g.in_pixels()];
        for i in 0..g.window.kernel[0] {
            for j in 0..g.window.kernel[1] {
                let row = &columns[((c * g.window.kernel[0] + i) * g.window.kernel[1] + j) * pixels..][..pixels];
                for (run, _, sy, offset) in runs(g, 0, pixels, i, j) {
                    let Some(sy) = sy else { continue };
                    let line = &mut plane[sy * g.input[1]..][..g.input[1]];
                    let stride = g.window.stride[1];
                    let values = &row[run];
                    let (lo, hi) = inside(0, values.len(), offset, stride, line.len());
                    if lo >= hi {
                        continue;
                    }
                    let start = (lo * stride).wrapping_add_signed(offset);
                    line[start..].iter_mut().step_by(stride).zip(&values[lo..hi]).for_each(|(d, v)| *d += *v);
                }
            }
        }
    }
}

/// For kernel tap (i, j): the runs of output pixels `from..to` that lie in one output row, that row, the input row
/// that it reads (none beyond the border), and the offset of its first column.
fn runs(
    g: &Geometry,
    from: usize,
    to: usize,
    i: usize,
    j: usize,
) -> impl Iterator<Item = (std::ops::Range<usize>, usize, Option<usize>, isize)> {
    let (ow, w) = (g.output[1], g.window);
    let (height, top, left) = (g.input[0], w.padding.top, w.padding.left);
    (from / ow..to.div_ceil(ow)).map(move |y| {
        let run = (y * ow).max(from)..((y + 1) * ow).min(to);
        let sy = (y * w.stride[0] + i * w.dilation[0]).checked_sub(top).filter(|sy| *sy < height);
        (run, y, sy, (j * w.dilation[1]) as isize - left as isize)
    })
}

/// The part `lo..hi` of `count` outputs from `first` whose input `(first + q) * stride + offset` lies in `0..width`.
pub(super) fn inside(first: usize, count: usize, offset: isize, stride: usize, width: usize) -> (usize, usize) {
    let s = stride as isize;
    let base = first as isize * s + offset;
    let lo = if base < 0 { (-base).div_euclid(s) + isize::from((-base).rem_euclid(s) != 0) } else { 0 };
    let room = width as isize - 1 - base;
    let hi = if room < 0 { 0 } else { room / s + 1 };
    let hi = (hi as usize).min(count);
    ((lo as usize).min(hi), hi)
}
