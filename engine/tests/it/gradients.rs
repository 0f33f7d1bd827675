//! The gradient of every operation is what central differences in f64 say it is: alone, strided, dilated, grouped,
//! padded unevenly, broadcast, overlapping, forked. Values keep away from kinks; ties have a test of their own.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use convscope_engine::graph::op::{
    Activation, Alignment, Binary, Border, Conv, Elementary, Padding, Pool, Reduction, Sampling, Window,
};
use convscope_engine::graph::{Builder, NodeId, Op, ParamId};
use convscope_engine::model::Card;
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Device, Model, Tensor};

const STEP: f64 = 1e-5;
const LIMIT: f64 = 1e-6;
const BATCH: usize = 2;

/// A net under construction and the kinds of operation seen in all of them.
struct Net {
    builder: Builder,
    rng: Stream,
}

impl Net {
    /// A parameter of values around `centre`, at most `spread` away.
    fn param(&mut self, dims: &[usize], centre: f64, spread: f64) -> ParamId {
        let n = dims.iter().product();
        let values: Vec<f64> = (0..n).map(|_| centre + spread * (2.0 * self.rng.next_uniform() - 1.0)).collect();
        self.builder.param("p", Tensor::from_vec(values, dims, &Device::Cpu).unwrap()).unwrap()
    }

    fn constant(&mut self, dims: &[usize], centre: f64, spread: f64) -> NodeId {
        let p = self.param(dims, centre, spread);
        self.builder.add("c", Op::Constant(p), &[]).unwrap()
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.builder.add("n", op, inputs).unwrap()
    }
}

/// Runs `build` over an input of `shape` and compares; `from`..`to` is the range of the input's values, of which no two
/// are equal and none is within a thousandth of zero.
fn check(
    what: &str,
    shape: &[usize],
    [from, to]: [f64; 2],
    seen: &mut BTreeSet<&'static str>,
    build: impl Fn(&mut Net, NodeId) -> NodeId,
) {
    let mut net = Net { builder: Builder::new(), rng: Stream::new(7, what) };
    let input = net.builder.input("x", shape.to_vec()).unwrap();
    // A factor of one in f64 makes every net compute in f64, those without parameters too.
    let one = net.constant(&[1], 1.0, 0.0);
    let x = net.add(Op::Binary(Binary::Mul), &[input, one]);
    let output = build(&mut net, x);
    let Net { builder, mut rng } = net;
    let (graph, weights) = builder.finish(output).unwrap();
    seen.extend(graph.nodes().iter().map(|n| n.op.kind()));
    let model = Model::new(graph, weights, Card::named(what));
    let n = BATCH * shape.iter().product::<usize>();
    let order = rng.permutation(n);
    let place = |i: usize| from + (to - from) * (order[i] as f64 + 0.5) / n as f64;
    let values: Vec<f64> = (0..n).map(|i| if place(i).abs() < 1e-3 { place(i) + 2e-3 } else { place(i) }).collect();
    compare(what, &model, &values, &mut rng);
}

fn compare(what: &str, model: &Model, x: &[f64], rng: &mut Stream) {
    let dims: Vec<usize> = std::iter::once(BATCH).chain(model.input_shape().iter().copied()).collect();
    let tensor = |v: &[f64]| Tensor::from_slice(v, dims.as_slice(), &Device::Cpu).unwrap();
    let id = model.graph().output();
    let trace = model.forward(&tensor(x), &Tap::All).unwrap();
    let y = trace.get(id).unwrap();
    let weights: Vec<f64> = (0..y.elem_count()).map(|_| 2.0 * rng.next_uniform() - 1.0).collect();
    let seed = Tensor::from_slice(&weights, y.dims(), &Device::Cpu).unwrap();
    let flow = trace.backward_to(model.graph().input(), vec![(id, seed)], &Rules::gradient()).unwrap();
    let ours = to_f64(&flow).unwrap();
    let value = |v: &[f64]| -> f64 {
        let trace = model.forward(&tensor(v), &Tap::Only(vec![id])).unwrap();
        to_f64(trace.get(id).unwrap()).unwrap().iter().zip(&weights).map(|(y, w)| y * w).sum()
    };
    let theirs: Vec<f64> = (0..x.len())
        .map(|i| {
            let moved = |by: f64| {
                let mut v = x.to_vec();
                v[i] += by;
                value(&v)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
        })
        .collect();
    let largest = theirs.iter().fold(1e-6, |m: f64, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!((a - b).abs() <= LIMIT * largest, "{what}: d/dx[{i}] is {b}, got {a} (largest {largest})");
    }
}

const MAP: &[usize] = &[4, 6, 5];
const WIDE: [f64; 2] = [-2.0, 2.0];

#[test]
fn every_operation() {
    let mut seen = BTreeSet::new();
    convolutions(&mut seen);
    pools(&mut seen);
    functions(&mut seen);
    binaries(&mut seen);
    powers(&mut seen);
    ranks(&mut seen);
    norms(&mut seen);
    moves(&mut seen);
    forks(&mut seen);
    let missing: Vec<&&str> = KINDS.iter().filter(|k| !seen.contains(**k)).collect();
    assert!(missing.is_empty(), "no gradient is checked for {missing:?}");
}

/// Every kind of operation. A new one stops `listed` from compiling: add it here and to the nets below.
const KINDS: &[&str] = &[
    "input",
    "constant",
    "conv2d",
    "conv_transpose2d",
    "linear",
    "matmul",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "local_response_norm",
    "relu",
    "relu6",
    "clip",
    "leaky_relu",
    "thresholded_relu",
    "step",
    "celu",
    "swish",
    "log_sigmoid",
    "tanhshrink",
    "shrink",
    "elu",
    "selu",
    "sigmoid",
    "hard_sigmoid",
    "hard_swish",
    "silu",
    "mish",
    "gelu",
    "softplus",
    "softsign",
    "tanh",
    "erf",
    "exp",
    "log",
    "sqrt",
    "abs",
    "neg",
    "reciprocal",
    "pow",
    "add",
    "sub",
    "mul",
    "div",
    "max",
    "min",
    "prelu",
    "max_pool",
    "avg_pool",
    "reduce_sum",
    "reduce_mean",
    "reduce_max",
    "softmax",
    "log_softmax",
    "concat",
    "select",
    "reshape",
    "transpose",
    "power",
    "sort",
    "argsort",
    "pick",
    "quantise",
    "pad",
    "resize",
    "identity",
];

#[allow(dead_code)]
fn listed(op: &Op) {
    match op {
        Op::Input | Op::Constant(_) | Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. } | Op::MatMul => {}
        Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::GroupNorm { .. } | Op::LocalResponseNorm { .. } => {}
        Op::Activation(f) => match f {
            Activation::Relu | Activation::Clip { .. } | Activation::LeakyRelu(_) | Activation::Elu(_) => {}
            Activation::ThresholdedRelu(_) | Activation::Selu { .. } | Activation::Sigmoid | Activation::Tanh => {}
            Activation::HardSigmoid { .. } | Activation::HardSwish | Activation::Silu | Activation::Mish => {}
            Activation::Gelu { .. } | Activation::Softplus | Activation::Softsign | Activation::Erf => {}
            Activation::Exp | Activation::Log | Activation::Sqrt | Activation::Abs | Activation::Neg => {}
            Activation::Reciprocal | Activation::Pow(_) | Activation::Step(_) | Activation::Celu(_) => {}
            Activation::Swish(_) | Activation::LogSigmoid | Activation::Tanhshrink | Activation::Shrink { .. } => {}
            Activation::Elementary(_) | Activation::Quantise { .. } => {}
        },
        Op::Binary(f) => match f {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min | Binary::Prelu => {}
            Binary::Pow => {}
        },
        Op::MaxPool(_) | Op::AvgPool(_) | Op::Softmax { .. } | Op::Concat { .. } | Op::Select { .. } => {}
        Op::Reduce { reduction, .. } => match reduction {
            Reduction::Sum | Reduction::Mean | Reduction::Max => {}
        },
        Op::Reshape(_) | Op::Transpose(_) | Op::Pad { .. } | Op::Resize { .. } | Op::Identity => {}
        Op::Order { .. } | Op::Pick { .. } => {}
    }
}

fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], p: [usize; 4]) -> Window {
    let [top, left, bottom, right] = p;
    Window { kernel, stride, dilation, padding: Padding { top, left, bottom, right } }
}

fn convolutions(seen: &mut BTreeSet<&'static str>) {
    // outputs, groups, kernel, stride, dilation, padding
    for (what, out, groups, w) in [
        ("conv", 3, 1, window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1])),
        ("conv 1x1", 5, 1, window([1, 1], [1, 1], [1, 1], [0; 4])),
        ("conv 1x1 strided", 5, 1, window([1, 1], [2, 3], [1, 1], [0; 4])),
        ("conv strided", 3, 1, window([3, 2], [2, 3], [1, 1], [0, 1, 1, 0])),
        ("conv dilated", 3, 1, window([2, 3], [1, 2], [3, 2], [2, 1, 0, 3])),
        ("conv whole", 7, 1, window([6, 5], [1, 1], [1, 1], [0; 4])),
        ("conv grouped", 6, 2, window([3, 3], [2, 1], [1, 1], [1, 0, 0, 1])),
        ("depthwise", 4, 4, window([3, 3], [1, 2], [1, 1], [1, 1, 1, 1])),
        ("depthwise twofold", 8, 4, window([3, 2], [2, 1], [2, 1], [2, 0, 1, 1])),
        ("conv beyond padding", 2, 1, window([2, 2], [3, 3], [1, 1], [4, 5, 3, 4])),
    ] {
        check(what, MAP, WIDE, seen, |net, x| {
            let weight = net.param(&[out, 4 / groups, w.kernel[0], w.kernel[1]], 0.0, 1.0);
            let bias = Some(net.param(&[out], 0.0, 1.0));
            net.add(Op::Conv2d(Conv { weight, bias, window: w, groups }), &[x])
        });
    }
    for (what, out, groups, w, extra) in [
        ("transposed", 3, 1, window([3, 3], [2, 2], [1, 1], [1, 0, 0, 1]), [0, 1]),
        ("transposed grouped", 6, 2, window([2, 3], [1, 3], [2, 1], [0, 1, 1, 0]), [0, 0]),
        ("transposed depthwise", 4, 4, window([3, 3], [2, 1], [1, 2], [1; 4]), [1, 0]),
    ] {
        check(what, &[4, 4, 3], WIDE, seen, |net, x| {
            let weight = net.param(&[4, out / groups, w.kernel[0], w.kernel[1]], 0.0, 1.0);
            let bias = Some(net.param(&[out], 0.0, 1.0));
            net.add(Op::ConvTranspose2d(Conv { weight, bias, window: w, groups }, extra), &[x])
        });
    }
    for (what, shape) in [("linear", vec![9]), ("linear over rows", vec![3, 4, 9])] {
        check(what, &shape, WIDE, seen, |net, x| {
            let (weight, bias) = (net.param(&[70, 9], 0.0, 1.0), Some(net.param(&[70], 0.0, 1.0)));
            net.add(Op::Linear { weight, bias }, &[x])
        });
    }
    check("matmul with itself", &[3, 4, 4], WIDE, seen, |net, x| {
        let turned = net.add(Op::Transpose(vec![0, 2, 1]), &[x]);
        net.add(Op::MatMul, &[x, turned])
    });
    check("matmul broadcast left", &[3, 4, 5], WIDE, seen, |net, x| {
        let c = net.constant(&[2, 1, 3, 4], 0.0, 1.0);
        net.add(Op::MatMul, &[c, x])
    });
    check("matmul broadcast right", &[1, 4, 5], WIDE, seen, |net, x| {
        let c = net.constant(&[3, 5, 2], 0.0, 1.0);
        net.add(Op::MatMul, &[x, c])
    });
}

fn pools(seen: &mut BTreeSet<&'static str>) {
    for (what, w, ceil) in [
        ("2x2", window([2, 2], [2, 2], [1, 1], [0; 4]), false),
        ("overlapping", window([3, 3], [1, 2], [1, 1], [1; 4]), false),
        ("ceil", window([3, 3], [2, 2], [1, 1], [0; 4]), true),
        ("ceil padded", window([3, 2], [2, 3], [1, 1], [1, 1, 0, 1]), true),
        ("uneven", window([2, 3], [1, 1], [1, 1], [0, 2, 1, 0]), false),
        ("dilated", window([2, 2], [1, 2], [3, 2], [1, 0, 2, 1]), false),
        ("apart", window([1, 2], [3, 3], [1, 1], [0; 4]), true),
        ("whole", window([6, 5], [1, 1], [1, 1], [0; 4]), false),
    ] {
        check(&format!("max pool {what}"), MAP, WIDE, seen, |net, x| {
            net.add(Op::MaxPool(Pool { window: w, ceil, count_padding: false }), &[x])
        });
        for count_padding in [false, true] {
            check(&format!("average pool {what} {count_padding}"), MAP, WIDE, seen, |net, x| {
                net.add(Op::AvgPool(Pool { window: w, ceil, count_padding }), &[x])
            });
        }
    }
    for reduction in [Reduction::Sum, Reduction::Mean, Reduction::Max] {
        for (axes, keep) in [(vec![1, 2], true), (vec![0], false), (vec![0, 2], false), (vec![0, 1, 2], true)] {
            check(&format!("{reduction:?} {axes:?}"), MAP, WIDE, seen, |net, x| {
                net.add(Op::Reduce { reduction, axes: axes.clone(), keep }, &[x])
            });
        }
    }
}

fn functions(seen: &mut BTreeSet<&'static str>) {
    let positive = [0.2, 3.0];
    for (f, range) in [
        (Activation::Relu, WIDE),
        (Activation::RELU6, [0.1, 5.9]),
        (Activation::RELU6, [6.1, 9.0]),
        (Activation::Clip { low: -1.01, high: 0.51 }, [-1.0, 0.5]),
        (Activation::Clip { low: -1.0, high: f64::INFINITY }, [-3.0, -1.1]),
        (Activation::LeakyRelu(0.2), WIDE),
        (Activation::ThresholdedRelu(0.7), [0.71, 2.0]),
        (Activation::ThresholdedRelu(0.7), [-2.0, 0.69]),
        (Activation::Elu(0.7), WIDE),
        (Activation::Step(0.7), [-2.0, 0.69]),
        (Activation::Step(0.7), [0.71, 2.0]),
        (Activation::Celu(1.5), WIDE),
        (Activation::Swish(1.702), [-8.0, 8.0]),
        (Activation::LogSigmoid, [-8.0, 8.0]),
        (Activation::Tanhshrink, WIDE),
        (Activation::Shrink { lambda: 0.5, bias: 0.3 }, [-2.0, -0.51]),
        (Activation::Shrink { lambda: 0.5, bias: 0.3 }, [-0.49, 0.49]),
        (Activation::Shrink { lambda: 0.5, bias: 0.3 }, [0.51, 2.0]),
        (Activation::Selu { alpha: 1.673, scale: 1.051 }, WIDE),
        (Activation::Sigmoid, [-8.0, 8.0]),
        (Activation::HardSigmoid { slope: 0.2, offset: 0.5 }, [-2.4, 2.4]),
        (Activation::HardSigmoid { slope: 0.2, offset: 0.5 }, [2.6, 5.0]),
        (Activation::HardSwish, [-2.9, 2.9]),
        (Activation::HardSwish, [3.1, 5.0]),
        (Activation::HardSwish, [-5.0, -3.1]),
        (Activation::Silu, [-8.0, 8.0]),
        (Activation::Mish, [-8.0, 8.0]),
        (Activation::Gelu { tanh: false }, [-4.0, 4.0]),
        (Activation::Gelu { tanh: true }, [-4.0, 4.0]),
        (Activation::Softplus, [-8.0, 8.0]),
        (Activation::Softsign, WIDE),
        (Activation::Tanh, WIDE),
        (Activation::Erf, WIDE),
        (Activation::Exp, WIDE),
        (Activation::Log, positive),
        (Activation::Sqrt, positive),
        (Activation::Abs, WIDE),
        (Activation::Neg, WIDE),
        (Activation::Reciprocal, positive),
        (Activation::Pow(2.0), WIDE),
        (Activation::Pow(3.0), WIDE),
        (Activation::Pow(1.0), WIDE),
        (Activation::Pow(0.0), WIDE),
        (Activation::Pow(-1.5), positive),
    ] {
        check(&format!("{f:?} over {range:?}"), &[3, 4, 5], range, seen, |net, x| net.add(Op::Activation(f), &[x]));
    }
    for f in Elementary::ALL {
        let range = match f {
            Elementary::Asin | Elementary::Acos | Elementary::Atanh => [-0.9, 0.9],
            Elementary::Acosh => [1.1, 3.0],
            Elementary::Tan => [-1.2, 1.2],
            // Between jumps, where the slope is zero.
            f if f.is_constant_between_jumps() => [0.55, 0.95],
            _ => WIDE,
        };
        let op = Op::Activation(Activation::Elementary(f));
        check(&format!("{f:?} over {range:?}"), &[3, 4, 5], range, seen, |net, x| net.add(op.clone(), &[x]));
    }
    // Without rounding there is a slope to compare with; what is clipped has none.
    for range in [[-5.9, 9.0], [-9.0, -6.2]] {
        let f = Activation::Quantise { scale: 0.05, zero: 3.0, low: -120.0, high: 300.0, rounds: false };
        check(&format!("{f:?} over {range:?}"), &[3, 4, 5], range, seen, |net, x| net.add(Op::Activation(f), &[x]));
    }
    for log in [false, true] {
        for axis in 0..3 {
            check(&format!("softmax {axis} {log}"), MAP, WIDE, seen, |net, x| net.add(Op::Softmax { axis, log }, &[x]));
        }
    }
}

fn binaries(seen: &mut BTreeSet<&'static str>) {
    for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Prelu] {
        // Constants lie apart from the input's range, so that no division is near zero and no maximum near a tie.
        for (dims, centre) in
            [(vec![4, 6, 5], 4.0), (vec![4, 1, 1], -3.0), (vec![5], 3.0), (vec![], 2.5), (vec![2, 4, 1, 5], 3.0)]
        {
            check(&format!("{f:?} with {dims:?}"), MAP, WIDE, seen, |net, x| {
                let c = net.constant(&dims, centre, 0.4);
                net.add(Op::Binary(f), &[x, c])
            });
            check(&format!("{f:?} of {dims:?}"), MAP, [0.3, 2.0], seen, |net, x| {
                let c = net.constant(&dims, centre, 0.4);
                net.add(Op::Binary(f), &[c, x])
            });
        }
        // Two values of the net, one of them broadcast.
        check(&format!("{f:?} of two"), MAP, [0.3, 2.0], seen, |net, x| {
            let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true }, &[x]);
            let far = net.constant(&[], 3.0, 0.0);
            let mean = net.add(Op::Binary(Binary::Add), &[mean, far]);
            net.add(Op::Binary(f), &[x, mean])
        });
    }
}

/// Powers: of the base for either sign where the exponent is whole, of the exponent where the base is positive.
fn powers(seen: &mut BTreeSet<&'static str>) {
    check("power of two", MAP, [0.3, 2.0], seen, |net, x| {
        let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true }, &[x]);
        net.add(Op::Binary(Binary::Pow), &[x, mean])
    });
    check("power of a constant", MAP, WIDE, seen, |net, x| {
        let c = net.constant(&[4, 1, 1], 3.0, 0.4);
        net.add(Op::Binary(Binary::Pow), &[c, x])
    });
}

/// Entries in order and entries picked at computed places.
fn ranks(seen: &mut BTreeSet<&'static str>) {
    for axis in 0..3 {
        for (k, largest) in [(1, true), (3, true), (2, false), (4, false)] {
            check(&format!("order {axis} {k} {largest}"), MAP, WIDE, seen, |net, x| {
                net.add(Op::Order { axis, k, largest, places: false }, &[x])
            });
            // The entries at the places are the entries in order; places alone have no slope.
            check(&format!("pick {axis} {k} {largest}"), MAP, WIDE, seen, |net, x| {
                let places = net.add(Op::Order { axis, k, largest, places: true }, &[x]);
                let squares = net.add(Op::Activation(Activation::Pow(2.0)), &[x]);
                net.add(Op::Pick { axis }, &[squares, places])
            });
        }
    }
    check("pick of a table", &[3, 4], WIDE, seen, |net, x| {
        let places = net.add(Op::Order { axis: 1, k: 2, largest: true, places: true }, &[x]);
        let line = net.add(Op::Reshape(vec![6, 1]), &[places]);
        let table = net.constant(&[4, 5], 0.0, 1.0);
        let rows = net.add(Op::Pick { axis: 0 }, &[table, line]);
        let sums = net.add(Op::Reduce { reduction: Reduction::Sum, axes: vec![0], keep: true }, &[rows]);
        let mean = net.add(Op::Reduce { reduction: Reduction::Mean, axes: vec![0, 1], keep: true }, &[x]);
        net.add(Op::Binary(Binary::Mul), &[sums, mean])
    });
}

/// A rounded value passes its signal on as if it were not rounded.
#[test]
fn rounding_passes_gradients_straight_through() {
    let mut builder = Builder::new();
    let input = builder.input("x", vec![4]).unwrap();
    let f = Activation::Quantise { scale: 0.5, zero: 10.0, low: 0.0, high: 12.0, rounds: true };
    let y = builder.add("q", Op::Activation(f), &[input]).unwrap();
    let (graph, weights) = builder.finish(y).unwrap();
    let model = Model::new(graph, weights, Card::named("q"));
    let x = Tensor::from_slice(&[-9f32, 0.25, 0.75, 1.9], (1, 4), &Device::Cpu).unwrap();
    let trace = model.forward(&x, &Tap::All).unwrap();
    // Halves go to the even integer; 1.9 / 0.5 = 3.8 is above what there is.
    assert_eq!(to_f64(trace.get(y).unwrap()).unwrap(), [0.0, 10.0, 12.0, 12.0]);
    let seed = Tensor::ones((1, 4), convscope_engine::DType::F32, &Device::Cpu).unwrap();
    let flow = trace.backward_to(input, vec![(y, seed)], &Rules::gradient()).unwrap();
    assert_eq!(to_f64(&flow).unwrap(), [0.0, 2.0, 2.0, 0.0]);
}

fn norms(seen: &mut BTreeSet<&'static str>) {
    for shape in [MAP, &[4]] {
        check("batch norm", shape, WIDE, seen, |net, x| {
            let (scale, shift) = (net.param(&[4], 1.0, 0.5), net.param(&[4], 0.0, 1.0));
            let (mean, var) = (net.param(&[4], 0.0, 1.0), net.param(&[4], 1.0, 0.5));
            net.add(Op::BatchNorm { scale, shift, mean, var, eps: 1e-3 }, &[x])
        });
    }
    for axis in 0..3 {
        check("layer norm", MAP, WIDE, seen, |net, x| {
            let scale = net.param(&MAP[axis..], 1.0, 0.5);
            let shift = (axis != 1).then(|| net.param(&MAP[axis..], 0.0, 1.0));
            net.add(Op::LayerNorm { axis, scale, shift, eps: 1e-3 }, &[x])
        });
    }
    for groups in [1, 2, 4] {
        check("group norm", MAP, WIDE, seen, |net, x| {
            let (scale, shift) = (net.param(&[4], 1.0, 0.5), net.param(&[4], 0.0, 1.0));
            net.add(Op::GroupNorm { groups, scale, shift, eps: 1e-3 }, &[x])
        });
    }
    for (size, channels) in [(1, 4), (2, 5), (3, 5), (4, 6), (5, 7), (11, 4)] {
        check("local response", &[channels, 3, 2], WIDE, seen, |net, x| {
            net.add(Op::LocalResponseNorm { size, alpha: 0.7, beta: 0.75, bias: 1.2 }, &[x])
        });
    }
}

fn moves(seen: &mut BTreeSet<&'static str>) {
    for axis in 0..3 {
        check("concat", MAP, WIDE, seen, |net, x| {
            let part = net.add(Op::Select { axis, index: [1, 2].into() }, &[x]);
            let mut dims = MAP.to_vec();
            dims[axis] = 3;
            let c = net.constant(&dims, 0.0, 1.0);
            net.add(Op::Concat { axis }, &[x, c, part, x])
        });
        check("select with repeats", MAP, WIDE, seen, |net, x| {
            net.add(Op::Select { axis, index: [3, 0, 3, 1, 3].into() }, &[x])
        });
    }
    check("reshape", MAP, WIDE, seen, |net, x| net.add(Op::Reshape(vec![8, 15]), &[x]));
    check("identity", MAP, WIDE, seen, |net, x| net.add(Op::Identity, &[x]));
    for perm in [[2, 0, 1], [0, 2, 1], [1, 2, 0]] {
        check("transpose", MAP, WIDE, seen, |net, x| net.add(Op::Transpose(perm.to_vec()), &[x]));
    }
    for border in [Border::Constant(0.5), Border::Reflect, Border::Edge] {
        for pads in [[(0, 0), (2, 1), (0, 3)], [(3, 1), (0, 0), (4, 4)], [(0, 0), (7, 0), (0, 9)]] {
            check("pad", &[4, 3, 5], WIDE, seen, |net, x| net.add(Op::Pad { pads: pads.to_vec(), border }, &[x]));
        }
    }
    for sampling in [Sampling::Nearest, Sampling::Linear] {
        for alignment in [Alignment::HalfPixel, Alignment::Corners, Alignment::Asymmetric] {
            for size in [[12, 10], [7, 13], [3, 2], [1, 1]] {
                let scale = [size[0] as f64 / 6.0, size[1] as f64 / 5.0];
                check(&format!("resize {sampling:?} {alignment:?} {size:?}"), MAP, WIDE, seen, |net, x| {
                    net.add(Op::Resize { size, scale, sampling, alignment }, &[x])
                });
            }
        }
    }
}

fn forks(seen: &mut BTreeSet<&'static str>) {
    check("a value used three times", MAP, WIDE, seen, |net, x| {
        let weight = net.param(&[4, 4, 3, 3], 0.0, 0.3);
        let conv = Op::Conv2d(Conv { weight, bias: None, window: Window::square(3, 1, 1), groups: 1 });
        let a = net.add(conv, &[x]);
        let b = net.add(Op::Activation(Activation::Tanh), &[a]);
        let c = net.add(Op::Binary(Binary::Mul), &[a, b]);
        let d = net.add(Op::Binary(Binary::Add), &[c, a]);
        let joined = net.add(Op::Concat { axis: 0 }, &[a, d, x]);
        net.add(Op::Activation(Activation::Sigmoid), &[joined])
    });
    check("a value times itself", MAP, WIDE, seen, |net, x| net.add(Op::Binary(Binary::Mul), &[x, x]));
}

/// Where values of a window are equal the first takes all of the signal, in row-major order; each window decides alone.
#[test]
fn ties_go_to_the_first() {
    let gradient = |op: Op| {
        let mut b = Builder::new();
        let x = b.input("x", vec![1, 2, 3]).unwrap();
        let y = b.add("y", op, &[x]).unwrap();
        let (graph, weights) = b.finish(y).unwrap();
        let model = Model::new(graph, weights, Card::named("ties"));
        let x = Tensor::ones((1, 1, 2, 3), convscope_engine::DType::F32, &Device::Cpu).unwrap();
        let trace = model.forward(&x, &Tap::All).unwrap();
        let id = model.graph().output();
        let seed = trace.get(id).unwrap().ones_like().unwrap();
        to_f64(&trace.backward_to(model.graph().input(), vec![(id, seed)], &Rules::gradient()).unwrap()).unwrap()
    };
    let pool = Pool { window: Window::square(2, 1, 0), ceil: false, count_padding: false };
    assert_eq!(gradient(Op::MaxPool(pool)), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let pool = Pool { window: Window::square(2, 2, 1), ..pool };
    assert_eq!(gradient(Op::MaxPool(pool)), [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    let all = Op::Reduce { reduction: Reduction::Max, axes: vec![1, 2], keep: false };
    assert_eq!(gradient(all), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

/// At a kink the slope is the one that PyTorch takes.
#[test]
fn kinks_are_pytorchs() {
    use convscope_engine::kernels::elementwise::derivative;
    for (f, x, wanted) in [
        (Activation::Relu, 0.0, 0.0),
        (Activation::RELU6, 0.0, 0.0),
        (Activation::RELU6, 6.0, 0.0),
        (Activation::LeakyRelu(0.1), 0.0, 0.1),
        (Activation::Abs, 0.0, 0.0),
        (Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 }, -3.0, 0.0),
    ] {
        assert_eq!(derivative(f, x), wanted, "{f:?} at {x}");
    }
}

/// Two convolutions reach two positions to each side: beyond, a unit's gradient is zero, in whatever tiles the kernels work and
/// whoever is in its batch.
#[test]
fn a_units_gradient_is_zero_where_it_does_not_reach() {
    const SIDE: usize = 40;
    let (mut b, mut rng) = (Builder::new(), Stream::new(8, "reach"));
    let mut at = b.input("x", vec![16, SIDE, SIDE]).unwrap();
    for (i, name) in ["first", "second"].into_iter().enumerate() {
        let dims = [[64, 16, 3, 3], [32, 64, 3, 3]][i];
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| rng.next_normal() as f32).collect();
        let weight = b.param(name, Tensor::from_vec(values, &dims, &Device::Cpu).unwrap()).unwrap();
        let conv = Op::Conv2d(Conv { weight, bias: None, window: Window::square(3, 1, 1), groups: 1 });
        at = b.add(name, conv, &[at]).unwrap();
    }
    let (graph, weights) = b.finish(at).unwrap();
    let model = Model::new(graph, weights, Card::named("reach"));
    let back = |seed: Vec<f32>| {
        let n = seed.len() / (32 * SIDE * SIDE);
        let x = Tensor::zeros((n, 16, SIDE, SIDE), convscope_engine::DType::F32, &Device::Cpu).unwrap();
        let trace = model.forward(&x, &Tap::All).unwrap();
        let seed = Tensor::from_vec(seed, (n, 32, SIDE, SIDE), &Device::Cpu).unwrap();
        let (from, to) = (model.graph().output(), model.graph().input());
        to_f64(&trace.backward_to(to, vec![(from, seed)], &Rules::gradient()).unwrap()).unwrap()
    };
    let unit = |y: usize, x: usize| {
        let mut seed = vec![0.0f32; 32 * SIDE * SIDE];
        seed[(3 * SIDE + y) * SIDE + x] = 1.0;
        seed
    };
    let everywhere: Vec<f32> = (0..32 * SIDE * SIDE).map(|_| rng.next_normal() as f32).collect();
    let seeds = [unit(17, 22), everywhere, unit(0, SIDE - 1)];
    let all = back(seeds.concat());
    for (seed, part) in seeds.iter().zip(all.chunks(16 * SIDE * SIDE)) {
        assert!(back(seed.clone()) == part);
    }
    for (n, [row, column]) in [(0, [17usize, 22usize]), (2, [0, SIDE - 1])] {
        for (i, value) in all[n * 16 * SIDE * SIDE..][..16 * SIDE * SIDE].iter().enumerate() {
            let (y, x) = (i / SIDE % SIDE, i % SIDE);
            let reached = y.abs_diff(row) <= 2 && x.abs_diff(column) <= 2;
            assert!(reached == (*value != 0.0), "sample {n}, row {y}, column {x}: {value}");
        }
    }
}
