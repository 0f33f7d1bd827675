//! Small vision transformers against what PyTorch, pytorch-grad-cam and AttnLRP's own implementation (lxt) compute of them
//! (tests/golden/transformer): attention multiplied through the layers, with and without gradients; Grad-CAM at the tokens'
//! grid; relevance.

#![allow(clippy::unwrap_used)]

use crate::builders::{array, explain, number};
use crate::golden;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::all::{
    Attention, AttentionRollout, GradCam, GradCamPlusPlus, Gradient, LayerCam, Lrp, ScoreCam, TransformerAttribution,
};
use convscope_engine::probes::attribution::lrp::Composite;
use convscope_engine::tensor::tensor;
use convscope_engine::{DType, Input, Job, Model, Subject, Tensor};

/// The nets, each with whether it has a class token.
const NETS: [(&str, usize); 2] = [("class", 1), ("mean", 0)];
const SIDE: [usize; 2] = [16, 20];
const GRID: [usize; 2] = [4, 5];
const TARGET: usize = 3;

fn read(name: &str) -> (Model, Tensor) {
    let zip = golden::path(&format!("transformer/{name}.zip"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, golden::entry(&zip, "model.onnx")).unwrap();
    let x = tensor(golden::array(&zip, "input.npy"), &[1, 3, SIDE[0], SIDE[1]]).unwrap();
    (load(&file, &Options::default()).unwrap(), x)
}

fn want(name: &str, what: &str) -> Vec<f32> {
    golden::array(&golden::path(&format!("transformer/{name}.zip")), &format!("{what}.npy"))
}

/// The largest difference over the largest magnitude of what is wanted.
fn gap(ours: &[f64], want: &[f32]) -> f64 {
    assert_eq!(ours.len(), want.len());
    let largest = want.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    ours.iter().zip(want).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max) / largest
}

#[test]
fn maps_of_transformers_agree_with_their_references() {
    for (name, token) in NETS {
        let (model, x) = read(name);
        let model = model.to_dtype(DType::F64).unwrap();
        let x = x.to_dtype(DType::F64).unwrap();
        let on = Subject::Class { model: model.clone(), index: TARGET };
        let lrp = Lrp::new().rule(Composite::AttnLrp);
        let cases: [(&str, &str, &dyn Probe, f64); 5] = [
            ("gradient", "gradient", &Gradient::default(), 1e-5),
            ("rollout", "attention_rollout", &AttentionRollout::default(), 1e-5),
            ("chefer", "transformer_attribution", &TransformerAttribution::default(), 1e-5),
            ("grad_cam", "grad_cam", &GradCam::default(), 1e-5),
            ("attn_lrp", "lrp", &lrp, 1e-3),
        ];
        for (file, own, probe, limit) in cases {
            let found = explain(probe, &on, &x);
            let gap = gap(&array(&found, own), &want(name, file));
            println!("{name} {file} {gap:.1e}");
            assert!(gap < limit, "{name} {file}: {gap:.1e}");
            // Probes around probes ask for the same map.
            let again = probe.attribute(&on, &x, &Job::new()).unwrap().squeeze(0).unwrap();
            assert_eq!(again.dims(), found.value().unwrap().dims());
        }
        let heads = explain(&Attention::default(), &on, &x);
        assert_eq!(heads.value().unwrap().dims(), [2, GRID[0], GRID[1]]);
        let matrices = array(&heads, "matrices");
        let tokens = GRID[0] * GRID[1] + token;
        assert!(matrices.chunks(tokens).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-6), "rows are shares");
        // The maps are the class token's rows, or the mean rows, without the class token's column.
        let first = &matrices[..tokens * tokens];
        let row: Vec<f64> = match token {
            1 => first[1..tokens].to_vec(),
            _ => (0..tokens).map(|k| (0..tokens).map(|q| first[q * tokens + k]).sum::<f64>() / tokens as f64).collect(),
        };
        assert!(array(&heads, "attention").iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn attn_lrp_conserves_with_its_biases() {
    for (name, _) in NETS {
        let (model, x) = read(name);
        let model = model.to_dtype(DType::F64).unwrap();
        let on = Subject::Class { model, index: TARGET };
        let found = explain(&Lrp::new().rule(Composite::AttnLrp), &on, &x.to_dtype(DType::F64).unwrap());
        let sum: f64 = array(&found, "lrp").iter().sum();
        let [score, biases, lost] = ["score", "biases", "lost"].map(|n| number(&found, n));
        assert!(
            (sum + biases + lost - score).abs() < 1e-6 * score.abs().max(1.0),
            "{sum} + {biases} + {lost} for {score}"
        );
        assert!(lost.abs() < 1e-3 * score.abs(), "stabilisers take {lost} of {score}");
    }
}

#[test]
fn class_activation_maps_lie_on_the_grid() {
    let (model, x) = read("class");
    let on = Subject::Model(model.clone());
    let probes: [&dyn Probe; 3] = [&GradCamPlusPlus::default(), &LayerCam::default(), &ScoreCam::default()];
    for probe in probes {
        assert_eq!(explain(probe, &on, &x).value().unwrap().dims(), GRID, "{}", probe.name());
    }
}

#[test]
fn wrong_questions_are_told_what_is_there() {
    let (model, x) = read("class");
    let ask = |probe: &dyn Probe, model: &Model| {
        probe.run(&Subject::Model(model.clone()), &Input::Tensor(x.clone()), &Job::new()).unwrap_err()
    };
    let error = ask(&Attention { token: Some(21), ..Attention::default() }, &model);
    assert_eq!(error.message, "token 21 of 21");
    let norm = model.layers().map(|id| &model.graph().node(id).name).find(|n| n.contains("norm1")).unwrap().clone();
    let error = ask(&Attention { layer: Some(LayerName(norm)), ..Attention::default() }, &model);
    assert!(error.message.contains("is no attention") && error.hint.unwrap().contains("its layers of attention are"));
    let convolutions = crate::builders::residual(0.1);
    let x = crate::builders::input(&convolutions, "x");
    let on = Subject::Model(convolutions);
    for probe in [&AttentionRollout::default() as &dyn Probe, &TransformerAttribution::default()] {
        let error = probe.run(&on, &Input::Tensor(x.clone()), &Job::new()).unwrap_err();
        assert!(error.message.contains("has no attention"), "{error}");
    }
}

#[test]
fn channels_and_units_of_tokens_are_those_of_the_grid() {
    let (model, x) = read("class");
    let names = model.layers().map(|id| model.graph().node(id).name.clone());
    let name = names.filter(|n| n.contains("norm1")).last().unwrap();
    let layer = Subject::layer(&model, &name).unwrap();
    let (_, node) = layer.as_layer().unwrap();
    let channels = *model.graph().node(node).shape.last().unwrap();
    let trace = model.forward(&x, &convscope_engine::pass::Tap::Only(vec![node])).unwrap();
    let value = convscope_engine::tensor::to_f64(trace.get(node).unwrap()).unwrap();
    // The first token is the class's.
    let at = |c: usize, p: usize| value[(1 + p) * channels + c];
    let plane = GRID[0] * GRID[1];
    for c in [0, 5, channels - 1] {
        let mean = (0..plane).map(|p| at(c, p)).sum::<f64>() / plane as f64;
        assert!((layer.channel(c).unwrap().scores(&trace).unwrap()[0] - mean).abs() < 1e-6);
        assert!((layer.unit(&[c, 2, 3]).unwrap().scores(&trace).unwrap()[0] - at(c, 2 * GRID[1] + 3)).abs() < 1e-6);
    }
    let direction: Vec<f32> = (0..channels).map(|c| c as f32 - 3.0).collect();
    let want: f64 =
        (0..channels).map(|c| (c as f64 - 3.0) * (0..plane).map(|p| at(c, p)).sum::<f64>() / plane as f64).sum();
    assert!((layer.direction(direction).unwrap().scores(&trace).unwrap()[0] - want).abs() < 1e-4);
    assert!(layer.channel(channels).is_err() && layer.unit(&[0, GRID[0], 0]).is_err());
    let shown = explain(&convscope_engine::probes::all::Activations::default(), &layer, &x);
    assert_eq!(shown.value().unwrap().dims(), [channels, GRID[0], GRID[1]]);
    assert!((array(&shown, "activations")[5 * plane + 13] - at(5, 13)).abs() < 1e-6);
}
