//! Codes of real photos: classes of clothing from SqueezeNet's last layer, without training.
#![allow(clippy::unwrap_used)]

use crate::reference;
use convscope_engine::data::load_images;
use convscope_engine::load::LoadOptions;
use convscope_engine::load::load_model;
use convscope_engine::probe::Probe;
use convscope_engine::probes::retrieval::nearest::Nearest;
use convscope_engine::tensor::to_f32;
use convscope_engine::{Input, Job, Subject};
use std::path::Path;

#[test]
fn the_nearest_codes_vote_for_the_right_kind_of_clothing() {
    let (net, photos) = (reference::data("nets/squeezenet1.1.onnx"), reference::data("clothing"));
    let (Some(net), Some(photos)) = (net, photos) else { return };
    let options = serde_json::json!({
        "size": 227, "order": "BGR", "scale": 1.0, "mean": [103.939, 116.779, 123.68], "resize": "direct",
    });
    let options: LoadOptions = serde_json::from_value(options).unwrap();
    let net = load_model(&net.to_string_lossy(), &options, Path::new("."), &|_: &str| {}).unwrap();
    let data = load_images(&photos).unwrap();
    let probe = Nearest::new().cache(false).show(0usize);
    let found = probe.run(&Subject::Model(net), &Input::Data(data), &Job::new()).unwrap();
    assert!(found.title.contains("fire9"), "{}", found.title);
    let accuracy = to_f32(found.array_named("accuracy").unwrap()).unwrap()[0];
    eprintln!("{:?}", found.notes);
    assert!(accuracy >= 0.58, "{accuracy}");
}
