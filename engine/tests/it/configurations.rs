//! The configurations that timm and transformers keep beside a net: photos become what their own code makes of them
//! (`tests/golden/preprocessing`), and what is not read, differs or is assumed is said.

#![allow(clippy::unwrap_used)]

use crate::images::drawn;
use crate::{golden, onnx_bytes};
use convscope_engine::Model;
use convscope_engine::data::{Interpolation, Order, Resize, Rounding, Size};
use convscope_engine::load::{LoadOptions, configs, guess, load_model};
use serde_json::{Value, json};
use std::path::Path;

/// The side of the golden inputs.
const SIDE: usize = 12;

/// A net that gives the mean of each channel of its input, in a folder with these files.
fn beside(folder: &Path, files: &[(&str, &Value)], options: &Value) -> Model {
    let side = SIDE as i64;
    let graph = onnx_bytes::Graph::new(&[1, 3, side, side])
        .node(onnx_bytes::node("GlobalAveragePool", &["x"], &["pooled"]))
        .node(onnx_bytes::node("Flatten", &["pooled"], &["y"]));
    std::fs::write(folder.join("net.onnx"), graph.file("y", 13)).unwrap();
    for (name, config) in files {
        std::fs::write(folder.join(name), config.to_string()).unwrap();
    }
    let options = LoadOptions::from_json(options.as_object().unwrap()).unwrap();
    load_model("./net.onnx", &options, folder, &|_| {}).unwrap()
}

/// The notes of a net on its preprocessing.
fn notes(net: &Model) -> Vec<&str> {
    net.card().notes.iter().map(String::as_str).filter(|n| n.contains("reprocess") || n.contains("photos")).collect()
}

/// The note on a configuration of a processor, and what it makes of photos.
fn read(config: &Value) -> (String, Model) {
    let folder = tempfile::tempdir().unwrap();
    let net = beside(folder.path(), &[("preprocessor_config.json", config)], &json!({}));
    (notes(&net).join("\n"), net)
}

#[test]
fn photos_become_what_the_processors_of_transformers_and_timm_make_of_them() {
    let cases = golden::json(&golden::path("preprocessing/preprocessing.zip"), "cases.json");
    for case in cases.as_array().unwrap() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{} {}", case["name"], case["photo"]);
        let model = json!({ "model_type": case["model_type"] });
        let net = match case["file"].as_str() {
            Some(file) => {
                let mut files = vec![(file, &case["config"])];
                if !case["model_type"].is_null() {
                    files.push(("config.json", &model));
                }
                let net = beside(folder.path(), &files, &json!({}));
                assert_eq!(notes(&net), [format!("preprocessing from `{file}` beside the net")], "{name}");
                net
            }
            None => beside(folder.path(), &[], &case["config"]),
        };
        let photo = if case["photo"] == "wide" { drawn(97, 61) } else { drawn(45, 70) };
        let x = net.card().preprocess().unwrap().apply(&photo).unwrap().flatten_all().unwrap();
        let want: Vec<f32> = case["x"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        assert_eq!(want.len(), 3 * SIDE * SIDE, "{name}");
        for (i, (a, b)) in x.to_vec1::<f32>().unwrap().iter().zip(&want).enumerate() {
            // Row 13 of 15 is exactly between two of the photo's 70 rows, where PIL's nearest pixel is the one before.
            let is_between = (&case["name"], &case["photo"]) == (&json!("timm_squash_and_crop"), &json!("high"));
            assert!(is_between && i / SIDE % SIDE == 11 || (a - b).abs() < 2e-4, "{name}: value {i} is {a}, not {b}");
        }
    }
}

#[test]
fn keys_that_are_not_read_are_named() {
    let base = json!({ "image_processor_type": "ViTImageProcessor", "size": SIDE, "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5], "do_convert_rgb": true, "do_pad": false, "crop_pct": null });
    let with = |key: &str, value: Value| {
        let mut config = base.clone();
        config[key] = value;
        read(&config)
    };
    assert_eq!(read(&base).0, "preprocessing from `preprocessor_config.json` beside the net");
    for (key, value, said) in [
        ("do_flip_channel_order", json!(true), "`do_flip_channel_order` is not read"),
        ("do_pad", json!(true), "`do_pad` is not read"),
        ("rescale_offset", json!(true), "`rescale_offset` is not read"),
        ("crop_pct", json!(0.9), "`crop_pct` is not read"),
        ("resample", json!(1), "`resample` 1 is not known, bicubic is taken"),
        ("keep_aspect_ratio", json!(true), "it keeps a photo's proportions"),
        ("image_processor_type", json!("FooImageProcessor"), "`FooImageProcessor` is not known"),
        ("image_processor_type", json!(null), "it names no processor"),
        ("size", json!({ "longest_edge": SIDE }), "fits a photo's long side"),
    ] {
        let (note, _) = with(key, value);
        assert!(note.starts_with("preprocessing from `preprocessor_config.json` beside the net; "), "{key}: {note}");
        assert!(note.contains(said), "{key}: {note}");
    }
    assert_eq!(with("resample", json!(1)).1.card().preprocess().unwrap().interpolation, Interpolation::Bicubic);
    // A detector sees the whole photo.
    let (note, net) = read(&json!({ "image_processor_type": "YolosImageProcessor", "do_pad": true,
        "size": { "shortest_edge": 8, "longest_edge": 20 }, "format": "coco_detection" }));
    assert!(note.contains("the whole photo is squashed") && !note.contains("not read"), "{note}");
    assert_eq!(net.card().preprocess().unwrap().resize, Resize::Direct);
    // What a processor of sounds says is none of photos.
    let (note, net) = read(&json!({ "feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": true,
        "feature_size": 1, "sampling_rate": 16000 }));
    assert_eq!((note.as_str(), net.card().preprocess.is_none()), ("", true));
}

/// timm's border, modes and interpolations that are not known.
#[test]
fn what_of_timm_cannot_be_done_is_said() {
    let usual = json!({ "input_size": [3, SIDE, SIDE], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5] });
    for (key, value, said, resize) in [
        ("crop_mode", json!("border"), "lies on grey", Resize::Letterbox),
        ("crop_mode", json!("whole"), "\"whole\" is not read", Resize::Short(13)),
        ("interpolation", json!("lanczos"), "\"lanczos\" is not known", Resize::Short(13)),
        ("crop_pct", json!(1.5), "`crop_pct` of 1.5 is not read", Resize::Short(13)),
        ("trim", json!(3), "`trim` is not read", Resize::Short(13)),
    ] {
        let mut config = json!({ "architecture": "resnet18", "pretrained_cfg": usual });
        config["pretrained_cfg"][key] = value;
        let folder = tempfile::tempdir().unwrap();
        let net = beside(folder.path(), &[("config.json", &config)], &json!({}));
        assert!(notes(&net)[0].contains(said), "{:?}", notes(&net));
        let made = net.card().preprocess().unwrap();
        assert_eq!((made.resize, made.rounding), (resize, Rounding::Torchvision));
    }
    // Of a test size the share that is said for it counts.
    let mut config = usual;
    config["input_size"] = json!([3, 8, 8]);
    config["test_input_size"] = json!([3, SIDE, SIDE]);
    config["test_crop_pct"] = json!(1.0);
    let read = configs::timm(&config, Some(Size::from(SIDE))).unwrap().unwrap();
    assert_eq!((read.preprocess.resize, read.remarks), (Resize::Short(12), vec![]));
}

/// One note, and none that contradicts it.
#[test]
fn a_configuration_of_another_size_is_taken_in_proportion() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "architecture": "resnet18", "pretrained_cfg": { "input_size": [3, 224, 224], "crop_pct": 0.8,
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4] } });
    let net = beside(folder.path(), &[("config.json", &config)], &json!({}));
    let made = net.card().preprocess().unwrap();
    assert_eq!((made.size, made.resize, &made.mean[..]), (Size::from(SIDE), Resize::Short(15), &[0.5, 0.4, 0.3][..]));
    assert!(notes(&net)[0].contains("for photos of 224 x 224"), "{:?}", notes(&net));
    let guess = guess::complete(&net, &folder.path().join("net.onnx"), &LoadOptions::default()).unwrap();
    assert!(guess.options.is_empty() && guess.notes.is_empty(), "{guess:?}");

    // 256 to 224 is 13.7 to 12.
    let (note, net) = read(&json!({ "image_processor_type": "MobileNetV1ImageProcessor", "crop_size": 224,
        "size": { "shortest_edge": 256 } }));
    assert!(note.contains("for photos of 224 x 224"), "{note}");
    assert_eq!(net.card().preprocess().unwrap().resize, Resize::Short(14));

    // Nets that see grey are another matter.
    let (note, net) = read(&json!({ "image_processor_type": "ViTImageProcessor", "size": SIDE, "image_mean": [0.5],
        "image_std": [0.5] }));
    assert!(note.contains("photos of 1 channels, the net takes 3") && !note.contains("preprocessing from"), "{note}");
    assert!(net.card().preprocess.is_none());
}

/// ConvNeXt's processor squashes photos for inputs of 384 pixels and more.
#[test]
fn large_inputs_and_sizes_are_those_of_the_processor() {
    let made = |config: Value, side: usize| {
        configs::transformers(&config, None, Size::from(side)).unwrap().unwrap().preprocess
    };
    let convnext =
        |side: usize| json!({ "image_processor_type": "ConvNextImageProcessor", "size": side, "crop_pct": 0.875 });
    assert_eq!(made(convnext(384), 384).resize, Resize::Direct);
    assert_eq!(made(convnext(224), 224).resize, Resize::Short(256));
    let mobilevit =
        made(json!({ "feature_extractor_type": "MobileViTFeatureExtractor", "size": 288, "crop_size": 256 }), 256);
    assert_eq!(
        (mobilevit.resize, mobilevit.order, &mobilevit.std[..]),
        (Resize::Short(288), Order::Bgr, &[1.0; 3][..])
    );
    for (config, side) in [
        (
            json!({ "image_processor_type": "EfficientNetImageProcessor", "size": { "height": 300, "width": 300 }, "crop_size": 289 }),
            300,
        ),
        (
            json!({ "image_processor_type": "BitImageProcessor", "size": { "shortest_edge": 256 }, "crop_size": 224 }),
            224,
        ),
        (json!({ "image_processor_type": "ConvNextImageProcessor", "size": { "shortest_edge": 224 } }), 224),
        (json!({ "size": 256, "crop_size": 224 }), 224),
        (json!({ "pretrained_cfg": { "input_size": [3, 288, 288] } }), 288),
    ] {
        assert_eq!(configs::size_of(&config), Some(Size::from(side)), "{config}");
    }
}
