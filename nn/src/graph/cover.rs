//! Which part of the input a map lies over: a net may crop, pad, mirror or roll its input, and windows without padding lose its
//! border. What is not followed is said to be unknown.

use super::atoms::{Atom, is_free, line_of};
use super::axes::{Axis, MapLayout};
use super::dag::{Graph, NodeId};
use super::line::{Line, Piece};
use super::op::Op;
use super::places::Places;

/// Where a map lies on the input.
#[derive(Clone, Debug, PartialEq)]
pub enum MapPlace {
    /// Over all of it.
    Whole,
    /// Over a rectangle: top, left, bottom, right, px, below 0 or beyond the input where the net pads it.
    Part([f64; 4]),
    /// In pieces along rows, and along columns, in the order of the map's rows and columns, as behind a roll.
    Pieces([Vec<Piece>; 2]),
    /// The net moves places at this node in a way that is not followed.
    Unknown(NodeId),
}

/// The lines of a map's rows and columns, where each is known or there is none.
type Lines = [Option<Line>; 2];

impl Graph {
    /// Where the map of a node lies on the input. It is whole within `tolerance` (a share of the input's sides). A map whose windows
    /// overlap or have strides is taken to fill the input that they slide over, as is usual.
    pub fn map_place(&self, id: NodeId, tolerance: f64) -> MapPlace {
        let Some(places) = self.places() else { return MapPlace::Whole };
        let Some(lines) = self.lines(&self.axes_by(Some(&places))[id.0], &places[id.0]) else {
            return MapPlace::Unknown(self.lost_at(id, &places));
        };
        let size = self.sides();
        let edges = [0, 1].map(|a| lines[a].as_ref().map_or(Some([0.0, size[a]]), Line::edges));
        let [Some([t, b]), Some([l, r])] = edges.map(|e| e.map(|[a, b]| [a.min(b), a.max(b)])) else {
            let pieces = |a: usize| lines[a].as_ref().map_or_else(|| whole(size[a]), |line| line.pieces().to_vec());
            return MapPlace::Pieces([pieces(0), pieces(1)]);
        };
        let (found, whole) = ([t, l, b, r], [0.0, 0.0, size[0], size[1]]);
        let is_off = |k: usize| (found[k] - whole[k]).abs() > tolerance * size[k % 2] + 1e-9;
        if (0..4).any(is_off) { MapPlace::Part(found) } else { MapPlace::Whole }
    }

    /// The rectangle of the input that the map of a node lies over, where that is known and not all of it ([`Graph::map_place`]).
    pub fn part_covered(&self, id: NodeId, tolerance: f64) -> Option<[f64; 4]> {
        match self.map_place(id, tolerance) {
            MapPlace::Part(part) => Some(part),
            MapPlace::Whole | MapPlace::Pieces(_) | MapPlace::Unknown(_) => None,
        }
    }

    /// Whether the rows, and the columns, of every node's map run against the input's.
    pub(super) fn mirrored(&self, axes: &[Vec<Axis>], places: Option<&[Places]>) -> Vec<[bool; 2]> {
        let Some(places) = places else { return vec![[false; 2]; axes.len()] };
        let falls = |line: Option<Line>| line.and_then(|l| l.edges()).is_some_and(|[first, last]| first > last);
        axes.iter().zip(places).map(|(axes, place)| self.lines(axes, place).unwrap_or_default().map(falls)).collect()
    }

    /// The lines of a value's rows and columns; none where one of them is not known.
    fn lines(&self, axes: &[Axis], places: &Places) -> Option<Lines> {
        let Places::Known(dims) = places else { return None };
        let mut lines = Lines::default();
        for (axis, dim) in axes.iter().zip(dims.iter()) {
            let parts = match axis {
                Axis::Row => [Some(&dim[..]), None],
                Axis::Column => [None, Some(&dim[..])],
                Axis::Positions { before, .. } => {
                    let inner = match &dim[..] {
                        [Atom::List { before: ahead, inner, .. }] if ahead == before => inner,
                        [Atom::List { .. }] => return None,
                        _ if *before > 0 && !is_free(dim) => return None,
                        _ => dim,
                    };
                    match &inner[..] {
                        [rows, columns] => [Some(std::slice::from_ref(rows)), Some(std::slice::from_ref(columns))],
                        inner if is_free(inner) => continue,
                        // Rows or columns of one entry leave no part.
                        [Atom::Along { axis: 0, .. }] => [Some(&inner[..]), None],
                        [Atom::Along { .. }] => [None, Some(&inner[..])],
                        _ => return None,
                    }
                }
                Axis::Channel | Axis::Depth | Axis::Other => continue,
            };
            for (at, part) in parts.into_iter().enumerate() {
                let Some(part) = part.filter(|part| !is_free(part)) else { continue };
                lines[at] = Some(line_of(part).filter(|(own, _)| *own == at)?.1);
            }
        }
        Some(lines)
    }

    /// Whether a value is a list of places of the input, row by row, possibly with several entries for each: it holds no scores of
    /// classes beside each other.
    pub fn is_list_of_places(&self, id: NodeId) -> bool {
        let shape = &self.node(id).shape;
        let mut long = (0..shape.len()).filter(|k| shape[*k] > 1);
        let (Some(axis), None) = (long.next(), long.next()) else { return false };
        if self.ends_in_a_vector(id) {
            return false;
        }
        let Some(places) = self.places() else { return false };
        let Places::Known(dims) = &places[id.0] else { return false };
        let parts = match &dims[axis][..] {
            [Atom::List { inner, .. }] => inner,
            _ => &dims[axis],
        };
        let along = |wanted: usize| parts.iter().any(|a| matches!(a, Atom::Along { axis, .. } if *axis == wanted));
        matches!(parts.first(), Some(Atom::Along { .. })) && along(0) && along(1)
    }

    /// Whether a value comes of a layer that mixes all places, seen without tracing the whole graph.
    fn ends_in_a_vector(&self, mut id: NodeId) -> bool {
        let keeps = |op: &Op| matches!(op, Op::Reshape(_) | Op::Identity | Op::Activation(_) | Op::Softmax { .. });
        while let (true, Some(before)) = (keeps(&self.node(id).op), self.node(id).inputs.first()) {
            id = *before;
        }
        let node = self.node(id);
        let is_list = |k: &NodeId| self.node(*k).shape.iter().filter(|n| **n > 1).count() <= 1;
        if let Op::Reduce { axes, .. } = &node.op {
            return axes.len() > 1;
        }
        matches!(node.op, Op::Linear { .. }) && node.inputs.iter().all(is_list)
    }

    /// The layout of a value that is one map written as a list, row by row, without an axis of channels.
    pub fn listed_map(&self, id: NodeId) -> Option<MapLayout> {
        let (axes, shape) = (&self.axes()[id.0], &self.node(id).shape);
        let mut long = (0..shape.len()).filter(|k| shape[*k] > 1);
        let (axis, None) = (long.next()?, long.next()) else { return None };
        let Axis::Positions { rows, columns, before: 0 } = axes[axis] else { return None };
        let strides = [shape[axis], columns, 1].map(|s| s as isize);
        (rows * columns == shape[axis]).then_some(MapLayout { shape: [1, rows, columns], depth: 1, strides, first: 0 })
    }

    /// The node by which the places of the map of `id` were lost.
    fn lost_at(&self, id: NodeId, places: &[Places]) -> NodeId {
        let is_placed = |id: NodeId| match &places[id.0] {
            Places::Known(dims) => dims.iter().flatten().any(|a| matches!(a, Atom::Along { .. } | Atom::List { .. })),
            Places::Moved(_) => false,
        };
        let reached = self.descendants(self.input());
        let mut at = id;
        loop {
            if let Places::Moved(by) = &places[at.0] {
                return self.named(*by);
            }
            let mut inputs = self.node(at).inputs.iter().copied().filter(|k| reached[k.0]);
            let Some(before) = inputs.clone().find(|k| !is_placed(*k)).or_else(|| inputs.next()) else { break };
            if is_placed(before) {
                break;
            }
            at = before;
        }
        self.named(at)
    }

    /// The node that the file names, of which `id` is a helper.
    fn named(&self, id: NodeId) -> NodeId {
        let name = &self.node(id).name;
        let owner = |(end, _): (usize, &str)| self.find(&name[..end]).filter(|later| *later > id);
        name.match_indices('/').find_map(owner).unwrap_or(id)
    }
}

fn whole(side: f64) -> Vec<Piece> {
    vec![Piece { cells: 1, edges: [0.0, side] }]
}
