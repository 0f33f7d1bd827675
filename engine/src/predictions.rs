//! Predictions without a net: another classifier's predictions for each image, read from a table or from JSON.
//!
//! A row (or a line's object) has `image`, `prediction` and, where they are known, `truth` and `probability`; several guesses,
//! best first, are separated by `;` (in JSON lists). All other columns are attributes of the image. They take the place of a
//! net where only predictions are needed: accuracy, confusions, accuracy by attribute, calibration, comparison with people.

use crate::data::ids::ImageIds;
use crate::data::{Attribute, Dataset, Item};
use crate::error::{Context, Error, Kind, Result};
use crate::limits::TEXT;
use crate::model::Card;
use crate::model::card::Class;
use crate::regular;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The accepted names of columns.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("image", &["image", "path", "file", "filename", "file_name", "imagename"]),
    ("truth", &["truth", "label", "target", "true", "true_label", "y_true", "ground_truth"]),
    ("prediction", &["prediction", "predictions", "predicted", "pred", "y_pred", "guess", "guesses", "class"]),
    ("probability", &["probability", "probabilities", "confidence", "score", "prob"]),
];

/// The predictions for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// The image's name.
    pub image: String,
    /// What it shows, where that is known.
    pub truth: Option<String>,
    /// The predicted classes, the most probable first.
    pub guesses: Vec<String>,
    /// Their probabilities, as many as were given.
    pub probabilities: Vec<f64>,
    /// What else is known of the image.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Predicted {
    /// Whether the truth is among the first `top` guesses.
    pub fn hit(&self, truth: &str, top: usize) -> bool {
        self.guesses.iter().take(top).any(|g| g.eq_ignore_ascii_case(truth))
    }
}

/// The predictions of a classifier. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// The classifier's name in results.
    pub name: String,
    /// One row an image.
    pub rows: Arc<Vec<Predicted>>,
    /// The images as a data set: files with truths as labels and attributes, whose pixels need not be there.
    pub data: Dataset,
}

impl Predictions {
    /// The predictions in a .csv or .tsv table, a .json list of objects, or a file of one object a line (.jsonl). With `classes` (a
    /// name for each output, in order; synonyms after commas) numbers are class numbers, and every name must be one of them.
    ///
    /// # Errors
    /// Where the file cannot be read, has no column of predictions, a probability is none, an image has two rows, or classes do
    /// not match: a name is none of `classes`, or no class that was predicted is any image's truth.
    pub fn read(path: &Path, classes: Option<&[String]>) -> Result<Self> {
        let at = || format!("`{}`", path.display());
        let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let read = match ending.as_str() {
            "csv" | "tsv" => from_csv(&text),
            _ if text.trim_start().starts_with('[') => from_list(&text),
            _ if text.trim_start().starts_with('{') => from_lines(&text),
            _ => from_csv(&text),
        };
        let mut rows: Vec<Predicted> = read
            .context(at)?
            .into_iter()
            .enumerate()
            .map(|(i, row)| predicted(row, i).context(|| format!("row {}", i + 1)))
            .collect::<Result<_>>()
            .context(at)?;
        if rows.is_empty() {
            return Err(Error::format("no prediction in it").context(at()));
        }
        if let Some(classes) = classes {
            named(&mut rows, classes).context(at)?;
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = rows.iter().find(|row| !seen.insert(&row.image)) {
            return Err(Error::format(format!("`{}` has two rows", twice.image))
                .context(at())
                .hint("a row an image; several guesses of one are separated by `;`"));
        }
        drop(seen);
        let name = path.file_stem().map_or_else(|| "predictions".into(), |n| n.to_string_lossy().into_owned());
        let base = path.parent().unwrap_or(Path::new(""));
        let item = |row: &Predicted| Item {
            label: row.truth.clone(),
            attributes: row.attributes.clone(),
            ..Item::file(base.join(&row.image))
        };
        let data = Dataset::new(name.clone(), rows.iter().map(item).collect());
        let made = Predictions { name, rows: Arc::new(rows), data };
        made.check(&made.truths()).context(at)?;
        Ok(made)
    }

    /// The most guesses that any image has.
    pub fn most(&self) -> usize {
        self.rows.iter().map(|row| row.guesses.len()).max().unwrap_or(0)
    }

    /// Each row's truth where the file says it.
    pub fn truths(&self) -> Vec<Option<String>> {
        self.rows.iter().map(|row| row.truth.clone()).collect()
    }

    /// An error where truths are known and none of them was ever predicted.
    fn check(&self, truths: &[Option<String>]) -> Result<()> {
        let lower = |name: &String| name.to_lowercase();
        let known: BTreeSet<String> = truths.iter().flatten().map(lower).collect();
        let named: BTreeSet<String> = self.rows.iter().flat_map(|row| row.guesses.iter().map(lower)).collect();
        match (known.first(), named.first()) {
            (Some(truth), Some(guess)) if known.is_disjoint(&named) => Err(Error::value(format!(
                "none of the {} classes that `{}` predicts is one of the {} true ones: `{guess}`, .. against `{truth}`, ..",
                named.len(),
                self.name,
                known.len()
            ))
            .hint("both need the same names; for numbers give the names: load_predictions(.., #{ classes: \"classes.txt\" })")),
            _ => Ok(()),
        }
    }

    /// The row of each image of a data set, with its truth: the file's own, else the data set's label; and a note on images
    /// without a row and rows without an image.
    ///
    /// # Errors
    /// Where no row is about an image of the data set, or truths and predictions share no class.
    pub fn of(&self, data: &Dataset) -> Result<(Vec<Option<&Predicted>>, Option<String>)> {
        let ids = ImageIds::of(data);
        let mut rows: Vec<Option<&Predicted>> = vec![None; data.len()];
        let mut strange = Vec::new();
        for row in self.rows.iter() {
            match ids.index(&row.image) {
                Some(i) => rows[i] = Some(row),
                None => strange.push(row.image.as_str()),
            }
        }
        if strange.len() == self.rows.len() {
            let own = if ids.is_empty() { "" } else { ids.name(0) };
            return Err(Error::value(format!(
                "none of the {} predictions of `{}` is about an image of `{}`",
                self.rows.len(),
                self.name,
                data.name
            ))
            .hint(format!("the first is about `{}`, the first image is `{own}`", self.rows[0].image)));
        }
        let truth =
            |(i, row): (usize, &Option<&Predicted>)| row.and_then(|r| r.truth.clone()).or_else(|| data.label(i));
        self.check(&rows.iter().enumerate().map(truth).collect::<Vec<_>>())?;
        let without = rows.iter().filter(|r| r.is_none()).count();
        let mut notes = Vec::new();
        if without > 0 {
            notes.push(format!("{without} of {} images have no prediction of `{}`", data.len(), self.name));
        }
        if !strange.is_empty() {
            let some = strange.iter().take(3).map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
            notes.push(format!("{} predictions of `{}` are about no image: {some}", strange.len(), self.name));
        }
        Ok((rows, (!notes.is_empty()).then(|| notes.join("; "))))
    }
}

/// A row as its columns say it: texts, numbers, lists.
type Row = Vec<(String, Value)>;

fn from_csv(text: &str) -> Result<Vec<Row>> {
    let first = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t'].into_iter().find(|s| first.as_bytes().contains(s)).unwrap_or(b',');
    let damaged = |e: csv::Error| Error::format(e.to_string());
    let mut table = csv::ReaderBuilder::new();
    let mut reader = table.delimiter(separator).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().map_err(damaged)?.iter().map(|h| h.trim_start_matches('\u{feff}').to_string()).collect();
    if !header.iter().any(|h| is(h, "prediction")) {
        return Err(Error::format(format!("no column `prediction` among `{}`", header.join("`, `")))
            .hint("the first line names the columns: image, truth, prediction, probability, and any attributes"));
    }
    let row = |row: csv::StringRecord| header.iter().cloned().zip(row.iter().map(Value::from)).collect();
    reader.records().map(|r| r.map(row).map_err(damaged)).collect()
}

fn from_list(text: &str) -> Result<Vec<Row>> {
    let all: Vec<serde_json::Map<String, Value>> =
        serde_json::from_str(text).map_err(|e| Error::format(format!("no list of objects: {e}")).hint(EXAMPLE))?;
    Ok(all.into_iter().map(|object| object.into_iter().collect()).collect())
}

const EXAMPLE: &str =
    "such as {\"image\": \"a.jpg\", \"truth\": \"cat\", \"prediction\": \"dog\", \"probability\": 0.8}";

/// An object a line; a last line without its end that a stop cut off is left out.
fn from_lines(text: &str) -> Result<Vec<Row>> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let mut rows = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_str::<serde_json::Map<String, Value>>(line) {
            Ok(object) => rows.push(object.into_iter().collect()),
            Err(_) if i + 1 == lines.len() && i > 0 && !text.ends_with('\n') => {}
            Err(e) => return Err(Error::format(format!("line {}: {e}", i + 1)).hint(EXAMPLE)),
        }
    }
    Ok(rows)
}

/// Whether a column goes by the name `what`.
fn is(column: &str, what: &str) -> bool {
    COLUMNS.iter().any(|(name, known)| *name == what && known.iter().any(|k| column.eq_ignore_ascii_case(k)))
}

fn predicted(row: Row, i: usize) -> Result<Predicted> {
    let (mut image, mut truth) = (None, None);
    let (mut guesses, mut probabilities) = (None, Vec::new());
    let mut attributes = BTreeMap::new();
    // The first column of a kind is the one that is meant; the names of a kind are in the order of preference.
    let chosen = |what: &str| {
        let known = COLUMNS.iter().find(|(name, _)| *name == what).map_or(&[][..], |(_, known)| known);
        known.iter().find_map(|k| row.iter().position(|(name, _)| name.eq_ignore_ascii_case(k)))
    };
    let places = ["image", "truth", "prediction", "probability"].map(chosen);
    for (at, (name, value)) in row.iter().enumerate() {
        match places.iter().position(|p| *p == Some(at)) {
            Some(0) => image = text(value),
            Some(1) => truth = text(value),
            Some(2) => guesses = Some(texts(value)),
            Some(3) => {
                for part in texts(value) {
                    let number = part.parse::<f64>().ok().filter(|p| (0.0..=1.0).contains(p));
                    probabilities.push(
                        number.ok_or_else(|| {
                            Error::format(format!("the probability `{part}` is no number from 0 to 1"))
                        })?,
                    );
                }
            }
            _ => attributes.extend(attribute(value).map(|a| (name.clone(), a))),
        }
    }
    let guesses = guesses.ok_or_else(|| Error::format("has no `prediction`").hint(EXAMPLE))?;
    if guesses.is_empty() {
        return Err(Error::format("its `prediction` is empty"));
    }
    if probabilities.len() > guesses.len() {
        return Err(Error::format(format!("{} probabilities of {} guesses", probabilities.len(), guesses.len())));
    }
    Ok(Predicted { image: image.unwrap_or_else(|| i.to_string()), truth, guesses, probabilities, attributes })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) if s.is_empty() => None,
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// The texts of a list, or of a text with `;` between them.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(parts) => parts.iter().filter_map(text).collect(),
        Value::String(s) => s.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_string).collect(),
        other => text(other).into_iter().collect(),
    }
}

fn attribute(value: &Value) -> Option<Attribute> {
    match value {
        Value::Bool(b) => Some(Attribute::Number(f64::from(u8::from(*b)))),
        Value::Number(n) => n.as_f64().map(Attribute::Number),
        Value::String(s) if s.is_empty() => None,
        Value::String(s) => match s.parse::<f64>() {
            Ok(x) if x.is_finite() => Some(Attribute::Number(x)),
            _ => Some(Attribute::Text(s.clone())),
        },
        _ => None,
    }
}

/// Numbers and synonyms become the classes' names.
fn named(rows: &mut [Predicted], classes: &[String]) -> Result<()> {
    let card = Card { classes: classes.iter().map(|c| Class::from_label(c)).collect(), ..Card::named("classes") };
    let mut known = BTreeMap::<String, String>::new();
    let mut strange = BTreeSet::new();
    let mut name = |given: &mut String| {
        if let Some(name) = known.get(given) {
            given.clone_from(name);
            return;
        }
        let index = given.parse::<usize>().ok().filter(|i| *i < classes.len());
        match index.map_or_else(|| card.class_index(given), Ok) {
            Ok(index) => {
                known.insert(given.clone(), card.class_name(index));
                *given = card.class_name(index);
            }
            Err(_) => {
                strange.insert(given.clone());
            }
        }
    };
    for row in rows.iter_mut() {
        row.guesses.iter_mut().chain(&mut row.truth).for_each(&mut name);
    }
    if strange.is_empty() {
        return Ok(());
    }
    let some = strange.iter().take(5).map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
    Err(Error::new(
        Kind::NotFound,
        format!("{} names are none of the {} classes: {some}", strange.len(), classes.len()),
    )
    .hint("the list of classes needs a name an output; synonyms stand behind commas"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(name: &str, text: &str, classes: Option<&[&str]>) -> Result<Predictions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let classes: Option<Vec<String>> = classes.map(|c| c.iter().map(|c| c.to_string()).collect());
        Predictions::read(&path, classes.as_deref())
    }

    #[test]
    fn tables_and_json_say_the_same() {
        let csv = "image,truth,prediction,probability,pose\na.jpg,cat,cat;dog,0.7;0.2,1\nb.jpg,dog,cat,0.6,0\n";
        let lines = "{\"image\":\"a.jpg\",\"truth\":\"cat\",\"prediction\":[\"cat\",\"dog\"],\"probability\":[0.7,0.2],\"pose\":1}\n\
                     {\"file_name\":\"b.jpg\",\"label\":\"dog\",\"pred\":\"cat\",\"confidence\":0.6,\"pose\":0}\n{\"cut";
        let list = format!("[{}]", lines.lines().take(2).collect::<Vec<_>>().join(","));
        let all = [("p.csv", csv.to_string()), ("p.jsonl", lines.to_string()), ("p.json", list)]
            .map(|(name, text)| read(name, &text, None).unwrap());
        for one in &all {
            assert_eq!(one.rows, all[0].rows);
            assert_eq!((one.name.as_str(), one.most()), ("p", 2));
            assert_eq!(one.data.attribute_names(), ["pose"]);
            assert_eq!(one.data.labels(), ["cat", "dog"]);
        }
        assert!(all[0].rows[1].hit("CAT", 1) && !all[0].rows[1].hit("dog", 5) && all[0].rows[0].hit("dog", 2));
        let numbered =
            read("n.csv", "image,truth,prediction\na,0,n2\nb,second,1\n", Some(&["first", "second, n2"])).unwrap();
        assert_eq!(numbered.rows[0].guesses, ["second"]);
        assert_eq!(numbered.rows[0].truth.as_deref(), Some("first"));
    }

    #[test]
    fn what_does_not_match_is_refused() {
        let said = |text: &str| read("p.csv", text, None).unwrap_err().to_string();
        assert!(said("image,truth\na,b\n").contains("no column `prediction` among `image`, `truth`"));
        assert!(said("image,prediction\n").contains("no prediction in it"));
        assert!(said("image,prediction,probability\na,cat,1.5\n").contains("row 1: the probability `1.5`"));
        assert!(said("image,prediction,probability\na,cat,0.5;0.1\n").contains("2 probabilities of 1 guesses"));
        assert!(said("image,prediction\na,cat\na,dog\n").contains("`a` has two rows"));
        assert!(said("image,truth,prediction\na,cat,3\nb,dog,4\n").contains("none of the 2 classes that `p` predicts"));
        let error = read("p.csv", "image,prediction\na,cow\n", Some(&["cat", "dog"])).unwrap_err().to_string();
        assert!(error.contains("1 names are none of the 2 classes: `cow`"), "{error}");
        let some = read("p.csv", "image,prediction\nx.jpg,cat\ny.jpg,dog\n", None).unwrap();
        let data = |names: &[&str]| Dataset::new("photos", names.iter().map(|n| Item::file(*n)).collect());
        let (rows, note) = some.of(&data(&["f/x.jpg", "f/z.jpg"])).map(|(r, n)| (r.len(), n.unwrap())).unwrap();
        assert_eq!(rows, 2);
        assert!(note.contains("1 of 2 images have no prediction") && note.contains("`y.jpg`"), "{note}");
        let error = some.of(&data(&["q.jpg"])).unwrap_err();
        assert!(error.message.contains("none of the 2 predictions of `p` is about an image of `photos`"));
    }
}
