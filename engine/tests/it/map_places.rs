//! Maps of nets that mirror or turn their input, take several inputs, or end in a recurrent layer: where they lie over the input, and
//! which layer is taken.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::graph::field::ReceptiveField;
use convscope_engine::inspect::Segment as _;
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::all::GradCam;
use convscope_engine::probes::find;
use convscope_engine::show::Part;
use convscope_engine::subject::Over;
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

/// The map as it is drawn, over the whole input.
fn drawn(found: &Artifact) -> Tensor {
    let Part::Map(map) = &found.parts[0] else { panic!("no map") };
    map.values.clone()
}

/// Row and column of a map's largest value.
fn hottest(found: &Artifact) -> [usize; 2] {
    let map = to_f64(&drawn(found)).unwrap();
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

fn mirrored(graph: Graph, from: &str, axis: i64) -> Graph {
    let graph = graph.ints("start", &[-1]).ints("end", &[i64::MIN + 1]).ints("axis", &[axis]).ints("step", &[-1]);
    graph.node(node("Slice", &[from, "start", "end", "axis", "step"], &["moved"]))
}

#[test]
fn maps_behind_a_mirror_or_a_turn_lie_over_the_photo_as_it_was() {
    let nets = [
        ("as it is", net(|g| g.node(node("Identity", &["x"], &["moved"])))),
        ("mirrored", net(|g| mirrored(g, "x", 3))),
        ("upside down", net(|g| mirrored(g, "x", 2))),
        ("turned over", net(|g| g.node(node("Transpose", &["x"], &["moved"]).ints("perm", &[0, 1, 3, 2])))),
    ];
    for (what, net) in &nets {
        for [row, column] in [[3, 2], [0, 7], [6, 5]] {
            let found = grad_cam(net, Input::Tensor(pixel(row, column)));
            assert_eq!(hottest(&found), [row, column], "{what}");
        }
    }
}

/// Rows and columns 1 to 6 of 8.
fn cropped(graph: Graph, to: &str) -> Graph {
    let graph = graph.ints("corner", &[1, 1]).ints("opposite", &[7, 7]).ints("axes", &[2, 3]);
    graph.node(node("Slice", &["x", "corner", "opposite", "axes"], &[to]))
}

/// A window of 3 x 3 that sees its centre only, without padding.
fn valid(graph: Graph, from: &str, to: &str) -> Graph {
    let window: Vec<f32> = (0..9).map(|i| f32::from(u8::from(i == 4))).collect();
    graph.floats(&format!("{to}_w"), &[1, 1, 3, 3], &window).node(node("Conv", &[from, &format!("{to}_w")], &[to]))
}

#[test]
fn the_map_of_a_net_that_crops_or_pads_lies_where_the_net_looks() {
    let nets = [
        ("cropped", net(|g| cropped(g, "moved")), [1, 7]),
        ("windows without padding", net(|g| valid(valid(g, "x", "once"), "once", "moved")), [2, 6]),
        (
            "padded",
            net(|g| g.ints("pads", &[0, 0, 2, 2, 0, 0, 2, 2]).node(node("Pad", &["x", "pads"], &["moved"]))),
            [0, 8],
        ),
        ("cropped, then mirrored", net(|g| mirrored(cropped(g, "part"), "part", 3)), [1, 7]),
    ];
    for (what, net, [from, to]) in &nets {
        for [row, column] in [[3, 2], [2, 5], [5, 4]] {
            let found = grad_cam(net, Input::Tensor(pixel(row, column)));
            assert_eq!(drawn(&found).dims(), [SIDE, SIDE], "{what}");
            assert_eq!(hottest(&found), [row, column], "{what}");
            let map = to_f64(&drawn(&found)).unwrap();
            let outside = |i: &usize| !(*from..*to).contains(&(i / SIDE)) || !(*from..*to).contains(&(i % SIDE));
            assert!((0..SIDE * SIDE).filter(outside).all(|i| map[i] == 0.0), "{what}: {map:?}");
            assert!(
                found.notes.iter().any(|n| n.contains("lies over a part of the input")),
                "{what}: {:?}",
                found.notes
            );
        }
    }
    // A window with padding as wide as it needs lies over everything: nothing is said, and the map keeps its size.
    let usual = grad_cam(&net(|g| g.node(node("Identity", &["x"], &["moved"]))), Input::Tensor(pixel(3, 2)));
    assert!(!usual.notes.iter().any(|n| n.contains("part of the input")), "{:?}", usual.notes);
}

#[test]
fn the_receptive_field_behind_a_crop_begins_there() {
    let net = net(|g| valid(cropped(g, "part"), "part", "moved"));
    let part = net.layer("moved").unwrap();
    let ReceptiveField::Local { size, stride, start, .. } = net.graph().fields()[part.0] else { panic!("no window") };
    assert_eq!((size, stride, start), ([3, 3], [1, 1], [1, 1]));
}

#[test]
fn the_places_of_a_map_of_classes_lie_where_their_windows_are() {
    let window: Vec<f32> = (0..9).map(|i| f32::from(u8::from(i == 4))).collect();
    let graph = Graph::new(&[1, 1, SIDE as i64, SIDE as i64])
        .floats("w", &[2, 1, 3, 3], &[window.iter().map(|v| -v).collect::<Vec<f32>>(), window].concat())
        .node(node("Conv", &["x", "w"], &["y"]));
    let net = read(graph.file("y", 17));
    let maps = net.class_maps().unwrap();
    assert_eq!((maps.size(), maps.part), ([6, 6], Some([1.0, 1.0, 7.0, 7.0])));
    let photo = Input::Tensor(pixel(3, 2));
    let Part::ClassMap(shown) = net.segment(&photo).unwrap().parts.remove(0) else { panic!("no map of classes") };
    assert_eq!(shown.extent, maps.part);
    // The point in the middle of the bright pixel is the one place that sees it.
    let at = Subject::pixel_class_at(&net, 1, Over::Point([2.5, 3.5]))
        .unwrap()
        .asked(&photo.prepared(&net).unwrap())
        .unwrap();
    let scores = at.scores(&net.forward(&pixel(3, 2), &at.tap().unwrap()).unwrap()).unwrap();
    assert_eq!(scores, [1.0]);
    let outside =
        Subject::pixel_class_at(&net, 1, Over::Point([0.5, 3.5])).unwrap().asked(&photo.prepared(&net).unwrap());
    let hint = outside.err().and_then(|e| e.hint).unwrap();
    assert!(hint.contains("6 x 6 places from (1, 1) to (7, 7) of 8 x 8 px"), "{hint}");
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
    let ReceptiveField::Local { size, stride, .. } = net.graph().fields()[conv.0] else { panic!("no window") };
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
