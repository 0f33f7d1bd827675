//! Correspondences under known warps, between images, and what linear classifiers and patches tell of them.
#![allow(clippy::unwrap_used)]

use convscope_engine::data::Dataset;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::probe::Probe;
use convscope_engine::probes::spatial::alignment::Alignment;
use convscope_engine::probes::spatial::correspondence::Correspondence;
use convscope_engine::probes::spatial::feature_reconstruction::FeatureReconstruction;
use convscope_engine::probes::spatial::keypoint_classification::KeypointClassification;
use convscope_engine::probes::spatial::keypoint_transfer::KeypointTransfer;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{ShapeClass, Span};
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::to_f32;
use convscope_engine::{Artifact, Input, Job, Subject};

fn array(a: &Artifact, name: &str) -> Vec<f32> {
    to_f32(a.array_named(name).unwrap()).unwrap()
}

fn arrows(n: usize) -> Dataset {
    let options = Shapes { n, seed: 21, classes: vec![ShapeClass::Arrow], ..Shapes::new() };
    shapes(&Shapes { rotation: Span::new(-20.0, 20.0), ..options }).unwrap()
}

#[test]
fn features_find_points_again_and_beat_raw_patches_under_a_photometric_change() {
    let net = Subject::Model(load().unwrap());
    let data = shapes(&Shapes { n: 12, seed: 22, ..Shapes::new() }).unwrap();
    let found = KeypointTransfer::new().run(&net, &Input::Data(data), &Job::new()).unwrap();
    let dims = found.array_named("pck").unwrap().dims().to_vec();
    assert_eq!(dims, [7, 3, 2], "five layers, raw and HOG; three warps; two alphas");
    let pck = array(&found, "pck");
    let at = |method: usize, warp: usize, alpha: usize| pck[(method * 3 + warp) * 2 + alpha];
    let best = |warp: usize, alpha: usize| (0..5).map(|m| at(m, warp, alpha)).fold(0.0, f32::max);
    eprintln!("{}", found.table().unwrap().csv().unwrap());
    assert!(best(2, 1) > at(5, 2, 1), "photometric: {} against raw {}", best(2, 1), at(5, 2, 1));
    assert!(best(2, 1) > 0.7 && best(1, 1) > 0.4, "{} {}", best(2, 1), best(1, 1));
    // The point of the paper: errors of the median are a fraction of the receptive field.
    let fields = array(&found, "fields");
    assert!((1..5).all(|m| fields[m * 3 + 2] < 0.5), "{fields:?}");
}

#[test]
fn an_image_matches_itself_and_a_shifted_one_where_it_went() {
    let model = load().unwrap();
    let layer = Subject::layer(&model, "conv2/relu").unwrap();
    let image = shapes(&Shapes { n: 1, seed: 23, ..Shapes::new() }).unwrap().get(0).unwrap();
    let pair = |second| Input::Data(Dataset::from_images("pair", [image.clone(), second]));
    let same = Correspondence::new().run(&layer, &pair(image.clone()), &Job::new()).unwrap();
    assert!(array(&same, "dx").iter().chain(&array(&same, "dy")).all(|d| *d == 0.0));
    let shifted = Correspondence::new().run(&layer, &pair(image.shift(8, 0)), &Job::new()).unwrap();
    let mut dx = array(&shifted, "dx");
    dx.sort_by(f32::total_cmp);
    assert!((dx[dx.len() / 2] - 8.0).abs() <= 2.0, "{}", dx[dx.len() / 2]);
    let error = Correspondence::new().run(&layer, &Input::Image(image), &Job::new()).unwrap_err();
    assert!(error.message.contains("two images"), "{error}");
}

#[test]
fn alignment_brings_named_points_nearer() {
    let model = load().unwrap();
    let layer = Subject::layer(&model, "conv3/relu").unwrap();
    let found = Alignment::new().images(9usize).run(&layer, &Input::Data(arrows(9)), &Job::new()).unwrap();
    let (before, after) = (array(&found, "error_before")[0], array(&found, "error")[0]);
    eprintln!(
        "median error {before} before, {after} after; pck {:?} {:?}",
        array(&found, "pck_before"),
        array(&found, "pck")
    );
    assert!(after < before, "{after} after, {before} before");
}

/// Dense descriptors find a shift that is known: every image is the first, moved by whole pixels.
#[test]
fn descriptors_without_a_net_align_what_was_only_moved() {
    let model = load().unwrap();
    let layer = Subject::layer(&model, "conv3/relu").unwrap();
    let scene = arrows(1).get(0).unwrap();
    let data = Dataset::from_images("moved", [0, 6, -6].map(|dx| scene.shift(dx, 0)));
    let probe = Alignment::new().smooth(0.005);
    let plain = probe.run(&layer, &Input::Data(data.clone()), &Job::new()).unwrap();
    let found = probe.baselines(true).run(&layer, &Input::Data(data), &Job::new()).unwrap();
    for name in ["dx", "pck", "error"] {
        assert_eq!(array(&found, name), array(&plain, name), "baselines change nothing else");
    }
    assert!(plain.array_named("pck_sift").is_err());
    let before = array(&found, "error_before")[0];
    assert!((before - 6.0).abs() < 1e-4, "{before}");
    for name in ["error_hog", "error_sift"] {
        assert!(array(&found, name)[0] < 0.5 * before, "{name}: {:?}", array(&found, name));
    }
}

#[test]
fn named_points_are_told_apart_by_features_better_than_by_chance_and_transferred_between_images() {
    let net = Subject::Model(load().unwrap());
    let found = KeypointClassification::new().images(48usize).run(&net, &Input::Data(arrows(48)), &Job::new()).unwrap();
    let accuracy = array(&found, "accuracy");
    eprintln!("{accuracy:?} chance {:?}", array(&found, "chance"));
    assert_eq!(accuracy.len(), 7);
    let best = accuracy[..5].iter().copied().fold(0.0, f32::max);
    assert!(best > array(&found, "chance")[0] + 0.3 && best > accuracy[5], "{accuracy:?}");
    let mut probe = KeypointTransfer::new();
    probe.set("warps", &Value::List(Vec::new())).unwrap();
    let between = probe.run(&net, &Input::Data(arrows(10)), &Job::new()).unwrap();
    assert_eq!(between.array_named("pck").unwrap().dims(), [7, 1, 2]);
}

#[test]
fn an_image_comes_back_from_nearest_patches_better_than_from_random_ones() {
    let model = load().unwrap();
    let layer = Subject::layer(&model, "conv1/relu").unwrap();
    let data = shapes(&Shapes { n: 30, seed: 24, ..Shapes::new() }).unwrap();
    let found = FeatureReconstruction::new().run(&layer, &Input::Data(data), &Job::new()).unwrap();
    let r = array(&found, "correlation");
    eprintln!("{r:?}");
    assert_eq!(r.len(), 3);
    assert!(r[1] > 0.3 && r[1] > r[2] + 0.2, "{r:?}");
}
