//! Samples of a tar file in WebDataset's form: files that stand one after the other and share their name up to its first dot
//! are one sample, such as `000017.jpg` and `000017.cls`.
//!
//! Only the tar's headers and small texts are read when it is opened; an image is read from its place when it is asked for.

use super::bytes::ByteSource;
use super::filter::{Filter, FilterValue};
use super::rows::{ColumnChoice, LABELS, PixelSource, PreparedFilter, Rows};
use crate::data::Attribute;
use crate::data::extensions::is_photo;
use crate::error::{Error, Result};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::io::Read;

/// Bytes of a text beside an image; longer ones are cut off.
const MAX_TEXT_BYTES: u64 = 1 << 16;

/// One sample.
#[derive(Default)]
struct Sample {
    /// Where the image's bytes begin, and how many there are.
    image: Option<(u64, usize)>,
    label: Option<String>,
    attributes: Vec<Option<Attribute>>,
    /// Its values in the filter's columns.
    values: Vec<FilterValue>,
}

/// A tar file.
pub struct Archive {
    source: ByteSource,
    samples: Vec<Sample>,
    columns: ColumnChoice,
    filtered: Vec<Filtered>,
}

/// A column of the filter.
struct Filtered {
    name: String,
    /// Whether it is compared with numbers.
    numeric: bool,
    /// Whether a sample has it.
    is_there: bool,
}

impl Archive {
    /// Opens a file and finds its samples.
    ///
    /// # Errors
    /// Where it is no tar file, or a wanted member is in no sample.
    pub fn open(source: ByteSource, columns: &ColumnChoice) -> Result<Self> {
        let damaged = |e: std::io::Error| Error::format(format!("a damaged tar file: {e}"));
        let mut tar = tar::Archive::new(source.reader(0));
        let mut all =
            Archive { source: source.clone(), samples: Vec::new(), columns: columns.clone(), filtered: Vec::new() };
        if let Some(filter) = &columns.filter {
            let numeric = |name: &str| filter.0.iter().any(|c| c.column == name && c.is_of_numbers());
            let one = |name: &str| Filtered { name: name.to_string(), numeric: numeric(name), is_there: false };
            all.filtered = filter.columns().into_iter().map(one).collect();
        }
        let (mut key, mut members) = (None, BTreeSet::new());
        for entry in tar.entries_with_seek().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let base = name.rfind('/').map_or(0, |i| i + 1);
            let Some(dot) = name[base..].find('.').filter(|d| *d > 0) else { continue };
            let (sample, member) = (name[..base + dot].to_string(), name[base + dot + 1..].to_ascii_lowercase());
            if key.as_ref() != Some(&sample) {
                let (attributes, values) =
                    (vec![None; columns.attributes.len()], vec![FilterValue::Nothing; all.filtered.len()]);
                all.samples.push(Sample { attributes, values, ..Sample::default() });
                key = Some(sample);
            }
            let Some(current) = all.samples.last_mut() else { continue };
            let place = entry.raw_file_position();
            if is_image(&member, columns) {
                let length =
                    usize::try_from(entry.size()).map_err(|_| Error::format("a member that fits no memory"))?;
                current.image.get_or_insert((place, length));
            } else if entry.size() <= MAX_TEXT_BYTES
                && (member == "json"
                    || named(&member, columns)
                    || all.filtered.iter().any(|f| f.name.eq_ignore_ascii_case(&member)))
            {
                let mut text = String::new();
                if entry.read_to_string(&mut text).is_ok() {
                    said(&member, text.trim(), (current, &mut all.filtered), columns);
                }
            }
            members.insert(member);
        }
        let wants = columns.image.iter().filter(|name| !members.contains(&name.to_ascii_lowercase()));
        if let Some(name) = wants.into_iter().next().filter(|_| !all.samples.is_empty()) {
            let there: Vec<&str> = members.iter().map(String::as_str).take(20).collect();
            return Err(Error::not_found(format!("no sample has a member `.{name}`"))
                .hint(format!("their members are .{}", there.join(", ."))));
        }
        Ok(all)
    }
}

fn is_image(member: &str, columns: &ColumnChoice) -> bool {
    match &columns.image {
        Some(name) => member.eq_ignore_ascii_case(name),
        None => is_photo(member.rsplit('.').next().unwrap_or_default()),
    }
}

/// Whether a member is a label or an attribute.
fn named(member: &str, columns: &ColumnChoice) -> bool {
    let is_label = match &columns.label {
        Some(name) => member.eq_ignore_ascii_case(name),
        None => LABELS.contains(&member),
    };
    is_label || columns.attributes.iter().any(|a| a.eq_ignore_ascii_case(member))
}

/// Reads a small member into a sample: a text by its name, or the fields of a JSON object by theirs.
fn said(member: &str, text: &str, (sample, filtered): (&mut Sample, &mut [Filtered]), columns: &ColumnChoice) {
    let fields: Vec<(String, Json)> = match serde_json::from_str(text) {
        Ok(Json::Object(fields)) if member == "json" => fields.into_iter().collect(),
        _ => vec![(member.to_string(), Json::String(text.to_string()))],
    };
    for (name, value) in fields {
        let is_label = match &columns.label {
            Some(label) => name.eq_ignore_ascii_case(label),
            None => LABELS.contains(&name.as_str()),
        };
        if is_label && sample.label.is_none() {
            sample.label = match &value {
                Json::Number(n) => n.as_i64().map_or(Some(n.to_string()), |i| columns.name_of(i, &[])),
                Json::String(s) => match s.parse::<i64>() {
                    Ok(i) => columns.name_of(i, &[]),
                    Err(_) => Some(s.clone()).filter(|s| !s.is_empty()),
                },
                _ => None,
            };
        }
        for (i, wished) in columns.attributes.iter().enumerate() {
            if wished.eq_ignore_ascii_case(&name) {
                sample.attributes[i] = match &value {
                    Json::Number(n) => n.as_f64().map(Attribute::Number),
                    Json::String(s) => Some(s.parse().map_or_else(|_| Attribute::Text(s.clone()), Attribute::Number)),
                    Json::Null => None,
                    other => Some(Attribute::Text(other.to_string())),
                };
            }
        }
        for (column, into) in filtered.iter_mut().zip(&mut sample.values) {
            if column.name.eq_ignore_ascii_case(&name) {
                (*into, column.is_there) = (value_of(&value, column.numeric), true);
            }
        }
    }
}

/// What a filter compares of a field.
fn value_of(field: &Json, numeric: bool) -> FilterValue {
    match field {
        Json::Null => FilterValue::Nothing,
        Json::Bool(b) => FilterValue::Bool(*b),
        Json::Number(n) => {
            n.as_i64().map(FilterValue::Int).or(n.as_f64().map(FilterValue::Number)).unwrap_or(FilterValue::Nothing)
        }
        Json::String(s) if numeric => FilterValue::number_of(s.clone()),
        Json::String(s) => FilterValue::of(s.clone()),
        Json::Array(_) | Json::Object(_) => FilterValue::Text(field.to_string()),
    }
}

impl Rows for Archive {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn pixels(&self, row: usize) -> Result<PixelSource> {
        let place = self.samples.get(row).and_then(|s| s.image);
        let (start, length) = place.ok_or_else(|| Error::format(format!("sample {row} has no image")))?;
        Ok(PixelSource::Bytes(self.source.read_at(start, length)?))
    }

    fn label(&self, row: usize) -> Result<Option<String>> {
        Ok(self.samples.get(row).and_then(|s| s.label.clone()))
    }

    fn attribute(&self, row: usize, name: &str) -> Result<Option<Attribute>> {
        let at = self.columns.attributes.iter().position(|a| a == name);
        Ok(at.and_then(|i| self.samples.get(row)?.attributes[i].clone()))
    }

    fn prepare(&self, filter: &Filter) -> Result<PreparedFilter> {
        match self.filtered.iter().find(|f| !f.is_there && !self.samples.is_empty()) {
            Some(column) => Err(Error::not_found(format!("no filter column `{}`", column.name))
                .hint("a sample's columns are its small members, such as `cls`, and the fields of its `.json`")),
            None => Ok((filter.clone(), std::iter::once(0..self.samples.len()).collect())),
        }
    }

    fn value(&self, row: usize, name: &str) -> Result<FilterValue> {
        let at = self.filtered.iter().position(|f| f.name == name);
        Ok(at.and_then(|i| self.samples.get(row)?.values.get(i).cloned()).unwrap_or(FilterValue::Nothing))
    }
}
