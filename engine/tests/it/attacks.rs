//! Attacks against closed forms: on a linear net the fast gradient sign method is the exact adversary of the max-norm, and the
//! attacks that look for the smallest perturbation reach |w . x + b| / |w|; and what every attack promises: it stays in its
//! ball and within 0 to 255, and is judged on the picture that is saved.
#![allow(clippy::unwrap_used)]

use crate::builders::{Net, number};
use convscope_engine::ascent::Space;
use convscope_engine::data::{Dataset, Image, Preprocess};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::model::Card;
use convscope_engine::model::Class;
use convscope_engine::params::Value;
use convscope_engine::probe::ProbeArg;
use convscope_engine::probes::find;
use convscope_engine::random::Stream;
use convscope_engine::subject::argmax;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Subject, Tensor};

/// Grey images of 8 x 8 pixels: x = (p / 255 - 0.5) / 0.25.
fn card(classes: usize, channels: usize) -> Card {
    let mut preprocess = Preprocess::new(8, channels).unwrap();
    preprocess.resize = convscope_engine::data::Resize::Direct;
    preprocess.mean = vec![0.5; channels];
    preprocess.std = vec![0.25; channels];
    let classes = (0..classes).map(|i| Class::from_label(&format!("class{i}"))).collect();
    Card { preprocess: Some(preprocess), classes, ..Card::named("net") }
}

/// Logistic regression over `classes`.
fn logistic(classes: usize) -> Model {
    let mut n = Net::new(&[1, 8, 8], 0.3);
    n.then("flat", Op::Reshape(vec![64]));
    n.linear("fc", classes);
    n.model().with_card(card(classes, 1))
}

fn small() -> Model {
    let mut n = Net::new(&[3, 8, 8], 0.1);
    n.conv("conv", 8, Window::square(3, 1, 1), 1);
    n.relu("relu");
    n.conv("conv2", 8, Window::square(3, 2, 1), 1);
    n.relu("relu2");
    n.head(4);
    n.model().with_card(card(4, 3))
}

/// Whole pixel values from `low` to `high`.
fn pixels(n: usize, name: &str, low: f64, high: f64) -> Vec<f64> {
    let stream = Stream::new(3, name);
    (0..n).map(|i| (low + (high - low) * stream.uniform_at(i as u64)).round()).collect()
}

fn x_of(model: &Model, pixels: &[f64]) -> Tensor {
    let space = Space::of(model).unwrap();
    space.tensor(&space.to_net(pixels)).unwrap()
}

fn attack(name: &str, options: &[(&str, Value)]) -> ProbeArg {
    let options = options.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    find(name).unwrap().build(&[], &options).unwrap()
}

fn run(probe: &ProbeArg, model: &Model, x: &Tensor) -> Artifact {
    probe.ask(&Subject::Model(model.clone()), &Input::Tensor(x.clone()), &Job::new()).unwrap()
}

fn pixels_of(model: &Model, a: &Artifact, name: &str) -> Vec<f64> {
    Space::of(model).unwrap().to_pixels(&to_f64(a.array_named(name).unwrap()).unwrap())
}

/// The difference of two classes' weights by pixel values.
fn weights(model: &Model, up: usize, down: usize) -> Vec<f64> {
    let w = to_f64(model.weights().iter().find(|(n, _)| *n == "fc.weight").unwrap().1).unwrap();
    (0..64).map(|i| (w[up * 64 + i] - w[down * 64 + i]) / (255.0 * 0.25)).collect()
}

#[test]
fn the_fast_gradient_sign_is_the_exact_max_norm_adversary_of_logistic_regression() {
    let model = logistic(2);
    let p = pixels(64, "image", 60.0, 200.0);
    let x = x_of(&model, &p);
    let scores = model.scores(&x).unwrap().remove(0);
    let own = argmax(&scores);
    let w = weights(&model, 1 - own, own);
    let made = run(&attack("fgsm", &[("eps", Value::Float(5.0))]), &model, &x);
    let found = pixels_of(&model, &made, "adversarial_float");
    for ((f, p), w) in found.iter().zip(&p).zip(&w) {
        assert!((f - (p + 5.0 * w.signum())).abs() < 1e-3, "{f} for {}", p + 5.0 * w.signum());
    }
    // No perturbation of that size does more: the margin moves by eps |w|_1.
    let after = model.scores(&x_of(&model, &found)).unwrap().remove(0);
    let moved = (after[1 - own] - after[own]) - (scores[1 - own] - scores[own]);
    let most = 5.0 * w.iter().map(|w| w.abs()).sum::<f64>();
    assert!((moved - most).abs() < 1e-4 * most, "{moved} of {most}");
}

#[test]
fn the_smallest_perturbation_of_a_linear_net_is_its_distance_from_the_boundary() {
    let model = logistic(2);
    let p = pixels(64, "image", 90.0, 160.0);
    let x = x_of(&model, &p);
    let scores = model.scores(&x).unwrap().remove(0);
    let own = argmax(&scores);
    let w = weights(&model, 1 - own, own);
    let margin = scores[own] - scores[1 - own];
    let l2 = margin / w.iter().map(|w| w * w).sum::<f64>().sqrt();
    let linf = margin / w.iter().map(|w| w.abs()).sum::<f64>();
    type Case = (&'static str, Vec<(&'static str, Value)>, &'static str, f64, f64);
    let cases: [Case; 4] = [
        ("deep_fool", vec![], "l2_float", l2, 0.01),
        ("deep_fool", vec![("norm", Value::Text("linf".into()))], "linf_float", linf, 0.01),
        ("lbfgs", vec![], "l2_float", l2, 0.03),
        ("carlini_wagner", vec![("steps", Value::Int(400))], "l2_float", l2, 0.05),
    ];
    for (name, options, norm, least, tolerance) in cases {
        let made = run(&attack(name, &options), &model, &x);
        assert_eq!(number(&made, "success_float"), 1.0, "{name}");
        assert_eq!(number(&made, "success"), 1.0, "{name}");
        let found = number(&made, norm);
        assert!(found >= least * 0.9999, "{name}: {found} is less than the distance {least}");
        assert!(found <= least * (1.0 + tolerance), "{name}: {found} against {least}");
    }
}

#[test]
fn what_rounding_undoes_is_mended_at_the_least_distance() {
    let model = logistic(2);
    for name in ["a", "b", "c", "d", "e", "f"] {
        let p = pixels(64, name, 90.0, 160.0);
        let x = x_of(&model, &p);
        let own = argmax(&model.scores(&x).unwrap().remove(0));
        let made = run(&attack("deep_fool", &[]), &model, &x);
        assert_eq!(number(&made, "success"), 1.0, "{name}");
        let r: Vec<f64> = pixels_of(&model, &made, "adversarial_float").iter().zip(&p).map(|(a, b)| a - b).collect();
        // The same perturbation enlarged until it survives: what is found is no farther.
        let enlarged =
            (100..6400).map(|t| -> Vec<f64> { r.iter().map(|r| (f64::from(t) / 100.0 * r).round()).collect() });
        let reaches = |r: &Vec<f64>| {
            let q: Vec<f64> = p.iter().zip(r).map(|(p, r)| p + r).collect();
            argmax(&model.scores(&x_of(&model, &q)).unwrap().remove(0)) != own
        };
        let l2 = |r: &[f64]| r.iter().map(|r| r * r).sum::<f64>().sqrt();
        let first = l2(&enlarged.into_iter().find(reaches).unwrap());
        let found = number(&made, "l2");
        assert!(found >= l2(&r) - 1e-6 && found <= first + 1e-6, "{name}: {} {found} {first}", l2(&r));
    }
}

#[test]
fn a_universal_perturbation_of_whole_values_fools_a_linear_net_on_all_images() {
    let model = logistic(2);
    let base = pixels(64, "image", 90.0, 160.0);
    let images = (0..5).map(|i| {
        let noise = pixels(64, &format!("noise {i}"), -2.0, 2.0);
        let grey = base.iter().zip(&noise).flat_map(|(b, n)| [(b + n) as u8; 3]).collect();
        Image::new(8, 8, grey).unwrap()
    });
    let data = Input::Data(Dataset::from_images("near one another", images.collect::<Vec<_>>()));
    for (norm, eps) in [("linf", 12.0), ("l2", 60.0)] {
        let probe = attack("universal", &[("eps", Value::Float(eps)), ("norm", Value::Text(norm.into()))]);
        let made = probe.ask(&Subject::Model(model.clone()), &data, &Job::new()).unwrap();
        assert_eq!(number(&made, "fooled"), 1.0, "{norm}");
        let v = to_f64(made.array_named("universal").unwrap()).unwrap();
        let size = match norm {
            "linf" => v.iter().fold(0.0f64, |m, v| m.max(v.abs())),
            _ => v.iter().map(|v| v * v).sum::<f64>().sqrt(),
        };
        assert!(size > 0.0 && size <= eps && v.iter().all(|v| v.fract() == 0.0), "{norm}: {size}");
    }
}

#[test]
fn deep_fool_finds_the_nearest_of_several_boundaries() {
    let model = logistic(5);
    for seed in ["a", "b", "c"] {
        let p = pixels(64, seed, 90.0, 160.0);
        let x = x_of(&model, &p);
        let scores = model.scores(&x).unwrap().remove(0);
        let own = argmax(&scores);
        let distance =
            |k: usize| (scores[own] - scores[k]) / weights(&model, k, own).iter().map(|w| w * w).sum::<f64>().sqrt();
        let nearest = (0..5).filter(|k| *k != own).map(distance).fold(f64::INFINITY, f64::min);
        let found = number(&run(&attack("deep_fool", &[]), &model, &x), "l2_float");
        assert!((found / nearest - 1.0).abs() < 0.01, "{found} against {nearest}");
        let target = (own + 2) % 5;
        let made = run(&attack("deep_fool", &[("target", Value::Int(target as i64))]), &model, &x);
        assert_eq!(number(&made, "class_float"), target as f64);
    }
}

#[test]
fn pgd_stays_in_its_ball_and_in_the_range_of_pixels() {
    let model = small();
    // Many values at the ends of the range.
    let p: Vec<f64> = pixels(192, "image", -150.0, 400.0).into_iter().map(|p| p.clamp(0.0, 255.0)).collect();
    let x = x_of(&model, &p);
    for (norm, eps) in [("linf", 3.0), ("linf", 2.5), ("l2", 20.0), ("l2", 7.3)] {
        for step in [0.1, 100.0] {
            let options = [
                ("norm", Value::Text(norm.into())),
                ("eps", Value::Float(eps)),
                ("step", Value::Float(step)),
                ("steps", Value::Int(7)),
                ("restarts", Value::Int(2)),
            ];
            let made = run(&attack("pgd", &options), &model, &x);
            for name in ["adversarial_float", "adversarial"] {
                let found = pixels_of(&model, &made, name);
                let r: Vec<f64> = found.iter().zip(&p).map(|(a, b)| a - b).collect();
                let size = match norm {
                    "linf" => r.iter().fold(0.0, |m: f64, v| m.max(v.abs())),
                    _ => r.iter().map(|v| v * v).sum::<f64>().sqrt(),
                };
                assert!(size <= eps + 1e-4, "{norm} {eps}: {name} is {size} away");
                assert!(found.iter().all(|p| (-1e-4..=255.0001).contains(p)), "{name} leaves 0 to 255");
                if name == "adversarial" {
                    assert!(found.iter().all(|p| (p - p.round()).abs() < 1e-3), "not whole");
                }
            }
        }
    }
}

#[test]
fn steps_and_restarts_make_pgd_stronger() {
    let model = small();
    let x = x_of(&model, &pixels(192, "image", 0.0, 255.0));
    let own = argmax(&model.scores(&x).unwrap()[0]);
    let margin = |options: &[(&str, Value)]| {
        let made = run(&attack("pgd", options), &model, &x);
        let s = model.scores(made.array_named("adversarial_float").unwrap()).unwrap().remove(0);
        (0..4).filter(|k| *k != own).map(|k| s[k] - s[own]).fold(f64::NEG_INFINITY, f64::max)
    };
    let steps =
        |n: i64, r: i64| margin(&[("steps", Value::Int(n)), ("restarts", Value::Int(r)), ("eps", Value::Float(8.0))]);
    let one_step = {
        let made = run(&attack("fgsm", &[]), &model, &x);
        let s = model.scores(made.array_named("adversarial_float").unwrap()).unwrap().remove(0);
        (0..4).filter(|k| *k != own).map(|k| s[k] - s[own]).fold(f64::NEG_INFINITY, f64::max)
    };
    assert!(steps(40, 1) >= one_step - 1e-6);
    assert!(steps(5, 6) >= steps(5, 1));
}

#[test]
fn targets_are_reached_and_said() {
    let model = small();
    let x = x_of(&model, &pixels(192, "image", 60.0, 200.0));
    let scores = model.scores(&x).unwrap().remove(0);
    let own = argmax(&scores);
    let least = (0..4).fold(0, |b, i| if scores[i] < scores[b] { i } else { b });
    for (name, extra) in [
        ("deep_fool", vec![]),
        ("carlini_wagner", vec![]),
        ("lbfgs", vec![]),
        ("pgd", vec![("eps", Value::Float(120.0))]),
    ] {
        for (target, class) in [
            (Value::Text("opposite".into()), (own + 2) % 4),
            (Value::Text("least_likely".into()), least),
            (Value::Text("class2".into()), 2),
        ] {
            let options = [&extra[..], &[("target", target.clone())]].concat();
            let made = run(&attack(name, &options), &model, &x);
            assert_eq!(number(&made, "success"), 1.0, "{name} {target:?}");
            assert_eq!(number(&made, "class"), class as f64, "{name} {target:?}");
        }
    }
}

#[test]
fn what_is_judged_is_the_picture_that_is_saved() {
    let model = small();
    let x = x_of(&model, &pixels(192, "image", 60.0, 200.0));
    let made = run(&attack("carlini_wagner", &[]), &model, &x);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adversarial.png");
    let pictures = made.parts.iter().find_map(|p| match p {
        convscope_engine::show::Part::Pictures(p) => Some(&p.images),
        _ => None,
    });
    pictures.unwrap()[1].0.save_png(&path).unwrap();
    let space = Space::of(&model).unwrap();
    let again = space.read(&model, &Image::open(&path).unwrap()).unwrap();
    assert_eq!(again, pixels_of(&model, &made, "adversarial").iter().map(|p| p.round()).collect::<Vec<_>>());
    let class = argmax(&model.scores(&x_of(&model, &again)).unwrap()[0]);
    assert_eq!(class as f64, number(&made, "class"));
    assert_eq!(number(&made, "success"), 1.0);
}

#[test]
fn a_wrong_clean_prediction_is_said() {
    let model = small();
    let p = pixels(192, "image", 0.0, 255.0);
    let x = x_of(&model, &p);
    let own = argmax(&model.scores(&x).unwrap()[0]);
    let other = Subject::class_at(&model, (own + 1) % 4).unwrap();
    let probe = attack("fgsm", &[]);
    let made = probe.ask(&other, &Input::Tensor(x.clone()), &Job::new()).unwrap();
    assert!(made.notes.iter().any(|n| n.contains("already wrong")), "{:?}", made.notes);
    let photo = Space::of(&model).unwrap().picture(&model, &to_f64(&x).unwrap()).unwrap();
    let images = (0..4).map(|i| photo.clone().with_label(Some(format!("class{i}"))));
    let data = Input::Data(Dataset::from_images("same", images));
    let made = probe.ask(&Subject::Model(model), &data, &Job::new()).unwrap();
    assert!(made.notes.iter().any(|n| n.contains("3 of 4 clean predictions are already wrong")), "{:?}", made.notes);
    assert_eq!(to_f64(made.array_named("clean_right").unwrap()).unwrap().iter().sum::<f64>(), 1.0);
}

#[test]
fn accuracy_falls_with_epsilon_and_a_net_transfers_to_itself() {
    let model = small();
    let images = (0..8).map(|i| {
        let p = pixels(192, &format!("image {i}"), 0.0, 255.0);
        let x = x_of(&model, &p);
        let label = argmax(&model.scores(&x).unwrap()[0]);
        let photo = Space::of(&model).unwrap().picture(&model, &to_f64(&x).unwrap()).unwrap();
        photo.with_label(Some(format!("class{label}")))
    });
    let data = Input::Data(Dataset::from_images("random", images.collect::<Vec<_>>()));
    let on = Subject::Model(model.clone());
    for name in ["pgd", "deep_fool"] {
        let options = [
            ("attack".to_string(), Value::from(attack(name, &[]))),
            ("eps".to_string(), Value::List([0.0, 2.0, 500.0].map(Value::Float).to_vec())),
        ];
        let sweep = find("epsilon_sweep").unwrap().build(&[], &options.into()).unwrap();
        let made = sweep.ask(&on, &data, &Job::new()).unwrap();
        let accuracy = to_f64(made.value().unwrap()).unwrap();
        assert!(accuracy[0] >= accuracy[1] && accuracy[1] >= accuracy[2] && accuracy[2] == 0.0, "{name}: {accuracy:?}");
    }
    let transfer = find("transfer_matrix")
        .unwrap()
        .build(&[Value::from(attack("pgd", &[("eps", Value::Float(60.0))]))], &Default::default())
        .unwrap();
    let both = Subject::Models(vec![model.clone(), model]);
    let shares = to_f64(transfer.ask(&both, &data, &Job::new()).unwrap().value().unwrap()).unwrap();
    assert_eq!(shares.len(), 4);
    assert!(shares.iter().all(|s| *s == shares[0]) && shares[0] > 0.5, "{shares:?}");
}

#[test]
fn templates_of_a_linear_net_are_its_weights_and_fool_it() {
    let model = logistic(3);
    let x = x_of(&model, &pixels(64, "image", 90.0, 160.0));
    let own = argmax(&model.scores(&x).unwrap()[0]);
    let target = (own + 1) % 3;
    let made = run(
        &attack("linear_template", &[("target", Value::Int(target as i64)), ("eps", Value::Float(60.0))]),
        &model,
        &x,
    );
    assert_eq!(number(&made, "linear"), 1.0);
    let templates = to_f64(made.array_named("templates").unwrap()).unwrap();
    let w = to_f64(model.weights().iter().find(|(n, _)| *n == "fc.weight").unwrap().1).unwrap();
    assert!(templates.iter().zip(&w).all(|(t, w)| (t - w / (255.0 * 0.25)).abs() < 1e-6));
    let p = to_f64(made.array_named("p_target").unwrap()).unwrap();
    assert!(p.windows(2).all(|p| p[1] >= p[0]) && p[p.len() - 1] > 0.8, "{p:?}");
    let deep = small();
    let made = run(&attack("linear_template", &[]), &deep, &x_of(&deep, &pixels(192, "image", 90.0, 160.0)));
    assert_eq!(number(&made, "linear"), 0.0);
}

#[test]
fn fooling_images_are_found_by_every_method() {
    let model = small();
    let class = Subject::class_at(&model, 3).unwrap();
    for method in ["gradient", "direct", "cppn"] {
        let options =
            [("method", Value::Text(method.into())), ("confidence", Value::Float(0.8)), ("steps", Value::Int(300))];
        let made = attack("fooling_image", &options).ask(&class, &Input::None, &Job::new()).unwrap();
        let history = to_f64(made.array_named("history").unwrap()).unwrap();
        assert!(history.len() == 1 || number(&made, "confidence") > history[0], "{method}: {history:?}");
        assert!(history.windows(2).all(|h| h[1] >= h[0]), "{method}: an elite never gets worse");
        if method == "gradient" {
            assert!(number(&made, "confidence") > 0.8);
        }
    }
}

#[test]
fn subjects_and_inputs_that_make_no_sense_are_errors() {
    let model = small();
    let x = x_of(&model, &pixels(192, "image", 0.0, 255.0));
    let fgsm = attack("fgsm", &[]);
    let layer = Subject::layer(&model, "conv").unwrap();
    let error = fgsm.ask(&layer, &Input::Tensor(x.clone()), &Job::new()).unwrap_err();
    assert!(error.message.contains("neither a net nor a class") && error.hint.is_some(), "{error}");
    let wild = tensor(vec![50.0; 192], &[3, 8, 8]).unwrap();
    let error = fgsm.ask(&Subject::Model(model.clone()), &Input::Tensor(wild), &Job::new()).unwrap_err();
    assert!(error.message.contains("outside 0 to 255"), "{error}");
    let bare = model.with_card(Card::named("bare"));
    let error = fgsm.ask(&Subject::Model(bare), &Input::Tensor(x.clone()), &Job::new()).unwrap_err();
    assert!(error.message.contains("does not say how photos"), "{error}");
    let none = find("transfer_matrix").unwrap().build(&[Value::from(attack("gradient", &[]))], &Default::default());
    let error = none.unwrap_err();
    assert!(error.message.contains("is no attack"), "{error}");
}
