//! Maps on photos: the photo, the map, and the map over the photo, side by side at the same scale, so that a position is the same
//! in each.

use super::super::artifact::{ClassMap, Map, Style};
use super::super::colour::{self, BLANK, Ramp, Rgb, blend};
use super::super::field::{Ground, ValueGrid, fitted, paint, remarks};
use super::super::font::{self, Face};
use super::super::raster::SCALE;
use super::super::scene::{Anchor, DARK, INK, SOFT, Scene, SceneItem, paragraph};
use super::super::table::short;
use super::SMALL_TEXT;
use super::bar::colour_bar;
use crate::data::Image;
use crate::error::Result;

const BETWEEN: f64 = 12.0;
/// The longest side of a panel, px.
const MAX_PANEL: f64 = 380.0;
/// The longest side of a cell, px.
const MAX_CELL: f64 = 60.0;
/// The width reserved for the colour bar beside the panels, px.
const BAR_ROOM: f64 = 84.0;
/// The opacity of a class over the photo.
const CLASS_OPACITY: f64 = 0.6;
/// The width, px, below which two panels are drawn (without the photo alone).
const TWO_PANELS_BELOW: f64 = 500.0;
/// The width, px, below which one panel is drawn.
const ONE_PANEL_BELOW: f64 = 300.0;
/// The width of a caption below a narrow picture, where there is room, px.
const CAPTION_WIDTH: f64 = 260.0;
/// The number of values from which on a map's scale ends at a quantile.
const MIN_QUANTILE_VALUES: usize = 1024;
/// That quantile.
const QUANTILE: f64 = 0.995;
/// The note on a photo of which the net sees a part.
const FRAMED: &str = "the net saw the part inside the frame";

/// A heat map with its colour bar and its photo, unless the photo is shown already (`again`).
///
/// # Errors
/// Where the values are no map, or a picture would be too large.
pub fn heat(map: &Map, width: f64, again: bool, contours: bool) -> Result<Scene> {
    let field = ValueGrid::of(&map.values)?;
    let quantile = (matches!(map.style, Style::Alone | Style::Panel) && field.values.len() >= MIN_QUANTILE_VALUES)
        .then_some(QUANTILE);
    let ramp = Ramp::fit(map.scale, &field.values, quantile);
    let ground = Ground::of(map, &field);
    let hue = |v: f32, x: usize, y: usize| match ramp.colour(f64::from(v)) {
        Some(c) => (c, opacity(&ramp, f64::from(v))),
        None => (colour::nan_at(x, y), CLASS_OPACITY),
    };
    let cropped = map.photo.is_some() && ground.is_cropped();
    let (photo, over) = (map.photo.as_ref(), map.style == Style::Overlay);
    let panels = Panels { ground, photo, field: &field, style: map.style, smooth: true, again };
    let (mut scene, height) = panels.draw(width - BAR_ROOM, &hue)?;
    let half = if contours && over { half(&field, &ramp) } else { None };
    if let Some(level) = half {
        panels.contour(&mut scene, width - BAR_ROOM, level);
    }
    if map.style == Style::Photo {
        let lines = if cropped { vec![FRAMED.to_string()] } else { Vec::new() };
        return Ok(with_lines(scene, &lines, width));
    }
    if map.style != Style::Panel || !map.label.is_empty() {
        let bar = colour_bar(&ramp, &map.label, height)?;
        let left = scene.width + 10.0;
        scene.width = left + bar.width;
        scene.put(bar, left, 0.0);
    }
    let mut lines = remarks(&field.values);
    if let Some(level) = half {
        lines.push(format!("the line lies at {}, half of the strongest value", short(level)));
    }
    if let Some(largest) = ramp.beyond {
        let what = if quantile.is_some() { "at the 99.5 % quantile, " } else { "at " };
        lines.insert(0, format!("colours end {what}{}; the largest value is {}", short(ramp.high), short(largest)));
    }
    if cropped && map.style != Style::Panel && (over || scene.width > ONE_PANEL_BELOW) {
        lines.push(FRAMED.into());
    }
    Ok(with_lines(scene, &lines, width))
}

/// A map of classes with its photo and a legend.
///
/// # Errors
/// As [`heat`].
pub fn classes(map: &ClassMap, width: f64, again: bool) -> Result<Scene> {
    let field = ValueGrid::of(&map.values)?;
    let ground = Ground::of_classes(map, &field);
    let own = map.names.len().min(colour::CATEGORIES);
    let hue = |v: f32, x: usize, y: usize| {
        if v.is_nan() {
            return (colour::nan_at(x, y), CLASS_OPACITY);
        }
        let place = map.names[..own].iter().position(|(number, _)| *number as f32 == v);
        (place.map_or([190; 3], colour::category), CLASS_OPACITY)
    };
    let panels =
        Panels { ground, photo: map.photo.as_ref(), field: &field, style: Style::Overlay, smooth: false, again };
    let (mut scene, _) = panels.draw(width - BAR_ROOM, &hue)?;
    let mut entries: Vec<(Rgb, String)> =
        map.names[..own].iter().enumerate().map(|(i, (_, n))| (colour::category(i), n.clone())).collect();
    if map.names.len() > own {
        entries.push(([190; 3], format!("{} others", map.names.len() - own)));
    }
    scene.below(legend(&entries, scene.width.max(width.min(420.0))), 6.0);
    let nan = field.values.iter().filter(|v| v.is_nan()).count();
    let lines = if nan > 0 { vec![format!("{nan} positions hold no class (hatched)")] } else { Vec::new() };
    Ok(with_lines(scene, &lines, width))
}

/// Swatches with names, in as many rows as needed.
pub fn legend(entries: &[(Rgb, String)], width: f64) -> Scene {
    let (mut x, mut y): (f64, f64) = (0.0, 0.0);
    let mut scene = Scene::default();
    for (hue, name) in entries {
        let name = font::abbreviate(name, SMALL_TEXT, width - 20.0);
        let long = 16.0 + font::width(&name, SMALL_TEXT, Face::Sans);
        if x > 0.0 && x + long > width {
            (x, y) = (0.0, y + SMALL_TEXT * 1.5);
        }
        scene.add(SceneItem::Area([x, y + 2.5, 10.0, 10.0], *hue));
        scene.write(x + 15.0, y + SMALL_TEXT + 0.5, &name, SMALL_TEXT, INK, Anchor::Start);
        scene.width = scene.width.max(x + long);
        x += long + 14.0;
    }
    scene.height = if entries.is_empty() { 0.0 } else { y + SMALL_TEXT * 1.5 };
    scene
}

/// `scene` with captions below it, in a column `width` px wide.
pub fn with_lines(mut scene: Scene, lines: &[String], width: f64) -> Scene {
    let limit = scene.width.max(width.min(CAPTION_WIDTH));
    for (i, line) in lines.iter().enumerate() {
        scene.below(paragraph(line, SMALL_TEXT, limit, 5, SOFT, false), if i == 0 { 5.0 } else { 1.0 });
    }
    scene
}

/// The opacity of a value's colour over the photo: 0 at the weak end of the scale, so that the photo is unchanged there.
fn opacity(ramp: &Ramp, value: f64) -> f64 {
    0.85 * ramp.strength(value).sqrt()
}

/// Half of the strongest value; none where the scale does not begin at zero, or all values are zero.
fn half(field: &ValueGrid, ramp: &Ramp) -> Option<f64> {
    let largest = field.values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).fold(0.0, f64::max);
    (largest > 0.0 && (ramp.diverging || ramp.low == 0.0)).then_some(largest / 2.0)
}

/// Panels to be drawn side by side.
struct Panels<'a> {
    ground: Ground<'a>,
    photo: Option<&'a Image>,
    field: &'a ValueGrid,
    /// Which of photo, map and overlay are drawn.
    style: Style,
    /// Whether values between cells are interpolated over the photo.
    smooth: bool,
    /// Whether the photo alone is shown above already.
    again: bool,
}

/// Which panels are drawn.
struct Shown {
    photo: bool,
    map: bool,
    overlay: bool,
}

impl Shown {
    fn count(&self) -> f64 {
        f64::from(u8::from(self.photo) + u8::from(self.map) + u8::from(self.overlay))
    }
}

impl Panels<'_> {
    /// Draws the panels within `width` px, their names below; returns a panel's height, too. `hue` gives a value's colour and its
    /// opacity over the photo.
    fn draw(&self, width: f64, hue: &dyn Fn(f32, usize, usize) -> (Rgb, f64)) -> Result<(Scene, f64)> {
        let shown = self.shown(width);
        let size = self.size(width, self.count(width));
        let (columns, rows) = ((size.0 * SCALE) as usize, (size.1 * SCALE) as usize);
        let at =
            |x: usize, y: usize| self.ground.cell((x as f64 + 0.5) / columns as f64, (y as f64 + 0.5) / rows as f64);
        let mut panels = Vec::new();
        let photo = self.photo.map(|p| fitted(p, columns, rows)).transpose()?;
        if let Some(photo) = photo.as_ref().filter(|_| shown.photo) {
            let name = if self.style == Style::Photo { "" } else { "photo" };
            panels.push((photo.clone(), name.to_string(), true));
        }
        if shown.map {
            let cell = |x, y, (r, c): (f64, f64)| hue(self.field.at(r, c, false), x, y).0;
            let alone = paint(columns, rows, |x, y| at(x, y).map_or(BLANK, |p| cell(x, y, p)))?;
            panels.push((alone, format!("map, {} × {}", self.field.rows, self.field.columns), false));
        }
        if let Some(photo) = photo.filter(|_| shown.overlay) {
            let laid = paint(columns, rows, |x, y| {
                let base = photo.pixel(x, y).unwrap_or(BLANK);
                let Some((r, c)) = at(x, y) else { return blend(base, [255; 3], 0.65) };
                let (colour, opacity) = hue(self.field.at(r, c, self.smooth), x, y);
                blend(under_map(base, opacity), colour, opacity)
            })?;
            panels.push((laid, "overlay".to_string(), true));
        }
        let mut scene = Scene::new(0.0, size.1 + SMALL_TEXT * 1.6);
        for (i, (picture, name, framed)) in panels.into_iter().enumerate() {
            let left = i as f64 * (size.0 + BETWEEN);
            scene.add(SceneItem::Picture([left, 0.0, size.0, size.1], picture));
            if framed && self.ground.is_cropped() {
                frame(&mut scene, self.ground.crop(), left, size);
            }
            let name = font::abbreviate(&name, SMALL_TEXT, size.0.max(40.0));
            scene.write(left + size.0 / 2.0, size.1 + SMALL_TEXT * 1.3, &name, SMALL_TEXT, SOFT, Anchor::Middle);
            scene.width = left + size.0;
        }
        Ok((scene, size.1))
    }

    /// The panels that fit.
    fn shown(&self, width: f64) -> Shown {
        let over = self.style == Style::Overlay && self.photo.is_some();
        let room = width >= if over { TWO_PANELS_BELOW } else { ONE_PANEL_BELOW };
        let photo = self.photo.is_some() && self.style != Style::Panel && !self.again;
        Shown {
            photo: photo && (room || self.style == Style::Photo),
            map: self.style != Style::Photo && (!over || width >= ONE_PANEL_BELOW),
            overlay: over,
        }
    }

    /// How many panels share the width. A photo that is left out because it is shown above counts, so that all maps of an artifact
    /// have one size.
    fn count(&self, width: f64) -> f64 {
        Panels { again: false, ground: self.ground.clone(), ..*self }.shown(width).count()
    }

    /// Draws the contour of the interpolated map at `level` on the overlay, which is the last panel.
    fn contour(&self, scene: &mut Scene, width: f64, level: f64) {
        let shown = self.shown(width);
        let size = self.size(width, self.count(width));
        let left = (shown.count() - 1.0) * (size.0 + BETWEEN);
        let steps = (size.0 / 3.0) as usize;
        let rows = (size.1 / 3.0) as usize;
        let at = |i: usize, j: usize| {
            let place = (i as f64 / steps as f64, j as f64 / rows as f64);
            self.ground
                .cell(place.0.min(0.9999), place.1.min(0.9999))
                .map(|(r, c)| f64::from(self.field.at(r, c, true)))
        };
        for (from, to) in crossings(steps, rows, level, at) {
            let px = |(x, y): (f64, f64)| (left + x / steps as f64 * size.0, y / rows as f64 * size.1);
            scene.rule(px(from), px(to), DARK, 2.2);
            scene.rule(px(from), px(to), [255; 3], 1.0);
        }
    }

    /// The size of a panel: whole pixels, in the ground's proportions within limits.
    fn size(&self, width: f64, count: f64) -> (f64, f64) {
        let (w, h) = self.ground.size();
        let ratio = (h / w).clamp(0.05, 20.0);
        // A map alone, of few cells, is no larger than its cells need.
        let cells = self.field.rows.max(self.field.columns) as f64;
        let largest = if self.photo.is_none() { MAX_PANEL.min((cells * MAX_CELL).max(120.0)) } else { MAX_PANEL };
        let wide = ((width - BETWEEN * (count - 1.0)) / count).clamp(60.0, largest).min(largest / ratio).max(16.0);
        let whole = |x: f64| (x * SCALE).round().max(2.0) / SCALE;
        (whole(wide), whole((wide * ratio).max(16.0)))
    }
}

/// A photo's colour under a map: the stronger the map, the greyer, so that the map's colours stay legible.
fn under_map(c: Rgb, strength: f64) -> Rgb {
    let luma = (0.299 * f64::from(c[0]) + 0.587 * f64::from(c[1]) + 0.114 * f64::from(c[2])) as u8;
    blend(c, [luma; 3], strength.min(1.0))
}

/// The segments of the contour at `level` through a grid of `columns` x `rows` cells whose corners have the values `at`: marching
/// squares (Lorensen and Cline 1987, in the plane), with interpolated ends.
fn crossings(
    columns: usize,
    rows: usize,
    level: f64,
    at: impl Fn(usize, usize) -> Option<f64>,
) -> Vec<((f64, f64), (f64, f64))> {
    let mut pieces = Vec::new();
    for j in 0..rows {
        for i in 0..columns {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let values: Vec<f64> = corners.iter().filter_map(|(x, y)| at(*x, *y)).filter(|v| v.is_finite()).collect();
            if values.len() < 4 {
                continue;
            }
            let mut ends = Vec::new();
            for side in 0..4 {
                let (a, b) = (values[side] - level, values[(side + 1) % 4] - level);
                if (a < 0.0) != (b < 0.0) {
                    let t = a / (a - b);
                    let ((ax, ay), (bx, by)) = (corners[side], corners[(side + 1) % 4]);
                    ends.push((ax as f64 + t * (bx as f64 - ax as f64), ay as f64 + t * (by as f64 - ay as f64)));
                }
            }
            pieces.extend(ends.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
    }
    pieces
}

/// The frame of the net's input, light on dark, so that it is visible on any photo.
fn frame(scene: &mut Scene, [l, t, w, h]: [f64; 4], left: f64, (width, height): (f64, f64)) {
    let (x0, y0) = (left + l.max(0.0) * width, t.max(0.0) * height);
    let (x1, y1) = (left + (l + w).min(1.0) * width, (t + h).min(1.0) * height);
    let inset = |d: f64| [x0 + d, y0 + d, (x1 - x0 - 2.0 * d).max(0.5), (y1 - y0 - 2.0 * d).max(0.5)];
    scene.add(SceneItem::Frame(inset(0.9), DARK, 1.8));
    scene.add(SceneItem::Frame(inset(0.9), [255; 3], 0.8));
}
