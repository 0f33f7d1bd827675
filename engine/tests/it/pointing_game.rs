//! The pointing game on planted maps: who hits which object is counted by hand.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, array, card, column, table};
use convscope_engine::data::image::{Mask, PixelBox};
use convscope_engine::data::{Dataset, Image};
use convscope_engine::probe::Probe;
use convscope_engine::probe::ProbeArg;
use convscope_engine::probes::judge::ProbeList;
use convscope_engine::probes::judge::pointing_game::PointingGame;
use convscope_engine::{Artifact, Input, Job, Model, Subject};
use std::sync::Arc;

/// The net's input; photos are twice as large.
const SIDE: usize = 8;
const PHOTO: usize = 2 * SIDE;

fn net() -> Model {
    let mut n = Net::new(&[3, SIDE, SIDE], 0.1);
    n.head(4);
    n.model().with_card(card(4, 3, [SIDE, SIDE]))
}

fn photo() -> Image {
    Image::filled(PHOTO, PHOTO, [10, 20, 30]).unwrap()
}

fn boxed(left: usize, top: usize, width: usize, height: usize) -> Image {
    photo().with_bounding_box(PixelBox::new(left, top, width, height))
}

/// The same rectangle as a mask, beside a box that holds nothing of it.
fn masked(left: usize, top: usize, width: usize, height: usize) -> Image {
    let inside = |i: usize| (left..left + width).contains(&(i % PHOTO)) && (top..top + height).contains(&(i / PHOTO));
    let values = (0..PHOTO * PHOTO).map(|i| if inside(i) { 255 } else { 0 }).collect();
    let mask = Arc::new(Mask::new(PHOTO, PHOTO, values).unwrap());
    boxed(PHOTO - 1, PHOTO - 1, 1, 1).with_mask(mask).unwrap()
}

/// A map that is highest at a pixel of the net's input.
fn peak(x: usize, y: usize) -> ProbeArg {
    let mut map = vec![0.0; SIDE * SIDE];
    map[y * SIDE + x] = 1.0;
    Planted::map(map, &[SIDE, SIDE])
}

fn play(probe: ProbeArg, images: Vec<Image>, with: &PointingGame) -> Artifact {
    let game = PointingGame { probes: ProbeList(vec![probe]), ..with.clone() };
    game.run(&Subject::Model(net()), &Input::Data(Dataset::from_images("photos", images)), &Job::new()).unwrap()
}

/// Whether a map's highest point hits the object of one photo.
fn hits(probe: ProbeArg, image: Image, tolerance: f64) -> bool {
    array(&play(probe, vec![image], &PointingGame::new().blur(0.0).tolerance(tolerance)), "shares")[0] == 1.0
}

/// The middle of pixel (2, 3) of the input lies at (5, 7) on the photo.
#[test]
fn a_point_hits_in_the_object_and_near_it() {
    for object in [boxed, masked] {
        assert!(hits(peak(2, 3), object(5, 7, 1, 1), 0.0));
        assert!(hits(peak(2, 3), object(0, 0, 6, 8), 0.0));
        assert!(!hits(peak(2, 3), object(6, 7, 4, 4), 0.0), "left of it");
        assert!(!hits(peak(2, 3), object(5, 8, 4, 4), 0.0), "above it");
        assert!(!hits(peak(2, 3), object(0, 0, 5, 16), 0.0), "right of it");
        assert!(hits(peak(2, 3), object(8, 7, 2, 2), 3.0) && !hits(peak(2, 3), object(9, 7, 2, 2), 3.0));
        // Distance is measured straight, past a corner too: the object's corner lies 4 columns and 4 rows away.
        assert!(!hits(peak(2, 3), object(9, 11, 4, 4), 5.0) && hits(peak(2, 3), object(9, 11, 4, 4), 6.0));
    }
}

#[test]
fn shares_are_those_of_images_with_an_object_and_their_intervals_wilson_s() {
    // Three hits of five; one image has no object.
    let images = vec![
        boxed(4, 6, 2, 2),
        boxed(0, 0, 4, 4),
        masked(5, 7, 1, 1),
        photo(),
        masked(6, 6, 4, 4),
        boxed(0, 0, 16, 16),
    ];
    let found = play(peak(2, 3), images, &PointingGame::new().blur(0.0));
    let told = table(&found, "hits");
    // The centre of the photo, (8, 8), lies in the last two.
    assert_eq!((column(told, "hits")[..2].to_vec(), column(told, "of")), (vec![3.0, 2.0], vec![5.0; 3]));
    let shares = array(&found, "shares");
    assert!((shares[0] - 0.6).abs() < 1e-6 && (shares[1] - 0.4).abs() < 1e-6, "{shares:?}");
    assert!(found.notes.iter().any(|n| n.contains("1 images without mask or box")), "{:?}", found.notes);
    // The ends of Wilson's interval are where the normal test just rejects: (p - q)^2 = z^2 q (1 - q) / n.
    for end in ["low", "high"] {
        let (p, q, n) = (0.6, column(told, end)[0], 5.0);
        let gap = (p - q) * (p - q) - 1.959_964f64.powi(2) * q * (1.0 - q) / n;
        assert!(gap.abs() < 1e-6 && (q < p) == (end == "low"), "{end}: {q}");
    }
}

/// The random point is uniform: it hits an object that is a quarter of the photo a quarter of the time.
#[test]
fn the_random_point_hits_by_area() {
    let found = play(peak(0, 0), vec![boxed(8, 8, 8, 8); 800], &PointingGame::new().blur(0.0));
    let shares = array(&found, "shares");
    assert_eq!(shares[..2], [0.0, 1.0], "(8, 8) is in the object, the first pixel is not");
    assert!((shares[2] - 0.25).abs() < 0.05, "{shares:?}");
}

/// One high pixel beats a plateau unless the map is blurred.
#[test]
fn blurring_prefers_what_is_high_around() {
    let mut map = vec![0.0; SIDE * SIDE];
    map[SIDE - 1] = 1.0;
    for (y, x) in (4..7).flat_map(|y| (1..4).map(move |x| (y, x))) {
        map[y * SIDE + x] = 0.9;
    }
    let on_plateau = |blur: f64| {
        let found =
            play(Planted::map(map.clone(), &[SIDE, SIDE]), vec![boxed(4, 10, 2, 2)], &PointingGame::new().blur(blur));
        array(&found, "shares")[0] == 1.0
    };
    assert!(!on_plateau(0.0) && on_plateau(0.1));
}

/// A net is asked about each image's own class, a class about itself.
#[test]
fn images_are_played_with_their_own_class() {
    let by_class = Planted::by(|on, _| {
        let Subject::Class { index, .. } = on else { panic!("{on}") };
        let mut map = vec![0.0; SIDE * SIDE];
        map[*index] = 1.0;
        convscope_engine::tensor::tensor(map, &[1, SIDE, SIDE]).unwrap()
    });
    let images: Vec<Image> = (0..4).map(|k| boxed(2 * k, 0, 2, 2).with_label(Some(format!("class{k}")))).collect();
    let game = PointingGame { probes: ProbeList(vec![by_class]), blur: 0.0, ..PointingGame::new() };
    let input = Input::Data(Dataset::from_images("photos", images));
    let share = |on: &Subject| array(&game.run(on, &input, &Job::new()).unwrap(), "shares")[0];
    assert_eq!(share(&Subject::Model(net())), 1.0);
    assert_eq!(share(&Subject::class_at(&net(), 2).unwrap()), 0.25);
}
