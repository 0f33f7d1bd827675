//! Shares of positive activations over a data set, counted pixel by pixel.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, column, table};
use convscope_engine::data::{Dataset, Image};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Conv, Window};
use convscope_engine::probe::Probe;
use convscope_engine::probes::look::sparsity::Sparsity;
use convscope_engine::random::Stream;
use convscope_engine::tensor::tensor;
use convscope_engine::{Artifact, Input, Job, Model, Subject};

const SIDE: usize = 6;
/// More than pass through the net at once.
const IMAGES: usize = 37;

/// What channels see: a x + b of the red channel x, which lies from -2 to 2.
const CHANNELS: [(f64, f64); 4] = [(1.0, 0.0), (-1.0, 1.0), (1.0, -1.985), (1.0, -3.0)];

/// A rectifier over these channels, and one over their means.
fn net() -> Model {
    let mut n = Net::new(&[3, SIDE, SIDE], 0.0);
    let weights: Vec<f64> = CHANNELS.iter().flat_map(|(a, _)| [*a, 0.0, 0.0]).collect();
    let biases: Vec<f64> = CHANNELS.iter().map(|(_, b)| *b).collect();
    let weight = n.b.param("weight", tensor(weights, &[CHANNELS.len(), 3, 1, 1]).unwrap()).unwrap();
    let bias = Some(n.b.param("bias", tensor(biases, &[CHANNELS.len()]).unwrap()).unwrap());
    n.then("conv", Op::Conv2d(Conv { weight, bias, window: Window::square(1, 1, 0), groups: 1 }));
    n.relu("relu");
    n.head(2);
    n.relu("last");
    n.model().with_card(card(2, 3, [SIDE, SIDE]))
}

fn photos() -> Vec<Image> {
    let photo = |i: usize| {
        let stream = Stream::new(i as u64, "photo");
        Image::new(SIDE, SIDE, (0..3 * SIDE * SIDE).map(|k| stream.u64_at(k as u64) as u8).collect()).unwrap()
    };
    (0..IMAGES).map(photo).collect()
}

/// What each channel is at every pixel of some photos.
fn values(photos: &[Image], (a, b): (f64, f64)) -> Vec<f64> {
    let red =
        |p: &Image| p.pixels().iter().step_by(3).map(|v| (f64::from(*v) / 255.0 - 0.5) / 0.25).collect::<Vec<_>>();
    photos.iter().flat_map(red).map(|x| a * x + b).collect()
}

fn positive(v: &[f64]) -> f64 {
    v.iter().filter(|v| **v > 0.0).count() as f64 / v.len() as f64
}

fn ask(on: &Subject, input: &Input) -> Artifact {
    Sparsity::new().nearly(0.02).run(on, input, &Job::new()).unwrap()
}

#[test]
fn shares_of_a_layer_are_counted_over_all_pixels() {
    let photos = photos();
    let on = Subject::layer(&net(), "relu").unwrap();
    let found = ask(&on, &Input::Data(Dataset::from_images("photos", photos.clone())));
    let want = CHANNELS.map(|c| positive(&values(&photos, c)));
    assert!(want[0] > 0.3 && want[2] > 0.0 && want[2] < 0.02 && want[3] == 0.0, "{want:?}");
    for (got, want) in array(&found, "positive").iter().zip(want) {
        assert!((got - want).abs() < 1e-7, "{got}, not {want}");
    }
    let layers = table(&found, "layers");
    assert_eq!(["channels", "dead", "nearly dead"].map(|c| column(layers, c)), [[4.0], [1.0], [1.0]]);
    let mean = want.iter().sum::<f64>() / 4.0;
    assert!((column(layers, "mean positive share")[0] - mean).abs() < 1e-12);
    let told = table(&found, "dead and nearly dead");
    assert_eq!(column(told, "channel"), [2.0, 3.0]);
    let largest = values(&photos, CHANNELS[2]).into_iter().fold(0.0, f64::max);
    assert!((column(told, "largest")[0] - largest).abs() < 1e-5 && column(told, "largest")[1] == 0.0);
    assert_eq!(told.rows().iter().map(|r| r[4].text()).collect::<Vec<_>>(), ["nearly dead", "dead"]);
}

/// A net means its rectifiers, those over vectors too; one photo and one tensor are inputs as well.
#[test]
fn a_net_means_all_its_rectifiers() {
    let (model, photos) = (net(), photos());
    let on = Subject::Model(model.clone());
    let found = ask(&on, &Input::Data(Dataset::from_images("photos", photos.clone())));
    let all = array(&found, "positive");
    assert_eq!(all.len(), 4 + 2);
    let classes = Subject::layer(&model, "fc").unwrap();
    let Subject::Layer { node, .. } = classes else { panic!() };
    for class in 0..2 {
        let is_positive = |p: &&Image| {
            let x = Input::Image((*p).clone()).prepared(&model).unwrap().x;
            let trace = model.forward(&x, &convscope_engine::pass::Tap::Only(vec![node])).unwrap();
            convscope_engine::tensor::to_f64(trace.get(node).unwrap()).unwrap()[class] > 0.0
        };
        let want = photos.iter().filter(is_positive).count() as f64 / IMAGES as f64;
        assert!((all[4 + class] - want).abs() < 1e-7, "{class}: {}, not {want}", all[4 + class]);
    }
    let one = Input::Image(photos[5].clone());
    let x = one.prepared(&model).unwrap().x;
    let want = CHANNELS.map(|c| positive(&values(&photos[5..6], c)));
    for input in [one, Input::Tensor(x)] {
        let got = array(&ask(&on, &input), "positive");
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-7), "{got:?}, not {want:?}");
    }
}
