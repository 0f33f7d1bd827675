//! Grids of tiles on a common scale, so that an inactive tile looks inactive beside an active one; and rows of pictures.

use super::super::artifact::{Grid, Pictures, Scale, Tile};
use super::super::colour::{self, Ramp};
use super::super::field::{ValueGrid, fitted, paint, remarks};
use super::super::font::{self, Face};
use super::super::raster::SCALE;
use super::super::scene::{Anchor, FAINT, SOFT, Scene, SceneItem, paragraph};
use super::super::table::short;
use super::SMALL_TEXT;
use super::bar::colour_bar;
use super::map::with_lines;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::tensor::to_f32;
use candle_core::Tensor;

/// The space between tiles, px.
const BETWEEN: f64 = 5.0;
/// The least width of a column of tiles, px.
const MIN_COLUMN: f64 = 10.0;
/// The longest side of a tile, px.
const MAX_TILE: f64 = 220.0;

/// A tile's numbers: one map, or red, green and blue.
enum Content {
    Map(ValueGrid),
    Colour([ValueGrid; 3]),
}

/// Tiles with captions and one colour bar.
///
/// # Errors
/// Where a tile is neither one map nor three, or the figure would be too large.
pub fn grid(grid: &Grid, width: f64) -> Result<Scene> {
    if grid.tiles.is_empty() {
        return Ok(paragraph("no tiles", SMALL_TEXT, width, 1, SOFT, false));
    }
    let contents = grid.tiles.iter().map(|t| content(&t.values)).collect::<Result<Vec<_>>>()?;
    let all = contents.iter().flat_map(Content::values).collect::<Vec<f32>>();
    let coloured = contents.iter().all(|c| matches!(c, Content::Colour(_)));
    let scale = if coloured { symmetric(grid.scale) } else { grid.scale };
    let shared = Ramp::fit(scale, &all, None);
    let each = grid.scale == Scale::Each && !coloured;
    let columns = columns(contents.len(), grid.columns).min((width / MIN_COLUMN) as usize).max(1);
    let room = if coloured { 0.0 } else { 84.0 };
    let (rows, cells) = contents.iter().map(Content::size).fold((1, 1), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    let (wide, high) = tile_size(cells as f64, rows as f64, columns, width - room);
    let own = |c: &Content| if each { Ramp::fit(signed(&all), &c.values(), None) } else { shared };
    let pictures = contents.iter().map(|c| c.picture(&own(c), wide, high)).collect::<Result<Vec<_>>>()?;
    let captions: Vec<&str> = grid.tiles.iter().map(|t| t.caption.as_str()).collect();
    let (mut scene, captioned) = arrange(pictures, &captions, columns, wide, between(columns), 1);
    let mut lines = remarks(&all);
    if coloured {
        lines.insert(0, format!("one scale for all: zero is mid grey, ±{} the ends", short(shared.high)));
    } else {
        let (ramp, label) = if each {
            let ends = [if shared.diverging { -1.0 } else { 0.0 }, 1.0];
            (Ramp::fit(signed(&all), &ends, None), format!("{}, share of the tile's largest", grid.label))
        } else if shared.linear.is_some() {
            (shared, format!("{} (log scale)", grid.label))
        } else {
            (shared, grid.label.clone())
        };
        let bar = colour_bar(&ramp, &label, (scene.height - SMALL_TEXT * 1.5).clamp(90.0, 320.0))?;
        let left = scene.width + 12.0;
        scene.width = left + bar.width;
        scene.height = scene.height.max(bar.height);
        scene.put(bar, left, 0.0);
    }
    if !captioned {
        lines.push(numbering(&grid.tiles, columns));
    }
    Ok(with_lines(scene, &lines, width))
}

/// Pictures with captions, row by row.
///
/// # Errors
/// Where the figure would be too large.
pub fn pictures(pictures: &Pictures, width: f64) -> Result<Scene> {
    if pictures.images.is_empty() {
        return Ok(paragraph("no pictures", SMALL_TEXT, width, 1, SOFT, false));
    }
    let count = pictures.images.len();
    let columns = if count <= 4 { pictures.columns.unwrap_or(count) } else { columns(count, pictures.columns).min(10) };
    let columns = columns.clamp(1, count);
    let size = |(i, _): &(Image, String)| (i.width() as f64, i.height() as f64);
    let ratio = pictures.images.iter().map(size).map(|(w, h)| h / w).fold(0.0, f64::max).clamp(0.05, 1.25);
    let widest = pictures.images.iter().map(|p| size(p).0).fold(1.0, f64::max);
    let room = ((width - 2.0 * BETWEEN * (columns - 1) as f64) / columns as f64).max(8.0);
    let single = if count == 1 { 480.0 } else { 300.0 };
    let wide = room.min(single).min((widest * 8.0).max(96.0)).min(single / ratio).max(8.0);
    let cell = ((wide * SCALE).floor() / SCALE, (wide * ratio * SCALE).floor() / SCALE);
    let mut drawn = Vec::new();
    for (image, _) in &pictures.images {
        let (w, h) = (image.width() as f64, image.height() as f64);
        let zoom = (cell.0 / w).min(cell.1 / h).min(8.0);
        let side = |x: f64| ((x * zoom * SCALE).round() as usize).max(1);
        drawn.push(fitted(image, side(w), side(h))?);
    }
    let captions: Vec<&str> = pictures.images.iter().map(|(_, c)| c.as_str()).collect();
    Ok(arrange(drawn, &captions, columns, cell.0, 2.0 * BETWEEN, 3).0)
}

impl Content {
    fn values(&self) -> Vec<f32> {
        match self {
            Content::Map(f) => f.values.clone(),
            Content::Colour(f) => f.iter().flat_map(|f| f.values.iter().copied()).collect(),
        }
    }

    /// Rows and columns.
    fn size(&self) -> (usize, usize) {
        match self {
            Content::Map(f) => (f.rows, f.columns),
            Content::Colour([f, ..]) => (f.rows, f.columns),
        }
    }

    /// The tile's picture within `wide` x `high` px, in its own proportions.
    fn picture(&self, ramp: &Ramp, wide: f64, high: f64) -> Result<Image> {
        let (rows, columns) = self.size();
        let zoom = (wide * SCALE / columns as f64).min(high * SCALE / rows as f64);
        let side = |cells: usize| ((cells as f64 * zoom).round() as usize).max(1);
        let (h, w) = (side(rows), side(columns));
        match self {
            Content::Map(f) => f.resized(h, w).picture(ramp),
            Content::Colour(planes) => {
                let planes = [0, 1, 2].map(|c| planes[c].resized(h, w));
                paint(w, h, |x, y| {
                    let v = [0, 1, 2].map(|c: usize| f64::from(planes[c].values[y * w + x]));
                    if v.iter().any(|v| v.is_nan()) {
                        return colour::nan_at(x, y);
                    }
                    v.map(|v| (ramp.place(v) * 255.0).round() as u8)
                })
            }
        }
    }
}

fn content(values: &Tensor) -> Result<Content> {
    match values.dims() {
        [3, h, w] if h * w > 0 => {
            let all = to_f32(values)?;
            let (rows, columns) = (*h, *w);
            let plane = |c: usize| ValueGrid { rows, columns, values: all[c * h * w..(c + 1) * h * w].to_vec() };
            Ok(Content::Colour([plane(0), plane(1), plane(2)]))
        }
        dims => ValueGrid::of(values)
            .map(Content::Map)
            .map_err(|_| Error::shape(format!("a tile of {dims:?} is neither rows x columns nor 3 x rows x columns"))),
    }
}

/// A scale with zero in the middle, which colour tiles need.
fn symmetric(scale: Scale) -> Scale {
    match scale {
        Scale::Sequential { high, .. } | Scale::Falling { high, .. } => Scale::Diverging { bound: high },
        Scale::Each | Scale::SymmetricLog => Scale::Diverging { bound: None },
        Scale::Diverging { .. } => scale,
    }
}

/// From zero, or around zero where values have both signs.
fn signed(values: &[f32]) -> Scale {
    match values.iter().any(|v| *v < 0.0) {
        true => Scale::Diverging { bound: None },
        false => Scale::Sequential { low: Some(0.0), high: None },
    }
}

/// The given number of columns, or one for which the grid is wider than high, with full rows where several columns allow that.
fn columns(count: usize, asked: Option<usize>) -> usize {
    let near = (count as f64 * 1.6).sqrt().ceil() as usize;
    let even = (near.saturating_sub(3).max(2)..=near + 2).rev().find(|c| count.is_multiple_of(*c));
    asked.or(even).unwrap_or(near).clamp(1, count.max(1))
}

/// The space between tiles, px; less where they are many and small.
fn between(columns: usize) -> f64 {
    if columns > 16 { BETWEEN / 2.0 } else { BETWEEN }
}

/// The size of a tile of `columns` x `rows` cells: as large as fits, with whole pixels for each cell where cells are enlarged.
fn tile_size(cells: f64, rows: f64, columns: usize, width: f64) -> (f64, f64) {
    let room = (width - between(columns) * (columns - 1) as f64) / columns as f64;
    let limit = room.min(MAX_TILE).min(MAX_TILE * cells / rows) * SCALE;
    let zoom = (limit / cells).max(1.0 / cells);
    let zoom = if zoom >= 2.0 { zoom.floor() } else { zoom };
    ((cells * zoom).floor() / SCALE, (rows * zoom).floor().max(1.0) / SCALE)
}

/// Pictures in columns `wide` px wide, with captions of up to `lines` lines below; returns whether all captions fit.
fn arrange(
    images: Vec<Image>,
    captions: &[&str],
    columns: usize,
    wide: f64,
    between: f64,
    lines: usize,
) -> (Scene, bool) {
    let size = if wide < 46.0 { 8.5 } else { SMALL_TEXT };
    let longest = captions.iter().map(|c| font::width(c, size, Face::Sans)).fold(0.0, f64::max);
    let captioned = longest == 0.0 || wide >= 34.0 || longest <= wide;
    let mut scene = Scene::default();
    let mut top = 0.0;
    for (row, images) in captions.chunks(columns).zip(images.chunks(columns)) {
        let high = images.iter().map(|i| i.height() as f64 / SCALE).fold(0.0, f64::max);
        let texts: Vec<Vec<String>> = row.iter().map(|c| font::wrap(c, size, wide + between * 0.5, lines)).collect();
        let deepest = if captioned && longest > 0.0 { texts.iter().map(Vec::len).max().unwrap_or(0) } else { 0 };
        for (i, (text, image)) in texts.iter().zip(images).enumerate() {
            let left = i as f64 * (wide + between);
            let (w, h) = (image.width() as f64 / SCALE, image.height() as f64 / SCALE);
            let (x, y) = (left + ((wide - w) * SCALE / 2.0).floor() / SCALE, top + high - h);
            scene.add(SceneItem::Picture([x, y, w, h], image.clone()));
            scene.add(SceneItem::Frame([x, y, w, h], FAINT, 0.5));
            scene.width = scene.width.max(left + wide);
            for (n, line) in text.iter().enumerate().take(deepest) {
                let y = top + high + size * 1.15 + n as f64 * size * 1.25;
                scene.write(left + wide / 2.0, y, line, size, SOFT, Anchor::Middle);
            }
        }
        scene.height = top + high + if deepest > 0 { deepest as f64 * size * 1.25 + 3.0 } else { 0.0 };
        top = scene.height + between;
    }
    (scene, captioned)
}

/// The text that replaces captions that do not fit: the names of the first and the last tile.
fn numbering(tiles: &[Tile], columns: usize) -> String {
    let (first, last) = (&tiles[0].caption, &tiles[tiles.len() - 1].caption);
    format!("{} tiles, {columns} a row, from {first} at the top left to {last}", tiles.len())
}

#[cfg(test)]
mod tests {
    use super::{columns, tile_size};

    #[test]
    fn no_count_of_tiles_is_stacked_singly() {
        let found: Vec<usize> = (1..=16).map(|count| columns(count, None)).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 4, 4, 3, 5, 5, 6, 5, 7, 5, 8]);
        assert_eq!(columns(7, Some(1)), 1);
    }

    #[test]
    fn grids_are_wider_than_high_and_full_where_they_can_be() {
        assert_eq!(columns(64, None), 8);
        assert_eq!(columns(6, None), 6);
        assert_eq!(columns(12, None), 6);
        assert_eq!(columns(1, None), 1);
        assert_eq!(columns(3, Some(9)), 3);
        assert_eq!(columns(1000, None), 40);
    }

    #[test]
    fn cells_are_enlarged_by_whole_pixels() {
        assert_eq!(tile_size(7.0, 7.0, 8, 800.0), (94.5, 94.5));
        assert!(tile_size(500.0, 500.0, 8, 800.0).0 < 100.0);
        assert!(tile_size(1.0, 4000.0, 1, 800.0).0 > 0.0);
    }
}
