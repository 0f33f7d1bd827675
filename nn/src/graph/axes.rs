//! The meaning of each axis of a node's value, traced from the input through transposes and reshapes, so that a map is found
//! in any layout: channels x rows x columns, channels last, or a list of tokens.

use super::dag::{Graph, Node, NodeId};
use super::op::Op;
use super::places::Places;

/// The meaning of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Channels.
    Channel,
    /// Slices of a volume.
    Depth,
    /// Rows of the image or slice.
    Row,
    /// Columns of the image or slice, samples of a signal.
    Column,
    /// Rows x columns in one axis, row by row, after `before` entries that are no positions (a class token).
    Positions {
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
        /// Entries before the first position.
        before: usize,
    },
    /// Any other, or unknown.
    Other,
}

/// The layout of a map of channels x rows x columns in a node's row-major value. A signal has one row, the slices of a volume lie
/// one below the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapLayout {
    /// Channels, rows (of all slices), columns.
    pub shape: [usize; 3],
    /// Slices: 1 but for a volume.
    pub depth: usize,
    /// Values between neighbours along each; negative where the net has mirrored its input, so that the map lies over the input as
    /// it was before.
    pub strides: [isize; 3],
    /// Index of the first value: that of the first channel in the upper left corner.
    pub first: usize,
}

impl MapLayout {
    /// Whether the layout is plain channels x rows x columns.
    pub fn is_plain(&self) -> bool {
        let [_, h, w] = self.shape;
        self.first == 0 && self.strides == [h * w, w, 1].map(|s| s as isize)
    }

    /// The index, in the value of one sample, of a channel's entry at a row and column.
    pub fn place(&self, channel: usize, row: usize, column: usize) -> usize {
        let [cs, hs, ws] = self.strides;
        (self.first as isize + channel as isize * cs + row as isize * hs + column as isize * ws) as usize
    }

    /// The same map read in the order of the input that the net has mirrored.
    fn straightened(mut self, mirrored: [bool; 2]) -> Self {
        // The slices of a volume lie one below the other: its rows cannot be read backwards by one stride.
        if self.depth > 1 {
            return self;
        }
        for axis in [1, 2].into_iter().filter(|axis| mirrored[axis - 1]) {
            self.first = self.first.wrapping_add_signed((self.shape[axis] as isize - 1) * self.strides[axis]);
            self.strides[axis] = -self.strides[axis];
        }
        self
    }

    /// The indices, in the value of one sample, of a channel's entries, row by row.
    pub fn places(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let (own, [_, h, w]) = (*self, self.shape);
        (0..h * w).map(move |at| own.place(channel, at / w, at % w))
    }

    /// The map in the value of one sample, as channels x rows x columns.
    pub fn gather<T: Copy>(&self, value: &[T]) -> Vec<T> {
        let [c, h, w] = self.shape;
        let mut map = Vec::with_capacity(c * h * w);
        for k in 0..c {
            for y in 0..h {
                map.extend((0..w).map(|x| value[self.place(k, y, x)]));
            }
        }
        map
    }
}

impl Graph {
    /// The meaning of the axes of every node's value.
    pub fn axes(&self) -> Vec<Vec<Axis>> {
        self.axes_by(self.places().as_deref())
    }

    /// The same, given the places of all nodes.
    pub(super) fn axes_by(&self, places: Option<&[Places]>) -> Vec<Vec<Axis>> {
        let mut all: Vec<Vec<Axis>> = Vec::with_capacity(self.nodes().len());
        for id in self.ids() {
            let mut axes = self.axes_at(id, &all);
            if let (Op::Reshape(_), Some(places)) = (&self.node(id).op, places) {
                // Patches that are cut by a reshape are a grid.
                let unknown = axes.iter_mut().enumerate().filter(|(_, axis)| **axis == Axis::Other);
                unknown.for_each(|(k, axis)| *axis = places[id.0].patches(k).unwrap_or(Axis::Other));
            }
            all.push(axes);
        }
        all
    }

    /// The layout of the map in a node's value; none where it holds no map.
    pub fn map_layout(&self, id: NodeId) -> Option<MapLayout> {
        self.map_layouts()[id.0]
    }

    /// [`Graph::map_layout`] where the map does not lie as channels x rows x columns: tokens, channels last, flattened rows.
    pub fn rearranged_map(&self, id: NodeId) -> Option<MapLayout> {
        self.map_layout(id).filter(|layout| !layout.is_plain() || self.node(id).shape.len() != 3)
    }

    /// [`Graph::map_layout`] of every node.
    pub fn map_layouts(&self) -> Vec<Option<MapLayout>> {
        let images = self.is_over_images();
        // The planes by which a volume is computed are no maps.
        let least = if self.is_over_volumes() { 4 } else { 0 };
        let of =
            |(axes, node): (&Vec<Axis>, &Node)| layout(axes, &node.shape, images).filter(|_| node.shape.len() >= least);
        let places = self.places();
        let axes = self.axes_by(places.as_deref());
        let mirrored = self.mirrored(&axes, places.as_deref());
        let straight =
            |(found, turned): (Option<MapLayout>, [bool; 2])| found.map(|layout| layout.straightened(turned));
        axes.iter().zip(self.nodes()).map(of).zip(mirrored).map(straight).collect()
    }

    fn axes_at(&self, id: NodeId, known: &[Vec<Axis>]) -> Vec<Axis> {
        let node = self.node(id);
        let rank = node.shape.len();
        let of = |k: usize| &known[node.inputs[k].0];
        let unknown = || vec![Axis::Other; rank];
        match &node.op {
            Op::Input if rank == 3 => vec![Axis::Channel, Axis::Row, Axis::Column],
            Op::Input if rank == 2 && self.has_windows() => vec![Axis::Channel, Axis::Column],
            Op::Input if self.is_over_volumes() => vec![Axis::Channel, Axis::Depth, Axis::Row, Axis::Column],
            Op::Input | Op::Constant(_) | Op::MatMul | Op::Pick { .. } => unknown(),
            Op::Order { axis, .. } => {
                let mut axes = of(0).clone();
                axes[*axis] = Axis::Other;
                axes
            }
            // Windows slide over rows and columns, whatever the input's axes were thought to be, if not over a photo turned over.
            Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Resize { .. }
                if rank == 3 =>
            {
                match of(0)[..] {
                    [_, Axis::Column, Axis::Row] => vec![Axis::Channel, Axis::Column, Axis::Row],
                    _ => vec![Axis::Channel, Axis::Row, Axis::Column],
                }
            }
            Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Resize { .. } => unknown(),
            Op::Linear { .. } => {
                let mut axes = of(0).clone();
                if let Some(last) = axes.last_mut() {
                    *last = Axis::Channel;
                }
                axes
            }
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Softmax { .. }
            | Op::Identity
            | Op::Pad { .. } => of(0).clone(),
            Op::Binary(_) => {
                let same = |k: &usize| self.node(node.inputs[*k]).shape == node.shape;
                let known_axes = |k: &usize| of(*k).iter().filter(|a| **a != Axis::Other).count();
                let best = (0..node.inputs.len()).filter(same).max_by_key(|k| (known_axes(k), std::cmp::Reverse(*k)));
                best.map_or_else(unknown, |k| of(k).clone())
            }
            Op::Reduce { axes, keep, .. } => {
                let kept = of(0).iter().enumerate();
                kept.filter_map(|(i, a)| match axes.contains(&i) {
                    true => keep.then_some(Axis::Other),
                    false => Some(*a),
                })
                .collect()
            }
            Op::Concat { axis } => self.concatenated(id, *axis, known),
            Op::Select { axis, index } => {
                let mut axes = of(0).clone();
                if let Axis::Positions { rows, columns, before } = axes[*axis] {
                    let n = self.node(node.inputs[0]).shape[*axis];
                    if before == 0 && index.len() == n && index.iter().rev().copied().eq(0..n) {
                        return axes;
                    }
                    let kept = index.first().filter(|first| {
                        let places = before..before + rows * columns;
                        **first <= before
                            && index.iter().enumerate().all(|(i, at)| *at == **first + i)
                            && places.end <= **first + index.len()
                    });
                    axes[*axis] =
                        kept.map_or(Axis::Other, |first| Axis::Positions { rows, columns, before: before - first });
                }
                axes
            }
            Op::Reshape(to) => {
                let from = &self.node(node.inputs[0]).shape;
                // A convolution over a volume is one over planes, whose rows are then parted into slices again.
                let apart = of(0)[..] == [Axis::Channel, Axis::Row, Axis::Column] && to.len() == 4 && to[0] == from[0];
                match apart && self.is_over_volumes() && (to[1] == from[1] || to[3] == from[2]) {
                    true => vec![Axis::Channel, Axis::Depth, Axis::Row, Axis::Column],
                    false => reshaped(of(0), from, &node.shape),
                }
            }
            Op::Transpose(perm) => perm.iter().map(|from| of(0)[*from]).collect(),
        }
    }

    /// Whether the net's input is a volume: channels x depth x rows x columns, over which windows slide.
    pub fn is_over_volumes(&self) -> bool {
        self.node(self.input()).shape.len() == 4 && self.has_windows()
    }

    /// The node that computed the map of `id`: `id` itself in a net over images. In nets over signals and volumes, helper nodes that
    /// only reshape a map are skipped, back to the layer that the file names.
    pub fn before_helpers(&self, mut id: NodeId) -> NodeId {
        if self.is_over_images() {
            return id;
        }
        let layouts = self.map_layouts();
        while matches!(self.node(id).op, Op::Reshape(_)) {
            let before = self.node(id).inputs[0];
            let own_helper = self.node(before).name.starts_with(&format!("{}/", self.node(id).name));
            if own_helper || layouts[before.0].map(|l| l.shape) != layouts[id.0].map(|l| l.shape) {
                break;
            }
            id = before;
        }
        id
    }

    /// Whether the net's input is channels x rows x columns.
    pub fn is_over_images(&self) -> bool {
        self.node(self.input()).shape.len() == 3
    }

    /// Whether a convolution or a pool is among the nodes.
    fn has_windows(&self) -> bool {
        let slides = |op: &Op| matches!(op, Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::MaxPool(_) | Op::AvgPool(_));
        self.nodes().iter().any(|node| slides(&node.op))
    }

    fn concatenated(&self, id: NodeId, axis: usize, known: &[Vec<Axis>]) -> Vec<Axis> {
        let node = self.node(id);
        let known_axes = |k: &usize| known[node.inputs[*k].0].iter().any(|a| *a != Axis::Other);
        let Some(first) = (0..node.inputs.len()).find(known_axes) else { return vec![Axis::Other; node.shape.len()] };
        let mut axes = known[node.inputs[first].0].clone();
        let before_it: usize = node.inputs[..first].iter().map(|i| self.node(*i).shape[axis]).sum();
        match &mut axes[axis] {
            Axis::Positions { before, .. } => *before += before_it,
            Axis::Depth | Axis::Row | Axis::Column => axes[axis] = Axis::Other,
            Axis::Channel | Axis::Other => {}
        }
        axes
    }
}

/// The axes after a reshape: unchanged axes keep their meaning, rows and columns merge into positions and split again.
fn reshaped(axes: &[Axis], from: &[usize], to: &[usize]) -> Vec<Axis> {
    let mut out = vec![Axis::Other; to.len()];
    let (mut i, mut j) = (0, 0);
    while i < from.len() && j < to.len() {
        let (begin, target) = (i, j);
        let (mut a, mut b) = (from[i], to[j]);
        while a != b {
            if a < b {
                i += 1;
                let Some(n) = from.get(i) else { return out };
                a *= n;
            } else {
                j += 1;
                let Some(n) = to.get(j) else { return out };
                b *= n;
            }
        }
        let sides =
            |dims: &[usize], range: std::ops::Range<usize>| -> Vec<usize> { range.filter(|k| dims[*k] != 1).collect() };
        let (ins, outs) = (sides(from, begin..i + 1), sides(to, target..j + 1));
        match (&ins[..], &outs[..]) {
            ([k], [l]) => out[*l] = axes[*k],
            ([k, l], [m]) if axes[*k] == Axis::Row && axes[*l] == Axis::Column => {
                out[*m] = Axis::Positions { rows: from[*k], columns: from[*l], before: 0 };
            }
            ([k], [l, m]) => {
                if let Axis::Positions { rows, columns, before: 0 } = axes[*k]
                    && [to[*l], to[*m]] == [rows, columns]
                {
                    (out[*l], out[*m]) = (Axis::Row, Axis::Column);
                }
            }
            _ => {}
        }
        (i, j) = (i + 1, j + 1);
    }
    out
}

/// The layout of a map; in a net over images, only values with rows are maps.
fn layout(axes: &[Axis], shape: &[usize], images: bool) -> Option<MapLayout> {
    let mut strides = vec![1; shape.len()];
    for k in (0..shape.len().saturating_sub(1)).rev() {
        strides[k] = strides[k + 1] * shape[k + 1];
    }
    let unique = |wanted: Axis| {
        let mut found = axes.iter().enumerate().filter(|(_, a)| **a == wanted).map(|(k, _)| k);
        found.next().filter(|_| found.next().is_none())
    };
    if axes.iter().zip(shape).any(|(a, n)| *a == Axis::Other && *n > 1) {
        return None;
    }
    let channel = unique(Axis::Channel)?;
    let places = axes.iter().enumerate().find_map(|(k, a)| {
        let Axis::Positions { rows, columns, before } = a else { return None };
        Some((k, *rows, *columns, *before))
    });
    let depth = match unique(Axis::Depth) {
        None => 1,
        Some(slices) => {
            let row = unique(Axis::Row)?;
            if strides[slices] != strides[row] * shape[row] {
                return None;
            }
            shape[slices]
        }
    };
    match (unique(Axis::Row), unique(Axis::Column), places) {
        (Some(row), Some(column), None) => Some(MapLayout {
            shape: [shape[channel], depth * shape[row], shape[column]],
            depth,
            strides: [strides[channel], strides[row], strides[column]].map(|s| s as isize),
            first: 0,
        }),
        (None, Some(column), None) if !images && !axes.iter().any(|a| matches!(a, Axis::Row | Axis::Depth)) => {
            Some(MapLayout {
                shape: [shape[channel], 1, shape[column]],
                depth: 1,
                strides: [strides[channel], shape[column] * strides[column], strides[column]].map(|s| s as isize),
                first: 0,
            })
        }
        (None, None, Some((k, rows, columns, before))) => Some(MapLayout {
            shape: [shape[channel], rows, columns],
            depth: 1,
            strides: [strides[channel], strides[k] * columns, strides[k]].map(|s| s as isize),
            first: before * strides[k],
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: Axis = Axis::Positions { rows: 4, columns: 6, before: 0 };

    #[test]
    fn reshapes_join_rows_and_columns_and_part_them_again() {
        let map = [Axis::Channel, Axis::Row, Axis::Column];
        assert_eq!(reshaped(&map, &[8, 4, 6], &[8, 24]), [Axis::Channel, TOKENS]);
        assert_eq!(reshaped(&[Axis::Channel, TOKENS], &[8, 24], &[8, 4, 6]), map);
        assert_eq!(reshaped(&[Axis::Channel, TOKENS], &[8, 24], &[8, 6, 4]), [Axis::Channel, Axis::Other, Axis::Other]);
        assert_eq!(reshaped(&map, &[8, 4, 6], &[1, 8, 4, 6])[1..], map);
        assert_eq!(reshaped(&map, &[8, 4, 6], &[192]), [Axis::Other]);
        assert_eq!(reshaped(&map, &[8, 4, 6], &[2, 4, 4, 6])[2..], [Axis::Row, Axis::Column]);
    }

    #[test]
    fn maps_are_gathered_from_where_they_lie() {
        let last = layout(&[Axis::Row, Axis::Column, Axis::Channel], &[2, 3, 2], true)
            .map(|l| l.gather(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
        assert_eq!(last, Some(vec![0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]));
        let tokens = [Axis::Positions { rows: 1, columns: 2, before: 1 }, Axis::Channel];
        let map = layout(&tokens, &[3, 2], true).map(|l| l.gather(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(map, Some(vec![2, 4, 3, 5]));
        assert_eq!(layout(&[Axis::Channel, Axis::Other], &[3, 2], false), None);
        let signal = layout(&[Axis::Channel, Axis::Column], &[3, 5], false);
        assert!(signal.is_some_and(|l| l.shape == [3, 1, 5] && l.depth == 1 && l.is_plain()));
        let volume = layout(&[Axis::Channel, Axis::Depth, Axis::Row, Axis::Column], &[3, 4, 5, 6], false);
        assert!(volume.is_some_and(|l| l.shape == [3, 20, 6] && l.depth == 4 && l.is_plain()));
    }
}
