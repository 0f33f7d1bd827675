//! The canon's scripts on the embedded net: every paper gives a report with its table of numbers; what is missing is named.
#![allow(clippy::unwrap_used)]

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
