//! Cascading randomisation: which weights are drawn anew at which stage, and how alike the maps of the stages are, by
//! formulas written out here; SciPy and scikit-image say the same of them (`tests/golden/similarity`).

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, array, column, explain, input, param, table};
use crate::golden;
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::probes::judge::ProbeList;
use convscope_engine::probes::judge::model_randomization::ModelRandomization;
use convscope_engine::stats::{spearman, ssim};
use convscope_engine::tensor::tensor;
use convscope_engine::{Model, Subject};
use std::sync::{Arc, Mutex};

const SIDE: usize = 9;

fn net() -> Model {
    let mut n = Net::new(&[1, SIDE, SIDE], 0.3);
    n.conv("first", 12, Window::square(3, 1, 1), 1);
    n.batch_norm("norm");
    n.relu("relu");
    n.conv("second", 12, Window::square(3, 1, 1), 1);
    n.then("flat", Op::Reshape(vec![12 * SIDE * SIDE]));
    n.linear("fc", 3);
    n.model()
}

/// A map that a net stands for: the weights of a class by which it reads channel 0 of the layer before, and of channel 1.
fn map_of(model: &Model, class: usize) -> Vec<f64> {
    param(model, "fc.weight")[class * 12 * SIDE * SIDE..][..2 * SIDE * SIDE].to_vec()
}

/// The nets that the judge asks for a map of class 1, the one as it is first, and what it says.
fn judged(stages: usize) -> (Vec<Model>, convscope_engine::Artifact) {
    let model = net();
    let seen: Arc<Mutex<Vec<Model>>> = Arc::default();
    let kept = seen.clone();
    let probe = Planted::by(move |on, _| {
        kept.lock().unwrap().push(on.model().unwrap().clone());
        tensor(map_of(on.model().unwrap(), 1), &[1, 2, SIDE, SIDE]).unwrap()
    });
    let judge = ModelRandomization { probes: ProbeList(vec![probe]), stages };
    let found = explain(&judge, &Subject::class_at(&model, 1).unwrap(), &input(&model, "photo"));
    (seen.lock().unwrap().clone(), found)
}

#[test]
fn layers_are_drawn_anew_from_the_top_with_their_own_moments() {
    let original = net();
    let layers = ["fc", "second", "first"];
    for (stages, counts) in [(3, vec![1, 2, 3]), (2, vec![1, 3]), (12, vec![1, 2, 3])] {
        let (nets, found) = judged(stages);
        assert_eq!(nets.len(), counts.len() + 1);
        let named = table(&found, "similarity").column("randomised from the top down to").unwrap();
        for (stage, count) in counts.iter().enumerate() {
            assert_eq!(named[stage].text(), layers[count - 1]);
            for (name, _) in original.weights().iter() {
                let (before, now) = (param(&original, name), param(&nets[stage + 1], name));
                let drawn = layers[..*count].iter().any(|l| name.starts_with(&format!("{l}.")));
                let kept = before.iter().zip(&now).filter(|(a, b)| a == b).count();
                assert_eq!(kept, if drawn { 0 } else { before.len() }, "{name} at stage {stage} of {stages}");
                // Once drawn, a layer stays as it is.
                let later = param(&nets[nets.len() - 1], name);
                assert!(!drawn || now == later, "{name}");
                if before.len() < 1000 {
                    continue;
                }
                let ([mean, deviation], [mean_now, deviation_now]) = (moments(&before), moments(&now));
                let error = 4.0 * deviation / (before.len() as f64).sqrt();
                assert!((mean - mean_now).abs() < error && (deviation - deviation_now).abs() < error, "{name}");
            }
        }
    }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> [f64; 2] {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    [mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()]
}

/// Spearman's correlation by its definition: ranks are counted, equal values share theirs.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |v: &[f64]| -> Vec<f64> {
        let rank = |x: &f64| {
            let (below, same) = (v.iter().filter(|y| *y < x).count(), v.iter().filter(|y| *y == x).count());
            below as f64 + (same as f64 + 1.0) / 2.0
        };
        v.iter().map(rank).collect()
    };
    let (ra, rb) = (ranks(a), ranks(b));
    let ([ma, sa], [mb, sb]) = (moments(&ra), moments(&rb));
    let product: f64 = ra.iter().zip(&rb).map(|(a, b)| (a - ma) * (b - mb)).sum();
    product / (ra.len() as f64 * sa * sb)
}

/// Wang et al. 2004 over all windows of 7 x 7, with unbiased variances and a range of 1.
fn similarity(a: &[f64], b: &[f64]) -> f64 {
    let (mut sum, mut windows) = (0.0, 0.0);
    for (y, x) in (0..=SIDE - 7).flat_map(|y| (0..=SIDE - 7).map(move |x| (y, x))) {
        let cut = |v: &[f64]| -> Vec<f64> { (0..49).map(|i| v[(y + i / 7) * SIDE + x + i % 7]).collect() };
        let (p, q) = (cut(a), cut(b));
        let (mp, mq) = (moments(&p)[0], moments(&q)[0]);
        let shared = |u: &[f64], mu: f64, v: &[f64], mv: f64| {
            u.iter().zip(v).map(|(u, v)| (u - mu) * (v - mv)).sum::<f64>() / 48.0
        };
        let (c1, c2) = (0.01f64.powi(2), 0.03f64.powi(2));
        sum += (2.0 * mp * mq + c1) * (2.0 * shared(&p, mp, &q, mq) + c2)
            / ((mp * mp + mq * mq + c1) * (shared(&p, mp, &p, mp) + shared(&q, mq, &q, mq) + c2));
        windows += 1.0;
    }
    sum / windows
}

#[test]
fn maps_are_compared_by_ranks_and_by_structure() {
    let (nets, found) = judged(3);
    let told = table(&found, "similarity");
    // The largest magnitude over the map's two channels, stretched to 0..1 for the structure.
    let magnitudes =
        |map: &[f64]| -> Vec<f64> { (0..SIDE * SIDE).map(|p| map[p].abs().max(map[SIDE * SIDE + p].abs())).collect() };
    let stretched = |v: &[f64]| -> Vec<f64> {
        let (low, high) = v.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
        v.iter().map(|x| (x - low) / (high - low)).collect()
    };
    let before = map_of(&nets[0], 1);
    for stage in 0..3 {
        let now = map_of(&nets[stage + 1], 1);
        let (strong, strong_now) = (magnitudes(&before), magnitudes(&now));
        let want = [
            ("spearman", rank_correlation(&strong, &strong_now)),
            ("spearman signed", rank_correlation(&before, &now)),
            ("ssim", similarity(&stretched(&strong), &stretched(&strong_now))),
        ];
        for (name, want) in want {
            let got = column(told, name)[stage];
            assert!(want.abs() < 0.9 && (got - want).abs() < 1e-6, "{name} at stage {stage}: {got}, not {want}");
            let last = array(&found, &name.replace(' ', "_"))[0];
            assert!(stage < 2 || (last - want).abs() < 1e-6, "{name}: {last}");
        }
    }
}

/// SciPy's spearmanr and scikit-image's structural_similarity on maps by formula.
#[test]
fn measures_of_similarity_are_those_of_scipy_and_scikit_image() {
    let cases: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden::path("similarity/similarity.json")).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let size = ["rows", "columns"].map(|key| number(key) as usize);
        let map =
            |key: &str| -> Vec<f64> { case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
        let (a, b) = (map("a"), map("b"));
        let found = [spearman(&a, &b).unwrap(), ssim(&a, &b, size[0], size[1])];
        for (found, want) in found.into_iter().zip([number("spearman"), number("ssim")]) {
            assert!((found - want).abs() < 1e-9, "{size:?}: {found}, not {want}");
        }
    }
}
