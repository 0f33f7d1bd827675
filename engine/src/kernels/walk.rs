//! What a convolution reads and writes, tap by tap, and which way it is computed.
//!
//! A [`Walk`] covers a forward convolution and, phase by phase, its input gradient: output position (y, x) of the grid
//! reads input (y * stride + tap) for each tap. The results land where the walk
//! says.

use super::cut::Cut;
use super::finish::{Finish, Join};
use super::shift::Shifts;
use super::target::Target;
use super::tile::ROWS;
use rayon::prelude::*;

/// How outputs read inputs.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Samples.
    pub batch: usize,
    /// Groups that do not mix.
    pub groups: usize,
    /// Input channels in a group.
    pub channels: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output channels in a group.
    pub rows: usize,
    /// Output positions down and right.
    pub grid: [usize; 2],
    /// Input steps between output positions.
    pub stride: [usize; 2],
    /// Input row and column that each tap reads at position (0, 0).
    pub taps: Vec<[isize; 2]>,
    /// Where the results lie.
    pub place: Placing,
}

/// Where a walk's results lie: sample n, channel c, position (y, x) at n * sample + c * plane + first + y * row + x * column.
#[derive(Clone, Copy, Debug)]
pub struct Placing {
    /// Values between samples.
    pub sample: usize,
    /// Values between channels.
    pub plane: usize,
    /// Position (0, 0) within its plane.
    pub first: usize,
    /// Values between rows.
    pub row: usize,
    /// Values between columns.
    pub column: usize,
}

/// What a walk computes with.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The input, N x C x H x W.
    pub x: &'a [f32],
    /// For each group its panels, see [`Walk::pack`].
    pub panels: &'a [f32],
    /// One value an output channel, or none.
    pub bias: &'a [f32],
    /// Laid out as the results, for `join`.
    pub other: &'a [f32],
    /// How a value meets the other's.
    pub join: Join,
    /// What happens to it then.
    pub finish: Finish,
}

impl Walk {
    /// Length of the sums.
    pub fn inner(&self) -> usize {
        self.channels * self.taps.len()
    }

    pub(super) fn pixels(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Values in a group's panels.
    pub(super) fn panel_len(&self) -> usize {
        self.rows.next_multiple_of(ROWS) * self.inner()
    }

    /// Whether every group reads one channel of several.
    pub(super) fn is_planes(&self) -> bool {
        self.channels == 1 && self.groups > 1
    }

    /// Panels of weights: `weight(group, row, channel, tap)`; sums run over taps and, within each, over channels, in the
    /// order that oneDNN's plain kernels have too. Of [planes](super::depthwise) just their kernels.
    pub fn pack(&self, weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync) -> Vec<f32> {
        let (inner, channels) = (self.inner(), self.channels);
        if self.is_planes() {
            let kernels = (0..self.groups * self.rows).flat_map(|o| (0..inner).map(move |t| (o, t)));
            return kernels.map(|(o, t)| weight(o / self.rows, o % self.rows, 0, t)).collect();
        }
        let mut panels = vec![0.0; self.groups * self.panel_len()];
        if inner > 0 {
            panels.par_chunks_mut(ROWS * inner).enumerate().for_each(|(p, panel)| {
                let each = self.rows.div_ceil(ROWS);
                let (group, first) = (p / each, p % each * ROWS);
                for r in 0..ROWS.min(self.rows - first) {
                    let places = (0..inner / channels).flat_map(|tap| (0..channels).map(move |c| (tap, c)));
                    for (k, (tap, c)) in places.enumerate() {
                        panel[k * ROWS + r] = weight(group, first + r, c, tap);
                    }
                }
            });
        }
        panels
    }

    /// Computes the walk into `out`, a buffer of `len` values.
    ///
    /// # Panics
    /// Where a slice is shorter than the walk needs: a defect of the caller.
    pub fn run(&self, work: &Work<'_>, out: Target<f32>, len: usize) {
        if !self.checked(work, len) {
            return;
        }
        // Of what a single tap reads in strides, sorting everything would read all.
        let shifts = Shifts::of(self).filter(|_| self.taps.len() > 1 || self.stride == [1, 1]);
        match &shifts {
            Some(shifts) if self.stride != [1, 1] => {
                let x = shifts.sort(self, work.x);
                Cut { walk: self, work: &Work { x: &x, ..*work }, shifts: Some(shifts) }.run(out);
            }
            None if self.stride[1] > 1 && self.taps.len() > 1 => {
                let (walk, x) = self.split_columns(work.x);
                Cut { walk: &walk, work: &Work { x: &x, ..*work }, shifts: None }.run(out);
            }
            shifts => Cut { walk: self, work, shifts: shifts.as_ref() }.run(out),
        }
    }

    /// Whether there is anything to compute.
    pub(super) fn checked(&self, work: &Work<'_>, len: usize) -> bool {
        let any = self.checked_reads(work, len);
        assert!(!any || work.panels.len() >= self.groups * self.panel_len(), "the panels are too short");
        any
    }

    /// As [`Walk::checked`], but for the weights.
    pub(super) fn checked_reads(&self, work: &Work<'_>, len: usize) -> bool {
        if self.batch * self.pixels() == 0 || self.rows == 0 {
            return false;
        }
        let last = self.index(self.batch - 1, self.groups * self.rows - 1, self.grid[0] - 1, self.grid[1] - 1);
        assert!(last < len, "the result is too short");
        assert!(work.join == Join::Alone || last < work.other.len(), "what is joined is too short");
        assert!(work.x.len() >= self.batch * self.groups * self.channels * self.input[0] * self.input[1]);
        true
    }

    /// Where the result of sample n, channel, row y, column x lies.
    pub(super) fn index(&self, n: usize, channel: usize, y: usize, x: usize) -> usize {
        let p = self.place;
        n * p.sample + channel * p.plane + p.first + y * p.row + x * p.column
    }

    /// The same walk over an input whose columns are sorted by their remainder: each plane holds `stride` smaller ones
    /// side by side, so that neighbouring outputs read neighbouring columns.
    fn split_columns(&self, x: &[f32]) -> (Walk, Vec<f32>) {
        let ([h, w], step) = (self.input, self.stride[1]);
        let narrow = w.div_ceil(step);
        // A gap of zeros as wide as any tap reaches stands before and behind each part, for taps beyond the border.
        let reach = self.taps.iter().map(|t| t[1].div_euclid(step as isize)).collect::<Vec<_>>();
        let before = reach.iter().copied().min().map_or(0, |m| (-m).max(0)) as usize;
        let furthest = reach.iter().copied().max().unwrap_or(0) + self.grid[1] as isize;
        let part = before + narrow.max(furthest.max(0) as usize);
        let mut sorted = vec![0.0; x.len() / w * part * step];
        sorted.par_chunks_mut(part * step).zip(x.par_chunks(w)).for_each(|(to, from)| {
            for r in 0..step.min(w) {
                to[r * part + before..].iter_mut().zip(from[r..].iter().step_by(step)).for_each(|(t, f)| *t = *f);
            }
        });
        let tap = |t: &[isize; 2]| {
            let (q, r) = (t[1].div_euclid(step as isize), t[1].rem_euclid(step as isize));
            [t[0], r * part as isize + before as isize + q]
        };
        let taps = self.taps.iter().map(tap).collect();
        (Walk { input: [h, part * step], stride: [self.stride[0], 1], taps, ..self.clone() }, sorted)
    }
}
