//! Times single tasks for `benches/peers.py`: one line in (`NET.onnx TASK BATCH [ARGS]`), one line out (seconds).
//!
//! A net is loaded once; a tensor of seeded noise is its input, so that both sides of a comparison do the same work.

#![allow(clippy::unwrap_used)]

use convscope::data::Interpolation;
use convscope::data::preprocess::Resize;
use convscope::load::PerChannel;
use convscope::prelude::*;
use convscope::probes;
use convscope::probes::attack::pgd::Pgd;
use convscope::probes::attribution::input_signal;
use convscope::probes::retrieval::codes::CodesOf;
use convscope::random::Stream;
use convscope::rules::Rules;
use convscope::tensor::tensor;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    convscope::threads::start(0).unwrap();
    let mut nets: BTreeMap<String, Model> = BTreeMap::new();
    let mut inputs: BTreeMap<(String, usize), Tensor> = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [path, task, batch, args @ ..] = &words[..] else { continue };
        let net = nets.entry(path.to_string()).or_insert_with(|| photo_net(path));
        let batch: usize = batch.parse().unwrap();
        // Made once: a task follows the run that warms up as directly as a peer's does.
        let x = inputs.entry((path.to_string(), batch)).or_insert_with(|| noise(net, batch));
        println!("{}", seconds(net, task, x, args));
    }
}

/// The net, with torchvision's preprocessing.
fn photo_net(path: &str) -> Model {
    let each = |values: [f32; 3]| Some(PerChannel::Each(values.to_vec()));
    let options = LoadOptions {
        resize: Some(Resize::Direct),
        interpolation: Some(Interpolation::Bilinear),
        scale: Some(1.0 / 255.0),
        mean: each([0.485, 0.456, 0.406]),
        std: each([0.229, 0.224, 0.225]),
        ..Default::default()
    };
    load_model(path, &options, std::path::Path::new(""), &|_| {}).unwrap()
}

fn noise(net: &Model, batch: usize) -> Tensor {
    let dims = [&[batch], net.input_shape()].concat();
    let stream = Stream::new(0, "noise");
    tensor((0..dims.iter().product::<usize>()).map(|i| stream.normal_at(i as u64) as f32).collect(), &dims).unwrap()
}

fn seconds(net: &Model, task: &str, x: &Tensor, args: &[&str]) -> f64 {
    let class = Subject::class_at(net, 0).unwrap();
    let job = Job::new();
    let number = |i: usize| args[i].parse::<usize>().unwrap();
    let ask = |probe: &dyn Probe| black_box(probe.run(&class, &Input::Tensor(x.get(0).unwrap()), &job).unwrap());
    let start = Instant::now();
    match task {
        "forward" => {
            black_box(net.output(x).unwrap());
        }
        "gradient" => {
            black_box(input_signal(&class, x, &Rules::gradient()).unwrap());
        }
        "guided_backprop" => {
            black_box(input_signal(&class, x, &Rules::guided_backprop()).unwrap());
        }
        "occlusion" => {
            let probe = Occlusion::new().patch(number(0)).stride(number(1));
            ask(&probe);
        }
        "integrated_gradients" => {
            let steps = probes::attribution::integrated_gradients::PathSteps::Fixed(number(0));
            ask(&IntegratedGradients { steps, ..Default::default() });
        }
        "smooth_grad" => {
            ask(&SmoothGrad { samples: number(0), ..Default::default() });
        }
        "pgd" => {
            let data = load_images(args[1]).unwrap();
            let probe = Pgd { steps: number(0), ..Default::default() };
            black_box(probe.run(&Subject::Model(net.clone()), &Input::Data(data), &job).unwrap());
        }
        "codes" => {
            let data = load_images(args[0]).unwrap();
            let probe = CodesOf { cache: false, ..Default::default() };
            black_box(probe.run(&Subject::Model(net.clone()), &Input::Data(data), &job).unwrap());
        }
        other => panic!("no task {other}"),
    }
    start.elapsed().as_secs_f64()
}
