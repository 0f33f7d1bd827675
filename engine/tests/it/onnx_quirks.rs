//! ONNX models of one operator, with attributes at their edges and with random geometries, compute what onnxruntime does
//! (`tests/golden/quirks`), or are refused with the reason that stands there.

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::pass::Tap;
use convscope_engine::tensor::to_f32;
use convscope_engine::{Device, Result, Tensor};
use serde_json::Value;

/// Differences, as a part of the largest value: both sides compute in f32.
const APART: f64 = 2e-5;

fn every_case(module: &str, at_least: usize) {
    let zip = golden::path(&format!("quirks/{module}.zip"));
    let cases = golden::json(&zip, "cases.json");
    let models = golden::entry(&zip, "models.bin");
    let values: Vec<f32> =
        golden::entry(&zip, "values.bin").as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let array = |of: &Value| {
        let (shape, at) = (golden::shape(of), of["at"].as_u64().unwrap() as usize);
        (values[at..at + shape.iter().product::<usize>()].to_vec(), shape)
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let [at, len] = [0, 1].map(|i| case["model"][i].as_u64().unwrap() as usize);
        std::fs::write(&file, &models[at..at + len]).unwrap();
        let (x, shape) = array(&case["x"]);
        let got = computed(&file, x, &shape);
        match (got, case["refused"].as_str()) {
            (Ok((y, dims)), None) => {
                let (want, shape) = array(&case["y"]);
                let off = worst(&y, &want);
                // A file of one sample may drop the batch; ours stays.
                let bare = |dims: &[usize]| dims.iter().copied().skip_while(|n| *n == 1).collect::<Vec<_>>();
                if bare(&dims) != bare(&shape) || off > APART {
                    wrong.push(format!("{name}: {dims:?} off by {off:.1e}, {shape:?} is right"));
                }
            }
            (Ok(_), Some(reason)) => wrong.push(format!("{name}: not refused ({reason})")),
            // onnxruntime divides towards zero, so that a window larger than its map makes one value; PyTorch refuses it, as
            // convscope does.
            (Err(e), None) if e.message.contains("window does not fit into") => {}
            (Err(e), reason) => {
                if !reason.is_some_and(|reason| e.to_string().contains(reason)) {
                    wrong.push(format!("{name}: {e}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A quantised net's twin in real numbers clips where the integers end and rounds nothing; another net has none.
#[test]
fn a_quantised_net_has_a_twin_in_real_numbers() {
    let zip = golden::path("quirks/layers.zip");
    let (cases, models) = (golden::json(&zip, "cases.json"), golden::entry(&zip, "models.bin"));
    let folder = tempfile::tempdir().unwrap();
    let net = |name: &str| {
        let case = cases.as_array().unwrap().iter().find(|c| c["name"] == name).unwrap();
        let [at, len] = [0, 1].map(|i| case["model"][i].as_u64().unwrap() as usize);
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, &models[at..at + len]).unwrap();
        load(&file, &Options::default()).unwrap()
    };
    let twin = net("quantise_13_halves").dequantised().unwrap();
    let x = [-1.25f32, -0.75, -0.25, 0.25, 0.75, 1.25, 100.0, -100.0];
    let y = twin.output(&Tensor::from_slice(&x, (1, 8), &Device::Cpu).unwrap()).unwrap();
    assert_eq!(to_f32(&y).unwrap(), [-1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 63.5, -64.0]);
    let error = net("rms_normalization").dequantised().unwrap_err();
    assert!(error.message.contains("is no quantised net"), "{error}");
}

/// The net's output and its shape.
fn computed(file: &std::path::Path, x: Vec<f32>, shape: &[usize]) -> Result<(Vec<f32>, Vec<usize>)> {
    let net = load(file, &Options::default())?;
    let x = Tensor::from_vec(x, shape, &Device::Cpu)?;
    let output = net.graph().output();
    let trace = net.forward(&x, &Tap::Only(vec![output]))?;
    let y = trace.get(output)?;
    Ok((to_f32(y)?, y.dims().to_vec()))
}

/// The largest difference as a part of the largest finite value; infinite where only one of two is finite.
fn worst(got: &[f32], want: &[f32]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let largest = want.iter().filter(|v| v.is_finite()).fold(1e-30f64, |m, v| m.max(f64::from(v.abs())));
    let apart = |(a, b): (&f32, &f32)| match (a.is_finite(), b.is_finite()) {
        (true, true) => (f64::from(*a) - f64::from(*b)).abs() / largest,
        _ if a == b || (a.is_nan() && b.is_nan()) => 0.0,
        _ => f64::INFINITY,
    };
    got.iter().zip(want).map(apart).fold(0.0, f64::max)
}

macro_rules! modules {
    ($($module:ident $at_least:literal;)*) => {
        $(#[test] fn $module() { every_case(stringify!($module), $at_least); })*
    };
}

modules! {
    pointwise 170;
    windows 110;
    norms 150;
    shapes 140;
    resizes 200;
    geometries 500;
    layers 75;
    places 27;
}
