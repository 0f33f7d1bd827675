//! How far features move: the distances of activations computed one image at a time, of photos shifted and turned here.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::params::LayerName;
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::measure::feature_distance::FeatureDistance;
use convscope_engine::probes::measure::perturb::Perturbation;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::to_f64;
use convscope_engine::{Input, Job, Subject};

#[test]
fn distances_are_those_of_the_activations() {
    let net = load().unwrap();
    let data = shapes(&Shapes { n: 4, seed: 9, ..Shapes::new() }).unwrap();
    let layers = ["conv1/relu", "conv4/relu"];
    let probe = FeatureDistance::new()
        .by(Perturbation::Rotation)
        .values(vec![0.0, 20.0])
        .layers(layers.map(|l| LayerName(l.to_string())).to_vec());
    let found = probe.run(&Subject::Model(net.clone()), &Input::Data(data.clone()), &Job::new()).unwrap();
    let (each, between, share) = (array(&found, "each"), array(&found, "between"), array(&found, "distance"));
    let length = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
    for (k, layer) in layers.iter().enumerate() {
        let node = net.layer(layer).unwrap();
        let code = |image: &Image| {
            let x = net.batched(&net.card().preprocess().unwrap().apply(image).unwrap()).unwrap();
            to_f64(net.forward(&x, &Tap::Only(vec![node])).unwrap().get(node).unwrap()).unwrap()
        };
        let photos: Vec<Image> = data.iter().map(|i| i.unwrap()).collect();
        let own: Vec<Vec<f64>> = photos.iter().map(&code).collect();
        let turned: Vec<f64> =
            photos.iter().zip(&own).map(|(p, c)| length(&code(&p.rotate(20.0).unwrap()), c)).collect();
        for i in 0..4 {
            assert_eq!(each[(k * 2) * 4 + i], 0.0, "nothing was done");
            let got = each[(k * 2 + 1) * 4 + i];
            assert!((got - turned[i]).abs() < 1e-4 * (1.0 + turned[i]), "{layer} {i}: {got} for {}", turned[i]);
        }
        let pairs: Vec<f64> =
            (0..4).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| length(&own[i], &own[j])).collect();
        let mean = pairs.iter().sum::<f64>() / 6.0;
        assert!((between[k] - mean).abs() < 1e-4 * mean);
        assert!((share[k * 2 + 1] - turned.iter().sum::<f64>() / 4.0 / mean).abs() < 1e-4);
    }
}

#[test]
fn one_image_and_too_little_memory_are_errors() {
    let net = Subject::Model(load().unwrap());
    let data = |n| Input::Data(shapes(&Shapes { n, seed: 9, ..Shapes::new() }).unwrap());
    assert!(FeatureDistance::new().run(&net, &data(1), &Job::new()).unwrap_err().message.contains("needs two"));
    let mut job = Job::new();
    job.memory = 1000;
    assert!(FeatureDistance::new().run(&net, &data(5), &job).unwrap_err().message.contains("the ceiling is"));
    let none = Input::Data(Dataset::from_images("none", []));
    assert!(FeatureDistance::new().run(&net, &none, &Job::new()).is_err());
}
