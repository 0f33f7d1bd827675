//! Plots, drawn by plotters on a [`Recorder`]: axes with round ticks; lines, bars and points with error bars; a legend above, where
//! it covers nothing; names of categories, rotated where they are long.

use super::super::artifact::{Mark, Plot, Series};
use super::super::colour::{self, Rgb};
use super::super::font::{self, Face};
use super::super::scene::{Anchor, FAINT, INK, Letters, SOFT, Scene, SceneItem, letters, paragraph};
use super::super::table::short;
use super::SMALL_TEXT;
use super::axis::{TickedAxis, ranges, spacing};
use super::bar::ticks;
use super::map::legend;
use super::recorder::{Recorder, fine, px};
use crate::error::{Error, Result};
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Circle, Color as _, DrawingAreaErrorKind, IntoDrawingArea, IntoFont,
    LineSeries, PathElement, RGBColor, Rectangle, ShapeStyle, TextStyle,
};
use std::convert::Infallible;

const HEIGHT: f64 = 300.0;
/// The height of a scatter plot of many points, px, whose two axes are equally important.
const SCATTER_HEIGHT: f64 = 480.0;
const MAX_WIDTH: f64 = 680.0;
/// The greatest length of a category's name, px.
const MAX_NAME: f64 = 130.0;
/// The distance between names, px, below which they are written vertically.
const MIN_SLANTED_STEP: f64 = 16.0;
/// The space above and to the right of the axes, px.
const MARGIN: (f64, f64) = (6.0, 14.0);
/// The length of a tick, px; its text is twice as far from the axis.
const TICK: f64 = 4.0;
/// The font size of an axis's name, and the space for it, px.
const LABEL: (f64, f64) = (SMALL_TEXT + 1.0, 18.0);

/// The plot, at most `width` px wide.
///
/// # Errors
/// Where plotters fails to draw, which no value is known to cause.
pub fn drawn(plot: &Plot, width: f64) -> Result<Scene> {
    let width = if plot.categories.len() > 40 { width } else { width.min(MAX_WIDTH) };
    let cloud =
        plot.series.iter().all(|s| s.mark == Mark::Point) && plot.series.iter().map(|s| s.x.len()).sum::<usize>() > 60;
    let height = if cloud { SCATTER_HEIGHT.min(width * 0.8) } else { HEIGHT.min(width * 0.7) };
    let Some((xs, ys)) = ranges(plot) else {
        return Ok(paragraph("no points", SMALL_TEXT, width, 1, SOFT, false));
    };
    if let Some(scene) = single(plot, width) {
        return Ok(scene);
    }
    let mut scene = Scene::default();
    if plot.series.len() > 1 {
        let entries: Vec<(Rgb, String)> =
            plot.series.iter().enumerate().map(|(i, s)| (colour::category(i), s.name.clone())).collect();
        scene.below(legend(&entries, width), 0.0);
    }
    let named = |label: &str| if label.is_empty() { 0.0 } else { LABEL.1 };
    let marks: Vec<(f64, String)> = ticks(ys.0, ys.1, 6).into_iter().map(|t| (t, number(t))).collect();
    let gutter = marks.iter().map(|(_, l)| font::width(l, SMALL_TEXT, Face::Sans)).fold(0.0, f64::max);
    let mut left = gutter + 2.0 * TICK + 1.0 + named(&plot.y_label);
    let names = Names::fitting(&plot.categories, left, width - MARGIN.1);
    left += names.overhang(left, width - MARGIN.1);
    let foot = names.height() + named(&plot.x_label);
    let mut panel = Scene::new(width, height + foot);
    let frame = Frame { left, foot, xs, ys };
    let places = chart(plot, &frame, marks, &names, &mut panel)
        .map_err(|e| Error::internal(format!("the plot \"{}\" cannot be drawn: {e}", plot.title)))?;
    names.write(&places, &mut panel);
    scene.below(panel, 4.0);
    Ok(scene)
}

/// A plot of a single point, as its number.
fn single(plot: &Plot, width: f64) -> Option<Scene> {
    let mut all = plot.series.iter().flat_map(|s| finite(s).map(move |p| (s, p)));
    let (Some((series, (i, x, y))), None) = (all.next(), all.next()) else { return None };
    let mut scene = paragraph(&number(y), 24.0, width, 1, INK, true);
    let mut words = vec![plot.y_label.clone()];
    if let Some((low, high)) = series.bars.get(i) {
        words.push(format!("{} to {}", number(*low), number(*high)));
    }
    match plot.categories.get(x as usize).filter(|_| x >= 0.0 && x.fract() == 0.0) {
        Some(name) => words.push(name.clone()),
        None if !plot.x_label.is_empty() => words.push(format!("{}: {}", plot.x_label, number(x))),
        None => {}
    }
    words.retain(|w| !w.is_empty());
    scene.below(paragraph(&words.join("; "), SMALL_TEXT + 1.0, width, 3, SOFT, false), 2.0);
    Some(scene)
}

/// The space beside and below the axes, px, and their ranges.
struct Frame {
    left: f64,
    foot: f64,
    xs: (f64, f64),
    ys: (f64, f64),
}

type Wrong = DrawingAreaErrorKind<Infallible>;
type Chart<'a, 'b> = ChartContext<'a, Recorder<'b>, Cartesian2d<TickedAxis, TickedAxis>>;

/// Draws axes and series; returns the positions of the categories' names along the axis, px.
fn chart(
    plot: &Plot,
    frame: &Frame,
    marks: Vec<(f64, String)>,
    names: &Names,
    panel: &mut Scene,
) -> std::result::Result<Vec<(f64, f64)>, Wrong> {
    let across = panel.width - MARGIN.1 - frame.left;
    let upright = panel.height - MARGIN.0 - frame.foot;
    let area = Recorder::new(panel).into_drawing_area();
    let zero = marks.iter().any(|(at, _)| *at == 0.0);
    let below = if plot.categories.is_empty() { numbers(frame.xs, across) } else { names.marks() };
    let mut chart: Chart = ChartBuilder::on(&area)
        .margin_top(fine(MARGIN.0))
        .margin_right(fine(MARGIN.1))
        .y_label_area_size(fine(frame.left))
        .x_label_area_size(fine(frame.foot))
        .build_cartesian_2d(TickedAxis::new(frame.xs, below), TickedAxis::new(frame.ys, marks))?;
    let (x_label, y_label) =
        (font::abbreviate(&plot.x_label, LABEL.0, across), font::abbreviate(&plot.y_label, LABEL.0, upright));
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .bold_line_style(line(FAINT, 0.7))
        .axis_style(line(SOFT, 0.8))
        .label_style(text(SMALL_TEXT, SOFT))
        .axis_desc_style(text(LABEL.0, INK))
        .set_all_tick_mark_size(fine(TICK));
    if !x_label.is_empty() {
        mesh.x_desc(x_label);
    }
    if !y_label.is_empty() {
        mesh.y_desc(y_label);
    }
    mesh.draw()?;
    if zero {
        chart.draw_series(LineSeries::new([(frame.xs.0, 0.0), (frame.xs.1, 0.0)], line(FAINT, 1.3)))?;
    }
    let unit = (frame.xs.1 - frame.xs.0) / across;
    bars(&mut chart, plot, unit)?;
    let spread = plot.series.iter().filter(|s| s.mark != Mark::Bar && !s.bars.is_empty()).count();
    let mut beside = 0;
    for (i, series) in plot.series.iter().enumerate().filter(|(_, s)| s.mark != Mark::Bar) {
        // Error bars of several series are drawn side by side.
        let mut shift = 0.0;
        if !series.bars.is_empty() && spread > 1 && series.mark == Mark::Line {
            shift = (beside as f64 - (spread as f64 - 1.0) / 2.0) * 5.0 * unit;
            beside += 1;
        }
        points(&mut chart, series, colour::category(i), unit, shift)?;
    }
    let place = |i: usize| chart.backend_coord(&(i as f64, frame.ys.0));
    Ok((0..plot.categories.len()).map(place).map(|(x, y)| (px(x), px(y))).collect())
}

/// Draws the bars of all series, side by side at each position; `unit` is the length in x of a px.
fn bars(chart: &mut Chart, plot: &Plot, unit: f64) -> std::result::Result<(), Wrong> {
    let those: Vec<(usize, &Series)> = plot.series.iter().enumerate().filter(|(_, s)| s.mark == Mark::Bar).collect();
    let gap = if plot.categories.is_empty() { spacing(plot) } else { 1.0 };
    let wide = (gap / unit * 0.8 / those.len().max(1) as f64).min(48.0);
    let inset = if wide > 6.0 { 0.5 } else { 0.0 };
    for (place, (index, series)) in those.iter().enumerate() {
        let shift = (place as f64 - those.len() as f64 / 2.0) * wide;
        for (i, x, y) in finite(series) {
            let (from, to) = (x + (shift + inset) * unit, x + (shift + wide - inset) * unit);
            chart.draw_series([Rectangle::new([(from, 0.0), (to, y)], rgb(colour::category(*index)).filled())])?;
            if let Some(ends) = series.bars.get(i) {
                let half = wide.min(8.0) / 2.0 * unit;
                chart.draw_series(whisker(x + (shift + wide / 2.0) * unit, *ends, half, INK))?;
            }
        }
    }
    Ok(())
}

/// Draws the lines and points of a series; a point that is not finite interrupts its line.
fn points(chart: &mut Chart, series: &Series, hue: Rgb, unit: f64, shift: f64) -> std::result::Result<(), Wrong> {
    let dots: Vec<(usize, f64, f64)> = finite(series).map(|(i, x, y)| (i, x + shift, y)).collect();
    for (i, x, _) in &dots {
        if let Some(ends) = series.bars.get(*i) {
            chart.draw_series(whisker(*x, *ends, 3.0 * unit, hue))?;
        }
    }
    if series.mark == Mark::Line {
        for run in dots.chunk_by(|a, b| a.0 + 1 == b.0).filter(|r| r.len() > 1) {
            chart.draw_series(LineSeries::new(run.iter().map(|(_, x, y)| (*x, *y)), line(hue, 1.8)))?;
        }
    }
    if series.mark == Mark::Point || dots.len() <= 40 {
        let radius = fine(if dots.len() > 400 { 1.4 } else { 2.6 });
        chart.draw_series(dots.iter().map(|(_, x, y)| Circle::new((*x, *y), radius, rgb(hue).filled())))?;
    }
    Ok(())
}

/// The finite points of a series with their indices.
fn finite(series: &Series) -> impl Iterator<Item = (usize, f64, f64)> {
    let all = series.x.iter().zip(&series.y).enumerate();
    all.map(|(i, (x, y))| (i, *x, *y)).filter(|(_, x, y)| x.is_finite() && y.is_finite())
}

/// An error bar with caps as one line, `half` in x to either side; plotters' own has a circle at the value.
fn whisker(x: f64, (low, high): (f64, f64), half: f64, hue: Rgb) -> Option<PathElement<(f64, f64)>> {
    let path = vec![(x - half, low), (x + half, low), (x, low), (x, high), (x - half, high), (x + half, high)];
    (low.is_finite() && high.is_finite()).then(|| PathElement::new(path, line(hue, 1.1)))
}

/// Ticks on a numeric x axis `across` px long, as many as fit.
fn numbers(xs: (f64, f64), across: f64) -> Vec<(f64, String)> {
    let marked =
        |count| -> Vec<(f64, String)> { ticks(xs.0, xs.1, count).into_iter().map(|t| (t, number(t))).collect() };
    let wide = |marks: &[(f64, String)]| -> f64 {
        let widest = marks.iter().map(|(_, l)| font::width(l, SMALL_TEXT, Face::Sans)).fold(0.0, f64::max);
        (widest + 8.0) * marks.len() as f64
    };
    (2..=8).rev().map(marked).find(|m| wide(m) <= across).unwrap_or_else(|| marked(1))
}

/// How the categories' names are written below the axis.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Flat,
    Slanted,
    Standing,
}

/// The categories' names: horizontal where they fit, else slanted, else vertical; every n-th where they are still too dense.
struct Names {
    texts: Vec<String>,
    longest: f64,
    turn: Turn,
    every: usize,
}

impl Names {
    /// The names for an axis from `left` to `right`, px.
    fn fitting(categories: &[String], left: f64, right: f64) -> Names {
        let step = (right - left) / categories.len().max(1) as f64;
        let texts: Vec<String> = categories.iter().map(|c| font::abbreviate(c, SMALL_TEXT, MAX_NAME)).collect();
        let longest = texts.iter().map(|n| font::width(n, SMALL_TEXT, Face::Sans)).fold(0.0, f64::max);
        let turn = match step {
            s if categories.iter().all(|c| font::width(c, SMALL_TEXT, Face::Sans) + 8.0 <= s) => Turn::Flat,
            s if s >= MIN_SLANTED_STEP => Turn::Slanted,
            _ => Turn::Standing,
        };
        let every = if turn == Turn::Flat { 1 } else { ((SMALL_TEXT + 2.0) / step).ceil().max(1.0) as usize };
        Names { texts, longest, turn, every }
    }

    /// The length by which slanted names reach beyond the left border, px.
    fn overhang(&self, left: f64, right: f64) -> f64 {
        if self.turn != Turn::Slanted {
            return 0.0;
        }
        let step = (right - left) / self.texts.len().max(1) as f64;
        let reach = |(i, name): (usize, &String)| {
            font::width(name, SMALL_TEXT, Face::Sans) * 0.766 + SMALL_TEXT * 0.6 - (left + (i as f64 + 0.5) * step)
        };
        self.texts.iter().enumerate().map(reach).fold(0.0, f64::max)
    }

    /// The height of the names, px; without names, that of numbers.
    fn height(&self) -> f64 {
        match self.turn {
            Turn::Flat => 19.0,
            Turn::Slanted => self.longest * 0.643 + 20.0,
            Turn::Standing => self.longest + 10.0,
        }
    }

    /// The names that plotters itself writes on the axis: those that are horizontal.
    fn marks(&self) -> Vec<(f64, String)> {
        let flat = self.turn == Turn::Flat;
        self.texts.iter().enumerate().filter(|_| flat).map(|(i, n)| (i as f64, n.clone())).collect()
    }

    /// Writes rotated names below their `places` on the axis; plotters rotates by right angles only.
    fn write(&self, places: &[(f64, f64)], panel: &mut Scene) {
        for (name, (x, y)) in self.texts.iter().zip(places).step_by(self.every) {
            let (at, turn) = match self.turn {
                Turn::Flat => return,
                Turn::Slanted => ((x + 4.0, y + 13.0), -40.0),
                Turn::Standing => ((x + SMALL_TEXT * 0.35, y + 7.0), -90.0),
            };
            panel.rule((*x, *y), (*x, y + 3.0), SOFT, 0.7);
            panel.add(SceneItem::Letters(Letters { turn, ..letters(at.0, at.1, name, SMALL_TEXT, SOFT, Anchor::End) }));
        }
    }
}

fn number(x: f64) -> String {
    short(x).replace('-', "−")
}

fn rgb([r, g, b]: Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

fn line(hue: Rgb, width: f64) -> ShapeStyle {
    rgb(hue).stroke_width(fine(width).unsigned_abs())
}

fn text(size: f64, hue: Rgb) -> TextStyle<'static> {
    ("sans-serif", fine(size)).into_font().color(&rgb(hue))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plot(series: Vec<Series>, categories: &[&str]) -> Plot {
        let (title, x_label, y_label) = ("a plot".to_string(), "place".to_string(), "value".to_string());
        Plot { title, x_label, y_label, categories: categories.iter().map(|c| c.to_string()).collect(), series }
    }

    fn series(x: &[f64], y: &[f64], bars: &[(f64, f64)], mark: Mark) -> Series {
        Series { name: "s".into(), x: x.to_vec(), y: y.to_vec(), bars: bars.to_vec(), mark }
    }

    fn texts(scene: &Scene) -> Vec<&str> {
        scene
            .items
            .iter()
            .filter_map(|i| if let SceneItem::Letters(l) = i { Some(l.text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn axes_are_named_and_marked_with_round_numbers() {
        let line = series(&[0.0, 1.0, 2.0], &[0.0, 0.5, 1.0], &[], Mark::Line);
        let scene = drawn(&plot(vec![line], &[]), 600.0).unwrap();
        let said = texts(&scene);
        for wanted in ["place", "value", "0.5", "1", "2"] {
            assert!(said.contains(&wanted), "{wanted}: {said:?}");
        }
        let tiny = series(&[0.0, 1e-17], &[0.0, 1e-17], &[], Mark::Point);
        assert!(texts(&drawn(&plot(vec![tiny], &[]), 600.0).unwrap()).len() > 6);
    }

    #[test]
    fn bars_stand_on_zero_above_their_names_with_the_error_over_them() {
        let bars = series(&[0.0, 1.0], &[2.0, -1.0], &[(1.0, 3.0), (-2.0, -0.5)], Mark::Bar);
        let scene = drawn(&plot(vec![bars], &["left", "right"]), 600.0).unwrap();
        let areas: Vec<[f64; 4]> =
            scene.items.iter().filter_map(|i| if let SceneItem::Area(r, _) = i { Some(*r) } else { None }).collect();
        let [up, down] = areas[..] else { panic!("{areas:?}") };
        assert!((up[1] + up[3] - down[1]).abs() < 0.2 && (up[3] / down[3] - 2.0).abs() < 0.02, "{areas:?}");
        let middles: Vec<f64> = scene
            .items
            .iter()
            .filter_map(|i| match i {
                SceneItem::Letters(l) if ["left", "right"].contains(&l.text.as_str()) => Some(l.x),
                _ => None,
            })
            .collect();
        let whiskers: Vec<f64> = scene
            .items
            .iter()
            .filter_map(|i| match i {
                SceneItem::Line(p, INK, ..) if p.len() == 6 => Some(p[2].0),
                _ => None,
            })
            .collect();
        for (i, bar) in [up, down].iter().enumerate() {
            let centre = bar[0] + bar[2] / 2.0;
            assert!(
                (middles[i] - centre).abs() < 0.2 && (whiskers[i] - centre).abs() < 0.2,
                "{middles:?} {whiskers:?}"
            );
        }
    }

    #[test]
    fn odd_values_neither_break_a_plot_nor_leave_the_page() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let wild = [nan, inf, -1e300, 1e300, 0.0, f64::MAX, f64::MIN, 1e-310];
        let ends = [(nan, 1.0), (-inf, inf), (f64::MIN, f64::MAX), (1.0, -1.0)];
        let long = "a name that goes on ".repeat(40);
        let many: Vec<&str> = (0..300).map(|_| "many").collect();
        for mark in [Mark::Line, Mark::Bar, Mark::Point] {
            let all = || vec![series(&wild, &wild, &ends, mark), series(&[0.0], &[f64::MAX], &[], mark)];
            for names in [&[][..], &["one"], &[long.as_str(), "b", "c"], &many] {
                for width in [40.0, 300.0, 900.0] {
                    drawn(&plot(all(), names), width).unwrap();
                    drawn(&plot(vec![series(&[0.0, 7.0], &[1.0], &[], mark)], names), width).unwrap();
                    drawn(&plot(vec![series(&[f64::MAX], &[f64::MIN], &ends, mark)], names), width).unwrap();
                }
            }
        }
        assert_eq!(
            texts(&drawn(&plot(vec![series(&[1.0], &[nan], &[], Mark::Line)], &[]), 300.0).unwrap()),
            ["no points"]
        );
    }
}
