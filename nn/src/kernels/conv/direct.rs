//! Direct convolution from or to few channels, such as a first layer's, forward and backward. Packing im2col columns would cost
//! more than multiplying them, so the columns are read in place, in copies of bands of input rows in a halo of padding
//! ([`PaddedPlane`]).
//!
//! Positions in the halo between two rows are computed too, and dropped.

use super::column_block::{OutputRun, Scatter};
use super::epilogue::{Clamp, Combine, Epilogue};
use super::microkernel::{MR, PanelGemm, RowOffsets, Tile, nr};
use super::narrow::buffered_columns;
use super::padded_plane::PaddedPlane;
use super::problem::{ConvProblem, Operands, PackedProblem};
use super::scratch::{SCRATCH, grow};
use crate::kernels::disjoint::DisjointSlice;
use crate::simd::lanes;
use rayon::prelude::*;

/// Bytes of a band, which stays in a core's L2 cache.
const BAND_BYTES: usize = 1 << 18;
/// Input channels up to which a convolution is direct.
const MAX_DIRECT_CHANNELS: usize = 4;

/// Problems over one input, computed directly.
pub(super) struct DirectConv<'a> {
    problems: &'a [PackedProblem<'a>],
    /// The topmost row that a tap reads for output row 0, and how many rows lie between it and the lowest.
    top: isize,
    reach: usize,
}

impl<'a> DirectConv<'a> {
    /// The problems, where they read or make few channels: by the shape of the layer, never by the batch.
    pub fn of(problems: &'a [PackedProblem<'a>]) -> Option<Self> {
        let is_small = |p: &PackedProblem<'_>| {
            let makes_few = p.problem.out_channels <= MR && p.problem.stride == [1, 1];
            makes_few || p.problem.in_channels <= MAX_DIRECT_CHANNELS
        };
        let taps = || problems.iter().flat_map(|p| &p.problem.taps).map(|t| t[0]);
        if !problems.iter().all(is_small) || taps().count() < 2 {
            return None;
        }
        let (top, bottom) = (taps().min()?, taps().max()?);
        Some(DirectConv { problems, top, reach: (bottom - top) as usize })
    }

    /// Computes all problems for `batch` samples into `out`, a buffer of `len` values.
    ///
    /// # Panics
    /// Where a slice is shorter than the problems need: a defect of the caller.
    pub fn run(
        &self,
        batch: usize,
        x: &[f32],
        bias: &[f32],
        epilogue: &Epilogue<'_>,
        out: DisjointSlice<f32>,
        len: usize,
    ) {
        let problems: Vec<ConvProblem> =
            self.problems.iter().map(|p| ConvProblem { batch, ..p.problem.clone() }).collect();
        let operands =
            self.problems.iter().map(|p| Operands { x, gate: &[], panels: p.panels, bias, epilogue: *epilogue });
        let ready: Vec<_> = problems.iter().zip(operands).filter(|(problem, ops)| problem.check(ops, len)).collect();
        let Some((first, _)) = ready.first() else { return };
        let ([h, w], stride, planes) = (first.input, first.stride, batch * first.groups);
        let row = first.in_channels * stride[0] * w * size_of::<f32>();
        let beyond = self.reach.div_ceil(stride[0]);
        let high = (BAND_BYTES / row.max(1)).clamp(2 * beyond + 2, 2 * beyond + 10);
        let bands = ready.iter().map(|(problem, _)| problem.output[0].div_ceil(high)).max().unwrap_or(0);
        let rows = (high - 1) * stride[0] + self.reach + 1;
        let taps: Vec<Vec<_>> =
            ready.iter().map(|(problem, _)| problem.taps.iter().map(|t| [t[0] - self.top, t[1]]).collect()).collect();
        let windows = ready.iter().zip(&taps).map(|((problem, _), taps)| ([high, problem.output[1]], &taps[..]));
        let padded = PaddedPlane::new([rows, w], stride, windows);
        let row_offsets = |taps: &Vec<[isize; 2]>| -> Vec<usize> {
            let taps = taps.iter().map(|tap| padded.tap_offset(*tap));
            taps.flat_map(|tap| (0..first.in_channels).map(move |c| (c, tap)))
                .map(|(c, tap)| c * padded.len() + tap)
                .collect()
        };
        let row_offsets: Vec<Vec<usize>> = taps.iter().map(row_offsets).collect();
        let buffer = || vec![0.0; first.in_channels * padded.len() + nr()];
        (0..planes * bands).into_par_iter().for_each_init(buffer, |columns, task| {
            let (at, from) = (task / bands, task % bands * high);
            let band = Band { n: at / first.groups, group: at % first.groups, from, high };
            let input = &x[at * first.in_channels * h * w..][..first.in_channels * h * w];
            for (to, map) in columns.chunks_exact_mut(padded.len()).zip(input.chunks_exact(h * w)) {
                for i in 0..rows {
                    let row = (from * stride[0] + i).wrapping_add_signed(self.top);
                    match map.chunks_exact(w).nth(row) {
                        Some(line) => padded.fill_row(i, line, to),
                        None => padded.zero_row(i, to),
                    }
                }
            }
            for ((problem, operands), row_offsets) in ready.iter().zip(&row_offsets) {
                band.run(problem, operands, &PaddedBand { columns, row_offsets, pitch: padded.pitch() }, out);
            }
        });
    }
}

/// Output rows `from..from + high` of one group of a sample.
struct Band {
    n: usize,
    group: usize,
    from: usize,
    high: usize,
}

/// The input rows that a band reads, in a halo of padding.
struct PaddedBand<'a> {
    columns: &'a [f32],
    /// Where each row of the column matrix begins for the band's first position.
    row_offsets: &'a [usize],
    /// Positions between output rows.
    pitch: usize,
}

impl Band {
    /// Computes the band of one problem.
    fn run(&self, problem: &ConvProblem, operands: &Operands<'_>, from: &PaddedBand<'_>, out: DisjointSlice<f32>) {
        let (depth, channel, pitch) = (problem.depth(), self.group * problem.out_channels, from.pitch);
        let high = self.high.min(problem.output[0].saturating_sub(self.from));
        if high == 0 {
            return;
        }
        let panels = &operands.panels[self.group * problem.panel_len()..];
        let bias = operands.bias.get(channel..channel + problem.out_channels).unwrap_or_default();
        if problem.layout.column == 1 && problem.output[1] >= 2 * lanes() {
            return self.run_rows(problem, operands, from, high, out);
        }
        let positions = (high - 1) * pitch + problem.output[1];
        let mut runs = Vec::new();
        SCRATCH.with_borrow_mut(|scratch| {
            grow(&mut scratch.results, problem.out_channels.next_multiple_of(MR) * nr());
            for first in (0..positions).step_by(nr()) {
                let count = nr().min(positions - first);
                let tile = Tile {
                    columns: from.columns[first..].as_ptr(),
                    row_offsets: RowOffsets::Listed(from.row_offsets),
                    count: buffered_columns(count),
                    out: scratch.results.as_mut_ptr(),
                    out_pitch: nr(),
                    residual: std::ptr::null(),
                    combine: Combine::None,
                    clamp: Clamp::None,
                };
                // SAFETY: after the last position of the last row of the column matrix there is a full tile; the results
                // are this thread's own.
                unsafe { PanelGemm { panels, depth, rows: problem.out_channels, bias, tile }.run() };
                runs.clear();
                self.collect_runs(problem, pitch, first, count, &mut runs);
                let rows = problem.out_channels;
                Scatter { problem, operands, runs: &runs, channel, rows, out }.run(&mut scratch.results);
            }
        });
    }

    /// Computes `high` rows of a problem whose outputs of a row are neighbours, row by row and in their place.
    fn run_rows(
        &self,
        problem: &ConvProblem,
        operands: &Operands<'_>,
        from: &PaddedBand<'_>,
        high: usize,
        out: DisjointSlice<f32>,
    ) {
        let (depth, channel, rows) = (problem.depth(), self.group * problem.out_channels, problem.out_channels);
        let panels = &operands.panels[self.group * problem.panel_len()..];
        let bias = operands.bias.get(channel..channel + rows).unwrap_or_default();
        let Epilogue { residual, combine, clamp, .. } = operands.epilogue;
        for y in 0..high {
            for x in (0..problem.output[1]).step_by(nr()) {
                let first = problem.output_index(self.n, channel, self.from + y, x);
                let (count, out_pitch) = (nr().min(problem.output[1] - x), problem.layout.plane);
                let (columns, row_offsets) =
                    (from.columns[y * from.pitch + x..].as_ptr(), RowOffsets::Listed(from.row_offsets));
                let residual = residual.get(first..).unwrap_or_default().as_ptr();
                // SAFETY: after the last position of the last row of the column matrix there is a full tile. The problem was
                // checked: its last output lies inside `out` (and the residual). No other task has these rows and columns.
                unsafe {
                    let out = out.at(first);
                    let tile = Tile { columns, row_offsets, count, out, out_pitch, residual, combine, clamp };
                    PanelGemm { panels, depth, rows, bias, tile }.run();
                }
                // SAFETY: as above; these values have just been stored.
                unsafe { operands.epilogue.activate_rows(out, first, out_pitch, rows, count) };
            }
        }
    }

    /// The runs of `count` positions from `first` on that are outputs, not halo.
    fn collect_runs(&self, problem: &ConvProblem, pitch: usize, first: usize, count: usize, to: &mut Vec<OutputRun>) {
        let mut lane = 0;
        while lane < count {
            let (y, x) = ((first + lane) / pitch, (first + lane) % pitch);
            let run = (pitch - x).min(count - lane);
            let len = run.min(problem.output[1].saturating_sub(x));
            if len > 0 {
                to.push(OutputRun { lane, len, n: self.n, y: self.from + y, x });
            }
            lane += run;
        }
    }
}
