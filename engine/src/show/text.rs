//! Artifacts in a terminal: tables in columns, maps and pictures as half blocks where colours are enabled, numbers everywhere.

mod blocks;
mod columns;
mod plot;

use super::artifact::{Artifact, Grid, Map, Matrix, Mosaic, Part, Pictures, Style};
use super::colour::Ramp;
use super::field::{ValueGrid, remarks};
use super::markdown;
use super::part::{is_said, part_title};
use super::table::{Table, short};
use crate::data::Image;
use crate::error::Result;
use crate::tensor::to_f32;
use candle_core::Tensor;

pub use columns::text_table;

/// How many lines a part may take.
const MAX_LINES: usize = 20;

/// The capabilities of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// Whether 24-bit colours may be used.
    pub colour: bool,
    /// The width, columns.
    pub width: usize,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle { colour: false, width: 80 }
    }
}

/// The artifact as text with a line end. A part that cannot be drawn is replaced by the error.
pub fn text(artifact: &Artifact, style: &TextStyle) -> String {
    let mut out = String::new();
    if !artifact.title.is_empty() {
        out += &if style.colour {
            format!("\x1b[1m{}\x1b[0m\n", plain(&artifact.title))
        } else {
            artifact.title.clone() + "\n"
        };
    }
    for part in &artifact.parts {
        let title = part_title(part);
        if !title.is_empty() && !is_said(&artifact.title, title) {
            out += &format!("{}\n", plain(title));
        }
        out += &body(part, style).unwrap_or_else(|e| format!("{e}\n"));
    }
    for note in &artifact.notes {
        out += &columns::wrapped(&format!("note: {}", plain(note)), style.width, 6);
    }
    if !artifact.data.is_empty() && !artifact.parts.iter().all(|p| matches!(p, Part::Table(..))) {
        out += &columns::wrapped(&arrays(artifact), style.width, 8);
    }
    out
}

/// A tensor's shape and range; the values of small ones.
pub fn text_tensor(tensor: &Tensor) -> String {
    let dims = tensor.dims();
    let shape = if dims.is_empty() { "number".to_string() } else { format!("tensor {}", shape(dims)) };
    let Ok(values) = to_f32(tensor) else { return format!("{shape}\n") };
    if dims.is_empty() {
        return format!("{}\n", values.first().map_or(String::new(), |v| short(f64::from(*v))));
    }
    let head = format!("{shape}: {}\n", range(&values));
    let number = |v: &f32| short(f64::from(*v));
    match dims {
        [n] if *n <= 12 => head + &format!("[{}]\n", values.iter().map(number).collect::<Vec<_>>().join(", ")),
        [h, w] if *h <= 12 && (1..=10).contains(w) => {
            let cells: Vec<String> = values.iter().map(number).collect();
            let wide = cells.iter().map(String::len).max().unwrap_or(0);
            let row = |r: &[String]| r.iter().map(|c| format!("{c:>wide$}")).collect::<Vec<_>>().join("  ") + "\n";
            head + &cells.chunks(*w).map(row).collect::<String>()
        }
        _ => head,
    }
}

/// An image's size and metadata, and the image itself where colours are enabled.
pub fn text_image(image: &Image, style: &TextStyle) -> String {
    let mut out = format!("image {} × {}", image.width(), image.height());
    if let Some(label) = image.label() {
        out += &format!(", {}", plain(label));
    }
    out.push('\n');
    if style.colour {
        out += &blocks::image(image, style.width.min(60), MAX_LINES).unwrap_or_default();
    }
    out
}

/// The names and shapes of an artifact's arrays in one line, the primary one first.
pub fn arrays(artifact: &Artifact) -> String {
    let primary = artifact.data.iter().filter(|(n, _)| **n == artifact.primary);
    let others = artifact.data.iter().filter(|(n, _)| **n != artifact.primary);
    let line = |(name, t): (&String, &Tensor)| format!("{name} {}", shape(t.dims()));
    format!("arrays: {}", primary.chain(others).map(line).collect::<Vec<_>>().join(", "))
}

/// A matrix as a table with the rows' names in the first column.
fn matrix(matrix: &Matrix) -> Result<Table> {
    let names = std::iter::once("").chain(matrix.columns.iter().map(String::as_str));
    let mut table = Table::new(names.collect::<Vec<_>>());
    let values = to_f32(&matrix.values)?;
    for (name, row) in matrix.rows.iter().zip(values.chunks(matrix.columns.len().max(1))) {
        table.push(
            std::iter::once(name.as_str().into()).chain(row.iter().map(|v| f64::from(*v).into())).collect::<Vec<_>>(),
        );
    }
    Ok(table)
}

fn body(part: &Part, style: &TextStyle) -> Result<String> {
    Ok(match part {
        Part::Map(m) if m.style == Style::Photo => String::new(),
        Part::Map(m) => map(m, style)?,
        Part::ClassMap(m) => {
            let mut table = Table::new(["class", "positions"]);
            let values = to_f32(&m.values)?;
            for (number, name) in &m.names {
                table.push([name.as_str().into(), values.iter().filter(|v| **v == *number as f32).count().into()]);
            }
            text_table(&table, style.width, 10)
        }
        Part::Boxes(b) => {
            let mut table = Table::new(["box", "left", "top", "right", "bottom"]);
            for one in &b.boxes {
                let corners = one.corners.map(|v| (v * 10.0).round() / 10.0);
                table.push(std::iter::once(one.caption.as_str().into()).chain(corners.map(Into::into)));
            }
            text_table(&table, style.width, MAX_LINES)
        }
        Part::SignalMap(m) => columns::wrapped(&m.words()?, style.width, 2),
        Part::VolumeMap(m) => columns::wrapped(&m.words()?, style.width, 2),
        Part::Grid(g) => grid(g, style)?,
        Part::Matrix(m) => text_table(&matrix(m)?, style.width, MAX_LINES),
        Part::Pictures(p) => pictures(p, style)?,
        Part::Table(_, t) => text_table(t, style.width, MAX_LINES),
        Part::Plot(p) => plot::chart(p, style.width),
        Part::Cloud(c) => plot::chart(&c.plot(), style.width),
        Part::Mosaic(m) => mosaic(m, style)?,
        Part::Text(t) => {
            let line = |b: &markdown::Block| {
                let bullet = if b.listed { "• " } else { "" };
                columns::wrapped(&format!("{bullet}{}", plain(&b.text)), style.width, bullet.chars().count())
            };
            markdown::blocks(t).iter().map(line).collect()
        }
        Part::Figure(inner, _) => inner.iter().map(|a| text(a, style)).collect::<Vec<_>>().join("\n"),
    })
}

fn map(map: &Map, style: &TextStyle) -> Result<String> {
    let field = ValueGrid::of(&map.values)?;
    let ramp = Ramp::fit(map.scale, &field.values, Some(0.995));
    let mut out = columns::wrapped(&map_line(map, &field), style.width, 2);
    for remark in remarks(&field.values) {
        out += &columns::wrapped(&remark, style.width, 2);
    }
    if field.values.len() > 1 {
        out += &if style.colour {
            blocks::field(&field, &ramp, style.width.min(44), MAX_LINES)?
        } else {
            blocks::shades(&field, &ramp, style.width.min(44), 12)
        };
    }
    Ok(out)
}

fn map_line(map: &Map, field: &ValueGrid) -> String {
    let mut out = format!("map {} × {}, {}", field.rows, field.columns, range(&field.values));
    if let Some((r, c)) = field.peak() {
        out += &format!("; largest at row {r}, column {c}");
    }
    if !map.label.is_empty() {
        out += &format!(" ({})", plain(&map.label));
    }
    out
}

fn grid(grid: &Grid, style: &TextStyle) -> Result<String> {
    let mut out = columns::wrapped(&grid_line(grid)?, style.width, 2);
    if style.colour {
        out += &blocks::tiles(grid, style.width, MAX_LINES)?;
        return Ok(out);
    }
    let mut table = Table::new(["tile", "min", "mean", "max"]);
    let mut rows = Vec::new();
    for tile in &grid.tiles {
        let (low, mean, high) = extremes(&to_f32(&tile.values)?);
        rows.push((tile.caption.as_str(), low, mean, high));
    }
    rows.sort_by(|a, b| b.3.total_cmp(&a.3));
    for (caption, low, mean, high) in rows.into_iter().take(8) {
        table.push([caption.into(), low.into(), mean.into(), high.into()]);
    }
    if grid.tiles.len() > 8 {
        out += "the eight with the largest values:\n";
    }
    Ok(out + &text_table(&table, style.width, MAX_LINES))
}

fn grid_line(grid: &Grid) -> Result<String> {
    let mut all = Vec::new();
    for tile in &grid.tiles {
        all.extend(to_f32(&tile.values)?);
    }
    let dims = grid.tiles.first().map_or(String::new(), |t| format!(" of {}", shape(t.values.dims())));
    let label = if grid.label.is_empty() { String::new() } else { format!(" ({})", plain(&grid.label)) };
    Ok(format!("{} tiles{dims}, {}{label}", grid.tiles.len(), range(&all)))
}

fn pictures(pictures: &Pictures, style: &TextStyle) -> Result<String> {
    let mut out = String::new();
    if style.colour {
        out += &blocks::images(&pictures.images, style.width, MAX_LINES)?;
    }
    for (image, caption) in pictures.images.iter().take(12) {
        let line = format!("{} × {}  {}", image.width(), image.height(), plain(caption));
        out += &columns::wrapped(&line, style.width, 2);
    }
    if pictures.images.len() > 12 {
        out += &format!("… {} more pictures\n", pictures.images.len() - 12);
    }
    Ok(out)
}

fn mosaic(mosaic: &Mosaic, style: &TextStyle) -> Result<String> {
    let mut out = format!("{} pictures, {} a row\n", mosaic.images.len(), mosaic.columns);
    if style.colour {
        let first: Vec<_> = mosaic.images.iter().take(8).map(|i| (i.clone(), String::new())).collect();
        out += &blocks::images(&first, style.width, MAX_LINES / 2)?;
    }
    let mut table = Table::new(["group", "pictures"]);
    for (g, name) in mosaic.names.iter().enumerate() {
        table.push([name.as_str().into(), mosaic.groups.iter().filter(|x| **x == g).count().into()]);
    }
    Ok(if table.is_empty() { out } else { out + &text_table(&table, style.width, MAX_LINES) })
}

/// The minimum, mean and maximum of the values that are not NaN.
fn extremes(values: &[f32]) -> (f64, f64, f64) {
    let known: Vec<f64> = values.iter().filter(|v| !v.is_nan()).map(|v| f64::from(*v)).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    (known.iter().copied().fold(f64::NAN, f64::min), mean, known.iter().copied().fold(f64::NAN, f64::max))
}

fn range(values: &[f32]) -> String {
    if values.is_empty() {
        return "empty".into();
    }
    let (low, mean, high) = extremes(values);
    format!("{} to {}, mean {}", short(low), short(high), short(mean))
}

fn shape(dims: &[usize]) -> String {
    if dims.is_empty() {
        "(a number)".into()
    } else {
        dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
    }
}

/// A text without control sequences.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
