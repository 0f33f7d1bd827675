//! People against nets: the published numbers come out of the published counts and trials.

#![allow(clippy::unwrap_used)]

use crate::reference;
use convscope_engine::data::{Dataset, load_images};
use convscope_engine::humans::classes::ClassList;
use convscope_engine::humans::taxonomy::KINDS;
use convscope_engine::humans::trials::{Columns, TrialSource};
use convscope_engine::humans::{Answer, Log, LogEntry, Tag};
use convscope_engine::inspect::Evaluate as _;
use convscope_engine::load::LoadOptions;
use convscope_engine::load::load_model;
use convscope_engine::params::{Params, Value};
use convscope_engine::probe::Probe;
use convscope_engine::probes::people::compare_with_humans::{ChoiceCounts, CompareWithHumans};
use convscope_engine::probes::people::shape_bias::ShapeBias;
use convscope_engine::shapes::net;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::show::{Cell, Part, Table};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Artifact, Input, Job, Model, Subject};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

fn numbers(a: &Artifact, name: &str) -> Vec<f64> {
    to_f64(a.array_named(name).unwrap()).unwrap()
}

fn table<'a>(a: &'a Artifact, title: &str) -> &'a Table {
    let found = a.parts.iter().find_map(|p| match p {
        Part::Table(t, table) if t.starts_with(title) => Some(table),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no table `{title}`"))
}

/// The cell of the row whose first columns are `row`.
fn cell(table: &Table, row: &[&str], column: &str) -> f64 {
    let is = |r: &&Vec<Cell>| row.iter().zip(*r).all(|(want, cell)| cell.text() == *want);
    let found = table.rows().iter().find(is).unwrap_or_else(|| panic!("no row {row:?}"));
    found[table.index(column).unwrap()].number().unwrap()
}

fn embedded() -> Model {
    net::load().unwrap()
}

const IMAGES: usize = 1500;

/// Guesses that are right, or five that are not.
fn guesses(data: &Dataset, i: usize, right: bool) -> Vec<String> {
    let label = data.item(i).unwrap().label.clone().unwrap();
    let mut all: Vec<String> = data.labels().into_iter().filter(|l| *l != label).take(5).collect();
    if right {
        all[i % 5] = label;
    }
    all
}

/// Karpathy 2014 and Russakovsky et al. 2014, section 6.4: GoogLeNet errs on 102 and the person on 76 of 1,500 images.
#[test]
fn the_blog_s_numbers_follow_from_its_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.jsonl");
    let data = shapes(&Shapes::new().n(IMAGES).seed(2u64)).unwrap();
    let mut log = Log::open(&path).unwrap();
    // The person errs on the first 76 images, GoogLeNet on 102 of which 40 are among those.
    let net_wrong = 36..138;
    for i in 0..IMAGES {
        for (who, right) in [("Karpathy", i >= 76), ("GoogLeNet", !net_wrong.contains(&i))] {
            let answer = Answer {
                id: format!("{who}-{i:05}"),
                labeller: who.into(),
                image: format!("shapes/{i}"),
                guesses: guesses(&data, i, right),
                skipped: false,
                time_s: (who == "Karpathy").then_some(60.0),
                training: false,
                at: 0.0,
            };
            // Written at once, without waiting for the disk 3,000 times.
            let line = serde_json::to_string(&LogEntry::Answer(answer)).unwrap();
            writeln!(std::fs::OpenOptions::new().append(true).open(&path).unwrap(), "{line}").unwrap();
        }
    }
    drop(log);
    log = Log::open(&path).unwrap();
    type Errors = (&'static str, [(&'static str, usize); 7], usize);
    let counts: [Errors; 2] = [
        (
            "GoogLeNet",
            [
                ("multiple objects", 24),
                ("small or thin object", 22),
                ("image filter", 13),
                ("abstract representation", 6),
                ("fine-grained", 7),
                ("class unawareness", 0),
                ("too few examples", 0),
            ],
            36,
        ),
        (
            "Karpathy",
            [
                ("multiple objects", 12),
                ("small or thin object", 0),
                ("image filter", 0),
                ("abstract representation", 0),
                ("fine-grained", 28),
                ("class unawareness", 18),
                ("too few examples", 4),
            ],
            0,
        ),
    ];
    for (subject, kinds, mut i) in counts {
        for (kind, n) in kinds {
            for _ in 0..n {
                let tag = Tag {
                    id: format!("tag-{subject}-{i:05}"),
                    by: "rev".into(),
                    subject: subject.into(),
                    image: format!("shapes/{i}"),
                    kinds: vec![kind.into()],
                    at: 0.0,
                };
                let _ = log.append(LogEntry::Tag(tag)).unwrap();
                i += 1;
            }
        }
    }
    let mut probe = CompareWithHumans::new().labels(TrialSource::File(path)).gallery(0usize);
    probe.set("machines", &Value::List(vec![Value::Text("GoogLeNet".into())])).unwrap();
    let found = probe.run(&Subject::Model(embedded()), &Input::Data(data), &Job::new()).unwrap();

    let top5 = numbers(&found, "top5");
    assert_eq!((1.0 - top5[0], 1.0 - top5[1]), (1.0 - 1424.0 / 1500.0, 1.0 - 1398.0 / 1500.0));
    assert_eq!(format!("{:.1} {:.1}", 100.0 * (1.0 - top5[1]), 100.0 * (1.0 - top5[0])), "6.8 5.1");
    let subjects = table(&found, "right and wrong");
    assert_eq!(cell(subjects, &["GoogLeNet", "net"], "top5 errors"), 102.0);
    assert_eq!(cell(subjects, &["Karpathy", "person"], "top5 errors"), 76.0);
    let pair = ["GoogLeNet", "Karpathy"];
    let errors = table(&found, "who errs more");
    assert_eq!(format!("{:.3}", cell(errors, &pair, "p (one-sided)")), "0.022");
    assert!((cell(errors, &pair, "z") - 2.0094).abs() < 1e-4);
    // 62 images on which only the net errs against 36 on which only the person does: (62 - 36)^2 / 98.
    let at = errors.rows().iter().position(|r| r[0].text() == pair[0] && r[1].text() == pair[1]).unwrap();
    assert!((numbers(&found, "mcnemar")[at] - 676.0 / 98.0).abs() < 1e-9);
    let together = table(&found, "do they err on the same images");
    assert_eq!(cell(together, &pair, "both wrong"), 40.0);
    assert_eq!(cell(together, &pair, "overlap"), 40.0 / 138.0);
    let (a, b) = (1398.0 / 1500.0, 1424.0 / 1500.0);
    let (agreed, chance) = (1402.0 / 1500.0, a * b + (1.0 - a) * (1.0 - b));
    assert!((cell(together, &pair, "consistency") - (agreed - chance) / (1.0 - chance)).abs() < 1e-12);

    // The shares that the papers print: 24 % of 102, 16 % of 76, and so on.
    let kinds = table(&found, "kinds of errors");
    let percent = |kind: &str, who: &str| (100.0 * cell(kinds, &[kind, who], "share")).round();
    let net = ["multiple objects", "small or thin object", "image filter", "abstract representation", "fine-grained"];
    assert_eq!(net.map(|k| percent(k, "GoogLeNet")), [24.0, 22.0, 13.0, 6.0, 7.0]);
    let person = ["multiple objects", "fine-grained", "class unawareness", "too few examples", "small or thin object"];
    assert_eq!(person.map(|k| percent(k, "Karpathy")), [16.0, 37.0, 24.0, 5.0, 0.0]);
    assert_eq!(kinds.len(), 2 * KINDS.len());
    assert_eq!(cell(table(&found, "time per image"), &["Karpathy"], "median s"), 60.0);
}

/// Rows of a script.
fn rows(all: &[(&str, usize, &[&str])]) -> TrialSource {
    let row = |(who, i, guesses): &(&str, usize, &[&str])| -> BTreeMap<String, Value> {
        let text = |t: &str| Value::Text(t.to_string());
        [
            ("labeller".to_string(), text(who)),
            ("image".to_string(), text(&format!("shapes/{i}"))),
            ("guesses".to_string(), Value::List(guesses.iter().map(|g| text(g)).collect())),
        ]
        .into()
    };
    TrialSource::Rows(all.iter().map(row).collect())
}

#[test]
fn soft_labels_are_compared_by_cross_entropy_and_uncertainty() {
    let (net, data) = (embedded(), shapes(&Shapes::new().n(12usize).seed(11u64)).unwrap());
    let labels: Vec<(&str, usize, &[&str])> = (0..12).map(|i| ("ann", i, &["star"][..])).collect();
    let counts: Vec<f64> = (0..12 * 10).map(|k| ((k * 7919) % 13) as f64).collect();
    let probe = CompareWithHumans::new()
        .labels(rows(&labels))
        .soft(ChoiceCounts::Tensor(tensor(counts.clone(), &[12, 10]).unwrap()));
    let found = probe.run(&Subject::Model(net.clone()), &Input::Data(data.clone()), &Job::new()).unwrap();
    let (p, told) = net.probabilities_of(&data, &Job::new()).unwrap();
    assert!(told.broken.is_empty());
    let p: Vec<Vec<f64>> = p.into_iter().flatten().collect();
    let want: f64 = (0..12)
        .map(|i| {
            let row = &counts[i * 10..(i + 1) * 10];
            let total: f64 = row.iter().sum();
            row.iter().zip(&p[i]).map(|(q, p)| -q / total * p.max(1e-12).ln()).sum::<f64>() / 12.0
        })
        .sum();
    assert!((numbers(&found, "cross_entropy")[0] - want).abs() < 1e-9);
    let wrong = CompareWithHumans::new()
        .labels(rows(&labels))
        .soft(ChoiceCounts::Tensor(tensor(vec![1.0f64; 20], &[2, 10]).unwrap()));
    assert!(wrong.run(&Subject::Model(net), &Input::Data(data), &Job::new()).unwrap_err().message.contains("[2, 10]"));
}

#[test]
fn what_does_not_fit_is_said() {
    let (net, data) = (Subject::Model(embedded()), shapes(&Shapes::new().n(12usize).seed(11u64)).unwrap());
    let ask = |labels: TrialSource| {
        let e = CompareWithHumans::new().labels(labels).run(&net, &Input::Data(data.clone()), &Job::new()).unwrap_err();
        format!("{} / {}", e.message, e.hint.unwrap_or_default())
    };
    assert!(ask(TrialSource::None).contains("convscope label"));
    assert!(ask(rows(&[("ann", 3, &["unicorn"])])).contains("an answer of ann to `shapes/3`: no class `unicorn`"));
    assert!(ask(rows(&[("ann", 99, &["star"])])).contains("none of the 1 answers is about an image of `shapes`"));
    assert!(ask(TrialSource::File("no/such.jsonl".into())).contains("no such file"));
    let e = ShapeBias::new().run(&net, &Input::Data(Dataset::new("none", Vec::new())), &Job::new()).unwrap_err();
    assert!(e.message.contains("no image of `none` has a shape and another texture"), "{e}");
}

/// Geirhos et al. 2018 on the images and trials of development, where they are there.
#[test]
fn people_decide_by_shape_and_squeezenet_by_texture() {
    let (folder, file) = (reference::data("cue-conflict"), reference::data("nets/squeezenet1.1.onnx"));
    let (Some(folder), Some(file)) = (folder, file) else { return };
    let at = |file: &str| folder.join(file);
    let options = serde_json::json!({
        "size": 227, "resize": "direct", "order": "BGR", "scale": 1.0, "mean": [103.939, 116.779, 123.68]
    });
    let options: LoadOptions = serde_json::from_value(options).unwrap();
    let net = load_model(file.to_str().unwrap(), &options, Path::new(""), &|_| {}).unwrap();
    let data = load_images(at("images")).unwrap();
    let probe = ShapeBias::new()
        .labels(TrialSource::File(at("human_trials.csv")))
        .classes(ClassList::File(at("categories.json")))
        .columns(Columns::default());
    let found = probe.run(&Subject::Model(net), &Input::Data(data), &Job::new()).unwrap();
    let bias = numbers(&found, "bias");
    let subjects = table(&found, "shape bias");
    println!("{:?}", bias);
    assert_eq!(bias.len(), 10 + 1 + 1, "ten people, all together, the net");
    assert!((bias[10] - 0.943).abs() <= 0.005, "people: {}", bias[10]);
    assert!((bias[11] - 0.315).abs() <= 0.03, "squeezenet1.1: {}", bias[11]);
    let together = ["people together", "people"];
    assert_eq!([cell(subjects, &together, "shape"), cell(subjects, &together, "texture")], [1203.0, 73.0]);
}
