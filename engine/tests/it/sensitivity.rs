//! Max-sensitivity and infidelity on nets where both follow from the moments of the noise.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, explain, table};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Binary;
use convscope_engine::probe::{Probe, ProbeArg};
use convscope_engine::probes::attribution::deep_lift::DeepLift;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::attribution::gradient_x_input::GradientXInput;
use convscope_engine::probes::attribution::integrated_gradients::IntegratedGradients;
use convscope_engine::probes::attribution::smooth_grad::SmoothGrad;
use convscope_engine::probes::judge::ProbeList;
use convscope_engine::probes::judge::sensitivity::Sensitivity;
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{DType, Subject, Tensor};
use std::sync::Arc;

/// sum_i w_i x_i^power with power 1 or 2.
fn sum_of(w: &[f64], power: usize) -> Subject {
    let mut net = Net::new(&[1, 1, w.len()], 0.0);
    if power == 2 {
        net.add("square", Op::Binary(Binary::Mul), &[net.at, net.at]);
    }
    net.then("flat", Op::Reshape(vec![w.len()]));
    let weight = net.b.param("weight", tensor(w.to_vec(), &[1, w.len()]).unwrap()).unwrap();
    net.then("fc", Op::Linear { weight, bias: None });
    Subject::class_at(&net.model(), 0).unwrap()
}

/// Values from -1 to 1, both ends among them.
fn photo(n: usize) -> Vec<f64> {
    let stream = Stream::new(3, "photo");
    let mut values: Vec<f64> = (0..n).map(|i| 2.0 * stream.uniform_at(i as u64) - 1.0).collect();
    (values[0], values[n - 1]) = (-1.0, 1.0);
    values
}

fn row(values: &[f64]) -> Tensor {
    tensor(values.to_vec(), &[1, 1, 1, values.len()]).unwrap()
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Max-sensitivity and infidelity of a probe's maps.
fn judged(probe: ProbeArg, on: &Subject, x: &Tensor, with: &Sensitivity) -> [f64; 2] {
    let judge = Sensitivity { probes: ProbeList(vec![probe]), ..with.clone() };
    let found = explain(&judge, on, x);
    let values = to_f64(found.value().unwrap()).unwrap();
    let row = &table(&found, "sensitivity").rows()[0];
    assert_eq!([row[1].number(), row[2].number()], [Some(values[0]), Some(values[1]).filter(|v| !v.is_nan())]);
    [values[0], values[1]]
}

fn gradient() -> ProbeArg {
    ProbeArg(Arc::new(Gradient::new()))
}

/// The gradient of sum x^2 is 2 x, so a change d of the input changes it by |d| / |x| of its length; |d|^2 is n r^2 / 3 on
/// average for d uniform within r.
#[test]
fn max_sensitivity_of_a_square_is_the_relative_length_of_the_change() {
    let (n, radius) = (3000, 0.02);
    let (on, x) = (sum_of(&vec![1.0; n], 2), photo(n));
    let one = judged(gradient(), &on, &row(&x), &Sensitivity::new().samples(1usize).radius(radius))[0];
    let want = 2.0 * radius * (n as f64 / 3.0).sqrt() / length(&x);
    assert!((one / want - 1.0).abs() < 0.03, "{one}, not {want}");
    // The largest of many changes comes near a corner of the box, which none leaves.
    let (on, x) = (sum_of(&[1.0; 3], 2), photo(3));
    let most = judged(gradient(), &on, &row(&x), &Sensitivity::new().samples(4000usize).radius(radius))[0];
    let corner = 2.0 * radius * 3f64.sqrt() / length(&x);
    assert!(most <= corner * (1.0 + 1e-4) && most > 0.93 * corner, "{most} of {corner}");
    // The gradient of a linear net does not move.
    assert_eq!(judged(gradient(), &sum_of(&[0.5, -2.0, 1.0], 1), &row(&x), &Sensitivity::new())[0], 0.0);
}

/// Under noise I the score of a linear net changes by w I, and a map m says b m I: of all b, w m / |m|^2 leaves least, namely
/// sigma^2 (|w|^2 - (w m)^2 / |m|^2).
#[test]
fn infidelity_of_a_linear_net_is_what_the_best_scale_leaves() {
    let w = [1.0, -0.5, 2.0, 0.25, -1.5, 0.75];
    let m = [0.5, 0.5, 1.0, -1.0, 0.0, 2.0];
    let (on, x) = (sum_of(&w, 1), row(&photo(w.len())));
    let many = Sensitivity::new().samples(10_000usize).noise(0.1);
    let want = (2.0 * 0.1f64).powi(2) * (dot(&w, &w) - dot(&w, &m).powi(2) / dot(&m, &m));
    for scale in [1.0, -7.0] {
        let map = Planted::map(m.iter().map(|v| scale * v).collect(), &[1, 1, w.len()]);
        let got = judged(map, &on, &x, &many)[1];
        assert!((got / want - 1.0).abs() < 0.05, "{scale}: {got}, not {want}");
    }
    let own = judged(gradient(), &on, &x, &many)[1];
    assert!(own < 1e-9 * want, "{own}");
    // A map that is not shaped as the input says nothing of its values.
    assert!(judged(Planted::map(vec![1.0; 3], &[1, 3]), &on, &x, &many)[1].is_nan());
}

/// sum x^2 changes by 2 x I - |I|^2: the gradient leaves |I|^2, whose mean square is n (n + 2) sigma^4.
#[test]
fn infidelity_of_the_gradient_of_a_square_is_its_curvature() {
    let (n, noise) = (3.0, 0.1f64);
    let many = Sensitivity::new().samples(10_000usize).noise(noise);
    let got = judged(gradient(), &sum_of(&[1.0; 3], 2), &row(&photo(3)), &many)[1];
    let want = n * (n + 2.0) * (2.0 * noise).powi(4);
    assert!((got / want - 1.0).abs() < 0.1, "{got}, not {want}");
}

/// On a linear net gradient x input, integrated gradients and DeepLIFT tell the weights times the input: divided by it,
/// they say exactly what every change does, with no scale.
#[test]
fn maps_that_multiply_the_input_are_divided_by_it() {
    let w = [1.0, -0.5, 2.0, 0.25, -1.5, 0.75];
    let (on, x) = (sum_of(&w, 1), row(&photo(w.len())));
    let on = on.with_model(&on.model().unwrap().to_dtype(DType::F32).unwrap());
    let plain = Sensitivity::new().samples(200usize).normalize(false);
    let gap = dot(&w, &w) * (2.0 * 0.1f64).powi(2);
    let maps: [Arc<dyn Probe>; 4] = [
        Arc::new(GradientXInput::new()),
        Arc::new(IntegratedGradients::new()),
        Arc::new(DeepLift::new()),
        Arc::new(SmoothGrad::new().probe(ProbeArg(Arc::new(GradientXInput::new()))).noise(0.0)),
    ];
    for map in maps {
        let name = map.name();
        let got = judged(ProbeArg(map), &on, &x, &plain)[1];
        assert!(got < 1e-8 * gap, "{name}: {got} of {gap}");
    }
    // Without a scale a map seven times too large is as wrong as six times the change.
    let seven = Planted::map(w.iter().map(|v| 7.0 * v).collect(), &[1, 1, w.len()]);
    let got = judged(seven, &on, &x, &plain.samples(10_000usize))[1];
    assert!((got / (36.0 * gap) - 1.0).abs() < 0.05, "{got}, not {}", 36.0 * gap);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
