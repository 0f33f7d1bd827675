//! Compares nets that `docs/nets.py` exported with what onnxruntime and PyTorch computed: a line a net.
//!
//! A folder of the corpus holds `model.onnx`, the input `x.npy`, onnxruntime's output `y.npy`, weights `r.npy` of the output's
//! values and the gradient `g.npy` of their weighted sum, computed by PyTorch in f64.
//!
//! With `--probes` eight probes of the family "where" run on each net instead, about the first class or the first channel of the
//! output; a line says which are refused, and why.

use convscope_engine::data::npy;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::grad_cam::GradCam;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::attribution::guided_backprop::GuidedBackprop;
use convscope_engine::probes::attribution::integrated_gradients::IntegratedGradients;
use convscope_engine::probes::attribution::lrp::Lrp;
use convscope_engine::probes::attribution::occlusion::Occlusion;
use convscope_engine::probes::attribution::rise::Rise;
use convscope_engine::probes::attribution::smooth_grad::SmoothGrad;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Error, Input, Job, Model, Result, Subject, Tensor};
use std::path::Path;

/// How far a forward pass in f32 may lie from onnxruntime's, as a part of the largest value.
const FORWARD: f64 = 1e-4;
/// How far a gradient in f64 may lie from PyTorch's, likewise; the weights are the same f32.
const GRADIENT: f64 = 1e-3;
/// Where PyTorch's own gradient in f32 lies farther from its own in f64 (a rectifier's input rounds to the other side of 0), so many times
/// that distance is allowed.
const TIMES_PYTORCH: f64 = 3.0;

fn main() -> std::process::ExitCode {
    let (flags, mut args): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    if args.is_empty() || flags.iter().any(|f| f != "--probes") {
        eprintln!("usage: onnx_coverage [--probes] FOLDER [PART OF A NAME ..]");
        return std::process::ExitCode::FAILURE;
    }
    let (root, wanted) = (args.remove(0), args);
    let judged = if flags.is_empty() { compared } else { probed };
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
        match judged(&folder) {
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

/// Runs eight probes on the first sample.
///
/// # Errors
/// Where the net does not load, or a probe is refused or gives values that are not finite; the message names it.
fn probed(folder: &Path) -> Result<String> {
    let net = load(folder.join("model.onnx"), &Options::default())?;
    let missing = || Error::format(format!("`{}` is not complete", folder.display()));
    let x = read(folder, "x.npy").ok_or_else(missing)?.narrow(0, 0, 1)?;
    let patch = x.dims().iter().skip(2).min().map_or(1, |side| (side / 4).max(1));
    let (about, input) = (about(&net)?, Input::Tensor(x));
    let probes: [&dyn Probe; 8] = [
        &Gradient::new(),
        &GuidedBackprop::new(),
        &SmoothGrad::new().samples(2usize),
        &IntegratedGradients::new().steps(3usize),
        &Lrp::new(),
        &GradCam::new(),
        &Occlusion::new().patch(patch).stride(patch),
        &Rise::new().masks(8usize),
    ];
    let mut wrong = Vec::new();
    for probe in probes {
        let map = probe.run(&about, &input, &Job::new()).and_then(|made| to_f64(made.value()?));
        match map {
            Ok(values) if values.iter().all(|v| v.is_finite()) => {}
            Ok(_) => wrong.push(format!("{}: values that are not finite", probe.name())),
            Err(e) => wrong.push(format!("{}: {e}", probe.name())),
        }
    }
    if wrong.is_empty() { Ok(format!("{} probes", probes.len())) } else { Err(Error::format(wrong.join("; "))) }
}

/// What the probes are asked about: the first class, where the net has classes, else the first channel of its output.
fn about(net: &Model) -> Result<Subject> {
    if let Ok(class) = Subject::class_at(net, 0) {
        return Ok(class);
    }
    Subject::Layer { model: net.clone(), node: net.graph().output() }.channel(0)
}
