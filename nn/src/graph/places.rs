//! Which axes of every node's value run over the input, and where their entries lie on it: traced from the input through windows,
//! selections, joins, and reshapes that part and join axes, as patches, blocks of pixels and windows of attention are cut.

use super::atoms::{
    Atom, Dim, along, chosen, free, is_free, is_placed, len, line_of, lined, listed, other, padded, product, reshaped,
    resized, slide,
};
use super::axes::Axis;
use super::dag::{Graph, NodeId};
use super::line::{Line, slid, spread};
use super::op::Op;
use std::sync::Arc;

/// The axes of a node's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Places {
    /// Each axis.
    Known(Arc<[Dim]>),
    /// Places were moved at this node in a way that is not followed.
    Moved(NodeId),
}

impl Places {
    /// The grid of patches that axis `k` is, where it runs over all rows and columns, several at a time.
    pub fn patches(&self, k: usize) -> Option<Axis> {
        let Places::Known(dims) = self else { return None };
        let [rows @ Atom::Along { axis: 0, step: down, .. }, columns @ Atom::Along { axis: 1, step: across, .. }] =
            &dims.get(k)?[..]
        else {
            return None;
        };
        let is_cut = down * across > 1 && [rows, columns].iter().all(|a| line_of(std::slice::from_ref(*a)).is_some());
        is_cut.then(|| Axis::Positions { rows: rows.len(), columns: columns.len(), before: 0 })
    }
}

impl Graph {
    /// The axes of every node's value, of a net over an image or a signal; nothing of others.
    pub(super) fn places(&self) -> Option<Vec<Places>> {
        if !matches!(self.node(self.input()).shape.len(), 2 | 3) {
            return None;
        }
        let mut all: Vec<Places> = Vec::with_capacity(self.nodes().len());
        for id in self.ids() {
            let moved = self.node(id).inputs.iter().find(|k| matches!(all[k.0], Places::Moved(_)));
            let places = match (moved, self.deformed(id, &all)) {
                (_, Some(dims)) => Places::Known(dims.into()),
                (Some(input), None) => all[input.0].clone(),
                (None, None) => self.places_at(id, &all),
            };
            all.push(places);
        }
        Some(all)
    }

    /// The sides of the input, rows and columns; a signal has one row.
    pub(super) fn sides(&self) -> [f64; 2] {
        match self.node(self.input()).shape[..] {
            [_, rows, columns] => [rows as f64, columns as f64],
            [_, columns] => [1.0, columns as f64],
            _ => [1.0, 1.0],
        }
    }

    fn places_at(&self, id: NodeId, all: &[Places]) -> Places {
        let node = self.node(id);
        let of = |k: usize| match node.inputs.get(k).map(|i| &all[i.0]) {
            Some(Places::Known(dims)) => Arc::clone(dims),
            _ => Arc::from([]),
        };
        let shape = &node.shape;
        let unknown = || Some(shape.iter().map(|n| other(*n)).collect::<Vec<Dim>>());
        let from = || node.inputs.first().map_or(&[][..], |i| &self.node(*i).shape[..]);
        let found: Option<Vec<Dim>> = match &node.op {
            Op::Input if id == self.input() => {
                let first = shape.len().saturating_sub(2).max(1);
                let place = |(k, n): (usize, &usize)| match k {
                    _ if k < first => other(*n),
                    _ => along(k + 2 - shape.len(), Line::even(*n, [0.0, *n as f64])),
                };
                Some(shape.iter().enumerate().map(place).collect())
            }
            Op::Input | Op::Constant(_) => Some(shape.iter().map(|n| free(*n)).collect()),
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Softmax { .. }
            | Op::Identity => return Places::Known(of(0)),
            Op::Conv2d(c) => slide(&of(0), from(), shape, c.window, self.sides(), &|a| {
                slid(c.window, a, shape[1 + a], from()[1 + a])
            }),
            Op::MaxPool(p) | Op::AvgPool(p) => slide(&of(0), from(), shape, p.window, self.sides(), &|a| {
                slid(p.window, a, shape[1 + a], from()[1 + a])
            }),
            Op::ConvTranspose2d(c, _) => slide(&of(0), from(), shape, c.window, self.sides(), &|a| {
                spread(c.window, a, shape[1 + a], from()[1 + a])
            }),
            Op::Linear { .. } => {
                let mut dims = of(0).to_vec();
                if let (Some(last), Some(n)) = (dims.last_mut(), shape.last()) {
                    *last = other(*n);
                }
                Some(dims)
            }
            Op::MatMul => product(&of(0), &of(1), shape).or_else(unknown),
            Op::Binary(_) => {
                self.joined_places(&node.inputs.iter().map(|i| known(&all[i.0])).collect::<Vec<_>>(), shape)
            }
            Op::Reduce { axes, keep, .. } => {
                let each =
                    of(0).iter().enumerate().map(|(k, dim)| (axes.contains(&k), dim.clone())).collect::<Vec<_>>();
                let kept = each.into_iter().filter(|(gone, _)| *keep || !gone);
                Some(kept.map(|(gone, dim)| if gone { Vec::new() } else { dim }).collect())
            }
            Op::Concat { axis } => {
                self.lined_up(&node.inputs.iter().map(|i| known(&all[i.0])).collect::<Vec<_>>(), *axis, shape)
            }
            Op::Select { axis, index } => {
                let mut dims = of(0).to_vec();
                chosen(&dims[*axis], index, from()[*axis]).map(|dim| {
                    dims[*axis] = dim;
                    dims
                })
            }
            Op::Order { axis, .. } => {
                let mut dims = of(0).to_vec();
                let moves = is_placed(&dims[*axis]) && len(&dims[*axis]) > 1;
                dims[*axis] = other(shape[*axis]);
                (!moves).then_some(dims)
            }
            Op::Pick { axis } => {
                let (data, index) = (of(0).to_vec(), of(1).to_vec());
                let moves = data.get(*axis).is_some_and(|dim| is_placed(dim) && len(dim) > 1);
                let without = |mut dims: Vec<Dim>| {
                    if let Some(dim) = dims.get_mut(*axis) {
                        *dim = other(shape[*axis]);
                    }
                    dims
                };
                if moves { None } else { self.joined_places(&[without(data), without(index)], shape) }
            }
            Op::Reshape(to) => reshaped(&of(0), to),
            Op::Transpose(perm) => Some(perm.iter().map(|k| of(0)[*k].clone()).collect()),
            Op::Pad { pads, .. } => {
                of(0).iter().zip(pads).map(|(dim, (head, tail))| padded(dim, *head, *tail)).collect()
            }
            Op::Resize { .. } => {
                of(0).iter().zip(from()).zip(shape).map(|((dim, n), to)| resized(dim, *n, *to)).collect()
            }
        };
        match found {
            Some(dims) => Places::Known(dims.into()),
            None => Places::Moved(id),
        }
    }

    /// The axes of a value that several make, entry by entry: the places of those that have some.
    fn joined_places(&self, inputs: &[Vec<Dim>], shape: &[usize]) -> Option<Vec<Dim>> {
        let join = |(k, n): (usize, &usize)| {
            let back = shape.len() - k;
            let dims = inputs.iter().filter_map(|dims| dims.len().checked_sub(back).map(|at| &dims[at]));
            self.joined_axis(dims.filter(|dim| len(dim) == *n).map(Vec::as_slice), *n)
        };
        shape.iter().enumerate().map(join).collect()
    }

    fn joined_axis<'a>(&self, dims: impl Iterator<Item = &'a [Atom]>, n: usize) -> Option<Dim> {
        let mut best: Option<Dim> = None;
        for dim in dims {
            best = Some(match best {
                None => dim.to_vec(),
                Some(known) if known == dim => known,
                Some(known) => match (is_placed(&known), is_placed(dim)) {
                    (true, false) => known,
                    (false, true) => dim.to_vec(),
                    (false, false) if is_free(&known) => dim.to_vec(),
                    (false, false) => known,
                    // One entry has no neighbours whose order could be wrong.
                    (true, true) if n == 1 => self.nearer(&known, dim).unwrap_or_default(),
                    (true, true) => self.nearer(&known, dim)?,
                },
            });
        }
        Some(best.unwrap_or_else(|| other(n)))
    }

    /// Of two axes whose places agree to two cells the one that is nearer to the whole input.
    fn nearer(&self, a: &[Atom], b: &[Atom]) -> Option<Dim> {
        if let (Some((axis, one)), Some((same, two))) = (line_of(a), line_of(b)) {
            let line = one.joined(&two, self.sides()[axis]).filter(|_| axis == same)?;
            return Some(along(axis, line.clone()));
        }
        let each = a.iter().zip(b).map(|pair| match pair {
            (Atom::Along { .. }, Atom::Along { .. }) => {
                self.nearer(std::slice::from_ref(pair.0), std::slice::from_ref(pair.1))?.pop()
            }
            (Atom::List { before, after, inner }, Atom::List { before: ahead, inner: others, .. })
                if before == ahead =>
            {
                Some(Atom::List { before: *before, after: *after, inner: self.nearer(inner, others)? })
            }
            (one, two) => (one == two).then(|| one.clone()),
        });
        if a == b {
            return Some(a.to_vec());
        }
        // Two single atoms that have no line were compared as wholes above.
        let is_single = a.len() == 1 && !matches!(a[0], Atom::List { .. });
        if a.len() != b.len() || is_single { None } else { each.collect() }
    }

    /// The axes of values one behind the other along `axis`.
    fn lined_up(&self, inputs: &[Vec<Dim>], axis: usize, shape: &[usize]) -> Option<Vec<Dim>> {
        let rest: Vec<Vec<Dim>> = inputs
            .iter()
            .map(|dims| {
                dims.iter().enumerate().map(|(k, dim)| if k == axis { Vec::new() } else { dim.clone() }).collect()
            })
            .collect();
        let mut own = shape.to_vec();
        own[axis] = 1;
        let mut dims = self.joined_places(&rest, &own)?;
        let parts: Vec<&Dim> = inputs.iter().map(|dims| &dims[axis]).collect();
        dims[axis] = match parts.iter().position(|dim| is_placed(dim)) {
            None if parts.iter().all(|dim| is_free(dim) && !dim.is_empty()) => free(shape[axis]),
            None => other(shape[axis]),
            Some(first) => match lined(&parts) {
                Some(line) => line?,
                None => {
                    let before: usize = parts[..first].iter().map(|dim| len(dim)).sum();
                    let after: usize = parts[first + 1..].iter().map(|dim| len(dim)).sum();
                    listed(parts[first], before, after)?
                }
            },
        };
        Some(dims)
    }

    /// The axes behind a deformable convolution, whose windows lie around their usual places.
    fn deformed(&self, id: NodeId, all: &[Places]) -> Option<Vec<Dim>> {
        let node = self.node(id);
        let Op::Conv2d(_) = node.op else { return None };
        self.find(&format!("{}/offsets", node.name))?;
        let input = *self.node(self.find(&format!("{}/flat", node.name))?).inputs.first()?;
        let Places::Known(dims) = &all[input.0] else { return None };
        let from = &self.node(input).shape;
        let resized = |((dim, n), to): ((&Dim, &usize), &usize)| resized(dim, *n, *to);
        dims.iter().zip(from).zip(&node.shape).map(resized).collect()
    }
}

fn known(places: &Places) -> Vec<Dim> {
    match places {
        Places::Known(dims) => dims.to_vec(),
        Places::Moved(_) => Vec::new(),
    }
}
