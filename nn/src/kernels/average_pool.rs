//! Average pooling and its gradient.
//!
//! In f32 a plane is copied into a halo of zeros (`PaddedPlane`), and the windows of neighbouring positions are summed as vectors,
//! tap by tap. Adding a zero changes no sum that begins with zero, so every result is the sum of its window's values in their order,
//! as the plain loops form it in f64 and where windows are large.

use super::conv::padded_plane::PaddedPlane;
use super::pool::{PoolGeometry, for_each_output, planes_with};
use crate::simd::{MAX_LANES, arch};
use crate::tensor::Real;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Values of a window up to which planes are padded.
const MAX_TAPS: usize = 64;

/// What the averages of a pool divide by: the values of a window along each axis, multiplied.
struct Divisors([Vec<usize>; 2]);

impl Divisors {
    fn new(g: &PoolGeometry) -> Self {
        let w = g.pool.window;
        let counts = |a: usize, before: usize, after: usize| {
            // Padding counts; what a ceil-mode window covers beyond the padding does not.
            let end = g.input[a] + before + after;
            let padded = |o: usize| (0..w.kernel[a]).filter(|k| o * w.stride[a] + k * w.dilation[a] < end).count();
            let count = |o| if g.pool.count_padding { padded(o) } else { g.span(a, o).taps().count() };
            (0..g.output[a]).map(count).collect()
        };
        Divisors([counts(0, w.padding.top, w.padding.bottom), counts(1, w.padding.left, w.padding.right)])
    }

    /// The divisor at output (y, x).
    #[inline(always)]
    fn at<T: Real>(&self, y: usize, x: usize) -> T {
        T::of((self.0[0][y] * self.0[1][x]).max(1) as f64)
    }

    /// The divisors of all outputs, row by row.
    fn all<T: Real>(&self) -> Vec<T> {
        (0..self.0[0].len()).flat_map(|y| (0..self.0[1].len()).map(move |x| self.at(y, x))).collect()
    }
}

/// The average of each window.
pub fn average<T: Real>(g: &PoolGeometry, x: &[T]) -> Vec<T> {
    let divisors = Divisors::new(g);
    if let Some(singles) = T::singles(x).filter(|_| g.taps().count() <= MAX_TAPS) {
        let padded = g.padded_plane();
        let sums = WindowSums::new(&padded, g.taps(), g.output);
        let (divisors, across) = (divisors.all::<f32>(), g.output[1].max(1));
        return T::of_singles(planes_with(
            g.sizes(),
            singles,
            || sums.scratch(),
            |scratch, x, y| {
                padded.fill(x, &mut scratch.padded);
                arch().dispatch(Sum { of: &sums, scratch });
                let rows = scratch.sums.chunks(padded.pitch()).zip(divisors.chunks_exact(across));
                for (y, (sums, divisors)) in y.chunks_exact_mut(across).zip(rows) {
                    y.iter_mut().zip(sums).zip(divisors).for_each(|((y, sum), divisor)| *y = sum / divisor);
                }
            },
        ));
    }
    planes_with(g.sizes(), x, || (), |(), x, y| plain_average(g, &divisors, [0, 0], x, y))
}

/// The averages over a plane, the first of whose windows is number `first` of those of the divisors.
fn plain_average<T: Real>(g: &PoolGeometry, divisors: &Divisors, first: [usize; 2], x: &[T], y: &mut [T]) {
    for_each_output(g, |o, oy, ox| {
        let mut sum = T::zero();
        for i in g.span(0, oy).taps() {
            g.span(1, ox).taps().for_each(|j| sum += x[i * g.input[1] + j]);
        }
        y[o] = sum / divisors.at(first[0] + oy, first[1] + ox);
    });
}

/// [`average`] for windows of outputs, each of `size`, at `starts`. `x` holds the inputs of each window, of size `read`, zero in
/// the padding.
pub fn average_windows<T: Real>(
    g: &PoolGeometry,
    starts: &[[usize; 2]],
    size: [usize; 2],
    read: [usize; 2],
    x: &[T],
) -> Vec<T> {
    let (part, divisors) = (g.part(read, size), Divisors::new(g));
    let (source, pixels) = part.sizes();
    let channels = x.len() / source / starts.len().max(1);
    let mut y = vec![T::zero(); starts.len() * channels * pixels];
    y.par_chunks_mut(pixels)
        .zip(x.par_chunks(source))
        .enumerate()
        .for_each(|(i, (y, x))| plain_average(&part, &divisors, starts[i / channels], x, y));
    y
}

/// The gradient of [`average`] for its input, given `dy`, the gradient of its output.
pub fn average_gradient<T: Real>(g: &PoolGeometry, dy: &[T]) -> Vec<T> {
    let (w, divisors, (source, pixels)) = (g.pool.window, Divisors::new(g), g.sizes());
    let overlaps = (0..2).any(|a| w.kernel[a] > w.stride[a]);
    if let Some(singles) = T::singles(dy).filter(|_| overlaps && g.taps().count() <= MAX_TAPS) {
        return T::of_singles(overlapping_gradient(g, &divisors.all(), singles));
    }
    planes_with(
        (pixels, source),
        dy,
        || (),
        |(), dy, dx| {
            for_each_output(g, |o, oy, ox| {
                let share = dy[o] / divisors.at(oy, ox);
                for i in g.span(0, oy).taps() {
                    g.span(1, ox).taps().for_each(|j| dx[i * g.input[1] + j] += share);
                }
            });
        },
    )
}

/// As [`average_gradient`]: every input sums the shares of the windows that contain it, in order. The shares lie as far apart as
/// their windows, with zeros between them.
fn overlapping_gradient(g: &PoolGeometry, divisors: &[f32], dy: &[f32]) -> Vec<f32> {
    let (stride, across) = (g.pool.window.stride, g.output[1].max(1));
    // The later a tap, the earlier the window that reads a given input by it.
    let mut taps: Vec<[isize; 2]> = g.taps().map(|t| t.map(|at| -at)).collect();
    taps.reverse();
    let spread = [0, 1].map(|a| (g.output[a].max(1) - 1) * stride[a] + 1);
    let padded = PaddedPlane::new(spread, [1, 1], [(g.input, &taps[..])]);
    let sums = WindowSums::new(&padded, taps.iter().copied(), g.input);
    let (source, pixels) = g.sizes();
    let scratch = || (sums.scratch(), vec![0.0; spread[1]]);
    planes_with((pixels, source), dy, scratch, |(scratch, line), dy, dx| {
        for (oy, (dy, divisors)) in dy.chunks_exact(across).zip(divisors.chunks_exact(across)).enumerate() {
            let shares = dy.iter().zip(divisors).map(|(dy, divisor)| dy / divisor);
            line.iter_mut().step_by(stride[1]).zip(shares).for_each(|(to, share)| *to = share);
            padded.fill_row(oy * stride[0], line, &mut scratch.padded);
        }
        arch().dispatch(Sum { of: &sums, scratch });
        padded.collect(&scratch.sums, g.input, dx);
    })
}

/// Sums over the windows of a padded plane.
struct WindowSums {
    /// Where each tap reads at the first position.
    taps: Vec<usize>,
    /// Windows, those between rows included.
    positions: usize,
    /// Values of the padded plane.
    len: usize,
}

/// A task's buffers.
struct SumScratch {
    padded: Vec<f32>,
    sums: Vec<f32>,
}

impl WindowSums {
    /// The sums of `taps` at the positions of `grid`.
    fn new(padded: &PaddedPlane, taps: impl Iterator<Item = [isize; 2]>, grid: [usize; 2]) -> Self {
        let taps = taps.map(|t| padded.tap_offset(t)).collect();
        WindowSums { taps, positions: padded.positions(grid), len: padded.len() }
    }

    /// Zeros around the plane, and room for the sums.
    fn scratch(&self) -> SumScratch {
        let sums = self.positions.next_multiple_of(MAX_LANES);
        SumScratch { padded: vec![0.0; self.len + MAX_LANES], sums: vec![0.0; sums] }
    }
}

/// The sums of a plane that lies padded in the scratch.
struct Sum<'a> {
    of: &'a WindowSums,
    scratch: &'a mut SumScratch,
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (values, sums) = (&self.scratch.padded[..], S::as_mut_simd_f32s(&mut self.scratch.sums).0);
        let count = self.of.positions.div_ceil(S::F32_LANES);
        for (v, sum) in sums[..count].iter_mut().enumerate() {
            let at = v * S::F32_LANES;
            *sum = self.of.taps.iter().fold(simd.splat_f32s(0.0), |sum, tap| {
                simd.add_f32s(sum, S::as_simd_f32s(&values[tap + at..][..S::F32_LANES]).0[0])
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::{Padding, Pool, Window};
    use crate::random::Stream;

    /// The inputs of window (oy, ox) and what its average divides by, by the definition.
    fn window(g: &PoolGeometry, oy: usize, ox: usize) -> (Vec<usize>, usize) {
        let (w, [height, width]) = (g.pool.window, g.input);
        let (mut inputs, mut padded) = (Vec::new(), 0);
        for i in 0..w.kernel[0] {
            for j in 0..w.kernel[1] {
                let (y, x) = (oy * w.stride[0] + i * w.dilation[0], ox * w.stride[1] + j * w.dilation[1]);
                let p = w.padding;
                padded += usize::from(y < height + p.top + p.bottom && x < width + p.left + p.right);
                if (p.top..height + p.top).contains(&y) && (p.left..width + p.left).contains(&x) {
                    inputs.push((y - p.top) * width + x - p.left);
                }
            }
        }
        let count = if g.pool.count_padding { padded } else { inputs.len() };
        (inputs, count.max(1))
    }

    fn geometries() -> Vec<PoolGeometry> {
        let mut all = Vec::new();
        let same = Padding::same(1);
        let uneven = Padding { top: 2, left: 0, bottom: 1, right: 1 };
        for input in [[1, 1], [7, 7], [5, 19], [17, 17], [23, 40]] {
            for (kernel, stride, dilation, padding) in [
                ([3, 3], [1, 1], [1, 1], same),
                ([3, 3], [2, 2], [1, 1], same),
                ([2, 2], [2, 2], [1, 1], Padding::default()),
                ([3, 5], [1, 2], [1, 1], uneven),
                ([3, 2], [2, 3], [2, 1], uneven),
                ([9, 8], [1, 1], [1, 1], Padding::same(4)),
            ] {
                for (ceil, count_padding) in [(false, true), (true, false), (true, true)] {
                    let window = Window { kernel, stride, dilation, padding };
                    let Some(output) = window.output(input, ceil) else { continue };
                    all.push(PoolGeometry { input, output, pool: Pool { window, ceil, count_padding } });
                }
            }
        }
        all
    }

    #[test]
    fn averages_and_gradients_are_sums_in_the_order_of_the_definition() {
        for g in geometries() {
            let ((source, pixels), planes) = (g.sizes(), 3);
            let mut rng = Stream::new(0, "average");
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.next_normal() as f32).collect() };
            let (x, dy) = (random(planes * source), random(planes * pixels));
            let (mut y, mut dx) = (vec![0.0f32; dy.len()], vec![0.0f32; x.len()]);
            for plane in 0..planes {
                for o in 0..pixels {
                    let (inputs, count) = window(&g, o / g.output[1], o % g.output[1]);
                    let at = plane * pixels + o;
                    y[at] = inputs.iter().fold(0.0, |sum, i| sum + x[plane * source + i]) / count as f32;
                    inputs.iter().for_each(|i| dx[plane * source + i] += dy[at] / count as f32);
                }
            }
            assert_eq!(average(&g, &x), y, "{g:?}");
            assert_eq!(average_gradient(&g, &dy), dx, "{g:?}");
            let doubles = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let close = |a: &[f32], b: &[f64]| a.iter().zip(b).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5);
            assert!(close(&y, &average(&g, &doubles(&x))) && close(&dx, &average_gradient(&g, &doubles(&dy))), "{g:?}");
        }
    }

    #[test]
    fn a_nan_stays_in_its_windows() {
        let window = Window::square(3, 1, 1);
        let g =
            PoolGeometry { input: [5, 40], output: [5, 40], pool: Pool { window, ceil: false, count_padding: true } };
        let mut x = vec![1.0f32; 200];
        x[47] = f32::NAN;
        let y = average(&g, &x);
        let nans: Vec<usize> = (0..200).filter(|i| y[*i].is_nan()).collect();
        assert_eq!(nans, [6, 7, 8, 46, 47, 48, 86, 87, 88]);
    }
}
