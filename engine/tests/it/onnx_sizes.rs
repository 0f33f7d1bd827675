//! ONNX files of very many nodes are read in time that follows their number, and reading ends when it is asked to.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, Node, node};
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::signal::StopSignal;
use convscope_engine::tensor::to_f32;
use convscope_engine::{DType, Device, Kind, Model, Result, Tensor};

/// Channels whose constants stand beside a net of few nodes.
const WIDE: usize = 100_000;

fn read(graph: Graph, output: &str) -> Result<Model> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, graph.file(output, 13)).unwrap();
    load(&path, &Options::default())
}

/// A graph over `channels` x 1 x 1 of `count` links; `link` makes one from the name of what it takes and of what it makes.
fn chain(channels: i64, count: usize, link: impl Fn(&str, &str) -> Vec<Node>) -> Graph {
    let graph = Graph::new(&[1, channels, 1, 1]).floats("half", &[], &[0.5]).floats("one", &[], &[1.0]);
    (0..count).fold(graph, |graph, i| {
        let from = if i == 0 { "x".to_string() } else { format!("v{i}") };
        link(&from, &format!("v{}", i + 1)).into_iter().fold(graph, Graph::node)
    })
}

/// The value for an input of twos.
fn of_twos(net: &Model) -> f32 {
    let x = (Tensor::ones([&[1], net.input_shape()].concat(), DType::F32, &Device::Cpu).unwrap() * 2.0).unwrap();
    to_f32(&net.output(&x).unwrap()).unwrap()[0]
}

#[test]
fn long_nets_are_read_whatever_their_operations_look_like() {
    // Each was looked at from every one of its nodes by hundreds of evaluations, or compared with all names before.
    let (neg, inverse) =
        (|a: &str, b: &str| vec![node("Neg", &[a], &[b])], |a: &str, b: &str| vec![node("Reciprocal", &[a], &[b])]);
    assert_eq!(of_twos(&read(chain(3, 20_000, neg), "v20000").unwrap()), 2.0);
    assert_eq!(of_twos(&read(chain(3, 4_000, inverse), "v4000").unwrap()), 2.0);
    let halves = |a: &str, b: &str| vec![node("Add", &[a, "half"], &[b])];
    assert_eq!(of_twos(&read(chain(3, 20_000, halves), "v20000").unwrap()), 10_002.0);
    let relus = |a: &str, b: &str| vec![node("Relu", &[a], &[b])];
    assert_eq!(of_twos(&read(chain(3, 100_000, relus), "v100000").unwrap()), 2.0);
    let wide = |a: &str, b: &str| vec![node("Add", &[a, "zeros"], &[b])];
    let graph = chain(WIDE as i64, 300, wide).floats("zeros", &[WIDE as i64, 1, 1], &vec![0.0; WIDE]);
    assert_eq!(of_twos(&read(graph, "v300").unwrap()), 2.0);
}

#[test]
fn a_net_written_out_is_known_again_from_end_to_end() {
    // x sigmoid(x), two thousand times.
    let silu =
        |a: &str, b: &str| vec![node("Sigmoid", &[a], &[&format!("{b}s")]), node("Mul", &[a, &format!("{b}s")], &[b])];
    let net = read(chain(3, 2_000, silu), "v2000").unwrap();
    let kinds: Vec<&str> = net.graph().nodes().iter().map(|n| n.op.kind()).collect();
    assert_eq!(kinds.iter().filter(|k| **k == "silu").count(), 2_000, "{:?}", &kinds[..8]);
    assert!(net.card().notes.iter().all(|n| !n.contains("put together")));
}

#[test]
fn shape_arithmetic_stays_within_the_memory() {
    let doubled = (0..40).fold(Graph::new(&[1, 3, 8, 8]).node(node("Shape", &["x"], &["s0"])), |graph, i| {
        let from = format!("s{i}");
        graph.node(node("Concat", &[&from, &from], &[&format!("s{}", i + 1)]).int("axis", 0))
    });
    let error = read(doubled.node(node("Reshape", &["x", "s40"], &["y"])), "y").unwrap_err();
    assert!(error.message.contains("integers computed from an ONNX file of"), "{error}");
}

#[test]
fn reading_ends_when_it_is_asked_to() {
    let relus = |a: &str, b: &str| vec![node("Relu", &[a], &[b])];
    let signal = StopSignal::default();
    signal.stop();
    let net = || read(chain(3, 10, relus), "v10");
    assert_eq!(signal.during(net).unwrap_err().kind, Kind::Interrupted);
    // What is done elsewhere or afterwards has nothing to do with it.
    assert!(net().is_ok());
    let other = StopSignal::default();
    assert!(signal.during(|| other.during(net)).is_ok());
}
