//! Inversion under several strengths and of parts of a code: each the same as asked for alone, and of what was asked for.
#![allow(clippy::unwrap_used)]

use crate::builders::{array, column, table};
use convscope_engine::params::LayerName;
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::synthesis::invert::Invert;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::to_f64;
use convscope_engine::{Artifact, Input, Job, Model, Result, Subject};

fn net() -> Model {
    load().unwrap()
}

fn ask(probe: &Invert, on: &Subject) -> Result<Artifact> {
    let data = shapes(&Shapes { n: 3, seed: 11, ..Shapes::new() }).unwrap();
    probe.run(on, &Input::Image(data.get(1).unwrap()), &Job::new())
}

fn layers() -> Option<Vec<LayerName>> {
    Some(["conv1/relu", "conv3/relu"].map(|l| LayerName(l.to_string())).to_vec())
}

#[test]
fn a_strength_is_a_factor_of_both_weights() {
    let model = Subject::Model(net());
    let probe = Invert::new().layers(layers()).steps(4usize).variation(Some(0.01));
    let found = ask(&probe.clone().strengths(vec![0.5, 2.0]), &model).unwrap();
    let errors = array(&found, "errors");
    for (i, strength) in [0.5, 2.0].into_iter().enumerate() {
        let alone = probe.clone().norm(0.01 * strength).variation(Some(0.01 * strength));
        assert_eq!(errors[2 * i..2 * i + 2], array(&ask(&alone, &model).unwrap(), "error"), "{strength}");
    }
    assert_eq!(column(table(&found, "errors"), "error"), errors);
    assert_eq!(column(table(&found, "errors"), "strength"), [0.5, 0.5, 2.0, 2.0]);
    assert!(ask(&probe.strengths(vec![-1.0]), &model).is_err());
}

/// The error that is told is that of the channels and positions asked for, computed here from the picture that came out.
#[test]
fn only_the_part_that_was_asked_for_is_matched() {
    let net = net();
    let node = net.layer("conv2/relu").unwrap();
    let [count, rows, columns] = net.graph().node(node).shape[..] else { panic!() };
    let on = Subject::layer(&net, "conv2/relu").unwrap();
    let probe = Invert::new().steps(30usize).channels(vec![0, count / 2]).positions(vec![2, 3, rows / 2, columns / 2]);
    let found = ask(&probe, &on).unwrap();
    let code = |x: &convscope_engine::Tensor| {
        let x = net.batched(x).unwrap();
        to_f64(net.forward(&x, &Tap::Only(vec![node])).unwrap().get(node).unwrap()).unwrap()
    };
    let data = shapes(&Shapes { n: 3, seed: 11, ..Shapes::new() }).unwrap();
    let given = code(&net.card().preprocess().unwrap().apply(&data.get(1).unwrap()).unwrap());
    let made = code(found.array_named("images").unwrap());
    let inside = |i: usize| {
        let (c, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
        c < count / 2 && (2..2 + rows / 2).contains(&y) && (3..3 + columns / 2).contains(&x)
    };
    let error = |keep: &dyn Fn(usize) -> bool| {
        let sum = |f: &dyn Fn(usize) -> f64| (0..given.len()).filter(|i| keep(*i)).map(f).sum::<f64>();
        sum(&|i| (made[i] - given[i]).powi(2)) / sum(&|i| given[i].powi(2))
    };
    let told = array(&found, "error")[0];
    assert!((told - error(&inside)).abs() < 1e-3 * (1.0 + told), "{told} for {}", error(&inside));
    assert!(error(&|i| !inside(i)) > 3.0 * told, "what was not asked for is not matched");
    let values = column(table(&found, "errors"), "values")[0];
    assert_eq!(values as usize, (count / 2) * (rows / 2) * (columns / 2));
}

#[test]
fn parts_that_are_not_there_are_errors() {
    let on = Subject::layer(&net(), "conv2/relu").unwrap();
    let said = |probe: Invert| ask(&probe.steps(1usize), &on).unwrap_err();
    let error = said(Invert::new().channels(vec![3, 900]));
    assert!(error.message.contains("option `channels`") && error.hint.is_some(), "{error}");
    assert!(said(Invert::new().channels(vec![3])).message.contains("option `channels`"));
    assert!(said(Invert::new().positions(vec![0, 0, 99, 1])).message.contains("option `positions`"));
}
