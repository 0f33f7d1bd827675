//! The gradient of max pooling: each window's gradient goes to its argmax, the first of equal maxima (Zeiler and Fergus call it
//! the switch), summed where windows overlap.

use super::conv::epilogue::{Clamp, Combine, Epilogue, EpilogueRow};
use super::conv::padded_plane::{PaddedPlane, PaddedShape};
use super::disjoint::{DisjointSlice, vec_filled_by};
use super::pool::PoolGeometry;
use crate::simd::{MAX_LANES, arch};
use crate::tensor::Real;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use smallvec::SmallVec;
use std::cell::RefCell;

/// dL/dx of y = [`max`](super::pool::max)(x), given `dy` = dL/dy.
pub fn max_gradient<T: Real>(g: &PoolGeometry, x: &[T], y: &[T], dy: &[T]) -> Vec<T> {
    if let (Some(x), Some(y), Some(dy)) = (T::singles(x), T::singles(y), T::singles(dy)) {
        return T::of_singles(max_gradient_fused(g, x, y, dy, Combine::None, Clamp::None));
    }
    let (source, pixels) = (g.input[0] * g.input[1], g.output[0] * g.output[1]);
    let mut dx = vec![T::zero(); x.len()];
    let planes = dx.par_chunks_mut(source).zip(x.par_chunks(source)).zip(dy.par_chunks(pixels));
    planes.for_each(|((dx, x), dy)| scalar_plane(g, x, dy, dx));
    dx
}

/// As [`max_gradient`], through an epilogue whose residual is `x`: the gradient of the pool and of the rectifier before it in one
/// pass.
pub fn max_gradient_fused(
    g: &PoolGeometry,
    x: &[f32],
    y: &[f32],
    dy: &[f32],
    combine: Combine,
    clamp: Clamp,
) -> Vec<f32> {
    let (source, pixels) = (g.input[0] * g.input[1], g.output[0] * g.output[1]);
    let planes = x.len() / source.max(1);
    assert!(y.len() >= planes * pixels && dy.len() >= planes * pixels, "too few maxima");
    let padded = g.padded_plane();
    let taps: Vec<usize> = g.taps().map(|t| padded.tap_offset(t)).collect();
    // SAFETY: each task writes its own plane, all of it.
    unsafe {
        vec_filled_by(planes * source, |dx: DisjointSlice<f32>| {
            (0..planes).into_par_iter().for_each(|p| {
                let (x, dx) = (&x[p * source..][..source], dx.slice(p * source, source));
                let (y, dy) = (&y[p * pixels..][..pixels], &dy[p * pixels..][..pixels]);
                if y.iter().fold(false, |any, y| any | y.is_nan()) {
                    dx.fill(0.0);
                    scalar_plane(g, x, dy, dx);
                    dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = clamp.scalar(combine.scalar(*dx, *x)));
                    return;
                }
                SCRATCH.with_borrow_mut(|scratch| {
                    let epilogue = Epilogue { residual: x, combine, clamp, activation: None };
                    arch().dispatch(PlaneGradient { padded: &padded, taps: &taps, g, x, y, dy, dx, epilogue, scratch });
                });
            });
        })
    }
}

/// Adds a plane's gradients, each to its window's argmax: the first maximum, or the first NaN.
fn scalar_plane<T: Real>(g: &PoolGeometry, x: &[T], dy: &[T], dx: &mut [T]) {
    let mut gradients = dy.iter();
    for oy in 0..g.output[0] {
        for ox in 0..g.output[1] {
            let mut best: Option<usize> = None;
            for i in g.span(0, oy).taps() {
                for at in g.span(1, ox).taps().map(|j| i * g.input[1] + j) {
                    let stays = |b: usize| x[b] >= x[at] || x[b].is_nan_value();
                    best = best.filter(|b| stays(*b)).or(Some(at));
                }
            }
            if let (Some(best), Some(dy)) = (best, gradients.next()) {
                dx[best] += *dy;
            }
        }
    }
}

/// The gradient of one plane without a NaN.
struct PlaneGradient<'a> {
    padded: &'a PaddedPlane,
    taps: &'a [usize],
    g: &'a PoolGeometry,
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    epilogue: Epilogue<'a>,
    scratch: &'a mut Scratch,
}

/// Vectors of positions that are computed together.
const VECTORS_PER_BLOCK: usize = 4;
/// Values after the last position that are read or written with it.
const MARGIN: usize = VECTORS_PER_BLOCK * MAX_LANES;

/// Each thread's buffers, made for planes of one shape.
#[derive(Default)]
struct Scratch {
    shape: Option<(PaddedShape, usize)>,
    /// The halo of `values`.
    halo: f32,
    /// Inputs, in their halo.
    values: Vec<f32>,
    /// Maxima, their gradients and the numbers of their argmax taps, by window position.
    y: Vec<f32>,
    dy: Vec<f32>,
    argmax: Vec<f32>,
    /// Gradients of the inputs, laid out as `values`.
    sums: Vec<f32>,
    /// The same, laid out as the plane.
    plane: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Sizes the buffers for planes whose taps read up to `front` values ahead of a position.
    fn fit(&mut self, padded: &PaddedPlane, front: usize, halo: f32) {
        let [high, pitch] = padded.shape.size;
        let shape = Some((padded.shape, front));
        if self.shape != shape {
            for line in [&mut self.y, &mut self.dy, &mut self.argmax] {
                line.clear();
                line.resize(front + high * pitch + MARGIN, 0.0);
            }
            self.sums.resize(padded.len() + MARGIN, 0.0);
            self.plane.resize(padded.shape.input[0] * padded.shape.input[1], 0.0);
        }
        if self.shape != shape || self.halo != halo {
            self.values.clear();
            self.values.resize(padded.len() + MARGIN, halo);
        }
        (self.shape, self.halo) = (shape, halo);
    }
}

impl WithSimd for PlaneGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let padded = self.padded;
        let PaddedShape { stride, size: [high, pitch], .. } = padded.shape;
        let (part, block) = (high * pitch, VECTORS_PER_BLOCK * S::F32_LANES);
        let front = self.taps.iter().map(|t| t % part).max().unwrap_or(0);
        let halo = self.value_outside();
        self.scratch.fit(padded, front, halo);
        let Scratch { values, y, dy, argmax, sums, plane, .. } = self.scratch;
        padded.fill(self.x, values);
        padded.spread(self.y, self.g.output, &mut y[front..]);
        padded.spread(self.dy, self.g.output, &mut dy[front..]);
        assert!(self.taps.iter().all(|t| *t < padded.len()));
        for at in (0..padded.positions(self.g.output)).step_by(block) {
            // SAFETY: what positions read ends within a part, and after that all buffers have room for a block.
            unsafe {
                let (y, argmax) = (y.as_ptr().add(front + at), argmax.as_mut_ptr().add(front + at));
                find_argmax(simd, self.taps, values.as_ptr().add(at), y, argmax);
            }
        }
        for phase in 0..stride[0] * stride[1] {
            let taps = self.taps.iter().enumerate().filter(|(_, t)| *t / part == phase);
            // From the last tap to the first: an input gets the gradients of its windows in their order.
            let taps: SmallVec<[(f32, usize); 9]> = taps.rev().map(|(k, t)| (k as f32, t % part)).collect();
            for at in (0..part).step_by(block) {
                // SAFETY: as above; no tap reads further ahead than `front`.
                unsafe {
                    let (argmax, dy) = (argmax.as_ptr().add(front + at), dy.as_ptr().add(front + at));
                    sum_gradients(simd, &taps, argmax, dy, sums.as_mut_ptr().add(phase * part + at));
                }
            }
        }
        if (self.epilogue.combine, self.epilogue.clamp) == (Combine::None, Clamp::None) {
            return padded.gather(sums, self.dx);
        }
        padded.gather(sums, plane);
        EpilogueRow { from: plane, epilogue: self.epilogue, to: self.dx }.with_simd(simd);
    }
}

/// The number of the argmax tap of each window of a block of positions.
///
/// # Safety
/// A block must be readable at `y` and, for every tap, at `x + tap`, and writable at `argmax`.
#[inline(always)]
unsafe fn find_argmax<S: Simd>(simd: S, taps: &[usize], x: *const f32, y: *const f32, argmax: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let largest: [S::f32s; VECTORS_PER_BLOCK] = (y as *const [S::f32s; VECTORS_PER_BLOCK]).read_unaligned();
        let mut found = [simd.splat_f32s(-1.0); VECTORS_PER_BLOCK];
        // From the last tap to the first, so that the first of equals remains.
        for (k, tap) in taps.iter().enumerate().rev() {
            let number = simd.splat_f32s(k as f32);
            let x: [S::f32s; VECTORS_PER_BLOCK] = (x.add(*tap) as *const [S::f32s; VECTORS_PER_BLOCK]).read_unaligned();
            for v in 0..VECTORS_PER_BLOCK {
                found[v] = simd.select_f32s(simd.equal_f32s(x[v], largest[v]), number, found[v]);
            }
        }
        (argmax as *mut [S::f32s; VECTORS_PER_BLOCK]).write_unaligned(found);
    }
}

/// For a block of inputs the sums of the gradients of all windows whose argmax they are. `taps` holds the number of each tap, and
/// how far ahead of a position it reads.
///
/// # Safety
/// A block must be readable as far before `argmax` and `dy` as any tap reads ahead, and writable at `sums`.
#[inline(always)]
unsafe fn sum_gradients<S: Simd>(simd: S, taps: &[(f32, usize)], argmax: *const f32, dy: *const f32, sums: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let zero = simd.splat_f32s(0.0);
        let mut sum = [zero; VECTORS_PER_BLOCK];
        for (k, ahead) in taps {
            let number = simd.splat_f32s(*k);
            let winner: [S::f32s; VECTORS_PER_BLOCK] =
                (argmax.sub(*ahead) as *const [S::f32s; VECTORS_PER_BLOCK]).read_unaligned();
            let gradient: [S::f32s; VECTORS_PER_BLOCK] =
                (dy.sub(*ahead) as *const [S::f32s; VECTORS_PER_BLOCK]).read_unaligned();
            for v in 0..VECTORS_PER_BLOCK {
                let won = simd.select_f32s(simd.equal_f32s(winner[v], number), gradient[v], zero);
                sum[v] = simd.add_f32s(sum[v], won);
            }
        }
        (sums as *mut [S::f32s; VECTORS_PER_BLOCK]).write_unaligned(sum);
    }
}

impl PlaneGradient<'_> {
    /// A value for the halo that is no window's maximum.
    #[inline(always)]
    fn value_outside(&self) -> f32 {
        let is_maximum = |v: f32| self.y.iter().fold(false, |any, y| any | (*y == v));
        let others = (0..=self.y.len()).map(|i| i as f32);
        [f32::NEG_INFINITY, f32::INFINITY].into_iter().chain(others).find(|v| !is_maximum(*v)).unwrap_or(0.0)
    }
}
