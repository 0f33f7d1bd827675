//! Classes of pixels against the net's own map, read in plain loops, and finite differences; accuracies by hand.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, column, explain, input, number, table};
use convscope_engine::data::image::Mask;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::graph::Op;
use convscope_engine::graph::op::{Alignment, Sampling, Window};
use convscope_engine::inspect::{Evaluate as _, Segment as _};
use convscope_engine::kernels::softmax::softmax;
use convscope_engine::pass::Tap;
use convscope_engine::probes::all::{GradCam, Gradient, IntegratedGradients, Lrp, Occlusion, Rise};
use convscope_engine::subject::{Over, Prepared, argmax};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{DType, Input, Job, Model, Subject, Tensor};
use std::sync::Arc;

const SIDE: [usize; 2] = [12, 10];
const CLASSES: usize = 3;

/// Whether a place of the map is summed over.
type Chosen<'a> = Box<dyn Fn(usize) -> bool + 'a>;

/// Two convolutions, the second on a map of half the size, enlarged to the input's size; a softmax over classes.
fn net(closed: bool) -> Model {
    let mut n = Net::new(&[3, SIDE[0], SIDE[1]], 0.1);
    n.conv("a", 6, Window::square(3, 2, 1), 1);
    n.relu("a/relu");
    n.conv("head", CLASSES, Window::square(1, 1, 0), 1);
    let scale = [2.0, 2.0];
    n.then("large", Op::Resize { size: SIDE, scale, sampling: Sampling::Linear, alignment: Alignment::HalfPixel });
    if closed {
        n.then("softmax", Op::Softmax { axis: 0, log: false });
    }
    let model = n.model();
    model.with_card(card(CLASSES, 3, SIDE))
}

/// The raw scores at an input, classes x rows x columns.
fn scores(model: &Model, x: &Tensor) -> Vec<f64> {
    let node = model.graph().find("large").unwrap();
    to_f64(model.forward(x, &Tap::Only(vec![node])).unwrap().get(node).unwrap()).unwrap()
}

fn winners(scores: &[f64]) -> Vec<usize> {
    let plane = SIDE[0] * SIDE[1];
    (0..plane).map(|at| argmax(&(0..CLASSES).map(|c| scores[c * plane + at]).collect::<Vec<_>>())).collect()
}

fn photo(seed: usize) -> Image {
    let pixels = (0..3 * SIDE[0] * SIDE[1]).map(|i| ((i * 37 + seed * 101 + i * i * seed) % 256) as u8).collect();
    Image::new(SIDE[1], SIDE[0], pixels).unwrap()
}

#[test]
fn a_class_of_pixels_is_the_sum_of_its_scores_over_its_places() {
    for closed in [false, true] {
        let model = net(closed).to_dtype(DType::F64).unwrap();
        let x = input(&model, "x");
        let all = scores(&model, &x);
        let (plane, won) = (SIDE[0] * SIDE[1], winners(&all));
        let class = won[0];
        let inside: Vec<f64> = (0..plane).map(|at| f64::from(u8::from(at % 3 == 0))).collect();
        let mask = Over::of_tensor(&tensor(inside.clone(), &SIDE).unwrap()).unwrap();
        let region = |at: usize| (3..7).contains(&(at % SIDE[1])) && (2..11).contains(&(at / SIDE[1]));
        let cases: [(Over, Chosen<'_>); 5] = [
            (Over::Whole, Box::new(|_| true)),
            (Over::Predicted, Box::new(|at| won[at] == class)),
            (mask, Box::new(|at| inside[at] > 0.0)),
            (Over::Region([3.0, 2.0, 4.0, 9.0]), Box::new(region)),
            (Over::Point([4.5, 7.2]), Box::new(|at| at == 7 * SIDE[1] + 4)),
        ];
        for (over, holds) in cases {
            let on = Subject::pixel_class_at(&model, class, over).unwrap();
            let target = on.target(&x).unwrap();
            let places: Vec<usize> = (0..plane).filter(|at| holds(*at)).collect();
            let want: f64 = places.iter().map(|at| all[class * plane + at]).sum();
            let trace = model.forward(&x, &target.tap().unwrap()).unwrap();
            assert!((target.scores(&trace).unwrap()[0] - want).abs() < 1e-9, "{target}");
            let probability = |at: &usize| softmax(CLASSES, 1, false, &[0, 1, 2].map(|c| all[c * plane + at]))[class];
            let mean = places.iter().map(probability).sum::<f64>() / places.len() as f64;
            assert!((target.watched(&trace).unwrap()[0] - mean).abs() < 1e-9, "{target}");
            // The gradient by finite differences of the sum over the same places.
            let map = array(&explain(&Gradient::default(), &target, &x), "gradient");
            let base = to_f64(&x).unwrap();
            for i in [0, 17, 121, 240, 359] {
                let at = |by: f64| -> f64 {
                    let mut moved = base.clone();
                    moved[i] += by;
                    let all = scores(&model, &tensor(moved, x.dims()).unwrap());
                    places.iter().map(|p| all[class * plane + p]).sum()
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((map[i] - slope).abs() < 1e-6, "{target} at {i}: {} for {slope}", map[i]);
            }
        }
    }
}

#[test]
fn places_are_those_of_the_photo() {
    let model = net(false);
    let photo = photo(1).resize(40, 24, Default::default()).unwrap();
    let prepared = Input::Image(photo).prepared(&model).unwrap();
    let places = |over: Over, input: &Prepared| match Subject::pixel_class_at(&model, 0, over).unwrap().asked(input) {
        Ok(Subject::Places(p)) => p.at.as_ref().clone(),
        other => panic!("{other:?}"),
    };
    // The photo is four times as wide and twice as high as the net's input.
    assert_eq!(places(Over::Point([39.9, 0.0]), &prepared), [9]);
    assert_eq!(places(Over::Region([0.0, 0.0, 8.0, 4.0]), &prepared), [0, 1, 10, 11]);
    let mut pixels = vec![0u8; 3 * 40 * 24];
    pixels[3 * (23 * 40 + 38)..].fill(9);
    // Centres of places lie at odd rows and at 2, 6, .. columns of the photo.
    assert_eq!(places(Over::of_image(&Image::new(40, 24, pixels).unwrap()), &prepared), [119]);
}

#[test]
fn probes_of_where_take_classes_of_pixels_and_the_net() {
    let model = net(true).to_dtype(DType::F32).unwrap();
    let image = Input::Image(photo(2));
    let on = [
        Subject::Model(model.clone()),
        Subject::pixel_class(&model, "class1", Over::Whole).unwrap(),
        Subject::pixel_class_at(&model, 2, Over::Region([1.0, 1.0, 6.0, 6.0])).unwrap(),
    ];
    for on in &on {
        let cam = GradCam::default();
        for probe in [
            &Gradient::default() as &dyn convscope_engine::probe::Probe,
            &cam,
            &IntegratedGradients::default(),
            &Lrp::default(),
            &Occlusion::default(),
            &Rise { masks: 8, ..Rise::default() },
        ] {
            let found = probe.run(on, &image, &Job::new()).unwrap();
            assert!(to_f64(found.value().unwrap()).unwrap().iter().all(|v| v.is_finite()), "{}", found.title);
        }
        let found = convscope_engine::probe::Probe::run(&cam, on, &image, &Job::new()).unwrap();
        assert!(found.notes.iter().any(|n| n.contains("layer `a/relu`")), "{:?}", found.notes);
    }
}

#[test]
fn a_label_map_and_its_shares_are_the_winners() {
    let model = net(true);
    let image = photo(3);
    let x = Input::Image(image.clone()).prepared(&model).unwrap().x;
    let won = winners(&scores(&model, &x));
    let found = model.segment(&Input::Image(image.clone())).unwrap();
    assert_eq!(array(&found, "classes"), won.iter().map(|c| *c as f64).collect::<Vec<_>>());
    let shares = model.predict(&Input::Image(image), 5).unwrap();
    let (index, share) = (column(&shares, "index"), column(&shares, "share"));
    assert!((share.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    for (i, s) in index.iter().zip(share) {
        assert_eq!(s, won.iter().filter(|w| **w == *i as usize).count() as f64 / won.len() as f64);
    }
}

#[test]
fn accuracy_is_counted_as_by_hand() {
    let model = net(false);
    let images: Vec<Image> = (0..3)
        .map(|i| {
            let values = (0..SIDE[0] * SIDE[1]).map(|at| if at % 11 == 0 { 255 } else { ((at + i) % CLASSES) as u8 });
            let mask = Mask::new(SIDE[1], SIDE[0], values.collect()).unwrap();
            photo(i).with_mask(Arc::new(mask)).unwrap()
        })
        .collect();
    let (mut right, mut all) = (0.0, 0.0);
    let mut overlaps = [[0.0; 2]; CLASSES];
    for image in &images {
        let x = Input::Image(image.clone()).prepared(&model).unwrap().x;
        for (won, truth) in winners(&scores(&model, &x)).into_iter().zip(&image.mask().unwrap().values) {
            let truth = usize::from(*truth);
            if truth == 255 {
                continue;
            }
            all += 1.0;
            right += f64::from(u8::from(truth == won));
            for (c, o) in overlaps.iter_mut().enumerate() {
                o[0] += f64::from(u8::from(won == c && truth == c));
                o[1] += f64::from(u8::from(won == c || truth == c));
            }
        }
    }
    let data = Dataset::from_images("three", images);
    let found = model.accuracy(&data, &Job::new()).unwrap();
    assert!((number(&found, "pixel_accuracy") - right / all).abs() < 1e-6);
    let ious = overlaps.map(|[both, either]| both / either);
    assert!((number(&found, "mean_iou") - ious.iter().sum::<f64>() / 3.0).abs() < 1e-6);
    let by_class = column(table(&found, "by class"), "iou");
    assert!(by_class.iter().zip(ious).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn wrong_questions_are_told_what_is_there() {
    let model = net(false);
    let x = input(&model, "x");
    let error = Subject::pixel_class_at(&model, 3, Over::Whole).unwrap_err();
    assert_eq!(error.message, "class 3 of `net`, which has 3 (0 to 2)");
    let error = Subject::pixel_class(&model, "road", Over::Whole).unwrap_err();
    assert!(error.message.contains("no class `road`"));
    let ask = |over| Subject::pixel_class_at(&model, 0, over).unwrap().target(&x).unwrap_err();
    let error = ask(Over::Point([40.0, 2.0]));
    assert!(error.message.contains("no place of the map") && error.hint.unwrap().contains("12 x 10 places"));
    let classifier = crate::builders::residual(0.1);
    let error = Subject::pixel_class_at(&classifier, 0, Over::Whole).unwrap_err();
    assert!(error.message.contains("is no map of classes: its shape is 5"), "{error}");
    let error = Subject::class_at(&model, 0).unwrap_err();
    assert!(error.hint.unwrap().contains("net.pixel_class"));
    let blank = Dataset::from_images("blank", [photo(1)]);
    let error = model.accuracy(&blank, &Job::new()).unwrap_err();
    assert!(error.message.contains("no image of `blank` has a mask"));
}
