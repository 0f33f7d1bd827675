//! `load_model`: what it accepts, what it says of what it does not, and how options change a net's card.

#![allow(clippy::unwrap_used)]

use crate::{onnx_bytes, reference};
use convscope_engine::data::{Image, Interpolation, Order, Resize, Size, load_images};
use convscope_engine::load::LoadOptions;
use convscope_engine::load::{guess, load_model};
use convscope_engine::probe::ProbeArg;
use convscope_engine::probes::retrieval::codes::CodesOf;
use convscope_engine::{Error, Input, Job, Kind, Model, Subject};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// A field of a protobuf message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn node(op: &str, input: &str, output: &str, attribute: &[u8]) -> Vec<u8> {
    field(
        1,
        &[field(1, input.as_bytes()), field(2, output.as_bytes()), field(4, op.as_bytes()), attribute.to_vec()]
            .concat(),
    )
}

/// An ONNX net that gives the mean of each channel of an input of these axes (batch first); 0 leaves one open.
fn means(axes: [u8; 4]) -> Vec<u8> {
    let dims: Vec<u8> = axes.iter().flat_map(|d| field(1, &if *d == 0 { vec![] } else { number(1, *d) })).collect();
    let kind = field(2, &field(1, &[number(1, 1), field(2, &dims)].concat()));
    let perm: Vec<u8> = [0, 3, 1, 2].iter().flat_map(|axis| number(8, *axis)).collect();
    let perm = field(5, &[field(1, b"perm"), perm, vec![0xa0, 1, 7]].concat());
    let last = axes[3] == 3;
    let first = if last { node("Transpose", "photo", "turned", &perm) } else { node("Relu", "photo", "turned", &[]) };
    let graph = [
        first,
        node("GlobalAveragePool", "turned", "pooled", &[]),
        node("Flatten", "pooled", "scores", &[]),
        field(11, &[field(1, b"photo"), kind].concat()),
        field(12, &field(1, b"scores")),
    ]
    .concat();
    let length = [graph.len() as u8 & 0x7f | 0x80, (graph.len() >> 7) as u8];
    [number(1, 7), vec![7 << 3 | 2], length.to_vec(), graph, field(8, &number(2, 13))].concat()
}

/// Loads `spec` in a folder that has `net.onnx`.
fn load(axes: [u8; 4], spec: &str, options: serde_json::Value) -> Result<Model, Error> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("net.onnx"), means(axes)).unwrap();
    std::fs::write(folder.path().join("empty.onnx"), b"").unwrap();
    std::fs::write(folder.path().join("net.safetensors"), b"").unwrap();
    std::fs::write(folder.path().join("labels.txt"), "red\ngreen\nblue\n").unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    load_model(spec, &serde_json::from_value::<LoadOptions>(options).unwrap(), folder.path(), &|_| {})
}

const FIXED: [u8; 4] = [0, 3, 8, 10];

#[test]
fn options_make_a_card_for_a_net_that_has_none() {
    let net = load(FIXED, "net.onnx", json!({})).unwrap();
    let error = net.card().preprocess().unwrap_err();
    assert!(error.hint.unwrap().contains("mean"));
    // `labels.txt` beside it names them.
    assert_eq!(net.card().class_name(2), "blue");
    assert!(net.card().notes.iter().any(|n| n.contains("`labels.txt` beside the net")));

    let options = json!({"mean": 0.5, "std": [0.1, 0.2, 0.4], "order": "BGR", "labels": "labels.txt"});
    let net = load(FIXED, "net.onnx", options).unwrap();
    let preprocess = net.card().preprocess().unwrap();
    assert_eq!((preprocess.size, preprocess.resize), (Size { height: 8, width: 10 }, Resize::Auto));
    assert_eq!((preprocess.order, preprocess.interpolation), (Order::Bgr, Interpolation::Bicubic));
    assert_eq!((&preprocess.mean[..], &preprocess.std[..]), (&[0.5; 3][..], &[0.1, 0.2, 0.4][..]));
    assert_eq!(net.card().class_index("Green").unwrap(), 1);

    let net = load([0, 3, 0, 0], "net.onnx", json!({"size": 16, "resize": "direct", "labels": ["a", "b"]})).unwrap();
    assert_eq!(net.input_shape(), [3, 16, 16]);
    assert_eq!(net.card().preprocess().unwrap().resize, Resize::Direct);
    assert_eq!(net.card().class_name(0), "background");
}

/// Files that are scaled down while they are decoded make other inputs, which is said, and other codes and states, whose identity has it.
#[test]
fn a_draft_is_said() {
    let with = |draft: bool| load(FIXED, "net.onnx", json!({"mean": 0.5, "std": 0.5, "draft": draft})).unwrap();
    let (draft, whole) = (with(true), with(false));
    let says = |notes: &[String]| notes.iter().filter(|n| n.starts_with("draft: JPEG files")).count();
    assert_eq!((says(&draft.card().notes), says(&whole.card().notes)), (1, 0));
    assert_ne!(draft.card().preprocess().unwrap(), whole.card().preprocess().unwrap());
    // And of what is computed from a data set.
    let folder = tempfile::tempdir().unwrap();
    let file = Image::filled(400, 300, [200, 90, 30]).unwrap().encode_jpeg(90).unwrap();
    std::fs::write(folder.path().join("a.jpg"), file).unwrap();
    let data = Input::Data(load_images(folder.path()).unwrap());
    for (spec, notes) in [(json!({"draft": true}), 1), (json!({}), 0)] {
        let options = serde_json::from_value::<LoadOptions>(spec).unwrap();
        let net = load_model("shapes", &options, folder.path(), &|_| {}).unwrap();
        let probe = ProbeArg(Arc::new(CodesOf { cache: false, ..Default::default() }));
        let made = probe.ask(&Subject::Model(net), &data, &Job::new()).unwrap();
        assert_eq!(says(&made.notes), notes);
    }
}

/// Which output of one more than there are names is the background is a guess, which is said and can be said otherwise.
#[test]
fn the_background_is_assumed_or_said() {
    let with = |background: serde_json::Value| {
        let mut options = json!({"labels": ["cat", "dog"]});
        if !background.is_null() {
            options["background"] = background;
        }
        load(FIXED, "net.onnx", options)
    };
    let names = |net: &Model| (0..3).map(|i| net.card().class_name(i)).collect::<Vec<_>>();
    let notes = |net: &Model| net.card().notes.iter().filter(|n| n.contains("background")).cloned().collect::<Vec<_>>();
    let net = with(json!(null)).unwrap();
    assert_eq!(names(&net), ["background", "cat", "dog"]);
    assert!(
        notes(&net)[0].starts_with("2 names for 3 outputs: output 0 is taken for the background"),
        "{:?}",
        notes(&net)
    );
    assert!(notes(&net)[0].contains("assumed") && notes(&net)[0].contains("`background: -1`"), "{:?}", notes(&net));
    for (said, order) in [(0, ["background", "cat", "dog"]), (-1, ["cat", "dog", "background"])] {
        let net = with(json!(said)).unwrap();
        assert_eq!((names(&net), notes(&net)), (order.map(String::from).to_vec(), vec![]));
    }
    let error = with(json!("none")).unwrap_err();
    assert!(error.message.contains("2 labels for 3 outputs") && error.hint.unwrap().contains("one label an output"));
    let given = json!({"labels": ["cat", "dog"], "background": 2});
    let error = LoadOptions::from_json(given.as_object().unwrap()).unwrap_err();
    assert!(error.message.contains("option `background` of `load_model` takes 0, -1 or \"none\", got 2"), "{error}");
    // As many names as outputs leave none to be the background.
    let net = load(FIXED, "net.onnx", json!({"labels": ["a", "b", "c"], "background": -1})).unwrap();
    assert_eq!(names(&net), ["a", "b", "c"]);
}

#[test]
fn photos_pass_nets_whose_channels_come_last() {
    let net = load([0, 8, 10, 3], "net.onnx", json!({"scale": 1.0})).unwrap();
    assert_eq!(net.input_shape(), [3, 8, 10]);
    let photo = Image::filled(20, 20, [10, 20, 30]).unwrap();
    let x = net.card().preprocess().unwrap().apply(&photo).unwrap();
    assert_eq!(net.output(&x).unwrap().to_vec2::<f32>().unwrap(), [[10.0, 20.0, 30.0]]);
}

#[test]
fn what_cannot_be_loaded_is_said() {
    for (spec, options, kind, message, hint) in [
        ("squeezenet1.1", json!({}), Kind::NotFound, "no net `squeezenet1.1`", "did you mean `squeezenet1_1`"),
        ("xyz", json!({}), Kind::NotFound, "no net `xyz`", "load_model takes a known net"),
        ("resnet18", json!({}), Kind::Value, "is an architecture", "weights: \"resnet18.pth\""),
        ("net.safetensors", json!({}), Kind::Value, "fit no architecture", "resnet18"),
        ("resnet18", json!({"weights": "net.safetensors"}), Kind::Format, "is empty (0 bytes)", "again"),
        ("resnet18", json!({"weights": "none.pth"}), Kind::Io, "no such file", ""),
        ("resnet18", json!({"weights": "folder"}), Kind::Io, "is a directory", ""),
        ("net.safetensors", json!({"arch": "resnet"}), Kind::NotFound, "no architecture `resnet`", "did you mean"),
        ("net.onnx", json!({"weights": "net.safetensors"}), Kind::Value, "is a path", "architecture's name"),
        ("none.onnx", json!({}), Kind::Io, "no such file", "load_model takes"),
        ("./folder", json!({}), Kind::Io, "is a directory", "load_model takes"),
        ("empty.onnx", json!({}), Kind::Format, "empty", ""),
        ("labels.txt/", json!({}), Kind::Io, "", ""),
        ("./labels.txt", json!({}), Kind::Unsupported, "no kind of net", "load_model takes"),
        ("net.onnx", json!({"size": 16}), Kind::Value, "16 x 16", "size"),
        ("net.onnx", json!({"labels": ["a"]}), Kind::Value, "1 labels for 3 outputs", "one label an output"),
        ("net.onnx", json!({"labels": "none.txt"}), Kind::Io, "no such file", ""),
        ("net.onnx", json!({"mean": [0.5, 0.5]}), Kind::Value, "mean has 2 values", ""),
        ("net.onnx", json!({"scale": 0.0}), Kind::Value, "scale is 0", ""),
        ("net.onnx", json!({"scale": 1.0, "resize": 5}), Kind::Value, "a short side of 5", "at least 10"),
        ("net.onnx", json!({"transform_input": true}), Kind::Value, "option of `googlenet`", ""),
    ] {
        let error = load(FIXED, spec, options.clone()).unwrap_err();
        assert!(error.message.contains(message), "{spec} {options}: {error}");
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{spec} {options}: {:?}", error.hint);
        assert_eq!(error.kind, kind, "{spec} {options}: {error}");
    }
}

#[test]
fn the_reference_net_gives_its_reference_prediction() {
    let Some(shared) = reference::data("") else { return };
    let options = json!({"size": 224, "scale": 1.0, "mean": [127.5, 127.5, 127.5], "std": 127.5,
        "labels": "../labels/imagenet.json"});
    let options: LoadOptions = serde_json::from_value(options).unwrap();
    let net = load_model("mobilenet_v1_0.25_224.onnx", &options, &shared.join("nets"), &|_| {}).unwrap();
    assert_eq!((net.output_len(), net.card().class_name(0)), (1001, "background".to_string()));
    let known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(shared.join("photos/predictions.json")).unwrap()).unwrap();
    for (photo, rows) in known["mobilenet_v1_0.25_224"].as_object().unwrap() {
        let image = Image::open(shared.join("photos").join(photo)).unwrap();
        let x = net.card().preprocess().unwrap().apply(&image).unwrap();
        let scores = net.output(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(net.card().class_name(best), rows[0][1].as_str().unwrap(), "{photo}");
    }
}

fn graph_without_metadata() -> Vec<u8> {
    let graph = onnx_bytes::Graph::new(&[1, 3, 8, 8]).node(onnx_bytes::node("GlobalAveragePool", &["x"], &["pooled"]));
    graph.node(onnx_bytes::node("Flatten", &["pooled"], &["y"])).file("y", 13)
}

/// A file's own metadata name its classes and say how photos go in, before what is assumed.
#[test]
fn metadata_of_an_onnx_file_complete_its_card() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let mut file = graph_without_metadata();
    let pairs = [("names", "{0: 'red', 1: 'green', 2: 'blue'}"), ("Image.NominalPixelRange", "Normalized_0_1")];
    for (key, value) in pairs {
        let pair = [onnx_bytes::block(1, key.as_bytes()), onnx_bytes::block(2, value.as_bytes())].concat();
        file.extend(onnx_bytes::block(14, &pair));
    }
    std::fs::write(&path, file).unwrap();
    let load = |options: &LoadOptions| load_model(path.to_str().unwrap(), options, Path::new(""), &|_| ()).unwrap();
    let net = load(&LoadOptions::default());
    let card = net.card();
    assert_eq!((0..3).map(|i| card.class_name(i)).collect::<Vec<_>>(), ["red", "green", "blue"]);
    assert_eq!(card.preprocess().unwrap().mean, [0.0, 0.0, 0.0]);
    assert!(card.notes.iter().filter(|n| n.contains("own metadata")).count() >= 2, "{:?}", card.notes);
    let found = guess::complete(&net, &path, &LoadOptions::default()).unwrap();
    assert!(found.options.is_empty(), "{:?}", found.options);
    // An option decides before them, and a file beside the net after them.
    let own: LoadOptions =
        serde_json::from_value(json!({"mean": 0.25, "std": 0.5, "labels": ["a", "b", "c"]})).unwrap();
    let net = load(&own);
    assert_eq!((net.card().class_name(1), &net.card().preprocess().unwrap().mean[..]), ("b".into(), &[0.25; 3][..]));
    assert!(!net.card().notes.iter().any(|n| n.contains("own metadata")), "{:?}", net.card().notes);
    std::fs::write(folder.path().join("labels.txt"), "x\ny\nz\n").unwrap();
    assert_eq!(load(&LoadOptions::default()).card().class_name(0), "red");
    std::fs::write(&path, graph_without_metadata()).unwrap();
    let net = load(&LoadOptions::default());
    assert_eq!(net.card().class_name(0), "x");
    assert!(net.card().notes.iter().any(|n| n.contains("`labels.txt` beside the net")), "{:?}", net.card().notes);
}

/// Ultralytics' files say who wrote them, and their nets take pixels from 0 to 1.
#[test]
fn files_of_ultralytics_take_pixels_from_0_to_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let graph = onnx_bytes::Graph::new(&[1, 3, 8, 8]).node(onnx_bytes::node("GlobalAveragePool", &["x"], &["y"]));
    let said = [("author", "Ultralytics"), ("task", "detect"), ("stride", "32")];
    std::fs::write(&path, graph.file_with(&["y"], 13, &said)).unwrap();
    let load = |options: &LoadOptions| load_model(path.to_str().unwrap(), options, Path::new(""), &|_| ()).unwrap();
    let net = load(&LoadOptions::default());
    let photo = Image::filled(24, 24, [255, 51, 0]).unwrap();
    let x = net.card().preprocess().unwrap().apply(&photo).unwrap();
    let means = net.output(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    means.iter().zip([1.0, 0.2, 0.0]).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{means:?}"));
    assert!(net.card().notes.iter().any(|n| n.contains("as Ultralytics'")), "{:?}", net.card().notes);
    let found = guess::complete(&net, &path, &LoadOptions::default()).unwrap();
    assert!(found.options.is_empty(), "{:?}", found.options);
    let own: LoadOptions = serde_json::from_value(json!({ "preset": "imagenet" })).unwrap();
    assert_eq!(load(&own).card().preprocess().unwrap().mean, [0.485, 0.456, 0.406]);
}
