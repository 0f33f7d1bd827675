//! A sample's values and signals are the same bits alone and in a batch, whose samples pass in groups.

#![allow(clippy::unwrap_used)]

use crate::builders::Net;
use convscope_engine::ascent::diversity::Diversity;
use convscope_engine::ascent::{Aim, CrossEntropy, Objective, Score, Weighted, measure_input};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Binary, Window};
use convscope_engine::pass::Tap;
use convscope_engine::random::Stream;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::{tensor, to_f32};
use convscope_engine::{DType, Model, Subject, Tensor};
use std::ops::Range;

const BATCH: usize = 7;

/// Branches that are joined, a sum, a normalisation: few weights beside its values.
fn net() -> Model {
    let mut net = Net::new(&[3, 26, 22], 0.2);
    net.conv("a", 8, Window::square(3, 1, 1), 1);
    net.batch_norm("norm");
    let a = net.relu("a.relu");
    let b = net.conv("b", 8, Window::square(3, 1, 1), 1);
    net.add("sum", Op::Binary(Binary::Add), &[a, b]);
    let sum = net.relu("sum.relu");
    net.conv("left", 6, Window::square(1, 1, 0), 1);
    let left = net.relu("left.relu");
    net.at = sum;
    net.conv("right", 5, Window::square(3, 1, 1), 1);
    let right = net.relu("right.relu");
    net.add("joined", Op::Concat { axis: 0 }, &[left, right]);
    net.conv("last", 4, Window::square(3, 2, 1), 1);
    net.head(6);
    net.model().to_dtype(DType::F32).unwrap()
}

fn noise() -> Tensor {
    let (stream, dims) = (Stream::new(5, "noise"), [BATCH, 3, 26, 22]);
    tensor((0..dims.iter().product::<usize>()).map(|i| stream.normal_at(i as u64) as f32).collect(), &dims).unwrap()
}

/// Holds what `of` says of all samples at once against what it says of each by itself.
fn agree(name: &str, x: &Tensor, of: impl Fn(&Tensor, Range<usize>) -> Tensor) {
    let all = of(x, 0..BATCH);
    for n in 0..BATCH {
        let alone = of(&x.narrow(0, n, 1).unwrap(), n..n + 1);
        let among = all.narrow(0, n, 1).unwrap();
        assert_eq!(to_f32(&alone).unwrap(), to_f32(&among).unwrap(), "{name}, sample {n}");
    }
}

#[test]
fn values_and_signals_are_those_of_each_sample_alone() {
    let (model, x) = (net(), noise());
    let class = Subject::class_at(&model, 2).unwrap();
    let layer = model.layer("joined").unwrap();
    agree("output", &x, |x, _| model.output(x).unwrap());
    for tap in [Tap::Only(vec![layer]), Tap::Signs(vec![layer]), Tap::All] {
        agree("layer", &x, |x, _| model.forward(x, &tap).unwrap().get(layer).unwrap().clone());
    }
    let tap = Tap::Signs(class.nodes().unwrap());
    for rules in [Rules::gradient(), Rules::guided_backprop(), Rules::deconvnet()] {
        for wanted in [model.graph().input(), model.layer("b").unwrap()] {
            agree("signal", &x, |x, _| {
                let seed = |trace: &_| Ok((class.seed(trace)?, trace.samples()));
                let (signal, samples) = model.backpropagate(x, &tap, wanted, &rules, seed).unwrap();
                let count = x.dims()[0];
                assert_eq!(samples.iter().cloned().flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
                assert_eq!(samples.len() > 1, count > 1, "groups: {samples:?}");
                signal
            });
            agree("back", &x, |x, _| {
                let trace = model.forward(x, &tap).unwrap();
                trace.backward_to(wanted, class.seed(&trace).unwrap(), &rules).unwrap()
            });
        }
    }
}

#[test]
fn a_flow_holds_the_signals_of_all_samples() {
    let (model, x) = (net(), noise());
    let class = Subject::class_at(&model, 1).unwrap();
    let tap = Tap::Signs(class.nodes().unwrap());
    agree("flow", &x, |x, _| {
        let trace = model.forward(x, &tap).unwrap();
        let flow = trace.backward(class.seed(&trace).unwrap(), &Rules::gradient()).unwrap();
        let layers = ["a", "joined", "last"].map(|name| model.layer(name).unwrap());
        let signals: Vec<Tensor> =
            layers.iter().filter_map(|id| flow.get(*id)).map(|t| t.flatten_from(1).unwrap()).collect();
        assert!(signals.len() > 1, "{}", signals.len());
        Tensor::cat(&signals, 1).unwrap()
    });
    // A seed for another number of samples is refused.
    let trace = model.forward(&x, &tap).unwrap();
    let seed = class.seed(&model.forward(&x.narrow(0, 0, 3).unwrap(), &tap).unwrap()).unwrap();
    let error = trace.backward_to(model.graph().input(), seed, &Rules::gradient()).unwrap_err();
    assert!(error.message.contains("for 7 samples"), "{error}");
}

#[test]
fn each_image_of_a_batch_keeps_its_own_aim() {
    let (model, x) = (net(), noise());
    let aims: Vec<Aim> = (0..BATCH).map(|n| if n % 2 == 0 { Aim::Not(n % 6) } else { Aim::Be(n % 6) }).collect();
    agree("cross-entropy", &x, |x, range| {
        let loss = CrossEntropy::new(&model, aims[range].to_vec());
        let (values, gradient) = measure_input(&model, &loss, x).unwrap();
        let values = tensor(values.iter().map(|v| *v as f32).collect(), &[x.dims()[0], 1]).unwrap();
        Tensor::cat(&[values, gradient.flatten_from(1).unwrap()], 1).unwrap()
    });
    agree("subjects", &x, |x, range| {
        let each = range.map(|n| Subject::class_at(&model, n % 6).unwrap()).collect();
        measure_input(&model, &Score(each), x).unwrap().1
    });
}

#[test]
fn images_that_are_compared_pass_together() {
    let (model, x) = (net(), noise());
    let class = Score(vec![Subject::class_at(&model, 3).unwrap()]);
    let compared = Diversity { node: model.layer("joined").unwrap() };
    let objective = Weighted(vec![(1.0, Box::new(class)), (0.5, Box::new(compared))]);
    let (values, gradient) = measure_input(&model, &objective, &x).unwrap();
    let trace = model.with_winograd_forward().forward(&x, &Tap::Signs(objective.nodes().unwrap())).unwrap();
    let wanted = objective.measure(&trace).unwrap();
    assert_eq!(values, wanted.values);
    let back = trace.backward_to(model.graph().input(), wanted.seed, &Rules::gradient()).unwrap();
    assert_eq!(to_f32(&gradient).unwrap(), to_f32(&back).unwrap());
    // Alone, an image is compared with none.
    let (alone, _) = measure_input(&model, &objective, &x.narrow(0, 0, 1).unwrap()).unwrap();
    assert_ne!(alone[0], values[0]);
}
