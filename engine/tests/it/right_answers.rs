//! Right answers counted by class, by lists of right classes, and of people together: against counts by hand, and of a net against
//! its own predictions in a file.
#![allow(clippy::unwrap_used)]

use crate::builders::{array, column, table};
use convscope_engine::data::join::JoinTarget;
use convscope_engine::data::{Dataset, Item};
use convscope_engine::humans::trials::TrialSource;
use convscope_engine::inspect::Evaluate as _;
use convscope_engine::params::{Params as _, Value};
use convscope_engine::predictions::Predictions;
use convscope_engine::probe::Probe;
use convscope_engine::probes::measure::accuracy_by_class::AccuracyByClass;
use convscope_engine::probes::measure::accuracy_by_factor::{AccuracyByFactor, Factors};
use convscope_engine::probes::measure::multi_label_accuracy::{Answers, MultiLabelAccuracy};
use convscope_engine::probes::people::compare_with_humans::CompareWithHumans;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::{Artifact, Error, Input, Job, Subject};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

fn read(name: &str, text: &str) -> Predictions {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.csv"));
    std::fs::write(&path, text).unwrap();
    Predictions::read(&path, None).unwrap()
}

fn ask(probe: &dyn Probe, on: Vec<Predictions>, data: &Dataset) -> Result<Artifact, Error> {
    probe.run(&Subject::Predictions(on), &Input::Data(data.clone()), &Job::new())
}

fn close(artifact: &Artifact, name: &str, want: &[f64]) {
    let found = array(artifact, name);
    let same = found.len() == want.len() && found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(same, "{name}: {found:?} for {want:?}");
}

/// Four cats, two dogs, two cows.
const TRUTHS: [&str; 8] = ["cat", "cat", "cat", "cat", "dog", "dog", "cow", "cow"];

fn two() -> Vec<Predictions> {
    let of = |name: &str, guesses: [&str; 8]| {
        let mut text = String::from("image,truth,prediction\n");
        for (i, (truth, guess)) in TRUTHS.iter().zip(guesses).enumerate() {
            writeln!(text, "{i}.jpg,{truth},{guess}").unwrap();
        }
        read(name, &text)
    };
    vec![
        of("one", ["cat", "cat", "cat", "dog", "dog", "cat", "cat", "cat"]),
        of("two", ["cat", "dog", "dog", "dog", "dog", "dog", "cat", "cow"]),
    ]
}

fn with_classes(data: &Dataset, text: &str) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("classes.csv");
    std::fs::write(&path, text).unwrap();
    data.joined(JoinTarget::Classes, &path).unwrap()
}

#[test]
fn classes_count_alike_and_the_optimistic_line_takes_the_best_of_each() {
    let (on, data) = (two(), two().remove(0).data);
    let found = ask(&AccuracyByClass::new().rounds(200usize), on.clone(), &data).unwrap();
    // The hardest class first: cow, cat, dog; the classifiers, then the best of each class.
    close(&found, "accuracy", &[0.0, 0.75, 0.5, 0.5, 0.25, 1.0, 0.5, 0.75, 1.0]);
    close(&found, "counts", &[2.0, 4.0, 2.0]);
    close(&found, "mean", &[1.25 / 3.0, 1.75 / 3.0, 0.75]);
    let (mean, low, high) = (array(&found, "mean"), array(&found, "mean_low"), array(&found, "mean_high"));
    assert!((0..3).all(|s| low[s] <= mean[s] && mean[s] <= high[s] && low[s] < high[s]), "{low:?} {mean:?} {high:?}");
    let listed = table(&found, "classes, the hardest first");
    let best: Vec<String> = listed.column("best").unwrap().iter().map(|c| c.text()).collect();
    assert_eq!(best, ["two", "one", "two"]);
    close(&ask(&AccuracyByClass::new(), vec![on[0].clone()], &data).unwrap(), "accuracy", &[0.0, 0.5, 0.75]);

    // Properties of classes, from a table; classes of one value are one group.
    let by = AccuracyByClass::new().by("size".to_string()).rounds(200usize);
    let sized = with_classes(&data, "class,size,kind\ncat,1,pet\ndog,1,pet\ncow,3,cattle\n");
    let found = ask(&by, on.clone(), &sized).unwrap();
    close(&found, "groups", &[0.625, 0.0, 0.625, 0.5, 0.875, 0.5]);
    close(&found, "group_sizes", &[2.0, 1.0]);
    let kinds = ask(&AccuracyByClass::new().by("kind".to_string()), on.clone(), &sized).unwrap();
    close(&kinds, "groups", &[0.0, 0.625, 0.5, 0.625, 0.5, 0.875]);
    assert_eq!(column(table(&kinds, "classes by kind"), "images"), [2.0, 6.0, 2.0, 6.0, 2.0, 6.0]);

    // A class without a row is in no group, and is named.
    let few = ask(&by, on.clone(), &with_classes(&data, "class,size\ncat,1\ncow,3\n")).unwrap();
    close(&few, "group_sizes", &[1.0, 1.0]);
    assert!(few.notes.iter().any(|n| n.contains("1 classes do not have the property") && n.contains("`dog`")));
    let error = ask(&AccuracyByClass::new().by("sice".to_string()), on, &sized).unwrap_err();
    assert!(error.message.contains("no property `sice`") && error.hint.unwrap().contains("did you mean `size`"));
}

/// A property that images have is the mean over the class's images, and a net says what its predictions say.
#[test]
fn a_net_and_its_predictions_have_the_same_accuracies() {
    let (net, job) = (load().unwrap(), Job::new());
    let data = shapes(&Shapes { n: 90, seed: 17, ..Shapes::new() }).unwrap();
    let said = net.predict_all(&data, &job).unwrap();
    let mut text = String::from("image,prediction\n");
    for (i, class) in said.column("class").unwrap().iter().enumerate() {
        writeln!(text, "shapes/{i},{}", class.text()).unwrap();
    }
    let by = AccuracyByClass::new().by("scale".to_string()).bins(3usize).rounds(200usize);
    let a = by.run(&Subject::Model(net.clone()), &Input::Data(data.clone()), &job).unwrap();
    let b = ask(&by, vec![read("said", &text)], &data).unwrap();
    for name in ["accuracy", "counts", "mean", "mean_low", "groups", "groups_high", "group_sizes"] {
        assert_eq!(array(&a, name), array(&b, name), "{name}");
    }
    let (shares, counts) = (array(&a, "accuracy"), array(&a, "counts"));
    let right: f64 = shares.iter().zip(&counts).map(|(s, n)| s * n).sum();
    let top1 = array(&net.accuracy(&data, &job).unwrap(), "top1")[0];
    assert!((right / 90.0 - top1).abs() < 1e-6 && counts.iter().sum::<f64>() == 90.0);

    // A guess that is among the answers is right, whatever the label.
    let guesses = said.column("class").unwrap();
    let all = (0..90).map(|i| if i % 3 == 0 { vec![] } else { vec![guesses[i].text(), data.label(i).unwrap()] });
    let answers = MultiLabelAccuracy::new().answers(Answers::Lists(all.collect()));
    let found = answers.run(&Subject::Model(net.clone()), &Input::Data(data.clone()), &job).unwrap();
    close(&found, "answers", &[1.0]);
    let seen: Vec<usize> = (0..90).filter(|i| i % 3 != 0).collect();
    let own = seen.iter().filter(|i| Some(guesses[**i].text()) == data.label(**i)).count() as f64;
    close(&found, "label", &[own / seen.len() as f64]);
    assert!(found.notes.iter().any(|n| n == "30 images without an answer are left out"), "{:?}", found.notes);
    let strange = MultiLabelAccuracy::new().answers(Answers::Lists(vec![vec!["zebra".into()]; 90]));
    let error = strange.run(&Subject::Model(net), &Input::Data(data), &job).unwrap_err().to_string();
    assert!(error.contains("no class `zebra`") && error.contains("the right classes of `shapes`"), "{error}");
}

/// Ten images, four errors: three on the four that have the first factor, one on the two that have the second.
#[test]
fn error_ratios_are_errors_with_a_factor_over_errors_on_all() {
    let mut text = String::from("image,truth,prediction,pose,darker,never,size\n");
    for (i, (right, pose, darker)) in
        [(0, 1, 0), (0, 1, 0), (0, 1, 1), (1, 1, 1), (0, 0, 0)].into_iter().chain([(1, 0, 0); 5]).enumerate()
    {
        writeln!(text, "{i}.jpg,cat,{},{pose},{darker},0,{i}", if right == 1 { "cat" } else { "dog" }).unwrap();
    }
    let told = read("told", &text);
    let data = told.data.clone();
    let found = ask(&AccuracyByFactor::new(), vec![told.clone()], &data).unwrap();
    close(&found, "overall", &[0.4]);
    close(&found, "counts", &[4.0, 2.0]);
    close(&found, "error", &[0.75, 0.5]);
    close(&found, "ratio", &[0.75 / 0.4, 0.5 / 0.4]);
    let names: Vec<String> = table(&found, "error ratios").column("factor").unwrap().iter().map(|c| c.text()).collect();
    assert_eq!(names, ["pose", "darker"], "an attribute that nothing has is no factor, one of other values neither");
    // A quantity above a limit: images 3 to 9, of which one is wrong.
    let limits = Factors::Above([("size".to_string(), 2.0)].into());
    let found = ask(&AccuracyByFactor::new().factors(limits), vec![told.clone()], &data).unwrap();
    close(&found, "error", &[1.0 / 7.0]);
    let strange = AccuracyByFactor::new().factors(Factors::Names(vec!["pos".into()]));
    let error = ask(&strange, vec![told.clone()], &data).unwrap_err();
    assert!(error.message.contains("no factor `pos`") && error.hint.unwrap().contains("did you mean `pose`"));
    let bare = Dataset::new("bare", vec![Item::file("0.jpg")]);
    let error = ask(&AccuracyByFactor::new(), vec![told], &bare).unwrap_err();
    assert!(error.message.contains("`bare` has no factor") && error.hint.unwrap().contains("imagenet_x"));
}

#[test]
fn any_of_several_answers_is_right() {
    let text = "image,truth,prediction,answers\na.jpg,cat,dog,cat;dog\nb.jpg,cat,cat,dog\nc.jpg,dog,dog,dog;cow\n\
                d.jpg,cow,cat,\ne.jpg,,cow,cow\n";
    let told = read("told", text);
    let data = told.data.clone();
    let lists: Vec<Vec<String>> = [vec!["cat", "dog"], vec!["dog"], vec!["dog", "cow"], vec![], vec!["cow"]]
        .map(|list| list.into_iter().map(str::to_string).collect())
        .to_vec();
    for probe in [MultiLabelAccuracy::new(), MultiLabelAccuracy::new().answers(Answers::Lists(lists.clone()))] {
        let found = ask(&probe, vec![told.clone()], &data).unwrap();
        close(&found, "label", &[2.0 / 3.0]);
        close(&found, "answers", &[3.0 / 4.0]);
        close(&found, "forgiven", &[1.0]);
        for said in ["1 images without an answer are left out", "1 images without a label count for answers only"] {
            assert!(found.notes.iter().any(|n| n == said), "{:?}", found.notes);
        }
        assert!(found.notes.iter().any(|n| n == "2 of 4 images have several answers"), "{:?}", found.notes);
    }
    let set = |value: &Value| MultiLabelAccuracy::new().set("answers", value);
    assert!(set(&Value::Float(3.0)).unwrap_err().to_string().contains("a list of lists of classes"));
    let few = MultiLabelAccuracy::new().answers(Answers::Lists(lists[..2].to_vec()));
    let error = ask(&few, vec![told.clone()], &data).unwrap_err().to_string();
    assert!(error.contains("2 lists of answers for 5 images"), "{error}");
    let bare = Dataset::new("bare", vec![Item::file("a.jpg")]);
    let error = ask(&MultiLabelAccuracy::new(), vec![told], &bare).unwrap_err();
    assert!(error.message.contains("have no attribute `answers`") && error.hint.unwrap().contains("real.json"));
}

/// Both right on 2, only one on 1 and 3, nobody on 5; image 4 is one person's alone.
#[test]
fn people_together_are_right_where_any_of_them_is() {
    let data = shapes(&Shapes { n: 8, seed: 3, ..Shapes::new() }).unwrap();
    let row = |who: &str, i: usize, right: bool| -> BTreeMap<String, Value> {
        let label = data.label(i).unwrap();
        let other = data.labels().into_iter().find(|l| *l != label).unwrap();
        let text = |t: &str| Value::Text(t.to_string());
        let guess = Value::List(vec![text(if right { &label } else { &other })]);
        let of = [("labeller", text(who)), ("image", text(&format!("shapes/{i}"))), ("guesses", guess)];
        of.map(|(name, value)| (name.to_string(), value)).into()
    };
    let said = [("ann", [(1, true), (2, true), (3, false), (4, true), (5, false)].to_vec())];
    let said = said.into_iter().chain([("bob", [(1, false), (2, true), (3, true), (5, false)].to_vec())]);
    let rows: Vec<_> = said.flat_map(|(who, all)| all.into_iter().map(move |(i, right)| (who, i, right))).collect();
    let labels = |rows: &[(&str, usize, bool)]| {
        TrialSource::Rows(rows.iter().map(|(who, i, right)| row(who, *i, *right)).collect())
    };
    let ask = |labels: TrialSource| {
        let probe = CompareWithHumans::new().labels(labels).gallery(0usize);
        probe.run(&Subject::Model(load().unwrap()), &Input::Data(data.clone()), &Job::new()).unwrap()
    };
    let found = ask(labels(&rows));
    close(&found, "together", &[0.75, 0.75]);
    let told = table(&found, "people together");
    let names: Vec<String> = told.column("subject").unwrap().iter().map(|c| c.text()).collect();
    assert_eq!(names[..3], ["any of 2 people", "ann", "bob"]);
    assert_eq!(column(told, "images")[..3], [4.0, 4.0, 4.0]);
    assert_eq!(column(told, "top1")[..3], [0.75, 0.5, 0.5]);
    // One person alone is nobody's company.
    assert!(ask(labels(&rows[..5])).array_named("together").is_err());
}
