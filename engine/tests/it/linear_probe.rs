//! Linear probes against scikit-learn on the same codes, and what they refuse.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use crate::golden;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::measure::linear_probe::LinearProbe;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::{Artifact, Input, Job, Result, Subject};

fn data(n: usize, seed: u64) -> Dataset {
    shapes(&Shapes { n, seed, ..Shapes::new() }).unwrap()
}

fn ask(probe: &LinearProbe, data: &Dataset) -> Result<Artifact> {
    probe.run(&Subject::Model(load().unwrap()), &Input::Data(data.clone()), &Job::new())
}

fn of(layers: &[&str]) -> LinearProbe {
    LinearProbe::new().layers(layers.iter().map(|l| LayerName(l.to_string())).collect::<Vec<_>>())
}

/// The accuracy within 1 %, and the same class for all but a few images.
#[test]
fn both_classifiers_are_scikit_learn_s() {
    let text = std::fs::read(golden::path("linear_probe/linear_probe.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let (n, seed) = (golden["n"].as_u64().unwrap() as usize, golden["seed"].as_u64().unwrap());
    let layers = golden["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|l| l["layer"].as_str().unwrap()).collect();
    let found = ask(&of(&names).folds(golden["folds"].as_u64().unwrap() as usize), &data(n, seed)).unwrap();
    for (what, classes) in [("linear", "linear_class"), ("neighbours", "neighbour_class")] {
        let (shares, said) = (array(&found, what), array(&found, classes));
        for (i, layer) in layers.iter().enumerate() {
            let want = layer[what].as_f64().unwrap();
            assert!((shares[i] - want).abs() <= 0.01, "{what} at {}: {} for {want}", layer["layer"], shares[i]);
            let theirs = layer[classes].as_array().unwrap().iter().map(|c| c.as_f64().unwrap());
            let same = theirs.zip(&said[i * n..]).filter(|(a, b)| a == *b).count();
            assert!(same as f64 >= 0.98 * n as f64, "{what} at {}: {same} of {n} alike", layer["layer"]);
        }
    }
}

/// Images that only teach and images that are only judged: the same as scikit-learn's protocol of train and test.
#[test]
fn with_test_images_none_of_them_teaches() {
    let (teach, judge) = (data(80, 5), data(40, 6));
    let found = ask(&of(&["conv3/relu"]).test(Some(judge.clone())), &teach).unwrap();
    assert_eq!(array(&found, "linear_class").len(), 40);
    let right = |data: &Dataset, said: &[f64]| {
        let names = teach.labels();
        (0..data.len()).filter(|i| data.get(*i).unwrap().label() == Some(names[said[*i] as usize].as_str())).count()
    };
    let share = right(&judge, &array(&found, "linear_class")) as f64 / 40.0;
    assert!((share - array(&found, "linear")[0]).abs() < 1e-6);
    // Judged on what it was taught by, the nearest neighbour is the image itself.
    let known = ask(&of(&["conv3/relu"]).test(Some(teach.clone())).k(1usize), &teach).unwrap();
    assert_eq!(array(&known, "neighbours"), [1.0]);
}

#[test]
fn what_cannot_be_judged_is_said() {
    let grey = |label: Option<&str>| Image::filled(64, 64, [90; 3]).unwrap().with_label(label.map(str::to_string));
    let set = |labels: &[Option<&str>]| Dataset::from_images("photos", labels.iter().map(|l| grey(*l)));
    let said = |probe: &LinearProbe, data: &Dataset| ask(probe, data).unwrap_err().to_string();
    let probe = of(&["conv1/relu"]);
    assert!(said(&probe, &set(&[None, None])).contains("no image of `photos` has a label"));
    assert!(said(&probe, &set(&[Some("a"), Some("a")])).contains("1 different labels"));
    assert!(said(&probe, &set(&[Some("a"), Some("a"), Some("b")])).contains("a single image"));
    let strange = probe.clone().test(Some(set(&[Some("c")])));
    assert!(said(&strange, &set(&[Some("a"), Some("b")])).contains("not among the 2 that were taught: c"));
    let mut job = Job::new();
    job.memory = 1000;
    let (on, input) = (Subject::Model(load().unwrap()), Input::Data(data(20, 1)));
    assert!(LinearProbe::new().run(&on, &input, &job).unwrap_err().to_string().contains("the ceiling is"));
    // Images without a label are left out and counted.
    let some = ask(&probe.clone().folds(2usize), &set(&[Some("a"), None, Some("a"), Some("b"), Some("b")])).unwrap();
    assert!(some.notes.iter().any(|n| n.contains("1 images without a label")), "{:?}", some.notes);
}
