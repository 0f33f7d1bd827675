//! Predictions in a file say what the net that made them says; calibration against its formula.
#![allow(clippy::unwrap_used)]

use crate::builders::array;
use convscope_engine::data::{Dataset, Item};
use convscope_engine::humans::classes::ClassList;
use convscope_engine::humans::trials::TrialSource;
use convscope_engine::inspect::{Evaluate as _, EvaluatePredictions as _};
use convscope_engine::params::Value;
use convscope_engine::predictions::Predictions;
use convscope_engine::probe::Probe;
use convscope_engine::probes::attribution::gradient::Gradient;
use convscope_engine::probes::measure::accuracy_by_attribute::AccuracyByAttribute;
use convscope_engine::probes::measure::calibration::Calibration;
use convscope_engine::probes::people::compare_with_humans::CompareWithHumans;
use convscope_engine::probes::people::shape_bias::ShapeBias;
use convscope_engine::shapes::net::load;
use convscope_engine::shapes::{Shapes, shapes};
use convscope_engine::{Artifact, Input, Job, Subject};
use std::collections::BTreeMap;
use std::fmt::Write as _;

fn data() -> Dataset {
    shapes(&Shapes { n: 60, seed: 41, ..Shapes::new() }).unwrap()
}

fn read(text: &str) -> Predictions {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shapes.csv");
    std::fs::write(&path, text).unwrap();
    Predictions::read(&path, None).unwrap()
}

/// What the embedded net says of the images, its five best guesses each.
fn written(truth: bool) -> Predictions {
    let (net, data) = (load().unwrap(), data());
    let (all, _) = net.probabilities_of(&data, &Job::new()).unwrap();
    let mut text =
        String::from(if truth { "image,truth,prediction,probability\n" } else { "image,prediction,probability\n" });
    for (i, probabilities) in all.iter().enumerate() {
        let probabilities = probabilities.as_ref().unwrap();
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        let list = |f: &dyn Fn(usize) -> String| order[..5].iter().map(|c| f(*c)).collect::<Vec<_>>().join(";");
        let truth = if truth { format!("{},", data.label(i).unwrap()) } else { String::new() };
        let (names, sure) = (list(&|c| net.card().class_name(c)), list(&|c| probabilities[c].to_string()));
        writeln!(text, "shapes/{i},{truth}{names},{sure}").unwrap();
    }
    read(&text)
}

#[test]
fn a_file_of_a_net_s_predictions_says_what_the_net_says() {
    let (net, data, job) = (load().unwrap(), data(), Job::new());
    let by_net = net.accuracy(&data, &job).unwrap();
    for (told, given) in [(written(true), None), (written(false), Some(&data))] {
        let by_file = told.accuracy(given).unwrap();
        for name in ["top1", "top5", "top1_low", "top5_high", "images"] {
            assert_eq!(array(&by_file, name), array(&by_net, name), "{name}");
        }
        // Classes of a file are in their names' order, those of a net in that of its outputs.
        let sorted = |a: &Artifact| {
            let mut all = array(a, "counts");
            all.sort_by(f64::total_cmp);
            all
        };
        assert_eq!(sorted(&told.confusion(given).unwrap()), sorted(&net.confusion(&data, &job).unwrap()));
    }
    let (on, input) = (Subject::Model(net), Input::Data(data));
    let told = Subject::Predictions(vec![written(false)]);
    let by = AccuracyByAttribute::new().by("scale".to_string());
    for name in ["accuracy", "low", "high", "counts", "p"] {
        let (a, b) = (by.run(&told, &input, &job).unwrap(), by.run(&on, &input, &job).unwrap());
        let (a, b) = (array(&a, name), array(&b, name));
        assert!(a.iter().zip(&b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan())), "{name}: {a:?} {b:?}");
    }
    let probe = Calibration::new().bins(8usize);
    let (a, b) = (probe.run(&told, &input, &job).unwrap(), probe.run(&on, &input, &job).unwrap());
    for name in ["ece", "mce", "brier", "counts"] {
        let apart = array(&a, name).iter().zip(array(&b, name)).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-6, "{name}: {apart}");
    }
    let labels = TrialSource::Rows(vec![row("shapes/3", "star"), row("shapes/8", "ring")]);
    let people = CompareWithHumans::new().labels(labels).gallery(0usize);
    let classes: Vec<String> = load().unwrap().card().classes.iter().map(|c| c.name.clone()).collect();
    let people = people.classes(ClassList::Names(classes));
    let (a, b) = (people.run(&told, &input, &job).unwrap(), people.run(&on, &input, &job).unwrap());
    assert_eq!(array(&a, "top1"), array(&b, "top1"));
}

fn row(image: &str, guess: &str) -> BTreeMap<String, Value> {
    let text = |t: &str| Value::Text(t.to_string());
    [
        ("labeller".to_string(), text("ann")),
        ("image".to_string(), text(image)),
        ("guesses".to_string(), Value::List(vec![text(guess)])),
    ]
    .into()
}

/// By hand: two bins; (.2, wrong), (.4, right) below, (.6, right), (.8, right), (1, wrong) above.
#[test]
fn calibration_is_its_formula() {
    let text = "image,truth,prediction,probability\na,x,y,0.2\nb,x,x,0.4\nc,x,x,0.6\nd,x,x,0.8\ne,x,y,1\n";
    let told = read(text);
    let data = Input::Data(told.data.clone());
    let found = Calibration::new().bins(2usize).run(&Subject::Predictions(vec![told]), &data, &Job::new()).unwrap();
    let below: f64 = 0.5 - 0.3;
    let above: f64 = (2.0 / 3.0 - 0.8f64).abs();
    let close = |name: &str, want: f64| {
        let got = array(&found, name)[0];
        assert!((got - want).abs() < 1e-6, "{name}: {got} for {want}");
    };
    close("ece", 0.4 * below + 0.6 * above);
    close("mce", below.max(above));
    close("brier", (0.04 + 0.36 + 0.16 + 0.04 + 1.0) / 5.0);
    assert_eq!(array(&found, "counts"), [2.0, 3.0]);
}

/// Decisions for the shape, for the texture, for neither, and none: a shape bias of a half.
#[test]
fn predictions_decide_between_shape_and_texture_without_an_image() {
    let text = "image,prediction\nstar1-ring1.png,star\nring2-star2.png,star\nheart1-star3.png,circle\n";
    let names = ["star1-ring1.png", "ring2-star2.png", "heart1-star3.png", "ring3-heart2.png", "star4-star5.png"];
    let data = Dataset::new("cues", names.iter().map(|n| Item::file(format!("f/{n}"))).collect());
    let classes = ["star", "ring", "heart", "circle"].map(str::to_string).to_vec();
    let probe = ShapeBias::new().classes(ClassList::Names(classes));
    let told = Subject::Predictions(vec![read(text)]);
    let found = probe.run(&told, &Input::Data(data.clone()), &Job::new()).unwrap();
    assert_eq!(array(&found, "bias"), [0.5]);
    assert!(found.notes.iter().any(|n| n.contains("2 of 5 images have no prediction")), "{:?}", found.notes);
    let strange = Subject::Predictions(vec![read("image,prediction\nstar1-ring1.png,zebra\n")]);
    let error = probe.run(&strange, &Input::Data(data), &Job::new()).unwrap_err().to_string();
    assert!(error.contains("a prediction of `shapes`") && error.contains("no class `zebra`"), "{error}");
}

#[test]
fn predictions_that_do_not_fit_are_refused() {
    let job = Job::new();
    let told = Subject::Predictions(vec![read("image,prediction\nshapes/1,star\nshapes/2,ring\n")]);
    let input = Input::Data(data());
    let error = Calibration::new().run(&told, &input, &job).unwrap_err().to_string();
    assert!(error.contains("no image with a truth and a probability"), "{error}");
    let error = AccuracyByAttribute::new().top(5usize).run(&told, &input, &job).unwrap_err().to_string();
    assert!(error.contains("at most 1 guesses an image, `top` is 5"), "{error}");
    let strange = Subject::Predictions(vec![read("image,prediction\nshapes/1,n01440764\nshapes/2,n01443537\n")]);
    let error = AccuracyByAttribute::new().run(&strange, &input, &job).unwrap_err().to_string();
    assert!(error.contains("none of the 2 classes that `shapes` predicts"), "{error}");
    let other = Subject::Predictions(vec![read("image,prediction\nx.jpg,star\n")]);
    let error = AccuracyByAttribute::new().run(&other, &input, &job).unwrap_err().to_string();
    assert!(error.contains("is about an image of `shapes`"), "{error}");
    let error = Gradient::new().run(&told, &input, &job);
    assert!(error.unwrap_err().to_string().contains("predictions, without a net"));
}
