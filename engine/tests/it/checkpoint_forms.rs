//! Checkpoints in the forms that training code leaves: nests, prefixes, averaged copies, classifiers of one's own or none,
//! lazily negated tensors, other number types, other formats (`tests/golden/checkpoints/make_forms.py`).

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::data::Size;
use convscope_engine::load::tensors::Tensors;
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::model::OutputKind;
use convscope_engine::{DType, Device, Error, Kind, Model, Tensor};
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use std::path::Path;

fn forms() -> std::path::PathBuf {
    golden::path("checkpoints/forms.zip")
}

fn open(name: &str, bytes: &[u8], key: Option<&str>) -> Result<Tensors, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Tensors::open_part(&path, key)
}

fn values(tensors: &Tensors, name: &str) -> Vec<f32> {
    tensors.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn every_form_holds_the_tensors_that_pytorch_saved() {
    let known = golden::json(&forms(), "values.json");
    for (file, want) in known.as_object().unwrap() {
        let tensors = open(file, &golden::entry(&forms(), file), None).unwrap();
        let want = want.as_object().unwrap();
        assert_eq!(tensors.names().count(), want.len(), "{file}: {:?}", tensors.names().collect::<Vec<_>>());
        for (name, about) in want {
            assert_eq!(tensors.shape(name).unwrap(), serde_json::from_value::<Vec<usize>>(about[0].clone()).unwrap());
            let all: Vec<f64> = serde_json::from_value(about[1].clone()).unwrap();
            // The values are those of the number type, so that their f32 is exact.
            assert_eq!(values(&tensors, name), all.iter().map(|v| *v as f32).collect::<Vec<_>>(), "{file} {name}");
        }
    }
}

#[test]
fn which_weights_were_taken_is_noted_and_can_be_chosen() {
    let file = |name: &str| golden::entry(&forms(), name);
    let tensors = open("net.pth", &file("ema.pth"), None).unwrap();
    let note = &tensors.notes[0];
    assert!(note.contains("`state_dict`") && note.contains("`state_dict_ema`"), "{note}");
    let other = open("net.pth", &file("ema.pth"), Some("state_dict_ema")).unwrap();
    let doubled: Vec<f32> = values(&tensors, "a.weight").iter().map(|v| 2.0 * v).collect();
    assert_eq!(values(&other, "a.weight"), doubled);
    let error = open("net.pth", &file("ema.pth"), Some("teacher")).unwrap_err();
    assert!(error.message.contains("no weights under `teacher`"), "{error}");
    assert!(error.hint.unwrap().contains("`state_dict_ema`"));
    let teacher = open("net.pth", &file("teacher.pth"), None).unwrap();
    assert!(teacher.notes[0].contains("`teacher`") && teacher.notes[0].contains("`student`"), "{:?}", teacher.notes);
    assert!(open("net.pth", &file("only_ema.pth"), None).unwrap().notes[0].contains("`model_ema`"));
    assert!(open("net.pth", &file("twice.pth"), None).unwrap().notes[0].contains("`model.state_dict`"));
    assert!(open("net.pth", &file("stem_20.pth"), None).unwrap().notes.is_empty());
}

/// PyTorch's archives begin with `STEM/data.pkl` and end with a record of 76 bytes behind their directory.
#[test]
fn archives_are_read_whatever_the_length_of_their_stem() {
    let whole = golden::entry(&forms(), "stem_20.pth");
    let mut archive = zip::ZipArchive::new(Cursor::new(&whole[..])).unwrap();
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).unwrap();
        let name = entry.name().unwrap().split_once('/').unwrap().1.to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        entries.push((name, bytes));
    }
    let want = values(&open("net.pth", &whole, None).unwrap(), "a.weight");
    for length in 1..=80 {
        let stem = "n".repeat(length);
        let bytes = as_pytorch(&entries.iter().map(|(n, b)| (format!("{stem}/{n}"), &b[..])).collect::<Vec<_>>());
        let tensors = open("net.pth", &bytes, None).unwrap_or_else(|e| panic!("a stem of {length}: {e}"));
        assert_eq!(values(&tensors, "a.weight"), want, "{length}");
    }
}

/// An archive as PyTorch's writer (miniz) makes it: with zip64's records though the plain one says it all.
fn as_pytorch(entries: &[(String, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let (size, at) = ((content.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
        let about =
            [&[0; 8][..], &crc.sum().to_le_bytes(), &size, &size, &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        out.extend([b"PK\x03\x04\0\0", &about[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\0\0\0\0", &about[..], &[0; 10], &at, name.as_bytes()].concat());
    }
    let (from, count, size) = (out.len() as u64, entries.len() as u64, directory.len() as u64);
    out.extend(directory);
    let end = out.len() as u64;
    let long = |n: u64| n.to_le_bytes();
    out.extend(
        [&b"PK\x06\x06"[..], &long(44), &[0; 12], &long(count), &long(count), &long(size), &long(from)].concat(),
    );
    out.extend([&b"PK\x06\x07"[..], &[0; 4], &long(end), &1u32.to_le_bytes()].concat());
    let short = (count as u16).to_le_bytes();
    let (size, from) = ((size as u32).to_le_bytes(), (from as u32).to_le_bytes());
    out.extend([&b"PK\x05\x06\0\0\0\0"[..], &short, &short, &size, &from, &[0; 2]].concat());
    out
}

#[test]
fn other_formats_say_how_to_make_an_onnx_file_of_them() {
    let zip = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(b"x").unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let keras = zip(&["metadata.json", "config.json", "model.weights.h5"]);
    let exported = zip(&["n/models/model.json", "n/archive_format", "n/data/weights/weight_0", "n/byteorder"]);
    let script = golden::entry(&golden::path("checkpoints/files.zip"), "script.pt");
    let module = golden::entry(&golden::path("checkpoints/files.zip"), "whole_module.pth");
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes, says, line) in [
        ("net.h5", &b"\x89HDF\r\n\x1a\n...."[..], "HDF5", "export('net.onnx', format='onnx')"),
        ("net.keras", &keras, "a Keras model", "export('net.onnx', format='onnx')"),
        ("net.tflite", b"\x1c\0\0\0TFL3....", "a TensorFlow Lite model", "python -m tf2onnx.convert --tflite"),
        ("net.pb", b"\n\x05hello", "a TensorFlow graph", "python -m tf2onnx.convert --graphdef"),
        ("net.pt2", &exported, "a program of torch.export", "torch.export.load('net.pt2')"),
        ("net.pt", &script, "a TorchScript archive", "torch.jit.load('net.pt')"),
        ("whole.pth", &module, "a whole module", "torch.load('net.pt', weights_only=False)"),
    ] {
        std::fs::write(folder.path().join(file), bytes).unwrap();
        // By itself, and as the weights of an architecture.
        let alone = load_model(
            &folder.path().join(file).display().to_string(),
            &LoadOptions::default(),
            Path::new(""),
            &|_| {},
        );
        let options = LoadOptions { weights: Some(file.into()), ..LoadOptions::default() };
        let weights = load_model("resnet18", &options, folder.path(), &|_| {});
        for error in [alone.unwrap_err(), weights.unwrap_err()] {
            // A frozen graph has no mark of its own: as weights it is only no checkpoint.
            if file == "net.pb" && !error.message.contains(says) {
                continue;
            }
            assert!(error.message.contains(says) && error.kind == Kind::Format, "{file}: {error}");
            let hint = error.hint.unwrap();
            assert!(hint.contains(line) && !hint.contains('\n'), "{file}: {hint}");
        }
    }
    let saved = folder.path().join("saved");
    std::fs::create_dir(&saved).unwrap();
    std::fs::write(saved.join("saved_model.pb"), b"x").unwrap();
    let error = load_model(&saved.display().to_string(), &LoadOptions::default(), Path::new(""), &|_| {}).unwrap_err();
    assert!(error.message.contains("`saved` is a TensorFlow SavedModel"), "{error}");
    assert!(error.hint.unwrap().contains("python -m tf2onnx.convert --saved-model"));
}

/// Weights of an architecture by formula, small ones that keep values finite.
fn entries(arch: &str) -> Vec<Value> {
    let mut entries = golden::listing(arch);
    for (i, entry) in entries.iter_mut().enumerate().filter(|(_, e)| e["dtype"].is_null()) {
        let shift = if entry["name"].as_str().unwrap().contains("running_var") { 1.0 } else { 0.0 };
        entry["seed"] = (i + 1).into();
        (entry["scale"], entry["shift"]) = (0.02.into(), shift.into());
    }
    entries
}

fn named(entries: &[Value], name: impl Fn(&str) -> String) -> Vec<Value> {
    let mut entries = entries.to_vec();
    entries.iter_mut().for_each(|e| e["name"] = name(e["name"].as_str().unwrap()).into());
    entries
}

fn load(arch: &str, entries: &[Value], options: Value) -> Result<Model, Error> {
    let folder = tempfile::tempdir().unwrap();
    golden::write_weights(&folder.path().join("net.safetensors"), entries);
    let options: LoadOptions = serde_json::from_value(options).unwrap();
    let size = Some(Size { height: 64, width: 64 });
    load_model(arch, &LoadOptions { weights: Some("net.safetensors".into()), size, ..options }, folder.path(), &|_| {})
}

fn output(net: &Model) -> Vec<f32> {
    let n: usize = net.input_shape().iter().product();
    let x: Vec<f32> = (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect();
    let x = Tensor::from_vec(x, [&[1], net.input_shape()].concat(), &Device::Cpu).unwrap();
    net.output(&x).unwrap().to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn whatever_stands_before_the_names_is_taken_off() {
    let plain = entries("resnet18");
    let want = output(&load("resnet18", &plain, json!({})).unwrap());
    for front in
        ["module.", "model.", "net.", "backbone.", "encoder.", "_orig_mod.", "model._orig_mod.backbone.", "a.b.c."]
    {
        let net = load("resnet18", &named(&plain, |n| format!("{front}{n}")), json!({})).unwrap();
        assert_eq!(output(&net), want, "{front}");
        assert!(!net.card().notes.iter().any(|n| n.contains("left out")), "{front}: {:?}", net.card().notes);
    }
    // A loss with weights of its own beside the net, as Lightning saves it.
    let mut with_loss = named(&plain, |n| format!("model.{n}"));
    with_loss.push(json!({"name": "criterion.weight", "shape": [3]}));
    let net = load("resnet18", &with_loss, json!({})).unwrap();
    assert_eq!(output(&net), want);
    let left = |n: &String| n.contains("under `model.`") && n.contains("`criterion`");
    assert!(net.card().notes.iter().any(left), "{:?}", net.card().notes);
    // Two copies of one net: the one that is meant for use.
    let mut twins = named(&plain, |n| format!("student.{n}"));
    twins.iter_mut().for_each(|e| e["scale"] = 0.01.into());
    twins.extend(named(&plain, |n| format!("teacher.{n}")));
    let net = load("resnet18", &twins, json!({})).unwrap();
    assert_eq!(output(&net), want);
    let both = |n: &String| n.contains("`teacher.`") && n.contains("`student.`");
    assert!(net.card().notes.iter().any(both), "{:?}", net.card().notes);
}

#[test]
fn a_net_without_a_classifier_ends_at_its_features() {
    let plain = entries("resnet18");
    let cut: Vec<Value> = plain.iter().filter(|e| !e["name"].as_str().unwrap().starts_with("fc.")).cloned().collect();
    let numbers = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"];
    let children = named(&cut, |n| {
        let (first, rest) = n.split_once('.').unwrap();
        format!("{}.{rest}", numbers.iter().position(|c| *c == first).unwrap())
    });
    for entries in [cut.clone(), named(&cut, |n| format!("backbone.{n}")), children] {
        let net = load("resnet18", &entries, json!({})).unwrap();
        assert_eq!((net.output_len(), net.card().output), (512, Some(OutputKind::Value)));
        assert!(net.card().notes.iter().any(|n| n.contains("no `fc`") && n.contains("512 features")));
        assert!(net.layer("layer4.1.relu_1").is_ok() && net.last_map_layer().is_some());
        assert_eq!(output(&net).len(), 512);
    }
    for (arch, head, features) in [("mobilenet_v2", "classifier.", 1280), ("squeezenet1_1", "classifier.", 512)] {
        let cut: Vec<Value> =
            entries(arch).into_iter().filter(|e| !e["name"].as_str().unwrap().starts_with(head)).collect();
        // As a whole, and the module `features` saved alone.
        for entries in [cut.clone(), named(&cut, |n| n.trim_start_matches("features.").to_string())] {
            assert_eq!(load(arch, &entries, json!({})).unwrap().output_len(), features, "{arch}");
        }
    }
}

/// A classifier of two layers against the dense formula over the net's own features.
#[test]
fn a_classifier_of_one_s_own_is_computed_as_it_is_numbered() {
    let plain = entries("resnet18");
    let cut: Vec<Value> = plain.iter().filter(|e| !e["name"].as_str().unwrap().starts_with("fc.")).cloned().collect();
    let features: Vec<f64> =
        output(&load("resnet18", &cut, json!({})).unwrap()).iter().map(|v| f64::from(*v)).collect();
    let layer = |name: &str, shape: [usize; 2], seed: u64| {
        let recipe = |leaf: &str, shape: Vec<usize>, seed: u64| json!({"name": format!("{name}.{leaf}"), "shape": shape, "seed": seed, "scale": 0.05, "shift": 0.0});
        [recipe("weight", shape.to_vec(), seed), recipe("bias", vec![shape[0]], seed + 1)]
    };
    let dense = |layer: &[Value; 2], x: &[f64]| -> Vec<f64> {
        let (w, b) = (golden::values(&layer[0]), golden::values(&layer[1]));
        w.chunks(x.len())
            .zip(b)
            .map(|(w, b)| f64::from(b) + w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>())
            .collect()
    };
    let (first, last) = (layer("fc.0", [16, 512], 1001), layer("fc.3", [5, 16], 1003));
    let close = |net: &Model, want: &[f64]| {
        let got = output(net);
        let worst = got.iter().zip(want).fold(0.0f64, |m, (a, b)| m.max((f64::from(*a) - b).abs()));
        assert!(got.len() == want.len() && worst < 1e-5, "{got:?} {want:?}");
    };
    let whole: Vec<Value> = cut.iter().chain(&first).chain(&last).cloned().collect();
    let hidden = dense(&first, &features);
    let relu: Vec<f64> = hidden.iter().map(|v| v.max(0.0)).collect();
    let net = load("resnet18", &whole, json!({})).unwrap();
    close(&net, &dense(&last, &relu));
    assert!(
        net.card().notes.iter().any(|n| n.contains("`fc.1`") && n.contains("ReLU is assumed")),
        "{:?}",
        net.card().notes
    );
    let tanh: Vec<f64> = hidden.iter().map(|v| v.tanh()).collect();
    close(&load("resnet18", &whole, json!({"head_activation": "tanh"})).unwrap(), &dense(&last, &tanh));
    close(&load("resnet18", &whole, json!({"head_activation": "none"})).unwrap(), &dense(&last, &hidden));
    // Dropout before one linear layer, and layers without a gap between them, leave nothing to guess.
    for (to, want) in [("fc.1", dense(&last, &hidden)), ("none", dense(&first, &features))] {
        let mut entries: Vec<Value> = cut.iter().chain(&first).chain(&last).cloned().collect();
        entries.retain(|e| to != "none" || !e["name"].as_str().unwrap().starts_with("fc.3"));
        let entries = named(&entries, |n| n.replace("fc.3", to));
        let net = load("resnet18", &entries, json!({})).unwrap();
        close(&net, &want);
        assert!(
            !net.card().notes.iter().any(|n| n.contains("assumed") && n.contains("classifier")),
            "{:?}",
            net.card().notes
        );
    }
}
