//! Convolution where every output channel reads one input channel: direct, a row at a time, since a matrix
//! product would have nothing to share.

use super::conv::{Geometry, inside};
use crate::tensor::Real;
use rayon::prelude::*;

/// y = w * x + b, channel by channel; a channel may feed several outputs.
pub fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    let (pixels, source) = (g.output[0] * g.output[1], g.input[0] * g.input[1]);
    let (taps, multiple) = (g.window.kernel[0] * g.window.kernel[1], g.out / g.groups);
    let mut y = vec![T::zero(); g.batch * g.out * pixels];
    y.par_chunks_mut(pixels).enumerate().for_each(|(plane, y)| {
        let (n, o) = (plane / g.out, plane % g.out);
        let x = &x[(n * g.channels + o / multiple) * source..][..source];
        y.fill(bias.map_or(T::zero(), |b| b[o]));
        visit(g, &w[o * taps..][..taps], |tap, dst, src, stride| {
            y[dst.clone()].iter_mut().zip(x[src..].iter().step_by(stride)).for_each(|(y, x)| *y += tap * *x);
        });
    });
    y
}

/// dL/dx for dL/dy = `dy`.
pub fn input_gradient<T: Real>(g: &Geometry, dy: &[T], w: &[T]) -> Vec<T> {
    let (pixels, source) = (g.output[0] * g.output[1], g.input[0] * g.input[1]);
    let (taps, multiple) = (g.window.kernel[0] * g.window.kernel[1], g.out / g.groups);
    let mut dx = vec![T::zero(); g.batch * g.channels * source];
    dx.par_chunks_mut(source).enumerate().for_each(|(plane, dx)| {
        let (n, c) = (plane / g.channels, plane % g.channels);
        for o in c * multiple..(c + 1) * multiple {
            let dy = &dy[(n * g.out + o) * pixels..][..pixels];
            visit(g, &w[o * taps..][..taps], |tap, dst, src, stride| {
                dx[src..].iter_mut().step_by(stride).zip(&dy[dst.clone()]).for_each(|(dx, dy)| *dx += tap * *dy);
            });
        }
    });
    dx
}

/// Calls `f(tap, output pixels of one row, first input pixel, step)` for every kernel tap and output row it reaches.
fn visit<T: Real>(g: &Geometry, w: &[T], mut f: impl FnMut(T, std::ops::Range<usize>, usize, usize)) {
    let win = g.window;
    for y in 0..g.output[0] {
        for i in 0..win.kernel[0] {
            let row = (y * win.stride[0] + i * win.dilation[0]).checked_sub(win.padding.top);
            let Some(row) = row.filter(|r| *r < g.input[0]) else { continue };
            for j in 0..win.kernel[1] {
                let offset = (j * win.dilation[1]) as isize - win.padding.left as isize;
                let (lo, hi) = inside(0, g.output[1], offset, win.stride[1], g.input[1]);
                if lo < hi {
                    let src = row * g.input[1] + (lo * win.stride[1]).wrapping_add_signed(offset);
                    f(w[i * win.kernel[1] + j], y * g.output[1] + lo..y * g.output[1] + hi, src, win.stride[1]);
                }
            }
        }
    }
}
