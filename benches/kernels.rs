//! Times every f32 kernel on shapes of common nets, and says how near it comes to the bound that limits it: the machine's rate of
//! multiply-adds, or its rate of copying. The output is the table of `docs/speed.md`.
//!
//! `cargo bench --bench kernels -- depthwise` runs those whose name holds a word; `RAYON_NUM_THREADS` sets the threads.

#![allow(clippy::unwrap_used)]

#[path = "kernels/bounds.rs"]
mod bounds;
#[path = "kernels/convolutions.rs"]
mod convolutions;
#[path = "kernels/maps.rs"]
mod maps;
#[path = "kernels/products.rs"]
mod products;

use bounds::Bounds;
use convscope::random::Stream;
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES: [usize; 2] = [1, 8];
/// Samples of a time, of which the median counts, and seconds that each takes at least.
const SAMPLES: usize = 15;
const MIN_SECONDS: f64 = 0.01;

/// A kernel on one shape.
struct Case {
    name: String,
    /// What it does with a batch of so many samples.
    work: Box<dyn Fn(usize) -> Work>,
}

impl Case {
    fn new(name: impl Into<String>, work: impl Fn(usize) -> Work + 'static) -> Self {
        Case { name: name.into(), work: Box::new(work) }
    }
}

/// A kernel with its operands.
struct Work {
    /// Additions and multiplications of the plain formula. A comparison and a function of one value count as one operation each.
    operations: usize,
    /// Bytes of all values that are read or written, each once.
    bytes: usize,
    run: Box<dyn Fn() + Sync>,
}

impl Work {
    /// Of a kernel that reads or writes so many values.
    fn new<R>(operations: usize, values: usize, run: impl Fn() -> R + Sync + 'static) -> Self {
        Work { operations, bytes: values * size_of::<f32>(), run: Box::new(move || drop(black_box(run()))) }
    }

    /// Seconds of one run on a thread of the pool, where passes run it.
    fn seconds(&self) -> f64 {
        let time = |times: usize| {
            rayon::scope(|_| {
                let start = Instant::now();
                (0..times).for_each(|_| (self.run)());
                start.elapsed().as_secs_f64()
            })
        };
        let mut times = 1;
        while time(times) < MIN_SECONDS {
            times *= 2;
        }
        let mut samples: Vec<f64> = (0..SAMPLES).map(|_| time(times) / times as f64).collect();
        samples.sort_by(f64::total_cmp);
        samples[SAMPLES / 2]
    }
}

fn main() {
    convscope::threads::start(0).unwrap();
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let bounds = Bounds::measure();
    println!("{bounds}\n");
    println!("| kernel | µs at batch 1 / 8 | GFLOP/s | GB/s | share of the bound |");
    println!("| --- | --- | --- | --- | --- |");
    for case in convolutions::cases().into_iter().chain(products::cases()).chain(maps::cases()) {
        if words.iter().all(|word| case.name.contains(word)) {
            println!("{}", row(&case, &bounds));
        }
    }
}

fn row(case: &Case, bounds: &Bounds) -> String {
    let each = BATCHES.map(|batch| {
        let work = (case.work)(batch);
        let seconds = work.seconds();
        let rate = |count: usize| short(count as f64 / seconds / 1e9);
        let (least, which) = bounds.seconds(work.operations, work.bytes);
        let share = format!("{:.0} % {which}", 100.0 * least / seconds);
        [short(seconds * 1e6), rate(work.operations), rate(work.bytes), share]
    });
    let cells: Vec<String> = each[0].iter().zip(&each[1]).map(|(one, eight)| format!("{one} / {eight}")).collect();
    format!("| {} | {} |", case.name, cells.join(" | "))
}

/// Two digits or more.
fn short(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn noise(n: usize) -> Vec<f32> {
    let stream = Stream::new(0, "kernels");
    (0..n).map(|i| 2.0 * stream.uniform_at(i as u64) as f32 - 1.0).collect()
}
