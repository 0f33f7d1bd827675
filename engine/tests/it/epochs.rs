//! Nets of one architecture side by side, and centred kernel alignment against its dense formula.
#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, table};
use convscope_engine::data::{Dataset, Image};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::params::{LayerName, Value};
use convscope_engine::probe::Probe;
use convscope_engine::probes::find;
use convscope_engine::probes::look::checkpoints::Checkpoints;
use convscope_engine::probes::measure::cka::Cka;
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Subject};

/// A net whose first filters are those of `seed`, all else equal.
fn net(seed: u64, width: usize) -> Model {
    let mut n = Net::new(&[3, 8, 8], 0.1);
    n.conv("conv", width, Window::square(3, 1, 1), 1);
    n.relu("relu");
    n.conv("conv2", 6, Window::square(3, 1, 1), 1);
    n.relu("relu2");
    n.head(4);
    let model = n.model().with_card(card(4, 3, [8, 8]));
    let stream = Stream::new(seed, "filters");
    let Op::Conv2d(conv) = &model.graph().node(model.layer("conv").unwrap()).op else { panic!() };
    let values: Vec<f64> = (0..width * 27).map(|i| stream.normal_at(i as u64) * 0.3).collect();
    model.with_weights(model.weights().with(conv.weight, tensor(values, &[width, 3, 3, 3]).unwrap()))
}

fn photos(n: usize) -> Dataset {
    let one = |i: usize| {
        let stream = Stream::new(i as u64, "photo");
        Image::new(8, 8, (0..192).map(|p| (255.0 * stream.uniform_at(p)) as u8).collect()).unwrap()
    };
    Dataset::from_images("photos", (0..n).map(one))
}

/// HSIC by its definition with the centring matrix H: tr(K H L H).
fn by_definition(x: &[f64], y: &[f64], n: usize) -> f64 {
    let gram = |x: &[f64]| -> Vec<f64> {
        let d = x.len() / n;
        let at = |i: usize, j: usize| (0..d).map(|k| x[i * d + k] * x[j * d + k]).sum::<f64>();
        (0..n * n).map(|p| at(p / n, p % n)).collect()
    };
    let centred = |k: &[f64]| -> Vec<f64> {
        let h = |i: usize, j: usize| f64::from(u8::from(i == j)) - 1.0 / n as f64;
        let product = |a: &dyn Fn(usize, usize) -> f64, b: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..n * n).map(|p| (0..n).map(|m| a(p / n, m) * b(m, p % n)).sum::<f64>()).collect()
        };
        let half = product(&h, &|i, j| k[i * n + j]);
        product(&|i, j| half[i * n + j], &h)
    };
    let (k, l) = (centred(&gram(x)), centred(&gram(y)));
    let hsic = |a: &[f64], b: &[f64]| (0..n * n).map(|p| a[p] * b[(p % n) * n + p / n]).sum::<f64>();
    hsic(&k, &l) / (hsic(&k, &k) * hsic(&l, &l)).sqrt()
}

/// A layer's mean activations, an image a row.
fn codes(net: &Model, layer: &str, data: &Dataset) -> Vec<f64> {
    let probe = find("codes").unwrap().build(&[], &[("cache".to_string(), Value::Bool(false))].into()).unwrap();
    let on = Subject::layer(net, layer).unwrap();
    to_f64(probe.ask(&on, &Input::Data(data.clone()), &Job::new()).unwrap().value().unwrap()).unwrap()
}

fn aligned(nets: Vec<Model>, layers: &[&str], data: &Dataset) -> Artifact {
    let layers: Vec<LayerName> = layers.iter().map(|l| LayerName(l.to_string())).collect();
    let on = if nets.len() == 1 { Subject::Model(nets[0].clone()) } else { Subject::Models(nets) };
    Cka::new().layers(layers).run(&on, &Input::Data(data.clone()), &Job::new()).unwrap()
}

#[test]
fn alignment_is_that_of_its_definition() {
    let (a, b, data) = (net(1, 8), net(2, 8), photos(14));
    let layers = ["relu", "relu2"];
    let found = array(&aligned(vec![a.clone(), b.clone()], &layers, &data), "cka");
    for (i, x) in layers.iter().enumerate() {
        for (j, y) in layers.iter().enumerate() {
            let want = by_definition(&codes(&a, x, &data), &codes(&b, y, &data), 14);
            assert!((found[i * 2 + j] - want).abs() < 1e-5, "{x} {y}: {} for {want}", found[i * 2 + j]);
        }
    }
    let own = array(&aligned(vec![a.clone()], &layers, &data), "cka");
    assert!((own[0] - 1.0).abs() < 1e-6 && (own[3] - 1.0).abs() < 1e-6 && (own[1] - own[2]).abs() < 1e-6);
    // Three nets: a tile a layer, each the same values as two by two.
    let c = net(3, 8);
    let all = aligned(vec![a.clone(), b.clone(), c], &layers, &data);
    assert_eq!(all.array_named("cka").unwrap().dims(), [2, 3, 3]);
    let tiles = array(&all, "cka");
    assert!((tiles[1] - found[0]).abs() < 1e-6 && (tiles[9 + 1] - found[3]).abs() < 1e-6);
    // Names may be given, one a net.
    let named = |names: &[&str]| {
        let nets = vec![net(1, 8), net(2, 8), net(3, 8)];
        let probe = Cka::new()
            .layers(vec![LayerName("relu".into())])
            .names(names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        probe.run(&Subject::Models(nets), &Input::Data(data.clone()), &Job::new())
    };
    let text = named(&["e1", "e2", "e3"]).unwrap().table().unwrap().rows()[1][2].text();
    assert_eq!(text, "e2");
    assert!(named(&["e1"]).unwrap_err().message.contains("1 names for 3 nets"));
}

#[test]
fn nets_without_the_same_layers_and_too_few_images_are_errors() {
    let mut n = Net::new(&[3, 8, 8], 0.1);
    n.conv("other", 8, Window::square(3, 1, 1), 1);
    n.relu("another");
    n.head(4);
    let strange = n.model().with_card(card(4, 3, [8, 8]));
    let on = Subject::Models(vec![net(1, 8), net(2, 8), strange.clone()]);
    let error = Cka::new().run(&on, &Input::Data(photos(5)), &Job::new()).unwrap_err();
    assert!(error.message.contains("epochs of one net have the same layers") && error.hint.is_some(), "{error}");
    let error = Cka::new().run(&Subject::Model(net(1, 8)), &Input::Data(photos(2)), &Job::new()).unwrap_err();
    assert!(error.message.contains("needs 3 or more"), "{error}");
}

fn course(probe: &str, nets: Vec<Model>, with: Checkpoints, input: &Input) -> convscope_engine::Result<Artifact> {
    let inner = find(probe).unwrap().build(&[], &Default::default()).unwrap();
    Checkpoints { probe: inner, ..with }.run(&Subject::Models(nets), input, &Job::new())
}

/// Each row is the probe's own answer; the distance is that of the filters themselves.
#[test]
fn checkpoints_are_the_probe_s_answers_net_by_net() {
    let nets = vec![net(1, 8), net(2, 8), net(3, 8)];
    let named = Checkpoints::new().layer(Some(LayerName("conv".into()))).names(["e1", "e2", "e3"].map(String::from));
    let found = course("filters", nets.clone(), named, &Input::None).unwrap();
    let values = array(&found, "values");
    let own: Vec<Vec<f64>> = nets.iter().map(|n| crate::builders::param(n, "conv.weight")).collect();
    assert_eq!(values.len(), own.concat().len());
    assert!(values.iter().zip(own.concat()).all(|(a, b)| (a - b).abs() < 1e-6));
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let distance = array(&found, "distance");
    for (k, row) in own.iter().enumerate() {
        let apart: Vec<f64> = row.iter().zip(&own[2]).map(|(a, b)| a - b).collect();
        assert!((distance[k] - norm(&apart) / norm(&own[2])).abs() < 1e-5, "{distance:?}");
    }
    assert_eq!(distance[2], 0.0);
    // Over a data set, the tables in one.
    let sparse = course("sparsity", nets, Checkpoints::new(), &Input::Data(photos(4))).unwrap();
    let told = table(&sparse, "sparsity");
    assert_eq!((told.columns()[0].as_str(), told.len()), ("net", 6));
}

#[test]
fn checkpoints_of_another_net_are_refused_with_what_differs() {
    let said =
        |nets: Vec<Model>, with: Checkpoints| course("filters", nets, with, &Input::None).unwrap_err().to_string();
    let text = said(vec![net(1, 8), net(1, 9)], Checkpoints::new());
    assert!(
        text.contains("is no checkpoint of the same net") && text.contains("[9, 8, 8]") && text.contains("[8, 8, 8]"),
        "{text}"
    );
    assert!(said(vec![net(1, 8)], Checkpoints::new()).contains("one net has no course"));
    let two = || vec![net(1, 8), net(2, 8)];
    assert!(said(two(), Checkpoints::new().names(["a"].map(String::from))).contains("1 names for 2 nets"));
    assert!(said(two(), Checkpoints::new().channel(Some(1))).contains("which is not given"));
}
