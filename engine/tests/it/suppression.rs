//! Detectors whose file ends in NonMaxSuppression: the boxes that onnxruntime chooses, and gradients from their scores.

#![allow(clippy::unwrap_used)]

use crate::builders::array;
use crate::golden;
use crate::onnx_bytes::{Graph, node};
use candle_core::Device;
use convscope_engine::detect::Detector;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::model::BoxCode;
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::subject::{BoxPart, BoxQuery};
use convscope_engine::{Input, Job, Subject, Tensor};

#[test]
fn the_boxes_are_those_that_onnxruntime_chooses() {
    let zip = golden::path("suppression/suppression.zip");
    let cases = golden::json(&zip, "cases.json");
    let folder = tempfile::tempdir().unwrap();
    for (i, case) in cases.as_array().unwrap().iter().enumerate() {
        let file = folder.path().join("detector.onnx");
        std::fs::write(&file, golden::entry(&zip, &format!("{i}.onnx"))).unwrap();
        let net = load(&file, &Options::default()).unwrap();
        assert_eq!(net.output_names(), ["scores", "boxes"], "{i}");
        let classes = case["classes"].as_u64().unwrap() as usize;
        let shape = [1, net.input_shape().to_vec()[1], 4 + classes];
        let x = golden::array(&zip, &format!("{i}.npy"));
        let x = Tensor::from_slice(&x, (1, shape[0], shape[1], shape[2]), &Device::Cpu).unwrap();
        let detector = Detector::new(&net).unwrap();
        let code = match (case["center"].as_u64(), case["yx"].as_bool()) {
            (Some(1), _) => BoxCode::Center,
            (_, Some(true)) => BoxCode::CornersYx,
            _ => BoxCode::Corners,
        };
        assert_eq!(detector.decoding().code, code, "{i}");
        let found = detector.boxes(&x).unwrap();
        let mut chosen: Vec<[u64; 2]> = found.iter().map(|f| [f.class as u64, f.candidate as u64]).collect();
        chosen.sort_unstable();
        let want: Vec<[u64; 2]> =
            case["chosen"].as_array().unwrap().iter().map(|r| [0, 1].map(|k| r[k].as_u64().unwrap())).collect();
        assert_eq!(chosen, want, "{i}");
        assert!(found.windows(2).all(|f| f[0].score >= f[1].score));

        // The score of the surest box is one of the input's numbers: its gradient is 1 there.
        let best = &found[0];
        let query = BoxQuery { model: net.clone(), number: 0, part: BoxPart::Class, found: None };
        let map = Gradient::new().run(&Subject::Box(query), &Input::Tensor(x), &Job::new()).unwrap();
        let values = array(&map, "gradient");
        let at = best.candidate * shape[2] + 4 + best.class;
        assert!(values.iter().enumerate().all(|(j, v)| *v == if j == at { 1.0 } else { 0.0 }), "{i}");
    }
}

#[test]
fn boxes_that_are_shifted_by_class_are_refused_by_name() {
    // boxes + class x far, as torchvision's batched_nms hands them on.
    let graph = Graph::new(&[1, 5, 6])
        .floats("far", &[1], &[4096.0])
        .ints("four", &[0, 1, 2, 3])
        .ints("fifth", &[4])
        .ints("turned", &[1, 1, 5])
        .node(node("Gather", &["x", "four"], &["boxes"]).int("axis", 2))
        .node(node("Gather", &["x", "fifth"], &["class"]).int("axis", 2))
        .node(node("Mul", &["class", "far"], &["offsets"]))
        .node(node("Add", &["boxes", "offsets"], &["shifted"]))
        .node(node("Reshape", &["class", "turned"], &["scores"]))
        .node(node("NonMaxSuppression", &["shifted", "scores"], &["chosen"]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("detector.onnx");
    std::fs::write(&file, graph.file("chosen", 17)).unwrap();
    let error = load(&file, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("shifted by class (`shifted`)") && error.hint.is_some(), "{error}");
}
