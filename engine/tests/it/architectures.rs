//! Holds the named architectures against PyTorch: outputs and input gradients with weights by formula, every tensor's name
//! and shape of all of them, and what is said of files that do not fit.

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::data::Size;
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Activation;
use convscope_engine::load::LoadOptions;
use convscope_engine::load::load_model;
use convscope_engine::load::tensors::Tensors;
use convscope_engine::load::zoo;
use convscope_engine::pass::Tap;
use convscope_engine::rules::Rules;
use convscope_engine::tensor::to_f64;
use convscope_engine::{DType, Device, Error, Model, Tensor};
use serde_json::Value;

fn load(arch: &str, entries: &[Value], options: LoadOptions) -> Result<Model, Error> {
    let folder = tempfile::tempdir().unwrap();
    golden::write_weights(&folder.path().join("net.safetensors"), entries);
    let options = LoadOptions { weights: Some("net.safetensors".into()), ..options };
    load_model(arch, &options, folder.path(), &|_| {})
}

/// Loads the case's architecture with its weights and compares output and input gradient.
fn check(case: &str) {
    let zip = golden::path(&format!("weights/{case}.zip"));
    let about = golden::json(&zip, "case.json");
    let arch = about["architecture"].as_str().unwrap();
    let shape = golden::shape(&about["input"]);
    let options = LoadOptions {
        size: Some(Size { height: shape[2], width: shape[3] }),
        transform_input: ["googlenet", "inception_v3"].contains(&arch).then(|| about["transform_input"] == true),
        ..LoadOptions::default()
    };
    let net = load(arch, about["weights"].as_array().unwrap(), options).unwrap();
    let x = Tensor::from_vec(golden::values(&about["input"]), shape, &Device::Cpu).unwrap();
    let trace = net.forward(&x, &Tap::All).unwrap();
    let output = net.graph().output();
    let scores = trace.get(output).unwrap();
    let off =
        golden::worst(&scores.flatten_all().unwrap().to_vec1::<f32>().unwrap(), &golden::array(&zip, "output.npy"));
    assert!(off < 1e-4, "{case}: output off by {off:e}");

    let target = about["target"].as_u64().unwrap() as usize;
    let kept = golden::array(&zip, "gradient.npy");
    let largest = about["gradient"]["max_abs"].as_f64().unwrap();
    let stride = about["gradient"]["stride"].as_u64().unwrap() as usize;
    let off = |dtype: DType| {
        let gradient = gradient(&net.to_dtype(dtype).unwrap(), &x, target);
        let sampled: Vec<f64> = gradient.into_iter().step_by(stride).collect();
        assert_eq!(sampled.len(), kept.len(), "{case}");
        sampled.iter().zip(&kept).fold(0.0f64, |m, (a, b)| m.max((a - f64::from(*b)).abs())) / largest
    };
    // A rectifier at its kink may turn either way in f32; in f64 none does.
    let single = off(DType::F32);
    assert!(single < 2e-2, "{case}: gradient off by {single:e}");
    let off = if single < 1e-4 { single } else { off(DType::F64) };
    assert!(off < 1e-4, "{case}: gradient off by {off:e} in f64");

    let transform = net.weights().iter().filter(|(name, _)| name.starts_with("transform_input")).count();
    println!("{case}: {} nodes, {transform} constants", net.graph().nodes().len());
}

fn gradient(net: &Model, x: &Tensor, target: usize) -> Vec<f64> {
    let trace = net.forward(x, &Tap::All).unwrap();
    let (input, output) = (net.graph().input(), net.graph().output());
    let seed: Vec<f64> = (0..net.output_len()).map(|i| f64::from(u8::from(i == target))).collect();
    let seed = Tensor::from_vec(seed, trace.get(output).unwrap().dims(), &Device::Cpu).unwrap();
    let seed = seed.to_dtype(net.dtype()).unwrap();
    to_f64(&trace.backward_to(input, vec![(output, seed)], &Rules::gradient()).unwrap()).unwrap()
}

macro_rules! cases {
    ($($case:ident)*) => { $(#[test] fn $case() { check(stringify!($case)); })* };
}

cases! {
    alexnet alexnet_small_input vgg11 vgg11_bn squeezenet1_0 squeezenet1_1 resnet18 resnet50 googlenet
    googlenet_plain_input densenet121 mobilenet_v2 efficientnet_b0 resnext50_32x4d mobilenet_v3_small mobilenet_v3_large
    shufflenet_v2_x0_5 mnasnet0_5 regnet_y_400mf convnext_tiny efficientnet_v2_s inception_v3 vit_b_32 swin_t timm_resnet26d
    timm_efficientnet_b0 timm_tf_efficientnet_b0 timm_tf_mobilenetv3_small_100 timm_tf_efficientnetv2_b0 timm_mobilenetv2_050
    timm_regnety_004 timm_convnext_tiny timm_vit_tiny_patch16_224 timm_swin_tiny_patch4_window7_224
}

/// The names that `tests/golden/weights/state_dicts.zip` lists: torchvision's.
fn listed() -> impl Iterator<Item = &'static zoo::Architecture> {
    let timm = |a: &&zoo::Architecture| a.name == "resnet18d";
    let first = zoo::ARCHITECTURES.iter().position(|a| timm(&a)).unwrap();
    let own = ["squeezenet1_1_caffe", "efficientnet_lite0"];
    zoo::ARCHITECTURES[..first].iter().filter(move |a| !own.contains(&a.name))
}

#[test]
fn every_architecture_takes_the_tensors_that_torchvision_writes() {
    // Others of a family differ by numbers alone, which their shapes hold.
    let large =
        ["regnet_y_128gf", "regnet_y_32gf", "vit_h_14", "vit_l_16", "vit_l_32", "regnet_y_16gf", "regnet_x_32gf"];
    for arch in listed().filter(|a| !large.contains(&a.name)) {
        let net = load(arch.name, &golden::listing(arch.name), LoadOptions::default()).unwrap();
        let size = arch.preprocess().unwrap().size;
        assert_eq!(net.input_shape(), [3, size.height, size.width], "{}", arch.name);
        assert_eq!(net.output_len(), 1000, "{}", arch.name);
    }
}

#[test]
fn a_file_without_a_name_is_recognised_by_names_and_shapes() {
    let recognise = |entries: &[Value], prefix: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut entries = entries.to_vec();
        for entry in &mut entries {
            entry["name"] = format!("{prefix}{}", entry["name"].as_str().unwrap()).into();
        }
        golden::write_weights(&folder.path().join("net.safetensors"), &entries);
        load_model("./net.safetensors", &LoadOptions::default(), folder.path(), &|_| {})
    };
    for arch in [
        "resnet34",
        "wide_resnet50_2",
        "mobilenet_v3_large",
        "mnasnet0_75",
        "regnet_x_400mf",
        "efficientnet_b2",
        "swin_s",
    ] {
        for prefix in ["", "model.backbone."] {
            let net = recognise(&golden::listing(arch), prefix).unwrap();
            let note = &net.card().notes[0];
            assert_eq!(net.card().name, arch, "{prefix}");
            assert!(note.contains("recognised as `") && note.contains(arch), "{note}");
        }
    }
    // timm's EfficientNet and TensorFlow's have one file form and different nets.
    let zip = golden::path("weights/timm_tf_efficientnet_b0.zip");
    let about = golden::json(&zip, "case.json");
    let net = recognise(about["weights"].as_array().unwrap(), "").unwrap();
    assert!(net.card().notes[0].contains("`tf_efficientnet_b0`"), "{:?}", net.card().notes);
    let mut entries = golden::listing("resnet18");
    entries.retain(|e| e["name"] != "layer3.1.bn2.weight");
    let error = recognise(&entries, "").unwrap_err();
    assert!(error.message.contains("fit no architecture"), "{error}");
}

/// The tensors of one of timm's nets by `tests/golden/weights/recognition.zip`, and its blocks where it has inverted residuals.
fn of_timm(name: &str) -> (Vec<Value>, Value) {
    let about = golden::json(&golden::path("weights/recognition.zip"), &format!("{name}.json"));
    let entry = |row: &Value| serde_json::json!({"name": row[0], "shape": row[1]});
    (about["tensors"].as_array().unwrap().iter().map(entry).collect(), about["blocks"].clone())
}

fn tensors(entries: &[Value]) -> Tensors {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    golden::write_weights(&path, entries);
    Tensors::open_part(&path, None).unwrap()
}

/// Skips, strides, activations and epsilons of every block, as timm's own modules have them.
#[test]
fn blocks_of_inverted_residuals_are_those_of_timm() {
    let mut checked = 0;
    for name in golden::json(&golden::path("weights/recognition.zip"), "inverted.json").as_array().unwrap() {
        let name = name.as_str().unwrap();
        let (entries, blocks) = of_timm(name);
        let how = zoo::How { dry: true, ..zoo::How::default() };
        let built = zoo::architecture(name).unwrap().build(&tensors(&entries), [96, 96], how).unwrap();
        let op = |node: String| built.graph.nodes().iter().find(|n| n.name == node).map(|n| &n.op);
        for (block, want) in blocks.as_object().unwrap() {
            assert_eq!(op(format!("{block}.add")).is_some(), want["skip"] == true, "{name}: {block}");
            let conv = ["conv_dw", "conv_exp", "conv"].iter().find_map(|part| op(format!("{block}.{part}")));
            let Some(Op::Conv2d(conv)) = conv else { panic!("{name}: {block} has no convolution") };
            assert_eq!(conv.window.stride[0] as u64, want["stride"].as_u64().unwrap(), "{name}: {block}");
            let Some(Op::BatchNorm { eps, .. }) = op(format!("{block}.bn1")) else { panic!("{name}: {block}") };
            assert_eq!(Some(*eps), want["eps"].as_f64(), "{name}: {block}");
            let activation = match want["activation"].as_str().unwrap() {
                "SiLU" => Activation::Silu,
                "ReLU" => Activation::Relu,
                "ReLU6" => Activation::RELU6,
                "Hardswish" => Activation::HardSwish,
                other => panic!("{name}: {other}"),
            };
            assert_eq!(op(format!("{block}.act1")), Some(&Op::Activation(activation)), "{name}: {block}");
            checked += 1;
        }
    }
    assert!(checked > 1000, "{checked}");
}

/// A file's number of values proves the name, or that only the family is proved.
#[test]
fn names_that_a_file_disproves_are_not_given() {
    let found = |name: &str| zoo::recognised(&tensors(&of_timm(name).0)).unwrap();
    let proved = [
        "regnetx_002",
        "regnety_002",
        "regnetx_008",
        "seresnet50",
        "resnet50",
        "resnet18d",
        "resnet50d",
        "mobilenetv2_050",
        "mobilenetv3_large_075",
        "mobilenetv3_large_100",
        "mobilenetv3_small_100",
        "mobilenetv3_rw",
        "efficientnet_b0",
        "efficientnet_lite0",
        "efficientnet_lite2",
        "efficientnet_el",
        "semnasnet_050",
        "mnasnet_small",
        "convnext_tiny",
        "densenet121",
        "vit_base_patch16_224",
        "vit_tiny_patch16_384",
        "swin_tiny_patch4_window7_224",
    ];
    for name in proved {
        let found = found(name);
        assert_eq!((found.name(), found.exact), (name, true), "{}", found.note());
    }
    let families = [
        ("resnet50c", "resnet50", "ResNet"),
        ("seresnetaa50d", "resnet50d", "ResNet"),
        ("seresnet18", "resnet18", "ResNet"),
        ("tinynet_b", "efficientnet_b0", "inverted residuals"),
    ];
    for (name, read_as, family) in families {
        let found = found(name);
        assert_eq!((found.name(), found.exact), (family, false), "{name}");
        assert!(found.note().contains(&format!("those of `{read_as}` are assumed")), "{name}: {}", found.note());
    }
    // Nets that share every tensor with a named one are named beside it.
    for (name, read_as) in
        [("resnetblur18", "resnet18"), ("resnetaa50", "resnet50"), ("efficientnet_blur_b0", "efficientnet_b0")]
    {
        let note = found(name).note();
        assert!(note.contains(&format!("`{read_as}`")) && note.contains(&format!("`{name}`")), "{note}");
    }
    let names = |of: &[&zoo::Architecture]| of.iter().map(|a| a.name).collect::<Vec<_>>();
    assert_eq!(names(&found("efficientnet_lite0").others), ["tf_efficientnet_lite0"]);
    assert_eq!(names(&found("efficientnet_b0").others), ["tf_efficientnet_b0"]);
    assert_eq!(names(&found("mobilenetv3_large_100").others), ["tf_mobilenetv3_large_100"]);
    assert_eq!(names(&found("vit_base_patch16_224").prepared), ["deit_base_patch16_224"]);
    assert!(found("regnety_002").others.is_empty() && found("resnet50").others.is_empty());
}

/// The number of classes, the input's channels and a prefix say nothing about which net it is.
#[test]
fn a_net_of_other_classes_and_channels_is_recognised_all_the_same() {
    let (mut entries, _) = of_timm("regnety_002");
    for entry in &mut entries {
        match entry["name"].as_str().unwrap() {
            "stem.conv.weight" => entry["shape"][1] = 1.into(),
            "head.fc.weight" | "head.fc.bias" => entry["shape"][0] = 7.into(),
            _ => {}
        }
        entry["name"] = format!("model.{}", entry["name"].as_str().unwrap()).into();
    }
    let found = zoo::recognised(&tensors(&entries)).unwrap();
    assert_eq!((found.name(), found.exact), ("regnety_002", true));
}

/// timm's EfficientNet-Lite0 beside the port's of the same name: other padding and epsilon, other preprocessing.
#[test]
fn efficientnet_lite0_is_timms_where_the_file_has_timms_names() {
    let (entries, _) = of_timm("efficientnet_lite0");
    let net = load("efficientnet_lite0", &entries, LoadOptions::default()).unwrap();
    let preprocess = net.card().preprocess().unwrap();
    assert_eq!((preprocess.size.height, &preprocess.std[..]), (224, &[0.229, 0.224, 0.225][..]));
    let stem = net.graph().nodes().iter().find(|n| n.name == "conv_stem").unwrap();
    let Op::Conv2d(conv) = &stem.op else { panic!("{:?}", stem.op) };
    assert_eq!((conv.window.padding.top, conv.window.padding.bottom), (1, 1));
    assert!(net.card().notes.iter().all(|n| !n.contains("recognised")), "{:?}", net.card().notes);
    // What is named by the caller is taken at its word; the file alone disproves a net with squeezes.
    assert!(load("efficientnet_b0", &entries, LoadOptions::default()).is_ok());
    let how = zoo::How { dry: true, ..zoo::How::default() };
    assert!(zoo::architecture("efficientnet_b0").unwrap().build(&tensors(&entries), [224, 224], how).is_err());
}

#[test]
fn another_variants_file_is_refused_with_what_differs() {
    for (arch, file, says) in [
        ("efficientnet_b1", "efficientnet_b2", "channels"),
        ("convnext_base", "convnext_small", "channels"),
        ("regnet_y_400mf", "regnet_y_800mf", "lacks"),
        ("swin_s", "swin_t", "lacks"),
        ("mobilenet_v3_small", "mobilenet_v3_large", ""),
        ("shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "channels"),
    ] {
        let error = load(arch, &golden::listing(file), LoadOptions::default()).unwrap_err();
        assert!(error.message.contains(says), "{arch} from {file}: {error}");
    }
    let error = load(
        "vit_b_32",
        &golden::listing("vit_b_32"),
        LoadOptions { size: Some(Size { height: 96, width: 96 }), ..LoadOptions::default() },
    );
    assert!(error.unwrap_err().message.contains("holds 49 places, an input of 96 x 96 px has 9 patches"));
}

#[test]
fn classes_and_channels_are_those_of_the_file() {
    let mut entries = golden::listing("resnet18");
    for entry in &mut entries {
        match entry["name"].as_str().unwrap() {
            "conv1.weight" => entry["shape"][1] = 1.into(),
            "fc.weight" | "fc.bias" => entry["shape"][0] = 7.into(),
            _ => {}
        }
    }
    let names = ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec();
    let options: LoadOptions =
        serde_json::from_value(serde_json::json!({"labels": names, "size": 96, "mean": 0.5, "std": [0.5]})).unwrap();
    let net = load("resnet18", &entries, options).unwrap();
    assert_eq!((net.input_shape(), net.output_len()), (&[1, 96, 96][..], 7));
    assert_eq!(net.card().class_name(0), "background");
    let preprocess = net.card().preprocess().unwrap();
    assert_eq!((preprocess.channels, &preprocess.mean[..], &preprocess.std[..]), (1, &[0.5][..], &[0.5][..]));
    assert!(net.layer("layer1.0.relu_1").is_ok() && net.layer("layer2.0.downsample.0").is_ok());
}

#[test]
fn older_names_of_densenet_and_files_without_counters_are_taken() {
    let mut entries = golden::listing("densenet121");
    entries.retain(|e| e["dtype"] != "i64");
    for entry in &mut entries {
        let name = entry["name"].as_str().unwrap().to_string();
        let old = ["norm", "conv"].iter().fold(name, |s, part| {
            if !s.contains("denselayer") {
                return s;
            }
            s.replace(&format!(".{part}1."), &format!(".{part}.1."))
                .replace(&format!(".{part}2."), &format!(".{part}.2."))
        });
        entry["name"] = old.into();
    }
    assert!(entries.iter().any(|e| e["name"] == "features.denseblock1.denselayer1.norm.1.weight"));
    assert!(load("densenet121", &entries, LoadOptions::default()).is_ok());
}

#[test]
fn tensors_that_do_not_fit_are_named_with_both_shapes() {
    let mut entries = golden::listing("resnet18");
    entries.retain(|e| e["name"] != "layer1.0.conv1.weight");
    for entry in &mut entries {
        if entry["name"] == "bn1.weight" {
            entry["shape"] = serde_json::json!([65]);
        }
    }
    entries.push(serde_json::json!({"name": "head.weight", "shape": [2, 3]}));
    let error = load("resnet18", &entries, LoadOptions::default()).unwrap_err();
    for part in [
        "3 tensors do not fit `resnet18`",
        "`layer1.0.conv1.weight` is missing, 64 x 64 x 3 x 3 is needed",
        "`bn1.weight` is 65, 64 is needed",
        "`head.weight` is 2 x 3, `resnet18` has none of that name",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
    let error = load("vgg16", &golden::listing("resnet18"), LoadOptions::default()).unwrap_err();
    assert!(error.message.contains("more") && error.message.lines().count() < 12, "{error}");
    let error = load("resnet19", &golden::listing("resnet18"), LoadOptions::default()).unwrap_err();
    assert!(error.hint.unwrap().contains("did you mean `resnet18`"));
}

#[test]
fn an_input_too_small_for_the_net_is_an_error() {
    let options = LoadOptions { size: Some(Size::from(16)), ..LoadOptions::default() };
    let error = load("alexnet", &golden::listing("alexnet"), options).unwrap_err();
    assert!(error.message.contains("does not fit"), "{error}");
}
