//! The largest singular value of a circular convolution: over all frequencies of its output, that of the small matrix that couples
//! the channels there; with a stride also the input's phases.
//!
//! Sedghi, Gupta, Long, "The Singular Values of Convolutional Layers", 2018, for stride 1; Szegedy et al. 2013, section 4.3.

use crate::random::Stream;
use rayon::prelude::*;
use rustfft::num_complex::Complex;

/// A convolution's weights: for each group, rows x columns x kernel.
pub struct Taps<'a> {
    /// All groups' weights.
    pub weights: &'a [f64],
    /// Groups of channels.
    pub groups: usize,
    /// Output channels of a group.
    pub rows: usize,
    /// Input channels of a group.
    pub columns: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    /// As of the window.
    pub stride: [usize; 2],
    /// As of the window.
    pub dilation: [usize; 2],
}

/// The operator norm of the circular convolution whose output has `positions` rows and columns.
pub fn on_torus(taps: &Taps<'_>, positions: [usize; 2]) -> f64 {
    // One tap without a shift is the same matrix at every frequency; conjugate frequencies have the same singular values.
    let flat = |a: usize| (0..taps.kernel[a]).all(|k| k * taps.dilation[a] / taps.stride[a] == 0);
    let rows = if flat(0) { 1 } else { positions[0] };
    let columns = if flat(1) { 1 } else { positions[1] / 2 + 1 };
    let phases = Phases::of(taps);
    let each = taps.rows * taps.columns * taps.kernel[0] * taps.kernel[1];
    let all: Vec<(usize, usize)> = (0..taps.groups).flat_map(|g| (0..rows * columns).map(move |f| (g, f))).collect();
    let at = |(group, f): &(usize, usize)| {
        let weights = &taps.weights[group * each..(group + 1) * each];
        let matrix = phases.symbol(taps, weights, positions, [f / columns, f % columns]);
        largest(&matrix, taps.rows, taps.columns * phases.count)
    };
    all.par_iter().map(at).reduce(|| 0.0, f64::max)
}

/// The largest singular value of a real matrix of `rows` x `columns`.
pub fn dense(matrix: &[f64], rows: usize, columns: usize) -> f64 {
    let complex: Vec<Complex<f64>> = matrix.iter().map(|v| Complex::new(*v, 0.0)).collect();
    largest(&complex, rows, columns)
}

/// Which of a stride's phases each tap reads, and how many strides away.
struct Phases {
    /// Phases that any tap reads.
    count: usize,
    /// For each tap its phase's number and its shift in strides.
    taps: Vec<(usize, [usize; 2])>,
}

impl Phases {
    fn of(taps: &Taps<'_>) -> Self {
        let mut known: Vec<[usize; 2]> = Vec::new();
        let mut all = Vec::new();
        for k in 0..taps.kernel[0] * taps.kernel[1] {
            let place = [k / taps.kernel[1] * taps.dilation[0], k % taps.kernel[1] * taps.dilation[1]];
            let phase = [place[0] % taps.stride[0], place[1] % taps.stride[1]];
            let number = known.iter().position(|p| *p == phase).unwrap_or_else(|| {
                known.push(phase);
                known.len() - 1
            });
            all.push((number, [place[0] / taps.stride[0], place[1] / taps.stride[1]]));
        }
        Phases { count: known.len(), taps: all }
    }

    /// The matrix at one frequency: rows x (columns x phases).
    fn symbol(&self, taps: &Taps<'_>, weights: &[f64], positions: [usize; 2], at: [usize; 2]) -> Vec<Complex<f64>> {
        let turn = |shift: [usize; 2]| {
            let part = |a: usize| (at[a] * shift[a] % positions[a]) as f64 / positions[a] as f64;
            let angle = std::f64::consts::TAU * (part(0) + part(1));
            Complex::new(libm::cos(angle), libm::sin(angle))
        };
        let factors: Vec<(usize, Complex<f64>)> = self.taps.iter().map(|(p, shift)| (*p, turn(*shift))).collect();
        let mut matrix = vec![Complex::new(0.0, 0.0); taps.rows * taps.columns * self.count];
        for (cell, kernel) in matrix.chunks_mut(self.count).zip(weights.chunks(factors.len())) {
            for ((phase, factor), w) in factors.iter().zip(kernel) {
                cell[*phase] += factor * w;
            }
        }
        matrix
    }
}

/// Steps of the Lanczos iteration at most; it ends with the matrix's rank or when the value stands still.
const MAX_LANCZOS_STEPS: usize = 400;
/// A change of the squared singular value, as a share of it, that counts as none.
const CONVERGED_CHANGE: f64 = 1e-13;

/// The largest singular value, by the Lanczos iteration on A A* (or A* A, whichever is smaller) with full reorthogonalisation.
fn largest(matrix: &[Complex<f64>], rows: usize, columns: usize) -> f64 {
    let across = |v: &[Complex<f64>]| -> Vec<Complex<f64>> {
        matrix.chunks(columns).map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum()).collect()
    };
    let down = |v: &[Complex<f64>]| -> Vec<Complex<f64>> {
        let mut out = vec![Complex::new(0.0, 0.0); columns];
        for (row, v) in matrix.chunks(columns).zip(v) {
            out.iter_mut().zip(row).for_each(|(o, a)| *o += a.conj() * v);
        }
        out
    };
    let n = rows.min(columns);
    let step = |v: &[Complex<f64>]| if rows <= columns { across(&down(v)) } else { down(&across(v)) };
    let stream = Stream::new(0, "lanczos");
    let mut v: Vec<Complex<f64>> =
        (0..n as u64).map(|i| Complex::new(stream.normal_at(2 * i), stream.normal_at(2 * i + 1))).collect();
    let size = |v: &[Complex<f64>]| v.iter().map(Complex::norm_sqr).sum::<f64>().sqrt();
    let scale = |v: &mut [Complex<f64>], by: f64| v.iter_mut().for_each(|x| *x *= by);
    let by = 1.0 / size(&v);
    scale(&mut v, by);
    let mut basis = vec![v];
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let (mut value, mut still) = (0.0, 0);
    for _ in 0..MAX_LANCZOS_STEPS.min(n) {
        let last = &basis[basis.len() - 1];
        let mut next = step(last);
        let inner = |a: &[Complex<f64>], b: &[Complex<f64>]| -> Complex<f64> {
            a.iter().zip(b).map(|(a, b)| a.conj() * b).sum()
        };
        diagonal.push(inner(last, &next).re);
        for _ in 0..2 {
            for old in &basis {
                let along = inner(old, &next);
                next.iter_mut().zip(old).for_each(|(x, o)| *x -= along * o);
            }
        }
        let now = top(&diagonal, &beside);
        still = if now - value <= CONVERGED_CHANGE * now { still + 1 } else { 0 };
        value = now;
        let rest = size(&next);
        if still > 2 || rest <= 1e-14 * value.max(f64::MIN_POSITIVE) {
            break;
        }
        beside.push(rest);
        scale(&mut next, 1.0 / rest);
        basis.push(next);
    }
    value.max(0.0).sqrt()
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection over Sturm counts.
fn top(diagonal: &[f64], beside: &[f64]) -> f64 {
    let reach = |i: usize| {
        let left = if i > 0 { beside[i - 1].abs() } else { 0.0 };
        diagonal[i] + left + beside.get(i).filter(|_| i + 1 < diagonal.len()).map_or(0.0, |b| b.abs())
    };
    let mut high = (0..diagonal.len()).map(reach).fold(f64::NEG_INFINITY, f64::max);
    let mut low = diagonal.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // All eigenvalues lie below x where no pivot of T - x is positive.
    let above = |x: f64| {
        let mut pivot = diagonal[0] - x;
        for i in 1..diagonal.len() {
            if pivot > 0.0 {
                return false;
            }
            let divisor = if pivot == 0.0 { -f64::MIN_POSITIVE } else { pivot };
            pivot = diagonal[i] - x - beside[i - 1] * beside[i - 1] / divisor;
        }
        pivot <= 0.0
    };
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        match above(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_singular_value_of_known_matrices() {
        assert!((dense(&[3.0, 0.0, 0.0, -5.0, 0.0, 0.0], 3, 2) - 5.0).abs() < 1e-12);
        // (1 2; 3 4): sqrt(15 + sqrt(221)).
        let want = (15.0 + 221f64.sqrt()).sqrt();
        assert!((dense(&[1.0, 2.0, 3.0, 4.0], 2, 2) - want).abs() < 1e-12);
        assert_eq!(dense(&[0.0; 6], 2, 3), 0.0);
        // A rank of one: the product of the two lengths.
        let outer: Vec<f64> = (0..20).map(|i| (i / 4) as f64 * (i % 4) as f64).collect();
        assert!((dense(&outer, 5, 4) - (30f64 * 14.0).sqrt()).abs() < 1e-12);
    }
}
