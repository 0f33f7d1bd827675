//! What attacks are held against: lines of scores against a linear net's own formula, noise by its size, confidence on mistakes
//! and shared mistakes counted by hand.
#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, column};
use convscope_engine::ascent::Space;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::params::Value;
use convscope_engine::probe::ProbeArg;
use convscope_engine::probes::find;
use convscope_engine::random::Stream;
use convscope_engine::subject::argmax;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Artifact, Input, Job, Model, Subject, Tensor};

fn probe(name: &str, options: &[(&str, Value)]) -> ProbeArg {
    let options = options.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    find(name).unwrap().build(&[], &options).unwrap()
}

/// Logistic regression over three classes of grey images, 8 x 8.
fn logistic() -> Model {
    let mut n = Net::new(&[1, 8, 8], 0.3);
    n.then("flat", Op::Reshape(vec![64]));
    n.linear("fc", 3);
    n.model().with_card(card(3, 1, [8, 8]))
}

/// A small net of four classes whose weights follow from `name`.
fn small(name: &str) -> Model {
    let mut n = Net::new(&[3, 8, 8], 0.1);
    n.conv(name, 8, Window::square(3, 1, 1), 1);
    n.relu("relu");
    n.conv("conv2", 8, Window::square(3, 2, 1), 1);
    n.relu("relu2");
    n.head(4);
    n.model().with_card(card(4, 3, [8, 8]))
}

fn x_of(model: &Model, name: &str, low: f64, high: f64) -> Tensor {
    let space = Space::of(model).unwrap();
    let stream = Stream::new(3, name);
    let p: Vec<f64> =
        (0..space.frame.len()).map(|i| (low + (high - low) * stream.uniform_at(i as u64)).round()).collect();
    space.tensor(&space.to_net(&p)).unwrap()
}

/// Photos labelled with what `model` says of them.
fn photos(model: &Model, n: usize) -> Input {
    let one = |i: usize| -> Image {
        let x = x_of(model, &format!("image {i}"), 0.0, 255.0);
        let label = argmax(&model.scores(&x).unwrap()[0]);
        let photo = Space::of(model).unwrap().picture(model, &to_f64(&x).unwrap()).unwrap();
        photo.with_label(Some(format!("class{label}")))
    };
    Input::Data(Dataset::from_images("random", (0..n).map(one).collect::<Vec<_>>()))
}

fn ask(probe: &ProbeArg, on: &Subject, input: &Input) -> Artifact {
    probe.ask(on, input, &Job::new()).unwrap()
}

/// s_c(eps) = s_c(0) + eps <w_c, sign(dJ/dx)>, with J the cross-entropy: its gradient is sum_k (p_k - [k = own]) w_k.
#[test]
fn a_linear_net_s_scores_are_straight_lines_with_the_slopes_of_its_weights() {
    let model = logistic();
    let x = x_of(&model, "image", 60.0, 200.0);
    let clean = model.scores(&x).unwrap().remove(0);
    let own = argmax(&clean);
    let found =
        ask(&probe("logit_sweep", &[("points", Value::Int(9))]), &Subject::Model(model.clone()), &Input::Tensor(x));
    let w: Vec<f64> = crate::builders::param(&model, "fc.weight").iter().map(|w| w / (255.0 * 0.25)).collect();
    let exp: Vec<f64> = clean.iter().map(|s| s.exp()).collect();
    let p: Vec<f64> = exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect();
    let gradient = |i: usize| (0..3).map(|k| (p[k] - f64::from(u8::from(k == own))) * w[k * 64 + i]).sum::<f64>();
    let (eps, logits, control) = (array(&found, "eps"), array(&found, "logits"), array(&found, "control"));
    assert_eq!((eps.len(), logits.len(), control.len()), (9, 27, 27));
    assert_eq!((eps[0], eps[4], eps[8]), (-32.0, 0.0, 32.0));
    for c in 0..3 {
        let slope: f64 = (0..64).map(|i| w[c * 64 + i] * gradient(i).signum()).sum();
        for (i, e) in eps.iter().enumerate() {
            assert!((logits[i * 3 + c] - clean[c] - e * slope).abs() < 1e-6, "class {c} at {e}");
        }
        // Random signs are another straight line through the same point.
        let other = (control[8 * 3 + c] - control[c]) / 64.0;
        assert!((control[4 * 3 + c] - clean[c]).abs() < 1e-9 && other.abs() < slope.abs());
    }
    let told = found.table().unwrap();
    for name in ["straightness below 0", "straightness above 0"] {
        assert!(column(told, name).iter().all(|v| (v - 1.0).abs() < 1e-9), "{:?}", column(told, name));
    }
    let classes = array(&found, "class");
    let argmaxes: Vec<f64> = logits.chunks(3).map(|s| argmax(s) as f64).collect();
    assert_eq!(classes, argmaxes);
}

#[test]
fn a_line_goes_through_one_image() {
    let on = Subject::Model(logistic());
    let error = probe("logit_sweep", &[]).ask(&on, &photos(&logistic(), 2), &Job::new()).unwrap_err();
    assert!(error.message.contains("expected one image") && error.hint.is_some(), "{error}");
}

/// On mid-grey nothing is clipped: every value moves by eps, or the whole by a length of eps.
#[test]
fn noise_has_the_size_that_is_asked_for() {
    let model = small("conv");
    let x = x_of(&model, "image", 100.0, 150.0);
    let on = Subject::Model(model);
    let sizes = |norm: &str, eps: f64, name: &str| {
        let noise = probe("random_noise", &[("norm", Value::Text(norm.into())), ("eps", Value::Float(eps))]);
        let found = ask(&noise, &on, &Input::Tensor(x.clone()));
        (array(&found, name)[0], array(&found, "perturbation"))
    };
    let (largest, change) = sizes("linf", 9.0, "linf_float");
    assert!((largest - 9.0).abs() < 1e-9 && change.iter().all(|c| c.abs() == 9.0));
    let up = change.iter().filter(|c| **c > 0.0).count();
    assert!((60..132).contains(&up), "{up} of 192 go up");
    let (length, change) = sizes("l2", 120.0, "l2_float");
    assert!((length - 120.0).abs() < 1e-6, "{length}");
    // A Gaussian's fourth moment is three times its squared second; a uniform's is 1.8 times.
    let moment = |k: i32| change.iter().map(|c| c.powi(k)).sum::<f64>() / change.len() as f64;
    assert!((2.2..4.2).contains(&(moment(4) / moment(2).powi(2))), "{}", moment(4) / moment(2).powi(2));
}

/// The same attack by itself, its mistakes' probabilities averaged.
#[test]
fn confidence_is_the_mean_probability_of_wrong_decisions() {
    let model = small("conv");
    let (data, on) = (photos(&model, 8), Subject::Model(model.clone()));
    let fgsm = probe("fgsm", &[("eps", Value::Float(60.0))]);
    let options = [("attack", Value::from(fgsm.clone())), ("eps", Value::List(vec![Value::Int(0), Value::Int(60)]))];
    let swept = ask(&probe("epsilon_sweep", &options), &on, &data);
    let single = ask(&fgsm, &on, &data);
    let probabilities = model.probabilities(single.array_named("adversarial").unwrap()).unwrap();
    let Input::Data(set) = &data else { panic!() };
    let label = |i: usize| set.get(i).unwrap().label().unwrap()["class".len()..].parse::<usize>().unwrap();
    let wrong: Vec<f64> = (0..8)
        .filter(|i| argmax(&probabilities[*i]) != label(*i))
        .map(|i| probabilities[i][argmax(&probabilities[i])])
        .collect();
    assert!(!wrong.is_empty());
    let confidence = array(&swept, "confidence");
    assert!(confidence[0].is_nan(), "no mistake on clean images");
    assert!((confidence[1] - wrong.iter().sum::<f64>() / wrong.len() as f64).abs() < 1e-5, "{confidence:?}");
}

/// A net shares all mistakes with itself; with another it shares those that both take for the same class, counted one by one.
#[test]
fn shared_mistakes_are_counted() {
    let (one, two) = (small("conv"), small("other"));
    let data = photos(&one, 12);
    let fgsm = probe("fgsm", &[("eps", Value::Float(60.0))]);
    let transfer = find("transfer_matrix").unwrap().build(&[Value::from(fgsm.clone())], &Default::default()).unwrap();
    let found = ask(&transfer, &Subject::Models(vec![one.clone(), two.clone()]), &data);
    let told = found.table().unwrap();
    let (both, same) = (column(told, "both wrong"), column(told, "same class"));
    assert!(both[0] > 0.0 && same[0] == both[0] && array(&found, "same_class")[0] == 1.0);
    let pictures = ask(&fgsm, &Subject::Model(one.clone()), &data);
    let x = pictures.array_named("adversarial").unwrap();
    let (first, second) = (one.scores(x).unwrap(), two.scores(x).unwrap());
    let clean_of = |net: &Model, photo: &Image| {
        argmax(&net.scores(&Input::Image(photo.clone()).prepared(net).unwrap().x).unwrap()[0])
    };
    let Input::Data(set) = &data else { panic!() };
    let (mut by_hand, mut alike) = (0.0, 0.0);
    for i in 0..12 {
        let photo = set.get(i).unwrap();
        let label = photo.label().unwrap()["class".len()..].parse::<usize>().unwrap();
        let (a, b) = (argmax(&first[i]), argmax(&second[i]));
        if clean_of(&two, &photo) == label && a != label && b != label {
            by_hand += 1.0;
            alike += f64::from(u8::from(a == b));
        }
    }
    assert_eq!((both[1], same[1]), (by_hand, alike));
}

/// The control has each attacked picture's size, and the net that judges it is the same.
#[test]
fn noise_of_the_same_size_is_judged_beside_the_attack() {
    let (one, two) = (small("conv"), small("other"));
    let data = photos(&one, 12);
    let fgsm = probe("fgsm", &[("eps", Value::Float(60.0))]);
    let plain = find("transfer_matrix").unwrap().build(&[Value::from(fgsm.clone())], &Default::default()).unwrap();
    let options = [("control".to_string(), Value::Bool(true))].into();
    let asked = find("transfer_matrix").unwrap().build(&[Value::from(fgsm)], &options).unwrap();
    let on = Subject::Models(vec![one, two]);
    let (without, found) = (ask(&plain, &on, &data), ask(&asked, &on, &data));
    assert!(without.array_named("control").is_err() && without.table().unwrap().columns().len() == 10);
    assert_eq!(array(&found, "shares"), array(&without, "shares"), "the control changes no answer");
    let (control, told) = (array(&found, "control"), found.table().unwrap());
    let (by_noise, of) = (column(told, "by noise"), column(told, "of"));
    for i in 0..4 {
        assert!((control[i] - by_noise[i] / of[i]).abs() < 1e-6 && by_noise[i] <= of[i], "{control:?}");
    }
    assert!(control[0] < array(&found, "shares")[0], "noise fools less than the attack of its size: {control:?}");
}
