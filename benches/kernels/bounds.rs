//! What the machine can do on all threads of the pool: multiply-adds a second in registers, and bytes a second copied within a
//! working set of each size.

use convscope::simd;
use pulp::{Simd, WithSimd};
use std::fmt;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

/// Vectors of sums that are added to at the same time, so that none waits for the one before.
const SUMS: usize = 12;
const ROUNDS: usize = 1 << 20;
/// Bytes of the working sets: from a part of the L2 caches to far more than all caches.
const SIZES: [usize; 11] = {
    let mut sizes = [1 << 18; 11];
    let mut i = 1;
    while i < sizes.len() {
        sizes[i] = 2 * sizes[i - 1];
        i += 1;
    }
    sizes
};
/// Bytes that a measurement of copying moves at least.
const MOVED: usize = 1 << 29;
/// Measurements, of which the best counts.
const TIMES: usize = 5;

pub struct Bounds {
    /// Operations a second; a multiply-add is two.
    operations: f64,
    /// Bytes read and written a second, for each of `SIZES`.
    copied: [f64; SIZES.len()],
}

impl Bounds {
    pub fn measure() -> Self {
        let best = |rate: &dyn Fn() -> f64| (0..TIMES).map(|_| rate()).fold(0.0, f64::max);
        Bounds { operations: best(&multiply_adds), copied: SIZES.map(|bytes| best(&|| copied(bytes))) }
    }

    /// The least seconds that so many operations on so many bytes take, and which of the two takes as long.
    pub fn seconds(&self, operations: usize, bytes: usize) -> (f64, &'static str) {
        let size = SIZES.iter().position(|size| *size >= bytes).unwrap_or(SIZES.len() - 1);
        let (computing, moving) = (operations as f64 / self.operations, bytes as f64 / self.copied[size]);
        if computing >= moving { (computing, "flops") } else { (moving, "bytes") }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = rayon::current_num_threads();
        write!(f, "{:.0} GFLOP/s on {threads} threads; GB/s of copying by working set:", self.operations / 1e9)?;
        let size = |bytes: usize| if bytes < 1 << 20 { (bytes >> 10, "KiB") } else { (bytes >> 20, "MiB") };
        let sizes = SIZES.map(size).into_iter().zip(&self.copied);
        sizes.enumerate().try_for_each(|(i, ((n, unit), rate))| {
            write!(f, "{} {:.0} at {n} {unit}", if i == 0 { "" } else { "," }, rate / 1e9)
        })
    }
}

/// The seconds of `run` on every thread at once, those of the slowest.
fn slowest<T>(prepare: impl Fn() -> T + Sync, run: impl Fn(&mut T) + Sync) -> f64 {
    let barrier = Barrier::new(rayon::current_num_threads());
    let seconds = rayon::broadcast(|_| {
        let mut operands = prepare();
        run(&mut operands);
        barrier.wait();
        let start = Instant::now();
        run(&mut operands);
        start.elapsed().as_secs_f64()
    });
    seconds.into_iter().fold(0.0, f64::max)
}

fn multiply_adds() -> f64 {
    let run = |starts: &mut [f32; SUMS]| {
        black_box(simd::arch().dispatch(Chains(black_box(*starts))));
    };
    let seconds = slowest(|| [0.5; SUMS], run);
    (2 * SUMS * ROUNDS * simd::lanes() * rayon::current_num_threads()) as f64 / seconds
}

/// Halves each of these sums and adds a half, `ROUNDS` times; the largest at last.
struct Chains([f32; SUMS]);

impl WithSimd for Chains {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let half = simd.splat_f32s(0.5);
        let mut sums = [half; SUMS];
        for (sum, start) in sums.iter_mut().zip(self.0) {
            *sum = simd.splat_f32s(start);
        }
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, half, half);
            }
        }
        sums.into_iter().fold(0.0, |most, sum| simd.reduce_max_f32s(sum).max(most))
    }
}

/// Bytes a second, where all threads together read half of `bytes` and write the other half.
fn copied(bytes: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let (each, rounds) = (bytes / 2 / threads, (MOVED / bytes).max(1));
    let buffers = || (vec![1u8; each], vec![0u8; each]);
    let seconds = slowest(buffers, |(from, to)| {
        (0..rounds).for_each(|_| black_box(&mut *to).copy_from_slice(black_box(&*from)));
    });
    (2 * each * threads * rounds) as f64 / seconds
}
