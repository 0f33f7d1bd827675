//! Maps of quantised nets: without rounding they are those of the same net that was never quantised.

#![allow(clippy::unwrap_used)]

use crate::builders::explain;
use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::deconvnet::Deconvnet;
use convscope_engine::probes::attribution::deep_lift::DeepLift;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::attribution::guided_backprop::GuidedBackprop;
use convscope_engine::probes::attribution::lrp::Lrp;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Job, Model, Subject, Tensor};

/// How a convolution's input is quantised.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Not at all.
    Plain,
    /// By QuantizeLinear and DequantizeLinear; the rectifier is the clip of a zero point of zero, as quantisers write it.
    Static,
    /// By DynamicQuantizeLinear; the convolution is one of integers.
    ByRange,
}

/// One weight is so many steps.
const STEPS: f32 = 32.0;

/// The value behind which the rectifier stands.
const RECTIFIED: &str = "c2";

/// Weights that are whole numbers of steps, from -32 to 31.
fn steps(n: i64, seed: i64) -> Vec<i64> {
    (0..n).map(|i| (i * 37 + seed * 101 + 11) % 64 - 32).collect()
}

/// The convolution `to` of `from`, without padding.
fn conv(graph: Graph, form: Form, from: &str, dims: [i64; 4], to: &str) -> Graph {
    let part = |name: &str| format!("{to}_{name}");
    let [q, scale, zero, w, wz] = ["q", "scale", "zero", "w", "wz"].map(part);
    let [x, sums, real, scaled, step] = ["x", "sums", "real", "scaled", "step"].map(part);
    let weights = steps(dims.iter().product(), dims[0]);
    let floats: Vec<f32> = weights.iter().map(|w| *w as f32 / STEPS).collect();
    let bytes: Vec<u8> = weights.iter().map(|w| (*w + 128) as u8).collect();
    match form {
        Form::Plain => graph.floats(&w, &dims, &floats).node(node("Conv", &[from, &w], &[to])),
        Form::Static => graph
            .floats(&w, &dims, &floats)
            .floats(&scale, &[], &[0.1])
            .bytes(&zero, &[], &[if from == RECTIFIED { 0 } else { 113 }])
            .node(node("QuantizeLinear", &[from, &scale, &zero], &[&q]))
            .node(node("DequantizeLinear", &[&q, &scale, &zero], &[&x]))
            .node(node("Conv", &[&x, &w], &[to])),
        Form::ByRange => graph
            .bytes(&w, &dims, &bytes)
            .bytes(&wz, &[], &[128])
            .floats(&step, &[], &[1.0 / STEPS])
            .node(node("DynamicQuantizeLinear", &[from], &[&q, &scale, &zero]))
            .node(node("ConvInteger", &[&q, &w, &zero, &wz], &[&sums]))
            .node(node("Cast", &[&sums], &[&real]).int("to", 1))
            .node(node("Mul", &[&real, &scale], &[&scaled]))
            .node(node("Mul", &[&scaled, &step], &[to])),
    }
}

/// Three convolutions; the second one's input has both signs.
fn net(form: Form) -> Model {
    let graph = conv(Graph::new(&[-1, 1, 6, 6]), form, "x", [3, 1, 3, 3], "c1").node(node("Tanh", &["c1"], &["t1"]));
    let graph = conv(graph, form, "t1", [4, 3, 3, 3], RECTIFIED);
    let graph = match form {
        Form::Static => conv(graph, form, RECTIFIED, [2, 4, 2, 2], "c3"),
        _ => conv(graph.node(node("Relu", &[RECTIFIED], &["r2"])), form, "r2", [2, 4, 2, 2], "c3"),
    };
    let graph = graph.node(node("Flatten", &["c3"], &["y"]));
    read(graph.file("y", 17))
}

fn input() -> Tensor {
    tensor(steps(36, 4).iter().map(|v| *v as f32 / STEPS).collect::<Vec<_>>(), &[1, 1, 6, 6]).unwrap()
}

fn map(probe: &dyn Probe, net: &Model) -> Vec<f64> {
    to_f64(explain(probe, &Subject::class_at(net, 1).unwrap(), &input()).value().unwrap()).unwrap()
}

fn largest(map: &[f64]) -> f64 {
    map.iter().fold(0.0, |m, v| m.max(v.abs()))
}

#[test]
fn maps_without_rounding_are_those_of_the_net_before_it_was_quantised() {
    let plain = net(Form::Plain);
    let probes: [&dyn Probe; 5] =
        [&DeepLift::new(), &Gradient::new(), &GuidedBackprop::new(), &Deconvnet::new(), &Lrp::new()];
    // The ends of a range are clipped by a part of a step, because its zero point stays an integer.
    for (form, probes, allowed) in [(Form::Static, &probes[..], 1e-4), (Form::ByRange, &probes[1..], 0.05)] {
        let float = net(form).dequantised().unwrap();
        for probe in probes {
            let (got, want) = (map(*probe, &float), map(*probe, &plain));
            let apart: Vec<f64> = got.iter().zip(&want).map(|(a, b)| a - b).collect();
            let off = largest(&apart) / largest(&want);
            assert!(off <= allowed, "{form:?}: {} differs by {off}", probe.name());
        }
    }
}

#[test]
fn changes_from_a_baseline_of_another_range_are_refused() {
    let net = net(Form::ByRange);
    let class = Subject::class_at(&net, 1).unwrap();
    let error = DeepLift::new().run(&class, &Input::Tensor(input()), &Job::new()).unwrap_err();
    assert!(error.message.contains("another range") && error.hint.is_some(), "{error}");
}

/// A zero point is no part of a sum with which a value could share its relevance: shares of it grew from layer to layer.
#[test]
fn rounding_does_not_change_the_size_of_relevance() {
    let want = largest(&map(&Lrp::new(), &net(Form::Plain)));
    for form in [Form::Static, Form::ByRange] {
        let size = largest(&map(&Lrp::new(), &net(form))) / want;
        assert!((0.5..2.0).contains(&size), "{form:?}: {size} times as large");
    }
}
