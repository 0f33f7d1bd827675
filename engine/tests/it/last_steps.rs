//! Nets that end in steps behind their scores (sorting, the place of the largest, a threshold), and nets that draw pictures: what
//! is read of them.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node};
use convscope_engine::data::Image;
use convscope_engine::inspect::{Evaluate as _, Segment as _};
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::model::OutputKind;
use convscope_engine::probes::find;
use convscope_engine::subject::Over;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Job, Model, Subject, Tensor};
use std::path::Path;

fn read(bytes: &[u8]) -> Model {
    read_with(bytes, serde_json::json!({}))
}

fn read_with(bytes: &[u8], options: serde_json::Value) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, bytes).unwrap();
    let options = LoadOptions::from_json(options.as_object().unwrap()).unwrap();
    load_model(path.to_str().unwrap(), &options, Path::new(""), &|_| {}).unwrap()
}

/// Scores 1, -2, 3, 0.5 times the one input.
fn scores() -> Graph {
    Graph::new(&[1, 1])
        .floats("w", &[4, 1], &[1.0, -2.0, 3.0, 0.5])
        .node(node("Gemm", &["x", "w"], &["s"]).int("transB", 1))
}

fn one() -> Tensor {
    tensor(vec![2f32], &[1, 1]).unwrap()
}

fn classes(net: &Model) -> Vec<(usize, f64)> {
    let table = net.predict(&Input::Tensor(one()), 4).unwrap();
    let numbers = |name: &str| table.column(name).unwrap().iter().map(|c| c.number().unwrap()).collect::<Vec<f64>>();
    numbers("index").into_iter().map(|i| i as usize).zip(numbers("probability")).collect()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let total: f64 = scores.iter().map(|s| s.exp()).sum();
    scores.iter().map(|s| s.exp() / total).collect()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-5, "{a} is not {b}");
}

#[test]
fn sorted_scores_and_places_are_read_by_class() {
    let want = softmax(&[2.0, -4.0, 6.0, 1.0]);
    let top = |output: &str| {
        scores()
            .ints("k", &[3])
            .node(node("Softmax", &["s"], &["p"]).int("axis", 1))
            .node(node("TopK", &["p", "k"], &["v", "i"]).int("axis", 1))
            .file_of(&[output], 17)
    };
    let flat = scores()
        .node(node("Softmax", &["s"], &["p"]).int("axis", 1))
        .node(node("ArgMax", &["p"], &["a"]).int("axis", 1).int("keepdims", 0))
        .node(node("Cast", &["a"], &["y"]).int("to", 6))
        .file("y", 17);
    for (bytes, note) in
        [(top("v"), "3 of 4 scores"), (top("i"), "place of the largest"), (flat, "place of the largest")]
    {
        let net = read(&bytes);
        let found = classes(&net);
        assert_eq!(found.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [2, 0, 3, 1]);
        found.iter().for_each(|(i, p)| close(*p, want[*i]));
        assert!(net.card().notes.iter().any(|n| n.contains(note)), "{:?}", net.card().notes);
        // The gradient of a class is that of its score.
        let probe = find("gradient").unwrap().default_probe();
        let subject = Subject::class_at(&net, 3).unwrap();
        let found = probe.run(&subject, &Input::Tensor(one()), &Job::new()).unwrap();
        close(to_f64(found.array_named("gradient").unwrap()).unwrap()[0], 0.5);
    }
    // A place of the smallest says nothing of probabilities.
    let least = scores().node(node("ArgMin", &["s"], &["y"]).int("axis", 1).int("keepdims", 0)).file("y", 17);
    assert_eq!(read(&least).readout().kind, OutputKind::Value);
    // A softmax over ranks is of no classes.
    let ranks = scores()
        .ints("k", &[3])
        .node(node("TopK", &["s", "k"], &["v", "i"]).int("axis", 1))
        .node(node("Softmax", &["v"], &["y"]).int("axis", 1))
        .file("y", 17);
    let net = read(&ranks);
    assert_eq!(net.readout().kind, OutputKind::Value);
    assert!(net.card().notes.iter().any(|n| n.contains("ranks, not classes")), "{:?}", net.card().notes);
}

#[test]
fn the_probabilities_before_a_threshold_are_read() {
    let thresholded = |squash: &str| {
        scores()
            .floats("half", &[1], &[0.5])
            .node(node(squash, &["s"], &["p"]))
            .node(node("Greater", &["p", "half"], &["b"]))
            .node(node("Cast", &["b"], &["y"]).int("to", 1))
            .file("y", 17)
    };
    let net = read(&thresholded("Sigmoid"));
    assert_eq!(net.readout().kind, OutputKind::Probability);
    let found = classes(&net);
    assert_eq!(found[0].0, 2);
    close(found[0].1, 1.0 / (1.0 + (-6f64).exp()));
    close(found[3].1, 1.0 / (1.0 + 4f64.exp()));
    assert!(net.card().notes.iter().any(|n| n.contains("probabilities before it are read")), "{:?}", net.card().notes);
    // Of other numbers a threshold gives zeros and ones, which are no logits.
    let net = read(&thresholded("Identity"));
    assert_eq!(net.readout().kind, OutputKind::Probability);
    assert_eq!(
        classes(&net).iter().map(|(i, p)| (*i, *p)).collect::<Vec<_>>(),
        [(0, 1.0), (2, 1.0), (3, 1.0), (1, 0.0)]
    );
    assert!(net.card().notes.iter().any(|n| n.contains("has no gradient")), "{:?}", net.card().notes);
}

/// Maps of three classes: 1, -1 and 0.2 times the photo's first channel.
fn maps(last: bool) -> Graph {
    let mut weight = vec![0f32; 9];
    (weight[0], weight[3], weight[6]) = (1.0, -1.0, 0.2);
    let g = Graph::new(&[1, 3, 4, 4]).floats("w", &[3, 3, 1, 1], &weight).node(node("Conv", &["x", "w"], &["s"]));
    match last {
        true => g.node(node("Transpose", &["s"], &["m"]).ints("perm", &[0, 2, 3, 1])),
        false => g.node(node("Identity", &["s"], &["m"])),
    }
}

#[test]
fn maps_that_end_in_the_place_of_the_largest_are_segmented() {
    for (last, keep, cast) in [(false, 0, None), (false, 1, Some(2)), (true, 0, Some(7)), (true, 1, None)] {
        let axis = if last { 3 } else { 1 };
        let g = maps(last).node(node("ArgMax", &["m"], &["a"]).int("axis", axis).int("keepdims", keep));
        let bytes = match cast {
            Some(kind) => g.node(node("Cast", &["a"], &["y"]).int("to", kind)).file("y", 17),
            None => g.file("a", 17),
        };
        let net = read_with(&bytes, serde_json::json!({ "preset": "raw", "mean": 127.5, "resize": "direct" }));
        assert_eq!(net.class_maps().unwrap().classes(), 3);
        assert!(
            net.card().notes.iter().any(|n| n.contains("the 3 scores before it are read")),
            "{:?}",
            net.card().notes
        );
        // Left white: class 0; right black: class 1.
        let rgb = (0..16).flat_map(|i| if i % 4 < 2 { [255u8; 3] } else { [0; 3] }).collect();
        let photo = Image::new(4, 4, rgb).unwrap();
        let found = net.segment(&Input::Image(photo.clone())).unwrap();
        let want: Vec<f64> = (0..16).map(|i| if i % 4 < 2 { 0.0 } else { 1.0 }).collect();
        assert_eq!(to_f64(found.array_named("classes").unwrap()).unwrap(), want);
        // The gradient of a class of pixels is that of its scores.
        let x = net.card().preprocess().unwrap().apply(&photo).unwrap();
        let subject = Subject::pixel_class_at(&net, 2, Over::Whole).unwrap();
        let probe = find("gradient").unwrap().default_probe();
        let found = probe.run(&subject, &Input::Tensor(x), &Job::new()).unwrap();
        let slope = to_f64(found.array_named("gradient").unwrap()).unwrap();
        close(slope[0], 0.2);
    }
}

#[test]
fn pictures_are_no_maps_of_classes() {
    let drawn = |end: &str| {
        let weight: Vec<f32> = (0..32).map(|i| (i % 5) as f32 - 2.0).collect();
        Graph::new(&[1, 2])
            .floats("w", &[16, 2], &weight)
            .ints("shape", &[1, 1, 4, 4])
            .floats("k", &[1, 1, 1, 1], &[1.5])
            .node(node("Gemm", &["x", "w"], &["s"]).int("transB", 1))
            .node(node("Reshape", &["s", "shape"], &["m"]))
            .node(node("Conv", &["m", "k"], &["c"]))
            .node(node(end, &["c"], &["y"]))
            .file("y", 17)
    };
    for end in ["Tanh", "Sigmoid", "Identity"] {
        let net = read(&drawn(end));
        assert_eq!(net.readout().kind, OutputKind::Value, "{end}");
        assert!(net.class_maps().is_err(), "{end}");
        assert!(net.card().notes.iter().any(|n| n.contains("values, not probabilities")), "{:?}", net.card().notes);
        let said = read_with(&drawn(end), serde_json::json!({ "output": "sigmoid" }));
        assert!(said.class_maps().is_ok(), "{end}");
    }
    let painted = maps(false).node(node("Tanh", &["m"], &["y"])).file("y", 17);
    assert_eq!(read(&painted).readout().kind, OutputKind::Value);
    assert_eq!(read(&maps(false).file("m", 17)).readout().kind, OutputKind::Softmax);
}

#[test]
fn scores_that_are_no_numbers_are_noted() {
    let net = read(&scores().file("s", 17));
    let input = |x: f32| Input::Tensor(tensor(vec![x], &[1, 1]).unwrap());
    let table = net.predict(&input(f32::NAN), 4).unwrap();
    assert!(table.notes().iter().any(|n| n.contains("4 of 4 scores are NaN")), "{:?}", table.notes());
    assert!(net.predict(&input(1.0), 4).unwrap().notes().is_empty());
}
