//! Receptive fields: the part of the input that a unit of a map depends on.

use super::dag::{Graph, NodeId};
use super::op::{Op, Window};

/// The receptive field of the units of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReceptiveField {
    /// A window: unit (y, x) depends on `size[0]` input rows from `start[0] + y * stride[0]` on; columns likewise. Rows outside the
    /// input lie in the padding.
    Local {
        /// Height and width, px.
        size: [usize; 2],
        /// Rows and columns between the windows of neighbouring units, px.
        stride: [usize; 2],
        /// First row and column of the window of unit (0, 0).
        start: [isize; 2],
        /// Which of the node's axes are rows and columns; of a signal there are no rows.
        axes: [Option<usize>; 2],
    },
    /// The whole input.
    Whole,
    /// Nothing: the value is a constant.
    Nothing,
}

impl ReceptiveField {
    /// The window of unit (y, x), clipped to an input of `h` x `w`: top, left, bottom, right; the last two are exclusive.
    pub fn window(&self, y: usize, x: usize, [h, w]: [usize; 2]) -> [usize; 4] {
        let ReceptiveField::Local { size, stride, start, .. } = *self else { return [0, 0, h, w] };
        let axis = |a: usize, i: usize, n: usize| {
            let from = start[a] + (i * stride[a]) as isize;
            (from.clamp(0, n as isize) as usize, (from + size[a] as isize).clamp(0, n as isize) as usize)
        };
        let ((top, bottom), (left, right)) = (axis(0, y, h), axis(1, x, w));
        [top, left, bottom, right]
    }

    /// The centre of the window of unit (y, x), in input pixels (the middle of pixel 0 is 0.5).
    pub fn centre(&self, y: usize, x: usize, [h, w]: [usize; 2]) -> [f64; 2] {
        let ReceptiveField::Local { size, stride, start, .. } = *self else { return [h as f64 / 2.0, w as f64 / 2.0] };
        [0, 1].map(|a| start[a] as f64 + ([y, x][a] * stride[a]) as f64 + size[a] as f64 / 2.0)
    }
}

impl Graph {
    /// The receptive field of every node.
    pub fn fields(&self) -> Vec<ReceptiveField> {
        let mut fields: Vec<ReceptiveField> = Vec::with_capacity(self.nodes().len());
        for id in self.ids() {
            let field = self.field_at(id, &fields);
            fields.push(field);
        }
        fields
    }

    /// The receptive field of one node.
    pub fn field(&self, id: NodeId) -> ReceptiveField {
        self.fields()[id.0]
    }

    /// Whether the receptive field of each node is taken to be whole ([`ReceptiveField::Whole`]) only because the net enlarges,
    /// rearranges or joins maps in a way that is not followed.
    pub fn unfollowed_fields(&self) -> Vec<bool> {
        let fields = self.fields();
        let is_list = |id: NodeId| self.node(id).shape.iter().filter(|n| **n > 1).count() <= 1;
        let mut all = Vec::with_capacity(fields.len());
        for id in self.ids() {
            let node = self.node(id);
            let is_local = |k: &NodeId| matches!(fields[k.0], ReceptiveField::Local { .. });
            // A value that sees everything, or one of all places, leaves nothing open.
            let op = &node.op;
            let mixes = if matches!(op, Op::Linear { .. }) {
                node.inputs.iter().all(|k| is_list(*k))
            } else if matches!(op, Op::Reduce { .. } | Op::Reshape(_)) {
                is_list(id)
            } else if matches!(op, Op::LayerNorm { .. } | Op::Softmax { .. }) {
                node.inputs.iter().any(is_local)
            } else {
                matches!(op, Op::MatMul | Op::GroupNorm { .. })
            };
            let is_open = |k: &NodeId| all.get(k.0) == Some(&true);
            let sees_all = node.inputs.iter().any(|k| fields[k.0] == ReceptiveField::Whole && !is_open(k));
            let is_lost = node.inputs.iter().any(|k| is_local(k) || is_open(k));
            all.push(fields[id.0] == ReceptiveField::Whole && !mixes && !sees_all && is_lost);
        }
        all
    }

    fn field_at(&self, id: NodeId, known: &[ReceptiveField]) -> ReceptiveField {
        let node = self.node(id);
        let before = node.inputs.iter().map(|i| known[i.0]).reduce(union);
        match (&node.op, before) {
            // What is seen of the input that the net is asked with.
            (Op::Input, _) if id != self.input => ReceptiveField::Nothing,
            (Op::Input, _) if node.shape.len() == 3 => {
                ReceptiveField::Local { size: [1, 1], stride: [1, 1], start: [0, 0], axes: [Some(1), Some(2)] }
            }
            (Op::Input, _) if matches!(node.shape.len(), 1 | 2) => {
                let last = node.shape.len() - 1;
                ReceptiveField::Local { size: [1, 1], stride: [1, 1], start: [0, 0], axes: [None, Some(last)] }
            }
            (Op::Input, _) => ReceptiveField::Whole,
            (Op::Constant(_), _) | (_, None) | (_, Some(ReceptiveField::Nothing)) => ReceptiveField::Nothing,
            (_, Some(ReceptiveField::Whole)) => ReceptiveField::Whole,
            (op, Some(ReceptiveField::Local { size, stride, start, axes })) => {
                let local = |size, stride, start, axes| ReceptiveField::Local { size, stride, start, axes };
                match op {
                    Op::Conv2d(c) => slide(c.window, size, stride, start, axes),
                    Op::MaxPool(p) | Op::AvgPool(p) => slide(p.window, size, stride, start, axes),
                    Op::Activation(_)
                    | Op::Binary(_)
                    | Op::Identity
                    | Op::BatchNorm { .. }
                    | Op::LocalResponseNorm { .. } => local(size, stride, start, axes),
                    Op::Concat { axis } | Op::Select { axis, .. } | Op::Softmax { axis, .. }
                        if !axes.contains(&Some(*axis)) =>
                    {
                        local(size, stride, start, axes)
                    }
                    Op::Select { axis, index } if evenly(index).is_some() => {
                        let along =
                            |a: usize| if axes[a] == Some(*axis) { evenly(index) } else { None }.unwrap_or((0, 1));
                        let (from, step) = ([0, 1].map(|a| along(a).0), [0, 1].map(|a| along(a).1));
                        let start = [0, 1].map(|a| start[a] + (from[a] * stride[a]) as isize);
                        local(size, [0, 1].map(|a| stride[a] * step[a]), start, axes)
                    }
                    Op::LayerNorm { axis, .. } if axes.iter().flatten().all(|a| a < axis) => {
                        local(size, stride, start, axes)
                    }
                    Op::Linear { .. } if !axes.contains(&Some(node.shape.len() - 1)) => {
                        local(size, stride, start, axes)
                    }
                    Op::Reduce { axes: gone, keep, .. } if !gone.iter().any(|a| axes.contains(&Some(*a))) => {
                        let moved = |a: usize| if *keep { a } else { a - gone.iter().filter(|g| **g < a).count() };
                        local(size, stride, start, axes.map(|a| a.map(moved)))
                    }
                    Op::Transpose(perm) => {
                        let to = |a: usize| perm.iter().position(|p| *p == a).unwrap_or(a);
                        local(size, stride, start, axes.map(|a| a.map(to)))
                    }
                    Op::Pad { pads, .. } => {
                        let shift = |i: usize| start[i] - (axes[i].map_or(0, |a| pads[a].0) * stride[i]) as isize;
                        local(size, stride, [shift(0), shift(1)], axes)
                    }
                    Op::Reshape(to) => reshaped(axes, &self.node(node.inputs[0]).shape, to)
                        .map_or(ReceptiveField::Whole, |axes| local(size, stride, start, axes)),
                    Op::Input
                    | Op::Constant(_)
                    | Op::ConvTranspose2d(..)
                    | Op::Linear { .. }
                    | Op::MatMul
                    | Op::LayerNorm { .. }
                    | Op::GroupNorm { .. }
                    | Op::Reduce { .. }
                    | Op::Softmax { .. }
                    | Op::Concat { .. }
                    | Op::Select { .. }
                    | Op::Order { .. }
                    | Op::Pick { .. }
                    | Op::Resize { .. } => ReceptiveField::Whole,
                }
            }
        }
    }
}

/// The first of evenly spaced, rising entries, and the step between them.
fn evenly(index: &[usize]) -> Option<(usize, usize)> {
    let first = *index.first()?;
    let step = index.get(1).map_or(Some(1), |second| second.checked_sub(first))?;
    (step > 0 && index.iter().enumerate().all(|(i, at)| *at == first + i * step)).then_some((first, step))
}

/// The axes of rows and columns after a reshape that leaves them as they are; an axis of one row may be added or dropped.
fn reshaped(axes: [Option<usize>; 2], from: &[usize], to: &[usize]) -> Option<[Option<usize>; 2]> {
    let (r, s) = (from.len(), to.len());
    let last = |shape: &[usize], back: usize| shape.len().checked_sub(back).map(|i| shape[i]);
    let in_place = axes[1] == Some(r.checked_sub(1)?) && last(from, 1) == last(to, 1);
    let row = |shape: &[usize]| last(shape, 2) == Some(1);
    match axes[0] {
        _ if !in_place => None,
        Some(a) if a + 2 == r && s >= 2 && last(from, 2) == last(to, 2) => Some([Some(s - 2), Some(s - 1)]),
        Some(a) if a + 2 == r && !row(from) => None,
        Some(a) if a + 2 != r => None,
        Some(_) | None => Some([row(to).then(|| s - 2), Some(s - 1)]),
    }
}

/// The receptive field after a sliding window; where a net has exchanged rows and columns, the window's rows slide over columns.
fn slide(
    w: Window,
    size: [usize; 2],
    stride: [usize; 2],
    start: [isize; 2],
    axes: [Option<usize>; 2],
) -> ReceptiveField {
    let turned = matches!(axes, [Some(rows), Some(columns)] if rows > columns);
    let over = |of_window: [usize; 2]| if turned { [of_window[1], of_window[0]] } else { of_window };
    let (span, step, before) = (over(w.span()), over(w.stride), over([w.padding.top, w.padding.left]));
    ReceptiveField::Local {
        size: [0, 1].map(|a| size[a] + (span[a] - 1) * stride[a]),
        start: [0, 1].map(|a| start[a] - (before[a] * stride[a]) as isize),
        stride: [0, 1].map(|a| stride[a] * step[a]),
        axes,
    }
}

/// The smallest field that contains both.
fn union(a: ReceptiveField, b: ReceptiveField) -> ReceptiveField {
    match (a, b) {
        (ReceptiveField::Nothing, other) | (other, ReceptiveField::Nothing) => other,
        (
            ReceptiveField::Local { size: s, stride: t, start: u, axes },
            ReceptiveField::Local { size: s2, stride: t2, start: u2, axes: axes2 },
        ) if t == t2 && axes == axes2 => {
            let start = [0, 1].map(|i| u[i].min(u2[i]));
            let size = [0, 1].map(|i| ((u[i] + s[i] as isize).max(u2[i] + s2[i] as isize) - start[i]) as usize);
            ReceptiveField::Local { size, stride: t, start, axes }
        }
        _ => ReceptiveField::Whole,
    }
}
