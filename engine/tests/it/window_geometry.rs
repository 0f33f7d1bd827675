//! Convolutions and pools over generated geometries against their definitions, written as plain loops.

#![allow(clippy::unwrap_used)]

use convscope_engine::graph::op::{Conv, Padding, Pool, Window};
use convscope_engine::graph::{Builder, Op, ParamId};
use convscope_engine::model::Card;
use convscope_engine::random::Stream;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Device, Model, Tensor};

const PROBLEMS: usize = 400;

/// A generated problem: a window over a map, with batch and channels.
#[derive(Clone, Debug)]
struct Problem {
    batch: usize,
    channels: usize,
    size: [usize; 2],
    window: Window,
}

impl Problem {
    fn next(rng: &mut Stream) -> Self {
        let mut below = |n: u64| rng.next_below(n) as usize;
        let (kernel, stride) = ([1 + below(4), 1 + below(4)], [1 + below(3), 1 + below(3)]);
        let dilation = [1 + below(2), 1 + below(3)];
        let span = [0, 1].map(|a| (kernel[a] - 1) * dilation[a] + 1);
        // Less padding than the window spans, or a pool could lie wholly in it.
        let mut pad = |a: usize| below(span[a] as u64);
        let padding = Padding { top: pad(0), left: pad(1), bottom: pad(0), right: pad(1) };
        let size = [0, 1].map(|a| span[a] + below(9));
        Problem {
            batch: 1 + below(2),
            channels: 1 + below(5),
            size,
            window: Window { kernel, stride, dilation, padding },
        }
    }

    fn input(&self, rng: &mut Stream) -> Vec<f64> {
        random(self.batch * self.channels * self.size[0] * self.size[1], rng)
    }

    /// Positions along an axis: those whose window lies inside the padded map; in ceil mode also a last one that begins
    /// inside the map or the padding before it.
    fn positions(&self, a: usize, ceil: bool) -> usize {
        let p = self.window.padding;
        let (before, after) = [(p.top, p.bottom), (p.left, p.right)][a];
        let padded = self.size[a] + before + after;
        let whole = (0..).take_while(|i| i * self.window.stride[a] + self.window.span()[a] <= padded).count();
        let reaches = (whole - 1) * self.window.stride[a] + self.window.span()[a];
        let more = ceil && reaches < padded && whole * self.window.stride[a] < self.size[a] + before;
        whole + usize::from(more)
    }

    /// For output (y, x) each tap with the input pixel under it, none in the padding.
    fn taps(&self, y: usize, x: usize) -> Vec<([usize; 2], Option<[usize; 2]>)> {
        let w = self.window;
        let mut all = Vec::new();
        for i in 0..w.kernel[0] {
            for j in 0..w.kernel[1] {
                let row = (y * w.stride[0] + i * w.dilation[0]) as isize - w.padding.top as isize;
                let column = (x * w.stride[1] + j * w.dilation[1]) as isize - w.padding.left as isize;
                let inside = (0..self.size[0] as isize).contains(&row) && (0..self.size[1] as isize).contains(&column);
                all.push(([i, j], inside.then_some([row as usize, column as usize])));
            }
        }
        all
    }

    fn pixel(&self, x: &[f64], n: usize, c: usize, [row, column]: [usize; 2]) -> f64 {
        x[((n * self.channels + c) * self.size[0] + row) * self.size[1] + column]
    }
}

fn random(n: usize, rng: &mut Stream) -> Vec<f64> {
    (0..n).map(|_| 2.0 * rng.next_uniform() - 1.0).collect()
}

/// The value of one operation over `x`, in f64 and in f32.
fn values(problem: &Problem, x: &[f64], make: impl Fn(&mut Builder) -> Op) -> [Vec<f64>; 2] {
    let mut b = Builder::new();
    let input = b.input("x", vec![problem.channels, problem.size[0], problem.size[1]]).unwrap();
    // A factor of one in f64 makes every net compute in f64.
    let one = b.param("one", Tensor::new(1f64, &Device::Cpu).unwrap()).unwrap();
    let one = b.add("one", Op::Constant(one), &[]).unwrap();
    let scaled = b.add("scaled", Op::Binary(convscope_engine::graph::op::Binary::Mul), &[input, one]).unwrap();
    let op = make(&mut b);
    let y = b.add("y", op, &[scaled]).unwrap();
    let (graph, weights) = b.finish(y).unwrap();
    let model = Model::new(graph, weights, Card::named("problem"));
    let dims = [problem.batch, problem.channels, problem.size[0], problem.size[1]];
    let x = Tensor::from_slice(x, &dims, &Device::Cpu).unwrap();
    [DType::F64, DType::F32].map(|t| to_f64(&model.to_dtype(t).unwrap().output(&x).unwrap()).unwrap())
}

fn close(what: &dyn std::fmt::Debug, ours: [Vec<f64>; 2], wanted: &[f64]) {
    for (ours, limit) in ours.into_iter().zip([1e-12, 1e-5]) {
        assert_eq!(ours.len(), wanted.len(), "{what:?}");
        for (i, (a, b)) in ours.iter().zip(wanted).enumerate() {
            assert!((a - b).abs() <= limit * (1.0 + b.abs()), "{what:?}: value {i} is {a}, wanted {b}");
        }
    }
}

fn param(b: &mut Builder, values: &[f64], dims: &[usize]) -> ParamId {
    b.param("p", Tensor::from_slice(values, dims, &Device::Cpu).unwrap()).unwrap()
}

#[test]
fn convolutions() {
    let mut rng = Stream::new(1, "convolutions");
    for _ in 0..PROBLEMS {
        let mut p = Problem::next(&mut rng);
        let groups = 1 + rng.next_below(p.channels as u64) as usize;
        p.channels = p.channels.next_multiple_of(groups);
        let each = 1 + rng.next_below(3) as usize;
        let (out, inner, [kh, kw]) = (groups * each, p.channels / groups, p.window.kernel);
        let x = p.input(&mut rng);
        let weight = random(out * inner * kh * kw, &mut rng);
        let bias = random(out, &mut rng);
        let mut wanted = Vec::new();
        for n in 0..p.batch {
            for o in 0..out {
                for oy in 0..p.positions(0, false) {
                    for ox in 0..p.positions(1, false) {
                        let mut sum = bias[o];
                        for c in 0..inner {
                            for ([i, j], pixel) in p.taps(oy, ox) {
                                let w = weight[((o * inner + c) * kh + i) * kw + j];
                                sum += pixel.map_or(0.0, |at| w * p.pixel(&x, n, o / each * inner + c, at));
                            }
                        }
                        wanted.push(sum);
                    }
                }
            }
        }
        let ours = values(&p, &x, |b| {
            let weight = param(b, &weight, &[out, inner, kh, kw]);
            let bias = Some(param(b, &bias, &[out]));
            Op::Conv2d(Conv { weight, bias, window: p.window, groups })
        });
        close(&(&p, groups, out), ours, &wanted);
    }
}

#[test]
fn transposed_convolutions() {
    let mut rng = Stream::new(2, "transposed convolutions");
    for _ in 0..PROBLEMS {
        let mut p = Problem::next(&mut rng);
        let groups = 1 + rng.next_below(p.channels as u64) as usize;
        p.channels = p.channels.next_multiple_of(groups);
        let each = 1 + rng.next_below(3) as usize;
        let (out, inner, w) = (groups * each, p.channels / groups, p.window);
        let extra = [0, 1].map(|a| rng.next_below(w.stride[a] as u64) as usize);
        let pads = [(w.padding.top, w.padding.bottom), (w.padding.left, w.padding.right)];
        let full = [0, 1].map(|a| (p.size[a] - 1) * w.stride[a] + w.span()[a] + extra[a]);
        if (0..2).any(|a| full[a] <= pads[a].0 + pads[a].1) {
            continue;
        }
        let size = [0, 1].map(|a| full[a] - pads[a].0 - pads[a].1);
        let [kh, kw] = w.kernel;
        let x = p.input(&mut rng);
        let weight = random(p.channels * each * kh * kw, &mut rng);
        let bias = random(out, &mut rng);
        let mut wanted: Vec<f64> =
            (0..p.batch * out * size[0] * size[1]).map(|i| bias[i / (size[0] * size[1]) % out]).collect();
        for (n, c) in (0..p.batch).flat_map(|n| (0..p.channels).map(move |c| (n, c))) {
            for (y, column) in (0..p.size[0]).flat_map(|y| (0..p.size[1]).map(move |x| (y, x))) {
                for (k, (i, j)) in (0..each).flat_map(|k| (0..kh * kw).map(move |t| (k, (t / kw, t % kw)))) {
                    let row = (y * w.stride[0] + i * w.dilation[0]).checked_sub(pads[0].0).filter(|r| *r < size[0]);
                    let col = (column * w.stride[1] + j * w.dilation[1]).checked_sub(pads[1].0);
                    let (Some(row), Some(col)) = (row, col.filter(|q| *q < size[1])) else { continue };
                    let o = c / inner * each + k;
                    wanted[((n * out + o) * size[0] + row) * size[1] + col] +=
                        weight[((c * each + k) * kh + i) * kw + j] * p.pixel(&x, n, c, [y, column]);
                }
            }
        }
        let ours = values(&p, &x, |b| {
            let weight = param(b, &weight, &[p.channels, each, kh, kw]);
            let bias = Some(param(b, &bias, &[out]));
            Op::ConvTranspose2d(Conv { weight, bias, window: w, groups }, extra)
        });
        close(&(&p, groups, out, extra), ours, &wanted);
    }
}

#[test]
fn pools() {
    let mut rng = Stream::new(3, "pools");
    for _ in 0..PROBLEMS {
        let p = Problem::next(&mut rng);
        let (ceil, count_padding) = (rng.next_below(2) == 1, rng.next_below(2) == 1);
        let x = p.input(&mut rng);
        let pad = p.window.padding;
        // What padding covers counts for the mean if asked for; what lies behind it never does.
        let end = [p.size[0] + pad.top + pad.bottom, p.size[1] + pad.left + pad.right];
        let (mut largest, mut mean) = (Vec::new(), Vec::new());
        for (n, c) in (0..p.batch).flat_map(|n| (0..p.channels).map(move |c| (n, c))) {
            for oy in 0..p.positions(0, ceil) {
                for ox in 0..p.positions(1, ceil) {
                    let taps = p.taps(oy, ox);
                    let under: Vec<f64> =
                        taps.iter().filter_map(|(_, at)| at.map(|at| p.pixel(&x, n, c, at))).collect();
                    let counted = taps.iter().filter(|([i, j], at)| {
                        let place = |a: usize, o: usize, k: usize| o * p.window.stride[a] + k * p.window.dilation[a];
                        at.is_some() || (count_padding && place(0, oy, *i) < end[0] && place(1, ox, *j) < end[1])
                    });
                    largest.push(under.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                    mean.push(under.iter().sum::<f64>() / counted.count() as f64);
                }
            }
        }
        // With dilation a window may step over the map: PyTorch's maximum is then minus infinity, its mean 0 / 0.
        if largest.contains(&f64::NEG_INFINITY) {
            continue;
        }
        let pool = Pool { window: p.window, ceil, count_padding };
        close(&(&p, ceil), values(&p, &x, |_| Op::MaxPool(pool)), &largest);
        close(&(&p, ceil, count_padding), values(&p, &x, |_| Op::AvgPool(pool)), &mean);
    }
}
