//! Images that cannot be read: whatever goes over data leaves them out, counts each of them once and says which, and why.
#![allow(clippy::unwrap_used)]

use crate::each;
use convscope_dsl::{Session, Shown, Silent};
use convscope_engine::Job;
use convscope_engine::data::Image;
use convscope_engine::data::image::Attribute;
use convscope_engine::probes::catalog;
use convscope_engine::shapes::{ShapeClass, Shapes, shapes};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// A table of generated images with all that is known of them; a JPEG that was cut off, an empty file and a text stand among
/// the first of them.
fn table(folder: &Path, name: &str, options: &Shapes) {
    let data = shapes(options).unwrap();
    let sub = folder.join(name);
    std::fs::create_dir_all(&sub).unwrap();
    let first = data.get(0).unwrap();
    let bytes = first.encode_jpeg(90).unwrap();
    std::fs::write(sub.join("cut.jpg"), &bytes[..bytes.len() / 3]).unwrap();
    std::fs::write(sub.join("empty.png"), b"").unwrap();
    std::fs::write(sub.join("text.jpg"), b"this is no image\n").unwrap();
    let names: Vec<String> = first.attributes().keys().cloned().collect();
    let mut csv = format!("path,label,box,mask,keypoints,{}\n", names.join(","));
    let mut row = |file: &str, mask: &str, image: &Image| {
        let b = image.bounding_box().unwrap();
        let points: Vec<String> = image.keypoints().iter().map(|(k, (x, y))| format!("{k} {x} {y}")).collect();
        let value = |k: &String| match &image.attributes()[k] {
            Attribute::Number(v) => v.to_string(),
            Attribute::Text(t) => t.clone(),
        };
        let values: Vec<String> = names.iter().map(value).collect();
        let (label, points, values) = (image.label().unwrap(), points.join(";"), values.join(","));
        let place = format!("{} {} {} {}", b.left, b.top, b.width, b.height);
        writeln!(csv, "{name}/{file},{label},{place},{name}/{mask},{points},{values}").unwrap();
    };
    for (i, image) in data.iter().enumerate() {
        let image = image.unwrap();
        let pixels = image.mask().unwrap().values.iter().flat_map(|v| [255 * u8::from(*v > 0); 3]).collect();
        let mask = format!("m{i}.png");
        Image::new(image.width(), image.height(), pixels).unwrap().save_png(sub.join(&mask)).unwrap();
        image.save_png(sub.join(format!("{i}.png"))).unwrap();
        for (at, file) in [(0, "cut.jpg"), (1, "empty.png"), (3, "text.jpg")] {
            if at == i {
                row(file, &mask, &image);
            }
        }
        row(&format!("{i}.png"), &mask, &image);
    }
    std::fs::write(folder.join(format!("{name}.csv")), csv).unwrap();
}

/// How many images a result's notes say were skipped; each must be named once.
fn skipped(notes: &[String]) -> Option<usize> {
    let note = notes.iter().find(|n| n.contains("could not be read"))?;
    for file in ["cut.jpg", "empty.png", "text.jpg"] {
        assert!(note.matches(file).count() <= 1, "{note}");
    }
    assert!(note.contains("cut.jpg") && !note.contains('\n'), "{note}");
    let words: Vec<&str> = note.split_whitespace().collect();
    words.windows(2).find(|w| w[1].starts_with("image")).and_then(|w| w[0].parse().ok())
}

#[test]
fn every_probe_over_data_leaves_out_what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path(), "some", &Shapes::new().n(20usize).seed(11u64));
    table(folder.path(), "arrows", &Shapes::new().n(8usize).seed(2u64).classes(vec![ShapeClass::Arrow]));
    let at_hand = format!(
        "let net = load_model(\"shapes\"); let data = load_images(\"{0}/some.csv\"); let image = data[1]; \
         let arrows = load_images(\"{0}/arrows.csv\");",
        folder.path().display()
    );
    let run = |code: &str| {
        let mut session = Session::new(Job::new(), Arc::new(Silent));
        let prepared = session.run_cell(&at_hand);
        assert!(prepared.error.is_none(), "{}", prepared.error.unwrap());
        let result = session.run_cell(code);
        assert!(result.error.is_none(), "{}", result.error.unwrap());
        match result.value {
            Some(Shown::Artifact(artifact)) => artifact.notes.clone(),
            _ => panic!("no artifact"),
        }
    };
    let example = |e: &convscope_engine::probe::Entry| {
        let example = e.default_probe().about().example;
        let arrows = example.replace("shapes(#{ n: 8, classes: [\"arrow\"] })", "arrows");
        let label = |image: &str| format!("#{{ labeller: \"ann\", image: \"{image}\", guesses: [\"star\"] }}");
        arrows.replace(&label("shapes/4"), &format!("{}, {}", label("4.png"), label("cut.jpg")))
    };
    let over_data = |code: &String| (code.contains("data") || code.contains("arrows")) && !code.contains("data[");
    let mut asked: Vec<String> = catalog().iter().map(example).filter(over_data).collect();
    assert!(asked.len() > 20, "{} examples", asked.len());
    // What goes over data without being a probe, and probes of one image asked of each.
    let more = ["net.accuracy(data)", "net.confusion(data)", "gradient().run(net, data)", "fgsm().run(net, data)"];
    asked.extend(more.map(String::from));
    each::passes(
        &asked,
        |code| code.clone(),
        |code| {
            let notes = run(code);
            let n = skipped(&notes);
            assert!(n.is_some_and(|n| (1..=3).contains(&n)), "{n:?}: {notes:?}");
        },
    );
}
