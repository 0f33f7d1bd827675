//! A net's features layer by layer are those of each layer's own strongest answers.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::retrieval::features_by_layer::FeaturesByLayer;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::show::Part;
use convscope_engine::{Input, Job, Model, Subject};

/// The strongest answers of a channel of `layer`, an image each: the maxima of the layer's maps, image by image, sorted.
fn by_hand(net: &Model, layer: &str, channel: usize, input: &Input) -> Vec<(f32, usize)> {
    use convscope_engine::pass::Tap;
    let node = net.layer(layer).unwrap();
    let data = input.data().unwrap();
    let mut all: Vec<(f32, usize)> = (0..data.len())
        .map(|i| {
            let x = Input::Image(data.get(i).unwrap()).prepared(net).unwrap().x;
            let maps = net.forward(&x, &Tap::Only(vec![node])).unwrap().get(node).unwrap().clone();
            let map: Vec<f32> = maps.narrow(1, channel, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            (map.into_iter().fold(f32::NEG_INFINITY, f32::max), i)
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all
}

#[test]
fn every_layer_s_strongest_answers_are_those_of_its_maps() {
    let (net, job) = (load().unwrap(), Job::new());
    let input = Input::Data(shapes(&Shapes { n: 12, seed: 5, ..Shapes::new() }).unwrap());
    let layers = ["conv2/relu", "conv5/relu"];
    let (top, show) = (4, 3);
    let probe = FeaturesByLayer::new().layers(layers.map(|l| LayerName(l.into())).to_vec()).top(top).show(show);
    let found = probe.run(&Subject::Model(net.clone()), &input, &job).unwrap();
    let (channels, values, images) = (array(&found, "channels"), array(&found, "values"), array(&found, "images"));
    for (l, layer) in layers.iter().enumerate() {
        for s in 0..show {
            let channel = channels[l * show + s] as usize;
            let want = by_hand(&net, layer, channel, &input);
            for (rank, (value, image)) in want.iter().take(top).enumerate() {
                let at = (l * show + s) * top + rank;
                assert!(
                    (values[at] - f64::from(*value)).abs() <= 1e-5 * f64::from(value.abs()),
                    "{layer} {channel} {rank}"
                );
                assert_eq!(images[at] as usize, *image, "{layer} {channel} {rank}");
            }
        }
    }
    let pages: Vec<_> =
        found.parts.iter().filter_map(|p| if let Part::Pictures(p) = p { Some(p) } else { None }).collect();
    assert_eq!(pages.len(), layers.len());
    assert!(pages.iter().all(|p| p.images.len() == 2 * show), "a block of crops and one of projections a channel");
}
