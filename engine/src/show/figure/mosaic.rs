//! Many small pictures without gaps, each framed in the colour of its group.

use super::super::artifact::Mosaic;
use super::super::field::fitted;
use super::super::raster::SCALE;
use super::super::scene::{SOFT, Scene, SceneItem, paragraph};
use super::SMALL_TEXT;
use super::cloud::{entries, hue};
use super::map::legend;
use crate::error::Result;

/// The longest side of a cell, px.
const MAX_CELL: f64 = 72.0;

/// The mosaic, at most `width` px wide.
///
/// # Errors
/// Where a picture cannot be drawn.
pub fn drawn(mosaic: &Mosaic, width: f64) -> Result<Scene> {
    if mosaic.images.is_empty() {
        return Ok(paragraph("no pictures", SMALL_TEXT, width, 1, SOFT, false));
    }
    let columns = mosaic.columns.clamp(1, mosaic.images.len());
    let cell = ((width / columns as f64).min(MAX_CELL) * SCALE).floor().max(2.0) / SCALE;
    let frame = if cell > 20.0 { 1.5 } else { 0.75 };
    let mut scene = Scene::default();
    if mosaic.names.len() > 1 {
        scene.below(legend(&entries(&mosaic.names), cell * columns as f64), 0.0);
    }
    let rows = mosaic.images.len().div_ceil(columns);
    let mut panel = Scene::new(cell * columns as f64, cell * rows as f64);
    for (i, image) in mosaic.images.iter().enumerate() {
        let (x, y) = ((i % columns) as f64 * cell, (i / columns) as f64 * cell);
        let colour = hue(mosaic.groups.get(i).copied().unwrap_or(usize::MAX), mosaic.names.len());
        panel.add(SceneItem::Area([x, y, cell - 0.5, cell - 0.5], colour));
        let inner = cell - 0.5 - 2.0 * frame;
        let side = ((inner * SCALE).round() as usize).max(1);
        let square = square(image)?;
        panel.add(SceneItem::Picture([x + frame, y + frame, inner, inner], fitted(&square, side, side)?));
    }
    scene.below(panel, 6.0);
    Ok(scene)
}

/// The central square of a picture.
///
/// # Errors
/// Where cropping fails, which no picture is known to cause.
pub fn square(image: &crate::data::Image) -> Result<crate::data::Image> {
    let side = image.width().min(image.height());
    image.center_crop(side, side)
}
