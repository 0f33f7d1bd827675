//! Compares nets that `docs/nets.py` exported with what onnxruntime and PyTorch computed: a line a net.
//!
//! A folder of the corpus holds `model.onnx`, the input `x.npy`, onnxruntime's output `y.npy`, weights `r.npy` of the output's
//! values and the gradient `g.npy` of their weighted sum, computed by PyTorch in f64.

use convscope_engine::data::npy;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::pass::Tap;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Error, Result, Tensor};
use std::path::Path;

/// How far a forward pass in f32 may lie from onnxruntime's, as a part of the largest value.
const FORWARD: f64 = 1e-4;
/// How far a gradient in f64 may lie from PyTorch's, likewise; the weights are the same f32.
const GRADIENT: f64 = 1e-3;
/// Where PyTorch's own gradient in f32 lies farther from its own in f64 (a rectifier's input rounds to the other side of 0), so many times
/// that distance is allowed.
const TIMES_PYTORCH: f64 = 3.0;

fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(root) = args.next() else {
        eprintln!("usage: onnx_coverage FOLDER [PART OF A NAME ..]");
        return std::process::ExitCode::FAILURE;
    };
    let wanted: Vec<String> = args.collect();
    let Ok(entries) = std::fs::read_dir(&root) else {
        eprintln!("no folder `{root}`");
        return std::process::ExitCode::FAILURE;
    };
    let mut folders: Vec<_> = entries.flatten().map(|e| e.path()).filter(|d| d.join("done").exists()).collect();
    folders.sort();
    let (mut good, mut all) = (0, 0);
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        all += 1;
        match compared(&folder) {
            Ok(line) => {
                good += 1;
                println!("ok   {name} {line}");
            }
            Err(e) => println!("FAIL {name} {}", e.to_string().replace('\n', " ")),
        }
    }
    println!("{good} of {all}");
    std::process::ExitCode::SUCCESS
}

fn read(folder: &Path, file: &str) -> Option<Tensor> {
    npy::read(&std::fs::read(folder.join(file)).ok()?).ok()
}

/// The largest difference as a part of the largest finite value.
fn worst(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let largest = want.iter().filter(|v| v.is_finite()).fold(1e-30f64, |m, v| m.max(v.abs()));
    let apart = |(a, b): (&f64, &f64)| match a == b || (a.is_nan() && b.is_nan()) {
        true => 0.0,
        false if (a - b).is_nan() => f64::INFINITY,
        false => (a - b).abs() / largest,
    };
    got.iter().zip(want).map(apart).fold(0.0, f64::max)
}

/// How far PyTorch's gradient in f32 lies from its own in f64, as `docs/nets.py` noted it.
fn pytorch_misses(folder: &Path) -> f64 {
    let noted = std::fs::read(folder.join("done")).ok();
    let noted: Option<serde_json::Value> = noted.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    noted.and_then(|n| n.get("g32")?.as_f64()).unwrap_or(0.0)
}

fn compared(folder: &Path) -> Result<String> {
    let net = load(folder.join("model.onnx"), &Options::default())?;
    let missing = || Error::format(format!("`{}` is not complete", folder.display()));
    let (x, y) = (read(folder, "x.npy").ok_or_else(missing)?, read(folder, "y.npy").ok_or_else(missing)?);
    let output = net.graph().output();
    let got = net.forward(&x, &Tap::Only(vec![output]))?;
    let forward = worst(&to_f64(got.get(output)?)?, &to_f64(&y)?);
    let mut gradient = 0.0;
    if let (Some(g), Some(r)) = (read(folder, "g.npy"), read(folder, "r.npy")) {
        let exact = net.to_dtype(DType::F64)?;
        let trace = exact.forward(&x.to_dtype(DType::F64)?, &Tap::All)?;
        let seed = r.reshape(trace.get(output)?.dims())?.to_dtype(DType::F64)?;
        let flow = trace.backward_to(exact.graph().input(), vec![(output, seed)], &Rules::gradient())?;
        // A video with its frames first is channels x frames inside.
        let flow = if flow.dims() == g.dims() { flow } else { flow.transpose(1, 2)?.contiguous()? };
        gradient = worst(&to_f64(&flow)?, &to_f64(&g)?);
    }
    let allowed = GRADIENT.max(TIMES_PYTORCH * pytorch_misses(folder));
    if forward > FORWARD {
        return Err(Error::format(format!("forward off by {forward:.1e}, gradient by {gradient:.1e}")));
    }
    if gradient > allowed {
        return Err(Error::format(format!("gradient off by {gradient:.1e}, forward by {forward:.1e}")));
    }
    Ok(format!("{forward:.1e} {gradient:.1e}"))
}
