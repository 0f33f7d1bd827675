//! Plots: axes with round ticks, lines, bars and points with error bars, a legend above, names of categories turned
//! where they are long.

use super::super::artifact::{Mark, Plot, Series};
use super::super::colour::{self, Rgb};
use super::super::font::{self, Face};
use super::super::scene::{Anchor, FAINT, INK, Item, Letters, SOFT, Scene, letters, paragraph};
use super::super::table::short;
use super::SMALL;
use super::bar::ticks;
use super::map::legend;

const HEIGHT: f64 = 300.0;
/// The height of a scatter of many points, whose two axes matter alike.
const CLOUD: f64 = 480.0;
const WIDEST: f64 = 680.0;
/// The longest that a category's name is written.
const NAME: f64 = 130.0;
/// Names closer to each other than this stand upright.
const STANDING: f64 = 16.0;

/// The plot, at most `width` wide.
pub fn drawn(plot: &Plot, width: f64) -> Scene {
    let named = plot.categories.len();
    let width = if named > 40 { width } else { width.min(WIDEST) };
    let cloud =
        plot.series.iter().all(|s| s.mark == Mark::Point) && plot.series.iter().map(|s| s.x.len()).sum::<usize>() > 60;
    let height = if cloud { CLOUD.min(width * 0.8) } else { HEIGHT.min(width * 0.7) };
    let Some((xs, ys)) = ranges(plot) else {
        return paragraph("no points", SMALL, width, 1, SOFT, false);
    };
    let mut scene = Scene::default();
    if plot.series.len() > 1 {
        let entries: Vec<(Rgb, String)> =
            plot.series.iter().enumerate().map(|(i, s)| (colour::category(i), s.name.clone())).collect();
        scene.below(legend(&entries, width), 0.0);
    }
    let marks = ticks(ys.0, ys.1, 6);
    let labels: Vec<String> = marks.iter().map(|t| number(*t)).collect();
    let gutter = labels.iter().map(|l| font::width(l, SMALL, Face::Sans)).fold(0.0, f64::max);
    let left = gutter + 9.0 + if plot.y_label.is_empty() { 0.0 } else { 18.0 };
    let mut frame = Frame { left, top: 6.0, right: width - 14.0, bottom: height, xs, ys };
    frame.left += overhang(plot, &frame);
    let mut panel = Scene::new(width, height);
    for (tick, label) in marks.iter().zip(&labels) {
        let y = frame.y(*tick);
        panel.rule((frame.left, y), (frame.right, y), FAINT, if *tick == 0.0 { 1.3 } else { 0.7 });
        panel.write(frame.left - 6.0, y + SMALL * 0.35, label, SMALL, SOFT, Anchor::End);
    }
    let mut base = height;
    if named > 0 {
        base += categories(&mut panel, plot, &frame);
    } else {
        let mut free = f64::NEG_INFINITY;
        for tick in ticks(xs.0, xs.1, 8) {
            let (x, label) = (frame.x(tick), number(tick));
            let half = font::width(&label, SMALL, Face::Sans) / 2.0;
            panel.rule((x, frame.bottom), (x, frame.bottom + 4.0), SOFT, 0.8);
            if x - half > free {
                panel.write(x, frame.bottom + 16.0, &label, SMALL, SOFT, Anchor::Middle);
                free = x + half + 6.0;
            }
        }
        base += 19.0;
    }
    bars(&mut panel, plot, &frame);
    for (i, series) in plot.series.iter().enumerate() {
        points(&mut panel, series, colour::category(i), &frame);
    }
    panel.rule((frame.left, frame.bottom), (frame.right, frame.bottom), SOFT, 1.0);
    if !plot.x_label.is_empty() {
        let text = font::abbreviate(&plot.x_label, SMALL + 1.0, frame.right - frame.left);
        let middle = (frame.left + frame.right) / 2.0;
        panel.write(middle, base + 13.0, &text, SMALL + 1.0, INK, Anchor::Middle);
        base += 19.0;
    }
    if !plot.y_label.is_empty() {
        let text = font::abbreviate(&plot.y_label, SMALL + 1.0, frame.bottom - frame.top);
        let middle = (frame.top + frame.bottom) / 2.0;
        let upright = letters(12.0, middle, &text, SMALL + 1.0, INK, Anchor::Middle);
        panel.add(Item::Letters(Letters { turn: -90.0, ..upright }));
    }
    panel.height = base;
    scene.below(panel, 4.0);
    scene
}

/// Where numbers lie on the page.
struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    xs: (f64, f64),
    ys: (f64, f64),
}

impl Frame {
    fn x(&self, x: f64) -> f64 {
        self.left + (x - self.xs.0) / (self.xs.1 - self.xs.0) * (self.right - self.left)
    }

    /// The distance between categories.
    fn step(&self, plot: &Plot) -> f64 {
        (self.right - self.left) / plot.categories.len().max(1) as f64
    }

    fn y(&self, y: f64) -> f64 {
        self.bottom - (y - self.ys.0) / (self.ys.1 - self.ys.0) * (self.bottom - self.top)
    }
}

/// The ends of both axes, or nothing where no point is finite.
fn ranges(plot: &Plot) -> Option<((f64, f64), (f64, f64))> {
    let finite = |v: f64| v.is_finite().then_some(v);
    let ends = |values: Vec<f64>| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        (low.is_finite()).then(|| (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)))
    };
    let seen = |s: &Series| s.x.iter().zip(&s.y).filter(|(x, y)| x.is_finite() && y.is_finite()).count() > 0;
    if !plot.series.iter().any(seen) {
        return None;
    }
    let mut ys: Vec<f64> = plot.series.iter().flat_map(|s| s.y.iter().copied().filter_map(finite)).collect();
    let errors = plot.series.iter().flat_map(|s| s.bars.iter().flat_map(|(a, b)| [*a, *b]));
    ys.extend(errors.filter_map(finite));
    let has_bars = plot.series.iter().any(|s| s.mark == Mark::Bar);
    if has_bars {
        ys.push(0.0);
    }
    let (low, high) = ends(ys)?;
    let margin = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.1 };
    // An end at zero stays there: nothing lies beyond it.
    let low = if low == 0.0 || (low > 0.0 && low < (high - low) * 0.3) { 0.0 } else { low - margin };
    let high = if high == 0.0 { 0.0 } else { high + margin };
    let xs = if plot.categories.is_empty() {
        let (a, b) = ends(plot.series.iter().flat_map(|s| s.x.iter().copied().filter_map(finite)).collect())?;
        let all_lines = !has_bars && plot.series.iter().all(|s| s.mark == Mark::Line);
        let pad = match (b > a, has_bars) {
            (false, _) => 0.5,
            (true, true) => spacing(plot) * 0.6,
            (true, false) => (b - a) * if all_lines { 0.01 } else { 0.03 },
        };
        (a - pad, b + pad)
    } else {
        (-0.5, plot.categories.len() as f64 - 0.5)
    };
    Some((xs, (low, high)))
}

/// The least distance between places along x.
fn spacing(plot: &Plot) -> f64 {
    let mut xs: Vec<f64> = plot.series.iter().flat_map(|s| s.x.iter().copied()).filter(|x| x.is_finite()).collect();
    xs.sort_by(f64::total_cmp);
    let gap = xs.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0).fold(f64::INFINITY, f64::min);
    if gap.is_finite() { gap } else { 1.0 }
}

/// How far slanted names of categories would reach beyond the left border.
fn overhang(plot: &Plot, frame: &Frame) -> f64 {
    let reach = |(i, name): (usize, &String)| {
        let long = font::width(&font::abbreviate(name, SMALL, NAME), SMALL, Face::Sans);
        long * 0.766 + SMALL * 0.6 - frame.x(i as f64)
    };
    let step = frame.step(plot);
    let slanted = step >= STANDING && !flat(plot, step);
    if slanted { plot.categories.iter().enumerate().map(reach).fold(0.0, f64::max) } else { 0.0 }
}

/// Whether the names of the categories fit upright.
fn flat(plot: &Plot, step: f64) -> bool {
    plot.categories.iter().all(|c| font::width(c, SMALL, Face::Sans) + 8.0 <= step)
}

/// Writes the categories' names below the axis: upright where they fit, else slanted, else standing, every n-th where
/// even that is too dense. Returns the height that they take.
fn categories(panel: &mut Scene, plot: &Plot, frame: &Frame) -> f64 {
    let step = frame.step(plot);
    let names: Vec<String> = plot.categories.iter().map(|c| font::abbreviate(c, SMALL, NAME)).collect();
    let longest = names.iter().map(|n| font::width(n, SMALL, Face::Sans)).fold(0.0, f64::max);
    let flat = flat(plot, step);
    let standing = step < STANDING;
    let every = if flat { 1 } else { ((SMALL + 2.0) / step).ceil().max(1.0) as usize };
    for (i, name) in names.iter().enumerate().step_by(every) {
        let x = frame.x(i as f64);
        panel.rule((x, frame.bottom), (x, frame.bottom + 3.0), SOFT, 0.7);
        let (at, turn, anchor) = match (flat, standing) {
            (true, _) => ((x, frame.bottom + 16.0), 0.0, Anchor::Middle),
            (false, false) => ((x + 4.0, frame.bottom + 13.0), -40.0, Anchor::End),
            (false, true) => ((x + SMALL * 0.35, frame.bottom + 7.0), -90.0, Anchor::End),
        };
        panel.add(Item::Letters(Letters { turn, ..letters(at.0, at.1, name, SMALL, SOFT, anchor) }));
    }
    match (flat, standing) {
        (true, _) => 19.0,
        (false, false) => longest * 0.643 + 20.0,
        (false, true) => longest + 10.0,
    }
}

/// Bars of all series, side by side at each place.
fn bars(panel: &mut Scene, plot: &Plot, frame: &Frame) {
    let those: Vec<(usize, &Series)> = plot.series.iter().enumerate().filter(|(_, s)| s.mark == Mark::Bar).collect();
    let gap = if plot.categories.is_empty() { spacing(plot) } else { 1.0 };
    let room = (frame.x(frame.xs.0 + gap) - frame.left) * 0.8;
    let wide = (room / those.len().max(1) as f64).min(48.0);
    for (place, (index, series)) in those.iter().enumerate() {
        let shift = (place as f64 - those.len() as f64 / 2.0) * wide;
        for (i, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
            if !x.is_finite() || !y.is_finite() {
                continue;
            }
            let (left, from, to) = (frame.x(*x) + shift, frame.y(0.0), frame.y(*y));
            let inset = if wide > 6.0 { 0.5 } else { 0.0 };
            let rect = [left + inset, from.min(to), (wide - 2.0 * inset).max(0.5), (from - to).abs().max(0.3)];
            panel.add(Item::Area(rect, colour::category(*index)));
            if let Some(ends) = series.bars.get(i) {
                whisker(panel, left + wide / 2.0, *ends, INK, frame, wide.min(8.0) / 2.0);
            }
        }
    }
}

/// Lines and points of a series; a point that is not finite breaks its line.
fn points(panel: &mut Scene, series: &Series, hue: Rgb, frame: &Frame) {
    if series.mark == Mark::Bar {
        return;
    }
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut runs = Vec::new();
    let mut dots = Vec::new();
    for (i, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
        if !x.is_finite() || !y.is_finite() {
            runs.push(std::mem::take(&mut run));
            continue;
        }
        let at = (frame.x(*x), frame.y(*y));
        run.push(at);
        dots.push(at);
        if let Some(ends) = series.bars.get(i) {
            whisker(panel, at.0, *ends, hue, frame, 3.0);
        }
    }
    runs.push(run);
    let few = dots.len() <= 40;
    if series.mark == Mark::Line {
        for run in runs.into_iter().filter(|r| r.len() > 1) {
            panel.add(Item::Line(run, hue, 1.8, false));
        }
    }
    if series.mark == Mark::Point || few {
        let radius = if dots.len() > 400 { 1.4 } else { 2.6 };
        dots.into_iter().for_each(|(x, y)| panel.add(Item::Dot(x, y, radius, hue)));
    }
}

fn whisker(panel: &mut Scene, x: f64, (low, high): (f64, f64), hue: Rgb, frame: &Frame, half: f64) {
    if !low.is_finite() || !high.is_finite() {
        return;
    }
    let (bottom, top) = (frame.y(low), frame.y(high));
    panel.rule((x, bottom), (x, top), hue, 1.1);
    panel.rule((x - half, bottom), (x + half, bottom), hue, 1.1);
    panel.rule((x - half, top), (x + half, top), hue, 1.1);
}

fn number(x: f64) -> String {
    short(x).replace('-', "−")
}
