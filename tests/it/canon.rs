//! The canon's scripts on the embedded net: every paper gives a report with its table of numbers; what is missing is named.
#![allow(clippy::unwrap_used)]

use convscope::shapes::{Shapes, shapes};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

fn canon(out: &Path, more: &[&str]) -> Output {
    let small = ["--images", "8", "--steps", "6", "--quiet", "--out"];
    Command::new(env!("CARGO_BIN_EXE_convscope")).arg("canon").args(small).arg(out).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows of a table of numbers, by its header's names.
fn numbers(file: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_string).collect();
    assert_eq!(header, ["where", "what", "paper", "ours", "low", "high", "why they differ"]);
    reader.records().map(|r| r.unwrap().iter().map(str::to_string).collect()).collect()
}

#[test]
fn every_paper_gives_a_report_with_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let output = canon(folder.path(), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let index = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    let papers =
        ["zeiler", "simonyan", "szegedy", "girshick", "russakovsky", "mahendran", "long", "nguyen", "goodfellow"];
    for paper in papers {
        let place = folder.path().join(paper);
        assert!(index.contains(&format!("href=\"{paper}/report.html\"")), "{index}");
        let report = std::fs::read_to_string(place.join("report.html")).unwrap();
        assert!(report.contains("numbers beside ours") && !report.contains("src=\"http"), "{paper}");
        let rows = numbers(&place.join("numbers.csv"));
        assert!(!rows.is_empty(), "{paper} has no number");
        let missing = rows.iter().filter(|r| r[6].starts_with("not made: ")).count();
        let told = format!("{} numbers are made, {missing} lack something", rows.len() - missing);
        assert!(index.contains(&told), "{paper}: {told}");
        for row in rows {
            // A number of ours, or the paper's alone, or a reason why there is none.
            let has = !row[3].is_empty() || !row[2].is_empty();
            assert!(has || row[6].starts_with("not made: "), "{paper}: {row:?}");
            assert!(!row[6].is_empty(), "{paper} does not say why numbers differ: {row:?}");
        }
    }
}

#[test]
fn a_paper_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let output = canon(folder.path(), &["--paper", "zieler"]);
    assert!(!output.status.success());
    let text = said(&output);
    assert!(text.contains("no paper `zieler`") && text.contains("did you mean `zeiler`"), "{text}");
}

/// The net and the images of a folder of one's own, given by paths from where one stands.
#[test]
fn one_s_own_images_are_asked_about_and_what_they_lack_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("photos");
    for label in ["circle", "star"] {
        std::fs::create_dir_all(images.join(label)).unwrap();
        for i in 0..4u8 {
            let picture = convscope::data::Image::filled(70, 64, [30 * i, 200, 90]).unwrap();
            std::fs::write(images.join(label).join(format!("{i}.png")), picture.encode_png().unwrap()).unwrap();
        }
    }
    let out = folder.path().join("out");
    let output = canon(&out, &["--paper", "simonyan", "--data", images.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let rows = numbers(&out.join("simonyan/numbers.csv"));
    let missing = rows.iter().find(|r| r[1] == "localisation").unwrap();
    assert!(missing[6].contains("needs images with boxes") && missing[6].contains("has a box"), "{missing:?}");
}

/// Sixteen generated images in folders of their classes, and files that say more of them: a class's property, two answers an image,
/// regions, and two people, of whom one is always right.
fn photos(folder: &Path) {
    let data = shapes(&Shapes { n: 16, seed: 3, ..Shapes::new() }).unwrap();
    let mut answers = serde_json::Map::new();
    let (mut people, mut regions) = (String::new(), String::from("image,x1,y1,x2,y2,score\n"));
    for i in 0..16 {
        let (image, label) = (data.get(i).unwrap(), data.label(i).unwrap());
        let place = folder.join("photos").join(&label);
        std::fs::create_dir_all(&place).unwrap();
        image.save_png(place.join(format!("{i:02}.png"))).unwrap();
        let name = format!("{label}/{i:02}.png");
        let wrong = if label == "star" { "ring" } else { "star" };
        answers.insert(name.clone(), serde_json::json!([label, wrong]));
        for (who, guess) in [("ann", label.as_str()), ("bob", wrong)] {
            let answer = serde_json::json!({"kind": "answer", "id": format!("{who}-{i:05}"), "labeller": who, "image": name,
                "guesses": [guess], "skipped": false, "time_s": 2.0, "training": false, "at": 1.0});
            writeln!(people, "{answer}").unwrap();
        }
        writeln!(regions, "{name},8,8,56,56,{i}").unwrap();
    }
    let mut classes = String::from("class,letters\n");
    data.labels().iter().for_each(|label| writeln!(classes, "{label},{}", label.len()).unwrap());
    let files = [("classes.csv", classes), ("labels.jsonl", people), ("regions.csv", regions)];
    for (name, text) in files.into_iter().chain([("answers.json", serde_json::Value::from(answers).to_string())]) {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn files_that_say_more_of_the_images_fill_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let (out, file) = (folder.path().join("out"), |name: &str| folder.path().join(name).display().to_string());
    let with = |name: &str, of: &str| ["--with".to_string(), format!("{name}={}", file(of))];
    let run = |paper: &str, more: &[[String; 2]]| {
        let mut args = vec!["--paper".to_string(), paper.to_string(), "--data".into(), file("photos")];
        args.extend(more.iter().flatten().cloned());
        let output = canon(&out, &args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{}", said(&output));
        numbers(&out.join(paper).join("numbers.csv"))
    };
    let more = [with("classes", "classes.csv"), with("answers", "answers.json"), with("labels", "labels.jsonl")];
    let rows = run("russakovsky", &more);
    let ours = |what: &str| {
        let found = rows.iter().find(|r| r[1].contains(what)).unwrap_or_else(|| panic!("no row `{what}`: {rows:?}"));
        found[3].clone()
    };
    assert_eq!([ours("error of ann"), ours("error of bob"), ours("where nobody is right")], ["0", "1", "0"]);
    assert!(!ours("best net of each class").is_empty());
    assert!(rows.iter().any(|r| r[1].contains("another right answer excuses")));
    let missing: Vec<&String> = rows.iter().filter(|r| r[6].starts_with("not made")).map(|r| &r[1]).collect();
    assert!(missing.iter().all(|what| what.contains("scale")), "{missing:?}");
    let report = std::fs::read_to_string(out.join("russakovsky/report.html")).unwrap();
    assert!(report.contains("accuracy of classes by letters") && report.contains("people together"));

    let rows = run("girshick", &[with("proposals", "regions.csv")]);
    let regions = rows.iter().find(|r| r[1] == "regions looked through").unwrap();
    assert_eq!((&regions[2][..], &regions[3][..]), ("10000000", "16"));
}

#[test]
fn files_that_are_none_are_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let output = canon(folder.path(), args);
        assert!(!output.status.success());
        said(&output)
    };
    let here = folder.path().to_str().unwrap();
    let text = refused(&["--data", here, "--with", "clases=a.csv"]);
    assert!(text.contains("no file `clases` is known") && text.contains("did you mean `classes`"), "{text}");
    assert!(refused(&["--data", here, "--with", "classes=nowhere.csv"]).contains("there is no file `nowhere.csv`"));
    assert!(refused(&["--data", here, "--with", "classes"]).contains("NAME=FILE"));
    assert!(refused(&["--with", "classes=Cargo.toml"]).contains("--data"));
}

#[test]
fn a_net_of_one_s_own_is_completed_as_explain_does_it() {
    let folder = tempfile::tempdir().unwrap();
    let zip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/meanings/meanings.zip");
    let mut zip = zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap();
    let [own, photos, out] = ["own.onnx", "photos", "out"].map(|name| folder.path().join(name));
    std::io::copy(&mut zip.by_name("axis_before_script.onnx").unwrap(), &mut std::fs::File::create(&own).unwrap())
        .unwrap();
    std::fs::create_dir(&photos).unwrap();
    let data = shapes(&Shapes { n: 6, seed: 3, ..Shapes::new() }).unwrap();
    for i in 0..6 {
        data.get(i).unwrap().save_png(photos.join(format!("{i}.png"))).unwrap();
    }
    let asked = ["--net", own.to_str().unwrap(), "--data", photos.to_str().unwrap(), "--paper", "girshick"];
    let output = canon(&out, &asked);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("the preset \"imagenet\" is assumed"), "{}", said(&output));
    let script = std::fs::read_to_string(out.join("girshick/girshick.rhai")).unwrap();
    assert!(script.contains("fn options() { #{ preset: \"imagenet\""), "{script}");
    // What is said is not assumed.
    let output = canon(&out, &[&asked[..], &["--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.2"]].concat());
    assert!(output.status.success() && !said(&output).contains("assumed"), "{}", said(&output));
    let script = std::fs::read_to_string(out.join("girshick/girshick.rhai")).unwrap();
    assert!(script.contains("mean: [0.5, 0.4, 0.3]"), "{script}");
    let output = canon(&out, &[&asked[..], &["--labels", "nowhere.txt"]].concat());
    assert!(!output.status.success() && said(&output).contains("nowhere.txt"), "{}", said(&output));
}
