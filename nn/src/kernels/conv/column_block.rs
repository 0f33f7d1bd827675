//! Blocks of output positions, and the store of a block's results where they are not one run of memory.

use super::epilogue::{Clamp, Combine, Epilogue, EpilogueRow};
use super::microkernel::nr;
use super::problem::{ConvProblem, Operands};
use crate::kernels::disjoint::DisjointSlice;
use crate::kernels::elementwise;
use crate::simd::arch;
use pulp::{Simd, WithSimd};

/// Columns `from..from + count` of one group's im2col matrix, counted through samples and output positions.
#[derive(Clone, Copy)]
pub(super) struct ColumnBlock {
    pub group: usize,
    pub from: usize,
    pub count: usize,
}

/// Neighbouring columns of a block within one row of one sample's output.
#[derive(Clone, Copy)]
pub(super) struct OutputRun {
    /// The first column in the block, and how many.
    pub lane: usize,
    pub len: usize,
    /// Sample, row and first column of the output.
    pub n: usize,
    pub y: usize,
    pub x: usize,
}

impl ColumnBlock {
    /// The block cut where a row of the output ends.
    pub fn runs(self, problem: &ConvProblem) -> impl Iterator<Item = OutputRun> + Clone + use<> {
        let (pixels, width, end) = (problem.out_pixels(), problem.output[1], self.from + self.count);
        let mut at = self.from;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (n, pixel) = (at / pixels, at % pixels);
            let (y, x) = (pixel / width, pixel % width);
            let len = (width - x).min(end - at);
            let run = OutputRun { lane: at - self.from, len, n, y, x };
            at += len;
            Some(run)
        })
    }
}

/// Stores a block's results in the problem's output layout, through the epilogue.
pub(super) struct Scatter<'a> {
    pub problem: &'a ConvProblem,
    pub operands: &'a Operands<'a>,
    /// The block's columns that are results.
    pub runs: &'a [OutputRun],
    /// The output channel of the first row.
    pub channel: usize,
    /// Output channels.
    pub rows: usize,
    pub out: DisjointSlice<f32>,
}

impl Scatter<'_> {
    /// Stores `results`, [`nr`] values a row.
    pub fn run(&self, results: &mut [f32]) {
        let epilogue = self.operands.epilogue;
        let mut stored = epilogue;
        if epilogue.combine == Combine::None && epilogue.clamp == Clamp::None {
            // All at once: the runs may be short.
            epilogue.activate(&mut results[..self.rows * nr()]);
            stored.activation = None;
        }
        arch().dispatch(Store { scatter: self, epilogue: stored, results });
    }
}

/// The store of `results`.
struct Store<'a> {
    scatter: &'a Scatter<'a>,
    epilogue: Epilogue<'a>,
    results: &'a [f32],
}

impl WithSimd for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (scatter, epilogue) = (self.scatter, self.epilogue);
        let Epilogue { residual, combine, clamp, activation } = epilogue;
        let step = scatter.problem.layout.column;
        for run in scatter.runs {
            for (r, row) in self.results.chunks(nr()).take(scatter.rows).enumerate() {
                let first = scatter.problem.output_index(run.n, scatter.channel + r, run.y, run.x);
                let from = &row[run.lane..run.lane + run.len];
                if step == 1 {
                    let residual = residual.get(first..first + run.len).unwrap_or_default();
                    // SAFETY: the problem was checked: its last output lies inside `out` (and the residual). No other task has
                    // these rows and columns.
                    let to = unsafe { scatter.out.slice(first, run.len) };
                    EpilogueRow { from, epilogue: Epilogue { residual, ..epilogue }, to: &mut *to }.with_simd(simd);
                    epilogue.activate(to);
                    continue;
                }
                for (i, value) in from.iter().enumerate() {
                    let at = first + i * step;
                    // SAFETY: as above.
                    unsafe {
                        let value = combine.scalar_at(*value, residual.as_ptr().wrapping_add(at));
                        let value = clamp.scalar(value);
                        *scatter.out.at(at) = activation.map_or(value, |f| elementwise::value(f, value));
                    }
                }
            }
        }
    }
}
