//! Zeiler and Fergus's delta against its definition over a net of one convolution, in plain loops: sign(phi(x) - phi(x with a
//! part hidden)) for each image, the share of features whose signs differ for each pair of images.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, column, param, table};
use convscope_engine::data::{Dataset, Image};
use convscope_engine::graph::op::Window;
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::spatial::part_correspondence::PartCorrespondence;
use convscope_engine::random::Stream;
use convscope_engine::{Artifact, Input, Job, Model, Subject};
use std::collections::BTreeMap;

const SIDE: usize = 12;
const FEATURES: usize = 5;
const PATCH: usize = 4;

/// Where the eye and the tail of three animals are; the last shows no tail.
const EYES: [(f64, f64); 3] = [(3.0, 2.0), (8.4, 3.7), (0.6, 11.2)];
const TAILS: [(f64, f64); 2] = [(10.0, 10.0), (2.0, 8.0)];

fn net() -> Model {
    let mut n = Net::new(&[3, SIDE, SIDE], 0.2);
    n.conv("phi", FEATURES, Window::square(1, 1, 0), 1);
    n.relu("relu");
    n.head(2);
    n.model().with_card(card(2, 3, [SIDE, SIDE]))
}

fn photos() -> Vec<Image> {
    let photo = |i: usize| {
        let stream = Stream::new(i as u64, "photo");
        let pixels = (0..3 * SIDE * SIDE).map(|k| stream.u64_at(k as u64) as u8).collect();
        let mut points = BTreeMap::from([("eye".to_string(), EYES[i])]);
        points.extend(TAILS.get(i).map(|at| ("tail".to_string(), *at)));
        Image::new(SIDE, SIDE, pixels).unwrap().with_keypoints(points)
    };
    (0..EYES.len()).map(photo).collect()
}

fn ask(probe: &PartCorrespondence) -> Artifact {
    let on = Subject::layer(&net(), "phi").unwrap();
    probe.run(&on, &Input::Data(Dataset::from_images("animals", photos())), &Job::new()).unwrap()
}

/// sign(phi(x) - phi(x with zeros in the patch)) at every position and feature; the patch begins at (left, top), which may
/// lie outside.
fn signs(photo: &Image, patch: isize, [left, top]: [isize; 2]) -> Vec<i8> {
    let weight = param(&net(), "phi.weight");
    let hidden =
        |x: usize, y: usize| (left..left + patch).contains(&(x as isize)) && (top..top + patch).contains(&(y as isize));
    let mut signs = Vec::new();
    for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
        let colour = photo.pixel(x, y).unwrap().map(|v| (f64::from(v) / 255.0 - 0.5) / 0.25);
        for f in 0..FEATURES {
            // The bias is in both, so the change is the weighted sum of what is hidden.
            let change: f64 = (0..3).map(|c| weight[3 * f + c] * colour[c]).sum();
            signs.push(match hidden(x, y) {
                true if change > 0.0 => 1,
                true if change < 0.0 => -1,
                _ => 0,
            });
        }
    }
    signs
}

fn around(at: (f64, f64)) -> [isize; 2] {
    [at.0, at.1].map(|c| (c - PATCH as f64 / 2.0).round() as isize)
}

fn apart(a: &[i8], b: &[i8]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len() as f64
}

/// The shares for each pair of images.
fn pairs(all: &[Vec<i8>]) -> Vec<f64> {
    (0..all.len()).flat_map(|i| (0..i).map(move |j| apart(&all[i], &all[j]))).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn delta_of_a_part_is_the_mean_hamming_share_over_pairs() {
    let photos = photos();
    let found = ask(&PartCorrespondence::new().patch(PATCH).random(3usize));
    let told = table(&found, "delta by part");
    let parts = [("eye", &EYES[..]), ("tail", &TAILS[..])];
    for (row, (name, places)) in parts.into_iter().enumerate() {
        let all: Vec<Vec<i8>> =
            places.iter().zip(&photos).map(|(at, photo)| signs(photo, PATCH as isize, around(*at))).collect();
        let values = pairs(&all);
        let want = mean(&values);
        assert!(want > 0.0);
        assert_eq!(told.rows()[row][0].text(), name);
        assert!((column(told, "delta")[row] - want).abs() < 1e-12, "{name}: {}", column(told, "delta")[row]);
        assert!((array(&found, "delta")[row] - want).abs() < 1e-6);
        let spread = values.iter().map(|v| (v - want).powi(2)).sum::<f64>() / (values.len().max(2) - 1) as f64;
        let half = 1.959_964 * (spread / places.len() as f64).sqrt();
        assert!((column(told, "low")[row] - (want - half)).abs() < 1e-6, "{name}");
        assert!((column(told, "high")[row] - (want + half)).abs() < 1e-6, "{name}");
        assert_eq!(column(told, "images")[row], places.len() as f64);
    }
    assert_eq!((told.len(), told.rows()[2][0].text()), (3, "random".to_string()));
}

/// A random patch begins at each whole place from -2 to 10 with the chance of what is rounded to it.
#[test]
fn delta_of_random_places_is_its_expectation() {
    let photos = photos();
    let half = (PATCH / 2) as isize;
    let starts: Vec<isize> = (-half..=SIDE as isize - half).collect();
    let chance = |i: usize| if i == 0 || i + 1 == starts.len() { 0.5 } else { 1.0 } / SIDE as f64;
    let places: Vec<([isize; 2], f64)> = (0..starts.len())
        .flat_map(|i| (0..starts.len()).map(move |j| (i, j)))
        .map(|(i, j)| ([starts[i], starts[j]], chance(i) * chance(j)))
        .collect();
    let all: Vec<Vec<Vec<i8>>> =
        photos.iter().map(|p| places.iter().map(|(at, _)| signs(p, PATCH as isize, *at)).collect()).collect();
    let mut want = 0.0;
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        for (a, (_, pa)) in all[i].iter().zip(&places) {
            want += all[j].iter().zip(&places).map(|(b, (_, pb))| pa * pb * apart(a, b)).sum::<f64>() / 3.0;
        }
    }
    let found = ask(&PartCorrespondence::new().patch(PATCH).random(1000usize));
    let got = array(&found, "delta")[2];
    assert!((got / want - 1.0).abs() < 0.03, "{got}, not {want}");
    // A patch that hides all leaves nothing to chance.
    let found = ask(&PartCorrespondence::new().patch(4 * SIDE).random(2usize));
    let want = mean(&pairs(&photos.iter().map(|p| signs(p, 4 * SIDE as isize, [-20, -20])).collect::<Vec<_>>()));
    for delta in array(&found, "delta").into_iter().step_by(2) {
        assert!((delta - want).abs() < 1e-6, "{delta}, not {want}");
    }
}

/// Several layers in one call are each what it is alone.
#[test]
fn layers_together_are_layers_alone() {
    let alone =
        ["phi", "relu"].map(|name| ask(&PartCorrespondence::new().patch(PATCH).layer(Some(LayerName(name.into())))));
    let both =
        PartCorrespondence::new().patch(PATCH).layers(["phi", "relu"].map(|l| LayerName(l.to_string())).to_vec());
    let found = ask(&both);
    assert_eq!(found.array_named("delta").unwrap().dims(), [2, 3]);
    assert_eq!(array(&found, "delta"), alone.iter().flat_map(|a| array(a, "delta")).collect::<Vec<_>>());
    let told = table(&found, "delta by layer and part");
    let own: Vec<f64> = alone.iter().flat_map(|a| column(table(a, "delta by part"), "high")).collect();
    assert_eq!(column(told, "high"), own);
    assert_eq!((told.len(), told.rows()[3][0].text(), told.rows()[5][1].text()), (6, "relu".into(), "random".into()));
    let on = Subject::Model(net());
    let unclear = both.layer(Some(LayerName("phi".into())));
    let error = unclear.run(&on, &Input::Data(Dataset::from_images("animals", photos())), &Job::new()).unwrap_err();
    assert!(error.message.contains("option `layers` several") && error.hint.is_some(), "{error}");
}
