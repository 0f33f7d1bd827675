//! Where the cells along one axis of a map lie on the input: pieces of evenly spaced cells, one for most nets, two behind a roll.

use super::window::Window;
use smallvec::SmallVec;

/// Neighbouring cells of a map that lie evenly beside each other on the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// Cells.
    pub cells: usize,
    /// The outer edges of the first and the last cell, px; the first lies behind the last where the net has mirrored its input.
    pub edges: [f64; 2],
}

/// The pieces of an axis, in the order of its cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line(SmallVec<[Piece; 1]>);

/// The most pieces that are followed.
const MAX_PIECES: usize = 64;

impl Line {
    /// Evenly spaced cells between two edges.
    pub fn even(cells: usize, edges: [f64; 2]) -> Self {
        Line(SmallVec::from_slice(&[Piece { cells, edges }]))
    }

    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.0.iter().map(|p| p.cells).sum()
    }

    /// All pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The outer edges, where the cells are one piece.
    pub fn edges(&self) -> Option<[f64; 2]> {
        match self.0[..] {
            [Piece { edges, .. }] => Some(edges),
            _ => None,
        }
    }

    /// With further cells behind the last; what goes on evenly stays one piece.
    fn push(&mut self, piece: Piece) {
        let pitch = |p: &Piece| (p.edges[1] - p.edges[0]) / p.cells as f64;
        if let Some(last) = self.0.last_mut() {
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * (1.0 + pitch(last).abs());
            if near(last.edges[1], piece.edges[0]) && near(pitch(last), pitch(&piece)) {
                (last.cells, last.edges[1]) = (last.cells + piece.cells, piece.edges[1]);
                return;
            }
        }
        self.0.push(piece);
    }

    fn of(pieces: impl IntoIterator<Item = Piece>) -> Option<Self> {
        let mut line = Line(SmallVec::new());
        for piece in pieces {
            line.push(piece);
            if line.0.len() > MAX_PIECES {
                return None;
            }
        }
        (!line.0.is_empty()).then_some(line)
    }

    /// The cells from the last to the first.
    pub fn reversed(&self) -> Self {
        Line(self.0.iter().rev().map(|p| Piece { edges: [p.edges[1], p.edges[0]], ..*p }).collect())
    }

    /// Each run of `step` cells as one.
    pub fn coarse(&self, step: usize) -> Option<Self> {
        self.0.iter().all(|p| p.cells % step == 0).then(|| self.scaled(|n| n / step))
    }

    /// Each cell as `times`.
    pub fn fine(&self, times: usize) -> Self {
        self.scaled(|n| n * times)
    }

    /// Resized to `to` cells over the same stretch.
    pub fn resized(&self, to: usize) -> Option<Self> {
        let n = self.cells();
        let whole = self.0.len() == 1 || self.0.iter().all(|p| (p.cells * to).is_multiple_of(n));
        whole.then(|| self.scaled(|cells| cells * to / n))
    }

    fn scaled(&self, cells: impl Fn(usize) -> usize) -> Self {
        Line(self.0.iter().map(|p| Piece { cells: cells(p.cells), ..*p }).collect())
    }

    /// With as many cells before and behind, which lie evenly on.
    pub fn padded(&self, head: usize, tail: usize) -> Option<Self> {
        if let Some(edges) = self.edges() {
            let n = self.cells() as f64;
            let cells = self.cells() + head + tail;
            return Some(Line::even(cells, along(edges, [-(head as f64) / n, 1.0 + tail as f64 / n])));
        }
        let (first, last) = (self.0.first()?, self.0.last()?);
        let pitch = |p: &Piece| (p.edges[1] - p.edges[0]) / p.cells as f64;
        let before = Piece { cells: head, edges: [first.edges[0] - head as f64 * pitch(first), first.edges[0]] };
        let behind = Piece { cells: tail, edges: [last.edges[1], last.edges[1] + tail as f64 * pitch(last)] };
        Line::of([before].into_iter().chain(self.0.iter().copied()).chain([behind]).filter(|p| p.cells > 0))
    }

    /// With the cells of another behind.
    pub fn followed_by(&self, other: &Self) -> Option<Self> {
        Line::of(self.0.iter().chain(&other.0).copied())
    }

    /// The edges of cell `i`.
    fn cell(&self, i: usize) -> Option<[f64; 2]> {
        let mut first = 0;
        for p in &self.0 {
            if i < first + p.cells {
                let n = p.cells as f64;
                return Some(along(p.edges, [(i - first) as f64 / n, (i + 1 - first) as f64 / n]));
            }
            first += p.cells;
        }
        None
    }

    /// The stretch between two places that are counted in cells; none where it lies over an end of a piece. Beyond the outer edges
    /// the first and the last piece go on.
    fn stretch(&self, [from, to]: [f64; 2]) -> Option<[f64; 2]> {
        let mut first = 0.0;
        for (k, p) in self.0.iter().enumerate() {
            let n = p.cells as f64;
            let inside = (k == 0 || from >= first - 1e-6) && (k + 1 == self.0.len() || to <= first + n + 1e-6);
            if (inside && (from + to) / 2.0 < first + n) || k + 1 == self.0.len() {
                return inside.then(|| along(p.edges, [(from - first) / n, (to - first) / n]));
            }
            first += n;
        }
        None
    }

    /// The line of `out` cells that lie evenly between two places, counted in cells of this one.
    pub fn resampled(&self, out: usize, [first, last]: [f64; 2]) -> Option<Self> {
        let n = self.cells() as f64;
        if let Some(edges) = self.edges() {
            return Some(Line::even(out, along(edges, [first / n, last / n])));
        }
        let step = (last - first) / out as f64;
        let each = (0..out).map(|i| self.stretch([first + i as f64 * step, first + (i + 1) as f64 * step]));
        Line::of(each.collect::<Option<Vec<_>>>()?.into_iter().map(|edges| Piece { cells: 1, edges }))
    }

    /// The same with outer edges within half a cell of those of an input of `side` moved there.
    pub fn snapped(mut self, side: f64) -> Self {
        if let [piece] = &mut self.0[..] {
            let half = ((piece.edges[1] - piece.edges[0]) / piece.cells as f64).abs() / 2.0 + 1e-9;
            let near = |edge: f64| [0.0, side].into_iter().find(|own| (edge - own).abs() <= half).unwrap_or(edge);
            let moved = piece.edges.map(near);
            piece.edges = if moved[0] == moved[1] { piece.edges } else { moved };
        }
        self
    }

    /// Some of the cells, in any order. A step stands for all cells that it skips, cells that are repeated lie beside each other.
    pub fn selected(&self, index: &[usize]) -> Option<Self> {
        let n = self.cells();
        let times = index.iter().take_while(|i| **i == index[0]).count();
        let is_repeated = times > 1
            && index.len().is_multiple_of(times)
            && index.chunks(times).all(|c| c.iter().all(|i| *i == c[0]))
            && index.chunks(times).zip(index.chunks(times).skip(1)).all(|(a, b)| a[0] != b[0]);
        if is_repeated {
            let once: Vec<usize> = index.iter().step_by(times).copied().collect();
            return Some(self.selected(&once)?.fine(times));
        }
        if let (Some(edges), Some(part)) = (self.edges(), selected(index, n)) {
            return Some(Line::even(index.len(), along(edges, part)));
        }
        if resizes(index, n) {
            return self.resized(index.len());
        }
        let step = index.get(1).map_or(1, |second| index[0].abs_diff(*second));
        if step > 1 && index.windows(2).all(|p| p[0].abs_diff(p[1]) == step) {
            let stretch = |i: &usize| {
                let (low, high) = (i / step * step, (i / step * step + step).min(n));
                let [low, high] = self.stretch([low as f64, high as f64])?;
                Some(if index[1] < index[0] { [high, low] } else { [low, high] })
            };
            let each = index.iter().map(stretch).collect::<Option<Vec<_>>>()?;
            return Line::of(each.into_iter().map(|edges| Piece { cells: 1, edges }));
        }
        // Where neighbours stand in reverse order, cells are turned over.
        let falls = index.windows(2).filter(|p| p[0] == p[1] + 1).count() * 2 > index.len();
        let each = index.iter().map(|i| self.cell(*i)).collect::<Option<Vec<_>>>()?;
        Line::of(each.into_iter().map(|[a, b]| Piece { cells: 1, edges: if falls { [b, a] } else { [a, b] } }))
    }

    /// Of two lines of as many cells, which lie beside each other by less than two cells and a quarter of them, the one that is
    /// nearer to an input of `side`; none of others.
    pub fn joined<'a>(&'a self, other: &'a Self, side: f64) -> Option<&'a Self> {
        if self == other {
            return Some(self);
        }
        let (a, b) = (self.edges()?, other.edges()?);
        let n = self.cells() as f64;
        let pitch = [a, b].map(|e| ((e[1] - e[0]) / n).abs()).into_iter().fold(0.0, f64::max);
        let slack = pitch * 2f64.min(n / 4.0) + 1e-6;
        let is_near = other.cells() == self.cells() && (0..2).all(|k| (a[k] - b[k]).abs() <= slack);
        let off = |e: [f64; 2]| e[0].min(e[1]).abs() + (e[0].max(e[1]) - side).abs();
        is_near.then_some(if off(b) < off(a) { other } else { self })
    }
}

/// Whether a selection is a resize by the nearest entry: rising steps of two neighbouring sizes, from one end to the other.
fn resizes(index: &[usize], n: usize) -> bool {
    let (Some(first), Some(last)) = (index.first(), index.last()) else { return false };
    let ratio = n as f64 / index.len() as f64;
    let step = ratio.floor() as usize;
    let even = |p: &[usize]| p[1].checked_sub(p[0]).is_some_and(|d| d == step || d == step + 1);
    let near = |(i, at): (usize, &usize)| (*at as f64 - i as f64 * ratio).abs() <= ratio.max(1.0) + 1e-9;
    // Steps of one size are a part of the axis, not all of it.
    let is_uneven = index.windows(3).any(|p| p[0].abs_diff(p[1]) != p[1].abs_diff(p[2]));
    *first <= step
        && n - 1 - last <= step + 1
        && index.windows(2).all(even)
        && index.iter().enumerate().all(near)
        && is_uneven
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
pub(super) fn slid(w: Window, a: usize, out: usize, n: usize) -> [f64; 2] {
    let (span, step) = (w.span()[a] as f64, w.stride[a] as f64);
    let padding = [w.padding.top, w.padding.left][a] as f64;
    let first = (span - step) / 2.0 - padding;
    snapped([first, first + out as f64 * step], n, step / 2.0)
}

/// The same for a transposed convolution.
pub(super) fn spread(w: Window, a: usize, out: usize, n: usize) -> [f64; 2] {
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
    #![allow(clippy::unwrap_used)]
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

    fn pieces(line: &Line) -> Vec<(usize, [f64; 2])> {
        line.pieces().iter().map(|p| (p.cells, p.edges)).collect()
    }

    #[test]
    fn a_selection_is_a_part_of_its_axis() {
        let line = Line::even(8, [0.0, 8.0]);
        let of = |range: &[usize]| pieces(&line.selected(range).unwrap());
        assert_eq!(of(&[2, 3, 4, 5]), [(4, [2.0, 6.0])]);
        assert_eq!(of(&[7, 6, 5, 4, 3, 2, 1, 0]), [(8, [8.0, 0.0])]);
        // Every other row: a map of half the size over all of it, from either row on.
        assert_eq!(of(&[0, 2, 4, 6]), [(4, [0.0, 8.0])]);
        assert_eq!(of(&[1, 3, 5, 7]), [(4, [0.0, 8.0])]);
        assert_eq!(of(&[3]), [(1, [3.0, 4.0])]);
        assert_eq!(of(&[0, 0, 1, 1]), [(4, [0.0, 2.0])]);
        assert_eq!(of(&[4, 5, 6, 7, 0, 1, 2, 3]), [(4, [4.0, 8.0]), (4, [0.0, 4.0])]);
    }

    #[test]
    fn a_roll_that_is_undone_is_none() {
        let line = Line::even(8, [0.0, 64.0]);
        let part = |line: &Line, range: std::ops::Range<usize>| line.selected(&range.collect::<Vec<_>>()).unwrap();
        let rolled = part(&line, 3..8).followed_by(&part(&line, 0..3)).unwrap();
        assert_eq!(pieces(&rolled), [(5, [24.0, 64.0]), (3, [0.0, 24.0])]);
        let back = part(&rolled, 5..8).followed_by(&part(&rolled, 0..5)).unwrap();
        assert_eq!(pieces(&back), [(8, [0.0, 64.0])]);
        // Windows of one cell leave it, those over an end of a piece are not followed.
        assert_eq!(rolled.resampled(8, [0.0, 8.0]).unwrap(), rolled);
        assert_eq!(rolled.resampled(4, [0.0, 8.0]), None);
        assert_eq!(pieces(&part(&line, 4..8).followed_by(&part(&line, 0..4)).unwrap().coarse(2).unwrap()).len(), 2);
    }

    #[test]
    fn lines_join_where_they_lie_beside_each_other_by_less_than_two_cells() {
        let whole = Line::even(14, [0.0, 224.0]);
        let shifted = Line::even(14, [8.0, 232.0]);
        assert_eq!(whole.joined(&shifted, 224.0), Some(&whole));
        assert_eq!(shifted.joined(&whole, 224.0), Some(&whole));
        assert_eq!(whole.joined(&Line::even(14, [56.0, 168.0]), 224.0), None);
        assert_eq!(Line::even(2, [0.0, 4.0]).joined(&Line::even(2, [4.0, 8.0]), 8.0), None);
    }
}
