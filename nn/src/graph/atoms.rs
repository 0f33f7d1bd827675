//! An axis of a value as a product of parts, of which some run over the input: what reshapes, selections, windows and products make of
//! them.

use super::line::Line;
use super::op::Window;
use std::sync::Arc;

/// Neighbouring entries of an axis, which may be a product of several of these: the first changes slowest.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    /// Places along the input's rows (`axis` 0) or columns (1): entries of `line`, `step` of them apart.
    Along { axis: usize, n: usize, step: usize, line: Arc<Line> },
    /// A list of places, `before` other entries ahead of it and `after` behind.
    List { before: usize, after: usize, inner: Vec<Atom> },
    /// Entries that no part of the input gives: a constant's, or one value repeated.
    Free(usize),
    /// Entries that are no places: channels, heads, what a layer has mixed.
    Other(usize),
}

impl Atom {
    pub fn len(&self) -> usize {
        match self {
            Atom::Along { n, .. } | Atom::Free(n) | Atom::Other(n) => *n,
            Atom::List { before, after, inner } => before + after + inner.iter().map(Atom::len).product::<usize>(),
        }
    }

    fn is_placed(&self) -> bool {
        matches!(self, Atom::Along { .. } | Atom::List { .. })
    }

    /// Reversed; none where only a part of a line is there.
    fn reversed(&self) -> Option<Self> {
        match self {
            Atom::Along { axis, n, step, line } => {
                let line = Arc::new(line.coarse(*step).filter(|line| line.cells() == *n)?.reversed());
                Some(Atom::Along { axis: *axis, n: *n, step: 1, line })
            }
            Atom::List { before, after, inner } => {
                let inner = inner.iter().map(Atom::reversed).collect::<Option<_>>()?;
                Some(Atom::List { before: *after, after: *before, inner })
            }
            Atom::Free(_) | Atom::Other(_) => Some(self.clone()),
        }
    }
}

/// An axis.
pub(super) type Dim = Vec<Atom>;

/// The axis of the input along which a whole axis runs, and where its entries lie.
pub(super) fn line_of(dim: &[Atom]) -> Option<(usize, Line)> {
    let (Atom::Along { axis, n, step, line }, rest) = dim.split_first()? else { return None };
    if n * step != line.cells() || rest.iter().any(Atom::is_placed) {
        return None;
    }
    // What was channels before is pixels within a cell now.
    let within = rest.iter().map(Atom::len).product();
    Some((*axis, line.coarse(*step)?.fine(within)))
}

pub(super) fn is_placed(dim: &[Atom]) -> bool {
    dim.iter().any(Atom::is_placed)
}

pub(super) fn is_free(dim: &[Atom]) -> bool {
    dim.iter().all(|a| matches!(a, Atom::Free(_)))
}

pub(super) fn len(dim: &[Atom]) -> usize {
    dim.iter().map(Atom::len).product()
}

pub(super) fn other(n: usize) -> Dim {
    if n == 1 { Vec::new() } else { vec![Atom::Other(n)] }
}

pub(super) fn free(n: usize) -> Dim {
    vec![Atom::Free(n)]
}

pub(super) fn along(axis: usize, line: Line) -> Dim {
    vec![Atom::Along { axis, n: line.cells(), step: 1, line: Arc::new(line) }]
}

/// An axis of `n` entries of the same sort as another, whose places are gone.
fn unplaced(like: &[Atom], n: usize) -> Dim {
    if is_free(like) && !like.is_empty() { free(n) } else { other(n) }
}

/// The axes behind a window that slides over the last two of three; `sides` are the input's, `reach` gives the edges of the result
/// in entries of what it slides over.
pub(super) fn slide(
    dims: &[Dim],
    from: &[usize],
    to: &[usize],
    window: Window,
    sides: [f64; 2],
    reach: &dyn Fn(usize) -> [f64; 2],
) -> Option<Vec<Dim>> {
    let mut out = vec![other(to[0])];
    for a in 0..2 {
        let (dim, n, m) = (dims.get(1 + a)?, from[1 + a], to[1 + a]);
        let stays = n == m && (n == 1 || window.stride[a] == 1);
        out.push(match line_of(dim) {
            _ if n == m && window.kernel[a] == 1 && window.stride[a] == 1 => dim.clone(),
            Some((axis, line)) => {
                let line = line.resampled(m, reach(a))?;
                along(axis, if window.stride[a] > 1 { line.snapped(sides[axis]) } else { line })
            }
            None if stays && is_placed(dim) => dim.clone(),
            None if is_placed(dim) => return None,
            None => unplaced(dim, m),
        });
    }
    Some(out)
}

/// The axes of a matrix product: the rows are those of the first, the columns those of the second.
pub(super) fn product(a: &[Dim], b: &[Dim], shape: &[usize]) -> Option<Vec<Dim>> {
    let rank = shape.len();
    let (batch, ends) = (rank.checked_sub(2)?, [a.len().checked_sub(2)?, b.len().checked_sub(1)?]);
    let lead = |k: usize| {
        let of = |dims: &[Dim]| dims.len().checked_sub(rank - k).map(|at| dims[at].clone());
        let placed = |dim: &Dim| is_placed(dim) && len(dim) == shape[k];
        of(a).filter(placed).or_else(|| of(b).filter(placed)).unwrap_or_else(|| other(shape[k]))
    };
    let end = |dim: &Dim, n: usize| if is_placed(dim) && len(dim) == n { dim.clone() } else { other(n) };
    let mut dims: Vec<Dim> = (0..batch).map(lead).collect();
    dims.push(end(&a[ends[0]], shape[rank - 2]));
    dims.push(end(&b[ends[1]], shape[rank - 1]));
    Some(dims)
}

/// Some entries of an axis of `n`; none where places are put in an order that is not followed.
pub(super) fn chosen(dim: &[Atom], index: &[usize], n: usize) -> Option<Dim> {
    let m = index.len();
    if n == 1 {
        return Some(if m == 1 { dim.to_vec() } else { free(m) });
    }
    if !is_placed(dim) {
        return Some(unplaced(dim, m));
    }
    if index.iter().copied().eq(0..n) {
        return Some(dim.to_vec());
    }
    if let Some((axis, line)) = line_of(dim) {
        return Some(along(axis, line.selected(index)?));
    }
    if index.iter().rev().copied().eq(0..n) {
        return dim.iter().map(Atom::reversed).collect();
    }
    if m == 1 {
        return Some(Vec::new());
    }
    let (before, inner, after) = match dim {
        [Atom::List { before, after, inner }] => (*before, inner.as_slice(), *after),
        dim => (0, dim, 0),
    };
    let places = before..n - after;
    if index.iter().all(|at| !places.contains(at)) {
        return Some(other(m));
    }
    let first = index.first().copied().filter(|first| *first <= before)?;
    let end = first + m;
    let is_range = index.iter().copied().eq(first..end) && places.end <= end;
    is_range.then(|| listed(inner, before - first, end - places.end)).flatten()
}

/// An axis of places with other entries before and behind it.
pub(super) fn listed(dim: &[Atom], ahead: usize, behind: usize) -> Option<Dim> {
    match dim {
        _ if ahead + behind == 0 => Some(dim.to_vec()),
        [Atom::List { before, after, inner }] => {
            let (before, after) = (before + ahead, after + behind);
            Some(vec![Atom::List { before, after, inner: inner.clone() }])
        }
        dim if dim.iter().any(|a| matches!(a, Atom::List { .. })) => None,
        dim => Some(vec![Atom::List { before: ahead, after: behind, inner: dim.to_vec() }]),
    }
}

/// The axis of parts that stand beside each other along one axis of the input; constants beside them are padding. The outer option is
/// none where they are lists of places, the inner one where their order is not followed.
pub(super) fn lined(parts: &[&Dim]) -> Option<Option<Dim>> {
    let lines: Vec<Option<(usize, Line)>> = parts.iter().map(|dim| line_of(dim)).collect();
    let first = lines.iter().position(Option::is_some)?;
    let axis = lines[first].as_ref()?.0;
    if parts.iter().zip(&lines).any(|(dim, line)| line.is_none() && is_placed(dim)) {
        return None;
    }
    let ahead: usize = parts[..first].iter().map(|dim| len(dim)).sum();
    let mut all: Option<Line> = None;
    for (dim, line) in parts.iter().zip(&lines).skip(first) {
        let next = match (all, line) {
            (None, Some((_, line))) => line.padded(ahead, 0),
            (Some(before), Some((own, line))) if *own == axis => before.followed_by(line),
            (Some(before), None) if is_free(dim) && !dim.is_empty() => before.padded(0, len(dim)),
            _ => None,
        };
        let Some(next) = next else { return Some(None) };
        all = Some(next);
    }
    let is_padding = |dim: &&Dim| is_free(dim) && !dim.is_empty();
    Some(all.filter(|_| parts[..first].iter().all(is_padding)).map(|line| along(axis, line)))
}

pub(super) fn padded(dim: &[Atom], head: usize, tail: usize) -> Option<Dim> {
    if head + tail == 0 {
        return Some(dim.to_vec());
    }
    match line_of(dim) {
        Some((axis, line)) => Some(along(axis, line.padded(head, tail)?)),
        None if is_placed(dim) => listed(dim, head, tail),
        None => Some(unplaced(dim, len(dim) + head + tail)),
    }
}

/// An axis of `n` entries resized to `m` over the same stretch; one entry alone is repeated.
pub(super) fn resized(dim: &[Atom], n: usize, m: usize) -> Option<Dim> {
    if n == m {
        return Some(dim.to_vec());
    }
    match line_of(dim) {
        _ if n == 1 => Some(free(m)),
        Some((axis, line)) => Some(along(axis, line.resized(m)?)),
        None if is_placed(dim) => None,
        None => Some(unplaced(dim, m)),
    }
}

/// The axes after a reshape: their parts in the same order, joined and cut anew. None where a cut goes through places unevenly.
pub(super) fn reshaped(dims: &[Dim], to: &[usize]) -> Option<Vec<Dim>> {
    let mut left: Vec<Atom> = Vec::new();
    for atom in dims.iter().flatten().filter(|a| a.len() != 1).rev() {
        match (left.last_mut(), atom) {
            (Some(Atom::Free(n)), Atom::Free(m)) => *n *= m,
            (Some(last @ (Atom::Free(_) | Atom::Other(_))), Atom::Free(_) | Atom::Other(_)) => {
                *last = Atom::Other(last.len() * atom.len());
            }
            _ => left.push(atom.clone()),
        }
    }
    let mut out: Vec<Dim> = Vec::with_capacity(to.len());
    for (k, size) in to.iter().enumerate() {
        let (mut dim, mut need) = (Vec::new(), *size);
        while need > 1 {
            let atom = left.pop()?;
            let n = atom.len();
            if need % n == 0 {
                need /= n;
                attach(&mut dim, atom);
                continue;
            }
            let parts = if n % need == 0 { parted(&atom, need) } else { None };
            let Some((outer, inner)) = parts else {
                let is_placed = atom.is_placed() || dim.iter().any(Atom::is_placed) || left.iter().any(Atom::is_placed);
                return (!is_placed).then(|| out.into_iter().chain(to[k..].iter().map(|n| other(*n))).collect());
            };
            attach(&mut dim, outer);
            left.push(inner);
            need = 1;
        }
        out.push(dim);
    }
    Some(out)
}

/// Cuts the first `outer` steps of a part of an axis off the rest.
fn parted(atom: &Atom, outer: usize) -> Option<(Atom, Atom)> {
    let inner = atom.len() / outer;
    Some(match atom {
        Atom::Along { axis, step, line, .. } => {
            let part = |n, step| Atom::Along { axis: *axis, n, step, line: Arc::clone(line) };
            (part(outer, step * inner), part(inner, *step))
        }
        Atom::Free(_) => (Atom::Free(outer), Atom::Free(inner)),
        Atom::Other(_) => (Atom::Other(outer), Atom::Other(inner)),
        Atom::List { .. } => return None,
    })
}

/// A part of an axis behind others; what was cut before is whole again.
fn attach(dim: &mut Dim, atom: Atom) {
    if let (Some(Atom::Along { axis, n, step, line }), Atom::Along { axis: own, n: m, step: fine, line: same }) =
        (dim.last_mut(), &atom)
        && (axis == own && *step == m * fine)
        && (Arc::ptr_eq(line, same) || line == same)
    {
        (*n, *step) = (*n * m, *fine);
        return;
    }
    dim.push(atom);
}
