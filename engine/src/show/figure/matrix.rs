//! A matrix of named rows and columns: a coloured cell with its value for each pair, names beside and below.

use super::super::artifact::Matrix;
use super::super::colour::{Ramp, Rgb, nan_at};
use super::super::field::ValueGrid;
use super::super::font::{self, Face};
use super::super::raster::SCALE;
use super::super::scene::{Anchor, DARK, Letters, SOFT, Scene, SceneItem, letters};
use super::super::table::short;
use super::SMALL_TEXT;
use super::bar::colour_bar;
use crate::error::Result;

/// The longest side of a cell, px.
const MAX_CELL: f64 = 64.0;
/// The greatest height of all rows together, px.
const MAX_HEIGHT: f64 = 1600.0;
/// The side of a cell, px, below which cells are not drawn one by one.
const MIN_CELL: f64 = 4.0;
/// The width of a cell, px, below which it has no number.
const MIN_NUMBERED_CELL: f64 = 30.0;
/// The greatest width of the names, px.
const MAX_NAMES_WIDTH: f64 = 190.0;
/// The width reserved for the colour bar, px.
const BAR_ROOM: f64 = 84.0;

/// The matrix with its names and its colour bar, at most `width` px wide.
///
/// # Errors
/// Where the values are no matrix.
pub fn drawn(matrix: &Matrix, width: f64) -> Result<Scene> {
    let field = ValueGrid::of(&matrix.values)?;
    let ramp = Ramp::fit(matrix.scale, &field.values, None);
    let widest = |names: &[String]| names.iter().map(|n| font::width(n, SMALL_TEXT, Face::Sans)).fold(0.0, f64::max);
    let beside = widest(&matrix.rows).min(MAX_NAMES_WIDTH).min(width * 0.3) + 8.0;
    let room = ((width - beside - BAR_ROOM) / field.columns.max(1) as f64).min(MAX_HEIGHT / field.rows.max(1) as f64);
    let cell = room.clamp(0.5, MAX_CELL);
    let high = cell * field.rows as f64;
    let mut scene = Scene::new(beside + cell * field.columns as f64, high);
    if cell < MIN_CELL {
        // Too many cells to draw one by one: one picture of all.
        let side = |cells: usize| ((cells as f64 * cell * SCALE).round() as usize).max(1);
        let picture = field.resized(side(field.rows), side(field.columns)).picture(&ramp)?;
        scene.add(SceneItem::Picture([beside, 0.0, cell * field.columns as f64, high], picture));
    } else {
        cells(&mut scene, &field, &ramp, beside, cell);
    }
    let every = (SMALL_TEXT * 1.2 / cell).ceil().max(1.0) as usize;
    for (row, name) in matrix.rows.iter().enumerate().step_by(every) {
        let y = cell * (row as f64 + 0.5) + SMALL_TEXT * 0.35;
        scene.write(beside - 6.0, y, &font::abbreviate(name, SMALL_TEXT, beside - 8.0), SMALL_TEXT, SOFT, Anchor::End);
    }
    let below = columns(&mut scene, matrix, [beside, high], cell, every);
    let bar = colour_bar(&ramp, &matrix.label, high.max(60.0))?;
    let left = scene.width + 10.0;
    scene.width = left + bar.width;
    scene.height = (high + below).max(bar.height);
    scene.put(bar, left, 0.0);
    Ok(scene)
}

/// A coloured square for each value, with the number where it fits.
fn cells(scene: &mut Scene, field: &ValueGrid, ramp: &Ramp, beside: f64, cell: f64) {
    for row in 0..field.rows {
        for column in 0..field.columns {
            let value = f64::from(field.values[row * field.columns + column]);
            let (left, top) = (beside + cell * column as f64, cell * row as f64);
            let colour = ramp.colour(value).unwrap_or(nan_at(0, 0));
            scene.add(SceneItem::Area([left, top, cell, cell], colour));
            let text = short((value * 1000.0).round() / 1000.0).replace('-', "−");
            if cell >= MIN_NUMBERED_CELL && value.is_finite() && font::width(&text, SMALL_TEXT, Face::Sans) < cell {
                let ink = if is_dark(colour) { [255; 3] } else { DARK };
                scene.write(
                    left + cell / 2.0,
                    top + cell / 2.0 + SMALL_TEXT * 0.35,
                    &text,
                    SMALL_TEXT,
                    ink,
                    Anchor::Middle,
                );
            }
        }
    }
}

/// Writes the columns' names below the cells, vertically where they do not fit; returns the height that they take.
fn columns(scene: &mut Scene, matrix: &Matrix, [beside, high]: [f64; 2], cell: f64, every: usize) -> f64 {
    let fits = matrix.columns.iter().all(|n| font::width(n, SMALL_TEXT, Face::Sans) + 4.0 <= cell);
    let mut longest: f64 = 0.0;
    for (column, name) in matrix.columns.iter().enumerate().step_by(if fits { 1 } else { every }) {
        let x = beside + cell * (column as f64 + 0.5);
        if fits {
            scene.write(x, high + SMALL_TEXT * 1.3, name, SMALL_TEXT, SOFT, Anchor::Middle);
            continue;
        }
        let name = font::abbreviate(name, SMALL_TEXT, MAX_NAMES_WIDTH);
        longest = longest.max(font::width(&name, SMALL_TEXT, Face::Sans));
        let upright = letters(x + SMALL_TEXT * 0.35, high + 6.0, &name, SMALL_TEXT, SOFT, Anchor::End);
        scene.add(SceneItem::Letters(Letters { turn: -90.0, ..upright }));
    }
    if fits { SMALL_TEXT * 1.8 } else { longest + 10.0 }
}

/// Whether white letters are more legible on a colour than dark ones.
fn is_dark(colour: Rgb) -> bool {
    0.299 * f64::from(colour[0]) + 0.587 * f64::from(colour[1]) + 0.114 * f64::from(colour[2]) < 128.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::show::Scale;
    use crate::tensor::tensor;

    #[test]
    fn a_thousand_rows_are_one_picture() {
        let names: Vec<String> = (0..1000).map(|i| format!("class {i}")).collect();
        let values = tensor((0..1_000_000).map(|i| (i % 7) as f32).collect::<Vec<_>>(), &[1000, 1000]).unwrap();
        let scale = Scale::Sequential { low: Some(0.0), high: None };
        let matrix =
            Matrix { title: String::new(), values, rows: names.clone(), columns: names, label: "n".into(), scale };
        let scene = drawn(&matrix, 900.0).unwrap();
        assert!(scene.width <= 900.0 && scene.items.len() < 400, "{} px, {} items", scene.width, scene.items.len());
    }

    #[test]
    fn cells_hold_values_and_names_stand_beside_and_below() {
        let names = ["first".to_string(), "a rather long name of a net".to_string()];
        let matrix = Matrix {
            title: String::new(),
            values: tensor(vec![1.0f32, 0.25, 0.0, 0.5], &[2, 2]).unwrap(),
            rows: names.to_vec(),
            columns: names.to_vec(),
            label: "share".into(),
            scale: Scale::Sequential { low: Some(0.0), high: Some(1.0) },
        };
        for width in [420.0, 900.0] {
            let scene = drawn(&matrix, width).unwrap();
            assert!(scene.width <= width, "{} of {width}", scene.width);
            let texts: Vec<&str> = scene
                .items
                .iter()
                .filter_map(|i| if let SceneItem::Letters(l) = i { Some(l.text.as_str()) } else { None })
                .collect();
            for text in ["1", "0.25", "0", "0.5", "first"] {
                assert!(texts.contains(&text), "{text} in {texts:?}");
            }
        }
    }
}
