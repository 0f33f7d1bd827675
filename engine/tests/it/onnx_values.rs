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

/// The net of a case, with its weights, and the case.
fn loaded(name: &str) -> (Model, Value) {
    let case = golden::path(&format!("zoo/{name}.zip"));
    let told = golden::json(&case, "case.json");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, golden::entry(&case, "model.onnx")).unwrap();
    told["weights"].as_array().unwrap().iter().for_each(|w| write_weight(folder.path(), w));
    (load(&file, &Options::default()).unwrap(), told)
}

/// What exporters of several opsets take apart is one node again, with nothing of its parts left.
#[test]
fn what_was_written_out_is_one_node() {
    for (case, kind, part) in [
        ("op_gelu_erf", "gelu", "erf"),
        ("op_gelu_tanh", "gelu", "tanh"),
        ("op_silu", "silu", "sigmoid"),
        ("op_mish", "mish", "softplus"),
        ("op_mish_18", "mish", "softplus"),
        ("op_hard_swish_11", "hard_swish", "hard_sigmoid"),
        ("op_log_sigmoid", "log_sigmoid", "sigmoid"),
        ("op_softsign", "softsign", "abs"),
        ("op_layer_norm_13", "layer_norm", "sqrt"),
        ("op_group_norm", "group_norm", "mul"),
        ("op_batch_norm_scale_add", "batch_norm", "mul"),
        ("convnext_tiny", "layer_norm", "erf"),
    ] {
        let (net, _) = loaded(case);
        let kinds: Vec<&str> = net.graph().nodes().iter().map(|n| n.op.kind()).collect();
        assert!(kinds.contains(&kind), "{case}: no {kind} in {kinds:?}");
        assert!(!kinds.contains(&part), "{case}: {part} is left in {kinds:?}");
    }
}

/// The same net under the same rules gives the same map, whoever wrote its file (`tests/golden/written`): both exporters, at
/// several opsets, with a layer of each kind.
#[test]
fn maps_do_not_hang_on_who_wrote_the_file() {
    let zip = golden::path("written/written.zip");
    let (cases, models) = (golden::json(&zip, "cases.json"), golden::entry(&zip, "models.bin"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let recipe = serde_json::json!({"shape": [1, 3, 8, 8], "seed": 5, "scale": 2.0, "shift": 0.1});
    let x = Tensor::from_vec(golden::values(&recipe), golden::shape(&recipe), &Device::Cpu).unwrap();
    let x = x.to_dtype(DType::F64).unwrap();
    type Maps = (String, Vec<Vec<f64>>, Vec<&'static str>);
    let mut first: Option<Maps> = None;
    let mut wrong = Vec::new();
    for case in cases.as_array().unwrap() {
        let net = case["net"].as_str().unwrap();
        let who = format!("{net} by {} at {}", case["exporter"].as_str().unwrap(), case["opset"]);
        let [at, len] = [0, 1].map(|i| case["model"][i].as_u64().unwrap() as usize);
        std::fs::write(&file, &models[at..at + len]).unwrap();
        let model = match load(&file, &Options::default()) {
            Ok(model) => model.to_dtype(DType::F64).unwrap(),
            // Soft shrinkage as dynamo writes it takes signs of activations, which are not read.
            Err(e) if net == "softshrink" && e.message.contains("(Sign)") => continue,
            Err(e) => panic!("{who}: {e}"),
        };
        // A slice may take everything.
        let plain = ["constant", "identity", "reshape", "select"];
        let kinds =
            model.graph().nodes().iter().map(|n| n.op.kind()).filter(|k| !plain.contains(k)).collect::<Vec<_>>();
        let rules = [Rules::gradient(), Rules::guided_backprop(), Rules::deconvnet(), Rules::epsilon_plus(1e-6)];
        let maps: Vec<Vec<f64>> = rules.iter().map(|rules| map(&model, &x, rules)).collect();
        match &first {
            Some((of, want, same)) if of == net => {
                for (i, (a, b)) in maps.iter().zip(want).enumerate() {
                    let largest = b.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
                    let off = a.iter().zip(b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / largest;
                    if off.is_nan() || off >= 1e-5 {
                        wrong.push(format!("{who}: {} off by {off:.1e}, {kinds:?}", rules[i]));
                    }
                }
                if kinds != *same {
                    wrong.push(format!("{who}: {kinds:?}, {same:?} by the first"));
                }
            }
            _ => first = Some((net.to_string(), maps, kinds)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.as_array().unwrap().len(), wrong.join("\n"));
}

fn map(net: &Model, x: &Tensor, rules: &Rules) -> Vec<f64> {
    let trace = net.forward(x, &Tap::All).unwrap();
    let id = net.graph().output();
    let seed = trace.get(id).unwrap().clone();
    to_f64(&trace.backward_to(net.graph().input(), vec![(id, seed)], rules).unwrap()).unwrap()
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
