//! Files with several outputs, of which some cannot be read: only what depends on what cannot be read is left out.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node};
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Model, Result};

/// x, three numbers; `half` and `twice` are read, `odd` is an operator that nobody knows, `after` depends on it.
fn net(outputs: &[&str]) -> Result<Model> {
    let graph = Graph::new(&[1, 3])
        .floats("k", &[1], &[0.5])
        .node(node("Mul", &["x", "k"], &["half"]))
        .node(node("Unheard", &["half"], &["odd"]))
        .node(node("Relu", &["odd"], &["after"]))
        .node(node("Add", &["x", "x"], &["twice"]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    std::fs::write(&file, graph.file_of(outputs, 17)).unwrap();
    load(&file, &Options::default())
}

fn values(net: &Model) -> Vec<f64> {
    to_f64(&net.output(&tensor(vec![-1f32, 2.0, 4.0], &[1, 3]).unwrap()).unwrap()).unwrap()
}

#[test]
fn only_what_depends_on_an_unknown_operator_is_left_out() {
    let net = net(&["half", "after", "twice", "odd"]).unwrap();
    assert_eq!(net.output_names(), ["half", "twice"]);
    assert_eq!(values(&net), [-0.5, 1.0, 2.0]);
    assert_eq!(values(&net.output_named("twice").unwrap()), [-2.0, 4.0, 8.0]);
    let notes = net.card().notes.join("\n");
    for name in ["`after`", "`odd`"] {
        assert!(notes.contains(&format!("the output {name} cannot be read: ")), "{notes}");
    }
    assert!(notes.contains("Unheard"), "{notes}");
}

#[test]
fn the_first_output_is_not_left_out() {
    let error = net(&["after", "half"]).unwrap_err().to_string();
    assert!(error.contains("Unheard"), "{error}");
}
