//! Which part of the input a map lies over: a net may crop, pad or mirror its input, and windows without padding lose its border.

use super::axes::Axis;
use super::dag::{Graph, NodeId};
use super::op::{Op, Window};

/// Where the outer edges of a map lie on the input, px. Where a net has mirrored its input, the first edge lies behind the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cover {
    /// The upper edge of the first row and the lower edge of the last.
    pub rows: [f64; 2],
    /// The left edge of the first column and the right edge of the last.
    pub columns: [f64; 2],
}

impl Cover {
    /// Whether the map's rows, and its columns, run against the input's.
    pub fn mirrored(&self) -> [bool; 2] {
        [self.rows, self.columns].map(|[first, last]| first > last)
    }

    /// Top, left, bottom, right on the input, px.
    fn rectangle(&self) -> [f64; 4] {
        let [[t, b], [l, r]] = [self.rows, self.columns].map(ordered);
        [t, l, b, r]
    }

    /// The smallest one that contains both; what joins a mirrored and a straight map is straight.
    fn with(self, other: Self) -> Self {
        let hull = |a: [f64; 2], b: [f64; 2]| {
            let (c, d) = (ordered(a), ordered(b));
            let both = [c[0].min(d[0]), c[1].max(d[1])];
            if a[0] > a[1] && b[0] > b[1] { [both[1], both[0]] } else { both }
        };
        Cover { rows: hull(self.rows, other.rows), columns: hull(self.columns, other.columns) }
    }

    /// The same with the edges along an axis of rows or columns cut anew.
    fn cut(mut self, axis: Axis, change: impl Fn([f64; 2]) -> [f64; 2]) -> Self {
        match axis {
            Axis::Row => self.rows = change(self.rows),
            Axis::Column => self.columns = change(self.columns),
            Axis::Positions { .. } => (self.rows, self.columns) = (change(self.rows), change(self.columns)),
            Axis::Channel | Axis::Depth | Axis::Other => {}
        }
        self
    }
}

impl Graph {
    /// The rectangle of the input that the map of a node lies over: top, left, bottom, right, px, below 0 or beyond the input where
    /// the net pads it. None where the map lies over the whole input, within `tolerance` (a share of its sides). A map whose windows
    /// overlap or have strides is taken to fill the input that they slide over, as is usual.
    pub fn part_covered(&self, id: NodeId, tolerance: f64) -> Option<[f64; 4]> {
        let size = self.sides();
        let found = self.covers(&self.axes())[id.0].rectangle();
        let whole = [0.0, 0.0, size[0], size[1]];
        let is_off = |k: usize| (found[k] - whole[k]).abs() > tolerance * size[k % 2] + 1e-9;
        (self.is_plane() && (0..4).any(is_off)).then_some(found)
    }

    /// The cover of every node's map, given all nodes' axes.
    pub(super) fn covers(&self, axes: &[Vec<Axis>]) -> Vec<Cover> {
        let [rows, columns] = self.sides();
        let whole = Cover { rows: [0.0, rows], columns: [0.0, columns] };
        let mut all: Vec<Cover> = Vec::with_capacity(axes.len());
        for id in self.ids() {
            let is_map = |k: &&NodeId| axes[k.0].iter().any(|a| !matches!(a, Axis::Channel | Axis::Other));
            let before = self.node(id).inputs.iter().filter(is_map).map(|k| all[k.0]).reduce(Cover::with);
            all.push(before.map_or(whole, |before| self.cover_at(id, before, axes)));
        }
        all
    }

    fn cover_at(&self, id: NodeId, before: Cover, axes: &[Vec<Axis>]) -> Cover {
        let node = self.node(id);
        let Some(input) = node.inputs.first() else { return before };
        let (from, of) = (&self.node(*input).shape, &axes[input.0]);
        let windows = |reach: &dyn Fn(usize) -> [f64; 2]| {
            // Windows slide over the last two axes.
            let first = from.len().saturating_sub(2);
            (first..from.len()).fold(before, |cover, a| {
                let n = from[a] as f64;
                cover.cut(of[a], |edges| along(edges, reach(a - first).map(|v| v / n)))
            })
        };
        match &node.op {
            Op::Conv2d(c) => windows(&|a| slid(c.window, a, node.shape[1 + a], from[1 + a])),
            Op::MaxPool(p) | Op::AvgPool(p) => windows(&|a| slid(p.window, a, node.shape[1 + a], from[1 + a])),
            Op::ConvTranspose2d(c, _) => windows(&|a| spread(c.window, a, node.shape[1 + a], from[1 + a])),
            Op::Pad { pads, .. } => (0..from.len()).fold(before, |cover, a| {
                let (n, (head, tail)) = (from[a] as f64, pads[a]);
                cover.cut(of[a], |edges| along(edges, [-(head as f64) / n, 1.0 + tail as f64 / n]))
            }),
            Op::Select { axis, index } => match selected(index, from[*axis]) {
                Some(part) => before.cut(of[*axis], |edges| along(edges, part)),
                None => before,
            },
            Op::Input
            | Op::Constant(_)
            | Op::Linear { .. }
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Binary(_)
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::Concat { .. }
            | Op::Order { .. }
            | Op::Pick { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Resize { .. }
            | Op::Identity => before,
        }
    }

    /// Whether the input has rows and columns, or samples, and no slices.
    fn is_plane(&self) -> bool {
        matches!(self.node(self.input()).shape.len(), 2 | 3)
    }

    /// Rows and columns of the input; a signal has one row.
    fn sides(&self) -> [f64; 2] {
        match self.node(self.input()).shape[..] {
            [_, rows, columns] => [rows as f64, columns as f64],
            [_, columns] => [1.0, columns as f64],
            _ => [1.0, 1.0],
        }
    }
}

fn ordered([a, b]: [f64; 2]) -> [f64; 2] {
    [a.min(b), a.max(b)]
}

/// The edges of a part of an axis, given in shares of it.
fn along([first, last]: [f64; 2], part: [f64; 2]) -> [f64; 2] {
    part.map(|share| if share == 1.0 { last } else { first + share * (last - first) })
}

/// The part of an axis of `n` entries that evenly spaced entries of it stand for, in shares; a step stands for all that it skips.
/// None for entries in no order.
fn selected(index: &[usize], n: usize) -> Option<[f64; 2]> {
    let (first, last) = (*index.first()?, *index.last()?);
    let step = index.get(1).map_or(1, |second| first.abs_diff(*second));
    let even = |pair: &[usize]| pair[0].abs_diff(pair[1]) == step && (pair[1] > pair[0]) == (last > first);
    if step == 0 || !index.windows(2).all(even) {
        return None;
    }
    let (low, high) = (first.min(last) / step * step, (first.max(last) / step * step + step).min(n));
    let [low, high] = [low, high].map(|edge| edge as f64 / n as f64);
    Some(if last < first { [high, low] } else { [low, high] })
}

/// The edges of the result of sliding windows along axis `a`, in entries of the input of `n`. An edge within half a step of the
/// input's is the input's.
fn slid(w: Window, a: usize, out: usize, n: usize) -> [f64; 2] {
    let (span, step) = (w.span()[a] as f64, w.stride[a] as f64);
    let padding = [w.padding.top, w.padding.left][a] as f64;
    let first = (span - step) / 2.0 - padding;
    snapped([first, first + out as f64 * step], n, step / 2.0)
}

/// The same for a transposed convolution.
fn spread(w: Window, a: usize, out: usize, n: usize) -> [f64; 2] {
    let (span, step) = (w.span()[a] as f64, w.stride[a] as f64);
    let padding = [w.padding.top, w.padding.left][a] as f64;
    let first = (padding - (span - step) / 2.0) / step;
    snapped([first, first + out as f64 / step], n, 0.5)
}

fn snapped([first, last]: [f64; 2], n: usize, within: f64) -> [f64; 2] {
    let n = n as f64;
    [if first.abs() <= within { 0.0 } else { first }, if (last - n).abs() <= within { n } else { last }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_windows_fill_what_they_slide_over() {
        for (n, k, s, p) in
            [(224, 7, 2, 3), (112, 3, 2, 1), (56, 3, 1, 1), (14, 2, 2, 0), (224, 16, 16, 0), (55, 3, 2, 0)]
        {
            let window = Window::square(k, s, p);
            let out = (n + 2 * p - k) / s + 1;
            assert_eq!(slid(window, 0, out, n), [0.0, n as f64], "{k} x {k}, step {s}, padding {p}");
        }
        // Without padding a window of 5 loses two entries at each edge.
        assert_eq!(slid(Window::square(5, 1, 0), 1, 24, 28), [2.0, 26.0]);
        assert_eq!(spread(Window::square(4, 2, 1), 0, 28, 14), [0.0, 14.0]);
        // A window of 64 that steps by 32 reaches half a step beyond.
        assert_eq!(spread(Window::square(96, 32, 0), 0, 96 + 32, 2), [-1.0, 3.0]);
    }

    #[test]
    fn a_selection_is_a_part_of_its_axis() {
        let of = |range: &[usize]| selected(range, 8);
        assert_eq!(of(&[2, 3, 4, 5]), Some([0.25, 0.75]));
        assert_eq!(of(&[7, 6, 5, 4, 3, 2, 1, 0]), Some([1.0, 0.0]));
        // Every other row: a map of half the size over all of it, from either row on.
        assert_eq!(of(&[0, 2, 4, 6]), Some([0.0, 1.0]));
        assert_eq!(of(&[1, 3, 5, 7]), Some([0.0, 1.0]));
        assert_eq!(of(&[0, 1, 3]), None);
        assert_eq!(of(&[3]), Some([3.0 / 8.0, 0.5]));
    }
}
