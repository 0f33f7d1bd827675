//! Embeddings: points in a square frame without numbers, coloured by group, or thumbnails where there is room for them.

use super::super::artifact::{Cloud, Mark, Plot, Series};
use super::super::colour::{self, Rgb};
use super::super::field::fitted;
use super::super::raster::SCALE;
use super::super::scene::{Anchor, FAINT, INK, Item, SOFT, Scene, paragraph};
use super::SMALL;
use super::map::legend;
use crate::error::Result;

/// The longest side of the frame.
const LARGEST: f64 = 620.0;
/// White between frame and points, and where thumbnails are drawn.
const ROOM: [f64; 2] = [14.0, THUMB / 2.0 + 5.0];
/// The longer side of a thumbnail.
const THUMB: f64 = 30.0;
/// Points without a group.
const NONE: Rgb = [160, 162, 168];

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

/// The colour of group `g` of `groups`; groups beyond the palette share grey.
pub fn hue(g: usize, groups: usize) -> Rgb {
    if g < groups && g < 2 * colour::CATEGORIES { colour::category(g) } else { NONE }
}

/// The entries of a legend: as many groups as have a colour of their own.
pub fn entries(names: &[String]) -> Vec<(Rgb, String)> {
    let mut all: Vec<(Rgb, String)> =
        names.iter().take(2 * colour::CATEGORIES).enumerate().map(|(i, n)| (hue(i, names.len()), n.clone())).collect();
    if names.len() > all.len() {
        all.push((NONE, format!("{} more", names.len() - all.len())));
    }
    all
}

/// The cloud, at most `width` wide.
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
        return Ok(paragraph("no points", SMALL, width, 1, SOFT, false));
    }
    let pictured = cloud.thumbnails.len() == cloud.points.len();
    let room = ROOM[usize::from(pictured)];
    let span = [0, 1].map(|a| (high[a] - low[a]).max(1e-9));
    let longest = width.min(LARGEST) - 2.0 * room;
    let zoom = longest / span[0].max(span[1]);
    let (w, h) = ((span[0] * zoom).max(longest * 0.5), (span[1] * zoom).max(longest * 0.5));
    let offset = [(w - span[0] * zoom) / 2.0, (h - span[1] * zoom) / 2.0];
    let place = |p: &[f64; 2]| (room + offset[0] + (p[0] - low[0]) * zoom, room + offset[1] + (high[1] - p[1]) * zoom);
    let mut scene = Scene::default();
    if cloud.names.len() > 1 {
        scene.below(legend(&entries(&cloud.names), w + 2.0 * room), 0.0);
    }
    let mut panel = Scene::new(w + 2.0 * room, h + 2.0 * room);
    panel.add(Item::Frame([0.0, 0.0, panel.width, panel.height], FAINT, 1.0));
    if pictured {
        thumbnails(cloud, &mut panel, place)?;
    } else {
        dots(cloud, &mut panel, place);
    }
    if let Some([x, y]) = &cloud.axes {
        panel.write(panel.width / 2.0, panel.height + SMALL * 1.4, x, SMALL, INK, Anchor::Middle);
        panel.write(6.0, SMALL * 1.5, y, SMALL, INK, Anchor::Start);
        panel.height += SMALL * 2.0;
    }
    scene.below(panel, 6.0);
    Ok(scene)
}

/// A dot a point; later groups do not hide earlier ones as a whole, since points are drawn in their own order.
fn dots(cloud: &Cloud, panel: &mut Scene, place: impl Fn(&[f64; 2]) -> (f64, f64)) {
    let n = cloud.points.len() as f64;
    let radius = (46.0 / n.sqrt()).clamp(1.3, 3.4);
    for (i, p) in cloud.points.iter().enumerate().filter(|(_, p)| p.iter().all(|v| v.is_finite())) {
        let (x, y) = place(p);
        let fill = hue(cloud.groups.get(i).copied().unwrap_or(usize::MAX), cloud.names.len());
        if cloud.ringed.contains(&i) {
            panel.add(Item::Dot(x, y, radius + 2.6, INK));
            panel.add(Item::Dot(x, y, radius + 1.4, [255; 3]));
        }
        panel.add(Item::Dot(x, y, radius, fill));
    }
}

/// Thumbnails that do not cover each other; the other points as small dots beneath them.
fn thumbnails(cloud: &Cloud, panel: &mut Scene, place: impl Fn(&[f64; 2]) -> (f64, f64)) -> Result<()> {
    let mut kept: Vec<(usize, f64, f64)> = Vec::new();
    let order = cloud.ringed.clone().chain((0..cloud.points.len()).filter(|i| !cloud.ringed.contains(i)));
    for i in order.filter(|i| *i < cloud.points.len()) {
        let (x, y) = place(&cloud.points[i]);
        let free = |(_, a, b): &(usize, f64, f64)| (a - x).abs() >= THUMB + 2.0 || (b - y).abs() >= THUMB + 2.0;
        if x.is_finite() && y.is_finite() && kept.iter().all(free) {
            kept.push((i, x, y));
        }
    }
    let colour = |i: usize| hue(cloud.groups.get(i).copied().unwrap_or(usize::MAX), cloud.names.len());
    for (i, p) in cloud.points.iter().enumerate().filter(|(_, p)| p.iter().all(|v| v.is_finite())) {
        let (x, y) = place(p);
        panel.add(Item::Dot(x, y, 1.3, colour(i)));
    }
    for (i, x, y) in kept {
        let image = &cloud.thumbnails[i];
        let zoom = THUMB / image.width().max(image.height()) as f64;
        let (w, h) = (image.width() as f64 * zoom, image.height() as f64 * zoom);
        let side = |v: f64| ((v * SCALE).round() as usize).max(1);
        let rect = [x - w / 2.0, y - h / 2.0, w, h];
        panel.add(Item::Picture(rect, fitted(image, side(w), side(h))?));
        panel.add(Item::Frame(rect, colour(i), if cloud.ringed.contains(&i) { 2.4 } else { 1.2 }));
    }
    Ok(())
}
