//! Pictures of characters: two pixels in each half block, or shades where there are no colours.

use super::super::artifact::{Grid, Scale};
use super::super::colour::{Ramp, Rgb};
use super::super::field::ValueGrid;
use super::columns::fitted;
use crate::data::{Image, Interpolation};
use crate::error::Result;
use candle_core::Tensor;

/// A map within `width` columns and `lines` lines.
///
/// # Errors
/// Where its picture cannot be made.
pub fn field(field: &ValueGrid, ramp: &Ramp, width: usize, lines: usize) -> Result<String> {
    let (w, h) = within(field.columns, field.rows, width, 2 * lines);
    Ok(joined(&[halves(&field.resized(h, w).picture(ramp)?)]))
}

/// A map in shades from blank (low) to full (high), one character for each cell.
pub fn shades(field: &ValueGrid, ramp: &Ramp, width: usize, lines: usize) -> String {
    const SHADES: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
    let (w, h) = within(field.columns * 2, field.rows, width, lines);
    let small = field.resized(h, w);
    let mut out = String::new();
    for row in small.values.chunks(w) {
        let shade = |v: &f32| match v.is_nan() {
            true => '?',
            false => SHADES[(ramp.place(f64::from(*v)) * 9.0).round() as usize],
        };
        out += &format!("|{}|\n", row.iter().map(shade).collect::<String>());
    }
    out
}

/// An image within `width` columns and `lines` lines.
///
/// # Errors
/// Where it cannot be resized.
pub fn image(image: &Image, width: usize, lines: usize) -> Result<String> {
    let (w, h) = within(image.width(), image.height(), width, 2 * lines);
    Ok(joined(&[halves(&image.resize(w, h, Interpolation::Bicubic)?)]))
}

/// The first images side by side.
///
/// # Errors
/// As [`image`].
pub fn images(images: &[(Image, String)], width: usize, lines: usize) -> Result<String> {
    let wide = (width / images.len().clamp(1, 4)).saturating_sub(2).clamp(8, 40);
    let mut drawn = Vec::new();
    for (image, _) in images.iter().take((width / (wide + 2)).max(1)) {
        let (w, h) = within(image.width(), image.height(), wide, 2 * lines.min(14));
        drawn.push(halves(&image.resize(w, h, Interpolation::Bicubic)?));
    }
    Ok(joined(&drawn))
}

/// The first tiles of a grid with their captions, on its scale.
///
/// # Errors
/// Where a tile's numbers cannot be read.
pub fn tiles(grid: &Grid, width: usize, lines: usize) -> Result<String> {
    const SIDE: usize = 12;
    let plane = |t: &Tensor| -> Result<Tensor> { Ok(if t.rank() == 3 { t.mean(0)? } else { t.clone() }) };
    let fields = grid.tiles.iter().map(|t| ValueGrid::of(&plane(&t.values)?)).collect::<Result<Vec<_>>>()?;
    let all: Vec<f32> = fields.iter().flat_map(|f| f.values.iter().copied()).collect();
    let colour = grid.tiles.iter().any(|t| t.values.rank() == 3);
    let ramp = Ramp::fit(if colour { Scale::Diverging { bound: None } } else { grid.scale }, &all, None);
    let columns = (width / (SIDE + 2)).max(1);
    let mut out = String::new();
    let rows = (lines / (SIDE / 2 + 1)).max(1);
    for (fields, tiles) in fields.chunks(columns).zip(grid.tiles.chunks(columns)).take(rows) {
        let mut drawn = Vec::new();
        for f in fields {
            let (w, h) = within(f.columns, f.rows, SIDE, SIDE);
            drawn.push(halves(&f.resized(h, w).picture(&ramp)?));
        }
        let wide = drawn.first().map_or(SIDE, |d| d.0);
        out += &joined(&drawn);
        let names: Vec<String> = tiles.iter().map(|t| fitted(&super::plain(&t.caption), wide, false)).collect();
        out += &(names.join("  ").trim_end().to_string() + "\n");
    }
    if fields.len() > columns * rows {
        out += &format!("… {} more tiles\n", fields.len() - columns * rows);
    }
    Ok(out)
}

/// The largest size with these proportions within a box, at least 1 x 1.
fn within(width: usize, height: usize, most_wide: usize, most_high: usize) -> (usize, usize) {
    let zoom = (most_wide as f64 / width as f64).min(most_high as f64 / height as f64);
    let side = |n: usize, most: usize| ((n as f64 * zoom).round() as usize).clamp(1, most.max(1));
    (side(width, most_wide), side(height, most_high))
}

/// The width and the lines of an image as half blocks.
fn halves(image: &Image) -> (usize, Vec<String>) {
    let code = |c: Rgb, ground: u8| format!("{ground};2;{};{};{}", c[0], c[1], c[2]);
    let mut lines = Vec::new();
    for y in (0..image.height()).step_by(2) {
        let mut line = String::new();
        for x in 0..image.width() {
            let Some(top) = image.pixel(x, y) else { continue };
            line += &match image.pixel(x, y + 1) {
                Some(bottom) => format!("\x1b[{};{}m▀", code(top, 38), code(bottom, 48)),
                None => format!("\x1b[49;{}m▀", code(top, 38)),
            };
        }
        lines.push(line + "\x1b[0m");
    }
    (image.width(), lines)
}

/// Drawings side by side, two columns apart.
fn joined(drawings: &[(usize, Vec<String>)]) -> String {
    let high = drawings.iter().map(|d| d.1.len()).max().unwrap_or(0);
    let mut out = String::new();
    for i in 0..high {
        let row: Vec<String> =
            drawings.iter().map(|(w, lines)| lines.get(i).cloned().unwrap_or_else(|| " ".repeat(*w))).collect();
        out += &(row.join("  ") + "\n");
    }
    out
}
