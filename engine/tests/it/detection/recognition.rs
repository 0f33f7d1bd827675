//! Which outputs are boxes, and what is said of those that are not.

use super::{CLASSES, SIDE, decoding, detector, ssd};
use crate::builders::{Net, input};
use convscope_engine::detect::{Detector, recognise, recognise_with};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Activation, Window};
use convscope_engine::inspect::Detect as _;
use convscope_engine::model::Card;
use convscope_engine::model::boxes::{BoxCode, BoxDecoding, BoxUnit, Column};
use convscope_engine::model::outputs::OutputKind;
use convscope_engine::pass::Tap;
use convscope_engine::subject::{BoxPart, BoxQuery};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Model, Subject};

/// A map whose channels join heads that end differently: sigmoid, raw, softmax, or all raw.
fn joined(raw: bool) -> Model {
    let mut n = Net::new(&[3, SIDE[0], SIDE[1]], 0.2);
    n.conv("stem", 8, Window::square(3, 2, 1), 1);
    let stem = n.relu("stem/relu");
    let mut heads = Vec::new();
    for (name, width, end) in [
        ("objectness", 1, Some(Op::Activation(Activation::Sigmoid))),
        ("box", 4, None),
        ("class", CLASSES, Some(Op::Softmax { axis: 0, log: false })),
    ] {
        n.at = stem;
        n.conv(name, width, Window::square(1, 1, 0), 1);
        if let Some(end) = end.filter(|_| !raw) {
            n.then(&format!("{name}/end"), end);
        }
        heads.push(n.at);
    }
    n.add("out", Op::Concat { axis: 0 }, &heads);
    n.model()
}

#[test]
fn heads_joined_in_one_map_are_no_classes() {
    let found = recognise(&joined(false)).unwrap();
    assert_eq!(found.columns, [Column::Objectness, Column::Box, Column::Classes]);
    assert!(found.evidence.unwrap().contains("8 x 12 cells"));
    assert!(recognise(&joined(true)).is_none());
    let error = joined(false).class_maps().err().unwrap();
    assert!(error.message.contains("(1 sigmoid, 4 raw, 3 softmax)"), "{error}");
    assert!(joined(true).class_maps().is_ok());
    // Who says what the outputs are is believed.
    let mut card = joined(false).card().clone();
    card.output = Some(OutputKind::Probability);
    assert!(joined(false).with_card(card).class_maps().is_ok());
}

#[test]
fn outputs_of_many_kinds_are_read() {
    // One output, numbers x candidates, centres and sizes in pixels: two candidates of three classes.
    let one = |shape: &[usize], values: &[f64], decoding: BoxDecoding| {
        let mut n = Net::new(&[3, 32, 32], 0.0);
        let zero = n.random("zero", &[values.len(), 3], 0.0, 0.0);
        n.then(
            "mean",
            Op::Reduce { reduction: convscope_engine::graph::op::Reduction::Mean, axes: vec![1, 2], keep: false },
        );
        let bias = n.b.param("values", tensor(values.to_vec(), &[values.len()]).unwrap()).unwrap();
        n.then("fc", Op::Linear { weight: zero, bias: Some(bias) });
        n.then("out", Op::Reshape(shape.to_vec()));
        let model = n.model();
        let mut card = model.card().clone();
        card.boxes = Some(decoding);
        let model = model.with_card(card);
        let x = tensor(vec![0.0f32; 3 * 32 * 32], &[1, 3, 32, 32]).unwrap();
        Detector::new(&model).and_then(|d| d.boxes(&x))
    };
    let yolov8 = BoxDecoding { candidates: Some(1), ..BoxDecoding::named("yolov8").unwrap() };
    let found =
        one(&[7, 2], &[10.0, 20.0, 8.0, 24.0, 4.0, 6.0, 2.0, 8.0, 0.1, 0.0, 0.9, 0.4, 0.0, 0.7], yolov8).unwrap();
    assert_eq!(found.iter().map(|f| (f.candidate, f.class)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
    assert_eq!(found[0].corners, [8.0, 7.0, 12.0, 9.0]);
    assert_eq!(found[1].corners, [17.0, 20.0, 23.0, 28.0]);
    let yolov5 = BoxDecoding { score: 0.3, ..BoxDecoding::named("yolov5").unwrap() };
    let found = one(&[2, 6], &[10.0, 8.0, 4.0, 2.0, 0.5, 0.8, 1.0, 1.0, 2.0, 2.0, 0.1, 1.0], yolov5).unwrap();
    assert_eq!(found.len(), 1);
    assert!((found[0].score - 0.4).abs() < 1e-7 && (found[0].objectness - 0.5).abs() < 1e-7);
    // A map of cells: 1 + 4 + 2 numbers at 1 x 2 cells of an input of 32 x 32.
    let cells = one(
        &[7, 1, 2],
        &[0.9, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 0.5],
        BoxDecoding { score: 0.7, ..BoxDecoding::named("fastestdet").unwrap() },
    )
    .unwrap();
    assert_eq!((cells.len(), cells[0].class), (1, 1));
    assert!((cells[0].score - 0.9f64.powf(0.6) * 0.75f64.powf(0.4)).abs() < 1e-7);
    assert_eq!(cells[0].corners, [-8.0, -8.0, 8.0, 8.0]);
    let error = one(
        &[7, 2],
        &[0.0; 14],
        BoxDecoding {
            candidates: Some(0),
            columns: vec![Column::Box, Column::Objectness, Column::Classes],
            ..BoxDecoding::default()
        },
    );
    let error = error.unwrap_err();
    assert!(error.message.contains("the output `out` (7 x 2) of `net` gives 2 numbers a candidate"), "{error}");
    let error = one(
        &[7, 2],
        &[0.0; 14],
        BoxDecoding { candidates: Some(1), code: BoxCode::Offsets, unit: BoxUnit::Pixels, ..BoxDecoding::default() },
    );
    assert!(error.unwrap_err().message.contains("0 anchors for"));
}

#[test]
fn detectors_are_recognised_by_their_outputs() {
    let model = ssd();
    let seen = recognise(&model).unwrap();
    assert_eq!(
        (seen.scores.as_deref(), seen.boxes.as_deref(), seen.background),
        (Some("scores"), Some("boxes"), Some(0))
    );
    assert!(seen.evidence.unwrap().contains("24 candidates"));
    assert_eq!(recognise(&crate::builders::residual(0.1)), None);
}

/// A net for photos of 32 x 32 that gives these numbers for each of the 21 cells of YOLO's grids: the box 10, 20, 8, 6, then `parts`
/// of so many equal numbers, each behind a sigmoid or not.
fn yolo(parts: &[(usize, f64, bool)], rows: bool) -> Net {
    let cells = if rows { 63 } else { 21 };
    let mut n = Net::new(&[3, 32, 32], 0.0);
    let mean = Op::Reduce { reduction: convscope_engine::graph::op::Reduction::Mean, axes: vec![1, 2], keep: false };
    let mean = n.then("mean", mean);
    let boxes: Vec<f64> = [10.0, 20.0, 8.0, 6.0].into_iter().flat_map(|v| vec![v; cells]).collect();
    let all = std::iter::once((4, boxes, false)).chain(parts.iter().map(|(w, v, s)| (*w, vec![*v; w * cells], *s)));
    let mut joined = Vec::new();
    for (i, (width, values, squashed)) in all.enumerate() {
        let weight = n.random(&format!("zero{i}"), &[values.len(), 3], 0.0, 0.0);
        let dims = [values.len()];
        let bias = n.b.param(&format!("values{i}"), tensor(values, &dims).unwrap()).unwrap();
        n.add(&format!("fc{i}"), Op::Linear { weight, bias: Some(bias) }, &[mean]);
        n.then(&format!("part{i}"), Op::Reshape(vec![width, cells]));
        if rows {
            n.then(&format!("turned{i}"), Op::Transpose(vec![1, 0]));
        }
        if squashed {
            n.then(&format!("sigmoid{i}"), Op::Activation(Activation::Sigmoid));
        }
        joined.push(n.at);
    }
    n.add("out", Op::Concat { axis: usize::from(rows) }, &joined);
    n
}

/// The first box of a net whose decoding is as recognised.
fn first(model: Model, names: Option<usize>) -> convscope_engine::Result<convscope_engine::detect::Found> {
    let seen = recognise_with(&model, names).unwrap();
    let card = Card { boxes: Some(seen), ..model.card().clone() };
    let x = tensor(vec![0.0f32; 3 * 32 * 32], &[1, 3, 32, 32]).unwrap();
    Detector::new(&model.with_card(card)).and_then(|d| d.boxes(&x)).map(|found| found[0].clone())
}

#[test]
fn masks_key_points_and_angles_behind_the_classes_are_no_classes() {
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    // Classes, then coefficients of masks; one class, then key points; classes, then an angle; classes alone.
    for (parts, classes) in [
        (vec![(2, 2.0, true), (8, 3.0, false)], 2),
        (vec![(1, 2.0, true), (51, 12.0, false)], 1),
        (vec![(5, 2.0, true), (1, 0.7, false)], 5),
        (vec![(6, 2.0, true)], 6),
    ] {
        let found = first(yolo(&parts, false).model(), None).unwrap();
        assert_eq!((found.classes.len(), found.class), (classes, 0));
        assert!((found.score - sigmoid(2.0)).abs() < 1e-6, "{}", found.score);
        assert_eq!(found.corners, [6.0, 17.0, 14.0, 23.0]);
    }
    let seen = recognise(&yolo(&[(2, 2.0, true), (8, 3.0, false)], false).model()).unwrap();
    assert!(seen.evidence.unwrap().contains("8 further numbers"));
    // Rows with an objectness, which the same sigmoid bounds.
    let found = first(yolo(&[(4, 2.0, true), (32, 5.0, false)], true).model(), None).unwrap();
    assert_eq!(found.classes.len(), 3);
    assert!((found.score - sigmoid(2.0) * sigmoid(2.0)).abs() < 1e-6);
    // Where the graph does not tell, the names of classes do.
    let flat = || yolo(&[(6, 0.5, false)], false).model();
    assert_eq!(first(flat(), Some(2)).unwrap().classes.len(), 2);
    assert_eq!(first(flat(), None).unwrap().classes.len(), 6);
    // Scores beyond 1 are refused, as long as nobody says how they are read.
    let wrong = first(yolo(&[(6, 3.0, false)], false).model(), None).unwrap_err();
    assert!(wrong.message.contains("3.000") && wrong.hint.unwrap().contains("classes: 2"), "{}", wrong.message);
}

/// Queries with a sigmoid's box and raw scores, beside an output of features of theirs.
fn queries(bias: f64) -> Model {
    let mut n = Net::new(&[3, SIDE[0], SIDE[1]], 0.2);
    n.conv("stem", 6, Window::square(3, 2, 1), 1);
    n.then("turned", Op::Transpose(vec![1, 2, 0]));
    let features = n.then("features", Op::Reshape(vec![SIDE[0] / 2 * SIDE[1] / 2, 6]));
    let weight =
        n.b.param("logits.weight", tensor((0..18).map(|i| f64::from(i % 7) - 3.0).collect(), &[3, 6]).unwrap())
            .unwrap();
    let bias = n.b.param("logits.bias", tensor(vec![bias; 3], &[3]).unwrap()).unwrap();
    n.at = features;
    let logits = n.then("logits", Op::Linear { weight, bias: Some(bias) });
    n.at = features;
    n.linear("box", 4);
    let boxes = n.then("boxes", Op::Activation(Activation::Sigmoid));
    let all = [("pred_logits", logits), ("pred_boxes", boxes), ("last_hidden_state", features)];
    let all = all.map(|(name, id)| (name.to_string(), id));
    let (outputs, weights) = n.b.finish_all(&all).unwrap();
    Model::with_outputs(outputs, weights, crate::builders::card(0, 3, SIDE)).unwrap()
}

#[test]
fn a_transformers_queries_are_recognised() {
    for (bias, name, background) in [(0.1, "detr", Some(-1)), (-4.6, "rtdetr", None)] {
        let net = queries(bias);
        let seen = recognise(&net).unwrap();
        assert_eq!((seen.scores.as_deref(), seen.boxes.as_deref()), (Some("pred_logits"), Some("pred_boxes")));
        assert_eq!((seen.background, seen.code), (background, BoxCode::Center));
        assert!(seen.evidence.as_ref().unwrap().contains(name), "{:?}", seen.evidence);
        let mut card = net.card().clone();
        card.boxes = Some(BoxDecoding { score: 0.0, ..seen });
        let net = net.with_card(card);
        let x = input(&net, "x");
        let raw = |name: &str| {
            let at = if name == "pred_logits" { net.clone() } else { net.output_named(name).unwrap() };
            let id = at.graph().output();
            to_f64(at.forward(&x, &Tap::Only(vec![id])).unwrap().get(id).unwrap()).unwrap()
        };
        let (logits, boxes) = (raw("pred_logits"), raw("pred_boxes"));
        let found = Detector::new(&net).unwrap().boxes(&x).unwrap();
        let best = &found[0];
        let of = &logits[3 * best.candidate..][..3];
        let score = match background {
            Some(_) => of[best.class].exp() / of.iter().map(|v| v.exp()).sum::<f64>(),
            None => 1.0 / (1.0 + (-of[best.class]).exp()),
        };
        assert!((best.score - score).abs() < 1e-6 && (background.is_none() || best.class < 2), "{best:?}");
        let b = &boxes[4 * best.candidate..][..4];
        let left = (b[0] - b[2] / 2.0) * SIDE[1] as f64;
        let bottom = (b[1] + b[3] / 2.0) * SIDE[0] as f64;
        assert!((best.corners[0] - left).abs() < 1e-4 && (best.corners[3] - bottom).abs() < 1e-4, "{best:?}");
    }
}

#[test]
fn wrong_questions_are_told_what_is_there() {
    let model = detector(decoding());
    let x = input(&model, "x");
    let n = Detector::new(&model).unwrap().boxes(&x).unwrap().len();
    let ask = |number, part| Subject::Box(BoxQuery { model: model.clone(), number, part, found: None }).target(&x);
    let error = ask(99, BoxPart::Class).unwrap_err();
    assert_eq!(error.message, format!("box 99 of `net`, which finds {n} in this input"));
    let error = ask(0, BoxPart::Objectness).unwrap_err();
    assert!(error.message.contains("gives no objectness of its own"));
    let error = Detector::new(&crate::builders::residual(0.1)).unwrap_err();
    assert!(error.message.contains("does not say how its outputs are boxes"));
    let error = detector(BoxDecoding { boxes: Some("frames".into()), ..decoding() }).boxes(&Input::Tensor(x.clone()));
    assert!(error.unwrap_err().message.contains("no output `frames`"));
    assert!(BoxPart::of("top").unwrap_err().hint.unwrap().contains("\"objectness\""));
}
