//! Nets with several inputs (`tests/golden/inputs`): outputs as onnxruntime's, gradients of each input as PyTorch's and as
//! finite differences, maps of a net whose other inputs are held, and what is said of inputs that are missing or do not fit.

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::data::npy;
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::params::Params;
use convscope_engine::probe::ProbeArg;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::attribution::occlusion::Occlusion;
use convscope_engine::tensor::{to_f32, to_f64};
use convscope_engine::{DType, Device, Input, Job, Model, Subject, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Case {
    name: String,
    net: Model,
    given: BTreeMap<String, Input>,
    target: usize,
}

fn cases() -> Vec<Case> {
    let zip = golden::path("inputs/inputs.zip");
    let about = golden::json(&zip, "cases.json");
    about.as_array().unwrap().iter().map(|about| case(about, &LoadOptions::default())).collect()
}

fn case(about: &Value, options: &LoadOptions) -> Case {
    let zip = golden::path("inputs/inputs.zip");
    let name = about["name"].as_str().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("net.onnx"), golden::entry(&zip, &format!("{name}.onnx"))).unwrap();
    let net = load_model("./net.onnx", options, folder.path(), &|_| {}).unwrap();
    let value = |k: &String| Input::Tensor(npy::read(&golden::entry(&zip, &format!("{name}.{k}.npy"))).unwrap());
    let given = about["inputs"].as_object().unwrap().keys().map(|k| (k.clone(), value(k))).collect();
    Case { name, net, given, target: about["target"].as_u64().unwrap() as usize }
}

fn one(kind: &str) -> Case {
    cases().into_iter().find(|c| c.name == kind).unwrap()
}

fn score(net: &Model, given: &BTreeMap<String, Input>, target: usize) -> f64 {
    let (net, own) = Input::Several(given.clone()).placed(net).unwrap();
    to_f64(&net.output(&own.prepared(&net).unwrap().x).unwrap()).unwrap()[target]
}

#[test]
fn outputs_and_gradients_of_each_input_are_those_of_pytorch() {
    let zip = golden::path("inputs/inputs.zip");
    for Case { name, net, given, target } in cases() {
        let (held, own) = Input::Several(given.clone()).placed(&net).unwrap();
        let y = to_f32(&held.output(&own.prepared(&held).unwrap().x).unwrap()).unwrap();
        let off = golden::worst(&y, &golden::array(&zip, &format!("{name}.output.npy")));
        assert!(off < 1e-5, "{name}: output off by {off:e}");
        let subject = Subject::class_at(&net, target).unwrap();
        let probe = ProbeArg(Arc::new(Gradient::default()));
        let artifact = probe.ask(&subject, &Input::Several(given.clone()), &Job::new()).unwrap();
        for input in given.keys().filter(|k| *k != "ids") {
            let map = to_f32(artifact.array_named(&format!("input {input}")).unwrap()).unwrap();
            let off = golden::worst(&map, &golden::array(&zip, &format!("{name}.gradient.{input}.npy")));
            assert!(off < 1e-4, "{name}: gradient of {input} off by {off:e}");
        }
    }
}

#[test]
fn gradients_of_each_input_are_finite_differences() {
    let Case { net, given, target, .. } = one("film_script");
    let net = net.to_dtype(DType::F64).unwrap();
    let subject = Subject::class_at(&net, target).unwrap();
    let probe = ProbeArg(Arc::new(Gradient::default()));
    let artifact = probe.ask(&subject, &Input::Several(given.clone()), &Job::new()).unwrap();
    for (input, places) in [("meta", [0, 3]), ("image", [17, 400])] {
        let gradient = to_f64(artifact.array_named(&format!("input {input}")).unwrap()).unwrap();
        let Input::Tensor(x) = &given[input] else { panic!() };
        for place in places {
            let at = |step: f64| {
                let mut values = to_f64(x).unwrap();
                values[place] += step;
                let moved = Tensor::from_vec(values, x.dims(), &Device::Cpu).unwrap();
                let mut given = given.clone();
                given.insert(input.into(), Input::Tensor(moved));
                score(&net, &given, target)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - gradient[place]).abs() < 1e-7, "{input} {place}: {slope} {}", gradient[place]);
        }
    }
}

#[test]
fn photos_go_to_the_input_of_three_channels_or_the_one_named() {
    for (kind, asked) in [("film_script", "image"), ("siamese_dynamo", "left"), ("token_script", "image")] {
        let net = one(kind).net;
        let inputs = net.inputs();
        assert_eq!((inputs[0].name.as_str(), inputs[0].is_asked), (asked, true), "{kind}");
        assert!(inputs[1..].iter().all(|i| !i.is_asked && !i.is_held));
        assert!(net.card().notes.iter().any(|n| n.contains("is the asked one")), "{:?}", net.card().notes);
    }
    let zip = golden::path("inputs/inputs.zip");
    let about = golden::json(&zip, "cases.json");
    let siamese = about.as_array().unwrap().iter().find(|c| c["name"] == "siamese_script").unwrap();
    let options = LoadOptions { input: Some("right".into()), ..LoadOptions::default() };
    let Case { net, given, target, .. } = case(siamese, &options);
    assert_eq!(net.inputs()[0].name, "right");
    let other = one("siamese_script").net;
    assert_eq!(score(&net, &given, target), score(&other, &given, target));
    assert_eq!(score(&other.asked_with("right").unwrap(), &given, target), score(&other, &given, target));
}

#[test]
fn maps_over_images_hold_the_other_inputs() {
    // Occlusion recomputes what a window reaches; a value of the whole net for each window says the same.
    let Case { net, given, target, .. } = one("siamese_script");
    let (held, own) = Input::Several(given.clone()).placed(&net).unwrap();
    let mut probe = Occlusion::default();
    for (name, value) in [("patch", 3i64), ("stride", 3)] {
        probe.set(name, &convscope_engine::params::Value::Int(value)).unwrap();
    }
    let subject = Subject::class_at(&held, target).unwrap();
    let map = ProbeArg(Arc::new(probe.clone())).ask(&subject, &own, &Job::new()).unwrap();
    let several = ProbeArg(Arc::new(probe)).ask(
        &Subject::class_at(&net, target).unwrap(),
        &Input::Several(given.clone()),
        &Job::new(),
    );
    let (a, b) = (to_f64(map.value().unwrap()).unwrap(), to_f64(several.unwrap().value().unwrap()).unwrap());
    assert_eq!(a, b);
    assert!(a.iter().any(|v| *v != a[0]));
    let x = own.prepared(&held).unwrap().x;
    let batch = Tensor::cat(&[&x, &(&x * 0.5).unwrap(), &x], 0).unwrap();
    let all = to_f32(&held.output(&batch).unwrap()).unwrap();
    let alone = to_f32(&held.output(&x).unwrap()).unwrap();
    assert_eq!((&all[..3], &all[6..]), (&alone[..], &alone[..]));
}

#[test]
fn missing_unknown_and_misshapen_inputs_are_named() {
    let Case { net, given, .. } = one("film_script");
    let subject = Subject::Model(net.clone());
    let probe = ProbeArg(Arc::new(Gradient::default()));
    let ask = |given: BTreeMap<String, Input>| {
        let error = probe.ask(&subject, &Input::Several(given), &Job::new()).unwrap_err();
        format!("{error} {}", error.hint.clone().unwrap_or_default())
    };
    let mut lacking = given.clone();
    lacking.remove("meta");
    let said = ask(lacking);
    assert!(said.contains("`meta`") && said.contains("lacks") && said.contains("[3, 12, 16]"), "{said}");
    let mut more = given.clone();
    more.insert("metta".into(), given["meta"].clone());
    let said = ask(more);
    assert!(said.contains("no input `metta`") && said.contains("`meta` [5]"), "{said}");
    let mut wrong = given.clone();
    wrong.insert("meta".into(), Input::Tensor(Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap()));
    let said = ask(wrong);
    assert!(said.contains("takes [5], got [4]"), "{said}");
    let mut nan = given.clone();
    nan.insert("meta".into(), Input::Tensor(Tensor::new(&[0f32, 1.0, f32::NAN, 0.0, 0.0], &Device::Cpu).unwrap()));
    assert!(ask(nan).contains("not finite"));
    // Without a map it is said which inputs there are.
    let error = probe.ask(&subject, &given["image"], &Job::new()).unwrap_err();
    assert!(error.to_string().contains("`meta` is missing"), "{error}");
    let error = net.asked_with("nowhere").unwrap_err();
    assert!(error.hint.unwrap().contains("`image`"));
}
