//! Nets that scale pixels themselves, behind steps that a pipeline exports with them: what `explain` takes their pixels for.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, Node, node};
use convscope_engine::load::LoadOptions;
use convscope_engine::load::guess::{self, Guess};
use convscope_engine::load::load_model;
use convscope_engine::{Model, Result};
use std::path::Path;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn graph(input: &[i64]) -> Graph {
    let weight: Vec<f32> = (0..54).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect();
    Graph::new(input)
        .floats("bytes", &[], &[255.0])
        .floats("zero", &[], &[0.0])
        .floats("half", &[1], &[127.5])
        .floats("one", &[], &[1.0])
        .floats("mean", &[1, 3, 1, 1], &MEAN)
        .floats("std", &[1, 3, 1, 1], &STD)
        .floats("means", &[1, 3, 1, 1], &MEAN.map(|m| 255.0 * m))
        .floats("w", &[2, 3, 3, 3], &weight)
}

/// x / 255, minus ImageNet's mean, by its deviation.
fn normalised(g: Graph, from: &str) -> Graph {
    g.node(node("Div", &[from, "bytes"], &["n1"])).node(node("Sub", &["n1", "mean"], &["n2"])).node(node(
        "Div",
        &["n2", "std"],
        &["n3"],
    ))
}

/// A convolution over `from`, and its means.
fn closed(g: Graph, from: &str) -> Vec<u8> {
    g.node(node("Conv", &[from, "w"], &["conv"]))
        .node(node("GlobalAveragePool", &["conv"], &["pooled"]))
        .node(node("Flatten", &["pooled"], &["y"]))
        .file("y", 17)
}

fn loaded(bytes: &[u8]) -> (Model, Result<Guess>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, bytes).unwrap();
    let options = LoadOptions::default();
    let net = load_model(path.to_str().unwrap(), &options, Path::new(""), &|_| {}).unwrap();
    let guess = guess::complete(&net, &path, &options);
    (net, guess)
}

/// What pixels are taken to be.
fn takes(bytes: &[u8]) -> &'static str {
    let guess = loaded(bytes).1.unwrap();
    match (guess.options["preset"].as_str().unwrap(), guess.options.contains_key("scale")) {
        ("raw", false) => "bytes",
        ("raw", true) => "unit",
        ("tf", _) => "signed",
        ("imagenet", _) => "assumed",
        other => panic!("{other:?}"),
    }
}

fn behind(step: Node) -> Vec<u8> {
    let g = graph(&[1, 3, 16, 16])
        .ints("sizes", &[1, 3, 12, 12])
        .ints("pads", &[0, 0, 2, 2, 0, 0, 2, 2])
        .ints("two", &[2, 2])
        .ints("ten", &[10, 10])
        .ints("axes", &[2, 3])
        .node(step);
    closed(normalised(g, "s"), "n3")
}

#[test]
fn scaling_is_seen_behind_the_steps_of_a_pipeline() {
    for step in [
        node("Resize", &["x", "", "", "sizes"], &["s"]).text("mode", "linear"),
        node("Slice", &["x", "two", "ten", "axes"], &["s"]),
        node("Clip", &["x", "zero", "bytes"], &["s"]),
        node("Pad", &["x", "pads"], &["s"]),
        node("AveragePool", &["x"], &["s"]).ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2]),
        node("Relu", &["x"], &["s"]),
    ] {
        assert_eq!(takes(&behind(step)), "bytes");
    }
    // Clipped to 0 and 1, pixels are no bytes; what is then divided by 255 is none of the usual ranges.
    assert_eq!(takes(&behind(node("Clip", &["x", "zero", "one"], &["s"]))), "unit");
    let plain = graph(&[1, 3, 16, 16]);
    assert_eq!(takes(&closed(plain.node(node("Clip", &["x", "zero", "bytes"], &["s"])), "s")), "bytes");
    // A clip that cuts pixels is a layer.
    let cut = graph(&[1, 3, 16, 16]).floats("low", &[], &[100.0]);
    assert_eq!(
        takes(&closed(normalised(cut.node(node("Clip", &["x", "low", "bytes"], &["s"])), "s"), "n3")),
        "assumed"
    );
}

#[test]
fn channels_may_be_scaled_apart_and_in_halves_of_the_photo() {
    // Each channel minus its mean, over its deviation.
    let mut g = graph(&[1, 3, 16, 16]).node(node("Split", &["x"], &["r", "g", "b"]).int("axis", 1));
    for (c, name) in ["r", "g", "b"].into_iter().enumerate() {
        let [mean, std, a, b, d] = ["mean", "std", "a", "b", "d"].map(|part| format!("{name}_{part}"));
        g = g
            .floats(&mean, &[1], &[MEAN[c]])
            .floats(&std, &[1], &[STD[c]])
            .node(node("Div", &[name, "bytes"], &[&a]))
            .node(node("Sub", &[&a, &mean], &[&b]))
            .node(node("Div", &[&b, &std], &[&d]));
    }
    let apart = |g: Graph, order: [&str; 3]| closed(g.node(node("Concat", &order, &["all"]).int("axis", 1)), "all");
    assert_eq!(takes(&apart(g, ["r_d", "g_d", "b_d"])), "bytes");
    // Blue first, minus Caffe's means in that order.
    let turned = graph(&[1, 3, 16, 16])
        .floats("caffe", &[1, 3, 1, 1], &[103.939, 116.779, 123.68])
        .node(node("Sub", &["x", "caffe"], &["m"]))
        .node(node("Split", &["m"], &["b", "g", "r"]).int("axis", 1));
    let guess = loaded(&apart(turned, ["r", "g", "b"])).1.unwrap();
    assert_eq!((guess.options["preset"].as_str(), guess.options["order"].as_str()), (Some("raw"), Some("BGR")));
    // Two views of the same pixels.
    let two = normalised(graph(&[1, 3, 16, 16]), "x")
        .ints("last", &[-1])
        .ints("first", &[-1000])
        .ints("columns", &[3])
        .node(node("Slice", &["n3", "last", "first", "columns", "last"], &["turned"]))
        .node(node("Conv", &["n3", "w"], &["c1"]))
        .node(node("Conv", &["turned", "w"], &["c2"]))
        .node(node("Add", &["c1", "c2"], &["sum"]))
        .node(node("GlobalAveragePool", &["sum"], &["pooled"]))
        .node(node("Flatten", &["pooled"], &["y"]));
    assert_eq!(takes(&two.file("y", 17)), "bytes");
}

#[test]
fn a_mean_image_and_factors_that_make_bytes_are_read() {
    let image: Vec<f32> = (0..3 * 256).map(|i| 100.0 + (i % 21) as f32).collect();
    let g = graph(&[1, 3, 16, 16]).floats("image", &[1, 3, 16, 16], &image).node(node("Sub", &["x", "image"], &["m"]));
    assert_eq!(takes(&closed(g, "m")), "bytes");
    let g = graph(&[1, 3, 16, 16]).floats("image", &[16, 16], &image[..256]).node(node("Sub", &["x", "image"], &["m"]));
    assert_eq!(takes(&closed(g, "m")), "bytes");
    let g =
        graph(&[1, 3, 16, 16]).node(node("Mul", &["x", "bytes"], &["m"])).node(node("Sub", &["m", "means"], &["n"]));
    assert_eq!(takes(&closed(g, "n")), "unit");
    // (x + 1) * 127.5 - means
    let g = graph(&[1, 3, 16, 16])
        .node(node("Add", &["x", "one"], &["a"]))
        .node(node("Mul", &["a", "half"], &["m"]))
        .node(node("Sub", &["m", "means"], &["n"]));
    assert_eq!(takes(&closed(g, "n")), "signed");
    // A first layer's own numbers, no scaling.
    assert_eq!(takes(&closed(graph(&[1, 3, 16, 16]), "x")), "assumed");
}

#[test]
fn channels_last_may_be_resized_first() {
    let resized = graph(&[1, 16, 16, 3])
        .ints("sizes", &[1, 12, 12, 3])
        .node(node("Resize", &["x", "", "", "sizes"], &["s"]).text("mode", "linear"))
        .node(node("Transpose", &["s"], &["t"]).ints("perm", &[0, 3, 1, 2]));
    let bytes = closed(normalised(resized, "t"), "n3");
    assert_eq!(loaded(&bytes).0.input_shape(), [3, 16, 16]);
    assert_eq!(takes(&bytes), "bytes");
    let cut = graph(&[1, 16, 16, 3])
        .ints("two", &[2, 2])
        .ints("ten", &[10, 10])
        .ints("axes", &[1, 2])
        .node(node("Slice", &["x", "two", "ten", "axes"], &["s"]))
        .node(node("Transpose", &["s"], &["t"]).ints("perm", &[0, 3, 1, 2]));
    assert_eq!(takes(&closed(normalised(cut, "t"), "n3")), "bytes");
    // Channels first stay so.
    let first = behind(node("Resize", &["x", "", "", "sizes"], &["s"]).text("mode", "linear"));
    assert_eq!(loaded(&first).0.input_shape(), [3, 16, 16]);
}
