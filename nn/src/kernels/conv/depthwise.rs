//! Depthwise convolution, where every output channel reads one input channel. It is computed a plane at a time: a matrix
//! product would share nothing between output channels.
//!
//! A plane is copied into a halo of padding ([`PaddedPlane`]). Kernels whose rows follow one another compute several rows of outputs
//! at a time ([`depthwise_rows`](super::depthwise_rows)). Dilated ones run through the rows as one sequence of positions; the sums
//! at positions between rows are computed too, and dropped.

use super::depthwise_rows::{PlaneRows, TapGrid};
use super::epilogue::{Combine, Epilogue, EpilogueRow};
use super::padded_plane::{PaddedPlane, PaddedShape};
use super::problem::{ConvProblem, Operands, PackedProblem};
use super::scratch::grow;
use crate::kernels::disjoint::DisjointSlice;
use crate::simd::{MAX_LANES, arch};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Vectors of positions whose sums are kept in registers together.
const VECTORS_PER_BLOCK: usize = 8;
/// Multiply-adds below which a task is not worth starting.
const MIN_TASK_MACS: usize = 1 << 14;

/// Problems over one input, whose groups have one input channel each.
pub(super) struct DepthwiseConv<'a> {
    problems: &'a [PackedProblem<'a>],
    padded: PaddedPlane,
}

impl<'a> DepthwiseConv<'a> {
    /// The problems, where they are depthwise: by the shape of the layer, never by the batch.
    pub fn of(problems: &'a [PackedProblem<'a>]) -> Option<Self> {
        let first = problems.first()?.problem;
        let is_alike = |p: &PackedProblem<'_>| {
            p.problem.is_depthwise() && p.problem.stride == first.stride && p.problem.input == first.input
        };
        let windows = problems.iter().map(|p| (p.problem.output, &p.problem.taps[..]));
        let padded = || PaddedPlane::new(first.input, first.stride, windows.clone());
        problems.iter().all(is_alike).then(|| DepthwiseConv { problems, padded: padded() })
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
        let residual = epilogue.residual;
        let problems: Vec<ConvProblem> =
            self.problems.iter().map(|p| ConvProblem { batch, ..p.problem.clone() }).collect();
        let mut ready = Vec::new();
        for (problem, packed) in problems.iter().zip(self.problems) {
            let operands = Operands { x, gate: &[], panels: packed.panels, bias, epilogue: *epilogue };
            if problem.check_activations(&operands, len) {
                let taps: Vec<usize> = problem.taps.iter().map(|t| self.padded.tap_offset(*t)).collect();
                let grid = TapGrid::new(&self.padded, &problem.taps);
                ready.push(ReadyProblem { problem, taps, grid, kernels: packed.panels });
            }
        }
        let Some(first) = ready.first().map(|r| r.problem) else { return };
        let (pixels, sample) = (first.layout.plane, first.layout.sample);
        // Where the first output plane begins: the other phases of a stride begin after it.
        let begin = ready.iter().map(|r| r.problem.layout.first).min().unwrap_or(0);
        let (source, per_group) = (first.input[0] * first.input[1], first.out_channels);
        let planes = first.groups * per_group;
        let macs = ready.iter().map(|r| r.problem.out_pixels() * r.taps.len()).sum::<usize>();
        (0..batch * planes).into_par_iter().with_min_len(MIN_TASK_MACS.div_ceil(macs.max(1))).for_each(|at| {
            let (n, o) = (at / planes, at % planes);
            let to = n * sample + begin + o * pixels;
            SCRATCH.with_borrow_mut(|scratch| {
                let plane = OutputPlane {
                    padded: &self.padded,
                    problems: &ready,
                    begin,
                    x: &x[(n * first.groups + o / per_group) * source..][..source],
                    channel: o,
                    bias: bias.get(o).copied().unwrap_or(0.0),
                    epilogue: Epilogue { residual: residual.get(to..to + pixels).unwrap_or_default(), ..*epilogue },
                    scratch,
                    // SAFETY: the problems were checked, and each task owns its plane.
                    y: unsafe { out.slice(to, pixels) },
                };
                arch().dispatch(plane);
                // SAFETY: as above.
                epilogue.activate(unsafe { out.slice(to, pixels) });
            });
        });
    }
}

/// A checked problem, where its taps read in the padded plane, and its kernels.
struct ReadyProblem<'a> {
    pub problem: &'a ConvProblem,
    pub taps: Vec<usize>,
    pub grid: Option<TapGrid>,
    pub kernels: &'a [f32],
}

/// Each thread's buffers: the padded plane and its shape, the sums of one problem, and the plane that several phases make.
struct Scratch {
    shape: Option<PaddedShape>,
    values: Vec<f32>,
    sums: Vec<f32>,
    plane: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { shape: None, values: Vec::new(), sums: Vec::new(), plane: Vec::new() }) };
}

/// One plane of the output.
struct OutputPlane<'a> {
    pub padded: &'a PaddedPlane,
    pub problems: &'a [ReadyProblem<'a>],
    /// Where the plane's first value would lie in the layout of the problems.
    pub begin: usize,
    /// The input plane.
    pub x: &'a [f32],
    /// Which of the kernels.
    pub channel: usize,
    pub bias: f32,
    pub epilogue: Epilogue<'a>,
    pub scratch: &'a mut Scratch,
    pub y: &'a mut [f32],
}

impl WithSimd for OutputPlane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Scratch { shape, values, sums, plane } = self.scratch;
        if *shape != Some(self.padded.shape) {
            values.clear();
            values.resize(self.padded.len() + MAX_LANES, 0.0);
            *shape = Some(self.padded.shape);
        }
        self.padded.fill_by_vectors(simd, self.x, values);
        let pitch = self.padded.pitch();
        let is_single = self.problems.len() == 1;
        for ReadyProblem { problem, taps, grid, kernels } in self.problems {
            let (output, layout) = (problem.output, problem.layout);
            let is_dense = is_single && layout.column == 1 && layout.row == output[1];
            let kernel = &kernels[self.channel * taps.len()..][..taps.len()];
            let line = match grid {
                Some(grid) => {
                    grow(sums, output[0] * output[1]);
                    // One call, which is inlined, and no closure, which would be compiled without vectors.
                    let (epilogue, y) =
                        if is_dense { (self.epilogue, &mut *self.y) } else { (Epilogue::NONE, &mut sums[..]) };
                    PlaneRows { grid, values, pitch, kernel, bias: self.bias, output, epilogue, y }.run(simd);
                    if is_dense {
                        return;
                    }
                    output[1]
                }
                None => {
                    let positions = self.padded.positions(output);
                    grow(sums, positions.next_multiple_of(MAX_LANES));
                    assert!(taps.iter().all(|t| t + positions.next_multiple_of(S::F32_LANES) <= values.len()));
                    // SAFETY: just checked.
                    unsafe { sum_positions(simd, values, taps, kernel, self.bias, positions, sums) };
                    if is_dense {
                        return store_rows(simd, output, pitch, sums, &self.epilogue, self.y);
                    }
                    pitch
                }
            };
            grow(plane, self.y.len());
            for (y, line) in sums.chunks(line).take(output[0]).enumerate() {
                let to = &mut plane[layout.first - self.begin + y * layout.row..self.y.len()];
                to.iter_mut().step_by(layout.column).zip(&line[..output[1]]).for_each(|(t, v)| *t = *v);
            }
        }
        EpilogueRow { from: &plane[..self.y.len()], epilogue: self.epilogue, to: self.y }.with_simd(simd);
    }
}

/// The sums at every position, the bias last.
///
/// # Safety
/// From each of `taps` on, `values` must hold as many values as there are positions, in whole vectors.
#[inline(always)]
unsafe fn sum_positions<S: Simd>(
    simd: S,
    values: &[f32],
    taps: &[usize],
    kernel: &[f32],
    bias: f32,
    positions: usize,
    sums: &mut [f32],
) {
    const NARROW: usize = VECTORS_PER_BLOCK / 4;
    let lanes = S::F32_LANES;
    let (sums, _) = S::as_mut_simd_f32s(&mut sums[..positions.next_multiple_of(lanes)]);
    let (mut wide, mut at) = (sums.chunks_exact_mut(VECTORS_PER_BLOCK), 0);
    // SAFETY: the caller's; `at` counts the positions that went before.
    unsafe {
        for block in &mut wide {
            let from = values.as_ptr().add(at);
            block.copy_from_slice(&sum_block::<S, VECTORS_PER_BLOCK>(simd, from, taps, kernel, bias));
            at += VECTORS_PER_BLOCK * lanes;
        }
        let mut narrow = wide.into_remainder().chunks_exact_mut(NARROW);
        for block in &mut narrow {
            block.copy_from_slice(&sum_block::<S, NARROW>(simd, values.as_ptr().add(at), taps, kernel, bias));
            at += NARROW * lanes;
        }
        for one in narrow.into_remainder() {
            *one = sum_block::<S, 1>(simd, values.as_ptr().add(at), taps, kernel, bias)[0];
            at += lanes;
        }
    }
}

/// The sums at V vectors of positions.
///
/// # Safety
/// For each of `taps`, V vectors must be readable at `values + tap`.
#[inline(always)]
unsafe fn sum_block<S: Simd, const V: usize>(
    simd: S,
    values: *const f32,
    taps: &[usize],
    kernel: &[f32],
    bias: f32,
) -> [S::f32s; V] {
    let mut acc = [simd.splat_f32s(0.0); V];
    for (tap, w) in taps.iter().zip(kernel) {
        let w = simd.splat_f32s(*w);
        for (v, sum) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let x = unsafe { (values.add(tap + v * S::F32_LANES) as *const S::f32s).read_unaligned() };
            *sum = simd.mul_add_f32s(w, x, *sum);
        }
    }
    let bias = simd.splat_f32s(bias);
    acc.map(|sum| simd.add_f32s(sum, bias))
}

/// Stores the rows of an output, which lie `pitch` apart in `sums`, one after another. Where a row ends within a vector, its
/// last vector reaches into the next row, which is stored after it.
#[inline(always)]
fn store_rows<S: Simd>(
    simd: S,
    output: [usize; 2],
    pitch: usize,
    sums: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    let (lanes, Epilogue { residual, combine, clamp, .. }) = (S::F32_LANES, *epilogue);
    assert!(combine == Combine::None || residual.len() >= y.len(), "the residual is too short");
    for row in 0..output[0] {
        for column in (0..output[1]).step_by(lanes) {
            let (from, to) = (row * pitch + column, row * output[1] + column);
            if to + lanes <= y.len() && from + lanes <= sums.len() {
                let value = S::as_simd_f32s(&sums[from..from + lanes]).0[0];
                // SAFETY: the residual is as long as the output.
                let value = unsafe { combine.vector_at(simd, value, residual.as_ptr().wrapping_add(to)) };
                S::as_mut_simd_f32s(&mut y[to..to + lanes]).0[0] = clamp.vector(simd, value);
                continue;
            }
            for i in 0..lanes.min(output[1] - column) {
                // SAFETY: as above.
                let value = unsafe { combine.scalar_at(sums[from + i], residual.as_ptr().wrapping_add(to + i)) };
                y[to + i] = clamp.scalar(value);
            }
        }
    }
}
