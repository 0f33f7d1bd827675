//! Values moved, not computed: concatenation, selection, transposition, padding, each with its adjoint.

use super::CHUNK;
use super::finish::{Join, Line};
use super::packed::Around;
use super::target::filled;
use crate::graph::op::Border;
use crate::tensor::Real;
use rayon::prelude::*;

/// Joins `parts`, each with its length along the axis, `outer` times; `inner` values follow each entry.
pub fn concat<T: Real>(outer: usize, inner: usize, parts: &[(&[T], usize)]) -> Vec<T> {
    let total: usize = parts.iter().map(|(_, n)| n * inner).sum();
    let mut from = 0;
    let places: Vec<usize> = parts
        .iter()
        .map(|(_, n)| {
            from += n * inner;
            from - n * inner
        })
        .collect();
    // SAFETY: the parts fill each of the `outer` stretches, and each task has its own.
    unsafe {
        filled(outer * total, |out| {
            (0..outer * parts.len()).into_par_iter().for_each(|task| {
                let (o, p) = (task / parts.len(), task % parts.len());
                let (x, n) = (parts[p].0, parts[p].1 * inner);
                out.slice(o * total + places[p], n).copy_from_slice(&x[o * n..(o + 1) * n]);
            });
        })
    }
}

/// The entries `index` of an axis of `len` entries of `inner` values.
pub fn select<T: Real>(len: usize, inner: usize, index: &[usize], x: &[T]) -> Vec<T> {
    let (stretch, outer) = (index.len() * inner, x.len() / (len * inner));
    // SAFETY: the entries fill each of the `outer` stretches, and each task has its own.
    unsafe {
        filled(outer * stretch, |out| {
            (0..outer * index.len()).into_par_iter().with_min_len(4096usize.div_ceil(inner)).for_each(|task| {
                let (o, i) = (task / index.len(), task % index.len());
                let from = (o * len + index[i]) * inner;
                out.slice(o * stretch + i * inner, inner).copy_from_slice(&x[from..from + inner]);
            });
        })
    }
}

/// Entries `from..from + n` of an axis of `len` entries of `inner` values, joined with those of `other` and finished on the
/// way.
pub fn part(
    len: usize,
    inner: usize,
    from: usize,
    n: usize,
    x: &[f32],
    Around { other, join, finish, .. }: Around<'_>,
) -> Vec<f32> {
    let (stretch, outer) = (n * inner, x.len() / (len * inner));
    assert!(join == Join::Alone || other.len() >= x.len(), "what is joined is too short");
    let pieces = stretch.div_ceil(CHUNK);
    // SAFETY: the pieces fill each of the `outer` stretches, and each task has its own.
    unsafe {
        filled(outer * stretch, |out| {
            (0..outer * pieces).into_par_iter().for_each(|task| {
                let (o, first) = (task / pieces, task % pieces * CHUNK);
                let count = CHUNK.min(stretch - first);
                let begin = (o * len + from) * inner + first;
                let other = if join == Join::Alone { other } else { &other[begin..begin + count] };
                let to = out.slice(o * stretch + first, count);
                Line { from: &x[begin..begin + count], other, join, finish, to }.write();
            });
        })
    }
}

/// The adjoint of [`select`]: entries go back to where they came from, summed where one was taken twice.
pub fn select_adjoint<T: Real>(len: usize, inner: usize, index: &[usize], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::zero(); dy.len() / index.len() * len];
    for (dx, dy) in dx.chunks_exact_mut(len * inner).zip(dy.chunks_exact(index.len() * inner)) {
        for (i, dy) in index.iter().zip(dy.chunks_exact(inner)) {
            dx[i * inner..(i + 1) * inner].iter_mut().zip(dy).for_each(|(d, v)| *d += *v);
        }
    }
    dx
}

/// Axes in another order: output axis i is input axis `perm[i]`, the batch included.
pub fn transpose<T: Real>(dims: &[usize], perm: &[usize], x: &[T]) -> Vec<T> {
    let strides = strides(dims);
    let out_dims: Vec<usize> = perm.iter().map(|a| dims[*a]).collect();
    let steps: Vec<usize> = perm.iter().map(|a| strides[*a]).collect();
    let mut out = Vec::with_capacity(x.len());
    walk(&out_dims, &steps, |at, step, n| out.extend((0..n).map(|i| x[at + i * step])));
    out
}

/// Calls `f(first source index, step, count)` for each run along the last axis, in row-major order of `dims`.
fn walk(dims: &[usize], steps: &[usize], mut f: impl FnMut(usize, usize, usize)) {
    let Some((n, front)) = dims.split_last() else { return f(0, 1, 1) };
    let mut place = vec![0; front.len()];
    loop {
        let at: usize = place.iter().zip(steps).map(|(p, s)| p * s).sum();
        f(at, steps[dims.len() - 1], *n);
        let Some(axis) = (0..front.len()).rev().find(|a| place[*a] + 1 < front[*a]) else { return };
        place[axis] += 1;
        place[axis + 1..].fill(0);
    }
}

/// Distances between neighbours along each axis of a row-major tensor.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for a in (0..dims.len().saturating_sub(1)).rev() {
        strides[a] = strides[a + 1] * dims[a + 1];
    }
    strides
}

/// A tensor of `dims` with `pads` (before, after) values added to each axis.
pub fn pad<T: Real>(dims: &[usize], pads: &[(usize, usize)], border: Border, x: &[T]) -> Vec<T> {
    let fill = if let Border::Constant(v) = border { T::of(v) } else { T::zero() };
    sources(dims, pads, border).into_iter().map(|s| s.map_or(fill, |s| x[s])).collect()
}

/// The adjoint of [`pad`].
pub fn pad_adjoint<T: Real>(dims: &[usize], pads: &[(usize, usize)], border: Border, dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::zero(); dims.iter().product()];
    for (source, dy) in sources(dims, pads, border).into_iter().zip(dy) {
        if let Some(s) = source {
            dx[s] += *dy;
        }
    }
    dx
}

/// For every element of the padded tensor the element it copies, none where it is the constant.
fn sources(dims: &[usize], pads: &[(usize, usize)], border: Border) -> Vec<Option<usize>> {
    let strides = strides(dims);
    let mut all: Vec<Option<usize>> = vec![Some(0)];
    for (a, n) in dims.iter().enumerate() {
        let (before, after) = pads[a];
        let along: Vec<Option<usize>> = (0..before + n + after)
            .map(|i| {
                let i = i as isize - before as isize;
                let n = *n as isize;
                let inside = match border {
                    Border::Constant(_) => (0..n).contains(&i).then_some(i),
                    Border::Edge => Some(i.clamp(0, n - 1)),
                    Border::Reflect if n == 1 => Some(0),
                    Border::Reflect => {
                        let period = 2 * (n - 1);
                        let m = i.rem_euclid(period);
                        Some(if m < n { m } else { period - m })
                    }
                };
                inside.map(|i| i as usize * strides[a])
            })
            .collect();
        all = all.iter().flat_map(|base| along.iter().map(move |i| Some((*base)? + (*i)?))).collect();
    }
    all
}

/// Copies `from`, of `size`, into `to`, whose pixel (0, 0) is pixel `offset` of `from`; what lies outside `from` becomes
/// `fill`, or stays.
pub fn paste(
    to: &mut [f32],
    [h, w]: [usize; 2],
    from: &[f32],
    size: [usize; 2],
    offset: [isize; 2],
    fill: Option<f32>,
) {
    let span = |a: usize, n: usize| {
        let lo = (-offset[a]).clamp(0, n as isize) as usize;
        let hi = (size[a] as isize - offset[a]).clamp(lo as isize, n as isize) as usize;
        (lo, hi)
    };
    let ((top, bottom), (left, right)) = (span(0, h), span(1, w));
    if let Some(v) = fill
        && (top, bottom, left, right) != (0, h, 0, w)
    {
        to.fill(v);
    }
    if left >= right {
        return;
    }
    for y in top..bottom {
        let start = (y as isize + offset[0]) as usize * size[1] + (left as isize + offset[1]) as usize;
        to[y * w + left..y * w + right].copy_from_slice(&from[start..start + right - left]);
    }
}
