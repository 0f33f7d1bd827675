//! Operations that only move values: concatenation, selection, transposition, padding, each with its adjoint.

use super::conv::epilogue::{Combine, Epilogue, EpilogueRow};
use super::disjoint::vec_filled_by;
use crate::graph::op::Border;
use crate::tensor::{Real, VALUES_PER_TASK};
use rayon::prelude::*;

/// Concatenates `parts` along an axis. Each comes with its number of entries along the axis; an entry is `inner` values, and the
/// axes before it have `outer` positions.
pub fn concat<T: Real>(outer: usize, inner: usize, parts: &[(&[T], usize)]) -> Vec<T> {
    let total: usize = parts.iter().map(|(_, n)| n * inner).sum();
    let mut from = 0;
    let starts: Vec<usize> = parts
        .iter()
        .map(|(_, n)| {
            from += n * inner;
            from - n * inner
        })
        .collect();
    // SAFETY: the parts cover each of the `outer` positions and do not overlap.
    unsafe {
        vec_filled_by(outer * total, |out| {
            (0..outer * parts.len()).into_par_iter().for_each(|task| {
                let (o, p) = (task / parts.len(), task % parts.len());
                let (x, n) = (parts[p].0, parts[p].1 * inner);
                out.slice(o * total + starts[p], n).copy_from_slice(&x[o * n..(o + 1) * n]);
            });
        })
    }
}

/// The entries `index` of an axis of `len` entries of `inner` values.
pub fn select<T: Real>(len: usize, inner: usize, index: &[usize], x: &[T]) -> Vec<T> {
    let (slice, outer) = (index.len() * inner, x.len() / (len * inner));
    // SAFETY: the entries cover each of the `outer` positions and do not overlap.
    unsafe {
        vec_filled_by(outer * slice, |out| {
            (0..outer * index.len()).into_par_iter().with_min_len(4096usize.div_ceil(inner)).for_each(|task| {
                let (o, i) = (task / index.len(), task % index.len());
                let from = (o * len + index[i]) * inner;
                out.slice(o * slice + i * inner, inner).copy_from_slice(&x[from..from + inner]);
            });
        })
    }
}

/// Entries `from..from + n` of an axis of `len` entries of `inner` values, through an epilogue whose residual is laid out as `x`.
pub fn slice_fused(len: usize, inner: usize, from: usize, n: usize, x: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let (slice, outer) = (n * inner, x.len() / (len * inner));
    let Epilogue { residual, combine, .. } = epilogue;
    assert!(combine == Combine::None || residual.len() >= x.len(), "the residual is too short");
    let chunks = slice.div_ceil(VALUES_PER_TASK);
    // SAFETY: the chunks cover each of the `outer` positions and do not overlap.
    unsafe {
        vec_filled_by(outer * slice, |out| {
            (0..outer * chunks).into_par_iter().for_each(|task| {
                let (o, first) = (task / chunks, task % chunks * VALUES_PER_TASK);
                let count = VALUES_PER_TASK.min(slice - first);
                let begin = (o * len + from) * inner + first;
                let residual = if combine == Combine::None { residual } else { &residual[begin..begin + count] };
                let epilogue = Epilogue { residual, ..epilogue };
                let to = out.slice(o * slice + first, count);
                EpilogueRow { from: &x[begin..begin + count], epilogue, to }.write();
            });
        })
    }
}

/// The adjoint of [`select`]: each entry is added at the position that it came from.
pub fn select_adjoint<T: Real>(len: usize, inner: usize, index: &[usize], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::zero(); dy.len() / index.len() * len];
    for (dx, dy) in dx.chunks_exact_mut(len * inner).zip(dy.chunks_exact(index.len() * inner)) {
        for (i, dy) in index.iter().zip(dy.chunks_exact(inner)) {
            dx[i * inner..(i + 1) * inner].iter_mut().zip(dy).for_each(|(d, v)| *d += *v);
        }
    }
    dx
}

/// Permutes axes, the batch included: output axis i is input axis `perm[i]`.
pub fn transpose<T: Real>(dims: &[usize], perm: &[usize], x: &[T]) -> Vec<T> {
    let steps = strides(dims);
    let mut axes: Vec<MovedAxis> = Vec::new();
    for a in perm.iter().filter(|a| dims[**a] != 1) {
        match axes.last_mut() {
            // Neighbours in both are one axis.
            Some(last) if last.from == dims[*a] * steps[*a] => {
                *last = MovedAxis { n: last.n * dims[*a], from: steps[*a], to: 0 }
            }
            _ => axes.push(MovedAxis { n: dims[*a], from: steps[*a], to: 0 }),
        }
    }
    let mut to = 1;
    for axis in axes.iter_mut().rev() {
        axis.to = to;
        to *= axis.n;
    }
    let Some(across) = axes.pop().filter(|_| !x.is_empty()) else { return x.to_vec() };
    if across.from == 1 && axes.is_empty() {
        return x.to_vec();
    }
    // The axis along which values neighbour each other in the input: the last of the output, too, where runs are copied.
    let along = match axes.iter().position(|axis| axis.from == 1) {
        Some(at) => axes.remove(at),
        None => MovedAxis { n: 1, from: 0, to: 0 },
    };
    let bands = along.n.div_ceil(BAND);
    let outer: usize = axes.iter().map(|axis| axis.n).product();
    let each = (BAND.min(along.n) * across.n).max(1);
    // SAFETY: every task writes places of its own; together they are those of all values.
    unsafe {
        vec_filled_by(x.len(), |out| {
            (0..outer * bands).into_par_iter().with_min_len(VALUES_PER_TASK.div_ceil(each)).for_each(|task| {
                let (mut place, first) = (task / bands, task % bands * BAND);
                let (mut from, mut to) = (first * along.from, first * along.to);
                for axis in axes.iter().rev() {
                    from += place % axis.n * axis.from;
                    to += place % axis.n * axis.to;
                    place /= axis.n;
                }
                if across.from == 1 {
                    return out.slice(to, across.n).copy_from_slice(&x[from..from + across.n]);
                }
                let rows = BAND.min(along.n - first);
                for begin in (0..across.n).step_by(BAND) {
                    let count = BAND.min(across.n - begin);
                    for i in 0..rows {
                        let line = out.slice(to + i * along.to + begin, count);
                        let source = &x[from + i + begin * across.from..];
                        line.iter_mut().zip(source.iter().step_by(across.from)).for_each(|(o, v)| *o = *v);
                    }
                }
            });
        })
    }
}

/// Rows and columns of the tiles that [`transpose`] moves: a line of the cache holds as many values.
const BAND: usize = 16;

/// An axis of a transposition: its length and the values between its neighbours in the input and in the output.
#[derive(Clone, Copy)]
struct MovedAxis {
    n: usize,
    from: usize,
    to: usize,
}

/// The strides of a row-major tensor: values between neighbours along each axis.
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

/// For every element of the padded tensor the element that it copies; none where it is the constant.
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

/// Copies a part of `from`, of height and width `size`, into `to`, of `h` x `w`, whose pixel (0, 0) is pixel `offset` of `from`.
/// Pixels of `to` outside `from` become `fill`, or stay as they are.
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
