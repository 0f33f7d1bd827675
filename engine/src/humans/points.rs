//! Named points that people click on images, and their table, which [`load_images`](crate::data::load_images) reads, for probes of
//! keypoints (Long, Zhang and Darrell 2014, section 5).

use super::{ImageIds, LogEntry, PointAnswer};
use crate::data::Dataset;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, absolute};

/// How many points an image may have.
const MAX_POINTS: usize = 64;

/// The names of points in a text, separated by commas. Repeated names are numbered: "eye, eye, nose" becomes "eye 1", "eye 2",
/// "nose".
///
/// # Errors
/// Where there are none or too many, or a name is empty or has a separator of tables in it.
pub fn names(text: &str) -> Result<Vec<String>> {
    let plain: Vec<String> = text.split(',').map(|n| n.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let wrong = |what: String| Error::value(what).hint("name the points between commas: --points eye,eye,nose");
    if plain.len() > MAX_POINTS {
        return Err(wrong(format!("{} points, at most {MAX_POINTS} are taken", plain.len())));
    }
    if plain.iter().any(String::is_empty) {
        return Err(wrong(format!("{text:?} holds a point without a name")));
    }
    if let Some(odd) =
        plain.iter().find(|n| n.contains([';', ':', '"']) || n.chars().any(char::is_control) || n.len() > 60)
    {
        return Err(wrong(format!("`{odd}` is no name of a point: it has at most 60 letters, no `;`, `:` or quote")));
    }
    let number = |(i, name): (usize, &String)| {
        let (before, all) = (&plain[..i], plain.iter().filter(|n| *n == name).count());
        match all {
            1 => name.clone(),
            _ => format!("{name} {}", before.iter().filter(|n| *n == name).count() + 1),
        }
    };
    let named: Vec<String> = plain.iter().enumerate().map(number).collect();
    match named.iter().collect::<BTreeSet<_>>().len() == named.len() {
        true => Ok(named),
        false => Err(wrong(format!("two points of {text:?} would be called the same"))),
    }
}

/// The valid answers: not undone, and of each person the last one for each image; in the log's order.
pub fn standing(entries: &[LogEntry]) -> Vec<&PointAnswer> {
    let undone = |e: &LogEntry| if let LogEntry::Undo { of, .. } = e { Some(of.clone()) } else { None };
    let undone: BTreeSet<String> = entries.iter().filter_map(undone).collect();
    let mut seen = BTreeSet::new();
    let mut answers: Vec<&PointAnswer> = entries
        .iter()
        .rev()
        .filter_map(|e| if let LogEntry::Points(a) = e { Some(a) } else { None })
        .filter(|a| !undone.contains(&a.id) && seen.insert((a.labeller.as_str(), a.image.as_str())))
        .collect();
    answers.reverse();
    answers
}

/// A table of the valid points, a row for each answered image of `data`, in the order of `data`: `path` (relative to the table's
/// folder where the image lies below it), `label` where images have labels, `keypoints`, `people` and `spread`. Of several people's
/// answers, a point is included if more than half of them see it, at the mean of their positions; `spread` is the largest distance
/// of a click from that mean, px.
///
/// # Errors
/// Where an image is not in a file.
pub fn table(
    data: &Dataset,
    ids: &ImageIds,
    names: &[String],
    answers: &[&PointAnswer],
    folder: &Path,
) -> Result<Vec<u8>> {
    let wrong = |e: &dyn std::fmt::Display| Error::internal(e.to_string());
    let folder = absolute(folder).map_err(|e| Error::io(folder, &e))?;
    let mut of_image: BTreeMap<usize, Vec<&PointAnswer>> = BTreeMap::new();
    for answer in answers.iter().filter(|a| !a.skipped) {
        if let Some(index) = ids.index(&answer.image) {
            of_image.entry(index).or_default().push(answer);
        }
    }
    let labelled = data.items().any(|item| item.label.is_some());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["path", "keypoints", "people", "spread"];
    if labelled {
        header.insert(1, "label");
    }
    writer.write_record(&header).map_err(|e| wrong(&e))?;
    for (index, answers) in of_image {
        let item = data.item(index)?;
        let path = item.path().ok_or_else(|| {
            Error::value(format!(
                "image {index} of `{}` is in no file of its own, so that no table can name it",
                data.name
            ))
            .hint("points are clicked on images in files: a folder, a pattern or a .csv table")
        })?;
        let whole = absolute(path).map_err(|e| Error::io(path, &e))?;
        let shown = whole.strip_prefix(&folder).unwrap_or(&whole).to_string_lossy().into_owned();
        let (points, spread) = agreed(names, &answers);
        let mut row = vec![shown, points, answers.len().to_string(), format!("{spread:.2}")];
        if labelled {
            row.insert(1, item.label.clone().unwrap_or_default());
        }
        writer.write_record(&row).map_err(|e| wrong(&e))?;
    }
    writer.into_inner().map_err(|e| wrong(&e))
}

/// The agreement of answers: the points in the form of a table, and the largest distance of a click from its mean, px.
fn agreed(names: &[String], answers: &[&PointAnswer]) -> (String, f64) {
    let (mut shown, mut spread) = (Vec::new(), 0.0f64);
    for name in names {
        let places: Vec<[f64; 2]> = answers.iter().filter_map(|a| a.points.get(name).copied().flatten()).collect();
        if 2 * places.len() <= answers.len() {
            continue;
        }
        let mean = [0, 1].map(|axis| places.iter().map(|p| p[axis]).sum::<f64>() / places.len() as f64);
        spread = places.iter().map(|p| libm::hypot(p[0] - mean[0], p[1] - mean[1])).fold(spread, f64::max);
        shown.push(format!("{name} {:.2} {:.2}", mean[0], mean[1]));
    }
    (shown.join("; "), spread)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::data::{Image, load_images};

    #[test]
    fn names_that_come_again_are_numbered() {
        assert_eq!(names("eye, eye,nose").unwrap(), ["eye 1", "eye 2", "nose"]);
        assert_eq!(names("left  eye").unwrap(), ["left eye"]);
        for wrong in ["", "eye,,nose", "a;b", "eye 1,eye,eye", "a\u{7}"] {
            assert!(names(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_table_is_read_as_a_data_set_with_points() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("photos")).unwrap();
        for name in ["a.png", "b, c.png", "d.png"] {
            Image::filled(40, 30, [9; 3]).unwrap().save_png(folder.path().join("photos").join(name)).unwrap();
        }
        let data = load_images(folder.path().join("photos")).unwrap();
        let ids = ImageIds::of(&data);
        let named = names("eye,eye,nose").unwrap();
        let answer = |id: &str, who: &str, image: &str, places: [Option<[f64; 2]>; 3]| PointAnswer {
            id: id.into(),
            labeller: who.into(),
            image: image.into(),
            points: named.iter().cloned().zip(places).collect(),
            skipped: false,
            time_s: None,
            at: 0.0,
        };
        let entries: Vec<LogEntry> = [
            answer("1", "ann", "a.png", [Some([1.0, 2.0]), None, Some([30.5, 20.25])]),
            answer("2", "bob", "a.png", [Some([3.0, 2.0]), Some([8.0, 8.0]), Some([30.5, 20.25])]),
            answer("3", "ann", "b, c.png", [Some([9.0, 9.0]), None, None]),
            answer("4", "ann", "b, c.png", [Some([10.0, 9.0]), None, None]),
            answer("5", "ann", "d.png", [None, None, None]),
        ]
        .map(LogEntry::Points)
        .into_iter()
        .chain([LogEntry::Undo { id: "6".into(), of: "5".into(), at: 0.0 }])
        .collect();
        let answers = standing(&entries);
        assert_eq!(answers.iter().map(|a| a.id.as_str()).collect::<Vec<_>>(), ["1", "2", "4"]);
        let out = folder.path().join("points.csv");
        std::fs::write(&out, table(&data, &ids, &named, &answers, folder.path()).unwrap()).unwrap();
        let read = load_images(&out).unwrap();
        assert_eq!(read.len(), 2);
        let first = read.get(0).unwrap();
        assert_eq!(
            first.keypoints().iter().map(|(n, p)| (n.as_str(), *p)).collect::<Vec<_>>(),
            [("eye 1", (2.0, 2.0)), ("nose", (30.5, 20.25))]
        );
        assert_eq!(
            (first.attributes()["people"].to_string(), first.attributes()["spread"].to_string()),
            ("2".into(), "1".into())
        );
        assert_eq!(read.get(1).unwrap().keypoints()["eye 1"], (10.0, 9.0));
    }
}
