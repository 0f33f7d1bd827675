//! Localisation on planted maps: boxes, overlaps and ranks are counted by hand, MaxBoxAcc by its definition.
#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, array, card, column, table};
use convscope_engine::data::image::PixelBox;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::probe::{Probe, ProbeArg};
use convscope_engine::probes::attribution::saliency_box::SaliencyBox;
use convscope_engine::probes::find;
use convscope_engine::probes::judge::ProbeList;
use convscope_engine::probes::judge::localisation::Localisation;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, Span, shapes};
use convscope_engine::tensor::to_f64;
use convscope_engine::{Artifact, Input, Job, Model, Result, Subject};

/// The net's input; photos are twice as large.
const SIDE: usize = 8;
const PHOTO: usize = 2 * SIDE;

/// A net that always prefers class 2, then 1, 0, 3: its head sees a constant input.
fn net() -> Model {
    let mut n = Net::new(&[3, SIDE, SIDE], 0.1);
    n.head(4);
    n.model().with_card(card(4, 3, [SIDE, SIDE]))
}

/// A white square on black, its box known; the label is class `class`.
fn photo(left: usize, top: usize, size: usize, class: usize) -> Image {
    let inside = |i: usize| (left..left + size).contains(&(i % PHOTO)) && (top..top + size).contains(&(i / PHOTO));
    let pixels = (0..PHOTO * PHOTO).flat_map(|i| [if inside(i) { 255 } else { 0 }; 3]).collect();
    let image = Image::new(PHOTO, PHOTO, pixels).unwrap().with_label(Some(format!("class{class}")));
    image.with_bounding_box(PixelBox::new(left, top, size, size))
}

/// A map of the input: 1 within the rows and columns of `hot`, 0.5 within those of `warm`, 0 elsewhere.
fn map(hot: [usize; 2], warm: [usize; 2]) -> ProbeArg {
    let within =
        |i: usize, [from, to]: [usize; 2]| (from..to).contains(&(i % SIDE)) && (from..to).contains(&(i / SIDE));
    let value = |i: usize| {
        if within(i, hot) {
            1.0
        } else if within(i, warm) {
            0.5
        } else {
            0.0
        }
    };
    Planted::map((0..SIDE * SIDE).map(value).collect(), &[SIDE, SIDE])
}

fn ask(probe: ProbeArg, images: Vec<Image>, with: &Localisation) -> Result<Artifact> {
    let asked = Localisation { probes: ProbeList(vec![probe]), ..with.clone() };
    asked.run(&Subject::Model(net()), &Input::Data(Dataset::from_images("photos", images)), &Job::new())
}

#[test]
fn a_threshold_s_box_is_the_largest_part_s_and_the_best_one_counts() {
    // The object covers rows and columns 4 to 12 of the photo: 2 to 6 of the input.
    let images = vec![photo(4, 4, 8, 0), photo(4, 4, 8, 1)];
    let found = ask(map([2, 6], [1, 7]), images, &Localisation::new().thresholds(10usize)).unwrap();
    let curve = array(&found, "curve");
    // Threshold 0: the whole, 16 x 16 on the photo, overlap 64 / 256. To 0.5: 12 x 12, 64 / 144. Above: exact.
    assert_eq!(curve[..10], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(array(&found, "max_box_acc")[0], 1.0);
    let told = table(&found, "boxes that overlap");
    assert_eq!(column(told, "at threshold")[0], 0.6);
    assert_eq!(column(told, "MaxBoxAcc")[0], 1.0);
    // At an overlap of .3 the thresholds from 0.1 hit already: 64 / 144 = .44; the best is 1 for all three.
    assert_eq!(column(told, "mean .3 .5 .7")[0], 1.0);
}

/// MaxBoxAcc takes one threshold for all images: two objects that need different ones cannot both be hit.
#[test]
fn one_threshold_serves_all_images() {
    let images = vec![photo(4, 4, 8, 0), photo(0, 0, 16, 1)];
    let found = ask(map([2, 6], [2, 6]), images, &Localisation::new().thresholds(10usize)).unwrap();
    let curve = array(&found, "curve");
    assert_eq!(curve[..2], [0.5, 0.5], "the whole at threshold 0, the square above");
    assert_eq!(array(&found, "max_box_acc")[0], 0.5);
}

/// The graph cut follows the white square; its overlaps, and the class's place among the predictions, are counted by hand.
#[test]
fn the_class_must_be_among_the_most_probable() {
    let images: Vec<Image> = (0..4).map(|class| photo(4, 4, 8, class)).collect();
    let order = {
        let x = Input::Image(images[0].clone()).prepared(&net()).unwrap().x;
        let scores = net().scores(&x).unwrap().remove(0);
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order
    };
    // The middle is certainly foreground; every other pixel around the object is certainly background.
    let seeds = |i: usize| {
        let within = |from: usize, to: usize| (from..to).contains(&(i % SIDE)) && (from..to).contains(&(i / SIDE));
        if within(3, 5) {
            1.0
        } else if within(1, 7) {
            0.5
        } else {
            0.1 * (i % 2) as f64
        }
    };
    let seeding = || Planted::map((0..SIDE * SIDE).map(seeds).collect(), &[SIDE, SIDE]);
    let with = Localisation::new().top(2usize).foreground(0.9).background(0.3);
    let found = ask(seeding(), images.clone(), &with).unwrap();
    assert_eq!(array(&found, "iou")[..4], [1.0; 4], "the cut is the square itself");
    let ranks = array(&found, "rank");
    let by_hand: Vec<f64> = (0..4).map(|c| order.iter().position(|o| *o == c).unwrap() as f64).collect();
    assert_eq!(ranks, by_hand);
    let first = |name: &str| array(&found, name)[0];
    assert_eq!((first("known"), first("top_1"), first("top")), (1.0, 0.25, 0.5));
    assert_eq!(column(table(&found, "boxes that overlap"), "top error")[0], 0.5);
    // The same boxes miss an object elsewhere.
    let elsewhere: Vec<Image> = images.into_iter().map(|i| i.with_bounding_box(PixelBox::new(0, 0, 6, 6))).collect();
    let found = ask(seeding(), elsewhere, &with).unwrap();
    // 8 x 8 at (4, 4) against 6 x 6 at (0, 0): 2 x 2 of 64 + 36 - 4.
    assert!(array(&found, "iou")[..4].iter().all(|o| (o - 4.0 / 96.0).abs() < 1e-6));
    assert_eq!(array(&found, "known")[0], 0.0);
}

#[test]
fn what_has_no_box_or_label_is_left_out_and_said() {
    let bare = Image::filled(PHOTO, PHOTO, [9; 3]).unwrap();
    let unlabelled = photo(4, 4, 8, 0).with_label(None);
    let images = vec![photo(4, 4, 8, 0), bare.clone().with_label(Some("class1".into())), unlabelled];
    let found = ask(map([2, 6], [2, 6]), images, &Localisation::new()).unwrap();
    assert_eq!(array(&found, "rank").len(), 1);
    for what in ["1 images without a box", "1 images without a label"] {
        assert!(found.notes.iter().any(|n| n.contains(what)), "{:?}", found.notes);
    }
    let error = ask(map([2, 6], [2, 6]), vec![bare], &Localisation::new()).unwrap_err();
    assert!(error.message.contains("no image of `photos` has a box") && error.hint.is_some(), "{error}");
    // A constant map seeds no cut: it gives no box and is wrong.
    let flat = Planted::map(vec![0.0; SIDE * SIDE], &[SIDE, SIDE]);
    let found = ask(flat, vec![photo(4, 4, 8, 0)], &Localisation::new()).unwrap();
    assert_eq!(array(&found, "known")[0], 0.0);
    assert!(found.notes.iter().any(|n| n.contains("1 maps of planted gave no box")), "{:?}", found.notes);
}

/// The box [left, top, right, bottom] of the largest part of a mask whose pixels touch by their sides.
fn largest_box(mask: &[bool], side: usize) -> Option<[usize; 4]> {
    let mut seen = vec![false; mask.len()];
    let mut best: Option<(usize, [usize; 4])> = None;
    for start in (0..mask.len()).filter(|p| mask[*p]) {
        let (mut left, mut size, mut corners) = (vec![start], 0, [side, side, 0, 0]);
        while let Some(p) = left.pop() {
            if !mask[p] || std::mem::replace(&mut seen[p], true) {
                continue;
            }
            let (x, y) = (p % side, p / side);
            size += 1;
            corners = [corners[0].min(x), corners[1].min(y), corners[2].max(x + 1), corners[3].max(y + 1)];
            left.extend([(x > 0, p.wrapping_sub(1)), (x + 1 < side, p + 1)].iter().filter(|n| n.0).map(|n| n.1));
            left.extend([(y > 0, p.wrapping_sub(side)), (y + 1 < side, p + side)].iter().filter(|n| n.0).map(|n| n.1));
        }
        if size > best.map_or(0, |b| b.0) {
            best = Some((size, corners));
        }
    }
    best.map(|b| b.1)
}

/// Intersection over union, pixel by pixel.
fn counted(a: [usize; 4], b: [usize; 4], side: usize) -> f64 {
    let within = |p: usize, r: [usize; 4]| (r[0]..r[2]).contains(&(p % side)) && (r[1]..r[3]).contains(&(p / side));
    let count = |f: &dyn Fn(usize) -> bool| (0..side * side).filter(|p| f(*p)).count() as f64;
    count(&|p| within(p, a) && within(p, b)) / count(&|p| within(p, a) || within(p, b))
}

/// On `shapes`, whose boxes are known: overlaps counted in pixels, ranks by sorting the scores, and MaxBoxAcc as Choe et al. define
/// it, one threshold for all images.
#[test]
fn on_shapes_boxes_are_counted_pixel_by_pixel() {
    const T: usize = 20;
    let net = load().unwrap();
    let data = shapes(&Shapes { n: 12, seed: 21, scale: Span::new(0.3, 0.6), ..Shapes::new() }).unwrap();
    let gradient = find("gradient").unwrap().build(&[], &Default::default()).unwrap();
    let asked =
        Localisation { probes: ProbeList(vec![gradient.clone()]), ..Localisation::new().thresholds(T).top(2usize) };
    let on = Subject::Model(net.clone());
    let found = asked.run(&on, &Input::Data(data.clone()), &Job::new()).unwrap();
    let (overlaps, ranks, curve) = (array(&found, "iou"), array(&found, "rank"), array(&found, "curve"));
    let (mut hits, mut known, mut first, mut second) = ([0usize; T], 0, 0, 0);
    for i in 0..data.len() {
        let image = data.get(i).unwrap();
        let class = net.card().class_index(image.label().unwrap()).unwrap();
        let b = image.bounding_box().unwrap();
        let truth = [b.left, b.top, b.left + b.width, b.top + b.height];
        let (subject, input) = (Subject::class_at(&net, class).unwrap(), Input::Image(image.clone()));
        let cut = SaliencyBox::new().run(&subject, &input, &Job::new()).unwrap();
        let corners = array(&cut, "box");
        assert!(corners.iter().all(|v| v.fract() == 0.0), "photo and input have the same pixels");
        let overlap = counted([0, 1, 2, 3].map(|k| corners[k] as usize), truth, 64);
        assert!((overlaps[i] - overlap).abs() < 1e-9, "image {i}: {} for {overlap}", overlaps[i]);
        let scores = net.scores(&input.prepared(&net).unwrap().x).unwrap().remove(0);
        let rank = scores.iter().filter(|s| **s > scores[class]).count();
        assert_eq!(ranks[i] as usize, rank);
        known += usize::from(overlap >= 0.5);
        first += usize::from(overlap >= 0.5 && rank == 0);
        second += usize::from(overlap >= 0.5 && rank < 2);
        let values = to_f64(gradient.ask(&subject, &input, &Job::new()).unwrap().value().unwrap()).unwrap();
        let map: Vec<f64> =
            (0..64 * 64).map(|p| (0..3).map(|c| values[c * 4096 + p].abs()).fold(0.0, f64::max)).collect();
        let (low, high) = map.iter().fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(*v), h.max(*v)));
        for (t, hit) in hits.iter_mut().enumerate() {
            let level = low + (high - low) * t as f64 / T as f64;
            let mask: Vec<bool> = map.iter().map(|v| *v >= level).collect();
            *hit += usize::from(largest_box(&mask, 64).is_some_and(|b| counted(b, truth, 64) >= 0.5));
        }
    }
    let share = |n: usize| n as f64 / data.len() as f64;
    let of = |name: &str| array(&found, name)[0];
    assert_eq!((of("known"), of("top_1"), of("top")), (share(known), share(first), share(second)));
    assert_eq!(curve[..T], hits.map(share));
    assert_eq!(of("max_box_acc"), share(hits.into_iter().max().unwrap()));
    assert!(known > 0 && of("max_box_acc") > 0.0, "some boxes are right");
}
