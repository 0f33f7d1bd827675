//! A grid without an empty cell: each cell has the point that is nearest to its middle, so that a point may have several cells or
//! none (Karpathy's "full" mosaics of CS231n's page).

use crate::error::{Error, Kind, Result};
use crate::job::Job;
use rayon::prelude::*;

/// For each cell of a grid of `rows` x `columns`, row by row from the top left, the number of the point nearest to its middle; of
/// equals the lower. `points` are (x to the right, y down) in cells: the middle of the first cell is (1/2, 1/2). Without points
/// there are no cells.
///
/// # Errors
/// Where the work is interrupted.
pub fn filled(points: &[[f64; 2]], [rows, columns]: [usize; 2], job: &Job) -> Result<Vec<usize>> {
    if points.is_empty() {
        return Ok(Vec::new());
    }
    let bins = Bins::of(points, [rows, columns]);
    let mut cells = Vec::with_capacity(rows * columns);
    for row in job.steps("cells", rows) {
        let middle = |column: usize| [column as f64 + 0.5, row as f64 + 0.5];
        cells.par_extend((0..columns).into_par_iter().map(|column| bins.nearest(middle(column))));
    }
    if cells.len() < rows * columns { Err(Error::new(Kind::Interrupted, "interrupted")) } else { Ok(cells) }
}

/// The points in square bins, about one in each, so that a search does not depend on how many cells there are.
struct Bins<'a> {
    points: &'a [[f64; 2]],
    /// The side of a bin, in cells.
    side: f64,
    rows: usize,
    columns: usize,
    of: Vec<Vec<usize>>,
}

impl<'a> Bins<'a> {
    fn of(points: &'a [[f64; 2]], [rows, columns]: [usize; 2]) -> Self {
        let side = (rows as f64 * columns as f64 / points.len() as f64).sqrt().max(1.0);
        let count = |cells: usize| ((cells as f64 / side).ceil() as usize).max(1);
        let mut bins = Bins { points, side, rows: count(rows), columns: count(columns), of: Vec::new() };
        bins.of = vec![Vec::new(); bins.rows * bins.columns];
        for (i, p) in points.iter().enumerate() {
            let [row, column] = bins.at(*p);
            bins.of[row * bins.columns + column].push(i);
        }
        bins
    }

    /// Row and column of the bin at a place; a place beyond the grid belongs to the bin at its edge.
    fn at(&self, [x, y]: [f64; 2]) -> [usize; 2] {
        let within = |v: f64, n: usize| ((v / self.side).max(0.0) as usize).min(n - 1);
        [within(y, self.rows), within(x, self.columns)]
    }

    /// The point nearest to a place of the grid: bins are searched ring by ring around it.
    fn nearest(&self, place: [f64; 2]) -> usize {
        let own = self.at(place);
        let mut best = (f64::INFINITY, usize::MAX);
        for ring in 0..self.rows.max(self.columns) {
            // What lies in a bin of this ring is at least so far away.
            let least = (ring as f64 - 1.0).max(0.0) * self.side;
            if best.0 < least * least {
                break;
            }
            for bin in around(own, ring, [self.rows, self.columns]) {
                for i in &self.of[bin] {
                    let d = (self.points[*i][0] - place[0]).powi(2) + (self.points[*i][1] - place[1]).powi(2);
                    if d < best.0 || (d == best.0 && *i < best.1) {
                        best = (d, *i);
                    }
                }
            }
        }
        best.1
    }
}

/// The bins whose row or column differs by `ring` from a cell's, and neither by more.
fn around([row, column]: [usize; 2], ring: usize, [rows, columns]: [usize; 2]) -> impl Iterator<Item = usize> {
    let (top, bottom) = (row.checked_sub(ring), Some(row + ring).filter(|r| *r < rows));
    let (left, right) = (column.checked_sub(ring), Some(column + ring).filter(|c| *c < columns));
    let across = left.unwrap_or(0)..=right.unwrap_or(columns - 1);
    let edge = move |r: usize| across.clone().map(move |c| r * columns + c);
    let lines: Vec<usize> = if ring == 0 { top.into_iter().collect() } else { top.into_iter().chain(bottom).collect() };
    let between = (row + 1).saturating_sub(ring)..(row + ring).min(rows);
    let sides: Vec<usize> = if ring == 0 { Vec::new() } else { left.into_iter().chain(right).collect() };
    let down = between.flat_map(move |r| sides.clone().into_iter().map(move |c| r * columns + c));
    lines.into_iter().flat_map(edge).chain(down)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Stream;

    #[test]
    fn each_cell_has_the_nearest_of_all_points() {
        let stream = Stream::new(5, "plane");
        for (n, rows, columns) in [(1, 4, 3), (40, 7, 11), (300, 9, 5), (12, 1, 30), (3, 60, 41)] {
            // Some clustered, some beyond the grid.
            let at = |i: u64, size: usize| size as f64 * (0.5 + 0.3 * stream.normal_at(i).powi(3));
            let points: Vec<[f64; 2]> = (0..n).map(|i| [at(2 * i, columns), at(2 * i + 1, rows)]).collect();
            let found = filled(&points, [rows, columns], &Job::new()).unwrap();
            for (cell, own) in found.iter().enumerate() {
                let middle = [(cell % columns) as f64 + 0.5, (cell / columns) as f64 + 0.5];
                let far = |p: &[f64; 2]| (p[0] - middle[0]).powi(2) + (p[1] - middle[1]).powi(2);
                let want = (0..points.len()).fold(0, |b, i| if far(&points[i]) < far(&points[b]) { i } else { b });
                assert_eq!(*own, want, "{n} points, cell {cell}");
            }
        }
        assert!(filled(&[], [3, 3], &Job::new()).unwrap().is_empty());
    }

    #[test]
    fn rings_cover_a_grid_once() {
        let mut seen: Vec<usize> = (0..8).flat_map(|ring| around([2, 5], ring, [5, 8])).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
    }
}
