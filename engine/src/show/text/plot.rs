//! Plots in a terminal: bars for a few named values, a table for a few points, a line of blocks for each series of many.

use super::super::artifact::{Plot, Series};
use super::super::table::{Cell, Table, short};
use super::columns::{fitted, text_table};
use super::plain;
use unicode_width::UnicodeWidthStr;

/// How many points are listed one by one.
const MAX_LISTED_POINTS: usize = 16;
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The plot within `width` columns.
pub fn chart(plot: &Plot, width: usize) -> String {
    let points = plot.series.iter().map(|s| s.x.len()).max().unwrap_or(0);
    if points == 0 {
        return "no points\n".into();
    }
    match plot.series.as_slice() {
        [only] if points <= MAX_LISTED_POINTS && only.y.iter().all(|y| *y >= 0.0) => bars(plot, only, width),
        _ if points <= MAX_LISTED_POINTS && same_places(plot) => table(plot, width),
        _ => lines(plot, width),
    }
}

fn same_places(plot: &Plot) -> bool {
    plot.series.windows(2).all(|w| w[0].x == w[1].x)
}

fn place(plot: &Plot, x: f64) -> String {
    let named = (x.fract() == 0.0 && x >= 0.0).then(|| plot.categories.get(x as usize)).flatten();
    named.map_or_else(|| short(x), |n| plain(n))
}

fn bars(plot: &Plot, series: &Series, width: usize) -> String {
    let names: Vec<String> = series.x.iter().map(|x| place(plot, *x)).collect();
    let wide = names.iter().map(|n| n.width()).max().unwrap_or(0).min(width / 3);
    let room = width.saturating_sub(wide + 12).clamp(8, 50);
    let most = series.y.iter().copied().filter(|y| y.is_finite()).fold(0.0, f64::max);
    let mut out = format!("{} by {}\n", plain(&plot.y_label), plain(&plot.x_label));
    for (name, y) in names.iter().zip(&series.y) {
        let cells = if most > 0.0 && y.is_finite() { y / most * room as f64 } else { 0.0 };
        out += &format!("{}  {} {}\n", fitted(name, wide, false), "█".repeat(cells.round() as usize), short(*y));
    }
    out
}

fn table(plot: &Plot, width: usize) -> String {
    let x = if plot.x_label.is_empty() { "x".to_string() } else { plot.x_label.clone() };
    let mut table = Table::new(std::iter::once(x).chain(plot.series.iter().map(|s| s.name.clone())));
    for (i, x) in plot.series[0].x.iter().enumerate() {
        let at: Cell = if plot.categories.is_empty() { (*x).into() } else { place(plot, *x).into() };
        let ys = plot.series.iter().map(|s| s.y.get(i).map_or(Cell::Nothing, |y| (*y).into()));
        table.push(std::iter::once(at).chain(ys));
    }
    let head = if plot.y_label.is_empty() { String::new() } else { plain(&plot.y_label) + "\n" };
    head + &text_table(&table, width, MAX_LISTED_POINTS)
}

/// Each series as a line of blocks between its minimum and maximum.
fn lines(plot: &Plot, width: usize) -> String {
    let wide = plot.series.iter().map(|s| plain(&s.name).width()).max().unwrap_or(0).min(width / 4);
    let room = width.saturating_sub(wide + 30).clamp(8, 60);
    let mut out = format!("{} by {}\n", plain(&plot.y_label), plain(&plot.x_label));
    for series in plot.series.iter().take(MAX_LISTED_POINTS) {
        let finite: Vec<f64> = series.y.iter().copied().filter(|y| y.is_finite()).collect();
        let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let cells = room.min(finite.len());
        let mut drawn = String::new();
        for c in 0..cells {
            let part =
                &finite[c * finite.len() / cells..((c + 1) * finite.len() / cells).max(c * finite.len() / cells + 1)];
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            let t = if high > low { (mean - low) / (high - low) } else { 0.0 };
            drawn.push(EIGHTHS[(t * 7.0).round() as usize]);
        }
        let name = fitted(&plain(&series.name), wide, false);
        out += &match finite.is_empty() {
            true => format!("{name}  no finite points\n"),
            false => format!("{name}  {drawn}  {} to {}, {} points\n", short(low), short(high), series.x.len()),
        };
    }
    if plot.series.len() > MAX_LISTED_POINTS {
        out += &format!("… {} more series\n", plot.series.len() - MAX_LISTED_POINTS);
    }
    out
}
