//! Two nets side by side: rank correlations as SciPy's, layers' errors as PyTorch's and onnxruntime's, and cases told by hand.

#![allow(clippy::unwrap_used)]

use crate::builders::{array, column, input, residual, table};
use crate::golden;
use candle_core::Device;
use convscope_engine::graph::{Builder, Op};
use convscope_engine::inspect::Ablate;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::model::{Card, OutputKind};
use convscope_engine::params::LayerName;
use convscope_engine::probe::{Probe, ProbeArg};
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::judge::compare_nets::CompareNets;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::tensor;
use convscope_engine::{Artifact, Input, Job, Model, Subject, Tensor};
use std::sync::Arc;

fn compared(probe: &CompareNets, a: &Model, b: &Model, x: Tensor) -> Artifact {
    probe.run(&Subject::Models(vec![a.clone(), b.clone()]), &Input::Tensor(x), &Job::new()).unwrap()
}

#[test]
fn correlations_are_scipys_and_errors_pytorchs_and_onnxruntimes() {
    let zip = golden::path("twins/twins.zip");
    let folder = tempfile::tempdir().unwrap();
    let net = |name: &str| {
        let file = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&file, golden::entry(&zip, &format!("{name}.onnx"))).unwrap();
        load(&file, &Options::default()).unwrap()
    };
    let (float, tuned, int8) = (net("float"), net("tuned"), net("int8"));
    let cases = golden::json(&zip, "cases.json");
    let layers: Vec<LayerName> =
        cases["layers"].as_array().unwrap().iter().map(|l| LayerName(l.as_str().unwrap().into())).collect();
    let (x, maps) = (golden::array(&zip, "x.npy"), golden::array(&zip, "maps.npy"));
    let size = 3 * 24 * 24;
    let probe = CompareNets::new().layers(layers.clone());
    for (i, row) in cases["rows"].as_array().unwrap().iter().enumerate() {
        let one = Tensor::from_slice(&x[i * size..][..size], (1, 3, 24, 24), &Device::Cpu).unwrap();
        let found = compared(&probe, &float, &tuned, one.clone());
        let rho = array(&found, "spearman")[0];
        assert!((rho - row["spearman"].as_f64().unwrap()).abs() < 1e-6, "{i}: {rho} for {}", row["spearman"]);
        let classes: Vec<u64> = row["classes"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect();
        assert_eq!(array(&found, "agree")[0] == 1.0, classes[0] == classes[1], "{i}");
        let kept: Vec<f32> = array(&found, "maps").iter().map(|v| *v as f32).collect();
        let worst = golden::worst(&kept, &maps[i * kept.len()..][..kept.len()]);
        assert!(worst < 2e-5, "{i}: maps {worst}");
        for (name, found, tolerance) in
            [("tuned", &found, 1e-4), ("int8", &compared(&probe, &float, &int8, one.clone()), 2e-2)]
        {
            let want: Vec<f64> = row[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let got = array(found, "layer_error");
            for ((layer, got), want) in layers.iter().zip(&got).zip(&want) {
                assert!((got - want).abs() <= tolerance * want, "{i} {name} {}: {got} for {want}", layer.0);
            }
            let snr = array(found, "snr");
            snr.iter().zip(&got).for_each(|(db, error)| assert!((db + 20.0 * error.log10()).abs() < 1e-3));
        }
    }
    // The twin in real numbers is the other net of the same file.
    let one = Tensor::from_slice(&x[..size], (1, 3, 24, 24), &Device::Cpu).unwrap();
    let found = compared(&CompareNets::new(), &int8, &int8.dequantised().unwrap(), one);
    assert!(array(&found, "spearman")[0] > 0.9 && array(&found, "layer_error").iter().all(|e| *e > 0.0 && *e < 0.05));
}

/// A linear net over one plane of four values, in scores w and -w.
fn linear(weights: [f32; 4]) -> Model {
    let mut b = Builder::new();
    let at = b.input("x", vec![1, 2, 2]).unwrap();
    let at = b.add("flat", Op::Reshape(vec![4]), &[at]).unwrap();
    let both: Vec<f32> = weights.into_iter().chain(weights.map(|w| -w)).collect();
    let weight = b.param("w", tensor(both, &[2, 4]).unwrap()).unwrap();
    let at = b.add("fc", Op::Linear { weight, bias: None }, &[at]).unwrap();
    let (graph, weights) = b.finish(at).unwrap();
    Model::new(graph, weights, Card::named("linear"))
}

#[test]
fn a_case_by_hand() {
    let probe = CompareNets::new().probe(ProbeArg(Arc::new(Gradient::new())));
    let x = tensor(vec![1f32, 1.0, 1.0, 1.0], &[1, 1, 2, 2]).unwrap();
    // Ranks 1 2 3 4 and 2 1 3 4: 1 - 6 (1 + 1) / (4 (16 - 1)). Scores 10 and -10, 12 and -12.
    let found = compared(&probe, &linear([1.0, 2.0, 3.0, 4.0]), &linear([2.0, 1.0, 4.0, 5.0]), x.clone());
    assert!((array(&found, "spearman")[0] - 0.8).abs() < 1e-9);
    assert!((array(&found, "layer_error")[0] - 0.2).abs() < 1e-6);
    assert!((array(&found, "cosine")[0] - 1.0).abs() < 1e-12);
    // A map that is the same everywhere has no ranks.
    let found = compared(&probe, &linear([1.0, 2.0, 3.0, 4.0]), &linear([1.0; 4]), x);
    assert!(array(&found, "spearman")[0].is_nan() && found.notes.iter().any(|n| n.contains("no rank correlation")));
}

#[test]
fn values_are_compared_as_values() {
    let told = |weight| {
        let net = linear(weight);
        let card = Card { output: Some(OutputKind::Value), ..net.card().clone() };
        net.with_card(card)
    };
    let (a, b) = (told([1.0, 2.0, 3.0, 4.0]), told([2.0, 1.0, 4.0, 5.0]));
    let x = tensor(vec![1f32; 4], &[1, 1, 2, 2]).unwrap();
    let found = compared(&CompareNets::new().probe(ProbeArg(Arc::new(Gradient::new()))), &a, &b, x.clone());
    assert!((array(&found, "spearman")[0] - 0.8).abs() < 1e-9);
    let images = table(&found, "images, the most different first");
    assert_eq!([column(images, "value")[0], column(images, "its value")[0]], [10.0, 12.0]);
    assert!(
        found.notes.iter().any(|n| n.starts_with("the largest output is the same for 1 of 1")),
        "{:?}",
        found.notes
    );
    let mixed = Subject::Models(vec![a, linear([1.0; 4])]);
    let error = CompareNets::new().run(&mixed, &Input::Tensor(x), &Job::new()).unwrap_err();
    assert!(error.message.contains("each a value") && error.message.contains("a probability"), "{error}");
}

#[test]
fn a_net_is_like_itself_and_what_differs_most_comes_first() {
    let net = convscope_engine::shapes::net::load().unwrap();
    let data = shapes(&Shapes { n: 6, seed: 3, ..Shapes::new() }).unwrap();
    let on = |b: &Model| Subject::Models(vec![net.clone(), b.clone()]);
    let found = CompareNets::new().run(&on(&net), &Input::Data(data.clone()), &Job::new()).unwrap();
    assert!(array(&found, "spearman").iter().all(|v| (*v - 1.0).abs() < 1e-12));
    assert!(array(&found, "layer_error").iter().all(|v| *v == 0.0));
    assert!(array(&found, "agree").iter().all(|v| *v == 1.0));
    let layer = Subject::layer(&net, "conv3/relu").unwrap();
    let parts: Vec<Subject> = (0..16).map(|i| layer.channel(i).unwrap()).collect();
    let pruned = net.ablate(&parts).unwrap();
    let found = CompareNets::new().images(2usize).run(&on(&pruned), &Input::Data(data), &Job::new()).unwrap();
    let rho: Vec<f64> = column(table(&found, "images, the most different first"), "rank correlation");
    assert!(rho.windows(2).all(|w| w[0] <= w[1]) && rho[0] < 0.99, "{rho:?}");
    let mut all = array(&found, "spearman");
    all.sort_by(f64::total_cmp);
    all.iter().zip(&rho).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
}

#[test]
fn one_net_and_other_classes_are_errors() {
    let net = residual(0.1);
    let x = Input::Tensor(input(&net, "x"));
    let error = CompareNets::new().run(&Subject::Model(net.clone()), &x, &Job::new()).unwrap_err();
    assert!(error.message.contains("one net where two nets are compared"), "{error}");
    let two = Subject::Models(vec![net, convscope_engine::shapes::net::load().unwrap()]);
    let error = CompareNets::new().run(&two, &x, &Job::new()).unwrap_err();
    assert!(error.message.contains("classes"), "{error}");
}
