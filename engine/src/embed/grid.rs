//! Assigns points of the plane to the cells of a grid without gaps, as near to their positions as possible: the linear assignment
//! problem, solved exactly up to [`MAX_EXACT`] points; larger sets are halved until each part is that small.

use crate::error::{Error, Result};

/// The number of points up to which one assignment is solved.
pub const MAX_EXACT: usize = 1600;

/// A grid of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridLayout {
    /// The number of cells in a row; the last row may be shorter.
    pub columns: usize,
    /// The point in each cell, row by row from the top left.
    pub cells: Vec<usize>,
}

/// The number of columns for `n` cells: nearly square, a little wider than high, with the fewest empty cells in the last row.
pub fn columns(n: usize) -> usize {
    let ideal = (n as f64 * 1.25).sqrt();
    let range = ((ideal * 0.8) as usize).max(1)..=((ideal * 1.35).ceil() as usize).max(1);
    let empty = |c: usize| n.div_ceil(c) * c - n;
    range
        .min_by(|a, b| {
            let far = |c: usize| (c as f64 - ideal).abs();
            empty(*a).cmp(&empty(*b)).then(far(*a).total_cmp(&far(*b)))
        })
        .unwrap_or(1)
}

/// The grid for `points`, y upwards.
///
/// # Errors
/// Where a point is no finite number.
pub fn assign(points: &[[f64; 2]]) -> Result<GridLayout> {
    if points.iter().flatten().any(|v| !v.is_finite()) {
        return Err(Error::internal("a point of an embedding is not finite"));
    }
    let n = points.len();
    let columns = columns(n);
    let rows = n.div_ceil(columns).max(1);
    let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    for p in points {
        for a in 0..2 {
            low[a] = low[a].min(p[a]);
            high[a] = high[a].max(p[a]);
        }
    }
    let unit = |v: f64, a: usize| if high[a] > low[a] { (v - low[a]) / (high[a] - low[a]) } else { 0.5 };
    let places: Vec<[f64; 2]> = points
        .iter()
        .map(|p| [unit(p[0], 0) * (columns - 1) as f64, (1.0 - unit(p[1], 1)) * (rows - 1) as f64])
        .collect();
    let mut cells = vec![usize::MAX; n];
    let all: Vec<(usize, [f64; 2])> = (0..n).map(|c| (c, [(c % columns) as f64, (c / columns) as f64])).collect();
    divide(&places, (0..n).collect(), all, &mut cells)?;
    Ok(GridLayout { columns, cells })
}

/// Assigns `points` to as many `cells` (index and position), halving both along the longer side until they are few.
fn divide(
    places: &[[f64; 2]],
    mut points: Vec<usize>,
    mut cells: Vec<(usize, [f64; 2])>,
    out: &mut [usize],
) -> Result<()> {
    if cells.len() <= MAX_EXACT {
        return solve(places, &points, &cells, out);
    }
    let extent = |a: usize| {
        let of = |f: fn(f64, f64) -> f64, start| cells.iter().map(|c| c.1[a]).fold(start, f);
        of(f64::max, f64::NEG_INFINITY) - of(f64::min, f64::INFINITY)
    };
    let axis = usize::from(extent(1) > extent(0));
    cells.sort_by(|a, b| a.1[axis].total_cmp(&b.1[axis]).then(a.0.cmp(&b.0)));
    points.sort_by(|a, b| places[*a][axis].total_cmp(&places[*b][axis]).then(a.cmp(b)));
    let half = cells.len() / 2;
    let (late_points, late_cells) = (points.split_off(half), cells.split_off(half));
    divide(places, points, cells, out)?;
    divide(places, late_points, late_cells, out)
}

fn solve(places: &[[f64; 2]], points: &[usize], cells: &[(usize, [f64; 2])], out: &mut [usize]) -> Result<()> {
    let n = points.len();
    let cost: Vec<f64> = points
        .iter()
        .flat_map(|p| cells.iter().map(|(_, c)| (places[*p][0] - c[0]).powi(2) + (places[*p][1] - c[1]).powi(2)))
        .collect();
    let (rows, columns) =
        lsap::solve(n, n, &cost, false).map_err(|e| Error::internal(format!("the assignment to a grid: {e:?}")))?;
    rows.iter().zip(columns).for_each(|(r, c)| out[cells[c].0] = points[*r]);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Stream;

    #[test]
    fn every_point_has_a_cell_and_every_cell_a_point() {
        let stream = Stream::new(2, "plane");
        for n in [1, 2, 7, 100, 397, 3500] {
            let points: Vec<[f64; 2]> =
                (0..n as u64).map(|i| [stream.normal_at(2 * i).powi(3), stream.normal_at(2 * i + 1)]).collect();
            let grid = assign(&points).unwrap();
            let mut seen = grid.cells.clone();
            seen.sort_unstable();
            assert_eq!(seen, (0..n).collect::<Vec<_>>());
            let empty = n.div_ceil(grid.columns) * grid.columns - n;
            assert!(empty < grid.columns && (n < 10 || empty <= 3), "{n}: {} columns leave {empty}", grid.columns);
        }
    }

    #[test]
    fn points_on_a_grid_stay_where_they_are() {
        let points: Vec<[f64; 2]> = (0..20).map(|i| [(i % 5) as f64, -((i / 5) as f64)]).collect();
        let grid = assign(&points).unwrap();
        assert_eq!((grid.columns, grid.cells), (5, (0..20).collect::<Vec<_>>()));
    }
}
