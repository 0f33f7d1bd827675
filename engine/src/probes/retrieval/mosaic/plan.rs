//! Where each picture of a mosaic lies, px of the whole.

use super::MosaicLayout;
use crate::embed::cells::filled;
use crate::embed::grid::assign;
use crate::embed::knn::squared;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::show::colour::{Rgb, sequential};

/// The memory of a cell: its code, its piece twice, its seams.
const BYTES_PER_CELL: u64 = 256;

/// A picture's place: the code's row, and the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedPicture {
    pub row: usize,
    pub left: usize,
    pub top: usize,
}

/// A mosaic before it is painted.
pub struct Plan {
    /// The whole, px.
    pub width: usize,
    pub height: usize,
    /// The side of a picture, px.
    pub side: usize,
    /// What is painted, later ones over earlier ones.
    pub pieces: Vec<PlacedPicture>,
    /// Lines between cells: [left, top, width, height] and their colour.
    pub seams: Vec<([usize; 4], Rgb)>,
    /// Rows and columns of the grid, and the code's row in each cell; none where places are exact.
    pub grid: Option<Cells>,
}

/// The cells of a grid, row by row; nothing in an empty one.
pub struct Cells {
    pub rows: usize,
    pub columns: usize,
    pub of: Vec<Option<usize>>,
}

/// The distances of neighbouring cells' codes: to the right (rows x columns - 1) and down (rows - 1 x columns); NaN at an empty cell.
pub struct Distances {
    pub right: Vec<f64>,
    pub down: Vec<f64>,
}

impl Plan {
    /// The plan for points of the plane, y upwards: `size` px on the longer side, pictures of `side` px (on a grid where each
    /// picture stands once, as many px as fit).
    ///
    /// # Errors
    /// Where a point is not finite, the pictures do not fit, or there are more cells than the job's memory has room for.
    pub fn of(points: &[[f64; 2]], places: MosaicLayout, [size, side]: [usize; 2], job: &Job) -> Result<Self> {
        if points.is_empty() || points.iter().flatten().any(|v| !v.is_finite()) {
            return Err(Error::value("a mosaic needs places, each of two finite numbers"));
        }
        if side > size {
            return Err(Error::value(format!("pictures of {side} px do not fit into a mosaic of {size} px"))
                .hint("a smaller `cell` or a larger `size`"));
        }
        match places {
            MosaicLayout::Exact => Ok(exact(points, size, side)),
            MosaicLayout::Filled => {
                let (scaled, extent) = scaled(points, (size / side) as f64);
                let [columns, rows] = extent.map(|e| (e.ceil() as usize).max(1));
                let bytes = rows as u64 * columns as u64 * BYTES_PER_CELL;
                let hint = "a larger `cell`, a smaller `size`, or --memory";
                job.holds(bytes, || format!("{columns} x {rows} cells take"), hint)?;
                let of = filled(&scaled, [rows, columns], job)?.into_iter().map(Some).collect();
                Ok(on_grid(Cells { rows, columns, of }, side))
            }
            MosaicLayout::Once => {
                let grid = assign(points)?;
                let (columns, rows) = (grid.columns, points.len().div_ceil(grid.columns));
                let side = size / columns.max(rows);
                if side < 2 {
                    return Err(Error::value(format!("{columns} x {rows} pictures do not fit into {size} px"))
                        .hint(format!("a `size` of at least {}", 2 * columns.max(rows))));
                }
                let of = (0..rows * columns).map(|c| grid.cells.get(c).copied()).collect();
                Ok(on_grid(Cells { rows, columns, of }, side))
            }
        }
    }

    /// The same with a line between neighbouring cells, the stronger the farther their codes (rows of `d` values) are apart; none
    /// between two cells of one picture.
    ///
    /// # Errors
    /// Where there is no grid.
    pub fn with_seams(mut self, codes: &[f32], d: usize) -> Result<(Self, Distances)> {
        let Some(grid) = &self.grid else {
            return Err(Error::value("pictures at exact places have no neighbours, so there are no seams")
                .hint("`places: \"filled\"` or `places: \"once\"`"));
        };
        let found = distances(grid, codes, d);
        let most = found.right.iter().chain(&found.down).copied().filter(|d| !d.is_nan()).fold(0.0, f64::max);
        let (side, thick) = (self.side, (self.side / 12).max(1));
        let colour = |d: f64| sequential(d / most);
        let shown = |d: &f64| *d > 0.0;
        for (i, d) in found.right.iter().enumerate().filter(|(_, d)| shown(d)) {
            let (row, column) = (i / (grid.columns - 1), i % (grid.columns - 1));
            self.seams.push(([(column + 1) * side - thick.div_ceil(2), row * side, thick, side], colour(*d)));
        }
        for (i, d) in found.down.iter().enumerate().filter(|(_, d)| shown(d)) {
            let (row, column) = (i / grid.columns, i % grid.columns);
            self.seams.push(([column * side, (row + 1) * side - thick.div_ceil(2), side, thick], colour(*d)));
        }
        Ok((self, found))
    }

    /// How many different pictures are painted.
    pub fn shown(&self) -> usize {
        let mut rows: Vec<usize> = self.pieces.iter().map(|p| p.row).collect();
        rows.sort_unstable();
        rows.dedup();
        rows.len()
    }
}

/// The points with x to the right and y down, from 0, on one scale for both axes so that the longer one is `length`; and both
/// lengths.
fn scaled(points: &[[f64; 2]], length: f64) -> (Vec<[f64; 2]>, [f64; 2]) {
    let end = |a: usize, pick: fn(f64, f64) -> f64| points.iter().map(|p| p[a]).reduce(pick).unwrap_or(0.0);
    let (low, high) = ([0, 1].map(|a| end(a, f64::min)), [0, 1].map(|a| end(a, f64::max)));
    let extent = [0, 1].map(|a| high[a] - low[a]);
    let longest = extent[0].max(extent[1]);
    let factor = if longest > 0.0 { length / longest } else { 0.0 };
    let at = |p: &[f64; 2]| [(p[0] - low[0]) * factor, (high[1] - p[1]) * factor];
    (points.iter().map(at).collect(), extent.map(|e| e * factor))
}

fn exact(points: &[[f64; 2]], size: usize, side: usize) -> Plan {
    let (scaled, extent) = scaled(points, (size - side) as f64);
    let piece =
        |(row, p): (usize, &[f64; 2])| PlacedPicture { row, left: p[0].round() as usize, top: p[1].round() as usize };
    let [width, height] = extent.map(|e| e.round() as usize + side);
    Plan { width, height, side, pieces: scaled.iter().enumerate().map(piece).collect(), seams: Vec::new(), grid: None }
}

fn on_grid(cells: Cells, side: usize) -> Plan {
    let at = |i: usize| (i % cells.columns * side, i / cells.columns * side);
    let piece = |(i, row): (usize, &Option<usize>)| row.map(|row| PlacedPicture { row, left: at(i).0, top: at(i).1 });
    let pieces = cells.of.iter().enumerate().filter_map(piece).collect();
    let (width, height) = (cells.columns * side, cells.rows * side);
    Plan { width, height, side, pieces, seams: Vec::new(), grid: Some(cells) }
}

fn distances(grid: &Cells, codes: &[f32], d: usize) -> Distances {
    let code = |row: usize| &codes[row * d..(row + 1) * d];
    let between = |a: usize, b: usize| match (grid.of[a], grid.of[b]) {
        (Some(a), Some(b)) => squared(code(a), code(b)).sqrt(),
        _ => f64::NAN,
    };
    let cells = || 0..grid.rows * grid.columns;
    Distances {
        right: cells().filter(|i| i % grid.columns + 1 < grid.columns).map(|i| between(i, i + 1)).collect(),
        down: cells().filter(|i| i / grid.columns + 1 < grid.rows).map(|i| between(i, i + grid.columns)).collect(),
    }
}
