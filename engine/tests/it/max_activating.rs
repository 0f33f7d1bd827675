//! The strongest answers against a brute-force search, in shards, interrupted and resumed, at borders.
#![allow(clippy::unwrap_used)]

use convscope_engine::data::{Dataset, Image, Item};
use convscope_engine::graph::ReceptiveField;
use convscope_engine::job::Sink;
use convscope_engine::pass::Tap;
use convscope_engine::probe::Probe;
use convscope_engine::probes::retrieval::max_activating::{Draw, MaxActivating};
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::show::Part;
use convscope_engine::tensor::to_f32;
use convscope_engine::{Artifact, Input, Job, Model, Subject};
use std::sync::Arc;

fn data(n: usize) -> Dataset {
    shapes(&Shapes { n, seed: 77, ..Shapes::new() }).unwrap()
}

fn ask(probe: &MaxActivating, on: &Subject, data: &Dataset) -> Artifact {
    probe.run(on, &Input::Data(data.clone()), &Job::new()).unwrap()
}

fn array(a: &Artifact, name: &str) -> Vec<f32> {
    to_f32(a.array_named(name).unwrap()).unwrap()
}

/// Values, images and places of the k strongest maxima of each channel, image by image, sorted.
fn brute(model: &Model, layer: &str, data: &Dataset, k: usize) -> [Vec<f32>; 3] {
    let node = model.layer(layer).unwrap();
    let [channels, h, w] = model.graph().node(node).shape[..] else { panic!() };
    let mut all: Vec<Vec<(f32, usize, usize)>> = vec![Vec::new(); channels];
    for (i, image) in data.iter().enumerate() {
        let x = model.card().preprocess().unwrap().apply(&image.unwrap()).unwrap();
        let value = to_f32(model.forward(&x, &Tap::Only(vec![node])).unwrap().get(node).unwrap()).unwrap();
        for (c, map) in value.chunks(h * w).enumerate() {
            let mut best = 0;
            (0..h * w).for_each(|p| best = if map[p] > map[best] { p } else { best });
            all[c].push((map[best], i, best));
        }
    }
    let mut out = [Vec::new(), Vec::new(), Vec::new()];
    for peaks in &mut all {
        peaks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (value, image, place) in &peaks[..k] {
            out[0].push(*value);
            out[1].push(*image as f32);
            out[2].extend([(place / w) as f32, (place % w) as f32]);
        }
    }
    out
}

#[test]
fn all_channels_in_one_pass_equal_a_brute_force_search() {
    let slow = std::env::var("CONVSCOPE_SLOW").is_ok_and(|v| v == "1");
    let n = if slow { 10_000 } else { 500 };
    let (model, data) = (load().unwrap(), data(n));
    let layer = Subject::layer(&model, "conv4/relu").unwrap();
    let probe = MaxActivating::new().top(7usize).show(1usize);
    let found = ask(&probe, &layer, &data);
    let [values, images, places] = brute(&model, "conv4/relu", &data, 7);
    assert_eq!(array(&found, "values"), values);
    assert_eq!(array(&found, "images"), images);
    assert_eq!(array(&found, "places"), places);

    // Interrupted at a third, then gone on with: the same outcome.
    let job = Job::new();
    let stopping = job.clone().with_sink(Arc::new(StopAt(job.clone())));
    let part = probe.run(&layer, &Input::Data(data.clone()), &stopping).unwrap();
    assert!(!part.complete && part.notes[0].starts_with("stopped after"), "{:?}", part.notes);
    let rest = ask(&probe.clone().states(vec![part.array_named("state").unwrap().clone()]), &layer, &data);
    assert!(rest.complete);
    for name in ["values", "images", "places", "mean", "std", "state"] {
        assert_eq!(array(&rest, name), array(&found, name), "{name}");
    }
}

/// Stops the job when a third is done.
struct StopAt(Job);

impl Sink for StopAt {
    fn progress(&self, _: &str, done: usize, total: usize) {
        if done * 3 >= total {
            self.0.signal.stop();
        }
    }
}

#[test]
fn shards_join_to_the_result_of_one_run() {
    let (model, data) = (load().unwrap(), data(101));
    let layer = Subject::layer(&model, "conv3/relu").unwrap();
    let probe = MaxActivating::new().top(5usize).show(1usize).per_image(2usize);
    let whole = ask(&probe, &layer, &data);
    for ways in [1usize, 2, 3, 7] {
        let states = (0..ways).rev().map(|i| {
            let shard = ask(&probe.clone().part(vec![i, ways]), &layer, &data);
            shard.array_named("state").unwrap().clone()
        });
        let joined = ask(&probe.clone().states(states.collect::<Vec<_>>()), &layer, &data);
        for name in ["values", "images", "places", "mean", "std", "state"] {
            assert_eq!(array(&joined, name), array(&whole, name), "{name} {ways} ways");
        }
    }
    let state = whole.array_named("state").unwrap().clone();
    let twice = probe.clone().states(vec![state.clone(), state.clone()]);
    let error = twice.run(&layer, &Input::Data(data.clone()), &Job::new()).unwrap_err();
    assert!(error.message.contains("counted already"), "{error}");
    let other = Subject::layer(&model, "conv4/relu").unwrap();
    let error = probe.states(vec![state]).run(&other, &Input::Data(data), &Job::new()).unwrap_err();
    assert!(error.message.contains("another question"), "{error}");
}

#[test]
fn peaks_of_one_image_do_not_overlap_and_crops_are_receptive_fields() {
    let (model, data) = (load().unwrap(), data(40));
    let channel = Subject::layer(&model, "conv2/relu").unwrap().channel(3).unwrap();
    let found = ask(&MaxActivating::new().top(30usize).per_image(4usize).overlap(0.0), &channel, &data);
    let places = array(&found, "places");
    let images = array(&found, "images");
    let Subject::Channel { node, .. } = channel else { panic!() };
    let ReceptiveField::Local { size, stride, .. } = model.graph().field(node) else { panic!() };
    for i in 0..30 {
        for j in 0..i {
            if images[i] == images[j] {
                let apart = |a: usize| (places[2 * i + a] - places[2 * j + a]).abs() as usize * stride[a];
                assert!(apart(0) >= size[0] || apart(1) >= size[1], "{i} and {j} overlap");
            }
        }
    }
    assert!(images.iter().zip(&images[1..]).any(|(a, b)| a == b), "no image gave two peaks");
}

#[test]
fn a_unit_a_direction_and_a_class_are_asked_as_they_score() {
    let (model, data) = (load().unwrap(), data(60));
    let layer = Subject::layer(&model, "conv4/relu").unwrap();
    let mut first = vec![0f32; 64];
    first[9] = 1.0;
    let as_channel = ask(&MaxActivating::new(), &layer.channel(9).unwrap(), &data);
    let as_direction = ask(&MaxActivating::new(), &layer.direction(first).unwrap(), &data);
    assert_eq!(array(&as_channel, "values"), array(&as_direction, "values"));
    assert_eq!(array(&as_channel, "places"), array(&as_direction, "places"));
    for on in [layer.unit(&[9, 2, 3]).unwrap(), Subject::class_at(&model, 4).unwrap()] {
        let found = ask(&MaxActivating::new().top(3usize), &on, &data);
        let mut scores = Vec::new();
        for image in data.iter() {
            let x = model.card().preprocess().unwrap().apply(&image.unwrap()).unwrap();
            let trace = model.forward(&x, &Tap::Only(on.nodes().unwrap())).unwrap();
            scores.push(on.scores(&trace).unwrap()[0] as f32);
        }
        scores.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(array(&found, "values"), scores[..3], "{on}");
    }
}

#[test]
fn a_broken_image_is_skipped_and_named() {
    let model = load().unwrap();
    let mut items: Vec<Item> = data(9).iter().map(|i| Item::from(i.unwrap())).collect();
    items.insert(4, Item::file("no/such/file.png"));
    let found = ask(
        &MaxActivating::new().show(1usize),
        &Subject::layer(&model, "conv1").unwrap(),
        &Dataset::new("mixed", items),
    );
    assert!(found.complete);
    assert!(found.notes.iter().any(|n| n.contains("1 image could not be read") && n.contains("file.png")));
    assert!(!array(&found, "images").contains(&4.0));
    let none = Dataset::new("none", vec![Item::file("a.png")]);
    let error = MaxActivating::new()
        .run(&Subject::layer(&model, "conv1").unwrap(), &Input::Data(none), &Job::new())
        .unwrap_err();
    assert!(error.message.contains("no image could be read") && error.message.contains("a.png"), "{error}");
}

#[test]
fn a_field_that_leaves_the_image_is_shown_whole_with_the_padding_pale() {
    use convscope_engine::graph::ReceptiveField;
    use convscope_engine::probes::retrieval::max_activating::FieldWindow;
    let seen = Image::filled(20, 20, [9, 9, 9]).unwrap();
    let field = ReceptiveField::Local { size: [8, 8], stride: [4, 4], start: [-4, -4], axes: [Some(1), Some(2)] };
    let crop = FieldWindow::of(&field, [0, 5], [20, 20]).crop(&seen).unwrap();
    assert_eq!((crop.width(), crop.height()), (96, 96));
    // Rows 0 to 3 of the window lie above the image, columns from its fifth on to the right of it.
    assert_eq!(crop.pixel(12, 60), Some([9; 3]));
    assert_eq!(crop.pixel(12, 20), Some([232; 3]));
    assert_eq!(crop.pixel(60, 60), Some([232; 3]));
}

/// The receptive field framed in white on the whole image, values as shares of the channel's strongest answer.
#[test]
fn fields_are_framed_on_the_image_and_values_are_shares() {
    let (model, data) = (load().unwrap(), data(30));
    let channel = Subject::layer(&model, "conv2/relu").unwrap().channel(3).unwrap();
    let probe = MaxActivating::new().top(3usize).draw(Draw::Field).share(true);
    let found = ask(&probe, &channel, &data);
    let (values, images, places) = (array(&found, "values"), array(&found, "images"), array(&found, "places"));
    let Part::Pictures(shown) = &found.parts[0] else { panic!() };
    let ReceptiveField::Local { size, stride, start, .. } = model.graph().field(model.layer("conv2/relu").unwrap())
    else {
        panic!()
    };
    for (rank, (picture, caption)) in shown.images.iter().enumerate() {
        let share = format!("{:.2} of {:.2}: ", values[rank] / values[0], values[0]);
        assert!(caption.starts_with(&share), "{caption} for {share}");
        let seen = model.card().preprocess().unwrap().fit(&data.get(images[rank] as usize).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (seen.width(), seen.height()));
        let edge = |a: usize, n: usize| {
            let from = start[a] + (places[rank * 2 + a] as usize * stride[a]) as isize;
            (from.max(0) as usize, ((from + size[a] as isize) as usize).min(n))
        };
        let ((top, bottom), (left, right)) = (edge(0, seen.height()), edge(1, seen.width()));
        for (x, y) in (0..seen.width()).flat_map(|x| (0..seen.height()).map(move |y| (x, y))) {
            let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
            let border = inside && (x == left || x + 1 == right || y == top || y + 1 == bottom);
            let want = if border { Some([255; 3]) } else { seen.pixel(x, y) };
            assert_eq!(picture.pixel(x, y), want, "{x} {y} of {rank}");
        }
    }
}
