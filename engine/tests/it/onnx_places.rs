//! Values put at computed places and queries without keys, against plain loops and finite differences.

#![allow(clippy::unwrap_used)]

use crate::builders::array;
use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::probe::Probe;
use convscope_engine::probes::all::{DeepLift, Lrp};
use convscope_engine::probes::attribution::lrp::Composite;
use convscope_engine::probes::find;
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{DType, Input, Job, Model, Subject, Tensor};

fn random(n: usize) -> Vec<f64> {
    let stream = Stream::new(5, "places");
    (0..n).map(|i| f64::from(stream.normal_at(i as u64) as f32)).collect()
}

fn given(x: &[f64], shape: &[usize]) -> Tensor {
    tensor(x.to_vec(), &[&[1], shape].concat()).unwrap()
}

/// Fails where the gradients of all outputs are not the finite differences.
fn differences(net: &Model, x: &[f64]) {
    let exact = net.to_dtype(DType::F64).unwrap();
    let output = |x: &[f64]| to_f64(&exact.output(&given(x, net.input_shape())).unwrap()).unwrap();
    for class in 0..net.output_len() {
        let probe = find("gradient").unwrap().default_probe();
        let subject = Subject::class_at(&exact, class).unwrap();
        let found = probe.run(&subject, &Input::Tensor(given(x, net.input_shape())), &Job::new()).unwrap();
        let found = array(&found, "gradient");
        for at in 0..x.len() {
            let moved = |by: f64| {
                let mut x = x.to_vec();
                x[at] += by;
                output(&x)[class]
            };
            let wanted = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((found[at] - wanted).abs() < 1e-5, "output {class}, input {at}: {} for {wanted}", found[at]);
        }
    }
}

/// The two largest of six numbers, turned by their sines, where they were; elsewhere what the data holds.
fn routed(data: &[f32], batch: i64, reduction: Option<&str>) -> Model {
    let scatter = node("ScatterElements", &["data", "places", "sines"], &["y"]).int("axis", 1);
    let scatter = match reduction {
        Some(how) => scatter.text("reduction", how),
        None => scatter,
    };
    let graph = Graph::new(&[batch, 6])
        .ints("two", &[2])
        .floats("data", &[1, 6], data)
        .node(node("TopK", &["x", "two"], &["values", "places"]).int("axis", 1))
        .node(node("Sin", &["values"], &["sines"]))
        .node(scatter);
    read(graph.file("y", 18))
}

#[test]
fn values_go_to_computed_places_and_signals_come_back() {
    let x = random(6);
    let mut order: Vec<usize> = (0..6).collect();
    order.sort_by(|a, b| x[*b].total_cmp(&x[*a]));
    for (data, reduction) in
        [([0.0f32; 6], None), ([f32::NEG_INFINITY; 6], None), ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Some("add"))]
    {
        for batch in [1, -1] {
            let net = routed(&data, batch, reduction);
            let found = to_f64(&net.output(&given(&x, &[6]).to_dtype(DType::F32).unwrap()).unwrap()).unwrap();
            for (i, value) in found.iter().enumerate() {
                let own = f64::from(data[i]);
                let wanted = match (order[..2].contains(&i), reduction) {
                    (false, _) => own,
                    (true, None) => libm::sin(x[i]),
                    (true, _) => own + libm::sin(x[i]),
                };
                assert!(*value == wanted || (value - wanted).abs() < 1e-6, "{reduction:?} {i}: {value} for {wanted}");
            }
            if data[0].is_finite() {
                differences(&net, &x);
            }
        }
    }
}

#[test]
fn the_last_value_wins_and_places_count_from_the_end() {
    // Places 5, 5 and -6: the rounded input itself.
    let graph = Graph::new(&[1, 3])
        .floats("data", &[1, 6], &[9.0; 6])
        .node(node("Round", &["x"], &["places"]))
        .node(node("Mul", &["x", "x"], &["squares"]))
        .node(node("ScatterElements", &["data", "places", "squares"], &["y"]).int("axis", 1));
    let net = read(graph.file("y", 18));
    let y = to_f64(&net.output(&given(&[5.25, 4.75, -6.0], &[3]).to_dtype(DType::F32).unwrap()).unwrap()).unwrap();
    assert_eq!(y, [36.0, 9.0, 9.0, 9.0, 9.0, 4.75 * 4.75]);
}

/// Attention of ONNX over queries x, three tokens of two values, under a mask of queries x keys.
fn attention(mask: [bool; 9], as_numbers: bool, causal: bool) -> Model {
    let shape = |graph: Graph| graph.ints("square", &[3, 3]).ints("heads", &[1, 1, 3, 2]).ints("line", &[1, 6]);
    let graph = shape(Graph::new(&[1, 3, 2]));
    let graph = match as_numbers {
        true => graph.floats("mask", &[3, 3], &mask.map(|keep| if keep { 0.0 } else { f32::NEG_INFINITY })),
        false => {
            let list: Vec<i64> = mask.iter().map(|keep| i64::from(*keep)).collect();
            graph.ints("list", &list).node(node("Reshape", &["list", "square"], &["mask"]))
        }
    };
    let attend = node("Attention", &["q", "q", "q", "mask"], &["y"]);
    let attend = if causal { attend.int("is_causal", 1) } else { attend };
    let graph = graph.node(node("Reshape", &["x", "heads"], &["q"])).node(attend);
    read(graph.node(node("Reshape", &["y", "line"], &["z"])).file("z", 23))
}

#[test]
fn a_query_without_keys_takes_nothing() {
    let x = random(6);
    let masks = [
        [true, false, true, false, false, false, true, true, false],
        [false, true, true, true, false, false, true, true, true],
    ];
    for mask in masks {
        for (as_numbers, causal) in [(true, false), (false, false), (true, true), (false, true)] {
            let net = attention(mask, as_numbers, causal);
            let found = to_f64(&net.output(&given(&x, &[3, 2]).to_dtype(DType::F32).unwrap()).unwrap()).unwrap();
            let mut wanted = Vec::new();
            for q in 0..3 {
                let keys: Vec<usize> = (0..3).filter(|k| mask[q * 3 + k] && (!causal || *k <= q)).collect();
                let score = |k: usize| (x[2 * q] * x[2 * k] + x[2 * q + 1] * x[2 * k + 1]) / 2f64.sqrt();
                let weights: Vec<f64> = keys.iter().map(|k| libm::exp(score(*k))).collect();
                let total: f64 = weights.iter().sum();
                wanted.extend([0, 1].map(|v| {
                    let sum: f64 = keys.iter().zip(&weights).map(|(k, w)| w * x[2 * k + v]).sum();
                    if keys.is_empty() { 0.0 } else { sum / total }
                }));
            }
            for (a, b) in found.iter().zip(&wanted) {
                assert!((a - b).abs() < 1e-5, "{mask:?} {as_numbers} {causal}: {found:?} for {wanted:?}");
            }
            differences(&net, &x);
        }
    }
}

#[test]
fn signals_reach_the_grid_of_a_cubic_sample_and_of_a_volume() {
    let map: Vec<f32> = random(20).iter().map(|v| *v as f32).collect();
    for padding in ["zeros", "border", "reflection"] {
        // Two places on a map of 4 x 5, then on a volume of 2 x 2 x 5.
        let sample =
            |mode: &str| node("GridSample", &["map", "x"], &["at"]).text("mode", mode).text("padding_mode", padding);
        let flat = |graph: Graph| graph.ints("line", &[1, 2]).node(node("Reshape", &["at", "line"], &["y"]));
        let plane = Graph::new(&[1, 1, 2, 2]).floats("map", &[1, 1, 4, 5], &map).node(sample("cubic"));
        differences(&read(flat(plane).file("y", 20)), &[-0.31, 0.42, 0.77, -0.93]);
        let volume = Graph::new(&[1, 1, 1, 2, 3]).floats("map", &[1, 1, 2, 2, 5], &map).node(sample("linear"));
        differences(&read(flat(volume).file("y", 20)), &[-0.31, 0.22, 0.17, 0.58, -0.13, 0.37]);
    }
}

/// What a mask of minus infinity hides takes no relevance: the maps are those of a mask that is only very low.
#[test]
fn an_infinite_mask_leaves_maps_finite() {
    let net = |hidden: f32| {
        let mask = [0.0, 0.0, hidden, 0.0, 0.0, hidden];
        let graph = Graph::new(&[1, 6])
            .floats("mask", &[1, 6], &mask)
            .node(node("Add", &["x", "mask"], &["scores"]))
            .node(node("Softmax", &["scores"], &["shares"]).int("axis", 1))
            .node(node("Mul", &["shares", "x"], &["y"]));
        read(graph.file("y", 18)).to_dtype(DType::F64).unwrap()
    };
    let (infinite, low) = (net(f32::NEG_INFINITY), net(-1e6));
    let probes: [Box<dyn Probe>; 3] =
        [Box::new(Lrp::new()), Box::new(Lrp::new().rule(Composite::AttnLrp)), Box::new(DeepLift::new())];
    for probe in probes {
        let map = |net: &Model| {
            let x = Input::Tensor(given(&random(6), &[6]));
            let found = probe.run(&Subject::class_at(net, 1).unwrap(), &x, &Job::new()).unwrap();
            let notes = found.notes.join("; ");
            assert!(!notes.contains("NaN") && !notes.contains("not finite"), "{notes}");
            to_f64(found.value().unwrap()).unwrap()
        };
        let (a, b) = (map(&infinite), map(&low));
        let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-5, "{a:?} for {b:?}");
    }
}
