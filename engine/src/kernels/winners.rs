//! The gradient of a max pool: each window's signal goes to its winner, the first largest value (Zeiler and Fergus's
//! switch), summed where windows overlap.

use super::border::{Border, Shape};
use super::finish::{Finish, Join, Line};
use super::pool::Geometry;
use super::target::{Target, filled};
use super::tile::arch;
use crate::tensor::Real;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use smallvec::SmallVec;
use std::cell::RefCell;

/// The gradient of [`max`](super::pool::max): of `x`, whose maxima are `y`, for the signal `dy`.
pub fn max_gradient<T: Real>(g: &Geometry, x: &[T], y: &[T], dy: &[T]) -> Vec<T> {
    if let (Some(x), Some(y), Some(dy)) = (T::singles(x), T::singles(y), T::singles(dy)) {
        return T::of_singles(settled(g, x, y, dy, Join::Alone, Finish::Keep));
    }
    let (source, pixels) = (g.input[0] * g.input[1], g.output[0] * g.output[1]);
    let mut dx = vec![T::zero(); x.len()];
    let planes = dx.par_chunks_mut(source).zip(x.par_chunks(source)).zip(dy.par_chunks(pixels));
    planes.for_each(|((dx, x), dy)| plain(g, x, dy, dx));
    dx
}

/// As [`max_gradient`]; each sum then meets the input there and is finished.
pub fn settled(g: &Geometry, x: &[f32], y: &[f32], dy: &[f32], join: Join, finish: Finish) -> Vec<f32> {
    let (source, pixels) = (g.input[0] * g.input[1], g.output[0] * g.output[1]);
    let planes = x.len() / source.max(1);
    assert!(y.len() >= planes * pixels && dy.len() >= planes * pixels, "too few maxima");
    let border = g.border();
    let taps: Vec<usize> = g.taps().map(|t| border.place(t)).collect();
    // SAFETY: each task writes its own plane, all of it.
    unsafe {
        filled(planes * source, |dx: Target<f32>| {
            (0..planes).into_par_iter().for_each(|p| {
                let (x, dx) = (&x[p * source..][..source], dx.slice(p * source, source));
                let (y, dy) = (&y[p * pixels..][..pixels], &dy[p * pixels..][..pixels]);
                if y.iter().fold(false, |any, y| any | y.is_nan()) {
                    dx.fill(0.0);
                    plain(g, x, dy, dx);
                    dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = finish.apply(join.meet(*dx, *x)));
                    return;
                }
                SCRATCH.with_borrow_mut(|scratch| {
                    arch().dispatch(Winners { border: &border, taps: &taps, g, x, y, dy, dx, join, finish, scratch });
                });
            });
        })
    }
}

/// A plane's signals, each added to its window's winner, the first largest value or the first NaN.
fn plain<T: Real>(g: &Geometry, x: &[T], dy: &[T], dx: &mut [T]) {
    let mut signals = dy.iter();
    for oy in 0..g.output[0] {
        for ox in 0..g.output[1] {
            let mut best: Option<usize> = None;
            for i in g.span(0, oy).taps() {
                for at in g.span(1, ox).taps().map(|j| i * g.input[1] + j) {
                    let stays = |b: usize| x[b] >= x[at] || x[b].is_nan_value();
                    best = best.filter(|b| stays(*b)).or(Some(at));
                }
            }
            if let (Some(best), Some(dy)) = (best, signals.next()) {
                dx[best] += *dy;
            }
        }
    }
}

/// One plane without a NaN.
struct Winners<'a> {
    border: &'a Border,
    taps: &'a [usize],
    g: &'a Geometry,
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    join: Join,
    finish: Finish,
    scratch: &'a mut Scratch,
}

/// Values of the widest vector.
const VECTOR: usize = 16;
/// Vectors of positions that are computed together.
const TOGETHER: usize = 4;
/// Values behind the last position that are read or written with it.
const BEHIND: usize = TOGETHER * VECTOR;

/// What a thread works in, made for planes of a shape.
#[derive(Default)]
struct Scratch {
    shape: Option<(Shape, usize)>,
    /// What stands in the border of `values`.
    beside: f32,
    values: Vec<f32>,
    y: Vec<f32>,
    dy: Vec<f32>,
    winners: Vec<f32>,
    sums: Vec<f32>,
    whole: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Makes room for planes of `shape` whose taps read up to `front` ahead of a position.
    fn fit(&mut self, border: &Border, front: usize, beside: f32) {
        let [high, pitch] = border.shape.size;
        let shape = Some((border.shape, front));
        if self.shape != shape {
            for line in [&mut self.y, &mut self.dy, &mut self.winners] {
                line.clear();
                line.resize(front + high * pitch + BEHIND, 0.0);
            }
            self.sums.resize(border.room() + BEHIND, 0.0);
            self.whole.resize(border.shape.input[0] * border.shape.input[1], 0.0);
        }
        if self.shape != shape || self.beside != beside {
            self.values.clear();
            self.values.resize(border.room() + BEHIND, beside);
        }
        (self.shape, self.beside) = (shape, beside);
    }
}

impl WithSimd for Winners<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let border = self.border;
        let Shape { stride, size: [high, pitch], .. } = border.shape;
        let (part, together) = (high * pitch, TOGETHER * S::F32_LANES);
        let front = self.taps.iter().map(|t| t % part).max().unwrap_or(0);
        let beside = self.beside();
        self.scratch.fit(border, front, beside);
        let Scratch { values, y, dy, winners, sums, whole, .. } = self.scratch;
        border.fill(self.x, values);
        border.spread(self.y, self.g.output, &mut y[front..]);
        border.spread(self.dy, self.g.output, &mut dy[front..]);
        assert!(self.taps.iter().all(|t| *t < border.room()));
        for at in (0..border.positions(self.g.output)).step_by(together) {
            // SAFETY: what positions read ends within a part, and all that is read or written has room for a block behind that.
            unsafe {
                let (y, winners) = (y.as_ptr().add(front + at), winners.as_mut_ptr().add(front + at));
                found(simd, self.taps, values.as_ptr().add(at), y, winners);
            }
        }
        for plane in 0..stride[0] * stride[1] {
            let taps = self.taps.iter().enumerate().filter(|(_, t)| *t / part == plane);
            // From the last tap to the first: a value gets the signals of its windows in their order.
            let taps: SmallVec<[(f32, usize); 9]> = taps.rev().map(|(k, t)| (k as f32, t % part)).collect();
            for at in (0..part).step_by(together) {
                // SAFETY: as above; no tap reads further ahead than `front`.
                unsafe {
                    let (winners, dy) = (winners.as_ptr().add(front + at), dy.as_ptr().add(front + at));
                    summed(simd, &taps, winners, dy, sums.as_mut_ptr().add(plane * part + at));
                }
            }
        }
        if (self.join, self.finish) == (Join::Alone, Finish::Keep) {
            return border.gather(sums, self.dx);
        }
        border.gather(sums, whole);
        Line { from: whole, other: self.x, join: self.join, finish: self.finish, to: self.dx }.with_simd(simd);
    }
}

/// The number of the tap that wins each window of a block of positions.
///
/// # Safety
/// A block must be readable at `y` and at every tap behind `x`, and writable at `winners`.
#[inline(always)]
unsafe fn found<S: Simd>(simd: S, taps: &[usize], x: *const f32, y: *const f32, winners: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let largest: [S::f32s; TOGETHER] = (y as *const [S::f32s; TOGETHER]).read_unaligned();
        let mut found = [simd.splat_f32s(-1.0); TOGETHER];
        // From the last tap to the first: the first of equals stands at the end.
        for (k, tap) in taps.iter().enumerate().rev() {
            let number = simd.splat_f32s(k as f32);
            let x: [S::f32s; TOGETHER] = (x.add(*tap) as *const [S::f32s; TOGETHER]).read_unaligned();
            for v in 0..TOGETHER {
                found[v] = simd.select_f32s(simd.equal_f32s(x[v], largest[v]), number, found[v]);
            }
        }
        (winners as *mut [S::f32s; TOGETHER]).write_unaligned(found);
    }
}

/// The sums of the signals that a block of values wins, under some taps: their numbers, and how far ahead of a position
/// they read.
///
/// # Safety
/// A block must be readable as far before `winners` and `dy` as any tap reads ahead, and writable at `sums`.
#[inline(always)]
unsafe fn summed<S: Simd>(simd: S, taps: &[(f32, usize)], winners: *const f32, dy: *const f32, sums: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let zero = simd.splat_f32s(0.0);
        let mut sum = [zero; TOGETHER];
        for (k, ahead) in taps {
            let number = simd.splat_f32s(*k);
            let winner: [S::f32s; TOGETHER] = (winners.sub(*ahead) as *const [S::f32s; TOGETHER]).read_unaligned();
            let signal: [S::f32s; TOGETHER] = (dy.sub(*ahead) as *const [S::f32s; TOGETHER]).read_unaligned();
            for v in 0..TOGETHER {
                let won = simd.select_f32s(simd.equal_f32s(winner[v], number), signal[v], zero);
                sum[v] = simd.add_f32s(sum[v], won);
            }
        }
        (sums as *mut [S::f32s; TOGETHER]).write_unaligned(sum);
    }
}

impl Winners<'_> {
    /// What stands around the plane: the largest value of no window.
    #[inline(always)]
    fn beside(&self) -> f32 {
        let is_there = |v: f32| self.y.iter().fold(false, |any, y| any | (*y == v));
        let others = (0..=self.y.len()).map(|i| i as f32);
        [f32::NEG_INFINITY, f32::INFINITY].into_iter().chain(others).find(|v| !is_there(*v)).unwrap_or(0.0)
    }
}
