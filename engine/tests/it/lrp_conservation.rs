//! LRP: what arrives at the input plus what biases take is the score.

#![allow(clippy::unwrap_used)]

use crate::builders::{explain, input, number, residual, sum};
use crate::reference;
use convscope_engine::data::load_tensor;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::lrp::{ChannelBounds, Composite, LayerRules, Lrp, Single};
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Input, Job, Subject, Tensor};

/// Composites whose rules hand relevance only to inputs that contribute. By w^2 and flat it reaches silent units too, whose
/// sums are lost; they are first-layer rules, and stand at the first layer here.
fn tables() -> Vec<(String, Lrp)> {
    use Composite::*;
    let mut all = Vec::new();
    for rule in [EpsilonPlus, EpsilonGammaBox, EpsilonAlpha2Beta1, Epsilon, Gamma, AlphaBeta, ZPlus, ZBox] {
        all.push((format!("{rule:?}"), lrp(rule)));
    }
    for first in [Single::WSquare, Single::Flat, Single::ZBox] {
        let layers = LayerRules([("stem".to_string(), first)].into());
        all.push((format!("{first:?} first"), lrp(EpsilonPlus).layers(layers)));
    }
    all
}

fn lrp(rule: Composite) -> Lrp {
    Lrp::new().rule(rule).low(ChannelBounds::from(-4.0)).high(ChannelBounds::from(4.0))
}

#[test]
fn relevance_and_what_biases_take_make_up_the_score() {
    for dtype in [DType::F32, DType::F64] {
        let model = residual(0.1).to_dtype(dtype).unwrap();
        let x = input(&model, "photo");
        for class in 0..5 {
            let on = Subject::Class { model: model.clone(), index: class };
            for (rule, probe) in tables() {
                let a = explain(&probe, &on, &x);
                let (score, biases) = (number(&a, "score"), number(&a, "biases"));
                let scale = score.abs().max(sum(&a).abs()).max(biases.abs()).max(1.0);
                let gap = (sum(&a) + biases - score).abs() / scale;
                println!("{rule} {dtype:?} class {class}: {score} = {} + {biases}, gap {gap:e}", sum(&a));
                assert!(gap < 1e-4, "{rule} {dtype:?} class {class}: {gap:e}");
                assert!((sum(&a) + biases + number(&a, "lost") - score).abs() < 1e-4 * scale);
            }
        }
    }
}

#[test]
fn without_biases_all_relevance_arrives() {
    let model = residual(0.0);
    let x = input(&model, "photo");
    for class in 0..5 {
        let on = Subject::Class { model: model.clone(), index: class };
        for (rule, probe) in tables() {
            let a = explain(&probe, &on, &x);
            let score = number(&a, "score");
            println!("{rule} class {class}: {score} = {} + {}", sum(&a), number(&a, "biases"));
            assert_eq!(number(&a, "biases"), 0.0);
            assert!((sum(&a) - score).abs() < 1e-5 * score.abs().max(1.0), "{rule}: {} of {score}", sum(&a));
        }
    }
}

#[test]
fn relevance_takes_batches_sums_and_layers() {
    let model = residual(0.1);
    let (x, y) = (input(&model, "one"), input(&model, "two"));
    let map = |on: &Subject, x: &Tensor| {
        to_f64(&lrp(Composite::EpsilonGammaBox).attribute(on, x, &Job::new()).unwrap()).unwrap()
    };
    let class = |index| Subject::Class { model: model.clone(), index };
    let stacked = map(&class(1), &Tensor::cat(&[&x, &y], 0).unwrap());
    let apart = [map(&class(1), &x), map(&class(1), &y)].concat();
    assert!(stacked.iter().zip(&apart).all(|(a, b)| (a - b).abs() < 1e-12));
    // A difference of classes starts with relevances of either sign, which then cancel or not by the rule: at the
    // linear epsilon rule the maps subtract.
    let sub = class(1).plus(-1.0, &class(3)).unwrap();
    let (a, b, d) = (map(&class(1), &x), map(&class(3), &x), map(&sub, &x));
    let largest = a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(d.iter().zip(a.iter().zip(&b)).all(|(d, (a, b))| (d - (a - b)).abs() < 1e-9 * largest));
    // A layer whose normalisation could be folded into it keeps its own value.
    let layer = Subject::layer(&model, "a/1").unwrap().channel(2).unwrap();
    let found = explain(&lrp(Composite::Epsilon), &layer, &x);
    let trace = model.forward(&x, &convscope_engine::pass::Tap::All).unwrap();
    let value = layer.scores(&trace).unwrap()[0];
    assert!((number(&found, "score") - value).abs() < 1e-12);
    assert!((sum(&found) + number(&found, "biases") - value).abs() < 1e-4);
}

#[test]
fn rules_for_layers_and_missing_bounds_are_told() {
    let model = residual(0.1);
    let x = input(&model, "photo");
    let on = Subject::Class { model, index: 0 };
    let ask = |probe: Lrp| probe.run(&on, &Input::Tensor(x.clone()), &Job::new());
    let error = ask(Lrp::new().rule(Composite::ZBox)).unwrap_err();
    assert!(error.to_string().contains("z-box"), "{error}");
    let error = ask(Lrp::new().rule(Composite::ZBox).low(ChannelBounds(vec![0.0; 2])).high(ChannelBounds::from(1.0)))
        .unwrap_err();
    assert!(error.to_string().contains("2 bounds for an input of 3 channels"), "{error}");
    let error = ask(Lrp::new().layers(LayerRules([("stam".to_string(), Single::Flat)].into()))).unwrap_err();
    assert!(error.to_string().contains("no layer `stam`"), "{error}");
    let table = ask(Lrp::new()).unwrap();
    assert!(table.notes.iter().any(|n| n.contains("convolutions: z_plus; linear layers: epsilon(0.000001)")));
    assert!(table.table().unwrap().column("layer").unwrap().len() > 5);
}

#[test]
fn relevance_is_conserved_on_real_nets() {
    let Some(data) = reference::data("") else { return };
    for net in ["efficientnet-lite0", "mobilenet_v1_0.25_224", "resnet20-cifar10", "squeezenet1.1"] {
        let folder = data.join("oracle").join(net);
        let told: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("meta.json")).unwrap()).unwrap();
        let model = load(data.join(format!("nets/{net}.onnx")), &Options::default()).unwrap();
        let (name, index) = (told["photos"][0][0].as_str().unwrap(), told["photos"][0][1].as_u64().unwrap() as usize);
        let x = load_tensor(folder.join(format!("{name}.input.npy"))).unwrap();
        let (low, high) = x
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
            .iter()
            .fold((0.0f64, 0.0f64), |(l, h), v| (l.min(f64::from(*v)), h.max(f64::from(*v))));
        for rule in [Composite::EpsilonPlus, Composite::EpsilonGammaBox, Composite::EpsilonAlpha2Beta1] {
            let probe = Lrp::new().rule(rule).low(ChannelBounds::from(low)).high(ChannelBounds::from(high));
            let a = explain(&probe, &Subject::Class { model: model.clone(), index }, &x);
            println!("{net} {rule:?}: {}", a.notes[a.notes.len() - 2]);
            let (score, biases, lost) = (number(&a, "score"), number(&a, "biases"), number(&a, "lost"));
            let scale = [score, biases, lost, sum(&a)].iter().fold(1.0f64, |m, v| m.max(v.abs()));
            assert!((sum(&a) + biases + lost - score).abs() < 1e-4 * scale);
        }
    }
}
