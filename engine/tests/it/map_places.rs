//! Maps of nets that mirror or turn their input, take several inputs, or end in a recurrent layer: where they lie over the input, and
//! which layer is taken.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::graph::field::Field;
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::all::GradCam;
use convscope_engine::probes::find;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Subject, Tensor};
use std::collections::BTreeMap;

const SIDE: usize = 8;

/// One bright pixel.
fn pixel(row: usize, column: usize) -> Tensor {
    let mut x = vec![0f32; SIDE * SIDE];
    x[row * SIDE + column] = 1.0;
    tensor(x, &[1, 1, SIDE, SIDE]).unwrap()
}

fn grad_cam(net: &Model, x: Input) -> Artifact {
    let probe = find("grad_cam").unwrap().default_probe();
    let (net, own) = x.placed(net).unwrap();
    probe.run(&Subject::class_at(&net, 0).unwrap(), &own, &Job::new()).unwrap()
}

/// Row and column of a map's largest value.
fn hottest(found: &Artifact) -> [usize; 2] {
    let map = to_f64(found.value().unwrap()).unwrap();
    let at = (0..map.len()).fold(0, |best, i| if map[i] > map[best] { i } else { best });
    [at / SIDE, at % SIDE]
}

/// `moved` comes of `x`; then a convolution 1 x 1, the mean and a linear layer.
fn net(before: impl Fn(Graph) -> Graph) -> Model {
    let graph = before(Graph::new(&[1, 1, SIDE as i64, SIDE as i64]))
        .floats("w", &[2, 1, 1, 1], &[1.0, 0.5])
        .floats("head", &[2, 2], &[1.0, 1.0, -1.0, 1.0])
        .node(node("Conv", &["moved", "w"], &["conv"]))
        .node(node("Relu", &["conv"], &["relu"]))
        .node(node("GlobalAveragePool", &["relu"], &["mean"]))
        .node(node("Flatten", &["mean"], &["flat"]))
        .node(node("Gemm", &["flat", "head"], &["y"]).int("transB", 1));
    read(graph.file("y", 17))
}

fn mirrored(graph: Graph, axis: i64) -> Graph {
    let graph = graph.ints("start", &[-1]).ints("end", &[i64::MIN + 1]).ints("axis", &[axis]).ints("step", &[-1]);
    graph.node(node("Slice", &["x", "start", "end", "axis", "step"], &["moved"]))
}

#[test]
fn maps_behind_a_mirror_or_a_turn_lie_over_the_photo_as_it_was() {
    let nets = [
        ("as it is", net(|g| g.node(node("Identity", &["x"], &["moved"])))),
        ("mirrored", net(|g| mirrored(g, 3))),
        ("upside down", net(|g| mirrored(g, 2))),
        ("turned over", net(|g| g.node(node("Transpose", &["x"], &["moved"]).ints("perm", &[0, 1, 3, 2])))),
    ];
    for (what, net) in &nets {
        for [row, column] in [[3, 2], [0, 7], [6, 5]] {
            let found = grad_cam(net, Input::Tensor(pixel(row, column)));
            assert_eq!(hottest(&found), [row, column], "{what}");
        }
    }
}

#[test]
fn the_receptive_field_of_a_turned_map_is_turned() {
    let graph = Graph::new(&[1, 1, SIDE as i64, SIDE as i64])
        .floats("w", &[1, 1, 1, 3], &[1.0, 2.0, 3.0])
        .node(node("Transpose", &["x"], &["moved"]).ints("perm", &[0, 1, 3, 2]))
        .node(node("Conv", &["moved", "w"], &["conv"]).ints("strides", &[1, 2]))
        .node(node("ReduceMean", &["conv"], &["mean"]).ints("axes", &[2, 3]).int("keepdims", 0));
    let net = read(graph.file("mean", 17));
    let conv = net.layer("conv").unwrap();
    // A window of one row and three columns slides over three rows of the photo, two at a time.
    let Field::Local { size, stride, .. } = net.graph().fields()[conv.0] else { panic!("no window") };
    assert_eq!((size, stride), ([3, 1], [2, 1]));
    assert_eq!(net.graph().map_layout(conv).unwrap().shape, [1, 3, SIDE]);
}

#[test]
fn the_map_of_a_net_with_several_inputs_is_that_of_the_asked_one() {
    let side = SIDE as i64;
    let mut graph = Graph::new(&[1, 1, side, side])
        .input("z", &[1, 1, side, side])
        .floats("w", &[2, 1, 1, 1], &[1.0, 0.5])
        .floats("head", &[2, 4], &[1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0]);
    for (from, branch) in [("x", "a"), ("z", "b")] {
        let name = |part: &str| format!("{branch}_{part}");
        graph = graph
            .node(node("Conv", &[from, "w"], &[&name("conv")]))
            .node(node("Relu", &[&name("conv")], &[&name("relu")]))
            .node(node("GlobalAveragePool", &[&name("relu")], &[&name("mean")]))
            .node(node("Flatten", &[&name("mean")], &[&name("flat")]));
    }
    let graph = graph
        .node(node("Concat", &["a_flat", "b_flat"], &["both"]).int("axis", 1))
        .node(node("Gemm", &["both", "head"], &["y"]).int("transB", 1));
    let net = read(graph.file("y", 17));
    let given =
        BTreeMap::from([("x".to_string(), Input::Tensor(pixel(3, 2))), ("z".to_string(), Input::Tensor(pixel(6, 7)))]);
    assert_eq!(hottest(&grad_cam(&net, Input::Several(given.clone()))), [3, 2]);
    let (held, own) = Input::Several(given).placed(&net).unwrap();
    let probe = GradCam::new().layer(Some(LayerName("b_relu".into())));
    let refused = probe.run(&Subject::class_at(&held, 0).unwrap(), &own, &Job::new()).unwrap_err().to_string();
    assert!(refused.contains("`b_relu` does not depend on the input `x`"), "{refused}");
}

#[test]
fn the_layer_before_a_recurrent_one_is_taken_and_none_of_its_steps() {
    let (steps, inputs, hidden) = (6, 3, 2);
    let ramp = |n: usize| (0..n).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
    let graph = Graph::new(&[1, 2, steps])
        .floats("k", &[inputs, 2, 3], &ramp(18))
        .floats("w", &[1, 4 * hidden, inputs], &ramp(24))
        .floats("r", &[1, 4 * hidden, hidden], &ramp(16))
        .floats("head", &[2, hidden], &ramp(4))
        .ints("first", &[0])
        .node(node("Conv", &["x", "k"], &["conv"]).ints("pads", &[1, 1]))
        .node(node("Relu", &["conv"], &["relu"]))
        .node(node("Transpose", &["relu"], &["steps"]).ints("perm", &[2, 0, 1]))
        .node(node("LSTM", &["steps", "w", "r"], &["all", "last"]).int("hidden_size", hidden))
        .node(node("Squeeze", &["last", "first"], &["state"]))
        .node(node("Gemm", &["state", "head"], &["y"]).int("transB", 1));
    let net = read(graph.file("y", 17));
    let x = Input::Tensor(tensor(ramp(12), &[1, 2, steps as usize]).unwrap());
    let probe = find("grad_cam").unwrap().default_probe();
    let class = Subject::class_at(&net, 1).unwrap();
    let default = probe.run(&class, &x, &Job::new()).unwrap();
    let named = GradCam::new().layer(Some(LayerName("relu".into()))).run(&class, &x, &Job::new()).unwrap();
    let values = |found: &Artifact| to_f64(found.value().unwrap()).unwrap();
    let (default, named) = (values(&default), values(&named));
    assert!(named.iter().any(|v| *v > 0.0) && default.len() == named.len());
    assert!(default.iter().zip(&named).all(|(a, b)| (a - b).abs() < 1e-6), "{default:?} for {named:?}");
}
