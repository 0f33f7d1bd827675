//! What outputs mean, for every way in which people end nets (`tests/golden/meanings`): what is shown of them is computed from
//! onnxruntime's output by the formula that the generator names; and how nets that scale pixels themselves get them.

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::graph::last_step::LastStep;
use convscope_engine::inspect::Evaluate as _;
use convscope_engine::load::guess;
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::model::{OutputKind, outputs::Evidence};
use convscope_engine::probe::Probe as _;
use convscope_engine::probes::all::Fgsm;
use convscope_engine::tensor::tensor;
use convscope_engine::{Input, Job, Model, Subject, Tensor};
use serde_json::{Value, json};
use std::path::Path;

/// Differences of what is shown, as a part of it: both sides compute scores in f32.
const APART: f64 = 1e-4;

fn cases(of: &str) -> Vec<(String, Value)> {
    let about = golden::json(&golden::path("meanings/meanings.zip"), "cases.json");
    about[of].as_array().unwrap().iter().map(|c| (c["name"].as_str().unwrap().to_string(), c.clone())).collect()
}

fn written(folder: &Path, name: &str) {
    let bytes = golden::entry(&golden::path("meanings/meanings.zip"), &format!("{name}.onnx"));
    std::fs::write(folder.join("net.onnx"), bytes).unwrap();
}

fn net(name: &str, options: &LoadOptions) -> Model {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), name);
    load_model("./net.onnx", options, folder.path(), &|_| {}).unwrap()
}

fn given(case: &Value) -> Tensor {
    tensor(golden::values(&case["x"]), &golden::shape(&case["x"])).unwrap()
}

/// What a prediction shows of each output, in their order.
fn shown(net: &Model, x: &Tensor) -> Vec<f64> {
    let scores = net.scores(x).unwrap();
    net.readout().shown(&scores[0])
}

#[test]
fn what_is_shown_is_what_the_ending_means() {
    let mut wrong = Vec::new();
    for (name, case) in cases("ends") {
        let net = net(&name, &LoadOptions::default());
        let kind = case["kind"].as_str().unwrap();
        if let Some((_, step)) = net.graph().last_step() {
            wrong.extend(behind(&net, step, &case).map(|why| format!("{name}: {why}")));
            continue;
        }
        let read = net.readout().kind.word();
        if read != kind {
            wrong.push(format!("{name}: read as {read}, is {kind}"));
            continue;
        }
        let want: Vec<f64> = case["shown"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let got = shown(&net, &given(&case));
        let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max);
        if got.len() != want.len() || off > APART {
            wrong.push(format!("{name}: {got:?}, right is {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with the scores of a net that sorts them or names the largest: onnxruntime gave what such a step makes of them.
fn behind(net: &Model, step: LastStep, case: &Value) -> Option<String> {
    let want: Vec<f64> = case["shown"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let got = shown(net, &given(case));
    let mut order: Vec<usize> = (0..got.len()).collect();
    order.sort_by(|a, b| got[*b].total_cmp(&got[*a]));
    let made: Vec<f64> = match step {
        LastStep::Sorted { kept, .. } => order[..kept].iter().map(|i| got[*i]).collect(),
        LastStep::Indices { .. } => order[..want.len()].iter().map(|i| *i as f64).collect(),
        LastStep::Threshold => return Some("no threshold is in these files".into()),
    };
    let off = made.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    (made.len() != want.len() || off > APART).then(|| format!("{made:?}, right is {want:?}"))
}

#[test]
fn what_is_assumed_or_unusual_is_said() {
    for (name, case) in cases("ends") {
        let net = net(&name, &LoadOptions::default());
        let notes = net.card().notes.join("\n");
        let readout = net.readout();
        let part = match (case["kind"].as_str().unwrap(), readout.evidence) {
            ("place", _) => "has no gradient",
            ("value", _) => "values, not probabilities",
            (_, Evidence::Assumed) => "this is assumed",
            ("sigmoid", _) => "sigmoid of",
            ("probability", _) if net.graph().last_step().is_some() => "in order of size",
            ("probability", _) => "the net's own output",
            _ => continue,
        };
        assert!(notes.contains(part), "{name}: {part}: {notes}");
        assert_eq!(readout.is_binary(), notes.contains("`class 1` is its complement"), "{name}: {notes}");
    }
}

#[test]
fn an_option_says_otherwise() {
    for kind in [OutputKind::Softmax, OutputKind::Sigmoid, OutputKind::Probability, OutputKind::Value] {
        let net = net("ages_script", &LoadOptions { output: Some(kind), ..LoadOptions::default() });
        assert_eq!((net.readout().kind, net.readout().evidence), (kind, Evidence::Card));
        assert!(!net.card().notes.iter().any(|n| n.contains("assumed")), "{:?}", net.card().notes);
    }
}

#[test]
fn outputs_that_are_said_to_be_probabilities_and_are_none_are_noted() {
    let said = |name: &str| {
        let (_, case) = cases("ends").into_iter().find(|(n, _)| n == name).unwrap();
        let net = net(name, &LoadOptions { output: Some(OutputKind::Probability), ..LoadOptions::default() });
        let scores = net.scores(&given(&case)).unwrap()[0].clone();
        let table = net.predict(&Input::Tensor(given(&case).narrow(0, 0, 1).unwrap()), 1).unwrap();
        (scores.iter().all(|s| (0.0..=1.0).contains(s)), table.notes().iter().any(|n| n.contains("no probability")))
    };
    assert_eq!(said("ages_script"), (false, true));
    assert_eq!(said("votes_dynamo"), (false, false), "shares of two are divided by two");
}

#[test]
fn the_complement_of_percent_is_what_is_left_of_a_hundred() {
    let (_, case) = cases("ends").into_iter().find(|(name, _)| name == "percent_one_script").unwrap();
    let options = json!({ "preset": "raw", "scale": 0.01 });
    let net = net("percent_one_script", &LoadOptions::from_json(options.as_object().unwrap()).unwrap());
    let p = net.readout().probabilities(&net.scores(&given(&case)).unwrap()[0]);
    assert!((p[0] + p[1] - 100.0).abs() < 1e-9 && p[1] > 0.0, "{p:?}");
    assert!(net.readout().note().unwrap().contains("in percent"));
    // Attacks' losses and reports are of parts of one.
    let photo = net.card().preprocess().unwrap().undo(&given(&case)).unwrap();
    let attacked = Fgsm::new().eps(64.0).run(&Subject::Model(net), &Input::Image(photo), &Job::new()).unwrap();
    assert_eq!(attacked.data["success"].dims(), [1]);
}

#[test]
fn shares_of_a_constant_sum_are_divided_by_it() {
    for (name, whole) in [("votes_dynamo", 2.0), ("votes_weighted_script", 1.5), ("votes_stacked_script", 2.0)] {
        let (_, case) = cases("ends").into_iter().find(|(n, _)| n == name).unwrap();
        let net = net(name, &LoadOptions::default());
        let readout = net.readout();
        assert_eq!((readout.whole, readout.certainty()), (whole, 1.0), "{name}");
        let p = shown(&net, &given(&case));
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{name}: {p:?}");
        assert!(readout.note().unwrap().contains(&format!("shares of {whole}")), "{:?}", readout.note());
    }
    // Two heads of one sum each are two heads.
    assert_eq!(net("two_heads_dynamo", &LoadOptions::default()).readout().whole, 1.0);
}

#[test]
fn nets_that_scale_pixels_themselves_get_them_as_they_are() {
    for (name, case) in cases("scalings") {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &name);
        let path = folder.path().join("net.onnx");
        let guessed = |options: &LoadOptions| {
            let net = load_model("./net.onnx", options, folder.path(), &|_| {}).unwrap();
            guess::complete(&net, &path, options).unwrap()
        };
        let found = guessed(&LoadOptions::default());
        let takes = |guess: &guess::Guess| match (guess.options.get("preset"), guess.options.get("scale")) {
            (Some(preset), Some(_)) if preset == "raw" => "unit".to_string(),
            (Some(preset), None) if preset == "raw" => "bytes".to_string(),
            (Some(preset), None) if preset == "tf" => "signed".to_string(),
            _ => "imagenet".to_string(),
        };
        let right = case["takes"].as_str().unwrap_or("imagenet");
        assert_eq!(takes(&found), right, "{name}: {:?}", found.notes);
        let order = found.options.get("order").map_or("RGB", |o| o.as_str().unwrap());
        assert_eq!(order, case["order"].as_str().unwrap(), "{name}");
        assert!(found.notes[0].contains("assumed") && found.notes[0].contains("options: preset"), "{:?}", found.notes);
        let is_converted = name.starts_with("last_") && right == "signed";
        assert_eq!(
            found.notes[0].contains("the file comes from TensorFlow"),
            is_converted,
            "{name}: {:?}",
            found.notes
        );
        // An option that says nothing of what pixels become leaves the rest of the guess.
        let resize = LoadOptions::from_json(json!({ "resize": "direct" }).as_object().unwrap()).unwrap();
        assert_eq!(takes(&guessed(&resize)), right, "{name}");
        // One that does is left alone, and what it leaves open is said by the net.
        let mean = LoadOptions::from_json(json!({ "mean": 0.5 }).as_object().unwrap()).unwrap();
        assert!(guessed(&mean).options.is_empty(), "{name}");
        let net = load_model("./net.onnx", &mean, folder.path(), &|_| {}).unwrap();
        assert!(net.card().notes.iter().any(|n| n.contains("leave `std` unsaid")), "{name}: {:?}", net.card().notes);
    }
}

/// A centre crop would leave out what a net that finds places was asked to find.
#[test]
fn nets_of_places_see_the_whole_photo() {
    for exporter in ["script", "dynamo"] {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &format!("map_{exporter}"));
        let path = folder.path().join("net.onnx");
        let guessed = |options: Value| {
            let options = LoadOptions::from_json(options.as_object().unwrap()).unwrap();
            let net = load_model("./net.onnx", &options, folder.path(), &|_| {}).unwrap();
            (guess::complete(&net, &path, &options).unwrap(), net)
        };
        let (found, net) = guessed(json!({}));
        assert_eq!(found.options.get("resize").and_then(Value::as_str), Some("direct"), "{:?}", found.notes);
        assert!(found.notes.iter().any(|n| n.contains("whole photo")), "{:?}", found.notes);
        let notes = &net.card().notes;
        assert!(notes.iter().any(|n| n.contains("softmax over 3 raw outputs; this is assumed")), "{notes:?}");
        assert!(notes.iter().any(|n| n.contains("if it is a picture")), "{notes:?}");
        // Colours between 0 and 1 may be a picture's as well as three labels'.
        let colours = tempfile::tempdir().unwrap();
        written(colours.path(), &format!("colours_{exporter}"));
        let net = load_model("./net.onnx", &LoadOptions::default(), colours.path(), &|_| {}).unwrap();
        assert!(net.card().notes.iter().any(|n| n.contains("if it is a picture")), "{:?}", net.card().notes);
        assert_eq!(guessed(json!({ "preset": "tf" })).0.options["resize"], "direct");
        assert!(!guessed(json!({ "resize": 8 })).0.options.contains_key("resize"));
    }
}

#[test]
fn channels_that_no_photo_has_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "last_script");
    let options = LoadOptions::from_json(json!({ "layout": "NCHW" }).as_object().unwrap()).unwrap();
    let net = load_model("./net.onnx", &options, folder.path(), &|_| {});
    let refused = net.and_then(|net| guess::complete(&net, &folder.path().join("net.onnx"), &options)).unwrap_err();
    assert!(refused.to_string().contains("8 channels x 8 rows x 3 columns"), "{refused}");
    assert!(refused.hint.unwrap().contains("option `layout`"));
}

#[test]
fn options_change_what_lies_beside_the_net_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "plain_script");
    let config = json!({ "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "size": { "shortest_edge": 8 } });
    std::fs::write(folder.path().join("preprocessor_config.json"), config.to_string()).unwrap();
    let with = |options: Value| {
        let options = LoadOptions::from_json(options.as_object().unwrap()).unwrap();
        let net = load_model("./net.onnx", &options, folder.path(), &|_| {}).unwrap();
        net.card().preprocess.clone().unwrap()
    };
    let turned = with(json!({ "order": "BGR" }));
    assert_eq!((turned.mean, turned.std), (vec![0.1, 0.2, 0.3], vec![0.5, 0.6, 0.7]));
    assert_eq!(with(json!({ "std": 1 })).mean, [0.1, 0.2, 0.3]);
    assert_eq!(with(json!({ "mean": 0, "std": 1 })).mean, [0.0; 3]);
    assert_eq!(with(json!({ "preset": "tf" })).mean, [127.5; 3]);
}
