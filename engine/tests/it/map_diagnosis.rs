//! A map that shows nothing comes with its reason; a healthy one with none.

#![allow(clippy::unwrap_used)]

use convscope_engine::graph::Builder;
use convscope_engine::graph::op::{Activation, Conv, Op, Reduction, Window};
use convscope_engine::model::Card;
use convscope_engine::probe::{Family, Probe, Takes};
use convscope_engine::probes::attribution::grad_cam::GradCam;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::catalog;
use convscope_engine::shapes::net;
use convscope_engine::shapes::{Shapes, shapes};
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

/// Every map of the embedded net for one of its images shows something and gives no reason.
#[test]
fn no_map_of_a_healthy_net_gives_a_reason() {
    let model = net::load().unwrap();
    let image = shapes(&Shapes::new().n(5usize).seed(11u64)).unwrap().get(4).unwrap();
    let class = Subject::class(&model, image.label().unwrap()).unwrap();
    let mut asked = 0;
    for entry in catalog() {
        let probe = entry.default_probe();
        let about = probe.about();
        let of_other_nets = ["detector", "attention"].iter().any(|kind| about.subjects.contains(kind));
        if about.family != Family::Where || about.input == Takes::Data || of_other_nets {
            continue;
        }
        let said = notes(probe.as_ref(), &class, &Input::Image(image.clone()));
        let reasons = ["zero everywhere", "not finite", "saturated", "negative at every position", "dead"];
        assert!(reasons.iter().all(|r| !said.contains(r)), "{}: {said}", probe.name());
        asked += 1;
    }
    assert!(asked > 10);
}

#[test]
fn a_dead_rectifier_is_named() {
    let model = net(1.0, -10.0, [1.0, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let said = notes(&Gradient::new(), &class, &input(1.0));
    assert!(said.contains("zero everywhere") && said.contains("`relu`") && said.contains("dead ReLU"), "{said}");
}

/// The rectifier has active units, but none of those that the signal reaches.
#[test]
fn a_rectifier_whose_reached_units_are_inactive_is_named() {
    let model = net(1.0, -1.2, [1.0, -1.0], false);
    // Values from 1.0 to 1.15 lie below 1.2; the last one is raised above it.
    let mut values: Vec<f32> = (0..16).map(|i| 1.0 + i as f32 / 100.0).collect();
    values[15] = 2.0;
    let x = Input::Tensor(Tensor::from_vec(values, (1, 4, 4), &Device::Cpu).unwrap());
    let unit = Subject::layer(&model, "relu").unwrap().unit(&[0, 1, 1]).unwrap();
    let said = notes(&Gradient::new(), &unit, &x);
    assert!(said.contains("zero everywhere") && said.contains("inactive units") && said.contains("`relu`"), "{said}");
    let active = Subject::layer(&model, "relu").unwrap().unit(&[0, 3, 3]).unwrap();
    assert_eq!(notes(&Gradient::new(), &active, &x), "");
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
    let scaled = convscope_engine::probes::attribution::gradient_x_input::GradientXInput::new();
    let said = notes(&scaled, &class, &input(f32::NAN));
    assert!(said.contains("not finite") && said.contains("input"), "{said}");
}

#[test]
fn values_that_overflow_in_a_layer_are_traced_to_it() {
    let model = net(f32::MAX, 0.0, [1.0, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let scaled = convscope_engine::probes::attribution::gradient_x_input::GradientXInput::new();
    let said = notes(&scaled, &class, &input(1e9));
    assert!(said.contains("not finite") && said.contains("`conv`"), "{said}");
}

#[test]
fn a_gradient_that_overflows_behind_finite_activations_says_so() {
    let model = net(1e30, 0.0, [1e30, -1.0], false);
    let class = Subject::class_at(&model, 0).unwrap();
    let tiny = Input::Tensor(Tensor::from_vec(vec![1e-30f32; 16], (1, 4, 4), &Device::Cpu).unwrap());
    let said = notes(&Gradient::new(), &class, &tiny);
    assert!(said.contains("not finite") && said.contains("a gradient overflowed"), "{said}");
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

#[test]
fn a_saturated_sigmoid_is_named() {
    let mut b = Builder::new();
    let x = b.input("input", vec![1, 4, 4]).unwrap();
    let y = b.add("sigmoid", Op::Activation(Activation::Sigmoid), &[x]).unwrap();
    let (graph, weights) = b.finish(y).unwrap();
    let model = Model::new(graph, weights, Card::named("sigmoid"));
    let unit = Subject::layer(&model, "sigmoid").unwrap().unit(&[0, 1, 1]).unwrap();
    let said = notes(&Gradient::new(), &unit, &input(50.0));
    assert!(said.contains("the sigmoid `sigmoid` is saturated"), "{said}");
    assert_eq!(notes(&Gradient::new(), &unit, &input(0.5)), "");
}
