//! HOG as a net against its formula, written out pixel by pixel; and its inversion, judged by that formula.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use convscope_engine::data::preprocess::Size;
use convscope_engine::load::hog::{CELL, DIRECTIONS, net};
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::synthesis::invert::Invert;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::to_f64;
use convscope_engine::{Input, Job, Model, Subject};
use std::f64::consts::TAU;

fn value(model: &Model, x: &convscope_engine::Tensor, layer: &str) -> Vec<f64> {
    let node = model.layer(layer).unwrap();
    to_f64(model.forward(&model.batched(x).unwrap(), &Tap::Only(vec![node])).unwrap().get(node).unwrap()).unwrap()
}

/// The cells of an input 3 x h x w: directions x rows x columns.
fn cells(x: &[f64], [h, w]: [usize; 2]) -> Vec<f64> {
    let luma = |y: isize, c: isize| {
        let at = y.clamp(0, h as isize - 1) as usize * w + c.clamp(0, w as isize - 1) as usize;
        0.299 * x[at] + 0.587 * x[h * w + at] + 0.114 * x[2 * h * w + at]
    };
    let (rows, columns) = (h / CELL, w / CELL);
    let mut cells = vec![0.0; DIRECTIONS * rows * columns];
    for (y, c) in (0..h as isize).flat_map(|y| (0..w as isize).map(move |c| (y, c))) {
        let (dx, dy) = (luma(y, c + 1) - luma(y, c - 1), luma(y + 1, c) - luma(y - 1, c));
        let (strength, turn) = (libm::hypot(dx, dy), libm::atan2(dy, dx).rem_euclid(TAU) / TAU * DIRECTIONS as f64);
        for k in 0..DIRECTIONS {
            let apart = (turn - k as f64).abs();
            let share = (1.0 - apart.min(DIRECTIONS as f64 - apart)).max(0.0);
            for (r, j) in (0..rows).flat_map(|r| (0..columns).map(move |j| (r, j))) {
                let tent = |p: isize, cell: usize| {
                    (1.0 - (p as f64 + 0.5 - (cell as f64 + 0.5) * CELL as f64).abs() / CELL as f64).max(0.0)
                };
                cells[(k * rows + r) * columns + j] += strength * share * tent(y, r) * tent(c, j);
            }
        }
    }
    cells
}

/// Blocks of 2 x 2 cells, at length 1, clipped, at length 1 again: (directions x 4) x rows x columns.
fn blocks(cells: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    let mut out = vec![0.0; 4 * DIRECTIONS * (rows - 1) * (columns - 1)];
    for (r, c) in (0..rows - 1).flat_map(|r| (0..columns - 1).map(move |c| (r, c))) {
        let at = |i: usize| cells[(i / 4 * rows + r + i % 4 / 2) * columns + c + i % 2];
        let scaled = |v: Vec<f64>| {
            let length = (v.iter().map(|v| v * v).sum::<f64>() + 1e-3).sqrt();
            v.into_iter().map(|v| v / length).collect::<Vec<f64>>()
        };
        let block = scaled((0..4 * DIRECTIONS).map(at).collect());
        let block = scaled(block.into_iter().map(|v| v.min(0.2)).collect());
        for (i, v) in block.into_iter().enumerate() {
            out[(i * (rows - 1) + r) * (columns - 1) + c] = v;
        }
    }
    out
}

/// The largest difference, as a share of the largest value.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let most = b.iter().fold(0f64, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / most
}

#[test]
fn the_net_computes_the_histograms() {
    let model = net(Some(Size { height: 48, width: 64 })).unwrap();
    let data = shapes(&Shapes { n: 2, seed: 3, ..Shapes::new() }).unwrap();
    for image in data.iter() {
        let x = model.card().preprocess().unwrap().apply(&image.unwrap()).unwrap();
        let want = cells(&to_f64(&x).unwrap(), [48, 64]);
        let found = value(&model, &x, "cells");
        assert!(apart(&found, &want) < 5e-3, "cells differ by {}", apart(&found, &want));
        let want = blocks(&want, [6, 8]);
        let found = value(&model, &x, "hog");
        assert!(apart(&found, &want) < 1e-2, "blocks differ by {}", apart(&found, &want));
    }
}

/// The same loop that inverts a net's codes; what comes out has the histograms that it says, by the formula.
#[test]
fn histograms_are_inverted() {
    let model = net(None).unwrap();
    let data = shapes(&Shapes { n: 1, seed: 8, ..Shapes::new() }).unwrap();
    let (on, image) = (Subject::layer(&model, "hog").unwrap(), data.get(0).unwrap());
    let found = Invert::new().steps(60usize).run(&on, &Input::Image(image.clone()), &Job::new()).unwrap();
    let told = array(&found, "error")[0];
    let code = |x: &[f64]| blocks(&cells(x, [64, 64]), [8, 8]);
    let given = code(&to_f64(&model.card().preprocess().unwrap().apply(&image).unwrap()).unwrap());
    let made = code(&array(&found, "images"));
    let norm = given.iter().map(|v| v * v).sum::<f64>();
    let error = given.iter().zip(&made).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / norm;
    assert!((told - error).abs() < 0.02 * (1.0 + error), "{told} is told, the formula says {error}");
    assert!(told < 0.2, "{told}");
}

#[test]
fn sizes_that_cells_do_not_divide_are_errors() {
    for (height, width) in [(64, 60), (8, 64), (0, 16)] {
        let error = net(Some(Size { height, width })).unwrap_err();
        assert!(error.message.contains("cells of 8 px") && error.hint.is_some(), "{error}");
    }
}
