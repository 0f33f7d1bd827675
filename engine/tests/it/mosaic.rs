//! Mosaics against pictures put together by hand: which image is in which cell, what seams measure, and tiles against the whole.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use crate::maps_of_data::Files;
use convscope_engine::data::{Dataset, Image};
use convscope_engine::job::Sink;
use convscope_engine::probe::{Probe, ProbeArg};
use convscope_engine::probes::retrieval::mosaic::{MosaicLayout, MosaicOf};
use convscope_engine::random::Stream;
use convscope_engine::shapes::net::load;
use convscope_engine::show::Part;
use convscope_engine::show::colour::sequential;
use convscope_engine::tensor::tensor;
use convscope_engine::{Artifact, Input, Job, Kind, Result, Subject, Tensor};
use std::sync::Arc;

const N: usize = 23;

/// Each image has a colour of its own.
fn colour(i: usize) -> [u8; 3] {
    [10 * i as u8, 250 - 9 * i as u8, (i * 53 % 256) as u8]
}

fn data() -> Dataset {
    Dataset::from_images("colours", (0..N).map(|i| Image::filled(12, 9, colour(i)).unwrap()))
}

/// Places of the plane; x spans twice as much as y.
fn points() -> Vec<[f64; 2]> {
    let stream = Stream::new(8, "places");
    let mut all: Vec<[f64; 2]> =
        (0..N as u64).map(|i| [20.0 * stream.uniform_at(2 * i), 10.0 * stream.uniform_at(2 * i + 1)]).collect();
    // The ends, so that the scale is known.
    (all[0], all[1]) = ([0.0, 0.0], [20.0, 10.0]);
    all
}

fn codes() -> Vec<f32> {
    let stream = Stream::new(9, "codes");
    (0..3 * N as u64).map(|i| stream.normal_at(i) as f32).collect()
}

fn probe() -> MosaicOf {
    let points: Vec<f64> = points().concat();
    MosaicOf::new().points(Some(tensor(points, &[N, 2]).unwrap())).size(160usize).cell(8usize).data(Some(data()))
}

fn input() -> Input {
    Input::Tensor(tensor(codes(), &[N, 3]).unwrap())
}

fn ask(probe: &MosaicOf) -> Result<Artifact> {
    probe.run(&Subject::Model(load().unwrap()), &input(), &Job::new())
}

fn picture(found: &Artifact) -> Image {
    let pictures = found.parts.iter().find_map(|p| if let Part::Pictures(p) = p { Some(p) } else { None });
    pictures.unwrap().images[0].0.clone()
}

/// 160 px of cells of 8 px: 20 x 10 cells over 20 x 10 units.
#[test]
fn every_cell_is_filled_with_the_nearest() {
    let found = ask(&probe()).unwrap();
    let image = picture(&found);
    assert_eq!((image.width(), image.height()), (160, 80));
    assert_eq!(found.array_named("cells").unwrap().dims(), [10, 20]);
    let (cells, points) = (array(&found, "cells"), points());
    for (cell, own) in cells.iter().enumerate() {
        let middle = [(cell % 20) as f64 + 0.5, 10.0 - (cell / 20) as f64 - 0.5];
        let far = |i: usize| (points[i][0] - middle[0]).powi(2) + (points[i][1] - middle[1]).powi(2);
        let want = (0..N).fold(0, |b, i| if far(i) < far(b) { i } else { b });
        assert_eq!(*own as usize, want, "cell {cell}");
        for (x, y) in [(0, 0), (7, 7), (3, 4)] {
            assert_eq!(image.pixel(cell % 20 * 8 + x, cell / 20 * 8 + y), Some(colour(want)), "cell {cell}");
        }
    }
}

#[test]
fn each_picture_stands_once_or_at_its_own_place() {
    let found = ask(&probe().places(MosaicLayout::Once)).unwrap();
    let mut cells: Vec<i64> = array(&found, "cells").into_iter().map(|c| c as i64).filter(|c| *c >= 0).collect();
    let (rows, columns) = found.array_named("cells").unwrap().dims2().unwrap();
    let side = 160 / rows.max(columns);
    let image = picture(&found);
    assert_eq!((image.width(), image.height()), (columns * side, rows * side));
    for (cell, own) in array(&found, "cells").iter().enumerate().filter(|(_, own)| **own >= 0.0) {
        let at = image.pixel(cell % columns * side + side / 2, cell / columns * side + side / 2);
        assert_eq!(at, Some(colour(*own as usize)));
    }
    cells.sort_unstable();
    assert_eq!(cells, (0..N as i64).collect::<Vec<_>>());

    let found = ask(&probe().places(MosaicLayout::Exact)).unwrap();
    let image = picture(&found);
    // The middles span 152 x 76 px.
    assert_eq!((image.width(), image.height()), (160, 84));
    let places = array(&found, "places");
    let covered = |i: usize, [x, y]: [usize; 2]| {
        let near = |j: usize| (places[2 * j] - x as f64).abs() <= 4.0 && (places[2 * j + 1] - y as f64).abs() <= 4.0;
        (i + 1..N).any(near)
    };
    for (i, p) in points().iter().enumerate() {
        let want = [4.0 + p[0] * 7.6, 80.0 - p[1] * 7.6];
        assert!((places[2 * i] - want[0]).abs() <= 0.5 && (places[2 * i + 1] - want[1]).abs() <= 0.5, "{i}");
        let at = [places[2 * i] as usize, places[2 * i + 1] as usize];
        if !covered(i, at) {
            assert_eq!(image.pixel(at[0], at[1]), Some(colour(i)), "{i}");
        }
    }
}

#[test]
fn seams_are_the_distances_of_neighbouring_codes() {
    let found = ask(&probe().cell(16usize).seams(true)).unwrap();
    let (rows, columns) = found.array_named("cells").unwrap().dims2().unwrap();
    assert_eq!((rows, columns), (5, 10));
    let (cells, codes) = (array(&found, "cells"), codes());
    let (right, down) = (array(&found, "right"), array(&found, "down"));
    let apart = |a: usize, b: usize| {
        let code = |c: usize| &codes[3 * cells[c] as usize..][..3];
        code(a).iter().zip(code(b)).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt()
    };
    let most = right.iter().chain(&down).copied().fold(0.0, f64::max);
    let image = picture(&found);
    for r in 0..rows {
        for c in 0..columns - 1 {
            let (a, told) = (r * columns + c, right[r * (columns - 1) + c]);
            assert!((told - apart(a, a + 1)).abs() < 1e-6);
            let at = image.pixel(16 * (c + 1) - 1, 16 * r + 8);
            // A seam of 1 px lies before the border; one picture in two cells has none.
            let want = if told > 0.0 { sequential(told / most) } else { colour(cells[a] as usize) };
            assert_eq!(at, Some(want), "{r} {c}");
        }
    }
    assert_eq!(down.len(), (rows - 1) * columns);
    for (i, told) in down.iter().enumerate() {
        assert!((told - apart(i, i + columns)).abs() < 1e-6);
    }
}

/// Stops the work after some tiles.
struct StopAt(usize, Job);

impl Sink for StopAt {
    fn progress(&self, label: &str, done: usize, _: usize) {
        if label == "mosaic: tiles" && done == self.0 {
            self.1.signal.stop();
        }
    }

    fn note(&self, _: &str) {}
}

#[test]
fn tiles_are_the_whole_and_a_stopped_run_goes_on() {
    let probe = probe().size(1600usize).cell(100usize).seams(true);
    let (on, arg) = (Subject::Model(load().unwrap()), ProbeArg(Arc::new(probe.clone())));
    let whole = picture(&ask(&probe).unwrap());
    assert_eq!((whole.width(), whole.height()), (1600, 800));
    let mut files = Files::default();
    let found = arg.ask_each(&on, &input(), &mut files, &Job::new()).unwrap();
    assert!(found.complete);
    // Tiles of five cells: 4 x 2 of them, then 2 x 1, then one.
    let (mut far, mut count) = (0f64, 0usize);
    for (y, x) in (0..2).flat_map(|y| (0..4).map(move |x| (y, x))) {
        let tile = Image::decode(&files.0[&format!("2/{x}-{y}.jpg")]).unwrap();
        assert_eq!((tile.width(), tile.height()), ((1600 - 500 * x).min(500), (800 - 500 * y).min(500)));
        for (v, u) in (0..tile.height()).flat_map(|v| (0..tile.width()).map(move |u| (v, u))) {
            let (a, b) = (tile.pixel(u, v).unwrap(), whole.pixel(500 * x + u, 500 * y + v).unwrap());
            far += a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>();
            count += 3;
        }
    }
    assert!(far / (count as f64) < 4.0, "JPEGs differ by {} on average", far / count as f64);
    let first = Image::decode(&files.0["0/0-0.jpg"]).unwrap();
    assert_eq!((first.width(), first.height()), (400, 200));
    let page = String::from_utf8(files.0["index.html"].clone()).unwrap();
    assert!(page.contains("href=\"level-1.html#t0-0\"") && !page.contains("<script"), "{page}");
    let deepest = String::from_utf8(files.0["level-2.html"].clone()).unwrap();
    assert!(deepest.matches("<img").count() == 8 && deepest.contains("id=\"t3-1\""), "{deepest}");
    assert_eq!(String::from_utf8(files.0["pictures.csv"].clone()).unwrap().lines().count(), 1 + 16 * 8);

    let stopping = Job::new();
    let job = stopping.clone().with_sink(Arc::new(StopAt(3, stopping)));
    let mut part = Files::default();
    let stopped = arg.ask_each(&on, &input(), &mut part, &job).unwrap();
    assert!(!stopped.complete && !part.0.contains_key("index.html"), "{:?}", stopped.notes);
    let before = part.0.keys().filter(|k| k.starts_with("2/")).count();
    assert!((1..8).contains(&before), "{before}");
    arg.ask_each(&on, &input(), &mut part, &Job::new()).unwrap();
    assert!(part.0 == files.0, "the files of a run that went on are those of a whole one");
    // The folder of one mosaic does not take another's tiles.
    let other = ProbeArg(Arc::new(probe.seams(false)));
    let error = other.ask_each(&on, &input(), &mut part, &Job::new()).unwrap_err();
    assert!(error.message.contains("tiles of another question") && error.hint.is_some(), "{error}");
}

#[test]
fn what_cannot_be_laid_out_is_said() {
    let said = |probe: MosaicOf| {
        let error = ask(&probe).unwrap_err();
        assert!(error.hint.is_some(), "{error}");
        error.message
    };
    let three: Tensor = tensor(vec![0f64; 6], &[3, 2]).unwrap();
    assert!(said(probe().points(Some(three))).contains("option `points` is [3, 2]; the 23 images need [23, 2]"));
    assert!(said(probe().size(16usize).cell(50usize)).contains("do not fit"));
    assert!(said(probe().places(MosaicLayout::Exact).seams(true)).contains("no seams"));
    assert!(said(probe().data(None)).contains("needs their images"));
    assert!(ask(&probe().points(Some(tensor(vec![f64::NAN; 2 * N], &[N, 2]).unwrap()))).is_err());
    let mut job = Job::new();
    job.memory = 10_000;
    let error = probe().cell(20usize).run(&Subject::Model(load().unwrap()), &input(), &job).unwrap_err();
    assert!(error.message.contains("160 x 80 px") && error.hint.unwrap().contains("folder"));
    // More cells than there is room for are refused before they are filled.
    assert!(said(probe().size(1_000_000usize).cell(2usize)).contains("500000 x 250000 cells take 32000.0 GB"));
    job = Job::new();
    job.signal.stop();
    assert_eq!(probe().run(&Subject::Model(load().unwrap()), &input(), &job).unwrap_err().kind, Kind::Interrupted);
    // All on a line: one row, or one column, without seams to one side.
    for axis in [0, 1] {
        let line = (0..2 * N).map(|i| if i % 2 == axis { (i / 2) as f64 } else { 3.0 }).collect();
        let found = ask(&probe().points(Some(tensor::<f64>(line, &[N, 2]).unwrap())).seams(true)).unwrap();
        let long = if axis == 0 { [1, 20] } else { [20, 1] };
        assert_eq!(found.array_named("cells").unwrap().dims(), long);
    }
    // All at one place: one cell.
    let same = tensor(vec![1f64; 2 * N], &[N, 2]).unwrap();
    assert_eq!(ask(&probe().points(Some(same))).unwrap().array_named("cells").unwrap().dims(), [1, 1]);
}
