//! Choices whose other side is infinite or no number, integers that are computed, and rectifiers before bounds, against plain
//! arithmetic.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::probes::find;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{DType, Input, Job, Model, Subject};

const FLOAT: i64 = 1;
const INT64: i64 = 7;

fn output(net: &Model, x: &[f64]) -> Vec<f64> {
    let dims = [&[1], net.input_shape()].concat();
    let x = tensor(x.to_vec(), &dims).unwrap().to_dtype(DType::F32).unwrap();
    to_f64(&net.output(&x).unwrap()).unwrap()
}

fn near(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{what}: {found:?} for {wanted:?}");
}

const X: [f64; 6] = [0.5, -1.0, 2.0, 0.1, -0.3, 1.5];

#[test]
fn what_is_not_chosen_does_not_count_be_it_infinite_or_no_number() {
    let graph = || Graph::new(&[1, 6]).floats("zero", &[], &[0.0]).floats("low", &[], &[f32::NEG_INFINITY]);
    let positive = || node("Greater", &["x", "zero"], &["test"]);

    // Softmax over what a mask leaves, as masked_fill(x <= 0, -inf) is exported.
    let masked = graph()
        .node(positive())
        .node(node("Where", &["test", "x", "low"], &["kept"]))
        .node(node("Softmax", &["kept"], &["y"]).int("axis", 1));
    let net = read(masked.file("y", 17));
    let all: f64 = X.iter().filter(|v| **v > 0.0).map(|v| libm::exp(*v)).sum();
    let shares: Vec<f64> = X.iter().map(|v| if *v > 0.0 { libm::exp(*v) / all } else { 0.0 }).collect();
    near(&output(&net, &X), &shares, "masked softmax");

    // The gradient of a share: s (1 - s) for itself, - s t for another one that is left, nothing for one that is not.
    let x = Input::Tensor(tensor(X.map(|v| v as f32).to_vec(), &[1, 6]).unwrap());
    let probe = find("gradient").unwrap().default_probe();
    let found = probe.run(&Subject::class_at(&net, 2).unwrap(), &x, &Job::new()).unwrap();
    let logit: Vec<f64> = (0..6).map(|i| f64::from(u8::from(i == 2))).collect();
    near(&to_f64(found.array_named("gradient").unwrap()).unwrap(), &logit, "gradient of the logit");

    let guarded = graph().node(positive()).node(node("Log", &["x"], &["log"])).node(node(
        "Where",
        &["test", "log", "zero"],
        &["y"],
    ));
    near(
        &output(&read(guarded.file("y", 17)), &X),
        &X.map(|v| if v > 0.0 { libm::log(v) } else { 0.0 }),
        "guarded log",
    );

    let safe = graph()
        .node(node("Relu", &["x"], &["r"]))
        .node(node("Greater", &["r", "zero"], &["test"]))
        .node(node("Div", &["r", "r"], &["one"]))
        .node(node("Where", &["test", "one", "zero"], &["y"]));
    near(&output(&read(safe.file("y", 17)), &X), &X.map(|v| f64::from(u8::from(v > 0.0))), "safe division");
}

#[test]
fn a_mask_of_one_channel_chooses_over_all() {
    let graph = Graph::new(&[1, 2, 1, 3])
        .ints("first", &[0])
        .floats("zero", &[], &[0.0])
        .node(node("Gather", &["x", "first"], &["mask"]).int("axis", 1))
        .node(node("Greater", &["mask", "zero"], &["test"]))
        .node(node("Log", &["x"], &["log"]))
        .node(node("Where", &["test", "log", "zero"], &["y"]));
    let net = read(graph.file("y", 17));
    let x = [2.0, -1.0, 3.0, 4.0, -5.0, 6.0];
    let log = |v: f64| if v > 0.0 { libm::log(v) } else { 0.0 };
    near(&output(&net, &x), &x.map(log), "broadcast mask");
}

/// The place of the largest of a 4 x 5 map as column and row, as key points and heat maps are decoded.
#[test]
fn computed_integers_divide_as_integers_do() {
    let graph = Graph::new(&[1, 20])
        .ints("width", &[5])
        .node(node("ArgMax", &["x"], &["place"]).int("axis", 1).int("keepdims", 1))
        .node(node("Div", &["place", "width"], &["row"]))
        .node(node("Mul", &["row", "width"], &["start"]))
        .node(node("Sub", &["place", "start"], &["column"]))
        .node(node("Concat", &["column", "row"], &["both"]).int("axis", 1))
        .node(node("Cast", &["both"], &["y"]).int("to", FLOAT));
    let net = read(graph.file("y", 17));
    for (row, column) in [(2, 3), (0, 0), (3, 4), (1, 0)] {
        let mut x = [0.0; 20];
        x[row * 5 + column] = 1.0;
        assert_eq!(output(&net, &x), [column as f64, row as f64]);
    }

    // Towards zero, and only while the type is an integer's.
    let whole = Graph::new(&[1, 4])
        .ints("three", &[3])
        .node(node("Cast", &["x"], &["i"]).int("to", INT64))
        .node(node("Div", &["i", "three"], &["q"]))
        .node(node("Cast", &["q"], &["y"]).int("to", FLOAT));
    assert_eq!(output(&read(whole.file("y", 17)), &[-7.0, -1.0, 4.0, 8.0]), [-2.0, 0.0, 1.0, 2.0]);
    let real = Graph::new(&[1, 4])
        .floats("four", &[1], &[4.0])
        .node(node("Cast", &["x"], &["i"]).int("to", INT64))
        .node(node("Cast", &["i"], &["f"]).int("to", FLOAT))
        .node(node("Div", &["f", "four"], &["y"]));
    assert_eq!(output(&read(real.file("y", 17)), &[-7.0, -1.0, 4.0, 8.0]), [-1.75, -0.25, 1.0, 2.0]);
}

/// `fmod` of constants has the sign of the dividend: -4 and 5 by 3 give -1 and 2, else 2 and 2.
#[test]
fn the_remainder_of_constants_has_the_sign_that_the_file_asks_for() {
    for (fmod, wanted) in [(1, [-1.0, 2.0]), (0, [2.0, 2.0])] {
        let graph = Graph::new(&[1, 2])
            .ints("a", &[-4, 5])
            .ints("b", &[3, 3])
            .node(node("Mod", &["a", "b"], &["m"]).int("fmod", fmod))
            .node(node("Cast", &["m"], &["f"]).int("to", FLOAT))
            .node(node("Add", &["x", "f"], &["y"]));
        assert_eq!(output(&read(graph.file("y", 17)), &[0.0, 0.0]), wanted);
    }
}

/// The steps of a recurrent layer are called after it: a name of 300 KB would be held some ten thousand times.
#[test]
fn names_that_are_no_names_are_refused() {
    let long = "n".repeat(300_000);
    let graph = Graph::new(&[1, 2]).node(node("Relu", &["x"], &[&long]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    std::fs::write(&file, graph.file(&long, 17)).unwrap();
    let said = load(&file, &Options::default()).unwrap_err().to_string();
    assert!(said.contains("has 300000 bytes, more than the limit") && said.len() < 500, "{said}");
}

/// Generalised-mean pooling bounds a rectified map from below: guided backprop acts on the rectifier.
#[test]
fn a_rectifier_before_a_bound_stays_a_layer() {
    let graph = Graph::new(&[1, 4])
        .floats("eps", &[], &[1e-6])
        .floats("w", &[1, 4], &[1.0, -2.0, 3.0, -1.0])
        .node(node("Relu", &["x"], &["r"]))
        .node(node("Clip", &["r", "eps"], &["bounded"]))
        .node(node("Gemm", &["bounded", "w"], &["y"]).int("transB", 1));
    let net = read(graph.file("y", 17));
    assert!(net.layer("r").is_ok(), "the rectifier is gone");
    let x = Input::Tensor(tensor(vec![0.5f32, 0.7, -0.2, 1.0], &[1, 4]).unwrap());
    let probe = find("guided_backprop").unwrap().default_probe();
    let found = probe.run(&Subject::class_at(&net, 0).unwrap(), &x, &Job::new()).unwrap();
    // Only positive signals pass, where the input was positive.
    near(&to_f64(found.array_named("guided_backprop").unwrap()).unwrap(), &[1.0, 0.0, 0.0, 0.0], "guided backprop");
}

/// onnxruntime's values: windows that are rounded up sum what there is of the map, as ONNX defines the operator.
#[test]
fn a_power_pool_rounded_up_sums_what_its_windows_meet() {
    let x: Vec<f32> = (0..36).map(|i| (i % 11) as f32 - 5.0).collect();
    for (p, pads, right) in [
        (2, [0, 0, 0, 0], [93.0, 69.0, 52.0, 72.0, 73.0, 47.0, 64.0, 68.0, 30.0]),
        (1, [1, 1, 0, 0], [12.0, 18.0, 17.0, 15.0, 27.0, 30.0, 17.0, 29.0, 29.0]),
    ] {
        let pool = node("LpPool", &["x"], &["y"]).ints("kernel_shape", &[3, 3]).ints("strides", &[2, 2]);
        let pool = pool.ints("pads", &pads).int("p", p).int("ceil_mode", 1);
        let net = read(Graph::new(&[1, 1, 6, 6]).node(pool).file("y", 18));
        let y = to_f64(&net.output(&tensor(x.clone(), &[1, 1, 6, 6]).unwrap()).unwrap()).unwrap();
        assert_eq!(y.len(), 9);
        for (got, right) in y.iter().zip(right) {
            assert!((got.powi(p as i32) - right).abs() < 1e-3, "{y:?}");
        }
    }
}

/// onnxruntime's values, and NumPy's: of an integer that eight bits do not hold its lowest bits are left.
#[test]
fn a_cast_to_eight_bits_gives_what_they_hold() {
    let x = [-3.8f32, 303.0, -0.5, 255.9, 256.0, -200.0, 127.5, 128.0, 1000.25, -129.0];
    for (to, right) in [
        (2, [253.0, 47.0, 0.0, 255.0, 0.0, 56.0, 127.0, 128.0, 232.0, 127.0]),
        (3, [-3.0, 47.0, 0.0, -1.0, 0.0, 56.0, 127.0, -128.0, -24.0, 127.0]),
    ] {
        let cast = node("Cast", &["x"], &["i"]).int("to", to);
        let net = read(Graph::new(&[1, 10]).node(cast).node(node("Cast", &["i"], &["y"]).int("to", 1)).file("y", 18));
        let y = to_f64(&net.output(&tensor(x.to_vec(), &[1, 10]).unwrap()).unwrap()).unwrap();
        assert_eq!(y, right, "type {to}");
    }
    // What fits stays a plain integer: a truth value, a clipped number, the place of the largest.
    let truth = node("Greater", &["x", "zero"], &["t"]);
    let net = Graph::new(&[1, 10]).floats("zero", &[], &[0.0]).node(truth);
    let net =
        read(net.node(node("Cast", &["t"], &["i"]).int("to", 2)).node(node("Identity", &["i"], &["y"])).file("y", 18));
    assert!(!net.graph().nodes().iter().any(|n| n.op.kind() == "low_byte"));
}
