//! Convolution where every output channel reads one input channel: direct, a plane at a time, since a matrix product would
//! have nothing to share.
//!
//! A plane is copied with its [border](super::border) around it; the sums between its rows are computed too and dropped.

use super::border::{Border, Shape};
use super::cut::grow;
use super::direct::Part;
use super::finish::{Finish, Join, Line};
use super::packed::Around;
use super::target::Target;
use super::tile::arch;
use super::walk::{Walk, Work};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Walks over one input whose groups have one input channel each.
pub struct Planes<'a> {
    parts: &'a [Part<'a>],
    border: Border,
}

/// Values of the widest vector.
const VECTOR: usize = 16;
/// Vectors of positions that are computed together.
const TOGETHER: usize = 8;
/// Multiply-adds that are worth a task of their own.
const TASK: usize = 1 << 14;

impl<'a> Planes<'a> {
    /// The walks, where they are of planes: by the shape of the layer, never by the batch.
    pub fn of(parts: &'a [Part<'a>]) -> Option<Self> {
        let walk = parts.first()?.walk;
        let same = |p: &Part<'_>| p.walk.is_planes() && p.walk.stride == walk.stride && p.walk.input == walk.input;
        let border = || Border::new(walk.input, walk.stride, parts.iter().map(|p| (p.walk.grid, &p.walk.taps[..])));
        parts.iter().all(same).then(|| Planes { parts, border: border() })
    }

    /// Computes all walks for `batch` samples into `out`, a buffer of `len` values.
    ///
    /// # Panics
    /// As [`Walk::run`].
    pub fn run(&self, batch: usize, x: &[f32], bias: &[f32], around: &Around<'_>, out: Target<f32>, len: usize) {
        let Around { other, join, finish } = *around;
        let walks: Vec<Walk> = self.parts.iter().map(|p| Walk { batch, ..p.walk.clone() }).collect();
        let mut ready = Vec::new();
        for (walk, part) in walks.iter().zip(self.parts) {
            if walk.checked_reads(&Work { x, panels: part.panels, bias, other, join, finish }, len) {
                let taps: Vec<usize> = walk.taps.iter().map(|t| self.border.place(*t)).collect();
                ready.push(Walked { walk, taps, kernels: part.panels });
            }
        }
        let Some(first) = ready.first().map(|r| r.walk) else { return };
        let (pixels, sample) = (first.place.plane, first.place.sample);
        // Where the first plane begins: phases of a stride begin behind it.
        let begin = ready.iter().map(|r| r.walk.place.first).min().unwrap_or(0);
        let (source, rows) = (first.input[0] * first.input[1], first.rows);
        let planes = first.groups * rows;
        let each = ready.iter().map(|r| r.walk.grid[0] * r.walk.grid[1] * r.taps.len()).sum::<usize>();
        (0..batch * planes).into_par_iter().with_min_len(TASK.div_ceil(each.max(1))).for_each(|at| {
            let (n, o) = (at / planes, at % planes);
            let to = n * sample + begin + o * pixels;
            SCRATCH.with_borrow_mut(|scratch| {
                let plane = Plane {
                    border: &self.border,
                    walks: &ready,
                    begin,
                    x: &x[(n * first.groups + o / rows) * source..][..source],
                    kernel: o,
                    bias: bias.get(o).copied().unwrap_or(0.0),
                    around: &Around { other: other.get(to..to + pixels).unwrap_or_default(), ..*around },
                    scratch,
                    // SAFETY: the walks were checked, and each task owns its plane.
                    y: unsafe { out.slice(to, pixels) },
                };
                arch().dispatch(plane);
            });
        });
    }
}

/// A walk, where its taps read in the bordered plane, and its kernels.
struct Walked<'a> {
    walk: &'a Walk,
    taps: Vec<usize>,
    kernels: &'a [f32],
}

/// What a thread works in: the bordered plane, whose it is, the sums of a walk, and the plane that several walks make.
struct Scratch {
    shape: Option<Shape>,
    values: Vec<f32>,
    sums: Vec<f32>,
    whole: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { shape: None, values: Vec::new(), sums: Vec::new(), whole: Vec::new() }) };
}

/// One plane of the result.
struct Plane<'a> {
    border: &'a Border,
    walks: &'a [Walked<'a>],
    begin: usize,
    x: &'a [f32],
    kernel: usize,
    bias: f32,
    around: &'a Around<'a>,
    scratch: &'a mut Scratch,
    y: &'a mut [f32],
}

impl WithSimd for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Scratch { shape, values, sums, whole } = self.scratch;
        if *shape != Some(self.border.shape) {
            values.clear();
            values.resize(self.border.room() + VECTOR, 0.0);
            *shape = Some(self.border.shape);
        }
        self.border.fill(self.x, values);
        let pitch = self.border.pitch();
        let alone = self.walks.len() == 1;
        for Walked { walk, taps, kernels } in self.walks {
            let positions = self.border.positions(walk.grid);
            grow(sums, positions.next_multiple_of(VECTOR));
            let kernel = &kernels[self.kernel * taps.len()..][..taps.len()];
            assert!(taps.iter().all(|t| t + positions.next_multiple_of(S::F32_LANES) <= values.len()));
            // SAFETY: just checked.
            unsafe { summed(simd, values, taps, kernel, self.bias, positions, sums) };
            if alone && walk.place.column == 1 && walk.place.row == walk.grid[1] {
                let Around { other, join, finish } = *self.around;
                return rows(simd, walk.grid, pitch, sums, other, join, finish, self.y);
            }
            grow(whole, self.y.len());
            for (y, line) in sums.chunks(pitch).take(walk.grid[0]).enumerate() {
                let to = &mut whole[walk.place.first - self.begin + y * walk.place.row..self.y.len()];
                to.iter_mut().step_by(walk.place.column).zip(&line[..walk.grid[1]]).for_each(|(t, v)| *t = *v);
            }
        }
        let Around { other, join, finish } = *self.around;
        Line { from: &whole[..self.y.len()], other, join, finish, to: self.y }.with_simd(simd);
    }
}

/// The sums at every position, the bias last.
///
/// # Safety
/// From each of `taps` on, `values` must hold as many as there are positions, in whole vectors.
#[inline(always)]
unsafe fn summed<S: Simd>(
    simd: S,
    values: &[f32],
    taps: &[usize],
    kernel: &[f32],
    bias: f32,
    positions: usize,
    sums: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let (sums, _) = S::as_mut_simd_f32s(&mut sums[..positions.next_multiple_of(lanes)]);
    let (mut wide, mut at) = (sums.chunks_exact_mut(TOGETHER), 0);
    // SAFETY: the caller's; `at` counts the values that went before.
    unsafe {
        for block in &mut wide {
            block.copy_from_slice(&together::<S, TOGETHER>(simd, values.as_ptr().add(at), taps, kernel, bias));
            at += TOGETHER * lanes;
        }
        let mut narrow = wide.into_remainder().chunks_exact_mut(TOGETHER / 4);
        for block in &mut narrow {
            block.copy_from_slice(&together::<S, { TOGETHER / 4 }>(simd, values.as_ptr().add(at), taps, kernel, bias));
            at += TOGETHER / 4 * lanes;
        }
        for one in narrow.into_remainder() {
            *one = together::<S, 1>(simd, values.as_ptr().add(at), taps, kernel, bias)[0];
            at += lanes;
        }
    }
}

/// The sums at some vectors of positions.
///
/// # Safety
/// From each of `taps` behind `values` on, V vectors must be readable.
#[inline(always)]
unsafe fn together<S: Simd, const V: usize>(
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

/// Writes the rows of a result, `pitch` apart in `sums`, one behind the other. Where a row ends within a vector its
/// last one reaches into the next row, which is written after it.
#[expect(clippy::too_many_arguments, reason = "one caller")]
#[inline(always)]
fn rows<S: Simd>(
    simd: S,
    grid: [usize; 2],
    pitch: usize,
    sums: &[f32],
    other: &[f32],
    join: Join,
    finish: Finish,
    y: &mut [f32],
) {
    let lanes = S::F32_LANES;
    assert!(join == Join::Alone || other.len() >= y.len(), "what joins is too short");
    for row in 0..grid[0] {
        for column in (0..grid[1]).step_by(lanes) {
            let (from, to) = (row * pitch + column, row * grid[1] + column);
            if to + lanes <= y.len() && from + lanes <= sums.len() {
                let value = S::as_simd_f32s(&sums[from..from + lanes]).0[0];
                // SAFETY: the other is as long as the result.
                let value = unsafe { join.vector(simd, value, other.as_ptr().wrapping_add(to)) };
                S::as_mut_simd_f32s(&mut y[to..to + lanes]).0[0] = finish.vector(simd, value);
                continue;
            }
            for i in 0..lanes.min(grid[1] - column) {
                // SAFETY: as above.
                let value = unsafe { join.apply(sums[from + i], other.as_ptr().wrapping_add(to + i)) };
                y[to + i] = finish.apply(value);
            }
        }
    }
}
