//! im2col packing by runs, for any shape: the columns of a block that read neighbouring inputs of one row are copied together;
//! those that read the padding are zeros.

use super::column_block::{ColumnBlock, OutputRun};
use super::geometry::valid_range;
use super::microkernel::nr;
use super::problem::ConvProblem;
use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Packs a block's columns into `to`: row (tap, channel), [`nr`] values a row.
pub(super) fn pack_columns(problem: &ConvProblem, x: &[f32], block: ColumnBlock, to: &mut [f32]) {
    let [h, w] = problem.input;
    let (plane, step) = (h * w, problem.stride[1]);
    let mut segments: Vec<Segment> = Vec::with_capacity(16);
    let runs: Vec<OutputRun> = block.runs(problem).collect();
    for (t, [down, right]) in problem.taps.iter().enumerate() {
        segments.clear();
        let mut lane = 0;
        for run in &runs {
            let row = (run.y * problem.stride[0]) as isize + down;
            if !(0..h as isize).contains(&row) {
                continue;
            }
            let (lo, hi) = valid_range(run.x, run.len, *right, step, w);
            if lo < hi {
                let column = ((run.x + lo) * step).wrapping_add_signed(*right);
                let first_channel = (run.n * problem.groups + block.group) * problem.in_channels;
                let from = first_channel * plane + row as usize * w + column;
                let gap = Segment { lane, len: run.lane + lo - lane, from: None };
                segments.extend((lane < run.lane + lo).then_some(gap));
                segments.push(Segment { lane: run.lane + lo, len: hi - lo, from: Some(from) });
                lane = run.lane + hi;
            }
        }
        segments.extend((lane < nr()).then(|| Segment { lane, len: nr() - lane, from: None }));
        let rows = &mut to[t * problem.in_channels * nr()..][..problem.in_channels * nr()];
        arch().dispatch(PackTap { x, plane, segments: &segments, step, rows });
    }
}

/// The same problem over an input whose columns are sorted by their remainder modulo the stride: each plane becomes `stride`
/// narrower ones side by side, so that neighbouring outputs read neighbouring inputs. Also returns that input.
pub(super) fn deinterleave_columns(problem: &ConvProblem, x: &[f32]) -> (ConvProblem, Vec<f32>) {
    let ([h, w], step) = (problem.input, problem.stride[1]);
    let narrow = w.div_ceil(step);
    // Each part has a margin of zeros before and after it, as wide as any tap reaches into the padding.
    let reach = problem.taps.iter().map(|t| t[1].div_euclid(step as isize)).collect::<Vec<_>>();
    let before = reach.iter().copied().min().map_or(0, |m| (-m).max(0)) as usize;
    let furthest = reach.iter().copied().max().unwrap_or(0) + problem.output[1] as isize;
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
    let taps = problem.taps.iter().map(tap).collect();
    (ConvProblem { input: [h, part * step], stride: [problem.stride[0], 1], taps, ..problem.clone() }, sorted)
}

/// Neighbouring columns that read neighbouring inputs of a row, or the padding.
struct Segment {
    lane: usize,
    len: usize,
    /// The first column's input in channel 0; none in the padding.
    from: Option<usize>,
}

/// Packs what the columns of a block read under one tap: a row for every channel.
struct PackTap<'a> {
    x: &'a [f32],
    /// Values between input channels.
    plane: usize,
    /// All columns of a row, from left to right.
    segments: &'a [Segment],
    /// Input columns between neighbouring outputs.
    step: usize,
    rows: &'a mut [f32],
}

impl WithSimd for PackTap<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        for (c, first) in (0..self.rows.len()).step_by(nr()).enumerate() {
            for s in self.segments {
                let to = &mut self.rows[first + s.lane..];
                // Whole vectors may reach over the end of a segment, into what is written after it.
                let over = s.len.next_multiple_of(lanes);
                let Some(from) = s.from else {
                    let n = if over <= to.len() { over } else { s.len };
                    let (vectors, rest) = S::as_mut_simd_f32s(&mut to[..n]);
                    vectors.iter_mut().for_each(|v| *v = simd.splat_f32s(0.0));
                    rest.fill(0.0);
                    continue;
                };
                let from = &self.x[from + c * self.plane..];
                if self.step > 1 {
                    to[..s.len].iter_mut().zip(from.iter().step_by(self.step)).for_each(|(t, f)| *t = *f);
                } else if over <= to.len().min(from.len()) {
                    let vectors = S::as_mut_simd_f32s(&mut to[..over]).0.iter_mut();
                    vectors.zip(S::as_simd_f32s(&from[..over]).0).for_each(|(t, f)| *t = *f);
                } else {
                    to[..s.len].copy_from_slice(&from[..s.len]);
                }
            }
        }
    }
}
