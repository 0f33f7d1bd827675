//! Boxes of a small detector against a decoding written out in plain loops, box subjects against finite differences, D-RISE
//! against its formula, average precision against a case worked out by hand; the reference detector's boxes.

#![allow(clippy::unwrap_used)]

mod recognition;

use crate::builders::{Net, array, card, column, input, number};
use convscope_engine::data::{Dataset, Image, PixelBox};
use convscope_engine::detect::precision::{Placed, average_precision};
use convscope_engine::detect::{Detector, overlap};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::Window;
use convscope_engine::inspect::{Detect as _, Evaluate as _};
use convscope_engine::model::boxes::{BoxCode, BoxDecoding};
use convscope_engine::probe::Probe as _;
use convscope_engine::probes::all::{DRise, GradCam, Gradient, Occlusion};
use convscope_engine::probes::attribution::d_rise::similarity;
use convscope_engine::probes::attribution::rise::mask;
use convscope_engine::subject::{BoxPart, BoxQuery};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{DType, Input, Job, Model, Subject, Tensor};

const SIDE: [usize; 2] = [16, 24];
const CELLS: [usize; 2] = [4, 6];
const N: usize = 24;
const CLASSES: usize = 3;

/// Two outputs over one backbone, as SSD has them: candidates x classes (class 0: nothing) and candidates x 4.
fn ssd() -> Model {
    let mut n = Net::new(&[3, SIDE[0], SIDE[1]], 0.2);
    n.conv("stem", 8, Window::square(3, 2, 1), 1);
    n.relu("stem/relu");
    n.conv("body", 8, Window::square(3, 2, 1), 1);
    let body = n.relu("body/relu");
    let rows = |n: &mut Net, name: &str, width: usize| {
        n.at = body;
        n.conv(name, width, Window::square(1, 1, 0), 1);
        n.then(&format!("{name}/turned"), Op::Transpose(vec![1, 2, 0]));
        n.then(&format!("{name}/rows"), Op::Reshape(vec![N, width]))
    };
    rows(&mut n, "class", CLASSES);
    let scores = n.then("scores", Op::Softmax { axis: 1, log: false });
    let boxes = rows(&mut n, "box", 4);
    let (outputs, weights) = n.b.finish_all(&[("scores".into(), scores), ("boxes".into(), boxes)]).unwrap();
    Model::with_outputs(outputs, weights, card(0, 3, SIDE)).unwrap()
}

fn decoding() -> BoxDecoding {
    BoxDecoding {
        scores: Some("scores".into()),
        boxes: Some("boxes".into()),
        code: BoxCode::Offsets,
        background: Some(0),
        anchors: (0..N)
            .map(|i| {
                let (y, x) = (i / CELLS[1], i % CELLS[1]);
                [(x as f64 + 0.5) / 6.0, (y as f64 + 0.5) / 4.0, 0.4, 0.5]
            })
            .collect(),
        variances: [0.1, 0.1, 0.2, 0.2],
        score: 0.2,
        iou: 0.4,
        ..BoxDecoding::default()
    }
}

fn detector(decoding: BoxDecoding) -> Model {
    let model = ssd();
    let mut card = model.card().clone();
    card.boxes = Some(decoding);
    card.classes = ["nothing", "cat", "dog"].map(convscope_engine::model::Class::from_label).to_vec();
    model.with_card(card)
}

fn photo(seed: usize) -> Image {
    let pixels = (0..3 * SIDE[0] * SIDE[1]).map(|i| ((i * 37 + seed * 101 + i * i * (seed + 1)) % 256) as u8).collect();
    Image::new(SIDE[1], SIDE[0], pixels).unwrap()
}

fn raw(model: &Model, output: &str, x: &Tensor) -> Vec<f64> {
    to_f64(&model.output_named(output).unwrap().output(x).unwrap()).unwrap()
}

/// Scores, classes and corners by the formulas, doubles left out.
fn by_hand(model: &Model, x: &Tensor) -> Vec<(f64, usize, [f64; 4])> {
    let (p, v, d) = (raw(model, "scores", x), raw(model, "boxes", x), decoding());
    let mut all = Vec::new();
    for i in 0..N {
        let class = if p[i * 3 + 2] > p[i * 3 + 1] { 2 } else { 1 };
        let [ax, ay, aw, ah] = d.anchors[i];
        let b = &v[i * 4..i * 4 + 4];
        let (cx, cy) = (ax + 0.1 * b[0] * aw, ay + 0.1 * b[1] * ah);
        let (w, h) = (aw * (0.2 * b[2]).exp(), ah * (0.2 * b[3]).exp());
        let corners = [(cx - w / 2.0) * 24.0, (cy - h / 2.0) * 16.0, (cx + w / 2.0) * 24.0, (cy + h / 2.0) * 16.0];
        if p[i * 3 + class] >= d.score {
            all.push((p[i * 3 + class], class, corners));
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut kept: Vec<(f64, usize, [f64; 4])> = Vec::new();
    for one in all {
        if kept.iter().all(|k| k.1 != one.1 || overlap(&k.2, &one.2) <= d.iou) {
            kept.push(one);
        }
    }
    kept
}

#[test]
fn boxes_are_those_of_the_formulas() {
    let model = detector(decoding());
    for seed in 0..4 {
        let input = Input::Image(photo(seed));
        let x = input.prepared(&model).unwrap().x;
        let want = by_hand(&model, &x);
        let found = model.boxes(&input).unwrap();
        assert!(want.len() > 1, "the case shows nothing");
        assert_eq!(found.len(), want.len());
        for (i, (score, class, [l, t, r, b])) in want.iter().enumerate() {
            let got = |name: &str| column(&found, name)[i];
            assert_eq!(got("index"), *class as f64);
            for (name, value) in [("score", *score), ("x", *l), ("y", *t), ("w", r - l), ("h", b - t)] {
                assert!((got(name) - value).abs() < 1e-5, "{name} of box {i}: {} for {value}", got(name));
            }
        }
        let shown = model.detect(&input).unwrap();
        assert_eq!(shown.value().unwrap().dims(), [want.len(), 6]);
    }
    assert!((overlap(&[0.0, 0.0, 2.0, 2.0], &[1.0, 1.0, 3.0, 3.0]) - 1.0 / 7.0).abs() < 1e-12);
}

#[test]
fn a_box_s_parts_have_the_gradients_of_finite_differences() {
    let model = detector(decoding()).to_dtype(DType::F64).unwrap();
    let x = input(&model, "x");
    let base = to_f64(&x).unwrap();
    let found = Detector::new(&model).unwrap().boxes(&x).unwrap();
    let first = found[0].candidate;
    let class = found[0].class;
    // The logit less the log of the sum is what a softmax's logarithm gives: differences of logits are those of logarithms.
    let corner = |x: &Tensor, k: usize| {
        let all = Detector::new(&model).unwrap().candidates(x, 0.0).unwrap().remove(0);
        let c = all.iter().find(|f| f.candidate == first).unwrap().corners;
        [c[0], c[1], c[2] - c[0], c[3] - c[1]][k]
    };
    let logit = |x: &Tensor| {
        let scores = model.output_named("scores").unwrap();
        scores.scores(x).unwrap()[0][first * CLASSES + class]
    };
    let parts = [BoxPart::Class, BoxPart::X, BoxPart::Y, BoxPart::W, BoxPart::H];
    for (k, part) in parts.into_iter().enumerate() {
        let on = Subject::Box(BoxQuery { model: model.clone(), number: 0, part, found: None });
        let map = array(&Gradient::default().run(&on, &Input::Tensor(x.clone()), &Job::new()).unwrap(), "gradient");
        for i in [5, 130, 391, 700, 1151] {
            let at = |by: f64| {
                let mut moved = base.clone();
                moved[i] += by;
                let x = tensor(moved, x.dims()).unwrap();
                if k == 0 { logit(&x) } else { corner(&x, k - 1) }
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((map[i] - slope).abs() < 1e-5 * slope.abs().max(1.0), "{part:?} at {i}: {} for {slope}", map[i]);
        }
    }
}

#[test]
fn a_box_of_an_image_stays_when_others_are_asked_about() {
    let model = detector(decoding());
    let [a, b] = [0, 1].map(|seed| Input::Image(photo(seed)).prepared(&model).unwrap());
    let query = BoxQuery { model: model.clone(), number: 1, part: BoxPart::Class, found: None };
    let found = query.find(&Detector::new(&model).unwrap(), &a.x).unwrap();
    let kept = Subject::Box(BoxQuery { found: Some(found.clone()), ..query });
    let Subject::Places(places) = kept.asked(&b).unwrap() else { panic!("no places") };
    let output = model.graph().output();
    assert_eq!(
        model.graph().logit(output, found.candidate * CLASSES + found.class),
        (places.node, places.weights[0].0)
    );
    assert_eq!(model.graph().node(places.node).name, "class");
}

#[test]
fn probes_of_where_take_boxes() {
    let model = detector(decoding()).to_dtype(DType::F32).unwrap();
    let image = Input::Image(photo(2));
    let on = [
        Subject::Model(model.clone()),
        Subject::Box(BoxQuery { model: model.clone(), number: 1, part: BoxPart::Class, found: None }),
        Subject::Box(BoxQuery { model: model.clone(), number: 0, part: BoxPart::W, found: None }),
    ];
    for on in &on {
        for probe in
            [&Gradient::default() as &dyn convscope_engine::probe::Probe, &GradCam::default(), &Occlusion::default()]
        {
            let found = probe.run(on, &image, &Job::new()).unwrap();
            let values = to_f64(found.value().unwrap()).unwrap();
            assert!(values.iter().all(|v| v.is_finite()), "{}", found.title);
            // A rectified map may be zero where the weighted sum is negative.
            assert!(probe.name() == "grad_cam" || values.iter().any(|v| *v != 0.0), "{}", found.title);
        }
    }
    let occluded = Occlusion::default().run(&on[1], &image, &Job::new()).unwrap();
    let p = array(&occluded, "probability");
    assert!(p.iter().all(|v| (0.0..=1.0).contains(v)), "a box's class has a probability");
}

#[test]
fn d_rise_is_the_mean_of_masks_by_similarity() {
    let model = detector(decoding());
    let prepared = Input::Image(photo(1)).prepared(&model).unwrap();
    let on = Subject::Box(BoxQuery { model: model.clone(), number: 0, part: BoxPart::Class, found: None });
    let probe = DRise { masks: 12, cells: 4, ..DRise::default() };
    let found = probe.run(&on, &Input::Tensor(prepared.x.clone()), &Job::new()).unwrap();
    let detector = Detector::new(&model).unwrap();
    let target = detector.boxes(&prepared.x).unwrap().remove(0);
    // Masks are those of RISE under this probe's stream; a mask of all ones gives back the similarity to itself.
    let all = detector.candidates(&prepared.x, 0.05).unwrap().remove(0);
    let own = all.iter().map(|c| similarity(&target, c)).fold(0.0, f64::max);
    let p = &target.classes;
    assert!((similarity(&target, &target) - (1.0 - p[0])).abs() < 1e-12, "equal boxes differ by objectness alone");
    assert!(own >= similarity(&target, &target));
    let mut other = target.clone();
    other.classes = vec![p[0], p[2], p[1]];
    other.corners[0] += 2.0;
    let dot = p[0] * p[0] + 2.0 * p[1] * p[2];
    let norm = p.iter().map(|v| v * v).sum::<f64>();
    let want = overlap(&target.corners, &other.corners) * dot / norm * other.objectness;
    assert!((similarity(&target, &other) - want).abs() < 1e-12);
    // The formula: sum of similarity times mask over the sum of masks.
    let (base, rng) = (to_f64(&prepared.x).unwrap(), Job::new().rng("d_rise"));
    let mut sums = vec![[0.0; 2]; SIDE[0] * SIDE[1]];
    for i in 0..12 {
        let mask = mask(&rng, i, 4, 0.5, &SIDE);
        let masked = base.iter().enumerate().map(|(k, v)| v * f64::from(mask[k % mask.len()])).collect();
        let masked = tensor(masked, prepared.x.dims()).unwrap().to_dtype(DType::F32).unwrap();
        let all = detector.candidates(&masked, 0.05).unwrap().remove(0);
        let most = all.iter().map(|c| similarity(&target, c)).fold(0.0, f64::max);
        for (sum, m) in sums.iter_mut().zip(&mask) {
            *sum = [sum[0] + most * f64::from(*m), sum[1] + f64::from(*m)];
        }
    }
    let want: Vec<f64> = sums.iter().map(|[s, k]| if *k > 0.0 { s / k } else { 0.0 }).collect();
    let values = array(&found, "d_rise");
    assert_eq!(found.value().unwrap().dims(), SIDE);
    assert!(values.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?} for {want:?}");
    let classifier = crate::builders::residual(0.1);
    let x = input(&classifier, "x");
    let error = probe.run(&Subject::Model(classifier), &Input::Tensor(x), &Job::new()).unwrap_err();
    assert!(error.message.contains("is no box"), "{error}");
}

/// Two images, two classes. Class 0: three objects; boxes in order of score: right (.9), wrong (.8), right (.7), a second on
/// the first object (.6). Recalls 1/3, 1/3, 2/3, 2/3; precisions 1, 1/2, 2/3, 1/2: made to fall 1, 2/3, 2/3, 1/2.
#[test]
fn average_precision_is_that_of_a_case_by_hand() {
    let at = |image: usize, class: usize, x: f64, score: f64| Placed {
        image,
        class,
        corners: [x, 0.0, x + 10.0, 10.0],
        score,
    };
    let truth = [at(0, 0, 0.0, 1.0), at(0, 0, 50.0, 1.0), at(1, 0, 0.0, 1.0), at(1, 1, 30.0, 1.0)];
    // Moved by 2 of 10: 8 / 12 of the union.
    let found = [at(0, 0, 2.0, 0.9), at(1, 0, 70.0, 0.8), at(1, 0, 0.0, 0.7), at(0, 0, 0.0, 0.6), at(1, 1, 30.0, 0.2)];
    // Recalls 0, .01, .., .33 have precision 1 (34 of 101), those to .66 have 2/3 (33), the others none.
    let want = (34.0 + 33.0 * 2.0 / 3.0) / 101.0;
    assert!((average_precision(&truth, &found, 0, 0.5).unwrap() - want).abs() < 1e-12);
    // At .7 the first box misses, and the last takes its object: precisions 0, 0, 1/3, 1/2 at recalls 0, 0, 1/3, 2/3.
    let want = 67.0 * 0.5 / 101.0;
    assert!((average_precision(&truth, &found, 0, 0.7).unwrap() - want).abs() < 1e-12);
    assert_eq!(average_precision(&truth, &found, 1, 0.95), Some(1.0));
    assert_eq!(average_precision(&truth, &found, 2, 0.5), None);
}

#[test]
fn a_data_set_of_the_net_s_own_boxes_has_a_precision_of_one() {
    let model = detector(BoxDecoding { limit: 1, ..decoding() });
    // Those whose best box lies within the photo, which an image's own box does.
    let images: Vec<Image> = (0..60)
        .filter_map(|seed| {
            let image = photo(seed).resize(240, 160, Default::default()).unwrap();
            let found = model.boxes(&Input::Image(image.clone())).unwrap();
            let get = |name: &str| column(&found, name)[0];
            let b = [get("x"), get("y"), get("w"), get("h")].map(f64::round);
            let inside = b[0] >= 0.0 && b[1] >= 0.0 && b[0] + b[2] <= 240.0 && b[1] + b[3] <= 160.0;
            let b = b.map(|v| v as usize);
            let label = ["nothing", "cat", "dog"][get("index") as usize];
            let image = image.with_label(Some(label.into()));
            inside.then(|| image.with_bounding_box(PixelBox::new(b[0], b[1], b[2], b[3])))
        })
        .collect();
    assert!(!images.is_empty(), "the case shows nothing");
    let found = model.accuracy(&Dataset::from_images("own", images), &Job::new()).unwrap();
    assert!((number(&found, "map50") - 1.0).abs() < 1e-6, "{}", number(&found, "map50"));
    let error = model.accuracy(&Dataset::from_images("bare", [photo(1)]), &Job::new()).unwrap_err();
    assert!(error.message.contains("no image of `bare` has a box with a label"));
}

/// The face detector of development against onnxruntime with its authors' decoding written out in NumPy: a photo of 512 x 512 px,
/// resized straight, bilinear.
#[test]
fn the_reference_detector_finds_what_onnxruntime_finds() {
    let Some(folder) = crate::reference::data("nets") else { return };
    let net = |file: &str, options: serde_json::Value| {
        let options = convscope_engine::load::LoadOptions::from_json(options.as_object().unwrap()).unwrap();
        convscope_engine::load::load_model(file, &options, &folder, &|_| {}).unwrap()
    };
    let photo = |name: &str| Image::open(folder.join("../photos").join(name)).unwrap();
    let check = |model: &Model, image: Image, want: &[(usize, f64, [f64; 4])]| {
        let found = model.boxes(&Input::Image(image)).unwrap();
        assert_eq!(found.len(), want.len());
        for (i, (class, score, [l, t, r, b])) in want.iter().enumerate() {
            let got = |name: &str| column(&found, name)[i];
            assert_eq!(got("index"), *class as f64);
            assert!((got("score") - score).abs() < 1e-4, "{} for {score}", got("score"));
            for (name, value) in [("x", *l), ("y", *t), ("w", r - l), ("h", b - t)] {
                assert!((got(name) - value).abs() < 0.05, "{name} of box {i}: {} for {value}", got(name));
            }
        }
    };
    let face = net(
        "rfb-320-face.onnx",
        serde_json::json!({ "scale": 1.0, "mean": 127.0, "std": 128.0, "resize": "direct", "interpolation": "bilinear",
                            "labels": ["background", "face"] }),
    );
    check(
        &face,
        photo("astronaut.png"),
        &[(1, 0.999_997_26, [179.605_407_71, 61.508_258_82, 267.930_664_06, 173.830_581_67])],
    );
}
