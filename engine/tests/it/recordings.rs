//! Signals and volumes: files as SciPy and nibabel read them, maps over them against finite differences and written-out formulas
//! on the gallery's nets, and what does not fit, refused with what to do.

#![allow(clippy::unwrap_used)]

use crate::builders::array;
use convscope_engine::data::{Orientation, Signal, Volume};
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::params::{Params, Value};
use convscope_engine::probe::Probe;
use convscope_engine::probes::find;
use convscope_engine::recordings::{LoadSignal, LoadVolume, load_signal, load_volume};
use convscope_engine::show::{Part, Saved, of_volume, save};
use convscope_engine::subject::Samples;
use convscope_engine::tensor::{tensor, to_f32, to_f64};
use convscope_engine::{Artifact, DType, Input, Job, Model, Subject, Tensor};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden/recordings").join(name)
}

fn cases(kind: &str) -> Vec<Json> {
    let all: Json = serde_json::from_slice(&std::fs::read(golden("recordings.json")).unwrap()).unwrap();
    all[kind].as_array().unwrap().clone()
}

fn sizes(case: &Json) -> Vec<usize> {
    case.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn numbers(case: &Json) -> Vec<f64> {
    case.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Fails where a value is off by more than one rounding to f32.
fn same(what: &str, found: &Tensor, wanted: &Json) {
    let (found, wanted) = (to_f32(found).unwrap(), numbers(wanted));
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (a, b) in found.iter().zip(&wanted) {
        assert!((f64::from(*a) - b).abs() <= 1e-7 * b.abs(), "{what}: {a} for {b}");
    }
}

#[test]
fn signals_are_read_as_by_scipy() {
    for case in cases("signals") {
        let name = case["file"].as_str().unwrap();
        let read = Signal::read(&golden(name)).unwrap();
        assert_eq!((read.rate, read.values.dims()), (case["rate"].as_f64(), &sizes(&case["shape"])[..]), "{name}");
        same(name, &read.values, &case["values"]);
    }
    let mut options = LoadSignal::default();
    for (name, value) in [("mono", Value::Bool(true)), ("start", Value::Int(3)), ("length", Value::Int(5))] {
        options.set(name, &value).unwrap();
    }
    let part = load_signal(golden("f32.wav"), &options).unwrap();
    let whole = to_f32(&Signal::read(&golden("f32.wav")).unwrap().values).unwrap();
    let mean: Vec<f32> = (3..8).map(|i| (whole[i] + whole[20 + i]) / 2.0).collect();
    assert_eq!(to_f32(&part.values).unwrap(), mean);
    assert_eq!(part.notes.len(), 2, "{:?}", part.notes);
    options.set("length", &Value::Int(18)).unwrap();
    let error = load_signal(golden("f32.wav"), &options).unwrap_err().to_string();
    assert!(error.contains("18 samples from sample 3") && error.contains("20"), "{error}");
}

#[test]
fn volumes_are_read_and_turned_as_by_nibabel() {
    for case in cases("volumes") {
        let name = case["file"].as_str().unwrap();
        let read = Volume::read(&golden(name)).unwrap();
        assert_eq!(read.values.dims(), &sizes(&case["shape"])[..], "{name}");
        same(name, &read.values, &case["values"]);
        let orientation = read.orientation.map(|o| o.to_string());
        assert_eq!(orientation.as_deref(), case["orientation"].as_str(), "{name}");
        let spacing = numbers(&case["spacing"]);
        assert!(read.spacing.unwrap().iter().zip(&spacing).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {spacing:?}");
        let turned = read.oriented(Orientation::parse("RAS").unwrap());
        match case["canonical"].is_null() {
            true => assert!(turned.unwrap_err().to_string().contains("where its axes point"), "{name}"),
            false => {
                let turned = turned.unwrap();
                assert_eq!(turned.values.dims(), &sizes(&case["turned"])[..], "{name}");
                same(name, &turned.values, &case["canonical"]);
            }
        }
    }
}

#[test]
fn damaged_recordings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["u8.wav", "i24.wav", "f32.wav", "u8.nii", "scaled_big.nii", "u16_second.nii", "four.nii.gz"] {
        let bytes = std::fs::read(golden(name)).unwrap();
        for kept in [0, 3, 12, 43, 60, 300, 347, bytes.len() - 1] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes[..kept.min(bytes.len() - 1)]).unwrap();
            let message = match name.ends_with("wav") {
                true => Signal::read(&path).map(drop).unwrap_err(),
                false => Volume::read(&path).map(drop).unwrap_err(),
            };
            assert!(message.to_string().contains(name), "{name}, {kept} bytes: {message}");
        }
    }
    for name in ["scan.dcm", "scan.hdr", "scan.mha"] {
        assert!(load_volume(folder.path().join(name), &LoadVolume::default()).unwrap_err().hint.is_some(), "{name}");
    }
    assert!(load_signal(folder.path().join("s.mp3"), &LoadSignal::default()).unwrap_err().hint.is_some());
}

fn net(name: &str) -> Model {
    let path = root().join("scripts/nets").join(format!("{name}.onnx"));
    load_model(path.to_str().unwrap(), &LoadOptions::default(), Path::new(""), &|_| {}).unwrap()
}

/// The gallery's net over signals or volumes, and its example.
fn example(name: &str) -> (Model, Samples) {
    let folder = root().join("scripts/nets");
    let samples = match name {
        "outline" => Samples::Signal(Signal::read(&folder.join("outline.wav")).unwrap()),
        _ => Samples::Volume(Volume::read(&folder.join("solid.nii.gz")).unwrap()),
    };
    (net(name), samples)
}

fn asked(probe: &str, options: &[(&str, Value)], net: &Model, class: usize, input: &Input) -> Artifact {
    let mut probe = find(probe).unwrap().default_probe();
    options.iter().for_each(|(name, value)| probe.set(name, value).unwrap());
    let probe: &dyn Probe = &*probe;
    probe.run(&Subject::class_at(net, class).unwrap(), input, &Job::new()).unwrap()
}

const NETS: [(&str, usize); 2] = [("outline", 4), ("solid", 2)];

/// Scores in f64 of values of the net's input.
fn score(net: &Model, x: &[f64], class: usize) -> f64 {
    let dims = [&[1], net.input_shape()].concat();
    to_f64(&net.output(&tensor(x.to_vec(), &dims).unwrap()).unwrap()).unwrap()[class]
}

#[test]
fn gradients_are_finite_differences() {
    for (name, class) in NETS {
        let (net, samples) = example(name);
        let exact = net.to_dtype(DType::F64).unwrap();
        let x = to_f64(samples.values()).unwrap();
        let gradient = asked("gradient", &[], &net, class, &Input::Samples(samples));
        let found = array(&gradient, "gradient");
        assert_eq!(found.len(), x.len());
        let largest = found.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let mut close = 0;
        let places: Vec<usize> = (0..40).map(|i| (i * 2 * x.len() / 81) % x.len()).collect();
        for at in &places {
            let moved = |by: f64| {
                let mut x = x.clone();
                x[*at] += by;
                score(&exact, &x, class)
            };
            let step = 1e-6;
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            close += usize::from((difference - found[*at]).abs() < 1e-4 * largest);
        }
        // A place where a rectifier's or a pool's kink lies within the step has no derivative.
        assert!(close + 1 >= places.len(), "{name}: {close} of {}", places.len());
    }
}

#[test]
fn grad_cam_is_its_formula_and_named_after_the_layer() {
    for (name, class) in NETS {
        let (net, samples) = example(name);
        let layer = net.graph().node(net.last_map_layer().unwrap()).name.clone();
        let shape = net.graph().node(net.layer(&layer).unwrap()).shape.clone();
        let input = Input::Samples(samples);
        let cam = asked("grad_cam", &[], &net, class, &input);
        let subject = Subject::layer(&net, &layer).unwrap();
        let probe = find("activations").unwrap().default_probe();
        let maps = probe.run(&subject, &input, &Job::new()).unwrap();
        let maps = to_f64(maps.value().unwrap()).unwrap();
        // The layer's mean feeds the last linear layer, so that a map's weight is its weight there, an n-th at each of n places.
        let (channels, places) = (shape[0], shape[1..].iter().product::<usize>());
        let weights = net.graph().nodes().iter().rev().find_map(|node| match &node.op {
            convscope_engine::graph::Op::Linear { weight, .. } => Some(*weight),
            _ => None,
        });
        let weights = to_f64(net.weights().tensor(weights.unwrap())).unwrap();
        let found = array(&cam, "grad_cam");
        assert_eq!(cam.value().unwrap().dims(), &shape[1..], "{name}");
        for (i, value) in found.iter().enumerate() {
            let sum: f64 = (0..channels).map(|k| weights[class * channels + k] * maps[k * places + i]).sum();
            let wanted = sum.max(0.0) / places as f64;
            assert!((value - wanted).abs() < 1e-5 * wanted.abs().max(1e-2), "{name}: {value} for {wanted} at {i}");
        }
    }
}

#[test]
fn guided_grad_cam_is_the_product_of_both_over_a_signal_and_refused_over_a_volume() {
    let (net, samples) = example("outline");
    let input = Input::Samples(samples);
    let [product, guided, cam] =
        ["guided_grad_cam", "guided_backprop", "grad_cam"].map(|name| array(&asked(name, &[], &net, 4, &input), name));
    let share = product.len() / cam.len();
    for (i, value) in product.iter().enumerate() {
        // Linear between the middles of the map's cells.
        let at = ((i as f64 + 0.5) / share as f64 - 0.5).clamp(0.0, cam.len() as f64 - 1.0);
        let (low, rest) = (at.floor() as usize, at - at.floor());
        let large = cam[low] * (1.0 - rest) + cam[(low + 1).min(cam.len() - 1)] * rest;
        assert!((value - guided[i] * large).abs() < 1e-4 * value.abs().max(1e-3), "{i}: {value}");
    }
    let (net, samples) = example("solid");
    let probe = find("guided_grad_cam").unwrap().default_probe();
    let refused = probe.run(&Subject::class_at(&net, 2).unwrap(), &Input::Samples(samples), &Job::new());
    assert!(refused.unwrap_err().to_string().contains("takes images and signals"));
}

#[test]
fn windows_are_hidden_one_at_a_time() {
    let window =
        |patch: usize, stride: usize| [("patch", Value::Int(patch as i64)), ("stride", Value::Int(stride as i64))];
    for ((name, class), (patch, stride)) in NETS.into_iter().zip([(40, 24), (8, 8)]) {
        let (net, samples) = example(name);
        let exact = net.to_dtype(DType::F64).unwrap();
        let x = to_f64(samples.values()).unwrap();
        let sides = net.input_shape()[1..].to_vec();
        let found = asked("occlusion", &window(patch, stride), &net, class, &Input::Samples(samples));
        let counts = found.value().unwrap().dims().to_vec();
        assert_eq!(counts, sides.iter().map(|n| (n - patch).div_ceil(stride) + 1).collect::<Vec<_>>(), "{name}");
        let values = to_f64(found.value().unwrap()).unwrap();
        for (i, value) in values.iter().enumerate().step_by(5) {
            let place = |a: usize| i / counts[a + 1..].iter().product::<usize>() % counts[a] * stride;
            let within = |at: usize| {
                (0..sides.len()).all(|a| {
                    let along = at / sides[a + 1..].iter().product::<usize>() % sides[a];
                    (place(a)..place(a) + patch).contains(&along)
                })
            };
            let hidden: Vec<f64> = x.iter().enumerate().map(|(at, v)| if within(at) { 0.0 } else { *v }).collect();
            let dims = [&[1], net.input_shape()].concat();
            let scores = to_f64(&exact.output(&tensor(hidden, &dims).unwrap()).unwrap()).unwrap();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
            let wanted = (scores[class] - largest).exp() / sum;
            assert!((value - wanted).abs() < 1e-4, "{name}: {value} for {wanted} at {i}");
        }
    }
}

#[test]
fn receptive_fields_are_where_gradients_reach() {
    for (name, _) in NETS {
        let net = net(name).to_dtype(DType::F64).unwrap();
        let sides = net.input_shape()[1..].to_vec();
        let n: usize = sides.iter().product();
        let x = tensor((0..n).map(|i| libm::sin(i as f64 * 0.7) + 1.0).collect(), &[&[1], net.input_shape()].concat());
        let (fields, volumes) = (net.graph().fields(), net.graph().volume_fields());
        let mut checked = 0;
        for id in net.layers().filter(|id| net.graph().map_layout(*id).is_some()).collect::<Vec<_>>() {
            let node = net.graph().node(id).clone();
            let unit: Vec<usize> = node.shape[1..].iter().map(|n| n / 2).collect();
            let (size, start): (Vec<usize>, Vec<isize>) = match fields[id.0] {
                _ if let Some(f) = volumes[id.0] => {
                    (f.size.to_vec(), (0..3).map(|a| f.start[a] + (unit[a] * f.stride[a]) as isize).collect())
                }
                convscope_engine::graph::ReceptiveField::Local { size, stride, start, axes: [None, _] } => {
                    (vec![size[1]], vec![start[1] + (unit[0] * stride[1]) as isize])
                }
                // A plane of one row.
                convscope_engine::graph::ReceptiveField::Local { size, stride, start, axes: [Some(_), Some(_)] }
                    if node.shape[1] == 1 =>
                {
                    (vec![size[1]], vec![start[1] + (unit[1] * stride[1]) as isize])
                }
                // A step on the way to a layer, of which nothing is said.
                convscope_engine::graph::ReceptiveField::Whole => continue,
                ref other => panic!("{name}: {} has {other:?}", node.name),
            };
            checked += 1;
            // Over all channels, so that a rectifier that is off hides nothing; pools still pass one place each.
            let mut reached = vec![false; n];
            for channel in 0..node.shape[0] {
                let at: Vec<usize> = [&[channel], &unit[..]].concat();
                let subject = Subject::layer(&net, &node.name).unwrap().unit(&at).unwrap();
                let probe = find("gradient").unwrap().default_probe();
                let found = probe.run(&subject, &Input::Tensor(x.as_ref().unwrap().clone()), &Job::new()).unwrap();
                to_f64(found.array_named("gradient").unwrap())
                    .unwrap()
                    .iter()
                    .zip(&mut reached)
                    .for_each(|(v, r)| *r |= *v != 0.0);
            }
            for a in 0..sides.len() {
                let after: usize = sides[a + 1..].iter().product();
                let along: Vec<usize> = (0..n).filter(|i| reached[*i]).map(|i| i / after % sides[a]).collect();
                let (low, high) = (*along.iter().min().unwrap() as isize, *along.iter().max().unwrap() as isize);
                let end = (start[a] + size[a] as isize).min(sides[a] as isize);
                assert!(
                    low >= start[a].max(0) && high < end,
                    "{name} {}: {low}..={high} beyond {start:?} {size:?}",
                    node.name
                );
                let missed = (low - start[a].max(0)) + (end - 1 - high);
                // A max pool passes one of its places.
                assert!(missed <= 6, "{name} {}: {low}..={high} in {start:?} {size:?}", node.name);
            }
        }
        assert!(checked >= 5, "{name}: {checked} layers");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_do() {
    let (outline, signal) = example("outline");
    let (solid, volume) = example("solid");
    let error = |net: &Model, samples: &Samples| {
        let error = Input::Samples(samples.clone()).prepared(net).unwrap_err();
        format!("{error}; {}", error.hint.clone().unwrap_or_default())
    };
    assert!(error(&solid, &signal).contains("takes volumes") && error(&outline, &volume).contains("takes signals"));
    let Samples::Signal(own) = &signal else { panic!() };
    let short = Samples::Signal(own.clone().part(0, 100).unwrap());
    assert!(error(&outline, &short).contains("1 x 100") && error(&outline, &short).contains("too short"));
    let mut card = outline.card().clone();
    card.rate = Some(256.0);
    let other = error(&outline.with_card(card), &signal);
    assert!(other.contains("128 samples a second") && other.contains("rate: 256"), "{other}");
    let mut card = solid.card().clone();
    card.orientation = Some("SPL".into());
    let turned = solid.with_card(card);
    let Samples::Volume(own) = &volume else { panic!() };
    assert!(error(&turned, &volume).contains("point to RAS") && error(&turned, &volume).contains("\"SPL\""));
    let fitted = Samples::Volume(own.oriented(Orientation::parse("SPL").unwrap()).unwrap());
    assert!(Input::Samples(fitted).prepared(&turned).is_ok());
}

#[test]
fn figures_say_where_the_strongest_value_lies_and_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for (name, class) in NETS {
        let (net, samples) = example(name);
        let found = asked("gradient", &[], &net, class, &Input::Samples(samples));
        let words = match &found.parts[0] {
            Part::SignalMap(map) => map.words().unwrap(),
            Part::VolumeMap(map) => {
                // The focus is the voxel of the largest magnitude.
                let (_, values) = map.map().unwrap().unwrap();
                let [z, y, x] = map.focus().unwrap();
                let [_, h, w] = map.size();
                assert!(values.iter().all(|v| v.abs() <= values[(z * h + y) * w + x].abs()));
                map.words().unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert!(words.contains("strongest"), "{words}");
        for ending in ["png", "svg", "html"] {
            save(&Saved::Artifact(&found), &folder.path().join(format!("{name}.{ending}"))).unwrap();
        }
    }
    let (_, Samples::Volume(volume)) = example("solid") else { panic!() };
    save(&Saved::Artifact(&of_volume(&volume).unwrap()), &folder.path().join("volume.png")).unwrap();
}
