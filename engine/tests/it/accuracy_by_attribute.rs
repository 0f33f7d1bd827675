//! Accuracy by attribute: planted trends are found, absent ones are not; sweeps fall where they should.
#![allow(clippy::unwrap_used)]

use convscope_engine::data::{Attribute, Dataset, Image};
use convscope_engine::inspect::Evaluate as _;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::probe::Probe;
use convscope_engine::probes::measure::accuracy_by_attribute::AccuracyByAttribute;
use convscope_engine::probes::measure::perturbation_sweep::PerturbationSweep;
use convscope_engine::random::Stream;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::to_f32;
use convscope_engine::{Artifact, Input, Job, Subject};

fn array(a: &Artifact, name: &str) -> Vec<f32> {
    to_f32(a.array_named(name).unwrap()).unwrap()
}

fn ask(probe: &dyn Probe, data: &Dataset) -> Artifact {
    probe.run(&Subject::Model(load().unwrap()), &Input::Data(data.clone()), &Job::new()).unwrap()
}

/// 150 images, noisier the larger their attribute `t` is, if `planted`; else noisy at random.
fn planted(seed: u64, planted: bool) -> Dataset {
    let stream = Stream::new(seed, "planted");
    let images = shapes(&Shapes { n: 150, seed, ..Shapes::new() }).unwrap();
    let noisy = images.iter().enumerate().map(|(i, image)| {
        let image = image.unwrap();
        let t = stream.uniform_at(2 * i as u64);
        let strength = if planted { t } else { stream.uniform_at(2 * i as u64 + 1) };
        let mut attributes = image.attributes().clone();
        attributes.insert("t".into(), Attribute::Number(t));
        image.noise(100.0 * strength, i as u64).unwrap().with_attributes(attributes)
    });
    Dataset::from_images("planted", noisy.collect::<Vec<_>>())
}

#[test]
fn planted_trends_are_found_and_absent_ones_are_not() {
    let found = |is: bool| {
        (0..20u64)
            .filter(|seed| {
                let artifact = ask(&AccuracyByAttribute::new().by("t").rounds(100usize), &planted(100 + seed, is));
                array(&artifact, "p")[0] < 0.05
            })
            .count()
    };
    let (with, without) = (found(true), found(false));
    eprintln!("{with} of 20 planted trends found, {without} of 20 found where there is none");
    assert!(with >= 19, "{with} of 20 found");
    assert!(without <= 2, "{without} of 20 found where there is none");
}

#[test]
fn bins_hold_all_images_and_intervals_hold_the_shares() {
    let data = shapes(&Shapes { n: 200, seed: 5, ..Shapes::new() }).unwrap();
    for (by, bins) in [("clutter", 4), ("texture", 0), ("sharpness", 4)] {
        let artifact = ask(&AccuracyByAttribute::new().by(by).bins(4usize), &data);
        let counts = array(&artifact, "counts");
        assert_eq!(counts.iter().sum::<f32>(), 200.0, "{by}");
        assert!(bins == 0 || counts.len() == bins, "{by}: {counts:?}");
        let (share, low, high) = (array(&artifact, "accuracy"), array(&artifact, "low"), array(&artifact, "high"));
        for i in 0..share.len() {
            assert!(low[i] <= share[i] + 1e-6 && share[i] <= high[i] + 1e-6, "{by} {i}");
        }
        let overall: f32 = share.iter().zip(&counts).map(|(s, c)| s * c).sum::<f32>() / 200.0;
        let top1 = array(&load().unwrap().accuracy(&data, &Job::new()).unwrap(), "top1")[0];
        assert!((overall - top1).abs() < 1e-5, "{by}");
    }
    let error = AccuracyByAttribute::new()
        .by("cluter")
        .run(&Subject::Model(load().unwrap()), &Input::Data(data.clone()), &Job::new())
        .unwrap_err();
    assert!(error.message.contains("no attribute `cluter`") && error.hint.unwrap().contains("did you mean `clutter`"));
    let two = Subject::Models(vec![load().unwrap(), load().unwrap()]);
    let artifact = AccuracyByAttribute::new().by("scale").run(&two, &Input::Data(data), &Job::new()).unwrap();
    let share = artifact.array_named("accuracy").unwrap();
    assert_eq!(share.dims(), [2, 5]);
    let rows = array(&artifact, "accuracy");
    assert_eq!(rows[..5], rows[5..]);
}

/// Images of which only the size decides, and an attribute that follows the size.
#[test]
fn a_trend_that_a_confound_makes_vanishes_within_it() {
    let stream = Stream::new(8, "confound");
    let images = shapes(&Shapes { n: 600, seed: 9, ..Shapes::new() }).unwrap();
    let noisy = images.iter().enumerate().map(|(i, image)| -> Image {
        let image = image.unwrap();
        let level = (i % 3) as f64;
        let mut attributes = image.attributes().clone();
        attributes.insert("level".into(), Attribute::Number(level));
        attributes.insert("follows".into(), Attribute::Number(level + stream.normal_at(i as u64) * 0.5));
        image.noise(45.0 * level, i as u64).unwrap().with_attributes(attributes)
    });
    let data = Dataset::from_images("confounded", noisy.collect::<Vec<_>>());
    let alone = ask(&AccuracyByAttribute::new().by("follows"), &data);
    let within = ask(&AccuracyByAttribute::new().by("follows").within("level".to_string()), &data);
    assert!(array(&alone, "p")[0] < 1e-4, "{:?}", array(&alone, "p"));
    assert!(array(&within, "p")[0] > 0.05, "{:?}", array(&within, "p"));
}

#[test]
fn a_sweep_starts_from_the_unperturbed_accuracy_and_falls() {
    let data = shapes(&Shapes { n: 100, seed: 6, ..Shapes::new() }).unwrap();
    let clean = array(&load().unwrap().accuracy(&data, &Job::new()).unwrap(), "top1")[0];
    for (by, harmless, harmful) in
        [("noise", 0.0, 150.0), ("blur", 0.0, 8.0), ("occlusion", 0.0, 0.9), ("scale", 1.0, 0.2)]
    {
        let mut probe = PerturbationSweep::new().values(vec![harmless, harmful]);
        probe.set("by", &Value::Text(by.into())).unwrap();
        let artifact = ask(&probe, &data);
        let accuracy = array(&artifact, "accuracy");
        assert_eq!(accuracy[0], clean, "{by}");
        assert!(accuracy[1] < clean - 0.2, "{by}: {accuracy:?}");
        assert_eq!((array(&artifact, "agreement")[0], array(&artifact, "p")[0]), (1.0, 1.0), "{by}");
        assert!(array(&artifact, "p")[1] < 0.001, "{by}");
    }
}

#[test]
fn units_and_directions_are_told_apart_only_where_they_differ() {
    use convscope_engine::probes::retrieval::basis_test::BasisTest;
    let model = load().unwrap();
    let data = shapes(&Shapes { n: 300, seed: 7, ..Shapes::new() }).unwrap();
    let layer = Subject::layer(&model, "conv5/relu").or_else(|_| Subject::layer(&model, "conv4/relu")).unwrap();
    let found = BasisTest::new().run(&layer, &Input::Data(data), &Job::new()).unwrap();
    let (units, directions) = (array(&found, "units"), array(&found, "directions"));
    assert_eq!(units.len(), directions.len());
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    assert!((mean(&units) - mean(&directions) - array(&found, "difference")[0]).abs() < 1e-5);
    assert!((array(&found, "chance")[0] - 0.0970).abs() < 0.001, "{:?}", array(&found, "chance"));
    assert!(mean(&units) > 0.2, "the images that excite a unit are alike: {}", mean(&units));
    let (low, high) = (array(&found, "low")[0], array(&found, "high")[0]);
    assert!(low <= array(&found, "difference")[0] && array(&found, "difference")[0] <= high);
}
