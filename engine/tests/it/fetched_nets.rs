//! Holds the fetched nets against onnxruntime's predictions of the same weights, and against photos of known class.
//!
//! Runs where CONVSCOPE_TEST_FETCH=1 (it needs pip and its index). The photos with onnxruntime's predictions are
//! reference data.

#![allow(clippy::unwrap_used)]

use crate::reference;
use convscope_engine::data::{Image, Order, Preprocess};
use convscope_engine::load::LoadOptions;
use convscope_engine::load::fetch::{self, cache};
use convscope_engine::load::load_model;
use convscope_engine::{Model, Tensor};
use std::path::Path;

fn asked_for() -> bool {
    let asked = std::env::var("CONVSCOPE_TEST_FETCH").is_ok_and(|v| v == "1");
    if !asked {
        println!("skipped: CONVSCOPE_TEST_FETCH=1 runs it");
    }
    asked
}

fn load(name: &str) -> Model {
    load_model(name, &LoadOptions::default(), Path::new("."), &|line| println!("{line}")).unwrap()
}

fn probabilities(net: &Model, preprocess: &Preprocess, image: &Image) -> Vec<f32> {
    let x: Tensor = preprocess.apply(image).unwrap();
    let scores = net.output(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let top = scores.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = scores.iter().map(|s| (s - top).exp()).sum();
    scores.iter().map(|s| (s - top).exp() / sum).collect()
}

fn best(p: &[f32]) -> usize {
    (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap()
}

#[test]
fn predictions_are_those_of_onnxruntime() {
    if !asked_for() {
        return;
    }
    let Some(photos) = reference::data("photos") else { return };
    let text = std::fs::read_to_string(photos.join("predictions.json")).unwrap();
    let known: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, reference) in [("squeezenet1_1", "squeezenet1.1"), ("efficientnet_lite0", "efficientnet-lite0")] {
        let net = load(name);
        for (photo, top) in known[reference].as_object().unwrap() {
            let p = probabilities(&net, net.card().preprocess().unwrap(), &Image::open(photos.join(photo)).unwrap());
            let rows = top.as_array().unwrap();
            assert_eq!(best(&p) as u64, rows[0][0].as_u64().unwrap(), "{name} {photo}");
            for row in rows {
                let (index, want) = (row[0].as_u64().unwrap() as usize, row[2].as_f64().unwrap());
                assert!((f64::from(p[index]) - want).abs() < 0.002, "{name} {photo} {row} {}", p[index]);
            }
        }
    }
}

#[test]
fn red_and_blue_swapped_loses_the_hot_dog() {
    if !asked_for() {
        return;
    }
    let Some(photos) = reference::data("photos") else { return };
    let net = load("squeezenet1_1");
    let image = Image::open(photos.join("hot_dog.png")).unwrap();
    let right = net.card().preprocess().unwrap().clone();
    assert_eq!(right.order, Order::Bgr);
    let class = net.card().class_index("hot dog").unwrap();
    assert!(probabilities(&net, &right, &image)[class] > 0.75);
    let swapped = Preprocess { order: Order::Rgb, mean: right.mean.iter().rev().copied().collect(), ..right };
    assert!(probabilities(&net, &swapped, &image)[class] < 0.05);
}

#[test]
fn the_sample_photos_show_what_they_are_labelled() {
    if !asked_for() {
        return;
    }
    for (name, least) in [("squeezenet1_1", 13), ("efficientnet_lite0", 17)] {
        let net = load(name);
        assert_eq!(net.card().classes.len(), 1000);
        let mut right = 0;
        for sample in fetch::sample_images() {
            let image = fetch::sample_image(sample.name, &|_| {}).unwrap();
            assert_eq!(net.card().classes[sample.class].name, image.label().unwrap());
            right += usize::from(best(&probabilities(&net, net.card().preprocess().unwrap(), &image)) == sample.class);
        }
        println!("{name}: {right} of 20");
        assert!(right >= least, "{name}: {right} of 20");
    }
}

#[test]
fn classes_have_the_names_people_use() {
    if !asked_for() {
        return;
    }
    let net = load("squeezenet1_1");
    for (name, index) in [("tabby", 281), ("Tabby Cat", 281), ("lynx", 287), ("Egyptian Mau", 285), ("hot dog", 934)] {
        assert_eq!(net.card().class_index(name).unwrap(), index, "{name}");
    }
    assert!(net.layer("fire9/expand3x3/relu").is_ok() && net.layer("fire2/concat").is_ok());
    assert!(cache::cache_list().unwrap().iter().any(|c| c.bytes > 4_000_000));
}
