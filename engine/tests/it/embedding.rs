//! t-SNE against openTSNE's figures on the same codes, and the probes around it.
#![allow(clippy::unwrap_used)]

use crate::{golden, own_process};
use convscope_engine::data::Dataset;
use convscope_engine::embed::knn::{Metric, nearest};
use convscope_engine::embed::{quality, tsne};
use convscope_engine::inspect::Evaluate as _;
use convscope_engine::job::Sink;
use convscope_engine::params::Params as _;
use convscope_engine::params::Value;
use convscope_engine::probe::Probe;
use convscope_engine::probes::retrieval::codes::CodesOf;
use convscope_engine::probes::retrieval::nearest::Nearest;
use convscope_engine::probes::retrieval::pca::PcaOf;
use convscope_engine::probes::retrieval::tsne::Tsne;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::tensor::to_f32;
use convscope_engine::{Artifact, Input, Job, Subject};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// splitmix64 as a number in [0, 1).
fn uniform(index: u64) -> f64 {
    let mut z = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

/// The codes of tests/golden/tsne/golden.py.
fn generated(n: usize, d: usize) -> Vec<f32> {
    let signed = |i: usize| 2.0 * uniform(i as u64) - 1.0;
    let mut out = Vec::with_capacity(n * d);
    for i in 0..n {
        for j in 0..d {
            let mut value = signed((i % 20) * 4096 + j) * 0.7;
            for k in 0..8 {
                value += signed(1_000_000 + i * 8 + k) * signed(2_000_000 + k * 4096 + j);
            }
            out.push((value + 0.8 * signed(10_000_000 + i * 4096 + j)).max(0.0) as f32);
        }
    }
    out
}

#[test]
fn neighbours_are_kept_as_well_as_opentsne_keeps_them() {
    let path = golden::path("tsne/tsne.json");
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let slow = std::env::var("CONVSCOPE_SLOW").is_ok_and(|v| v == "1");
    for set in golden["sets"].as_array().unwrap() {
        let (n, d) = (set["n"].as_u64().unwrap() as usize, set["d"].as_u64().unwrap() as usize);
        if n > 1000 && !slow {
            eprintln!("skipped: {n} x {d} is slow; CONVSCOPE_SLOW=1 runs it");
            continue;
        }
        let codes = generated(n, d);
        let sum: f64 = codes.iter().map(|v| f64::from(*v)).sum();
        assert!((sum - set["sum"].as_f64().unwrap()).abs() < 1e-6 * sum, "these are other codes: {sum}");
        let begun = std::time::Instant::now();
        let near = nearest(&codes, d, None, 90, Metric::Euclidean);
        let knn = begun.elapsed();
        let found = tsne::embed(&near, tsne::start(&codes, d), &tsne::Settings::default(), &Job::new());
        let all = begun.elapsed();
        let plane = quality::nearest_in_plane(&found.points, &near);
        let told = quality::quality(&codes, d, (&near, &plane), &found.points, Metric::Euclidean);
        eprintln!("{n} x {d}: {told:?}, kl {:.3}, neighbours {knn:.1?}, all {all:.1?}; golden {set}", found.kl);
        let want = set["preserved"].as_f64().unwrap();
        assert!(told.preserved >= want - 0.02, "{} of {want}", told.preserved);
        let want = set["trustworthiness"].as_f64().unwrap();
        assert!(told.trustworthiness >= want - 0.005, "{} of {want}", told.trustworthiness);
    }
}

fn data(n: usize, seed: u64) -> Dataset {
    shapes(&Shapes { n, seed, ..Shapes::new() }).unwrap()
}

fn ask(probe: &dyn Probe, on: &Subject, data: &Dataset) -> Artifact {
    probe.run(on, &Input::Data(data.clone()), &Job::new()).unwrap()
}

fn array(a: &Artifact, name: &str) -> Vec<f32> {
    to_f32(a.array_named(name).unwrap()).unwrap()
}

#[test]
fn the_grid_has_one_image_a_cell_and_new_images_come_to_lie_among_their_class() {
    let net = Subject::Model(load().unwrap());
    let (seen, new) = (data(300, 1), data(40, 2));
    let mut probe = Tsne::new().early(100usize).steps(150usize).perplexity(15.0);
    probe.set("project", &Value::Data(new.clone())).unwrap();
    let found = ask(&probe, &net, &seen);
    let mut cells: Vec<f32> = array(&found, "grid").into_iter().filter(|c| *c >= 0.0).collect();
    cells.sort_by(f32::total_cmp);
    assert_eq!(cells, (0..300).map(|i| i as f32).collect::<Vec<_>>());
    assert!(array(&found, "purity")[0] > 0.8, "{:?}", array(&found, "purity"));
    let places = array(&found, "embedding");
    let near = nearest(&places, 2, Some(&array(&found, "new")), 5, Metric::Euclidean);
    let label = |d: &Dataset, i: usize| d.item(i).unwrap().label.clone();
    let same = (0..40).map(|i| near.of(i).iter().filter(|j| label(&seen, **j as usize) == label(&new, i)).count());
    let share = same.sum::<usize>() as f64 / 200.0;
    assert!(share > 0.7, "{share}");
}

#[test]
fn points_can_be_coloured_by_class_prediction_and_error() {
    use convscope_engine::show::Part;
    let model = load().unwrap();
    let seen = data(60, 3);
    let mut right = None;
    for colour in ["class", "prediction", "error", "none"] {
        let mut probe = Tsne::new().early(10usize).steps(10usize).images(false);
        probe.set("colour", &Value::Text(colour.into())).unwrap();
        let found = ask(&probe, &Subject::Model(model.clone()), &seen);
        let cloud = found.parts.iter().find_map(|p| if let Part::Cloud(c) = p { Some(c.clone()) } else { None });
        let cloud = cloud.unwrap();
        match colour {
            "class" => assert_eq!(cloud.names.len(), 10),
            "prediction" => assert!(cloud.names.len() <= 12 && cloud.groups.iter().all(|g| *g < 12)),
            "error" => right = Some(cloud.groups.iter().filter(|g| **g == 0).count()),
            _ => assert!(cloud.names.is_empty()),
        }
    }
    let accuracy = model.accuracy(&seen, &Job::new()).unwrap();
    assert_eq!(right.unwrap() as f32, (array(&accuracy, "top1")[0] * 60.0).round());
}

/// What is remarked on while work is done.
#[derive(Default)]
struct Remarks(Mutex<Vec<String>>);

impl Sink for Remarks {
    fn progress(&self, _: &str, _: usize, _: usize) {}

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_string());
    }
}

#[test]
fn codes_are_means_after_the_rectifier_and_come_from_the_cache_the_second_time() {
    let Some(cache) = own_process::part() else {
        let cache = tempfile::tempdir().unwrap();
        let test = "embedding::codes_are_means_after_the_rectifier_and_come_from_the_cache_the_second_time";
        let part = cache.path().to_str().unwrap();
        return own_process::passes(own_process::again(test, part).env("CONVSCOPE_CACHE", cache.path()));
    };
    let model = load().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (i, image) in data(9, 4).iter().enumerate() {
        image.unwrap().save_png(folder.path().join(format!("{i}.png"))).unwrap();
    }
    std::fs::write(folder.path().join("broken.png"), "no image").unwrap();
    let files = convscope_engine::data::load_images(folder.path().join("*.png")).unwrap();
    let layer = Subject::layer(&model, "conv3").unwrap();
    let remarks = Arc::new(Remarks::default());
    let asked =
        || CodesOf::new().run(&layer, &Input::Data(files.clone()), &Job::new().with_sink(remarks.clone())).unwrap();
    let (first, again) = (asked(), asked());
    assert_eq!(array(&first, "codes"), array(&again, "codes"));
    let told = |a: &Artifact, what: &str| a.notes.iter().any(|n| n.contains(what));
    // Where codes came from is said while they are made, and is no part of what comes out.
    assert_eq!(first.notes, again.notes);
    assert_eq!(*remarks.0.lock().unwrap(), ["9 codes came from the cache on disk"]);
    assert!(told(&again, "broken.png"), "{:?}", again.notes);
    let relu = model.layer("conv3/relu").unwrap();
    let x = model.card().preprocess().unwrap().apply(&files.get(0).unwrap()).unwrap();
    let trace = model.forward(&x, &convscope_engine::pass::Tap::Only(vec![relu])).unwrap();
    let value = to_f32(trace.get(relu).unwrap()).unwrap();
    let plane = value.len() / 48;
    let codes = array(&first, "codes");
    for c in 0..48 {
        let mean = value[c * plane..][..plane].iter().sum::<f32>() / plane as f32;
        assert!((mean - codes[c]).abs() < 1e-5);
    }
    // A damaged segment is ignored.
    for entry in walk(Path::new(&cache)) {
        let mut bytes = std::fs::read(&entry).unwrap();
        bytes.pop();
        std::fs::write(&entry, bytes).unwrap();
    }
    let after = ask(&CodesOf::new(), &layer, &files);
    assert!(!told(&after, "cache") && array(&after, "codes") == codes);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}

#[test]
fn retrieval_votes_and_finds_an_image_by_itself() {
    let model = load().unwrap();
    let seen = data(200, 5);
    let net = Subject::Model(model.clone());
    let found = ask(&Nearest::new(), &net, &seen);
    assert!(array(&found, "accuracy")[0] > 0.8, "{:?}", array(&found, "accuracy"));
    let mut probe = Nearest::new().k(1usize);
    probe.set("of", &Value::Image(seen.get(17).unwrap())).unwrap();
    let one = ask(&probe, &net, &seen);
    assert_eq!(array(&one, "neighbours"), [17.0]);
    assert!(array(&one, "distances")[0].abs() < 1e-6);
    // Codes in place of images.
    let codes = ask(&CodesOf::new(), &net, &seen);
    let given = Input::Tensor(codes.value().unwrap().clone());
    let again = Nearest::new().data(Some(seen)).run(&net, &given, &Job::new()).unwrap();
    assert_eq!(array(&again, "neighbours"), array(&found, "neighbours"));
    let error = Nearest::new().data(Some(data(3, 1))).run(&net, &given, &Job::new()).unwrap_err();
    assert!(error.message.contains("200 codes for 3 images"), "{error}");
}

#[test]
fn components_explain_what_they_should() {
    let net = Subject::Model(load().unwrap());
    let found = ask(&PcaOf::new().k(5usize), &net, &data(100, 6));
    let explained = array(&found, "explained");
    assert!(explained.windows(2).all(|w| w[0] >= w[1]) && explained.iter().sum::<f32>() <= 1.0 + 1e-5);
    let scores = found.array_named("scores").unwrap();
    assert_eq!(scores.dims(), [100, 5]);
}
