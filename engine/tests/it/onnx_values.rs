//! ONNX files of known architectures and of single ops compute what PyTorch computes (`tests/golden/zoo`), forward and
//! backward. Every case of the folder runs.

#![allow(clippy::unwrap_used)]

use crate::golden;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use convscope_engine::load::onnx::{Options, load};
use convscope_engine::pass::Tap;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Device, Model, Result, Tensor};
use serde_json::Value;

/// Errors of output and gradient, relative to the largest value. In f64 nothing is left to rounding but the references'
/// own f32; in f32 a ReLU or a pool at its kink may decide otherwise, which the gradient shows.
const LIMITS: [(DType, [f64; 2]); 2] = [(DType::F64, [1e-5, 1e-5]), (DType::F32, [1e-4, 1e-2])];

#[test]
fn every_case_agrees() {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(golden::path("zoo")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|p| p.extension().is_some_and(|e| e == "zip"));
    cases.sort();
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_stem().unwrap().to_string_lossy().into_owned();
        match run(case) {
            Ok(errors) => {
                for ((dtype, limits), [output, gradient]) in LIMITS.iter().zip(errors) {
                    let line = format!("{name:36} {dtype:?} output {output:.1e} gradient {gradient:.1e}");
                    println!("{line}");
                    if !(output <= limits[0] && gradient <= limits[1]) {
                        wrong.push(line);
                    }
                }
            }
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{} in {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Errors of output and input gradient, for each of `LIMITS`.
fn run(case: &Path) -> Result<[[f64; 2]; 2]> {
    let told = golden::json(case, "case.json");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, golden::entry(case, "model.onnx")).unwrap();
    told["weights"].as_array().unwrap().iter().for_each(|w| write_weight(folder.path(), w));
    let model = load(&file, &Options::default())?;
    let (output, gradient) = (golden::array(case, "output.npy"), golden::array(case, "gradient.npy"));
    let mut errors = [[0.0; 2]; 2];
    for ((dtype, _), errors) in LIMITS.iter().zip(&mut errors) {
        *errors = compare(&model.to_dtype(*dtype)?, &told, &output, &gradient)?;
    }
    Ok(errors)
}

fn compare(model: &Model, told: &Value, output: &[f32], gradient: &[f32]) -> Result<[f64; 2]> {
    let x = Tensor::from_vec(golden::values(&told["input"]), golden::shape(&told["input"]), &Device::Cpu)?;
    let trace = model.forward(&x, &Tap::All)?;
    let id = model.graph().output();
    let ours = trace.get(id)?.flatten_from(1)?;
    let (n, classes) = ours.dims2()?;
    let target = told["target"].as_u64().unwrap() as usize;
    let seed = (0..n * classes).map(|i| if i % classes == target { 1f32 } else { 0.0 }).collect::<Vec<_>>();
    let seed = Tensor::from_vec(seed, trace.get(id)?.dims(), &Device::Cpu)?;
    let flow = trace.backward_to(model.graph().input(), vec![(id, seed)], &Rules::gradient())?;
    let stride = told["gradient"]["stride"].as_u64().unwrap() as usize;
    let sampled: Vec<f64> = to_f64(&flow)?.into_iter().step_by(stride).collect();
    let largest = output.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
    Ok([
        worst(&to_f64(&ours)?, output, largest),
        worst(&sampled, gradient, told["gradient"]["max_abs"].as_f64().unwrap()),
    ])
}

/// The largest difference as a part of `largest`; NaN where one is.
fn worst(ours: &[f64], theirs: &[f32], largest: f64) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let errors = ours.iter().zip(theirs).map(|(a, b)| (a - f64::from(*b)).abs() / largest);
    errors.fold(0.0, |m, e| if e > m || e.is_nan() { e } else { m })
}

fn write_weight(folder: &Path, recipe: &Value) {
    let path = folder.join(recipe["file"].as_str().unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.seek(SeekFrom::Start(recipe["offset"].as_u64().unwrap())).unwrap();
    let bytes: Vec<u8> = golden::values(recipe).into_iter().flat_map(f32::to_le_bytes).collect();
    file.write_all(&bytes).unwrap();
}
