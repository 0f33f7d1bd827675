//! Tiled implicit GEMM: packs one block of im2col columns and multiplies it by the weight panels.

use super::column_block::{ColumnBlock, OutputRun, Scatter};
use super::epilogue::{Clamp, Combine, Epilogue};
use super::gate::PackGated;
use super::im2col_masked::{LanePositions, MaskedIm2col, PackColumns, SampleSpan};
use super::im2col_runs;
use super::microkernel::{MR, PanelGemm, RowOffsets, Tile, nr};
use super::narrow::{buffered_columns, narrow_columns};
use super::problem::{ConvProblem, Operands};
use super::scratch::{SCRATCH, Scratch, grow};
use crate::kernels::disjoint::DisjointSlice;
use crate::simd::{arch, lanes};
use rayon::prelude::*;
use std::ops::Range;

/// Multiply-adds below which a task is not worth starting.
const MIN_TASK_MACS: usize = 1 << 20;
/// Tasks below which output channels are split over tasks, too.
const MIN_TASKS: usize = 8;
/// Weight panels up to which a 1 x 1 convolution reads the input unpacked.
const MAX_UNPACKED_PANELS: usize = 8;
/// Weight panels for which packing a block of columns pays.
const MIN_PANELS_PER_PACK: usize = 4;

/// Computes the problem into `out`, a buffer of `len` values.
///
/// # Panics
/// Where a slice is shorter than the problem needs: a defect of the caller.
pub(super) fn run(problem: &ConvProblem, operands: &Operands<'_>, out: DisjointSlice<f32>, len: usize) {
    if !problem.check(operands, len) {
        return;
    }
    // A strided 1 x 1 kernel reads a part of the input; sorting by the stride would read all of it.
    let masked = MaskedIm2col::of(problem).filter(|_| problem.taps.len() > 1 || problem.stride == [1, 1]);
    match &masked {
        Some(masked) if problem.stride != [1, 1] => {
            let x = masked.sort_by_stride(problem, operands.x);
            TiledGemm { problem, operands: &Operands { x: &x, ..*operands }, masked: Some(masked) }.run(out);
        }
        None if problem.stride[1] > 1 && problem.taps.len() > 1 => {
            let (problem, x) = im2col_runs::deinterleave_columns(problem, operands.x);
            TiledGemm { problem: &problem, operands: &Operands { x: &x, ..*operands }, masked: None }.run(out);
        }
        masked => TiledGemm { problem, operands, masked: masked.as_ref() }.run(out),
    }
}

/// A problem that is computed tile by tile.
struct TiledGemm<'a> {
    problem: &'a ConvProblem,
    operands: &'a Operands<'a>,
    /// How columns are packed by masked loads, where the shape allows it.
    masked: Option<&'a MaskedIm2col>,
}

impl TiledGemm<'_> {
    /// A task is a run of column blocks, times all output channels or, where blocks are few, some of them.
    fn run(&self, out: DisjointSlice<f32>) {
        let problem = self.problem;
        let (total, panels) = (problem.batch * problem.out_pixels(), problem.out_channels.div_ceil(MR));
        let blocks = total.div_ceil(nr());
        let each = (MIN_TASK_MACS / (problem.depth() * nr() * panels * MR).max(1)).clamp(1, blocks);
        let runs = problem.groups * blocks.div_ceil(each);
        let rows = panels.div_ceil(MIN_TASKS.div_ceil(runs).min(panels.div_ceil(MIN_PANELS_PER_PACK))) * MR;
        (0..problem.out_channels.div_ceil(rows) * runs).into_par_iter().for_each(|task| {
            let first = task / runs * rows;
            let (group, run) = (task % runs % problem.groups, task % runs / problem.groups);
            for b in run * each..((run + 1) * each).min(blocks) {
                let block = ColumnBlock { group, from: b * nr(), count: nr().min(total - b * nr()) };
                let rows = first..problem.out_channels.min(first + rows);
                SCRATCH.with_borrow_mut(|scratch| self.multiply(block, rows, scratch, out));
            }
        });
    }

    /// One block of columns times the output channels `rows`, which begin with a panel.
    fn multiply(&self, block: ColumnBlock, rows: Range<usize>, scratch: &mut Scratch, out: DisjointSlice<f32>) {
        let TiledGemm { problem, operands, .. } = *self;
        let (depth, pixels, layout) = (problem.depth(), problem.out_pixels(), problem.layout);
        let (n, pixel) = (block.from / pixels, block.from % pixels);
        let is_contiguous = pixel + block.count <= pixels && layout.column == 1 && layout.row == problem.output[1];
        let channel = block.group * problem.out_channels + rows.start;
        let is_gated = !operands.gate.is_empty();
        let reads_unpacked = !is_gated && problem.is_pointwise() && problem.out_channels <= MAX_UNPACKED_PANELS * MR;
        // Where all columns are narrow no vector reaches beyond them; those of one pixel are one run of memory.
        let is_narrow = narrow_columns(block.count, lanes()) == block.count && pixel + block.count <= pixels;
        let is_one_run = !is_gated && problem.is_pointwise() && pixels <= block.count;
        let reads_narrow = is_narrow && (reads_unpacked || is_one_run);
        let (columns, row_offsets) = if (reads_unpacked && pixel + nr() <= pixels) || reads_narrow {
            let first = (n * problem.groups + block.group) * problem.in_channels * pixels + pixel;
            (operands.x[first..].as_ptr(), RowOffsets::Unpacked(pixels))
        } else {
            grow(&mut scratch.columns, depth * nr());
            self.pack_columns(block, &mut scratch.columns);
            (scratch.columns.as_ptr(), RowOffsets::Packed(nr()))
        };
        let panels = &operands.panels[block.group * problem.panel_len() + rows.start * depth..];
        let bias = operands.bias.get(channel..channel + rows.len()).unwrap_or_default();
        let gemm = |tile| PanelGemm { panels, depth, rows: rows.len(), bias, tile };
        if is_contiguous {
            let first = n * layout.sample + channel * layout.plane + layout.first + pixel;
            let Epilogue { residual, combine, clamp, .. } = operands.epilogue;
            let residual = residual.get(first..).unwrap_or_default().as_ptr();
            // SAFETY: the problem was checked: its last output lies inside `out` (and the residual). No other task has these
            // rows and columns. The columns were packed, or lie inside `x`, a full tile of them in each row.
            unsafe {
                let (out, out_pitch) = (out.at(first), layout.plane);
                gemm(Tile { columns, row_offsets, count: block.count, out, out_pitch, residual, combine, clamp }).run();
            }
            // SAFETY: as above; these values have just been stored.
            unsafe { operands.epilogue.activate_rows(out, first, layout.plane, rows.len(), block.count) };
            return;
        }
        grow(&mut scratch.results, rows.len().next_multiple_of(MR) * nr());
        let tile = Tile {
            columns,
            row_offsets,
            count: buffered_columns(block.count),
            out: scratch.results.as_mut_ptr(),
            out_pitch: nr(),
            residual: std::ptr::null(),
            combine: Combine::None,
            clamp: Clamp::None,
        };
        // SAFETY: the results are this thread's own.
        unsafe { gemm(tile).run() };
        let runs: Vec<OutputRun> = block.runs(problem).collect();
        Scatter { problem, operands, runs: &runs, channel, rows: rows.len(), out }.run(&mut scratch.results);
    }

    /// Packs the block's im2col columns: row (tap, channel), [`nr`] values a row.
    fn pack_columns(&self, block: ColumnBlock, to: &mut [f32]) {
        let TiledGemm { problem, operands, masked } = *self;
        let pixels = problem.out_pixels();
        if !operands.gate.is_empty() {
            let (depth, mut spans, mut lane) = (problem.depth(), Vec::with_capacity(2), 0);
            while lane < block.count {
                let (n, first) = ((block.from + lane) / pixels, (block.from + lane) % pixels);
                let len = (pixels - first).min(block.count - lane);
                spans.push(SampleSpan { lane, len, from: (n * depth * pixels + first) as isize - lane as isize });
                lane += len;
            }
            let rows = &mut to[..depth * nr()];
            let gated =
                PackGated { x: operands.x, pixels, gate: operands.gate, depth, spans: &spans, rows, pitch: nr() };
            return arch().dispatch(gated);
        }
        let Some(masked) = masked else { return im2col_runs::pack_columns(problem, operands.x, block, to) };
        let (mut positions, mut spans) = (LanePositions::NONE, Vec::with_capacity(2));
        let mut lane = 0;
        while lane < block.count {
            let (n, first) = ((block.from + lane) / pixels, (block.from + lane) % pixels);
            let len = (pixels - first).min(block.count - lane);
            masked.set_positions(&mut positions, first, len, lane);
            let sample = (n * problem.groups + block.group) * problem.in_channels * masked.plane;
            spans.push(SampleSpan { lane, len, from: (sample + first) as isize - lane as isize });
            lane += len;
        }
        let rows = &mut to[..problem.depth() * nr()];
        arch().dispatch(PackColumns { x: operands.x, masked, positions: &positions, spans: &spans, rows });
    }
}
