//! Score-CAM against Wang et al. 2019, algorithm 1, written out over a small net in plain loops.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, explain, input, param};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::params::LayerName;
use convscope_engine::probes::attribution::score_cam::ScoreCam;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Model, Subject};

const INPUT: [usize; 3] = [2, 9, 11];
const MAPS: [usize; 3] = [5, 4, 5];
const CLASSES: usize = 3;

/// A convolution of stride 2, a rectifier, a linear layer over all its maps.
fn net() -> Model {
    let mut n = Net::new(&INPUT, 0.2);
    n.conv("conv", MAPS[0], Window::square(3, 2, 0), 1);
    n.relu("relu");
    n.then("flat", Op::Reshape(vec![MAPS.iter().product()]));
    n.linear("fc", CLASSES);
    n.model()
}

/// The maps behind the rectifier.
fn maps(model: &Model, x: &[f64]) -> Vec<f64> {
    let (w, b) = (param(model, "conv.weight"), param(model, "conv.bias"));
    let [channels, height, width] = INPUT;
    let value = |o: usize, y: usize, z: usize| {
        let mut sum = b[o];
        for c in 0..channels {
            for i in 0..3 {
                for j in 0..3 {
                    sum += w[((o * channels + c) * 3 + i) * 3 + j] * x[(c * height + 2 * y + i) * width + 2 * z + j];
                }
            }
        }
        sum.max(0.0)
    };
    let [outputs, rows, columns] = MAPS;
    (0..outputs * rows * columns).map(|i| value(i / (rows * columns), i / columns % rows, i % columns)).collect()
}

fn score(model: &Model, x: &[f64], class: usize) -> f64 {
    let (w, b, a) = (param(model, "fc.weight"), param(model, "fc.bias"), maps(model, x));
    b[class] + a.iter().enumerate().map(|(i, a)| w[class * a_len() + i] * a).sum::<f64>()
}

fn a_len() -> usize {
    MAPS.iter().product()
}

/// A map enlarged to the input's size: bilinear, pixels' centres on each other, edges repeated.
fn enlarged(map: &[f64]) -> Vec<f64> {
    let ([_, height, width], [_, rows, columns]) = (INPUT, MAPS);
    let place = |i: usize, to: usize, from: usize| {
        let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        (at.floor() as usize, (at.floor() as usize + 1).min(from - 1), at - at.floor())
    };
    let value = |y: usize, x: usize| {
        let ((y0, y1, fy), (x0, x1, fx)) = (place(y, height, rows), place(x, width, columns));
        let at = |y: usize, x: usize| map[y * columns + x];
        (1.0 - fy) * ((1.0 - fx) * at(y0, x0) + fx * at(y0, x1)) + fy * ((1.0 - fx) * at(y1, x0) + fx * at(y1, x1))
    };
    (0..height * width).map(|i| value(i / width, i % width)).collect()
}

#[test]
fn maps_are_weighted_by_the_softmax_of_the_scores_under_them() {
    let model = net();
    let x = input(&model, "photo");
    let (plain, plane) = (to_f64(&x).unwrap(), INPUT[1] * INPUT[2]);
    let activations = maps(&model, &plain);
    let small = MAPS[1] * MAPS[2];
    let mut shown = 0;
    for class in 0..CLASSES {
        let scores: Vec<f64> = activations
            .chunks(small)
            .map(|map| {
                let mask = enlarged(map);
                let low = mask.iter().copied().fold(f64::INFINITY, f64::min);
                let high = mask.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let stretched = |v: f64| if high > low { (v - low) / (high - low) } else { 0.0 };
                let masked: Vec<f64> = plain.iter().enumerate().map(|(i, v)| v * stretched(mask[i % plane])).collect();
                score(&model, &masked, class)
            })
            .collect();
        let total: f64 = scores.iter().map(|s| s.exp()).sum();
        let want: Vec<f64> = (0..small)
            .map(|p| (0..MAPS[0]).map(|k| scores[k].exp() / total * activations[k * small + p]).sum::<f64>().max(0.0))
            .collect();
        let probe = ScoreCam { layer: Some(LayerName("relu".into())) };
        let got = to_f64(explain(&probe, &Subject::class_at(&model, class).unwrap(), &x).value().unwrap()).unwrap();
        let largest = want.iter().copied().fold(0.0, f64::max);
        shown += usize::from(largest > 0.0);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() < 1e-5 * largest, "class {class} at {i}: {got}, not {want}");
        }
    }
    assert_eq!(shown, CLASSES);
}
