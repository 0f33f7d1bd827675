//! A grid without an empty cell: each cell has the point that is nearest to its middle, so that a point may have several cells or
//! none (Karpathy's "full" mosaics of CS231n's page).

use rayon::prelude::*;

/// For each cell of a grid of `rows` x `columns`, row by row from the top left, the number of the point nearest to its middle; of
/// equals the lower. `points` are (x to the right, y down) in cells: the middle of the first cell is (1/2, 1/2). Without points
/// there are no cells.
pub fn filled(points: &[[f64; 2]], [rows, columns]: [usize; 2]) -> Vec<usize> {
    if points.is_empty() {
        return Vec::new();
    }
    let mut bins: Vec<Vec<usize>> = vec![Vec::new(); rows * columns];
    for (i, p) in points.iter().enumerate() {
        let within = |v: f64, n: usize| (v.max(0.0) as usize).min(n - 1);
        bins[within(p[1], rows) * columns + within(p[0], columns)].push(i);
    }
    (0..rows * columns)
        .into_par_iter()
        .map(|cell| nearest(points, &bins, [rows, columns], [cell / columns, cell % columns]))
        .collect()
}

/// The point nearest to the middle of a cell: bins are searched ring by ring around it.
fn nearest(points: &[[f64; 2]], bins: &[Vec<usize>], [rows, columns]: [usize; 2], [row, column]: [usize; 2]) -> usize {
    let middle = [column as f64 + 0.5, row as f64 + 0.5];
    let mut best = (f64::INFINITY, usize::MAX);
    for ring in 0..rows.max(columns) {
        // What lies in a bin of this ring is at least so far away.
        let least = (ring as f64 - 0.5).max(0.0);
        if best.0 < least * least {
            break;
        }
        for bin in around([row, column], ring, [rows, columns]) {
            for i in &bins[bin] {
                let d = (points[*i][0] - middle[0]).powi(2) + (points[*i][1] - middle[1]).powi(2);
                if d < best.0 || (d == best.0 && *i < best.1) {
                    best = (d, *i);
                }
            }
        }
    }
    best.1
}

/// The cells whose row or column differs by `ring` from a cell's, and neither by more.
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
    use super::*;
    use crate::random::Stream;

    #[test]
    fn each_cell_has_the_nearest_of_all_points() {
        let stream = Stream::new(5, "plane");
        for (n, rows, columns) in [(1, 4, 3), (40, 7, 11), (300, 9, 5), (12, 1, 30)] {
            // Some clustered, some beyond the grid.
            let at = |i: u64, size: usize| size as f64 * (0.5 + 0.3 * stream.normal_at(i).powi(3));
            let points: Vec<[f64; 2]> = (0..n).map(|i| [at(2 * i, columns), at(2 * i + 1, rows)]).collect();
            let found = filled(&points, [rows, columns]);
            for (cell, own) in found.iter().enumerate() {
                let middle = [(cell % columns) as f64 + 0.5, (cell / columns) as f64 + 0.5];
                let far = |p: &[f64; 2]| (p[0] - middle[0]).powi(2) + (p[1] - middle[1]).powi(2);
                let want = (0..points.len()).fold(0, |b, i| if far(&points[i]) < far(&points[b]) { i } else { b });
                assert_eq!(*own, want, "{n} points, cell {cell}");
            }
        }
        assert!(filled(&[], [3, 3]).is_empty());
    }

    #[test]
    fn rings_cover_a_grid_once() {
        let mut seen: Vec<usize> = (0..8).flat_map(|ring| around([2, 5], ring, [5, 8])).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
    }
}
