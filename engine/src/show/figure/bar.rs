//! The colour bar beside maps and grids, and round numbers for its ticks and for axes.

use super::super::colour::{Ramp, Rgb};
use super::super::field::paint;
use super::super::font::{self, Face};
use super::super::raster::SCALE;
use super::super::scene::{Anchor, FAINT, INK, Letters, SOFT, Scene, SceneItem, letters};
use super::super::table::short;
use super::SMALL_TEXT;
use crate::error::Result;

/// The bar's width, px.
const BAR_WIDTH: f64 = 13.0;

/// A vertical bar of the ramp's colours, `height` px high, with ticks and the label written upwards. A pointed end shows that
/// values lie beyond.
///
/// # Errors
/// Where its picture cannot be made.
pub fn colour_bar(ramp: &Ramp, label: &str, height: f64) -> Result<Scene> {
    let mut scene = Scene::new(BAR_WIDTH, height);
    let tip = if ramp.beyond.is_some() { 9.0 } else { 0.0 };
    let foot = if ramp.beyond.is_some() && ramp.diverging { 9.0 } else { 0.0 };
    let (top, bottom) = (tip, height - foot);
    let (columns, rows) = ((BAR_WIDTH * SCALE) as usize, ((bottom - top) * SCALE).round().max(1.0) as usize);
    let strip = paint(columns, rows, |_, y| ramp.at(1.0 - (y as f64 + 0.5) / rows as f64))?;
    scene.add(SceneItem::Picture([0.0, top, BAR_WIDTH, rows as f64 / SCALE], strip));
    if tip > 0.0 {
        point(&mut scene, [(0.0, top), (BAR_WIDTH / 2.0, 0.0), (BAR_WIDTH, top)], ramp.at(1.0));
    }
    if foot > 0.0 {
        point(&mut scene, [(0.0, bottom), (BAR_WIDTH / 2.0, height), (BAR_WIDTH, bottom)], ramp.at(0.0));
    }
    scene.add(SceneItem::Frame([0.0, top, BAR_WIDTH, bottom - top], FAINT, 0.7));
    let mut widest: f64 = 0.0;
    for tick in enough(ramp, bottom - top) {
        let y = bottom - ramp.place(tick) * (bottom - top);
        scene.rule((BAR_WIDTH, y), (BAR_WIDTH + 3.5, y), SOFT, 0.8);
        let text = short(tick).replace('-', "−");
        scene.write(BAR_WIDTH + 6.0, y + SMALL_TEXT * 0.35, &text, SMALL_TEXT, SOFT, Anchor::Start);
        widest = widest.max(font::width(&text, SMALL_TEXT, Face::Sans));
    }
    scene.width = BAR_WIDTH + 6.0 + widest;
    if !label.is_empty() {
        let lines = font::wrap(label, SMALL_TEXT, height.max(60.0), 3);
        for line in &lines {
            scene.width += SMALL_TEXT * 1.35;
            let base = letters(scene.width, height / 2.0, line, SMALL_TEXT, INK, Anchor::Middle);
            scene.add(SceneItem::Letters(Letters { turn: -90.0, ..base }));
        }
        scene.width += 3.0;
    }
    Ok(scene)
}

/// The pointed end of a bar beyond which values lie.
fn point(scene: &mut Scene, corners: [(f64, f64); 3], colour: Rgb) {
    scene.add(SceneItem::Shape(corners.to_vec(), colour));
    scene.add(SceneItem::Line(corners.to_vec(), FAINT, 0.7, false));
}

/// Ticks about 34 px apart; closer on short bars, so that there are at least two besides zero.
fn enough(ramp: &Ramp, length: f64) -> Vec<f64> {
    if let Some(linear) = ramp.linear {
        return decades(ramp, linear, length);
    }
    let (wanted, most) = (if ramp.diverging { 3 } else { 2 }, (length / 14.0) as usize);
    let first = (length / 34.0).clamp(2.0, 6.0) as usize;
    let (low, high) = (ramp.low.min(ramp.high), ramp.low.max(ramp.high));
    let mut found = ticks(low, high, first);
    for count in first + 1..=8 {
        let closer = ticks(low, high, count);
        if found.len() >= wanted || closer.len() > most {
            break;
        }
        found = closer;
    }
    found
}

/// Zero and powers of ten on both sides, as many as fit on a symmetric-log bar.
fn decades(ramp: &Ramp, linear: f64, length: f64) -> Vec<f64> {
    let powers = (libm::log10(linear).floor() as i32..=libm::log10(ramp.high.abs()).floor() as i32).rev();
    let both = powers.map(|p| libm::pow(10.0, f64::from(p))).flat_map(|v| [v, -v]);
    let mut kept: Vec<f64> = vec![0.0];
    for tick in both.filter(|v| (ramp.low..=ramp.high).contains(v)) {
        if kept.iter().all(|k| (ramp.place(*k) - ramp.place(tick)).abs() * length >= 14.0) {
            kept.push(tick);
        }
    }
    kept
}

/// About `count` round numbers from `low` to `high`, 1, 2 or 5 times a power of ten apart; both ends where no round number lies
/// between them.
pub fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if span.is_nan() || span <= 0.0 || !span.is_finite() {
        return vec![low];
    }
    let rough = span / count.max(1) as f64;
    let power = libm::pow(10.0, libm::log10(rough).floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let mut out = Vec::new();
    let mut i = first;
    while i <= last && out.len() < 50 {
        // Twelve digits suffice for a tick and hide the product's rounding error.
        let tick = format!("{:.11e}", i * step).parse().unwrap_or(i * step);
        out.push(if i == 0.0 { 0.0 } else { tick });
        i += 1.0;
    }
    if out.is_empty() { vec![low, high] } else { out }
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn ticks_are_round_and_within_the_ends() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(-3.0, 3.0, 3), [-2.0, 0.0, 2.0]);
        assert_eq!(ticks(0.0, 0.0123, 4), [0.0, 0.005, 0.01]);
        assert_eq!(ticks(2.0, 2.0, 4), [2.0]);
        assert_eq!(ticks(f64::NAN, 1.0, 4).len(), 1);
        let far = ticks(1e30, 3e30, 4);
        assert!(far.iter().all(|t| (1e30..=3e30).contains(t)), "{far:?}");
    }
}
