//! The parts of the ascent loop against finite differences and closed forms, and the probes that dream against theirs: the
//! class model of a linear net is w / (2 lambda), the code of an invertible layer gives the image back.
#![allow(clippy::unwrap_used)]

use crate::builders;
use crate::builders::{Net, input, residual};
use convscope_engine::ascent::loss::Escape;
use convscope_engine::ascent::{
    Adam, Aim, Boxed, CodeAlignment, CrossEntropy, Diversity, Fourier, Frame, LbfgsOptimiser, Margin, MatchCode,
    Momentum, Objective, Optimiser, Parametrisation, Pixels, Prior, Score, Space, Transforms, Weighted, measure,
};
use convscope_engine::data::{Image, Preprocess};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::job::{Sink, StopSignal};
use convscope_engine::model::Card;
use convscope_engine::params::{Params, Value};
use convscope_engine::probe::Probe;
use convscope_engine::probes::catalog;
use convscope_engine::probes::synthesis::class_model::ClassModel;
use convscope_engine::probes::synthesis::invert::Invert;
use convscope_engine::probes::synthesis::maximize::Maximize;
use convscope_engine::random::Stream;
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Job, Model, Subject};
use std::sync::Arc;

fn noise(name: &str, n: usize) -> Vec<f64> {
    let stream = Stream::new(5, name);
    (0..n).map(|i| stream.normal_at(i as u64)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The slope of `f` at `x` along `d`, by central differences, against `gradient`.
fn agrees(f: &dyn Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64], what: &str) {
    for k in 0..3 {
        let d = noise(&format!("direction {k}"), x.len());
        let h = 1e-5;
        let at = |s: f64| f(&x.iter().zip(&d).map(|(x, d)| x + s * d).collect::<Vec<_>>());
        let slope = (at(h) - at(-h)) / (2.0 * h);
        let told = dot(gradient, &d);
        assert!((slope - told).abs() < 1e-4 * (1.0 + slope.abs()), "{what}: {slope} by differences, {told} told");
    }
}

fn images(model: &Model, n: usize) -> Vec<f64> {
    noise("images", n * model.input_shape().iter().product::<usize>())
}

#[test]
fn objectives_have_the_gradients_of_their_values() {
    let model = residual(0.1);
    let node = model.layer("a/relu2").unwrap();
    let last = model.layer("fc").unwrap();
    let len: usize = model.graph().node(node).shape.iter().product();
    let layer = Subject::layer(&model, "a/relu2").unwrap();
    let code: Vec<f64> = noise("code", len).into_iter().map(f64::abs).collect();
    let part: Vec<f64> = code.iter().enumerate().map(|(i, c)| if i % 3 == 0 { *c } else { f64::NAN }).collect();
    let aims = vec![Aim::Not(1), Aim::Be(3)];
    let class = |i| Subject::class_at(&model, i).unwrap();
    let objectives: Vec<(&str, Box<dyn Objective>)> = vec![
        ("score", Box::new(Score(vec![class(2)]))),
        ("a score an image", Box::new(Score(vec![class(0), layer.channel(2).unwrap()]))),
        ("a code", Box::new(MatchCode { node, code: code.clone() })),
        ("a part of a code", Box::new(MatchCode { node, code: part })),
        ("alignment", Box::new(CodeAlignment { node, direction: code, power: 2.0 })),
        ("diversity", Box::new(Diversity { node })),
        ("cross-entropy", Box::new(CrossEntropy::new(&model, aims.clone()))),
        ("margin", Box::new(Margin::new(&model, aims, 1e9))),
        ("escape", Box::new(Escape::new(&model, 1))),
        (
            "a weighted sum",
            Box::new(Weighted(vec![
                (2.0, Box::new(Score(vec![class(2)]))),
                (-0.5, Box::new(Score(vec![layer.unit(&[1, 2, 2]).unwrap()]))),
            ])),
        ),
    ];
    assert_eq!(model.graph().scores(), last);
    let x = images(&model, 2);
    for (name, objective) in &objectives {
        let (values, gradient) = measure(&model, objective.as_ref(), &x).unwrap();
        assert_eq!(values.len(), 2);
        agrees(&|x| measure(&model, objective.as_ref(), x).unwrap().0.iter().sum(), &x, &gradient, name);
    }
}

#[test]
fn losses_are_their_formulas() {
    let model = residual(0.1);
    let x = images(&model, 1);
    let scores = model.scores(&Space::of_any(&model).unwrap().tensor(&x).unwrap()).unwrap().remove(0);
    let p: Vec<f64> = scores.iter().map(|s| s.exp() / scores.iter().map(|s| s.exp()).sum::<f64>()).collect();
    let value = |o: &dyn Objective| measure(&model, o, &x).unwrap().0[0];
    assert!((value(&CrossEntropy::new(&model, vec![Aim::Not(1)])) + p[1].ln()).abs() < 1e-9);
    assert!((value(&CrossEntropy::new(&model, vec![Aim::Be(1)])) - p[1].ln()).abs() < 1e-9);
    assert!((value(&Escape::new(&model, 2)) - (1.0 - p[2]).ln()).abs() < 1e-9);
    let other = scores.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, s)| *s).fold(f64::NEG_INFINITY, f64::max);
    assert!((value(&Margin::new(&model, vec![Aim::Not(1)], 1e9)) - (other - scores[1])).abs() < 1e-9);
    assert!((value(&Margin::new(&model, vec![Aim::Be(1)], 1e9)) - (scores[1] - other)).abs() < 1e-9);
}

#[test]
fn priors_have_the_gradients_of_their_values() {
    let frame = Frame { channels: 3, height: 7, width: 5 };
    let unit = vec![1.0, 2.0, 0.5];
    let x = noise("prior", 2 * frame.len());
    let priors = [
        Prior::L2 { lambda: 0.3 },
        Prior::Norm { lambda: 0.7, alpha: 6.0, unit: unit.clone() },
        Prior::TotalVariation { lambda: 0.9, beta: 2.0, unit: unit.clone() },
        Prior::TotalVariation { lambda: 0.9, beta: 1.0, unit },
    ];
    for prior in priors {
        let value = |x: &[f64]| -prior.add_to(frame, x, &mut vec![0.0; x.len()]);
        let mut gradient = vec![0.0; x.len()];
        prior.add_to(frame, &x, &mut gradient);
        agrees(&value, &x, &gradient, &format!("{prior:?}"));
    }
    // By hand: a step of 1 between two columns of 7 rows, beta 2, one channel of unit 1.
    let frame = Frame { channels: 1, height: 7, width: 2 };
    let step: Vec<f64> = (0..14).map(|i| f64::from(i % 2)).collect();
    let prior = Prior::TotalVariation { lambda: 1.0, beta: 2.0, unit: vec![1.0] };
    assert!((prior.add_to(frame, &step, &mut [0.0; 14]) - 0.5).abs() < 1e-12);
}

/// A space of a BGR net of 255-steps.
fn space() -> Space {
    Space {
        frame: Frame { channels: 3, height: 6, width: 5 },
        slope: vec![1.0, 0.5, 2.0],
        offset: vec![-100.0, -50.0, -200.0],
    }
}

#[test]
fn parametrisations_have_the_gradients_of_their_images() {
    let space = space();
    let n = 2 * space.frame.len();
    let weights = noise("weights", n);
    let fourier = Fourier::new(&space, &[2, 1, 0], 1.0);
    let (pixels, boxed) = (Pixels::new(&space, 64.0), Boxed(&space));
    let all: [(&str, &dyn Parametrisation); 3] = [("fourier", &fourier), ("pixels", &pixels), ("boxed", &boxed)];
    for (name, p) in all {
        let x: Vec<f64> = noise("params", n).iter().map(|v| 0.3 * v).collect();
        let gradient = p.pull(&x, &weights);
        agrees(
            &|x| 1e-2 * dot(&p.images(x), &weights),
            &x,
            &gradient.iter().map(|g| 1e-2 * g).collect::<Vec<_>>(),
            name,
        );
    }
    // The Fourier image never leaves the range of photos, whatever the parameters.
    let wild: Vec<f64> = noise("wild", n).iter().map(|v| 1e4 * v).collect();
    assert!(space.to_pixels(&fourier.images(&wild)).iter().all(|p| (-1e-9..=255.0 + 1e-9).contains(p)));
    // And there is a way from pixel values to tanh's parameters and back.
    let p: Vec<f64> = (0..n).map(|i| (i * 37 % 256) as f64).collect();
    let back = Boxed::pixels(&Boxed::params(&p));
    assert!(p.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-3));
}

#[test]
fn a_single_wave_is_a_plane_wave() {
    let space = Space { frame: Frame { channels: 1, height: 8, width: 8 }, slope: vec![1.0], offset: vec![0.0] };
    let fourier = Fourier::new(&space, &[0], 0.0);
    let mut params = vec![0.0; 64];
    params[2] = 1.0;
    let image = fourier.images(&params);
    for (i, p) in image.iter().enumerate() {
        let angle = std::f64::consts::TAU * 2.0 * (i % 8) as f64 / 8.0;
        let latent = 0.25 * (angle.cos() + angle.sin()) / 8.0;
        assert!((p - 255.0 / (1.0 + (-latent).exp())).abs() < 1e-9);
    }
}

#[test]
fn transforms_have_their_adjoints_and_stay_put_where_asked() {
    let space = space();
    let n = 2 * space.frame.len();
    let (x, y) = (noise("x", n), noise("y", n));
    let job = Job::new();
    let rolled = Transforms { jitter: 3, ..Transforms::default() };
    for transforms in [Transforms::robust(&space, 2, 0.2, 30.0), rolled, Transforms::default()] {
        for step in 0..4 {
            let warp = transforms.draw(space.frame, &job, "test", step);
            // The padding adds a constant: the linear part is the difference from the image of zeros.
            let zero = warp.apply(&vec![0.0; n]);
            let linear: Vec<f64> = warp.apply(&x).iter().zip(zero).map(|(a, z)| a - z).collect();
            assert!((dot(&linear, &y) - dot(&x, &warp.pull(&y))).abs() < 1e-9);
        }
    }
    let still = Transforms::robust(&space, 0, 1e-12, 0.0).draw(space.frame, &job, "test", 0).apply(&x);
    assert!(still.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn optimisers_find_the_top() {
    // Rosenbrock's valley, upside down.
    let mut valley = |p: &[f64]| {
        let (x, y) = (p[0], p[1]);
        let value = -((1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2));
        Ok((value, vec![2.0 * (1.0 - x) + 400.0 * x * (y - x * x), -200.0 * (y - x * x)]))
    };
    let mut solver = LbfgsOptimiser::new(5, 0.1);
    let mut at = vec![-1.2, 1.0];
    for _ in 0..100 {
        solver.step(&mut at, &mut valley).unwrap();
    }
    assert!((at[0] - 1.0).abs() < 1e-4 && (at[1] - 1.0).abs() < 1e-4, "{at:?}");
    // Within x <= 0.5 the top is at (0.5, 0.25).
    let mut solver = LbfgsOptimiser::new(5, 0.1).within(vec![-2.0, -2.0], vec![0.5, 2.0]);
    let mut at = vec![-1.2, 1.0];
    for _ in 0..200 {
        solver.step(&mut at, &mut valley).unwrap();
        assert!(at[0] <= 0.5);
    }
    assert!((at[0] - 0.5).abs() < 1e-4 && (at[1] - 0.25).abs() < 1e-3, "{at:?}");
    let mut bowl = |p: &[f64]| Ok((-(p[0] - 3.0).powi(2), vec![-2.0 * (p[0] - 3.0)]));
    let (mut a, mut b) = (vec![0.0], vec![0.0]);
    let (mut adam, mut momentum) = (Adam::new(0.1), Momentum::new(0.05, 0.9));
    for _ in 0..500 {
        adam.step(&mut a, &mut bowl).unwrap();
        momentum.step(&mut b, &mut bowl).unwrap();
    }
    assert!((a[0] - 3.0).abs() < 1e-2 && (b[0] - 3.0).abs() < 1e-6, "{a:?} {b:?}");
}

/// A linear net of `out` classes over 1 x 6 x 6 or 3 x 6 x 6 images.
fn linear(channels: usize, out: usize) -> Model {
    let mut n = Net::new(&[channels, 6, 6], 0.1);
    n.then("flat", Op::Reshape(vec![channels * 36]));
    n.linear("fc", out);
    n.model()
}

#[test]
fn the_class_model_of_a_linear_net_is_w_over_two_lambda() {
    let model = linear(3, 4);
    let weights = to_f64(model.weights().iter().find(|(n, _)| *n == "fc.weight").unwrap().1).unwrap();
    for lambda in [0.01, 3.0] {
        let mut probe = ClassModel::default();
        probe.set("lambda", &Value::Float(lambda)).unwrap();
        let class = Subject::class_at(&model, 2).unwrap();
        let made = probe.run(&class, &Input::None, &Job::new()).unwrap();
        assert_eq!(made.value().unwrap().dims(), [3, 6, 6]);
        for (x, w) in to_f64(made.value().unwrap()).unwrap().iter().zip(&weights[2 * 108..3 * 108]) {
            assert!((x - w / (2.0 * lambda)).abs() < 1e-5 * (1.0 + w.abs() / lambda), "{x} for {}", w / (2.0 * lambda));
        }
    }
    // Without a lambda the picture has the contrast that was asked for, and the lambda told is the one that gives it.
    let class = Subject::class_at(&model, 1).unwrap();
    let made = ClassModel::default().run(&class, &Input::None, &Job::new()).unwrap();
    let lambda = builders::number(&made, "lambda");
    for (x, w) in to_f64(made.value().unwrap()).unwrap().iter().zip(&weights[108..216]) {
        assert!((x - w / (2.0 * lambda)).abs() < 1e-4);
    }
}

/// An orthogonal-ish invertible layer: identity plus a small random matrix.
fn invertible() -> Model {
    let mut n = Net::new(&[1, 6, 6], 0.0);
    n.then("flat", Op::Reshape(vec![36]));
    let noise = noise("layer", 36 * 36);
    let values: Vec<f64> = (0..36 * 36).map(|i| f64::from(u8::from(i % 37 == 0)) + 0.1 * noise[i]).collect();
    let weight = n.b.param("fc.weight", tensor(values, &[36, 36]).unwrap()).unwrap();
    n.then("fc", Op::Linear { weight, bias: None });
    n.model()
}

#[test]
fn inverting_an_invertible_layer_gives_the_image_back() {
    let model = invertible();
    let x = input(&model, "image");
    let mut probe = Invert::default();
    for (name, value) in [("variation", 0.0), ("norm", 0.0)] {
        probe.set(name, &Value::Float(value)).unwrap();
    }
    let layer = Subject::layer(&model, "fc").unwrap();
    let made = probe.run(&layer, &Input::Tensor(x.clone()), &Job::new()).unwrap();
    assert!(builders::number(&made, "error") < 1e-6, "{}", builders::number(&made, "error"));
    let (found, x) = (to_f64(made.array_named("images").unwrap()).unwrap(), to_f64(&x).unwrap());
    for (a, b) in found.iter().zip(&x) {
        assert!((a - b).abs() < 1e-2, "{a} for {b}");
    }
    for optimiser in ["adam", "momentum"] {
        probe.set("optimiser", &Value::Text(optimiser.into())).unwrap();
        probe.set("steps", &Value::Int(800)).unwrap();
        let made = probe.run(&layer, &Input::Tensor(tensor(x.clone(), &[1, 6, 6]).unwrap()), &Job::new()).unwrap();
        assert!(builders::number(&made, "error") < 0.01, "{optimiser}: {}", builders::number(&made, "error"));
    }
}

#[test]
fn the_best_of_several_starts_is_kept_and_both_errors_are_told() {
    let model = invertible();
    let x = input(&model, "image");
    let mut probe = Invert::default();
    probe.set("restarts", &Value::Int(3)).unwrap();
    probe.set("steps", &Value::Int(4)).unwrap();
    let layer = Subject::layer(&model, "fc").unwrap();
    let made = probe.run(&layer, &Input::Tensor(x.clone()), &Job::new()).unwrap();
    let starts = to_f64(made.array_named("errors_of_starts").unwrap()).unwrap();
    assert_eq!(starts.len(), 3);
    assert!(starts[0] != starts[1]);
    let error = builders::number(&made, "error");
    assert_eq!(error, starts.iter().copied().fold(f64::INFINITY, f64::min));
    let code = to_f64(&model.output(&x).unwrap()).unwrap();
    let again = to_f64(&model.output(made.array_named("images").unwrap()).unwrap()).unwrap();
    let square: f64 = code.iter().zip(&again).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm = dot(&code, &code);
    assert!((error - square / norm).abs() < 1e-4 * error, "{error} {}", square / norm);
    assert!((builders::number(&made, "distance") - square.sqrt()).abs() < 1e-3 * square.sqrt());
}

#[test]
fn maximizing_raises_the_response_and_several_images_differ() {
    let mut n = Net::new(&[3, 24, 24], 0.1);
    n.conv("conv", 6, Window::square(5, 1, 2), 1);
    n.relu("relu");
    n.head(3);
    let model = n.model();
    let layer = Subject::layer(&model, "relu").unwrap();
    let mut probe = Maximize::default();
    probe.set("steps", &Value::Int(40)).unwrap();
    probe.set("channels", &Value::Int(4)).unwrap();
    let made = probe.run(&layer, &Input::None, &Job::new()).unwrap();
    assert_eq!(made.array_named("images").unwrap().dims(), [4, 3, 24, 24]);
    let responses = to_f64(made.array_named("responses").unwrap()).unwrap();
    let grey = model
        .forward(&Space::of_any(&model).unwrap().tensor(&vec![0.0; 1728]).unwrap(), &convscope_engine::pass::Tap::All)
        .unwrap();
    for (i, response) in responses.iter().enumerate() {
        let before = layer.channel(i).unwrap().scores(&grey).unwrap()[0];
        assert!(*response > before + 0.1, "channel {i}: {before} to {response}");
    }
    let alike = |diversity: f64| {
        let mut probe = Maximize::default();
        probe.set("steps", &Value::Int(40)).unwrap();
        probe.set("images", &Value::Int(2)).unwrap();
        probe.set("diversity", &Value::Float(diversity)).unwrap();
        let made = probe.run(&layer.channel(1).unwrap(), &Input::None, &Job::new()).unwrap();
        let x = to_f64(made.array_named("images").unwrap()).unwrap();
        let node = model.layer("relu").unwrap();
        -measure(&model, &Diversity { node }, &x).unwrap().0[0]
    };
    assert!(alike(100.0) < alike(0.0), "the term must tell images apart");
}

/// Stops the work after so many reports.
struct Impatient(StopSignal, std::sync::atomic::AtomicUsize);

impl Sink for Impatient {
    fn progress(&self, _: &str, _: usize, _: usize) {
        if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 6 {
            self.0.stop();
        }
    }
    fn picture(&self, _: &str, image: &Image) {
        assert!(image.width() > 0);
    }
}

#[test]
fn an_interrupt_keeps_what_there_is() {
    let mut n = Net::new(&[3, 8, 8], 0.1);
    n.conv("conv", 4, Window::square(3, 1, 1), 1);
    n.relu("relu");
    n.head(3);
    let card = Card { preprocess: Some(Preprocess::new(8, 3).unwrap()), ..Card::named("net") };
    let model = n.model().with_card(card);
    let x = Input::Tensor(tensor(vec![0.5; 192], &[3, 8, 8]).unwrap());
    let class = Subject::class_at(&model, 1).unwrap();
    let layer = Subject::layer(&model, "conv").unwrap();
    let asked: [(&str, &Subject, &Input); 7] = [
        ("class_model", &class, &Input::None),
        ("maximize", &layer, &Input::None),
        ("invert", &layer, &x),
        ("caricature", &layer, &x),
        ("pgd", &class, &x),
        ("carlini_wagner", &class, &x),
        ("lbfgs", &class, &x),
    ];
    for (name, on, input) in asked {
        let probe = catalog().iter().find(|e| e.name() == name).unwrap().default_probe();
        let job = Job::new();
        let sink = Impatient(job.signal.clone(), 0.into());
        let job = job.with_sink(Arc::new(sink));
        let made = probe.run(on, input, &job).unwrap();
        assert!(!made.complete, "{name}");
        assert!(!to_f64(made.value().unwrap()).unwrap().is_empty(), "{name}");
        assert!(made.notes[0].contains("stopped after"), "{name}: {:?}", made.notes);
    }
}
