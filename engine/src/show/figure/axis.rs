//! An axis of a plot: its range, and its ticks with their texts.

use super::super::artifact::{Mark, Plot, Series};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use std::ops::Range;

/// The largest end of an axis; beyond it, the axis's length would overflow.
const MAX_END: f64 = f64::MAX / 4.0;

/// A linear axis for plotters with given ticks: plotters' own choice has a single tick on axes shorter than 2e-16, and takes no
/// names.
pub struct TickedAxis {
    line: RangedCoordf64,
    marks: Vec<(f64, String)>,
}

impl TickedAxis {
    /// An axis from `low` to `high` with a text at each tick in `marks`.
    pub fn new((low, high): (f64, f64), marks: Vec<(f64, String)>) -> Self {
        TickedAxis { line: (low..high).into(), marks }
    }
}

impl Ranged for TickedAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.line.map(value, limit)
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        let light = hint.weight().allow_light_points();
        if light { Vec::new() } else { self.marks.iter().map(|(at, _)| *at).collect() }
    }

    fn range(&self) -> Range<f64> {
        self.line.range()
    }
}

impl ValueFormatter<f64> for TickedAxis {
    fn format_ext(&self, value: &f64) -> String {
        self.marks.iter().find(|(at, _)| at == value).map_or(String::new(), |(_, text)| text.clone())
    }
}

/// The ranges of both axes; none where no point is finite.
pub fn ranges(plot: &Plot) -> Option<((f64, f64), (f64, f64))> {
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
    // An axis that begins at zero has no margin there.
    let low = if low == 0.0 || (low > 0.0 && low < (high - low) * 0.3) { 0.0 } else { low - margin };
    let high = if high == 0.0 { 0.0 } else { high + margin };
    let xs = if plot.categories.is_empty() {
        let (a, b) = ends(plot.series.iter().flat_map(|s| s.x.iter().copied().filter_map(finite)).collect())?;
        let all_lines = !has_bars && plot.series.iter().all(|s| s.mark == Mark::Line && s.bars.is_empty());
        let pad = match (b > a, has_bars) {
            (false, _) => 0.5,
            (true, true) => spacing(plot) * 0.6,
            (true, false) => (b - a) * if all_lines { 0.01 } else { 0.03 },
        };
        (a - pad, b + pad)
    } else {
        (-0.5, plot.categories.len() as f64 - 0.5)
    };
    let near = |(a, b): (f64, f64)| (a.clamp(-MAX_END, MAX_END), b.clamp(-MAX_END, MAX_END));
    Some((near(xs), near((low, high))))
}

/// The least distance between positions along x.
pub fn spacing(plot: &Plot) -> f64 {
    let mut xs: Vec<f64> = plot.series.iter().flat_map(|s| s.x.iter().copied()).filter(|x| x.is_finite()).collect();
    xs.sort_by(f64::total_cmp);
    let gap = xs.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0).fold(f64::INFINITY, f64::min);
    if gap.is_finite() { gap } else { 1.0 }
}
