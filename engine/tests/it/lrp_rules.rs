//! Every LRP rule crossed with every operation that it touches, against the rule's formula over explicit matrices.
//!
//! The matrix of an operation is read off its values at unit vectors, its bias off its value at zero; the formulas are
//! written here once more, one value at a time, after Montavon et al. 2019 and the definitions of Zennit.

#![allow(clippy::unwrap_used)]

use convscope_engine::graph::op::{Activation, Binary, Conv, Padding, Pool, Reduction, Window};
use convscope_engine::graph::{Builder, Op, ParamId};
use convscope_engine::kernels::rearrange::strides;
use convscope_engine::model::Card;
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::rules::lrp::RelevanceBudget;
use convscope_engine::rules::{LrpRule, On, Rule, Rules};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Model, Tensor};
use std::sync::Arc;

const E: f64 = 1e-6;
const LOW: [f64; 7] = [-1.5, -2.0, -1.25, -3.0, -1.0, -1.75, -2.25];
const HIGH: [f64; 7] = [2.5, 1.0, 1.75, 2.25, 1.5, 3.0, 1.25];

/// Numbers in -1..1.
fn random(n: usize, name: &str) -> Vec<f64> {
    let stream = Stream::new(7, name);
    (0..n).map(|i| 2.0 * stream.uniform_at(i as u64) - 1.0).collect()
}

fn weight(b: &mut Builder, name: &str, dims: &[usize]) -> ParamId {
    b.param(name, tensor(random(dims.iter().product(), name), dims).unwrap()).unwrap()
}

/// A net of one operation on an input of `shape`.
fn net(shape: &[usize], op: impl Fn(&mut Builder) -> Op) -> Model {
    let mut b = Builder::new();
    let x = b.input("x", shape.to_vec()).unwrap();
    let op = op(&mut b);
    let y = b.add("y", op, &[x]).unwrap();
    b.param("kind of number", tensor(vec![0.0f64], &[1]).unwrap()).unwrap();
    let (graph, weights) = b.finish(y).unwrap();
    Model::new(graph, weights, Card::named("one"))
}

fn conv(b: &mut Builder, dims: [usize; 4], window: Window, groups: usize, bias: Option<usize>) -> Conv {
    let bias = bias.map(|n| weight(b, "bias", &[n]));
    Conv { weight: weight(b, "weight", &dims), bias, window, groups }
}

fn batch_norm(b: &mut Builder, c: usize) -> Op {
    let var = tensor(random(c, "var").iter().map(|v| v + 1.5).collect::<Vec<f64>>(), &[c]).unwrap();
    Op::BatchNorm {
        scale: weight(b, "scale", &[c]),
        shift: weight(b, "shift", &[c]),
        mean: weight(b, "mean", &[c]),
        var: b.param("var", var).unwrap(),
        eps: 1e-5,
    }
}

/// Every operation with weights, or with fixed ones, and a name for it.
fn operations() -> Vec<(&'static str, Model)> {
    let skewed = Window {
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        padding: Padding { top: 1, left: 0, bottom: 2, right: 1 },
    };
    let pool = |count_padding: bool| Pool { window: Window::square(2, 2, 1), ceil: true, count_padding };
    let wide = |axes: Vec<usize>, reduction| Op::Reduce { reduction, axes, keep: false };
    vec![
        ("conv", net(&[3, 5, 6], |b| Op::Conv2d(conv(b, [4, 3, 3, 3], Window::square(3, 1, 1), 1, Some(4))))),
        ("conv without bias", net(&[3, 5, 6], |b| Op::Conv2d(conv(b, [4, 3, 3, 3], Window::square(3, 2, 1), 1, None)))),
        ("skewed conv", net(&[2, 6, 5], |b| Op::Conv2d(conv(b, [3, 2, 3, 2], skewed, 1, Some(3))))),
        ("grouped conv", net(&[4, 4, 5], |b| Op::Conv2d(conv(b, [6, 2, 3, 3], Window::square(3, 1, 1), 2, Some(6))))),
        ("depthwise conv", net(&[4, 5, 5], |b| Op::Conv2d(conv(b, [4, 1, 3, 3], Window::square(3, 2, 1), 4, Some(4))))),
        ("pointwise conv", net(&[4, 3, 3], |b| Op::Conv2d(conv(b, [3, 4, 1, 1], Window::square(1, 1, 0), 1, Some(3))))),
        (
            "transposed conv",
            net(&[4, 3, 4], |b| {
                Op::ConvTranspose2d(conv(b, [4, 2, 3, 3], Window::square(3, 2, 1), 2, Some(4)), [1, 1])
            }),
        ),
        (
            "linear",
            net(&[7], |b| Op::Linear { weight: weight(b, "weight", &[5, 7]), bias: Some(weight(b, "bias", &[5])) }),
        ),
        ("linear over rows", net(&[3, 4], |b| Op::Linear { weight: weight(b, "weight", &[5, 4]), bias: None })),
        ("batch norm", net(&[3, 2, 4], |b| batch_norm(b, 3))),
        ("average pool", net(&[2, 5, 5], |_| Op::AvgPool(pool(false)))),
        ("average pool over padding", net(&[2, 5, 5], |_| Op::AvgPool(pool(true)))),
        ("mean", net(&[3, 2, 2], |_| wide(vec![1, 2], Reduction::Mean))),
        ("sum", net(&[3, 4], |_| wide(vec![0], Reduction::Sum))),
    ]
}

/// y = m x + b: m[j][i].
struct Dense {
    m: Vec<Vec<f64>>,
    b: Vec<f64>,
}

fn output(model: &Model, x: &[f64]) -> Vec<f64> {
    let dims: Vec<usize> = [&[1], model.input_shape()].concat();
    to_f64(&model.output(&tensor(x.to_vec(), &dims).unwrap()).unwrap()).unwrap()
}

fn dense(model: &Model) -> Dense {
    let n: usize = model.input_shape().iter().product();
    let b = output(model, &vec![0.0; n]);
    let mut m = vec![vec![0.0; n]; b.len()];
    for i in 0..n {
        let mut unit = vec![0.0; n];
        unit[i] = 1.0;
        output(model, &unit).iter().zip(&b).enumerate().for_each(|(j, (y, b))| m[j][i] = y - b);
    }
    Dense { m, b }
}

fn stable(d: f64, e: f64) -> f64 {
    if d < 0.0 { d - e } else { d + e }
}

/// The relevance of each input, and what the bias takes, by the rule's formula.
fn formula(rule: &LrpRule, d: &Dense, x: &[f64], r: &[f64], low: &[f64], high: &[f64]) -> (Vec<f64>, f64) {
    let (p, n) = (|v: f64| v.max(0.0), |v: f64| v.min(0.0));
    let mut out = vec![0.0; x.len()];
    let mut bias = 0.0;
    for (j, row) in d.m.iter().enumerate() {
        let mut share = |z: &dyn Fn(f64, f64, usize) -> f64, b: f64, r: f64, e: f64| {
            let all: Vec<f64> = row.iter().enumerate().map(|(i, w)| z(x[i], *w, i)).collect();
            let s = r / stable(all.iter().sum::<f64>() + b, e);
            out.iter_mut().zip(all).for_each(|(o, z)| *o += z * s);
            bias += b * s;
        };
        let b = d.b[j];
        match rule {
            LrpRule::Epsilon(e) => share(&|x, w, _| x * w, b, r[j], *e),
            LrpRule::Gamma(g) => {
                let y = row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b;
                if y > 0.0 {
                    share(&|x, w, _| p(x) * (w + g * p(w)) + n(x) * (w + g * n(w)), b + g * p(b), r[j], E);
                } else if y < 0.0 {
                    share(&|x, w, _| p(x) * (w + g * n(w)) + n(x) * (w + g * p(w)), b + g * n(b), r[j], E);
                }
            }
            LrpRule::AlphaBeta(a) => {
                share(&|x, w, _| p(x) * p(w) + n(x) * n(w), p(b), a * r[j], E);
                share(&|x, w, _| p(x) * n(w) + n(x) * p(w), n(b), (1.0 - a) * r[j], E);
            }
            LrpRule::ZBox { .. } => share(&|x, w, i| x * w - low[i] * p(w) - high[i] * n(w), 0.0, r[j], E),
            LrpRule::WSquare => share(&|_, w, _| w * w, b * b, r[j], E),
            LrpRule::Flat => share(&|_, w, _| f64::from(u8::from(w != 0.0)), 0.0, r[j], E),
        }
    }
    (out, bias)
}

fn rules(channels: usize) -> Vec<LrpRule> {
    vec![
        LrpRule::Epsilon(1e-6),
        LrpRule::Epsilon(0.3),
        LrpRule::Gamma(0.25),
        LrpRule::Gamma(1.0),
        LrpRule::AlphaBeta(2.0),
        LrpRule::AlphaBeta(1.5),
        LrpRule::Z_PLUS,
        LrpRule::ZBox { low: vec![-1.5], high: vec![2.5] },
        LrpRule::ZBox { low: LOW[..channels].to_vec(), high: HIGH[..channels].to_vec() },
        LrpRule::WSquare,
        LrpRule::Flat,
    ]
}

/// The bounds of each input value.
fn sides(rule: &LrpRule, shape: &[usize]) -> [Vec<f64>; 2] {
    let LrpRule::ZBox { low, high } = rule else { return [vec![], vec![]] };
    let n: usize = shape.iter().product();
    [low, high].map(|side| (0..n).map(|i| side[i / strides(shape)[0] % side.len()]).collect())
}

#[test]
fn every_rule_at_every_linear_operation_is_its_formula() {
    for (name, model) in operations() {
        let d = dense(&model);
        let shape = model.input_shape().to_vec();
        for rule in rules(shape[0]) {
            let x = random(shape.iter().product(), &format!("x of {name}"));
            let r = random(d.b.len(), &format!("r of {name}"));
            let [low, high] = sides(&rule, &shape);
            let (want, bias) = formula(&rule, &d, &x, &r, &low, &high);
            let (got, taken) = backward(&model, &rule, &x, &r);
            // Averages hold one weight, 1: what is squared or flattened is that, and the stabiliser weighs otherwise.
            let fixed = name.contains("pool") || name == "mean";
            let limit =
                if fixed && matches!(rule, LrpRule::WSquare | LrpRule::Flat) { 1e-4 } else { 1e-9 } * largest(&want);
            let error = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error <= limit, "{} at {name}: {error:e} of {}", rule.name(), largest(&want));
            if !fixed {
                assert!((taken - bias).abs() <= 1e-9 * (1.0 + bias.abs()), "bias of {} at {name}", rule.name());
            }
        }
    }
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, v| v.abs().max(m))
}

/// The relevance of the input by the engine, and the share of the bias in its budget.
fn backward(model: &Model, rule: &LrpRule, x: &[f64], r: &[f64]) -> (Vec<f64>, f64) {
    let dims: Vec<usize> = [&[1], model.input_shape()].concat();
    let trace = model.forward(&tensor(x.to_vec(), &dims).unwrap(), &Tap::All).unwrap();
    let out = model.graph().output();
    let seed = tensor(r.to_vec(), trace.get(out).unwrap().dims()).unwrap();
    let table = Rules(vec![(On::Any, Arc::new(rule.clone()) as Arc<dyn Rule>)]);
    let budget = RelevanceBudget::new(model, table);
    let found = trace.backward_to(model.graph().input(), vec![(out, seed)], &budget.rules()).unwrap();
    (to_f64(&found).unwrap(), budget.layers()[0].1.bias)
}

/// x and y = x w through `op`, and the relevances of both by the LRP tables.
fn two(op: Op, shape: &[usize], factor: &[usize]) -> ([Tensor; 3], [Tensor; 3], Tensor) {
    let mut b = Builder::new();
    let x = b.input("x", shape.to_vec()).unwrap();
    let from = b.add("left", Op::Identity, &[x]).unwrap();
    let small: Vec<usize> = (0..shape.len()).filter(|a| factor[*a] == 1 && shape[*a] != 1).collect();
    let right = match small.is_empty() {
        true => b.add("right", Op::Activation(Activation::Tanh), &[x]).unwrap(),
        false => b.add("right", Op::Reduce { reduction: Reduction::Mean, axes: small, keep: true }, &[x]).unwrap(),
    };
    let y = b.add("y", op, &[from, right]).unwrap();
    b.param("kind of number", tensor(vec![0.0f64], &[1]).unwrap()).unwrap();
    let (graph, weights) = b.finish(y).unwrap();
    let model = Model::new(graph, weights, Card::named("two"));
    let dims: Vec<usize> = [&[1], shape].concat();
    let x = tensor(random(dims.iter().product(), "two"), &dims).unwrap();
    let trace = model.forward(&x, &Tap::All).unwrap();
    let out = model.graph().output();
    let r = tensor(random(dims.iter().product(), "relevance"), &dims).unwrap();
    let flow = trace.backward(vec![(out, r.clone())], &Rules::epsilon_plus(1e-6)).unwrap();
    let id = |name: &str| model.graph().find(name).unwrap();
    let value = |name: &str| trace.get(id(name)).unwrap().clone();
    let signal = |name: &str| flow.get(id(name)).unwrap().clone();
    ([value("left"), value("right"), value("y")], [signal("left"), signal("right"), signal("y")], r)
}

#[test]
fn sums_share_in_proportion_without_doubling() {
    for (op, sign) in [(Binary::Add, 1.0), (Binary::Sub, -1.0)] {
        let ([a, b, _], [ra, rb, _], r) = two(Op::Binary(op), &[2, 3, 4], &[2, 3, 4]);
        let (a, b, r) = (to_f64(&a).unwrap(), to_f64(&b).unwrap(), to_f64(&r).unwrap());
        let (ra, rb) = (to_f64(&ra).unwrap(), to_f64(&rb).unwrap());
        for i in 0..a.len() {
            let s = r[i] / stable(a[i] + sign * b[i], E);
            assert!((ra[i] - a[i] * s).abs() < 1e-9 * (1.0 + (a[i] * s).abs()));
            assert!((rb[i] - sign * b[i] * s).abs() < 1e-9 * (1.0 + (b[i] * s).abs()));
        }
    }
    // A branch that is broadcast gets its shares from all places.
    let ([a, b, _], [_, rb, _], r) = two(Op::Binary(Binary::Add), &[2, 3, 4], &[2, 1, 1]);
    let (a, b, r) = (to_f64(&a).unwrap(), to_f64(&b).unwrap(), to_f64(&r).unwrap());
    for (c, rb) in to_f64(&rb).unwrap().iter().enumerate() {
        let want: f64 = (12 * c..12 * c + 12).map(|i| b[c] * r[i] / stable(a[i] + b[c], E)).sum();
        assert!((rb - want).abs() < 1e-9 * (1.0 + want.abs()));
    }
}

#[test]
fn a_gate_takes_nothing() {
    let (_, [signal, gate, _], r) = two(Op::Binary(Binary::Mul), &[2, 3, 4], &[2, 1, 1]);
    assert_eq!(to_f64(&signal).unwrap(), to_f64(&r).unwrap());
    assert!(to_f64(&gate).unwrap().iter().all(|v| *v == 0.0));
    let (_, [signal, divisor, _], r) = two(Op::Binary(Binary::Div), &[2, 3, 4], &[2, 3, 4]);
    assert_eq!(to_f64(&signal).unwrap(), to_f64(&r).unwrap());
    assert!(to_f64(&divisor).unwrap().iter().all(|v| *v == 0.0));
    let (_, [a, b, _], r) = two(Op::Binary(Binary::Mul), &[2, 3, 4], &[2, 3, 4]);
    let half: Vec<f64> = to_f64(&r).unwrap().iter().map(|r| r / 2.0).collect();
    assert_eq!((to_f64(&a).unwrap(), to_f64(&b).unwrap()), (half.clone(), half));
}

#[test]
fn the_larger_takes_all() {
    let ([a, b, _], [ra, rb, _], r) = two(Op::Binary(Binary::Max), &[2, 3, 4], &[2, 3, 4]);
    let (a, b, r) = (to_f64(&a).unwrap(), to_f64(&b).unwrap(), to_f64(&r).unwrap());
    let (ra, rb) = (to_f64(&ra).unwrap(), to_f64(&rb).unwrap());
    for i in 0..a.len() {
        assert_eq!((ra[i], rb[i]), if a[i] > b[i] { (r[i], 0.0) } else { (0.0, r[i]) });
    }
}

#[test]
fn a_rule_refuses_what_is_not_linear() {
    let model = net(&[2, 3], |_| Op::Softmax { axis: 1, log: false });
    let trace = model.forward(&tensor(random(6, "x"), &[1, 2, 3]).unwrap(), &Tap::All).unwrap();
    let out = model.graph().output();
    let seed = trace.get(out).unwrap().clone();
    let table = Rules(vec![(On::Any, Arc::new(LrpRule::Flat) as Arc<dyn Rule>)]);
    let error = trace.backward_to(model.graph().input(), vec![(out, seed)], &table).unwrap_err().to_string();
    assert!(error.contains("which is not linear (softmax)"), "{error}");
}
