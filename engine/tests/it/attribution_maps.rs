//! Every map gives what PyTorch, Captum, Zennit and the reference rescale rule give for small nets
//! (`tests/golden/attribution`): one of them has in-place, reused and functional ReLUs, and its maps come from a twin that
//! has a module of its own for every step.

#![allow(clippy::unwrap_used)]

use crate::golden;
use std::path::{Path, PathBuf};

use convscope_engine::load::onnx::{Options, load};
use convscope_engine::params::LayerName;
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::deconvnet::Deconvnet;
use convscope_engine::probes::attribution::deep_lift::DeepLift;
use convscope_engine::probes::attribution::grad_cam::GradCam;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::attribution::gradient_x_input::GradientXInput;
use convscope_engine::probes::attribution::guided_backprop::GuidedBackprop;
use convscope_engine::probes::attribution::integrated_gradients::IntegratedGradients;
use convscope_engine::probes::attribution::lrp::{ChannelBounds, Composite, Lrp};
use convscope_engine::{DType, Device, Input, Job, Model, Subject, Tensor};
use serde_json::Value;

/// What a map may differ from the reference, relative to its largest absolute value. In f64 nothing is left but the
/// references' own f32.
const LIMITS: [(DType, f64); 2] = [(DType::F64, 1e-5), (DType::F32, 1e-4)];

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(golden::path("attribution")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|p| p.extension().is_some_and(|e| e == "zip"));
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn read(case: &Path) -> (Value, Model, Tensor) {
    let told = golden::json(case, "case.json");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    std::fs::write(&file, golden::entry(case, "model.onnx")).unwrap();
    let model = load(&file, &Options::default()).unwrap();
    let x = Tensor::from_vec(golden::array(case, "input.npy"), &[1, 3, 14, 16], &Device::Cpu).unwrap();
    (told, model, x)
}

fn probe(map: &str, told: &Value) -> Box<dyn Probe> {
    let side = |i: usize| ChannelBounds::from(told["box"][i].as_f64().unwrap());
    let lrp = |rule: Composite| Lrp::new().rule(rule).low(side(0)).high(side(1));
    match map {
        "gradient" => Box::new(Gradient::new()),
        "guided_backprop" => Box::new(GuidedBackprop::new()),
        "deconvnet" => Box::new(Deconvnet::new()),
        "gradient_x_input" => Box::new(GradientXInput::new()),
        "integrated_gradients" => Box::new(IntegratedGradients::new()),
        "grad_cam" => Box::new(GradCam { layer: Some(LayerName(told["grad_cam_layer"].as_str().unwrap().into())) }),
        "deep_lift" => Box::new(DeepLift::new()),
        "lrp_epsilon_plus" => Box::new(lrp(Composite::EpsilonPlus)),
        "lrp_epsilon_gamma_box" => Box::new(lrp(Composite::EpsilonGammaBox)),
        "lrp_epsilon_alpha2_beta1" => Box::new(lrp(Composite::EpsilonAlpha2Beta1)),
        "lrp_epsilon" => Box::new(lrp(Composite::Epsilon)),
        "lrp_epsilon_large" => Box::new(lrp(Composite::Epsilon).epsilon(0.1)),
        "lrp_gamma" => Box::new(lrp(Composite::Gamma)),
        "lrp_alpha_beta" => Box::new(lrp(Composite::AlphaBeta)),
        "lrp_z_plus" => Box::new(lrp(Composite::ZPlus)),
        "lrp_w_square" => Box::new(lrp(Composite::WSquare)),
        "lrp_flat" => Box::new(lrp(Composite::Flat)),
        "lrp_z_box" => Box::new(lrp(Composite::ZBox)),
        other => panic!("no probe makes the reference map `{other}`"),
    }
}

#[test]
fn maps_agree_with_pytorch_captum_zennit_and_the_rescale_rule() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for case in cases() {
        let (told, model, x) = read(&case);
        let target = told["target"].as_u64().unwrap() as usize;
        for map in told["maps"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()) {
            // The reference reads a convolution's output before its normalisation, which the file folds into it.
            if (told["name"].as_str().unwrap(), map) == ("depthwise", "grad_cam") {
                continue;
            }
            let probe = probe(map, &told);
            let want = golden::array(&case, &format!("{map}.npy"));
            for (dtype, limit) in LIMITS {
                let model = model.to_dtype(dtype).unwrap();
                let on = Subject::Class { model, index: target };
                let found = probe.run(&on, &Input::Tensor(x.clone()), &Job::new()).unwrap();
                let ours: Vec<f32> =
                    found.value().unwrap().to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                let error = golden::worst(&ours, &want);
                let line = format!("{:12} {map:26} {dtype:?} {error:.1e}", told["name"].as_str().unwrap());
                println!("{line}");
                seen += 1;
                if error.is_nan() || error > limit {
                    wrong.push(line);
                }
            }
        }
    }
    // 18 maps of five nets; Captum has no DeconvNet for the ReLU6 of one.
    assert_eq!(seen, 2 * (18 * 5 - 2));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
