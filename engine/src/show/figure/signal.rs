//! Signals: each channel as a line in the colours of its map's values, and a band of the same colours below.

use super::super::artifact::Scale;
use super::super::colour::{Ramp, Rgb, blend};
use super::super::field::{paint, remarks};
use super::super::font::{self, Face};
use super::super::raster::SCALE;
use super::super::recorded::{SignalMap, strongest};
use super::super::scene::{Anchor, FAINT, INK, Letters, SOFT, Scene, SceneItem, letters};
use super::super::table::short;
use super::SMALL_TEXT;
use super::bar::{colour_bar, ticks};
use super::map::with_lines;
use crate::error::Result;

/// How many channels are drawn.
const MAX_CHANNELS: usize = 12;
/// The height of a single channel, and of one among several, px.
const HEIGHT: (f64, f64) = (150.0, 56.0);
/// The height of a band, px.
const BAND: f64 = 12.0;
/// The greatest width of a panel, px.
const MAX_PANEL_WIDTH: f64 = 700.0;
/// The widths reserved for ticks and names at the left, and for the colour bar at the right, px.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 84.0;
/// The space within a panel above and below the line, px.
const INSET: f64 = 6.0;
/// The number of values from which on a map's scale ends at a quantile.
const MIN_QUANTILE_VALUES: usize = 1024;
const QUANTILE: f64 = 0.995;

/// The signal with its map, at most `width` px wide.
///
/// # Errors
/// Where the arrays do not have the map's axes.
pub fn drawn(map: &SignalMap, width: f64) -> Result<Scene> {
    let (signal, values) = (map.channels()?, map.map_rows()?);
    let all: Vec<f32> = values.iter().flatten().copied().collect();
    let sharp =
        matches!(map.scale, Scale::Sequential { .. } | Scale::Diverging { .. }) && all.len() >= MIN_QUANTILE_VALUES;
    let ramp = (!all.is_empty()).then(|| Ramp::fit(map.scale, &all, sharp.then_some(QUANTILE)));
    let right = if ramp.is_some() { RIGHT } else { 12.0 };
    let wide = ((width - LEFT - right).clamp(120.0, MAX_PANEL_WIDTH) * SCALE).round() / SCALE;
    let shown = chosen(&signal, &values);
    let mut scene = Scene::new(LEFT + wide, 0.0);
    let high = if shown.len() == 1 { HEIGHT.0 } else { HEIGHT.1 };
    let each = values.len() == signal.len() && values.len() > 1;
    for (place, channel) in shown.iter().enumerate() {
        let row = if each { values.get(*channel) } else { values.first() };
        let panel = Panel { map, samples: &signal[*channel], row, ramp: ramp.as_ref(), wide, high };
        let top = scene.height + if place > 0 { 6.0 } else { 0.0 };
        scene.put(panel.line(), LEFT, top);
        panel.scale(&mut scene, top, (signal.len() > 1).then_some(*channel));
        scene.height = top + high;
        if let (Some(row), Some(ramp)) = (row, &ramp)
            && (each || place + 1 == shown.len())
        {
            scene.put(panel.band(row, ramp)?, LEFT, scene.height + 2.0);
            scene.height += BAND + 2.0;
        }
    }
    let height = scene.height;
    axis(map, wide, &mut scene);
    if let Some(ramp) = &ramp {
        let bar = colour_bar(ramp, &map.label, height.min(260.0))?;
        let left = scene.width + 10.0;
        scene.width = left + bar.width;
        scene.put(bar, left, 0.0);
    }
    let mut lines = remarks(&all);
    if let Some((largest, high)) = ramp.and_then(|r| r.beyond.map(|b| (b, r.high))) {
        let what = if sharp { "at the 99.5 % quantile, " } else { "at " };
        lines.insert(0, format!("colours end {what}{}; the largest value is {}", short(high), short(largest)));
    }
    if shown.len() < signal.len() {
        lines.push(format!("{} of {} channels are shown, those with the strongest values", shown.len(), signal.len()));
    }
    Ok(with_lines(scene, &lines, width))
}

/// The channels to draw, in order: all, or those with the strongest values.
fn chosen(signal: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..signal.len()).collect();
    if order.len() > MAX_CHANNELS {
        let rows = if values.len() == signal.len() { values } else { signal };
        let peak = |c: &usize| strongest(&rows[*c..=*c]).map_or(0.0, |(_, i)| rows[*c][i].abs());
        order.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then(a.cmp(b)));
        order.truncate(MAX_CHANNELS);
        order.sort_unstable();
    }
    order
}

/// One channel.
struct Panel<'a> {
    map: &'a SignalMap,
    samples: &'a [f32],
    row: Option<&'a Vec<f32>>,
    ramp: Option<&'a Ramp>,
    wide: f64,
    high: f64,
}

impl Panel<'_> {
    /// The range of the channel's finite values.
    fn ends(&self) -> (f64, f64) {
        let finite = self.samples.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        match (low <= high, low < high) {
            (false, _) => (-1.0, 1.0),
            (true, false) => (low - 1.0, high + 1.0),
            _ => (low, high),
        }
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.ends();
        self.high - INSET - (value - low) / (high - low) * (self.high - 2.0 * INSET)
    }

    /// The colour of the panel: the weak end of the map's colours, so that weak values are invisible.
    fn ground(&self) -> Rgb {
        match self.ramp {
            Some(ramp) if ramp.diverging => ramp.at(0.5),
            Some(ramp) => ramp.at(0.0),
            None => super::super::colour::diverging(0.5),
        }
    }

    /// The colour and the width of the line at a value of the map.
    fn pen(&self, value: Option<f32>) -> (Rgb, f64) {
        let ground = self.ground();
        let dark = ground.iter().map(|c| u32::from(*c)).sum::<u32>() < 384;
        let plain = blend(ground, if dark { [255; 3] } else { [0; 3] }, 0.45);
        let (Some(value), Some(ramp)) = (value.filter(|v| !v.is_nan()), self.ramp) else { return (plain, 1.0) };
        let strength = ramp.strength(f64::from(value));
        // Near the weak end the colour blends into the panel's.
        let colour = ramp.colour(f64::from(value)).map_or(plain, |c| blend(plain, c, (2.5 * strength).min(1.0)));
        (colour, 1.0 + 1.6 * strength)
    }

    /// The strongest value of the map's cells at samples `from` to `to`.
    fn over(&self, from: f64, to: f64) -> Option<f32> {
        let row = self.row?;
        let (first, last) = (self.map.cell(from, row.len()), self.map.cell(to, row.len()));
        let cells = match (first, last) {
            (Some(a), Some(b)) => a..=b,
            (Some(a), None) => a..=a,
            (None, Some(b)) => b..=b,
            (None, None) => return None,
        };
        let ramp = self.ramp?;
        let found = cells.map(|i| row[i]).filter(|v| !v.is_nan());
        found.max_by(|a, b| ramp.strength(f64::from(*a)).total_cmp(&ramp.strength(f64::from(*b))))
    }

    /// The line: a segment between neighbouring samples, or where there are more samples than pixels, a vertical segment for each
    /// pixel.
    fn line(&self) -> Scene {
        let mut scene = Scene::new(self.wide, self.high);
        scene.add(SceneItem::Area([0.0, 0.0, self.wide, self.high], self.ground()));
        let n = self.samples.len();
        let x = |i: f64| (i + 0.5) / n as f64 * self.wide;
        let columns = (self.wide * SCALE) as usize;
        let mut pieces: Vec<(f64, SceneItem)> = Vec::new();
        let mut add = |points: Vec<(f64, f64)>, from: f64, to: f64| {
            let (colour, width) = self.pen(self.over(from, to));
            pieces.push((width, SceneItem::Line(points, colour, width, false)));
        };
        if n <= 2 * columns {
            for i in 0..n.saturating_sub(1) {
                let (a, b) = (f64::from(self.samples[i]), f64::from(self.samples[i + 1]));
                if a.is_finite() && b.is_finite() {
                    let ends = vec![(x(i as f64), self.y(a)), (x(i as f64 + 1.0), self.y(b))];
                    add(ends, i as f64 + 0.5, i as f64 + 1.0);
                }
            }
        } else {
            let mut before: Option<f64> = None;
            for column in 0..columns {
                let (from, to) = (column * n / columns, ((column + 1) * n / columns).max(column * n / columns + 1));
                let finite = self.samples[from..to].iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
                let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
                if low <= high {
                    let at = (column as f64 + 0.5) / SCALE;
                    let (low, high) = before.map_or((low, high), |b| (low.min(b), high.max(b)));
                    add(vec![(at, self.y(low)), (at, self.y(high) - 0.4)], from as f64 + 0.5, to as f64 - 0.5);
                }
                before = self.samples.get(to - 1).map(|v| f64::from(*v)).filter(|v| v.is_finite());
            }
        }
        // Strong segments are drawn over weak ones.
        pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
        pieces.into_iter().for_each(|(_, item)| scene.add(item));
        scene
    }

    /// The band of the map's colours along the signal.
    fn band(&self, row: &[f32], ramp: &Ramp) -> Result<Scene> {
        let (columns, n) = ((self.wide * SCALE) as usize, self.samples.len() as f64);
        let strip = paint(columns, 1, |x, _| {
            let at = (x as f64 + 0.5) / columns as f64 * n;
            let value = self.map.cell(at, row.len()).map(|i| f64::from(row[i]));
            value.and_then(|v| ramp.colour(v)).unwrap_or(super::super::colour::BLANK)
        })?;
        let mut scene = Scene::new(self.wide, BAND);
        scene.add(SceneItem::Picture([0.0, 0.0, self.wide, BAND], strip));
        Ok(scene)
    }

    /// Writes the range of the channel's values, and the channel's number where there are several.
    fn scale(&self, scene: &mut Scene, top: f64, channel: Option<usize>) {
        let (low, high) = self.ends();
        let small = SMALL_TEXT - 1.0;
        for value in [low, high] {
            let text = short(value).replace('-', "−");
            scene.write(LEFT - 5.0, top + self.y(value) + small * 0.35, &text, small, SOFT, Anchor::End);
        }
        let name = match channel {
            Some(channel) => format!("{channel}"),
            None => "value".to_string(),
        };
        let base = letters(SMALL_TEXT + 1.0, top + self.high / 2.0, &name, SMALL_TEXT, INK, Anchor::Middle);
        scene.add(SceneItem::Letters(Letters { turn: -90.0, ..base }));
    }
}

/// The time axis below the panels.
fn axis(map: &SignalMap, wide: f64, scene: &mut Scene) {
    let n = map.length() as f64;
    let (end, label) = match map.rate {
        Some(rate) => (n / rate, "time, s"),
        None => (n, "sample"),
    };
    let top = scene.height + 3.0;
    scene.rule((LEFT, top), (LEFT + wide, top), FAINT, 0.8);
    let count = ((wide / 80.0) as usize).clamp(2, 8);
    for tick in ticks(0.0, end, count) {
        let x = LEFT + tick / end * wide;
        let text = short(tick);
        scene.rule((x, top), (x, top + 3.5), SOFT, 0.8);
        let half = font::width(&text, SMALL_TEXT, Face::Sans) / 2.0;
        let x = x.min(LEFT + wide - half);
        scene.write(x, top + 4.0 + SMALL_TEXT, &text, SMALL_TEXT, SOFT, Anchor::Middle);
    }
    scene.write(LEFT + wide / 2.0, top + 7.0 + 2.3 * SMALL_TEXT, label, SMALL_TEXT, INK, Anchor::Middle);
    scene.height = top + 10.0 + 2.3 * SMALL_TEXT;
}
