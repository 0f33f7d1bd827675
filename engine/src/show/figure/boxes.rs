//! Boxes on a photo: frames in the colours of their classes, with captions, the most confident on top.

use super::super::artifact::Boxes;
use super::super::colour;
use super::super::field::fitted;
use super::super::font::{self, Face};
use super::super::raster::SCALE;
use super::super::scene::{Anchor, Scene, SceneItem};
use super::SMALL_TEXT;
use super::map::legend;
use crate::error::Result;

/// The longest side of the photo, px.
const MAX_SIDE: f64 = 560.0;
/// The line width of a frame, px.
const FRAME_WIDTH: f64 = 2.2;

/// The photo with its boxes and a legend.
///
/// # Errors
/// Where the picture would be too large.
pub fn drawn(boxes: &Boxes, width: f64) -> Result<Scene> {
    let (w, h) = (boxes.photo.width() as f64, boxes.photo.height() as f64);
    let zoom = (width.min(MAX_SIDE) / w).min(MAX_SIDE / h);
    let whole = |v: f64| (v * SCALE).round().max(2.0) / SCALE;
    let (wide, high) = (whole(w * zoom), whole(h * zoom));
    let mut scene = Scene::new(wide, high);
    let photo = fitted(&boxes.photo, (wide * SCALE) as usize, (high * SCALE) as usize)?;
    scene.add(SceneItem::Picture([0.0, 0.0, wide, high], photo));
    let hue = |group: usize| colour::category(group % colour::CATEGORIES);
    for one in boxes.boxes.iter().rev() {
        let [l, t, r, b] = one.corners;
        let (x0, y0) = ((l * zoom).clamp(0.0, wide), (t * zoom).clamp(0.0, high));
        let (x1, y1) = ((r * zoom).clamp(0.0, wide), (b * zoom).clamp(0.0, high));
        let frame =
            |inset: f64| [x0 + inset, y0 + inset, (x1 - x0 - 2.0 * inset).max(0.5), (y1 - y0 - 2.0 * inset).max(0.5)];
        scene.add(SceneItem::Frame(frame(0.0), [255; 3], FRAME_WIDTH + 1.4));
        scene.add(SceneItem::Frame(frame(0.0), hue(one.group), FRAME_WIDTH));
        let text = font::abbreviate(&one.caption, SMALL_TEXT, wide);
        let long = font::width(&text, SMALL_TEXT, Face::Sans) + 6.0;
        let line = SMALL_TEXT * 1.45;
        // The caption is above the box, or inside where there is no room.
        let top = if y0 >= line { y0 - line } else { y0 };
        let left = x0.min(wide - long).max(0.0);
        scene.add(SceneItem::Area([left, top, long, line], hue(one.group)));
        scene.write(left + 3.0, top + SMALL_TEXT * 1.08, &text, SMALL_TEXT, [255; 3], Anchor::Start);
    }
    let entries: Vec<_> = boxes.names.iter().enumerate().map(|(i, n)| (hue(i), n.clone())).collect();
    scene.below(legend(&entries, wide), 6.0);
    Ok(scene)
}
