//! A map that shows nothing comes with its reason; a healthy one with none.

#![allow(clippy::unwrap_used)]

use convscope_engine::graph::Builder;
use convscope_engine::graph::op::{Activation, Conv, Op, Reduction, Window};
use convscope_engine::model::Card;
use convscope_engine::probes::Probe;
use convscope_engine::probes::cam::GradCam;
use convscope_engine::probes::gradient::Gradient;
use convscope_engine::{Device, Input, Job, Model, Subject, Tensor};

/// conv (1 x 1, the given weight and bias), ReLU, mean over positions, linear with these weights, softmax if asked for.
fn net(weight: f32, bias: f32, out: [f32; 2], softmax: bool) -> Model {
    let mut b = Builder::new();
    let x = b.input("input", vec![1, 4, 4]).unwrap();
    let tensor = |v: Vec<f32>, s: &[usize]| Tensor::from_vec(v, s, &Device::Cpu).unwrap();
    let w = b.param("w", tensor(vec![weight], &[1, 1, 1, 1])).unwrap();
    let c = b.param("b", tensor(vec![bias], &[1])).unwrap();
    let conv = Op::Conv2d(Conv { weight: w, bias: Some(c), window: Window::square(1, 1, 0), groups: 1 });
    let y = b.add("conv", conv, &[x]).unwrap();
    let y = b.add("relu", Op::Activation(Activation::Relu), &[y]).unwrap();
    let mean = Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: false };
    let y = b.add("pool", mean, &[y]).unwrap();
    let v = b.param("v", tensor(out.to_vec(), &[2, 1])).unwrap();
    let mut y = b.add("fc", Op::Linear { weight: v, bias: None }, &[y]).unwrap();
    if softmax {
        y = b.add("softmax", Op::Softmax { axis: 0, log: false }, &[y]).unwrap();
    }
    let (graph, weights) = b.finish(y).unwrap();
    Model::new(graph, weights, Card::named("tiny"))
}

fn input(value: f32) -> Input {
    let values: Vec<f32> = (0..16).map(|i| value + i as f32 / 100.0).collect();
    Input::Tensor(Tensor::from_vec(values, (1, 4, 4), &Device::Cpu).unwrap())
}

fn notes(probe: &dyn Probe, on: &Subject, x: &Input) -> String {
    probe.run(on, x, &Job::new()).unwrap().notes.join("\n")
}

#[test]
fn a_healthy_map_has_no_reason_to_give() {
    let model = net(1.0, 0.0, [1.0, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    assert_eq!(notes(&Gradient::new(), &class, &input(1.0)), "");
}

#[test]
fn a_dead_rectifier_is_named() {
    let model = net(1.0, -10.0, [1.0, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let said = notes(&Gradient::new(), &class, &input(1.0));
    assert!(said.contains("zero everywhere") && said.contains("`relu`") && said.contains("dead ReLU"), "{said}");
}

#[test]
fn a_saturated_softmax_is_named() {
    let model = net(1.0, 0.0, [100.0, -100.0], true);
    let unit = Subject::layer(&model, "softmax").unwrap().unit(&[0]).unwrap();
    let said = notes(&Gradient::new(), &unit, &input(1.0));
    assert!(said.contains("softmax") && said.contains("saturated"), "{said}");
    // The class itself is asked before the softmax and is healthy.
    let class = Subject::class_at(&model, 0).unwrap();
    let said = notes(&Gradient::new(), &class, &input(1.0));
    assert!(said.contains("peeled") && !said.contains("saturated"), "{said}");
}

#[test]
fn values_that_are_not_finite_are_traced_to_where_they_begin() {
    let model = net(1.0, 0.0, [1.0, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let scaled = convscope_engine::probes::gradient_x_input::GradientXInput::new();
    let said = notes(&scaled, &class, &input(f32::NAN));
    assert!(said.contains("not finite") && said.contains("input"), "{said}");
}

#[test]
fn a_cam_with_only_negative_evidence_says_so() {
    let model = net(1.0, 0.0, [-1.0, 1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let cam = GradCam { layer: Some(convscope_engine::params::LayerName("relu".into())) };
    let said = notes(&cam, &class, &input(1.0));
    assert!(said.contains("negative at every position"), "{said}");
}

#[test]
fn a_score_that_ignores_the_input_says_so() {
    let model = net(0.0, 1.0, [1.0, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let said = notes(&Gradient::new(), &class, &input(1.0));
    assert!(said.contains("zero everywhere") && said.contains("`conv`"), "{said}");
}
