//! Predicted points against detectors trained by scikit-learn on the same features, and what cannot be predicted.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use crate::golden;
use convscope_engine::data::{Dataset, Image, PixelBox};
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::spatial::keypoint_prediction::KeypointPrediction;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{ShapeClass, Shapes, Span, shapes};
use convscope_engine::{Artifact, Input, Job, Result, Subject};

fn arrows(n: usize, seed: u64) -> Dataset {
    let options = Shapes { n, seed, classes: vec![ShapeClass::Arrow], ..Shapes::new() };
    shapes(&Shapes { rotation: Span::new(-25.0, 25.0), clutter: Span::new(0.3, 0.3), ..options }).unwrap()
}

fn ask(probe: &KeypointPrediction, data: &Dataset) -> Result<Artifact> {
    probe.run(&Subject::Model(load().unwrap()), &Input::Data(data.clone()), &Job::new())
}

fn of(layers: &[&str]) -> KeypointPrediction {
    KeypointPrediction::new().layers(layers.iter().map(|l| LayerName(l.to_string())).collect::<Vec<_>>())
}

/// The places found, without and with the prior, and PCK: with few negatives at first, so that hard ones must be mined.
#[test]
fn detectors_find_what_scikit_learn_s_find() {
    let text = std::fs::read(golden::path("keypoint_prediction/keypoint_prediction.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let (n, seed) = (golden["n"].as_u64().unwrap() as usize, golden["seed"].as_u64().unwrap());
    let names: Vec<&str> = golden["layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    let found = ask(&of(&names).negatives(200usize), &arrows(n, seed)).unwrap();
    let (pck, x, y) = (array(&found, "pck"), array(&found, "x"), array(&found, "y"));
    let numbers =
        |v: &serde_json::Value| -> Vec<f64> { v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
    let methods = golden["methods"].as_array().unwrap();
    let points = methods[0]["x"][0].as_array().unwrap().len();
    for (m, method) in methods.iter().enumerate() {
        for k in 0..2 {
            let want = method["pck"][k].as_f64().unwrap();
            assert!((pck[m * 2 + k] - want).abs() <= 0.02, "{}: {} for {want}", method["layer"], pck[m * 2 + k]);
            let (wx, wy) = (numbers(&method["x"][k]), numbers(&method["y"][k]));
            let at = (m * 2 + k) * points;
            let same = (0..points).filter(|p| x[at + p] == wx[*p] && y[at + p] == wy[*p]).count();
            assert!(same as f64 >= 0.97 * points as f64, "{} {k}: {same} of {points}", method["layer"]);
        }
    }
    assert!((array(&found, "prior")[0] - golden["prior"].as_f64().unwrap()).abs() < 1e-9);
    let gap = found.notes.iter().find(|n| n.contains("duality gap")).unwrap();
    assert!(!gap.contains("left out"), "{gap}");
}

#[test]
fn what_cannot_be_predicted_is_said() {
    let said = |probe: &KeypointPrediction, data: &Dataset| ask(probe, data).unwrap_err().to_string();
    let grey = |x: f64| {
        let image = Image::filled(64, 64, [90; 3]).unwrap().with_label(Some("dog".into()));
        image.with_keypoints([("eye".to_string(), (x, 20.0))].into()).with_bounding_box(PixelBox::new(8, 8, 40, 50))
    };
    let bare = Dataset::from_images("bare", (0..4).map(|_| Image::filled(64, 64, [1; 3]).unwrap()));
    assert!(said(&of(&["conv3/relu"]), &bare).contains("no named point is known in two folds"));
    assert!(said(&of(&["conv3/relu"]).alphas(vec![-1.0]), &bare).contains("shares above 0"));
    assert!(said(&of(&["conv3/relu"]).radii(vec![9usize]), &bare).contains("from 0 to 8"));
    assert!(said(&of(&["fc"]), &arrows(4, 1)).contains("positions"));
    // Points outside their image, and outside their object's box, are counted; the first are named.
    let some = Dataset::from_images("some", [grey(20.0), grey(24.0), grey(300.0), grey(60.0)]);
    let found = ask(&of(&["conv3/relu"]).folds(2usize), &some).unwrap();
    assert!(found.notes.iter().any(|n| n.starts_with("1 named point lies outside the image") && n.contains("`eye`")));
    assert!(
        found.notes.iter().any(|n| n.starts_with("1 named points outside their object's box")),
        "{:?}",
        found.notes
    );
}
