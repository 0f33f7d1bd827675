//! Judging and smoothing maps: what passes and what does not, each by its formula or by a law.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, explain, input, number, residual};
use convscope_engine::graph::op::{Activation, Binary, Op, Window};
use convscope_engine::params::LayerName;
use convscope_engine::pass::Tap;
use convscope_engine::probe::{Probe, ProbeArg};
use convscope_engine::probes::attribution::deep_lift::DeepLift;
use convscope_engine::probes::attribution::grad_cam::GradCam;
use convscope_engine::probes::attribution::grad_cam_plus_plus::GradCamPlusPlus;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::attribution::guided_backprop::GuidedBackprop;
use convscope_engine::probes::attribution::guided_grad_cam::GuidedGradCam;
use convscope_engine::probes::attribution::integrated_gradients::{IntegratedGradients, PathSteps};
use convscope_engine::probes::attribution::layer_cam::LayerCam;
use convscope_engine::probes::attribution::saliency_box::SaliencyBox;
use convscope_engine::probes::attribution::smooth_grad::{SmoothGrad, Statistic};
use convscope_engine::probes::judge::completeness::Completeness;
use convscope_engine::probes::judge::gradient_check::GradientCheck;
use convscope_engine::rules::Rules;
use convscope_engine::shapes::{Shapes, Span, shapes};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Job, Model, Subject, Tensor};
use std::sync::Arc;

fn class(model: &Model, index: usize) -> Subject {
    Subject::Class { model: model.clone(), index }
}

fn of(probe: impl Probe + 'static) -> ProbeArg {
    ProbeArg(Arc::new(probe))
}

fn values(probe: &dyn Probe, on: &Subject, x: &Tensor) -> Vec<f64> {
    to_f64(explain(probe, on, x).value().unwrap()).unwrap()
}

#[test]
fn tampered_and_rescaled_maps_do_not_pass_completeness() {
    let model = residual(0.1);
    let (x, on) = (input(&model, "photo"), class(&model, 2));
    for probe in [of(IntegratedGradients::new().steps(200)), of(DeepLift::new())] {
        let map = explain(probe.0.as_ref(), &on, &x).value().unwrap().clone();
        let judge = |map: Option<Tensor>| {
            let judge = Completeness { probe: probe.clone(), map, ..Completeness::new() };
            let found = judge.run(&on, &Input::Tensor(x.clone()), &Job::new()).unwrap();
            (number(&found, "holds") == 1.0, found.notes.join("\n"))
        };
        assert!(judge(None).0 && judge(Some(map.clone())).0, "{:?}", probe.0.name());
        let scaled = judge(Some((&map * 1.5).unwrap()));
        assert!(!scaled.0 && scaled.1.contains("does not sum"), "{scaled:?}");
        // Moved within itself the map keeps its sum and is another map all the same.
        let mut moved = to_f64(&map).unwrap();
        moved.reverse();
        let moved = tensor(moved, map.dims()).unwrap();
        let moved = judge(Some(moved));
        assert!(!moved.0 && moved.1.contains("is not the one") && !moved.1.contains("does not sum"), "{moved:?}");
        let one_more = judge(Some((&map + 0.01).unwrap()));
        assert!(!one_more.0, "{one_more:?}");
    }
}

/// Convolutions and tanh, softplus and SiLU between them.
fn smooth() -> Model {
    let mut n = Net::new(&[3, 12, 10], 0.2);
    for (name, f) in [("a", Activation::Tanh), ("b", Activation::Softplus), ("c", Activation::Silu)] {
        n.conv(name, 6, Window::square(3, 1, 1), 1);
        n.then(&format!("{name}/f"), Op::Activation(f));
    }
    n.head(4);
    n.model()
}

#[test]
fn integrated_gradients_of_a_smooth_net_are_complete_at_fifty_steps() {
    let model = smooth();
    let x = input(&model, "photo");
    for index in 0..4 {
        let found = explain(&IntegratedGradients::new(), &class(&model, index), &x);
        let delta = number(&found, "delta");
        println!("class {index}: delta {delta:e}");
        assert!(delta.abs() < 1e-4, "class {index}: {delta:e}");
    }
}

/// sigmoid(steepness (x - 0.43)) of one pixel: along the path from zero nearly all happens at 0.43.
fn step(steepness: f64) -> Subject {
    let mut n = Net::new(&[1, 1, 1], 0.0);
    let factor = n.b.param("factor", tensor(vec![steepness], &[1, 1, 1]).unwrap()).unwrap();
    let place = n.b.param("place", tensor(vec![-0.43 * steepness], &[1, 1, 1]).unwrap()).unwrap();
    let (factor, place) =
        (n.b.add("f", Op::Constant(factor), &[]).unwrap(), n.b.add("p", Op::Constant(place), &[]).unwrap());
    let y = n.add("times", Op::Binary(Binary::Mul), &[n.at, factor]);
    n.add("plus", Op::Binary(Binary::Add), &[y, place]);
    n.then("sigmoid", Op::Activation(Activation::Sigmoid));
    n.then("flat", Op::Reshape(vec![1]));
    Subject::Class { model: n.model(), index: 0 }
}

#[test]
fn automatic_steps_double_until_the_delta_is_small_and_say_so() {
    let x = tensor(vec![1.0f64], &[1, 1, 1, 1]).unwrap();
    let auto = |steepness: f64| {
        let found = explain(&IntegratedGradients::new().steps(PathSteps::Auto), &step(steepness), &x);
        let note = found.notes.iter().find(|n| n.contains("completeness")).unwrap().clone();
        let steps: usize = note.rsplit("; ").next().unwrap().trim_end_matches(" steps").parse().unwrap();
        let capped = found.notes.iter().any(|n| n.contains("did not fall below 1 %"));
        println!("{steepness}: {note}");
        (steps, number(&found, "delta").abs(), capped)
    };
    let (steps, delta, capped) = auto(10.0);
    assert!(steps == 25 && delta < 0.01 && !capped, "{steps} {delta} {capped}");
    let (steps, delta, capped) = auto(300.0);
    assert!(steps > 25 && (steps / 25).is_power_of_two() && delta < 0.01 && !capped, "{steps} {delta} {capped}");
    let fixed = explain(&IntegratedGradients::new().steps(steps / 2), &step(300.0), &x);
    assert!(number(&fixed, "delta").abs() >= 0.01, "half as many would have done");
    let (steps, delta, capped) = auto(1e7);
    assert!(steps == 1600 && delta >= 0.01 && capped, "{steps} {delta} {capped}");
}

#[test]
fn gradients_agree_with_finite_differences_and_other_maps_do_not() {
    let model = smooth();
    let (x, on) = (input(&model, "photo"), class(&model, 0));
    let gap = |probe: ProbeArg| number(&explain(&GradientCheck { probe, ..GradientCheck::new() }, &on, &x), "gap");
    let (own, scaled) = (gap(of(Gradient::new())), gap(of(IntegratedGradients::new())));
    println!("gradient {own:e}, integrated gradients {scaled:e}");
    assert!(own < 1e-5 && scaled > 0.05, "{own:e} {scaled:e}");
    let model = residual(0.1);
    let on = class(&model, 0);
    let guided = explain(
        &GradientCheck { probe: of(GuidedBackprop::new()), ..GradientCheck::new() },
        &on,
        &input(&model, "photo"),
    );
    assert!(number(&guided, "gap") > 0.05, "guided backprop is no gradient");
}

#[test]
fn smoothing_without_noise_changes_nothing_and_its_statistics_are_moments() {
    let model = residual(0.1);
    let (x, on) = (input(&model, "photo"), class(&model, 3));
    for probe in [of(Gradient::new()), of(GradCam::new()), of(DeepLift::new())] {
        let plain = values(probe.0.as_ref(), &on, &x);
        let largest = plain.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let smooth = |noise: f64, statistic: Statistic| {
            values(&SmoothGrad::new().probe(probe.clone()).samples(5usize).noise(noise).statistic(statistic), &on, &x)
        };
        let near = |a: &[f64], b: &[f64], scale: f64| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * scale);
        assert!(near(&smooth(0.0, Statistic::Mean), &plain, largest), "{}", probe.0.name());
        let squares: Vec<f64> = plain.iter().map(|v| v * v).collect();
        assert!(near(&smooth(0.0, Statistic::Squared), &squares, largest * largest), "{}", probe.0.name());
        assert!(smooth(0.0, Statistic::Variance).iter().all(|v| *v <= 1e-9 * largest * largest));
        // Variance is the mean of squares minus the square of the mean.
        let [m, q, v] = [Statistic::Mean, Statistic::Squared, Statistic::Variance].map(|s| smooth(0.2, s));
        let wanted: Vec<f64> = m.iter().zip(&q).map(|(m, q)| q - m * m).collect();
        let scale = q.iter().fold(0.0f64, |s, v| s.max(*v));
        assert!(near(&v, &wanted, scale) && v.iter().any(|v| *v > 1e-3 * scale), "{}", probe.0.name());
    }
}

/// The three ways to weigh maps, once more, one value at a time.
#[test]
fn class_activation_maps_are_their_formulas() {
    let model = residual(0.1);
    let (x, on) = (input(&model, "photo"), class(&model, 1));
    let name = "b/relu1";
    let node = model.layer(name).unwrap();
    let trace = model.forward(&x, &Tap::All).unwrap();
    let a = to_f64(trace.get(node).unwrap()).unwrap();
    let g = to_f64(&trace.backward_to(node, on.seed(&trace).unwrap(), &Rules::gradient()).unwrap()).unwrap();
    let [channels, h, w] = model.graph().node(node).shape[..] else { panic!("no maps") };
    let at = |k: usize, p: usize| k * h * w + p;
    let mut want = [vec![0.0; h * w], vec![0.0; h * w], vec![0.0; h * w]];
    for k in 0..channels {
        let total: f64 = (0..h * w).map(|p| a[at(k, p)]).sum();
        let (mut mean, mut higher) = (0.0, 0.0);
        for p in 0..h * w {
            let d = g[at(k, p)];
            mean += d / (h * w) as f64;
            if d > 0.0 {
                higher += d * d.powi(2) / (2.0 * d.powi(2) + total * d.powi(3));
            }
        }
        for p in 0..h * w {
            want[0][p] += mean * a[at(k, p)];
            want[1][p] += higher * a[at(k, p)];
            want[2][p] += g[at(k, p)].max(0.0) * a[at(k, p)];
        }
    }
    let layer = Some(LayerName(name.to_string()));
    let cams: [Box<dyn Probe>; 3] = [
        Box::new(GradCam { layer: layer.clone() }),
        Box::new(GradCamPlusPlus { layer: layer.clone() }),
        Box::new(LayerCam { layer: layer.clone() }),
    ];
    for (cam, want) in cams.iter().zip(&want) {
        let got = values(cam.as_ref(), &on, &x);
        let largest = want.iter().fold(0.0f64, |m, v| m.max(*v));
        assert!(largest > 0.0);
        let worst = got.iter().zip(want).map(|(g, w)| (g - w.max(0.0)).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5 * largest, "{}: {worst:e} of {largest:e}", cam.name());
    }
    // Guided Grad-CAM is guided backprop wherever the enlarged Grad-CAM is not zero, times that.
    let (guided, both) = (
        values(&GuidedBackprop::new(), &on, &x),
        values(&GuidedGradCam { layer: Some(LayerName("stem/relu".into())) }, &on, &x),
    );
    let cam = values(&GradCam { layer: Some(LayerName("stem/relu".into())) }, &on, &x);
    // The layer has the input's size, so nothing is interpolated.
    let plane = cam.len();
    let largest = both.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert!(largest > 0.0);
    for (i, b) in both.iter().enumerate() {
        assert!((b - guided[i] * cam[i % plane]).abs() < 1e-5 * largest, "{i}: {b}");
    }
}

#[test]
fn boxes_from_saliency_maps_lie_on_the_shapes() {
    let model = convscope_engine::shapes::net::load().unwrap();
    let data = shapes(&Shapes::new().n(24usize).seed(21u64).scale(Span::new(0.34, 0.5))).unwrap();
    let (mut overlap, mut centred) = (0.0, 0.0);
    for image in data.iter() {
        let image = image.unwrap();
        let on = Subject::class(&model, image.label().unwrap()).unwrap();
        let found = SaliencyBox::new().run(&on, &Input::Image(image.clone()), &Job::new()).unwrap();
        let b = to_f64(found.value().unwrap()).unwrap();
        let t = image.bounding_box().unwrap();
        let t = [t.left, t.top, t.left + t.width, t.top + t.height].map(|v| v as f64);
        let (side, share) = (image.width() as f64, t[2] - t[0]);
        let middle =
            [side / 2.0 - share / 2.0, side / 2.0 - share / 2.0, side / 2.0 + share / 2.0, side / 2.0 + share / 2.0];
        overlap += union(&b, &t) / data.len() as f64;
        centred += union(&middle, &t) / data.len() as f64;
    }
    println!("mean intersection over union {overlap:.3}, of a box of the right size in the middle {centred:.3}");
    assert!(overlap > centred + 0.1, "{overlap} against {centred}");
}

/// Intersection over union of two boxes: left, top, right, bottom.
fn union(a: &[f64], b: &[f64]) -> f64 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |c: &[f64]| (c[2] - c[0]) * (c[3] - c[1]);
    let both = side(0) * side(1);
    both / (area(a) + area(b) - both)
}

/// A constant input has ties in every pool, and no range to take a step from.
#[test]
fn the_gradient_check_holds_for_constant_inputs() {
    let model = convscope_engine::shapes::net::load().unwrap();
    let zeros =
        Tensor::zeros(&[1, 3, 64, 64][..], convscope_engine::DType::F32, &convscope_engine::Device::Cpu).unwrap();
    for x in [zeros.clone(), zeros.affine(1.0, 0.7).unwrap()] {
        let checked = explain(&GradientCheck::new(), &class(&model, 0), &x);
        let gap = to_f64(checked.value().unwrap()).unwrap()[0];
        assert!(gap < 1e-3, "{gap}");
        assert!(checked.notes.iter().any(|n| n.contains("constant")));
        let wrong = explain(
            &GradientCheck::new().probe(Planted::map(vec![1.0; 3 * 64 * 64], &[1, 3, 64, 64])),
            &class(&model, 0),
            &x,
        );
        assert!(to_f64(wrong.value().unwrap()).unwrap()[0] > 0.01);
    }
}
