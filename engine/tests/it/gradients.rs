//! The gradient of every operation is what central differences in f64 say it is: alone, strided, dilated, grouped,
//! padded unevenly, broadcast, overlapping, forked. Values keep away from kinks; `kinks` has those.

#![allow(clippy::unwrap_used)]

mod kinks;
mod nets;

use convscope_engine::graph::op::{Activation, Binary, Reduction};
use convscope_engine::graph::{Builder, NodeId, Op, ParamId};
use convscope_engine::model::Card;
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Device, Model, Tensor};
use nets::{binaries, convolutions, forks, functions, gates, moves, norms, pools, powers, ranks};
use std::collections::BTreeSet;

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
    gates(&mut seen);
    ranks(&mut seen);
    norms(&mut seen);
    moves(&mut seen);
    forks(&mut seen);
    let missing: Vec<&&str> = KINDS.iter().filter(|k| !seen.contains(**k)).collect();
    assert!(missing.is_empty(), "no gradient is checked for {missing:?}");
}

/// Every kind of operation. A new one stops `listed` from compiling: add it here and to `nets`.
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
            Binary::Pow | Binary::Gate => {}
        },
        Op::MaxPool(_) | Op::AvgPool(_) | Op::Softmax { .. } | Op::Concat { .. } | Op::Select { .. } => {}
        Op::Reduce { reduction, .. } => match reduction {
            Reduction::Sum | Reduction::Mean | Reduction::Max => {}
        },
        Op::Reshape(_) | Op::Transpose(_) | Op::Pad { .. } | Op::Resize { .. } | Op::Identity => {}
        Op::Order { .. } | Op::Pick { .. } => {}
    }
}
