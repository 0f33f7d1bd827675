//! DeepLIFT: the map sums to the score's difference from the baseline, whatever operations lie between, and agrees with
//! the reference maps of development (`../shared`, where it is there).

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, explain, input, number, pool, residual, sum};
use crate::reference;
use convscope_engine::data::load_tensor;
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Activation, Binary, Reduction, Window};
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::baseline::{Baseline, Baselines};
use convscope_engine::probes::attribution::deep_lift::DeepLift;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Job, Model, Subject, Tensor};
use std::path::Path;

/// A convolution, what `middle` adds, an overlapping max pool, and a head.
fn around(shape: &[usize], middle: impl FnOnce(&mut Net)) -> Model {
    let mut n = Net::new(shape, 0.2);
    n.conv("conv", 6, Window::square(3, 1, 1), 1);
    middle(&mut n);
    n.then("pool 3/2", Op::MaxPool(pool(3, 2, 1)));
    n.head(4);
    n.model()
}

fn activations() -> Vec<Activation> {
    use Activation::*;
    vec![
        Relu,
        Activation::RELU6,
        Clip { low: -0.5, high: 0.5 },
        LeakyRelu(0.1),
        Elu(1.0),
        Selu { alpha: 1.67, scale: 1.05 },
        Sigmoid,
        HardSigmoid { slope: 0.2, offset: 0.5 },
        HardSwish,
        Silu,
        Mish,
        Gelu { tanh: false },
        Gelu { tanh: true },
        Softplus,
        Softsign,
        Tanh,
        Erf,
        Exp,
        Abs,
        Neg,
        Pow(2.0),
    ]
}

/// Nets with each operation that is not linear.
fn bent() -> Vec<(String, Model)> {
    let mut all = vec![("residual".to_string(), residual(0.1))];
    for f in activations() {
        all.push((
            f.kind().to_string(),
            around(&[2, 9, 8], |n| {
                n.then("f", Op::Activation(f));
            }),
        ));
    }
    // Of positive values only.
    for f in [Activation::Log, Activation::Sqrt, Activation::Reciprocal] {
        let middle = |n: &mut Net| {
            n.then("softplus", Op::Activation(Activation::Softplus));
            n.then("f", Op::Activation(f));
        };
        all.push((f.kind().to_string(), around(&[2, 9, 8], middle)));
    }
    for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min] {
        let middle = |n: &mut Net| {
            let from = n.at;
            let a = n.conv("a", 6, Window::square(3, 1, 1), 1);
            n.at = from;
            n.conv("b", 6, Window::square(1, 1, 0), 1);
            let b = n.then("softplus", Op::Activation(Activation::Softplus));
            n.add("f", Op::Binary(f), &[a, b]);
        };
        all.push((Op::Binary(f).kind().to_string(), around(&[2, 9, 8], middle)));
    }
    all.push((
        "squeeze and excitation".into(),
        around(&[2, 9, 8], |n| {
            let from = n.relu("relu");
            n.then("squeeze", Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true });
            n.conv("down", 3, Window::square(1, 1, 0), 1);
            n.relu("relu2");
            n.conv("up", 6, Window::square(1, 1, 0), 1);
            let gate = n.then("gate", Op::Activation(Activation::Sigmoid));
            n.add("scaled", Op::Binary(Binary::Mul), &[from, gate]);
        }),
    ));
    all.push((
        "learned slope".into(),
        around(&[2, 9, 8], |n| {
            let from = n.at;
            let slope = n.random("slope", &[6, 1, 1], 0.3, 0.0);
            let slope = n.add("slope", Op::Constant(slope), &[]);
            n.add("prelu", Op::Binary(Binary::Prelu), &[from, slope]);
            let (a, b) = (n.at, from);
            n.add("slope of its own", Op::Binary(Binary::Prelu), &[a, b]);
        }),
    ));
    for log in [false, true] {
        all.push((
            format!("softmax, log {log}"),
            around(&[2, 9, 8], |n| {
                n.then("softmax", Op::Softmax { axis: 0, log });
            }),
        ));
    }
    all.push((
        "layer norm".into(),
        around(&[2, 9, 8], |n| {
            n.then("last", Op::Transpose(vec![1, 2, 0]));
            let (scale, shift) = (n.random("scale", &[6], 0.5, 1.0), n.random("shift", &[6], 0.5, 0.0));
            n.then("norm", Op::LayerNorm { axis: 2, scale, shift: Some(shift), eps: 1e-5 });
            n.then("first", Op::Transpose(vec![2, 0, 1]));
        }),
    ));
    all.push((
        "group norm".into(),
        around(&[2, 9, 8], |n| {
            let (scale, shift) = (n.random("scale", &[6], 0.5, 1.0), n.random("shift", &[6], 0.5, 0.0));
            n.then("norm", Op::GroupNorm { groups: 2, scale, shift, eps: 1e-5 });
        }),
    ));
    all.push((
        "local response norm".into(),
        around(&[2, 9, 8], |n| {
            n.then("norm", Op::LocalResponseNorm { size: 4, alpha: 0.8, beta: 0.75, bias: 1.0 });
        }),
    ));
    all.push((
        "attention".into(),
        around(&[2, 6, 6], |n| {
            n.then("tokens", Op::Reshape(vec![6, 36]));
            n.then("rows", Op::Transpose(vec![1, 0]));
            let from = n.at;
            let q = n.linear("q", 4);
            n.at = from;
            n.linear("k", 4);
            let k = n.then("k/t", Op::Transpose(vec![1, 0]));
            n.add("scores", Op::MatMul, &[q, k]);
            let a = n.then("attention", Op::Softmax { axis: 1, log: false });
            n.at = from;
            let v = n.linear("v", 6);
            n.add("mixed", Op::MatMul, &[a, v]);
            n.then("columns", Op::Transpose(vec![1, 0]));
            n.then("map", Op::Reshape(vec![6, 6, 6]));
        }),
    ));
    all.push((
        "largest of each channel".into(),
        around(&[2, 9, 8], |n| {
            let from = n.relu("relu");
            let top = n.then("top", Op::Reduce { reduction: Reduction::Max, axes: vec![1, 2], keep: true });
            n.add("sum", Op::Binary(Binary::Add), &[from, top]);
        }),
    ));
    all
}

#[test]
fn deep_lift_is_complete() {
    let baselines = [Baseline::Zero, Baseline::Constant(0.7), Baseline::Random, Baseline::Blur];
    let mut wrong = Vec::new();
    for (name, model) in bent() {
        for (dtype, limit) in [(DType::F64, 1e-5), (DType::F32, 1e-4)] {
            let model = model.to_dtype(dtype).unwrap();
            let x = input(&model, "photo");
            for baseline in &baselines {
                let probe = DeepLift::new().baseline(Baselines(vec![baseline.clone()]));
                for index in 0..4 {
                    let a = explain(&probe, &Subject::Class { model: model.clone(), index }, &x);
                    let delta = number(&a, "delta").abs() / sum(&a).abs().max(1.0);
                    if delta.is_nan() || delta > limit {
                        wrong.push(format!("{name} {dtype:?} {baseline:?} class {index}: {delta:e} of {}", sum(&a)));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn deep_lift_averages_baselines_and_takes_batches() {
    let model = residual(0.1);
    let (x, y) = (input(&model, "one"), input(&model, "two"));
    let on = Subject::Class { model, index: 2 };
    let map = |baselines: Vec<Baseline>, x: &Tensor| {
        let probe = DeepLift::new().baseline(Baselines(baselines));
        to_f64(&probe.attribute(&on, x, &Job::new()).unwrap()).unwrap()
    };
    let both = map(vec![Baseline::Zero, Baseline::Constant(1.0)], &x);
    let (zero, one) = (map(vec![Baseline::Zero], &x), map(vec![Baseline::Constant(1.0)], &x));
    assert!(both.iter().zip(zero.iter().zip(&one)).all(|(b, (z, o))| (b - (z + o) / 2.0).abs() < 1e-12));
    let stacked = map(vec![Baseline::Zero], &Tensor::cat(&[&x, &y], 0).unwrap());
    assert_eq!(stacked, [zero, map(vec![Baseline::Zero], &y)].concat());
}

/// The array called `name` in a .npz file.
fn array(npz: &Path, name: &str) -> Option<Vec<f32>> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(npz).unwrap()).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut archive.by_name(&format!("{name}.npy")).ok()?, &mut bytes).unwrap();
    Some(convscope_engine::data::npy::read(&bytes).unwrap().flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn agrees_with_captum_on_real_nets() {
    let Some(data) = reference::data("") else { return };
    let oracle = data.join("oracle");
    let mut seen = 0;
    for net in ["efficientnet-lite0", "mobilenet_v1_0.25_224", "resnet20-cifar10", "squeezenet1.1"] {
        let folder = oracle.join(net);
        let told: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("meta.json")).unwrap()).unwrap();
        let model = load(data.join(format!("nets/{net}.onnx")), &Options::default()).unwrap();
        for photo in told["photos"].as_array().unwrap() {
            let (name, index) = (photo[0].as_str().unwrap(), photo[1].as_u64().unwrap() as usize);
            let x = load_tensor(folder.join(format!("{name}.input.npy"))).unwrap();
            let found = explain(&DeepLift::new(), &Subject::Class { model: model.clone(), index }, &x);
            let delta = number(&found, "delta").abs() / sum(&found).abs();
            assert!(delta < 1e-4, "{net} {name}: {delta:e} of {}", sum(&found));
            let Some(want) = array(&folder.join(format!("{name}.npz")), "deep_lift") else {
                println!("{net} {name}: sums to {}, delta {delta:.1e}", sum(&found));
                continue;
            };
            seen += 1;
            let ours: Vec<f32> = found.value().unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let largest = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let mut errors: Vec<f32> = ours.iter().zip(&want).map(|(a, b)| (a - b).abs() / largest).collect();
            errors.sort_by(f32::total_cmp);
            let (most, worst) = (errors[errors.len() * 999 / 1000], errors[errors.len() - 1]);
            println!("{net} {name}: delta {delta:.1e}, 99.9 % within {most:.1e}, all within {worst:.1e}");
            assert!(most < 2e-3 && worst < 2e-2, "{net} {name}: {most:e}, {worst:e}");
        }
    }
    assert!(seen > 0);
}
