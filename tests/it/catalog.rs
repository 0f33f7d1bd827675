//! What holds for every probe in the catalog: it is listed, documented and sourced, its example runs on the embedded net,
//! wrong options and subjects are errors that say what to do, and the number of threads changes no bit.
#![allow(clippy::unwrap_used)]

use crate::{each, shown};
use convscope_dsl::{Session, Shown, Silent};
use convscope_engine::Job;
use convscope_engine::data::Dataset;
use convscope_engine::error::Kind;
use convscope_engine::params::Value;
use convscope_engine::probe::{Entry, Family};
use convscope_engine::probes::catalog;
use convscope_engine::show::figure::page;
use convscope_engine::show::scene::{Letters, SceneItem};
use convscope_engine::show::{Look, alt, to_html};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The embedded net, and the small ones of the gallery for probes that need a detector or a transformer.
const AT_HAND: &str = r#"
let net = load_model("shapes"); let data = shapes(#{ n: 20, seed: 11 }); let image = data[4];
let detector = load_model("scripts/nets/detector.onnx", #{ resize: "direct", boxes: #{ like: "fastestdet", score: 0.01 } });
let vit = load_model("scripts/nets/vit.onnx", #{ resize: "direct" });
"#;

fn examples() -> Vec<&'static str> {
    catalog().iter().map(|e| e.default_probe().about().example).collect()
}

/// A script that shows every probe's example.
pub fn script() -> String {
    // The nets beside the scripts are named from here, not from the script's own folder.
    let at_hand = AT_HAND.replace("\"scripts/", &format!("\"{}/scripts/", env!("CARGO_MANIFEST_DIR")));
    examples().iter().fold(at_hand, |script, example| format!("{script}show({example});\n"))
}

#[test]
fn every_probe_is_listed() {
    let listed: BTreeSet<String> = catalog().iter().map(|e| e.name().to_string()).collect();
    assert_eq!(listed.len(), catalog().len(), "a name stands twice");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/src/probes");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let probes = source.matches("impl Probe for ").count();
            for line in source.lines().filter(|l| l.trim_start().starts_with("pub struct ") && l.contains(" as \"")) {
                let name = line.split('"').nth(1).unwrap();
                assert!(probes == 0 || listed.contains(name), "`{name}` in {} is not in the catalog", path.display());
            }
        }
    }
}

#[test]
fn every_probe_says_what_it_is() {
    for entry in catalog() {
        let probe = entry.default_probe();
        let (name, about) = (probe.name(), probe.about());
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert!(probe.doc().trim().len() > 20, "`{name}` has no doc");
        for (what, text) in [("source", about.source), ("subjects", about.subjects), ("example", about.example)] {
            assert!(!text.trim().is_empty(), "`{name}` has no {what}");
        }
        assert!(about.example.contains(name), "the example of `{name}` does not use it");
        for option in probe.specs() {
            assert!(!option.doc.trim().is_empty(), "option `{}` of `{name}` has no doc", option.name);
            assert!(!option.form.words.is_empty(), "option `{}` of `{name}` takes nothing", option.name);
        }
    }
}

#[test]
fn every_default_lies_within_its_range() {
    for entry in catalog() {
        let mut probe = entry.default_probe();
        for option in entry.default_probe().specs() {
            let kept = probe.set(option.name, &option.default);
            assert!(kept.is_ok(), "`{}`: {}", probe.name(), kept.unwrap_err());
        }
    }
}

#[test]
fn every_example_runs() {
    each::passes(
        &examples(),
        |example| example.to_string(),
        |example| {
            let mut session = Session::new(Job::new(), Arc::new(Silent));
            assert!(session.run_cell(AT_HAND).error.is_none());
            let result = session.run_cell(example);
            assert!(result.error.is_none(), "{}", result.error.unwrap());
            assert!(result.value.is_some(), "it is worth nothing");
        },
    );
}

/// At the widths of a screen, a narrow cell of a notebook and a paper's column: every text lies on the page, none on another,
/// and there is an alternative text.
#[test]
fn every_figure_is_legible() {
    each::passes(
        &examples(),
        |example| example.to_string(),
        |example| {
            let mut session = Session::new(Job::new(), Arc::new(Silent));
            assert!(session.run_cell(AT_HAND).error.is_none());
            let Some(Shown::Artifact(artifact)) = session.run_cell(example).value else { return };
            let looks = [None, Some(648.0), Some(420.0), Some(312.0)];
            for look in looks.map(|width| Look { width, ..Look::default() }) {
                let scene = page(&(*artifact).clone().with_look(look)).unwrap();
                let texts: Vec<&Letters> = scene
                    .items
                    .iter()
                    .filter_map(|i| if let SceneItem::Letters(l) = i { Some(l) } else { None })
                    .collect();
                let at =
                    |l: &Letters| format!("\"{}\" at {:?}, {} x {} px", l.text, l.bounds(), scene.width, scene.height);
                for (i, a) in texts.iter().enumerate() {
                    let [left, top, right, bottom] = a.bounds();
                    let inside =
                        left >= -1.0 && top >= -1.0 && right <= scene.width + 1.0 && bottom <= scene.height + 1.0;
                    assert!(inside, "{} leaves the page", at(a));
                    assert!(a.size >= 8.0, "{} is too small", at(a));
                    let upright = |l: &Letters| l.turn % 90.0 == 0.0;
                    for b in texts[..i].iter().filter(|b| upright(a) && upright(b)) {
                        let [l, t, r, b_] = b.bounds();
                        let apart = right <= l + 1.0 || r <= left + 1.0 || bottom <= t + 1.0 || b_ <= top + 1.0;
                        assert!(apart, "{} lies on {}", at(a), at(b));
                    }
                }
            }
            if artifact.is_drawn() {
                let said = alt(&artifact);
                assert!(said.len() > 30 && said.chars().any(|c| c.is_ascii_digit()), "{said}");
                let html = to_html(&artifact).unwrap();
                for part in html.split("<figure>").skip(1) {
                    let text = part.split("<img").nth(1).and_then(|i| i.split("alt=\"").nth(1)).unwrap();
                    assert!(
                        text.split('"').next().unwrap().len() > 8,
                        "a picture without a text: {}",
                        &text[..text.len().min(60)]
                    );
                }
            }
        },
    );
}

#[test]
fn unknown_options_are_named_with_what_was_meant() {
    for entry in catalog() {
        let name = entry.name();
        let wrong = |option: &str| {
            let map: BTreeMap<String, Value> = [(option.to_string(), Value::Int(1))].into();
            entry.build(&[], &map).unwrap_err()
        };
        let error = wrong("no_such_option");
        assert_eq!(error.kind, Kind::NotFound, "{name}: {error}");
        assert!(error.message.contains(name) && error.hint.is_some(), "{error}");
        if let Some(option) = entry.default_probe().specs().iter().find(|s| s.name.len() > 3) {
            let hint = wrong(&format!("{}x", option.name)).hint.unwrap();
            assert!(hint.contains(&format!("did you mean `{}`", option.name)), "{name}: {hint}");
        }
    }
}

#[test]
fn values_of_the_wrong_kind_are_errors() {
    let data = Dataset::from_images("none", []);
    let kinds = [Value::Map(BTreeMap::new()), Value::Data(data), Value::Bool(true), Value::Text("?".into())];
    for entry in catalog() {
        for option in entry.default_probe().specs() {
            let refusals = kinds.iter().filter_map(|kind| {
                let map: BTreeMap<String, Value> = [(option.name.to_string(), kind.clone())].into();
                entry.build(&[], &map).err()
            });
            let refusals: Vec<_> = refusals.collect();
            assert!(refusals.len() > 1, "option `{}` of `{}` takes anything", option.name, entry.name());
            for error in refusals {
                assert!(error.message.contains(option.name), "{}: {error}", entry.name());
            }
        }
    }
}

#[test]
fn wrong_subjects_and_inputs_are_errors_and_no_defects() {
    let subjects = [
        "net",
        "net.class(0)",
        "net.layers[0]",
        "net.layer(\"conv2\")",
        "net.layer(\"conv2\").channel(1)",
        "net.layer(\"conv1\").unit(0, 0, 0)",
        "net.layer(\"conv2\").random_direction(1)",
        "net.class(0) - net.class(1)",
        "[net, net]",
    ];
    let inputs =
        ["", ", image", ", data.take(2)", ", zeros([3, 64, 64])", ", zeros([1, 2])", ", zeros([2, 3, 64, 64])"];
    each::passes(
        &examples(),
        |example| example.to_string(),
        |example| {
            let Some((probe, _)) = example.rsplit_once(".run(") else { panic!("`{example}` runs nothing") };
            let mut session = Session::new(Job::new(), Arc::new(Silent));
            session.run_cell(AT_HAND);
            session.run_cell(&format!("let probe = {probe};"));
            for subject in subjects {
                for input in inputs {
                    // Whole data sets with every subject take long where they work; that they work is for the examples to show.
                    let line = format!("probe.run({subject}{input})");
                    if let Some(error) = session.run_cell(&line).error {
                        assert_ne!(error.kind, Kind::Internal, "`{line}`: {error}");
                    }
                }
            }
        },
    );
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (one, three) = (shown::arrays(&script(), "1", None), shown::arrays(&script(), "3", None));
    assert!(one.len() >= catalog().len());
    for (a, b) in one.iter().zip(&three) {
        assert_eq!(a, b);
    }
}

#[test]
fn readme_lists_the_catalog() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for family in Family::ALL {
        let of = |e: &Entry| e.default_probe().about().family == family;
        let names: Vec<String> = catalog().iter().filter(|e| of(e)).map(|e| format!("`{}`", e.name())).collect();
        let row = format!("| {} | {} |", family.title(), names.join(", "));
        assert!(readme.contains(&row), "README.md lacks the row\n{row}");
    }
}
