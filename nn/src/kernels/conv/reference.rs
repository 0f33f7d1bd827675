//! Convolution and its input gradient by im2col and a matrix product, in any number type. The f64 path of tests.
//!
//! im2col writes the receptive field of each output position as a column, C kh kw long; the convolution is then the weight
//! matrix, O x C kh kw, times the matrix of columns. The input gradient is the transposed product followed by col2im, which
//! adds each column back to the pixels it was read from. Tasks are tiles of output positions (forward) or blocks of input
//! channels (gradient), cut by shape alone; each sum runs over the whole depth in one call of the matrix product.

use super::geometry::{Geometry, valid_range};
use crate::kernels::disjoint::DisjointSlice;
use crate::kernels::matmul::{Matrix, matmul, matmul_into};
use crate::tensor::Real;
use rayon::prelude::*;

/// Bytes of im2col columns that a task holds at a time: about half of a core's L2 cache.
const MAX_COLUMN_BYTES: usize = 1 << 19;

/// y = w * x + b, shapes as in [`super::forward`].
pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    let (pixels, per_group, out_per_group) = (g.out_pixels(), g.channels / g.groups, g.out / g.groups);
    let depth = per_group * g.taps();
    let mut y = vec![T::zero(); g.batch * g.out * pixels];
    let wide = (MAX_COLUMN_BYTES / (depth * size_of::<T>())).clamp(64, 4096);
    let tile = pixels.div_ceil(pixels.div_ceil(wide)).next_multiple_of(16);
    let tiles = pixels.div_ceil(tile);
    // A task computes a tile of positions for a block of output channels. Where tiles are few, blocks are more.
    let blocks = if g.batch * g.groups * tiles >= 8 { 1 } else { (out_per_group / 32).clamp(1, 8) };
    let block = out_per_group.div_ceil(blocks);
    let target = DisjointSlice::new(&mut y);
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
            im2col(g, source, per_group, from, to, columns);
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

/// dL/dx, shapes as in [`super::input_gradient`].
pub(super) fn input_gradient<T: Real>(g: &Geometry, dy: &[T], w: &[T]) -> Vec<T> {
    let (pixels, per_group, out_per_group) = (g.out_pixels(), g.channels / g.groups, g.out / g.groups);
    let depth = per_group * g.taps();
    let mut dx = vec![T::zero(); g.batch * g.channels * g.in_pixels()];
    // A task owns a block of input channels, so that no two tasks add to one value.
    let block = (MAX_COLUMN_BYTES / (g.taps() * pixels * size_of::<T>())).clamp(1, per_group.div_ceil(2).max(1));
    let blocks = per_group.div_ceil(block);
    let target = DisjointSlice::new(&mut dx);
    (0..g.batch * g.groups * blocks).into_par_iter().for_each_init(Vec::new, |columns, task| {
        let (rest, b) = (task / blocks, task % blocks);
        let (n, group) = (rest / g.groups, rest % g.groups);
        let (c0, c1) = (b * block, ((b + 1) * block).min(per_group));
        let rows = (c1 - c0) * g.taps();
        let weights = &w[group * out_per_group * depth + c0 * g.taps()..];
        let weights = Matrix { data: weights, row: 1, column: depth };
        let dy = Matrix::rows(&dy[(n * g.out + group * out_per_group) * pixels..][..out_per_group * pixels], pixels);
        let begin = (n * g.channels + group * per_group + c0) * g.in_pixels();
        // SAFETY: each task owns its block of whole input channels.
        let out = unsafe { target.slice(begin, (c1 - c0) * g.in_pixels()) };
        if g.is_pointwise() {
            matmul(rows, pixels, out_per_group, out, pixels, false, weights, dy);
            return;
        }
        columns.resize(rows * pixels, T::zero());
        matmul(rows, pixels, out_per_group, columns, pixels, false, weights, dy);
        col2im(g, columns, c1 - c0, out);
    });
    dx
}

/// im2col of output positions `from..to`: row (channel, i, j), column (position).
fn im2col<T: Real>(g: &Geometry, x: &[T], channels: usize, from: usize, to: usize, columns: &mut [T]) {
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

/// One row of outputs under one tap: output column `first + q` reads input column `(first + q) * stride + offset`.
fn copy_row<T: Real>(source: &[T], out: &mut [T], first: usize, offset: isize, stride: usize) {
    let (lo, hi) = valid_range(first, out.len(), offset, stride, source.len());
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

/// col2im: adds each column back to the pixels it was read from.
fn col2im<T: Real>(g: &Geometry, columns: &[T], channels: usize, dx: &mut [T]) {
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
                    let (lo, hi) = valid_range(0, values.len(), offset, stride, line.len());
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

/// For kernel tap (i, j), output positions `from..to` cut into runs within one output row: the run, its output row, the input
/// row it reads (none in the padding), and the offset of its columns.
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
