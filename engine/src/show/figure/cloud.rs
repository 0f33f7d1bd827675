//! Embeddings: points in a frame, coloured by group, or thumbnails where they fit; with ticks along the frame where the axes have
//! a meaning.

use super::super::artifact::{Cloud, Mark, Plot, Series};
use super::super::colour::{self, Rgb};
use super::super::field::fitted;
use super::super::font;
use super::super::raster::SCALE;
use super::super::scene::{Anchor, FAINT, INK, Letters, PAGE, SOFT, Scene, SceneItem, letters, paragraph};
use super::super::table::short;
use super::SMALL_TEXT;
use super::bar::ticks;
use super::map::legend;
use crate::error::Result;

/// The longest side of the frame, px.
const MAX_SIDE: f64 = 620.0;
/// The space between frame and dots, px.
const INSET: f64 = 14.0;
/// The longer side of a thumbnail, px: least and greatest.
const THUMBNAIL_SIDES: [f64; 2] = [34.0, 56.0];
/// The share of the frame that thumbnails may cover.
const MAX_COVER: f64 = 0.12;
/// The space beside a frame for the axis's ticks and name, px.
const GUTTER: f64 = 58.0;
/// The colour of points without a group.
const NO_GROUP: Rgb = [160, 162, 168];

impl Cloud {
    /// The same as a plot, for terminals.
    pub fn plot(&self) -> Plot {
        let group = |g: usize| {
            let of = |i: &usize| self.groups.get(*i).copied().unwrap_or(usize::MAX).min(self.names.len()) == g;
            let those: Vec<usize> = (0..self.points.len()).filter(of).collect();
            Series {
                name: self.names.get(g).cloned().unwrap_or_else(|| "no group".into()),
                x: those.iter().map(|i| self.points[*i][0]).collect(),
                y: those.iter().map(|i| self.points[*i][1]).collect(),
                bars: Vec::new(),
                mark: Mark::Point,
            }
        };
        let [x_label, y_label] = self.axes.clone().unwrap_or_default();
        let series = (0..=self.names.len()).map(group).filter(|s| !s.x.is_empty()).collect();
        Plot { title: self.title.clone(), x_label, y_label, categories: Vec::new(), series }
    }
}

/// The colour of group `g` of `groups`; groups beyond the palette are grey.
pub fn hue(g: usize, groups: usize) -> Rgb {
    if g < groups && g < 2 * colour::CATEGORIES { colour::category(g) } else { NO_GROUP }
}

/// The entries of a legend, for the groups with a colour of their own.
pub fn entries(names: &[String]) -> Vec<(Rgb, String)> {
    let mut all: Vec<(Rgb, String)> =
        names.iter().take(2 * colour::CATEGORIES).enumerate().map(|(i, n)| (hue(i, names.len()), n.clone())).collect();
    if names.len() > all.len() {
        all.push((NO_GROUP, format!("{} more", names.len() - all.len())));
    }
    all
}

/// The cloud, at most `width` px wide.
///
/// # Errors
/// Where a thumbnail cannot be drawn.
#[allow(clippy::needless_range_loop)]
pub fn drawn(cloud: &Cloud, width: f64) -> Result<Scene> {
    let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    for p in cloud.points.iter().filter(|p| p.iter().all(|v| v.is_finite())) {
        for a in 0..2 {
            low[a] = low[a].min(p[a]);
            high[a] = high[a].max(p[a]);
        }
    }
    if low[0] > high[0] {
        return Ok(paragraph("no points", SMALL_TEXT, width, 1, SOFT, false));
    }
    let pictured = cloud.thumbnails.len() == cloud.points.len();
    let largest = width.min(MAX_SIDE);
    let side = (largest * (MAX_COVER / cloud.points.len() as f64).sqrt()).clamp(THUMBNAIL_SIDES[0], THUMBNAIL_SIDES[1]);
    let room = if pictured { side / 2.0 + 5.0 } else { INSET };
    let span = [0, 1].map(|a| (high[a] - low[a]).max(1e-9));
    let longest = largest - 2.0 * room - if cloud.axes.is_some() { GUTTER } else { 0.0 };
    let zoom = longest / span[0].max(span[1]);
    let (w, h) = ((span[0] * zoom).max(longest * 0.5), (span[1] * zoom).max(longest * 0.5));
    let offset = [(w - span[0] * zoom) / 2.0, (h - span[1] * zoom) / 2.0];
    let place = |p: &[f64; 2]| (room + offset[0] + (p[0] - low[0]) * zoom, room + offset[1] + (high[1] - p[1]) * zoom);
    let mut scene = Scene::default();
    if cloud.names.len() > 1 {
        scene.below(legend(&entries(&cloud.names), largest), 0.0);
    }
    let mut panel = Scene::new(w + 2.0 * room, h + 2.0 * room);
    panel.add(SceneItem::Frame([0.0, 0.0, panel.width, panel.height], FAINT, 1.0));
    if pictured {
        thumbnails(cloud, &mut panel, side, place)?;
    } else {
        dots(cloud, &mut panel, place);
    }
    if let Some(axes) = &cloud.axes {
        panel = with_axes(panel, axes, [low, high], place);
    }
    scene.below(panel, 6.0);
    Ok(scene)
}

/// The panel with round ticks along both sides and the axes' names; `low` and `high` are the ranges of the points.
fn with_axes(
    panel: Scene,
    [x, y]: &[String; 2],
    [low, high]: [[f64; 2]; 2],
    place: impl Fn(&[f64; 2]) -> (f64, f64),
) -> Scene {
    let (w, h) = (panel.width, panel.height);
    let mut scene = Scene::new(w + GUTTER, h + SMALL_TEXT * 3.4);
    for tick in ticks(low[0], high[0], 6) {
        let at = GUTTER + place(&[tick, low[1]]).0;
        scene.rule((at, h), (at, h + 4.0), SOFT, 0.8);
        scene.write(at, h + SMALL_TEXT * 1.5, &number(tick), SMALL_TEXT, SOFT, Anchor::Middle);
    }
    for tick in ticks(low[1], high[1], 6) {
        let at = place(&[low[0], tick]).1;
        scene.rule((GUTTER - 4.0, at), (GUTTER, at), SOFT, 0.8);
        scene.write(GUTTER - 7.0, at + SMALL_TEXT * 0.35, &number(tick), SMALL_TEXT, SOFT, Anchor::End);
    }
    let (across, upright) = (font::abbreviate(x, SMALL_TEXT, w), font::abbreviate(y, SMALL_TEXT, h));
    scene.write(GUTTER + w / 2.0, h + SMALL_TEXT * 2.9, &across, SMALL_TEXT, INK, Anchor::Middle);
    let name = letters(SMALL_TEXT, h / 2.0, &upright, SMALL_TEXT, INK, Anchor::Middle);
    scene.add(SceneItem::Letters(Letters { turn: -90.0, ..name }));
    scene.put(panel, GUTTER, 0.0);
    scene
}

fn number(x: f64) -> String {
    short(x).replace('-', "−")
}

/// A dot for each point, in the points' own order, so that later groups do not hide earlier ones.
fn dots(cloud: &Cloud, panel: &mut Scene, place: impl Fn(&[f64; 2]) -> (f64, f64)) {
    let n = cloud.points.len() as f64;
    let radius = (46.0 / n.sqrt()).clamp(1.3, 3.4);
    for (i, p) in cloud.points.iter().enumerate().filter(|(_, p)| p.iter().all(|v| v.is_finite())) {
        let (x, y) = place(p);
        let fill = hue(cloud.groups.get(i).copied().unwrap_or(usize::MAX), cloud.names.len());
        if cloud.ringed.contains(&i) {
            panel.add(SceneItem::Dot(x, y, radius + 2.6, INK));
            panel.add(SceneItem::Dot(x, y, radius + 1.4, PAGE));
        }
        panel.add(SceneItem::Dot(x, y, radius, fill));
    }
}

/// Thumbnails that do not overlap, and the other points as small dots beneath.
fn thumbnails(cloud: &Cloud, panel: &mut Scene, longest: f64, place: impl Fn(&[f64; 2]) -> (f64, f64)) -> Result<()> {
    let mut kept: Vec<(usize, f64, f64)> = Vec::new();
    let order = cloud.ringed.clone().chain((0..cloud.points.len()).filter(|i| !cloud.ringed.contains(i)));
    for i in order.filter(|i| *i < cloud.points.len()) {
        let (x, y) = place(&cloud.points[i]);
        let free = |(_, a, b): &(usize, f64, f64)| (a - x).abs() >= longest + 2.0 || (b - y).abs() >= longest + 2.0;
        if x.is_finite() && y.is_finite() && kept.iter().all(free) {
            kept.push((i, x, y));
        }
    }
    let colour = |i: usize| hue(cloud.groups.get(i).copied().unwrap_or(usize::MAX), cloud.names.len());
    for (i, p) in cloud.points.iter().enumerate().filter(|(_, p)| p.iter().all(|v| v.is_finite())) {
        let (x, y) = place(p);
        panel.add(SceneItem::Dot(x, y, 1.3, colour(i)));
    }
    for (i, x, y) in kept {
        let image = &cloud.thumbnails[i];
        let zoom = longest / image.width().max(image.height()) as f64;
        let (w, h) = (image.width() as f64 * zoom, image.height() as f64 * zoom);
        let side = |v: f64| ((v * SCALE).round() as usize).max(1);
        let rect = [x - w / 2.0, y - h / 2.0, w, h];
        panel.add(SceneItem::Picture(rect, fitted(image, side(w), side(h))?));
        panel.add(SceneItem::Frame(rect, colour(i), if cloud.ringed.contains(&i) { 2.4 } else { 1.2 }));
    }
    Ok(())
}
