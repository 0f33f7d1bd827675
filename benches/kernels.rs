//! Times the f32 kernels on layers of common nets: time, GFLOP/s, and the share of what plain matrix products reach on
//! this machine with as many threads. `cargo bench --bench kernels -- depthwise` runs those whose name holds a word;
//! `RAYON_NUM_THREADS` sets the threads.

#![allow(clippy::unwrap_used)]

use convscope::graph::op::{Padding, Pool, Window};
use convscope::kernels::conv::Geometry;
use convscope::kernels::conv::WinogradTile;
use convscope::kernels::conv::{Epilogue, PrepackedConv};
use convscope::kernels::matmul::{Matrix, matmul};
use convscope::kernels::{max_pool_backward, pool};
use convscope::random::Stream;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A convolution: its kind, name, channels in and out, height and width of its input, kernel, stride, padding, groups.
type Layer = (&'static str, &'static str, [usize; 7]);

const LAYERS: &[Layer] = &[
    ("first layer", "resnet 7x7/2 3-64 at 224", [3, 64, 224, 7, 2, 3, 1]),
    ("first layer", "squeezenet 3x3/2 3-64 at 224", [3, 64, 224, 3, 2, 0, 1]),
    ("3x3", "resnet 64-64 at 56", [64, 64, 56, 3, 1, 1, 1]),
    ("3x3", "resnet 256-256 at 14", [256, 256, 14, 3, 1, 1, 1]),
    ("3x3", "resnet 512-512 at 7", [512, 512, 7, 3, 1, 1, 1]),
    ("3x3", "resnet /2 64-128 at 56", [64, 128, 56, 3, 2, 1, 1]),
    ("3x3", "vgg 256-256 at 56", [256, 256, 56, 3, 1, 1, 1]),
    ("3x3", "squeezenet 16-64 at 55", [16, 64, 55, 3, 1, 1, 1]),
    ("3x3", "squeezenet 32-128 at 27", [32, 128, 27, 3, 1, 1, 1]),
    ("3x3", "squeezenet 64-256 at 13", [64, 256, 13, 3, 1, 1, 1]),
    ("1x1", "squeezenet 16-64 at 55", [16, 64, 55, 1, 1, 0, 1]),
    ("1x1", "squeezenet 512-1000 at 13", [512, 1000, 13, 1, 1, 0, 1]),
    ("1x1", "mobilenet 16-96 at 112", [16, 96, 112, 1, 1, 0, 1]),
    ("1x1", "mobilenet 384-64 at 14", [384, 64, 14, 1, 1, 0, 1]),
    ("1x1", "mobilenet 960-160 at 7", [960, 160, 7, 1, 1, 0, 1]),
    ("depthwise", "mobilenet 3x3 32 at 112", [32, 32, 112, 3, 1, 1, 32]),
    ("depthwise", "mobilenet 3x3/2 96 at 112", [96, 96, 112, 3, 2, 1, 96]),
    ("depthwise", "mobilenet 3x3 384 at 14", [384, 384, 14, 3, 1, 1, 384]),
    ("depthwise", "mobilenet 3x3 960 at 7", [960, 960, 7, 3, 1, 1, 960]),
    ("grouped", "resnext 3x3 128-128 in 32 at 56", [128, 128, 56, 3, 1, 1, 32]),
];

/// Max pools: channels, height and width of the input, kernel, stride, padding.
const POOLS: &[(&str, [usize; 5])] = &[
    ("squeezenet 3x3/2 64 at 111", [64, 111, 3, 2, 0]),
    ("resnet 3x3/2 64 at 112", [64, 112, 3, 2, 1]),
    ("vgg 2x2/2 64 at 224", [64, 224, 2, 2, 0]),
];

const BATCHES: [usize; 2] = [1, 8];

fn main() {
    convscope::threads::start(0).unwrap();
    let mut criterion = Criterion::default()
        .with_measurement(Rate)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    println!("matrix products: {:.0} GFLOP/s on {} threads", peak() / 1e9, rayon::current_num_threads());
    for batch in BATCHES {
        LAYERS.iter().for_each(|layer| convolution(&mut criterion, batch, layer));
        POOLS.iter().for_each(|(name, sizes)| max_pool(&mut criterion, batch, name, *sizes));
    }
    criterion.final_summary();
}

fn convolution(criterion: &mut Criterion<Rate>, batch: usize, (kind, name, sizes): &Layer) {
    let [channels, out, size, kernel, stride, padding, groups] = *sizes;
    let after = (size + 2 * padding - kernel) / stride + 1;
    let g = Geometry {
        batch,
        channels,
        input: [size; 2],
        out,
        output: [after; 2],
        groups,
        window: window(kernel, stride, padding),
    };
    let (weights, flops) = (out * channels / groups * kernel * kernel, 2 * batch * out * after * after);
    let w = noise(weights);
    let mut group = group(criterion, kind, flops * channels / groups * kernel * kernel);
    let run = |way: &str, packed: PrepackedConv, x: Vec<f32>, group: &mut BenchmarkGroup<'_, Rate>| {
        let id = BenchmarkId::new(format!("{name}, {way}"), format!("batch {batch}"));
        time(group, id, || packed.run(batch, &x, &Epilogue::NONE));
    };
    let x = noise(batch * channels * size * size);
    run("forward", PrepackedConv::forward(&g, &w, None, WinogradTile::F2), x.clone(), &mut group);
    if PrepackedConv::forward(&g, &w, None, WinogradTile::F2).largest_tile() != WinogradTile::None {
        run("forward by plain sums", PrepackedConv::forward(&g, &w, None, WinogradTile::None), x, &mut group);
    }
    let dy = noise(batch * out * after * after);
    run(
        "gradient by plain sums",
        PrepackedConv::input_gradient(&g, &w, None, WinogradTile::None),
        dy.clone(),
        &mut group,
    );
    run(
        "gradient in small tiles",
        PrepackedConv::input_gradient(&g, &w, None, WinogradTile::F2),
        dy.clone(),
        &mut group,
    );
    run("gradient", PrepackedConv::input_gradient(&g, &w, None, WinogradTile::F4), dy, &mut group);
}

fn max_pool(criterion: &mut Criterion<Rate>, batch: usize, name: &str, sizes: [usize; 5]) {
    let [channels, size, kernel, stride, padding] = sizes;
    let after = (size + 2 * padding - kernel) / stride + 1;
    let pool = Pool { window: window(kernel, stride, padding), ceil: false, count_padding: false };
    let g = pool::PoolGeometry { input: [size; 2], output: [after; 2], pool };
    let x = noise(batch * channels * size * size);
    let y = pool::max(&g, &x);
    let dy = noise(y.len());
    // One comparison a value under a window.
    let mut group = group(criterion, "max pool", y.len() * kernel * kernel);
    let id = |way: &str| BenchmarkId::new(format!("{name}, {way}"), format!("batch {batch}"));
    time(&mut group, id("forward"), || pool::max(&g, &x));
    time(&mut group, id("gradient"), || max_pool_backward::max_gradient(&g, &x, &y, &dy));
}

/// Times `run` on a thread of the pool, where passes run it.
fn time(group: &mut BenchmarkGroup<'_, Rate>, id: BenchmarkId, run: impl Fn() -> Vec<f32> + Sync) {
    let many = |times: u64| {
        let start = Instant::now();
        (0..times).for_each(|_| drop(black_box(run())));
        start.elapsed()
    };
    group.bench_function(id, |b| b.iter_custom(|times| rayon::scope(|_| many(times))));
}

fn group<'a>(criterion: &'a mut Criterion<Rate>, kind: &str, flops: usize) -> BenchmarkGroup<'a, Rate> {
    let mut group = criterion.benchmark_group(kind);
    group.throughput(Throughput::Elements(flops as u64));
    group
}

fn window(kernel: usize, stride: usize, padding: usize) -> Window {
    let padding = Padding { top: padding, left: padding, bottom: padding, right: padding };
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1, 1], padding }
}

fn noise(n: usize) -> Vec<f32> {
    let stream = Stream::new(0, "kernels");
    (0..n).map(|i| 2.0 * stream.uniform_at(i as u64) as f32 - 1.0).collect()
}

/// Operations a second of plain matrix products, one on each thread: the best of several.
fn peak() -> f64 {
    static PEAK: OnceLock<f64> = OnceLock::new();
    *PEAK.get_or_init(|| {
        const N: usize = 768;
        let (a, b) = (noise(N * N), noise(N * N));
        let once = || {
            let start = Instant::now();
            rayon::broadcast(|_| {
                let mut out = vec![0.0f32; N * N];
                matmul(N, N, N, &mut out, N, false, Matrix::rows(&a, N), Matrix::rows(&b, N));
                black_box(out);
            });
            start.elapsed().as_secs_f64()
        };
        let best = (0..20).map(|_| once()).fold(f64::INFINITY, f64::min);
        (2 * N * N * N * rayon::current_num_threads()) as f64 / best
    })
}

/// Wall time, whose throughput is operations a second.
struct Rate;

impl Measurement for Rate {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Shares
    }
}

/// Milliseconds, GFLOP/s and the share of the peak.
struct Shares;

impl ValueFormatter for Shares {
    fn format_throughput(&self, throughput: &Throughput, nanoseconds: f64) -> String {
        match throughput {
            Throughput::Elements(flops) => {
                let rate = *flops as f64 / nanoseconds;
                format!("{rate:.1} GFLOP/s = {:.0} % of products", 100.0 * rate * 1e9 / peak())
            }
            _ => self.format_value(nanoseconds),
        }
    }

    fn scale_values(&self, _: f64, values: &mut [f64]) -> &'static str {
        values.iter_mut().for_each(|v| *v /= 1e6);
        "ms"
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        if let Throughput::Elements(flops) = throughput {
            values.iter_mut().for_each(|v| *v = *flops as f64 / *v);
        }
        "GFLOP/s"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}
