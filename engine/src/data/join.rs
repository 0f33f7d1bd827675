//! Data sets joined with tables of attributes: of classes (a row a class) or of images (a row an image).
//!
//! A table is .csv or .tsv with a header, or JSON: a list of objects or an object a line, such as ImageNet-X's annotations (Idrissi
//! et al. 2022: sixteen factors an image). The key is the column `class` or `label`, or `image`, `path`, `file` or `file_name`; all
//! others are attributes. An image's own attributes stay.

use super::dataset::{Dataset, Generator};
use super::ids::ImageIds;
use super::image::{Attribute, Image};
use super::preprocess::Preprocess;
use crate::error::{Context, Error, Result};
use crate::limits::TEXT;
use crate::regular;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The subject of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTarget {
    /// Classes: joined by the images' labels.
    Classes,
    /// Images: joined by their names.
    Images,
}

impl JoinTarget {
    fn keys(self) -> &'static [&'static str] {
        match self {
            JoinTarget::Classes => &["class", "label", "name", "synset", "wnid"],
            JoinTarget::Images => &["image", "path", "file", "filename", "file_name"],
        }
    }
}

/// Attributes by key.
pub(super) type AttributeRows = BTreeMap<String, BTreeMap<String, Attribute>>;

impl Dataset {
    /// The same images with the attributes of a table's rows. Images without a row keep what they have; a note counts them and
    /// names the first classes or images that the table misses.
    ///
    /// # Errors
    /// Where the file cannot be read, has no column of keys, a key has two rows, or no row is about the data set.
    pub fn joined(&self, about: JoinTarget, path: &Path) -> Result<Self> {
        let at = || format!("`{}`", path.display());
        let rows = read(about, path).context(at)?;
        let (found, missing) = match about {
            JoinTarget::Classes => by_class(self, &rows),
            JoinTarget::Images => by_image(self, &rows),
        };
        let what = if about == JoinTarget::Classes { "classes" } else { "images" };
        if found.is_empty() {
            let first = rows.keys().next().map_or("", String::as_str);
            let own = missing.first().map_or("", String::as_str);
            return Err(Error::value(format!(
                "none of its {} rows is about the {what} of `{}`",
                rows.len(),
                self.name
            ))
            .context(at())
            .hint(format!("the first row is about `{first}`, the first of the data is `{own}`")));
        }
        let mut notes: Vec<String> = self.notes.iter().cloned().collect();
        if !missing.is_empty() {
            let some = missing.iter().take(5).map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ");
            let more = if missing.len() > 5 { ", .." } else { "" };
            notes.push(format!("{} {what} have no row in {}: {some}{more}", missing.len(), at()));
        }
        Ok(self.with_rows(about, found).with_notes(notes))
    }

    /// The same images with more attributes: rows by label in lower case, or by the images' numbers. Notes are left out.
    pub(super) fn with_rows(&self, about: JoinTarget, found: AttributeRows) -> Self {
        if self.is_generated() {
            let identity = crate::digest::digest(&identity(&found));
            let made = Joined { inner: self.clone(), about, found, identity };
            return Dataset::generated(self.name.clone(), Arc::new(made));
        }
        let items = self.items().enumerate().map(|(i, item)| {
            let mut item = item.into_owned();
            add(&mut item.attributes, key_of(about, i, item.label.as_deref()), &found);
            item
        });
        Dataset::new(self.name.clone(), items.collect())
    }
}

/// The key of image `i` among what was found.
fn key_of(about: JoinTarget, i: usize, label: Option<&str>) -> Option<String> {
    match about {
        JoinTarget::Classes => label.map(str::to_lowercase),
        JoinTarget::Images => Some(i.to_string()),
    }
}

fn add(attributes: &mut BTreeMap<String, Attribute>, key: Option<String>, found: &AttributeRows) {
    if let Some(row) = key.and_then(|key| found.get(&key)) {
        row.iter().for_each(|(name, value)| {
            attributes.entry(name.clone()).or_insert_with(|| value.clone());
        });
    }
}

/// The rows of the data set's labels, by these in lower case, and the labels without one.
fn by_class(data: &Dataset, rows: &AttributeRows) -> (AttributeRows, Vec<String>) {
    // A key may hold synonyms: "tench, Tinca tinca".
    let mut names: BTreeMap<String, &BTreeMap<String, Attribute>> = BTreeMap::new();
    for (key, row) in rows {
        for name in std::iter::once(key.as_str()).chain(key.split(',')) {
            names.entry(name.trim().to_lowercase()).or_insert(row);
        }
    }
    let (mut found, mut missing) = (AttributeRows::new(), Vec::new());
    for label in data.labels() {
        let own = std::iter::once(label.as_str()).chain(label.split(',')).map(|n| n.trim().to_lowercase());
        match own.into_iter().find_map(|name| names.get(&name)) {
            Some(row) => drop(found.insert(label.to_lowercase(), (*row).clone())),
            None => missing.push(label),
        }
    }
    (found, missing)
}

/// The rows of the data set's images, by their numbers, and the images without one.
fn by_image(data: &Dataset, rows: &AttributeRows) -> (AttributeRows, Vec<String>) {
    let ids = ImageIds::of(data);
    let found: AttributeRows =
        rows.iter().filter_map(|(key, row)| Some((ids.index(key)?.to_string(), row.clone()))).collect();
    let missing = (0..data.len()).filter(|i| !found.contains_key(&i.to_string())).map(|i| ids.name(i).to_string());
    (found.clone(), missing.collect())
}

fn identity(rows: &AttributeRows) -> Vec<u8> {
    format!("{rows:?}").into_bytes()
}

/// A data set whose images are made when asked for, with more attributes.
#[derive(Debug)]
struct Joined {
    inner: Dataset,
    about: JoinTarget,
    found: AttributeRows,
    identity: String,
}

impl Generator for Joined {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn label(&self, index: usize) -> Option<String> {
        self.inner.label(index)
    }

    fn attributes(&self, index: usize) -> BTreeMap<String, Attribute> {
        let mut all = self.inner.item(index).map(|item| item.attributes.clone()).unwrap_or_default();
        add(&mut all, key_of(self.about, index, self.inner.label(index).as_deref()), &self.found);
        all
    }

    fn image(&self, index: usize) -> Result<Image> {
        Ok(self.inner.get(index)?.with_attributes(self.attributes(index)))
    }

    fn seen(&self, index: usize, by: &Preprocess) -> Result<Image> {
        Ok(self.inner.seen(index, by)?.with_attributes(self.attributes(index)))
    }

    fn labels(&self) -> Vec<String> {
        self.inner.labels()
    }

    fn labels_in(&self, range: std::ops::Range<usize>) -> Result<Vec<String>> {
        self.inner.labels_in(range)
    }

    fn attribute_names(&self) -> Vec<String> {
        let more = self.found.values().flat_map(|row| row.keys().cloned());
        self.inner.attribute_names().into_iter().chain(more).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn identity(&self) -> Value {
        json!([self.inner.identity(), self.identity])
    }
}

/// The rows of a table or of JSON, by their columns.
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn objects(path: &Path) -> Result<Vec<Map<String, Value>>> {
    let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
    match text.trim_start().as_bytes().first() {
        Some(b'[') => serde_json::from_str(&text).map_err(|e| Error::format(format!("no list of objects: {e}"))),
        Some(b'{') => text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty())
            .map(|(i, l)| serde_json::from_str(l).map_err(|e| Error::format(format!("line {}: {e}", i + 1))))
            .collect(),
        _ => table(&text),
    }
}

fn read(about: JoinTarget, path: &Path) -> Result<AttributeRows> {
    let mut rows = AttributeRows::new();
    for (i, object) in objects(path)?.into_iter().enumerate() {
        let key = about.keys().iter().find_map(|k| object.keys().find(|name| name.eq_ignore_ascii_case(k)).cloned());
        let Some(key) = key else {
            let told = object.keys().take(20).cloned().collect::<Vec<_>>().join("`, `");
            return Err(Error::format(format!("row {} has no column `{}` among `{told}`", i + 1, about.keys()[0])));
        };
        let name = match &object[&key] {
            Value::String(s) => s.clone(),
            Value::Number(n) => n.to_string(),
            _ => return Err(Error::format(format!("the `{key}` of row {} is no text", i + 1))),
        };
        let values = object.iter().filter(|(k, _)| **k != key).filter_map(|(k, v)| Some((k.clone(), attribute(v)?)));
        if rows.insert(name.clone(), values.collect()).is_some() {
            return Err(Error::format(format!("`{name}` has two rows")));
        }
    }
    if rows.is_empty() {
        return Err(Error::format("a table without rows"));
    }
    Ok(rows)
}

fn table(text: &str) -> Result<Vec<Map<String, Value>>> {
    let first = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t'].into_iter().find(|s| first.as_bytes().contains(s)).unwrap_or(b',');
    let damaged = |e: csv::Error| Error::format(e.to_string());
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.delimiter(separator).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().map_err(damaged)?.iter().map(|h| h.trim_start_matches('\u{feff}').to_string()).collect();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().map_err(damaged)?;
    let numeric: Vec<bool> = (0..header.len())
        .map(|c| rows.iter().all(|r| r[c].is_empty() || r[c].parse::<f64>().is_ok_and(f64::is_finite)))
        .collect();
    let value = |c: usize, text: &str| match text.parse::<f64>() {
        Ok(x) if numeric[c] => json!(x),
        _ => json!(text),
    };
    let row = |r: &csv::StringRecord| {
        let filled = r.iter().enumerate().filter(|(c, text)| !text.is_empty() || *c == 0);
        filled.map(|(c, text)| (header[c].clone(), value(c, text))).collect()
    };
    Ok(rows.iter().map(row).collect())
}

/// What a value says as an attribute; nothing where it is empty.
pub(super) fn attribute(value: &Value) -> Option<Attribute> {
    match value {
        Value::Null => None,
        Value::Bool(b) => Some(Attribute::Number(f64::from(u8::from(*b)))),
        Value::Number(n) => n.as_f64().map(Attribute::Number),
        Value::String(s) => (!s.is_empty()).then(|| Attribute::Text(s.clone())),
        other => Some(Attribute::Text(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::dataset::Item;
    use super::*;
    use crate::shapes::{Shapes, shapes};

    fn file(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn photos() -> Dataset {
        let item = |(name, label): (&str, &str)| Item { label: Some(label.into()), ..Item::file(name) };
        Dataset::new("photos", [("f/a.jpg", "Tench"), ("f/b.jpg", "cat"), ("f/c.jpg", "cat")].map(item).to_vec())
    }

    #[test]
    fn classes_get_their_rows_and_those_without_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path =
            file(folder.path(), "attributes.csv", "class,man_made,size\n\"tench, Tinca tinca\",no,0.3\ndog,no,1\n");
        let data = photos().joined(JoinTarget::Classes, &path).unwrap();
        assert_eq!(data.item(0).unwrap().attributes["size"], Attribute::Number(0.3));
        assert_eq!(data.item(0).unwrap().attributes["man_made"], Attribute::Text("no".into()));
        assert!(data.item(1).unwrap().attributes.is_empty());
        assert!(
            data.notes[0].starts_with("1 classes have no row in") && data.notes[0].ends_with("`cat`"),
            "{:?}",
            data.notes
        );
        let made = shapes(&Shapes { n: 12, seed: 3, ..Shapes::new() }).unwrap();
        let rows: String = made.labels().iter().map(|l| format!("{l},{}\n", l.len())).collect();
        let path = file(folder.path(), "shapes.csv", &format!("label,letters\n{rows}"));
        let joined = made.joined(JoinTarget::Classes, &path).unwrap();
        let label = joined.label(7).unwrap();
        let letters = Attribute::Number(label.len() as f64);
        assert_eq!((&joined.item(7).unwrap().attributes["letters"], joined.notes.len()), (&letters, 0));
        assert_eq!(joined.get(7).unwrap().attributes()["letters"], letters);
        assert!(joined.attribute_names().contains(&"letters".to_string()));
        assert_eq!(joined.get(7).unwrap().pixels(), made.get(7).unwrap().pixels());
        assert_ne!(joined.identity(), made.identity());
    }

    #[test]
    fn images_get_the_factors_of_json_lines() {
        let folder = tempfile::tempdir().unwrap();
        let text = "{\"file_name\":\"a.jpg\",\"class\":3,\"pose\":1,\"darker\":0}\n{\"file_name\":\"c.jpg\",\"class\":4,\"pose\":0,\"darker\":1}\n";
        let path = file(folder.path(), "imagenet_x.jsonl", text);
        let data = photos().joined(JoinTarget::Images, &path).unwrap();
        assert_eq!(data.item(2).unwrap().attributes["darker"], Attribute::Number(1.0));
        assert!(
            data.notes[0].contains("1 images have no row") && data.notes[0].contains("`b.jpg`"),
            "{:?}",
            data.notes
        );
    }

    #[test]
    fn tables_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let said =
            |about, text: &str| photos().joined(about, &file(folder.path(), "t.csv", text)).unwrap_err().to_string();
        assert!(
            said(JoinTarget::Classes, "class,a\ndog,1\n")
                .contains("none of its 1 rows is about the classes of `photos`")
        );
        assert!(said(JoinTarget::Classes, "what,a\ndog,1\n").contains("no column `class` among `"));
        assert!(said(JoinTarget::Classes, "class,a\ncat,1\ncat,2\n").contains("`cat` has two rows"));
        assert!(said(JoinTarget::Images, "image,a\nq.jpg,1\n").contains("none of its 1 rows is about the images"));
        assert!(said(JoinTarget::Images, "image,a\n").contains("without rows"));
    }
}
