//! Insertion and deletion against their definition: pixels taken away and brought back one by one, in plain loops.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, array, column, explain, input, param, table};
use convscope_engine::graph::Op;
use convscope_engine::probes::judge::ProbeList;
use convscope_engine::probes::judge::insertion_deletion::InsertionDeletion;
use convscope_engine::random::Stream;
use convscope_engine::show::Part;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Model, Subject};

const SIZE: [usize; 3] = [2, 5, 6];
const PLANE: usize = 30;
const CLASSES: usize = 3;

fn net() -> Model {
    let mut n = Net::new(&SIZE, 0.3);
    n.then("flat", Op::Reshape(vec![2 * PLANE]));
    n.linear("fc", CLASSES);
    n.model()
}

fn scores(model: &Model, x: &[f64]) -> Vec<f64> {
    let (w, b) = (param(model, "fc.weight"), param(model, "fc.bias"));
    (0..CLASSES).map(|k| b[k] + (0..x.len()).map(|i| w[k * x.len() + i] * x[i]).sum::<f64>()).collect()
}

/// The input under a Gaussian of a tenth of its shorter side, as one sum over all taps of three deviations; edges repeated.
fn blurred(x: &[f64]) -> Vec<f64> {
    let [_, height, width] = SIZE.map(|n| n as isize);
    let sigma = height.min(width) as f64 / 10.0;
    let reach = (3.0 * sigma).ceil() as isize;
    let value = |i: usize| {
        let (plane, y, z) = (i / PLANE * PLANE, (i % PLANE) as isize / width, i as isize % width);
        let (mut sum, mut total) = (0.0, 0.0);
        for dy in -reach..=reach {
            for dz in -reach..=reach {
                let weight = (-((dy * dy + dz * dz) as f64) / (2.0 * sigma * sigma)).exp();
                let (y, z) = ((y + dy).clamp(0, height - 1), (z + dz).clamp(0, width - 1));
                sum += weight * x[plane + (y * width + z) as usize];
                total += weight;
            }
        }
        sum / total
    };
    (0..x.len()).map(value).collect()
}

#[test]
fn areas_are_those_under_curves_of_pixels_that_go_and_come() {
    let model = net();
    let x = input(&model, "photo");
    let plain = to_f64(&x).unwrap();
    // Importances with ties, which go by place.
    let stream = Stream::new(5, "importance");
    let importance: Vec<f64> = (0..PLANE).map(|i| (9.0 * stream.uniform_at(i as u64)).floor()).collect();
    let mut order: Vec<usize> = (0..PLANE).collect();
    order.sort_by(|a, b| importance[*b].partial_cmp(&importance[*a]).unwrap());
    let probability = |x: &[f64]| {
        let s = scores(&model, x);
        s[1].exp() / s.iter().map(|s| s.exp()).sum::<f64>()
    };
    let raw = |x: &[f64]| scores(&model, x)[2];
    let unit = Subject::layer(&model, "fc").unwrap().unit(&[2]).unwrap();
    type Score<'a> = &'a dyn Fn(&[f64]) -> f64;
    let watched: [(Subject, Score<'_>); 2] = [(Subject::class_at(&model, 1).unwrap(), &probability), (unit, &raw)];
    for (on, score) in watched {
        // 7 does not divide the 30 pixels; 40 has steps at which none goes.
        for steps in [1, 7, 30, 40] {
            let curve = |from: &[f64], to: &[f64]| -> Vec<f64> {
                let changed = |step: usize| {
                    let mut now = from.to_vec();
                    for p in &order[..PLANE * step / steps] {
                        (now[*p], now[PLANE + p]) = (to[*p], to[PLANE + p]);
                    }
                    score(&now)
                };
                (0..=steps).map(changed).collect()
            };
            let curves = [curve(&plain, &vec![0.0; plain.len()]), curve(&blurred(&plain), &plain)];
            let planted = Planted::map(importance.clone(), &[SIZE[1], SIZE[2]]);
            let judge = InsertionDeletion { probes: ProbeList(vec![planted]), steps };
            let found = explain(&judge, &on, &x);
            let plots =
                found.parts.iter().filter_map(|p| if let Part::Plot(p) = p { Some(&p.series[0].y) } else { None });
            for (which, (got, want)) in plots.zip(&curves).enumerate() {
                assert_eq!(got.len(), want.len());
                for (i, (got, want)) in got.iter().zip(want).enumerate() {
                    assert!((got - want).abs() < 1e-5, "{on}, {steps} steps, curve {which} at {i}: {got}, not {want}");
                }
            }
            let areas = array(&found, "areas");
            for (which, curve) in curves.iter().enumerate() {
                let inner: f64 = curve[1..steps].iter().sum();
                let want = (inner + (curve[0] + curve[steps]) / 2.0) / steps as f64;
                assert!((areas[which] - want).abs() < 1e-5, "{on}, {steps} steps: area {which}");
            }
            let told = table(&found, "area under the curves");
            assert_eq!([column(told, "deletion"), column(told, "insertion")], [vec![areas[0]], vec![areas[1]]]);
        }
    }
}
