//! Where maps lie on the input: over all of it in the usual forms of nets, at a known place behind rolls and cuts of patches, and not
//! known where places are moved in other ways. Lists of places are no classes.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::detect::recognise;
use convscope_engine::graph::MapPlace;
use convscope_engine::probes::find;
use convscope_engine::show::Part;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Subject, Tensor};

const SIDE: i64 = 32;

/// A weight of numbers without a pattern.
fn weight(graph: Graph, name: &str, dims: &[i64]) -> Graph {
    let n: i64 = dims.iter().product();
    let values: Vec<f32> = (0..n).map(|i| ((i * 7 + 3) % 11) as f32 / 11.0 - 0.3).collect();
    graph.floats(name, dims, &values)
}

/// A convolution `from` -> `to` of `sizes` (out, in, side), stride and padding.
fn conv(graph: Graph, from: &str, to: &str, [out, into, side]: [i64; 3], stride: i64, padding: i64) -> Graph {
    let name = format!("{to}_w");
    weight(graph, &name, &[out, into, side, side]).node(
        node("Conv", &[from, &name], &[to])
            .ints("kernel_shape", &[side, side])
            .ints("strides", &[stride, stride])
            .ints("pads", &[padding; 4]),
    )
}

fn pool(graph: Graph, op: &str, from: &str, to: &str, [side, stride, padding]: [i64; 3]) -> Graph {
    graph.node(
        node(op, &[from], &[to])
            .ints("kernel_shape", &[side, side])
            .ints("strides", &[stride, stride])
            .ints("pads", &[padding; 4]),
    )
}

/// Entries `start` to `end` of an axis, `step` apart.
fn slice(graph: Graph, from: &str, to: &str, axis: i64, [start, end, step]: [i64; 3]) -> Graph {
    let [s, e, a, t] = ["start", "end", "axis", "step"].map(|part| format!("{to}_{part}"));
    graph.ints(&s, &[start]).ints(&e, &[end]).ints(&a, &[axis]).ints(&t, &[step]).node(node(
        "Slice",
        &[from, &s, &e, &a, &t],
        &[to],
    ))
}

fn reshape(graph: Graph, from: &str, to: &str, dims: &[i64]) -> Graph {
    let name = format!("{to}_shape");
    graph.ints(&name, dims).node(node("Reshape", &[from, &name], &[to]))
}

fn transpose(graph: Graph, from: &str, to: &str, perm: &[i64]) -> Graph {
    graph.node(node("Transpose", &[from], &[to]).ints("perm", perm))
}

fn concat(graph: Graph, from: &[&str], to: &str, axis: i64) -> Graph {
    graph.node(node("Concat", from, &[to]).int("axis", axis))
}

/// Twice the rows and columns.
fn doubled(graph: Graph, from: &str, to: &str) -> Graph {
    let name = format!("{to}_scales");
    graph.floats(&name, &[4], &[1.0, 1.0, 2.0, 2.0]).node(
        node("Resize", &[from, "", &name], &[to])
            .text("mode", "nearest")
            .text("coordinate_transformation_mode", "asymmetric")
            .text("nearest_mode", "floor"),
    )
}

/// The entries of an axis from `by` on, then those before: what torch.roll becomes.
fn rolled(graph: Graph, from: &str, to: &str, axis: i64, by: i64) -> Graph {
    let [a, b] = ["late", "early"].map(|part| format!("{to}_{part}"));
    let graph = slice(graph, from, &a, axis, [by, i64::MAX, 1]);
    concat(slice(graph, from, &b, axis, [0, by, 1]), &[&a, &b], to, axis)
}

fn x() -> Graph {
    Graph::new(&[1, 3, SIDE, SIDE])
}

/// What is in front of a head of two classes, and where the head starts.
fn headed(graph: Graph, from: &str, channels: i64) -> Model {
    let graph = graph.node(node("GlobalAveragePool", &[from], &["mean"])).node(node("Flatten", &["mean"], &["flat"]));
    read(
        weight(graph, "head", &[2, channels])
            .node(node("Gemm", &["flat", "head"], &["y"]).int("transB", 1))
            .file("y", 17),
    )
}

fn place(net: &Model, name: &str) -> MapPlace {
    let id = net.layer(name).unwrap();
    assert!(net.graph().map_layout(id).is_some(), "{name} is no map");
    net.graph().map_place(id, 0.04)
}

#[test]
fn residual_dense_and_gated_nets_lie_over_the_whole_input() {
    // ResNet: a strided shortcut beside a strided window.
    let g = pool(conv(x(), "x", "stem", [4, 3, 7], 2, 3), "MaxPool", "stem", "pooled", [3, 2, 1]);
    let g = conv(conv(g, "pooled", "wide", [4, 4, 3], 2, 1), "pooled", "narrow", [4, 4, 1], 2, 0);
    let g = g.node(node("Add", &["wide", "narrow"], &["sum"]));
    // Inception and DenseNet: windows of several sizes side by side.
    let g = conv(conv(g, "sum", "one", [4, 4, 1], 1, 0), "sum", "five", [4, 4, 5], 1, 2);
    let g = concat(pool(g, "MaxPool", "sum", "most", [3, 1, 1]), &["one", "five", "most", "sum"], "dense", 1);
    // Squeeze and excitation, and a gate of one value for each place.
    let g = g.node(node("GlobalAveragePool", &["dense"], &["squeezed"]));
    let g = conv(g, "squeezed", "excited", [16, 16, 1], 1, 0)
        .node(node("Sigmoid", &["excited"], &["gate"]))
        .node(node("Mul", &["dense", "gate"], &["gated"]))
        .node(node("ReduceMean", &["gated"], &["average"]).ints("axes", &[1]).int("keepdims", 1));
    let g = conv(g, "average", "spread", [1, 1, 7], 1, 3).node(node("Sigmoid", &["spread"], &["places"])).node(node(
        "Mul",
        &["gated", "places"],
        &["seen"],
    ));
    let net = headed(g, "seen", 16);
    for name in ["stem", "pooled", "wide", "narrow", "sum", "five", "dense", "gated", "spread", "seen"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
}

#[test]
fn nets_of_tensorflow_and_searched_cells_lie_over_the_whole_input() {
    // SAME padding as a layer of its own: one row and one column more at the end, at every stride.
    let mut g = x().ints("pads", &[0, 0, 0, 0, 0, 0, 1, 1]);
    for (from, to, into) in [("x", "a", 3), ("a", "b", 4), ("b", "c", 4)] {
        let padded = format!("{to}_padded");
        g = conv(g.node(node("Pad", &[from, "pads"], &[&padded])), &padded, to, [4, into, 3], 2, 0);
    }
    let net = headed(g, "c", 4);
    for name in ["a", "b", "c"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
    // NASNet's factorised reduction: every other pixel, and every other one from the next on.
    let mut g = x().ints("pads", &[0, 0, 0, 0, 0, 0, 1, 1]);
    for (from, to, into) in [("x", "a", 3), ("a", "b", 4), ("b", "c", 4)] {
        let [even, odd, padded, lower, moved, left, right] =
            ["even", "odd", "padded", "lower", "moved", "left", "right"].map(|part| format!("{to}_{part}"));
        g = pool(g, "AveragePool", from, &even, [1, 2, 0]).node(node("Pad", &[from, "pads"], &[&padded]));
        g = slice(slice(g, &padded, &lower, 2, [1, i64::MAX, 1]), &lower, &moved, 3, [1, i64::MAX, 1]);
        g = pool(g, "AveragePool", &moved, &odd, [1, 2, 0]);
        g = conv(conv(g, &even, &left, [2, into, 1], 1, 0), &odd, &right, [2, into, 1], 1, 0);
        g = concat(g, &[&left, &right], to, 1);
    }
    let net = headed(g, "c", 4);
    for name in ["a", "b", "c"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
}

#[test]
fn nets_that_enlarge_and_rearrange_pixels_lie_over_the_whole_input() {
    // U-Net and FPN: down, up by either way, beside what was there before.
    let g = pool(conv(x(), "x", "top", [4, 3, 3], 1, 1), "MaxPool", "top", "half", [2, 2, 0]);
    let g = pool(conv(g, "half", "middle", [4, 4, 3], 1, 1), "MaxPool", "middle", "quarter", [2, 2, 0]);
    let g = conv(g, "quarter", "low", [4, 4, 3], 1, 1);
    let g = weight(g, "up_w", &[4, 4, 2, 2])
        .node(node("ConvTranspose", &["low", "up_w"], &["up"]).ints("kernel_shape", &[2, 2]).ints("strides", &[2, 2]));
    let g = conv(concat(g, &["middle", "up"], "joined", 1), "joined", "mixed", [4, 8, 3], 1, 1);
    let g = doubled(g, "mixed", "large").node(node("Add", &["large", "top"], &["sum"]));
    // DeepLab: the mean of everything beside each place.
    let g = g.node(node("GlobalAveragePool", &["sum"], &["all"])).ints("size", &[1, 4, SIDE, SIDE]);
    let g = g.node(node("Resize", &["all", "", "", "size"], &["everywhere"]).text("mode", "linear"));
    let g = concat(g, &["everywhere", "sum"], "deep", 1);
    let net = headed(g, "deep", 8);
    for name in ["low", "up", "mixed", "large", "sum", "deep"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
    // YOLO's focus: each of four pixels on channels of its own; then pixels of blocks of channels, and back.
    let mut g = x();
    for (name, row, column) in [("a", 0, 0), ("b", 1, 0), ("c", 0, 1), ("d", 1, 1)] {
        let rows = format!("{name}_rows");
        g = slice(g, "x", &rows, 2, [row, i64::MAX, 2]);
        g = slice(g, &rows, name, 3, [column, i64::MAX, 2]);
    }
    let g = conv(concat(g, &["a", "b", "c", "d"], "focus", 1), "focus", "stem", [8, 12, 3], 1, 1);
    let g = g.node(node("DepthToSpace", &["stem"], &["pixels"]).int("blocksize", 2));
    let g = conv(g, "pixels", "fine", [4, 2, 3], 1, 1);
    let g = g.node(node("SpaceToDepth", &["fine"], &["blocks"]).int("blocksize", 4));
    let net = headed(conv(g, "blocks", "coarse", [4, 64, 3], 1, 1), "coarse", 4);
    for name in ["focus", "stem", "fine", "coarse"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
}

#[test]
fn transformers_lie_over_the_whole_input() {
    // Tokens with a class token, which attend to each other.
    let g = reshape(conv(x(), "x", "patches", [4, 3, 8], 8, 0), "patches", "list", &[1, 4, 16]);
    let g = weight(transpose(g, "list", "tokens", &[0, 2, 1]), "cls", &[1, 1, 4]);
    let g =
        weight(concat(g, &["cls", "tokens"], "all", 1), "pos", &[1, 17, 4]).node(node("Add", &["all", "pos"], &["in"]));
    let g = transpose(g, "in", "keys", &[0, 2, 1])
        .node(node("MatMul", &["in", "keys"], &["raw"]))
        .node(node("Softmax", &["raw"], &["weights"]).int("axis", -1))
        .node(node("MatMul", &["weights", "in"], &["read"]));
    let g = weight(g, "p", &[4, 4]).node(node("MatMul", &["read", "p"], &["projected"]));
    let g = g.node(node("Add", &["in", "projected"], &["out"]));
    let g = g.node(node("ReduceMean", &["out"], &["mean"]).ints("axes", &[1]).int("keepdims", 0));
    let net = read(weight(g, "head", &[4, 2]).node(node("MatMul", &["mean", "head"], &["y"])).file("y", 17));
    for name in ["tokens", "in", "out"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
    // Swin: rows and columns last, rolled, cut into windows and put back.
    let g = transpose(conv(x(), "x", "patches", [4, 3, 2], 2, 0), "patches", "last", &[0, 2, 3, 1]);
    let g = rolled(rolled(g, "last", "down", 1, 3), "down", "across", 2, 3);
    let g = transpose(reshape(g, "across", "parted", &[1, 2, 8, 2, 8, 4]), "parted", "sorted", &[0, 1, 3, 2, 4, 5]);
    let g = weight(reshape(g, "sorted", "windows", &[4, 64, 4]), "q", &[4, 4]);
    let g = g.node(node("MatMul", &["windows", "q"], &["attended"]));
    let g = reshape(g, "attended", "apart", &[1, 2, 2, 8, 8, 4]);
    let g = reshape(transpose(g, "apart", "beside", &[0, 1, 3, 2, 4, 5]), "beside", "back", &[1, 16, 16, 4]);
    let g = rolled(rolled(g, "back", "up", 1, 13), "up", "straight", 2, 13);
    let g = g.node(node("Add", &["last", "straight"], &["sum"]));
    let g = transpose(g, "sum", "first", &[0, 3, 1, 2]);
    let net = headed(conv(g, "first", "reduced", [4, 4, 2], 2, 0), "reduced", 4);
    for name in ["last", "sum", "first", "reduced"] {
        assert_eq!(place(&net, name), MapPlace::Whole, "{name}");
    }
}

/// One bright pixel of 8 x 8.
fn pixel(row: usize, column: usize) -> Tensor {
    let mut x = vec![0f32; 64];
    x[row * 8 + column] = 1.0;
    tensor(x, &[1, 1, 8, 8]).unwrap()
}

/// What becomes `moved`, of so many channels, and a head that counts brightness.
fn counted(channels: i64, before: impl Fn(Graph) -> Graph) -> Model {
    let ones = vec![1.0; 2 * channels as usize];
    let graph = before(Graph::new(&[1, 1, 8, 8]))
        .floats("w", &[2, channels, 1, 1], &ones)
        .floats("head", &[2, 2], &[1.0, 1.0, -1.0, -1.0])
        .node(node("Conv", &["moved", "w"], &["conv"]))
        .node(node("Relu", &["conv"], &["relu"]))
        .node(node("GlobalAveragePool", &["relu"], &["mean"]))
        .node(node("Flatten", &["mean"], &["flat"]))
        .node(node("Gemm", &["flat", "head"], &["y"]).int("transB", 1));
    read(graph.file("y", 17))
}

fn grad_cam(net: &Model, x: Tensor) -> Artifact {
    let probe = find("grad_cam").unwrap().default_probe();
    probe.run(&Subject::class_at(net, 0).unwrap(), &Input::Tensor(x), &Job::new()).unwrap()
}

/// The map as it is drawn.
fn drawn(found: &Artifact) -> Tensor {
    let Part::Map(map) = &found.parts[0] else { panic!("no map") };
    map.values.clone()
}

/// The row and column of the largest value.
fn hottest(found: &Artifact) -> [usize; 2] {
    let (map, columns) = (to_f64(&drawn(found)).unwrap(), drawn(found).dims()[1]);
    let at = (0..map.len()).fold(0, |best, i| if map[i] > map[best] { i } else { best });
    [at / columns, at % columns]
}

#[test]
fn a_rolled_map_is_drawn_where_the_input_was() {
    let net = counted(1, |g| rolled(rolled(g, "x", "down", 2, 4), "down", "moved", 3, 3));
    for [row, column] in [[3, 2], [0, 7], [6, 5]] {
        let found = grad_cam(&net, pixel(row, column));
        assert_eq!((drawn(&found).dims(), hottest(&found)), (&[8, 8][..], [row, column]));
        assert!(found.notes.iter().any(|n| n.contains("another order")), "{:?}", found.notes);
    }
}

#[test]
fn maps_whose_places_are_not_followed_say_so() {
    let halves = |g: Graph| slice(slice(g, "x", "right", 3, [4, 8, 1]), "x", "left", 3, [0, 4, 1]);
    // Rows and columns exchanged by a grid: x comes of the row, y of the column.
    let grid: Vec<f32> = (0..64).flat_map(|i| [i / 8, i % 8].map(|k| (k as f32 + 0.5) / 4.0 - 1.0)).collect();
    let nets = [
        ("halves on channels", counted(2, |g| concat(halves(g), &["left", "right"], "moved", 1)), "(`moved`)", [8, 4]),
        (
            "halves compared",
            counted(1, |g| halves(g).node(node("Sub", &["left", "right"], &["moved"]))),
            "(`moved`)",
            [8, 4],
        ),
        (
            "tiles on channels",
            counted(4, |g| {
                let g = transpose(reshape(g, "x", "cut", &[1, 1, 2, 4, 2, 4]), "cut", "tiles", &[0, 1, 2, 4, 3, 5]);
                reshape(g, "tiles", "moved", &[1, 4, 4, 4])
            }),
            "",
            [4, 4],
        ),
        (
            "a grid",
            counted(1, |g| g.floats("grid", &[1, 8, 8, 2], &grid).node(node("GridSample", &["x", "grid"], &["moved"]))),
            "(`moved`)",
            [8, 8],
        ),
    ];
    for (what, net, by, size) in &nets {
        let found = grad_cam(net, pixel(3, 2));
        assert_eq!(found.value().unwrap().dims(), size, "{what}");
        let said = found
            .notes
            .iter()
            .find(|n| n.contains("not followed"))
            .unwrap_or_else(|| panic!("{what}: {:?}", found.notes));
        assert!(said.contains(by), "{what}: {said}");
    }
    // Each half by itself has its part.
    let net = &nets[0].1;
    assert_eq!(place(net, "right"), MapPlace::Part([0.0, 4.0, 8.0, 8.0]));
}

#[test]
fn patches_cut_by_reshapes_are_a_grid() {
    let graph = reshape(Graph::new(&[1, 1, 8, 8]), "x", "cut", &[1, 1, 4, 2, 4, 2]);
    let graph = reshape(transpose(graph, "cut", "sorted", &[0, 2, 4, 3, 5, 1]), "sorted", "patches", &[1, 16, 4])
        .floats("w", &[4, 2], &[1.0; 8])
        .floats("head", &[2, 2], &[1.0, -1.0, 1.0, -1.0])
        .node(node("MatMul", &["patches", "w"], &["tokens"]))
        .node(node("Relu", &["tokens"], &["relu"]))
        .node(node("ReduceMean", &["relu"], &["mean"]).ints("axes", &[1]).int("keepdims", 0))
        .node(node("MatMul", &["mean", "head"], &["y"]));
    let net = read(graph.file("y", 17));
    let layout = net.graph().map_layout(net.layer("relu").unwrap()).unwrap();
    assert_eq!(layout.shape, [2, 4, 4]);
    assert_eq!(place(&net, "relu"), MapPlace::Whole);
    for [row, column] in [[3, 2], [0, 7], [6, 5]] {
        let found = grad_cam(&net, pixel(row, column));
        assert_eq!((found.value().unwrap().dims(), hottest(&found)), (&[4, 4][..], [row / 2, column / 2]));
    }
}

#[test]
fn a_list_of_places_is_a_map_of_one_class() {
    let graph = conv(Graph::new(&[1, 3, 8, 8]), "x", "conv", [1, 3, 3], 1, 1)
        .node(node("Sigmoid", &["conv"], &["p"]))
        .node(node("Flatten", &["p"], &["y"]));
    let net = read(graph.file("y", 17));
    let refused = net.labels_readout().unwrap_err().to_string();
    assert!(refused.contains("a list of 64 places"), "{refused}");
    let maps = net.class_maps().unwrap();
    assert_eq!((maps.size(), maps.classes(), maps.part, maps.is_placed), ([8, 8], 1, None, true));
    // The same numbers of a linear layer are classes.
    let graph =
        conv(Graph::new(&[1, 3, 8, 8]), "x", "conv", [1, 3, 3], 1, 1).node(node("Flatten", &["conv"], &["flat"]));
    let graph = weight(graph, "head", &[64, 64]).node(node("MatMul", &["flat", "head"], &["y"]));
    assert!(read(graph.file("y", 17)).labels_readout().is_ok());
}

#[test]
fn boxes_are_recognised_beside_key_points() {
    let mut graph = Graph::new(&[1, 3, 8, 8]);
    for (name, width) in [("score", 2), ("bbox", 8), ("kps", 20)] {
        let [map, turned, raw] = ["map", "turned", "raw"].map(|part| format!("{name}_{part}"));
        graph = transpose(conv(graph, "x", &map, [width, 3, 3], 2, 1), &map, &turned, &[0, 2, 3, 1]);
        let end = if name == "score" { raw.as_str() } else { name };
        graph = reshape(graph, &turned, end, &[1, 32, width / 2]);
    }
    let graph = graph.node(node("Sigmoid", &["score_raw"], &["score"]));
    let net = read(graph.file_of(&["score", "bbox", "kps"], 17));
    assert!(net.labels_readout().is_err(), "candidates are no classes");
    let found = recognise(&net).unwrap();
    assert_eq!((found.scores.as_deref(), found.boxes.as_deref()), (Some("score"), Some("bbox")));
}
