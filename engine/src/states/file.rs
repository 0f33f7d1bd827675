//! A state file: a .safetensors file whose metadata, JSON under the key `convscope`, describes its columns.
//!
//! Column `values` of the second question is the tensor `2/values`. The same states give the same bytes, whatever shards they
//! were joined from. One digest covers the columns, one the metadata (since version 2 of the layout; files of version 1 are read, too).

use super::Question;
use crate::accumulators::{Broken, BrokenRecord, Covered, Field, Fields};
use crate::digest::digest;
use crate::error::{Context, Error, Result};
use crate::{atomic, regular};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The name of the format in the file's header.
pub const FORMAT: &str = "convscope state";
/// The version of the layout.
pub const VERSION: u32 = 2;
/// The version that had no digest of the metadata.
const VERSION_WITHOUT_HEAD: u32 = 1;
/// What stands for the metadata's digest while that is computed.
const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// States of a question that are held before they are joined.
const AT_ONCE: usize = 32;
/// The metadata's one name.
const KEY: &str = "convscope";

/// The header of a state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What must be the same in all states that are joined: engine, numerics, script, its parameters.
    pub facts: BTreeMap<String, String>,
    /// The questions, in the script's order.
    pub questions: Vec<StateEntry>,
    /// BLAKE3 of the columns, hexadecimal.
    pub blake3: String,
    /// BLAKE3 of the metadata's text with zeros in the place of this digest, hexadecimal; none in files of version 1.
    #[serde(default)]
    pub head: String,
}

/// A question of a state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateEntry {
    /// The question.
    pub question: Question,
    /// BLAKE3 of the question, hexadecimal.
    pub digest: String,
    /// The kind of state.
    pub kind: String,
    /// The images that the state covers: ranges of their numbers, ends excluded.
    pub covered: Vec<[u64; 2]>,
    /// Those among them that could not be read.
    pub broken: BrokenRecord,
    /// The state.
    #[serde(skip)]
    pub fields: Fields,
}

/// The states of a script's questions.
#[derive(Clone, Debug, PartialEq)]
pub struct StateFile {
    /// What must be the same in all states that are joined.
    pub facts: BTreeMap<String, String>,
    /// The questions with their states, in the script's order.
    pub entries: Vec<StateEntry>,
}

impl StateEntry {
    /// Whether the images that it covers, and those that could not be read, are ranges within the data set.
    ///
    /// # Errors
    /// Where a range is empty, turned round or beyond the last image, or an image is there twice.
    fn check(&self) -> Result<()> {
        for ranges in [&self.covered, &self.broken.images] {
            if let Some([start, end]) = ranges.iter().find(|[start, end]| start >= end || *end > self.question.images) {
                return Err(Error::format(format!(
                    "the head is damaged: {start} to {end} is no range of {} images",
                    self.question.images
                ))
                .hint("compute it again"));
            }
        }
        let (covered, broken) = (Covered::of(&self.covered)?, Covered::of(&self.broken.images)?);
        let outside = broken.ranges().iter().any(|range| !covered.missing(range.clone()).is_empty());
        let counted = broken.count() as u64 == self.broken.count;
        let named = self.broken.said.iter().all(|(image, _)| {
            broken.ranges().iter().any(|range| (range.start as u64..range.end as u64).contains(image))
        });
        match outside || !counted || !named {
            true => {
                Err(Error::format("the head is damaged: the images that could not be read are not among those covered")
                    .hint("compute it again"))
            }
            false => Ok(()),
        }
    }

    /// An entry of that state.
    pub fn new(question: Question, kind: &str, covered: &Covered, broken: &Broken, fields: Fields) -> Self {
        let digest = question.digest();
        StateEntry { question, digest, kind: kind.into(), covered: covered.record(), broken: broken.record(), fields }
    }

    /// The images that no state has seen, as ranges.
    ///
    /// # Errors
    /// Where the record is damaged.
    pub fn gaps(&self) -> Result<Vec<std::ops::Range<usize>>> {
        Ok(Covered::of(&self.covered)?.missing(0..crate::accumulators::fields::index(self.question.images)?))
    }
}

impl StateFile {
    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write(path, &self.bytes()?)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// Where a column cannot be laid out: a defect.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let wrong = |e: safetensors::SafeTensorError| Error::internal(e.to_string());
        let columns = self.entries.iter().enumerate().flat_map(|(i, entry)| {
            entry.fields.0.iter().map(move |(name, field)| (format!("{}/{name}", i + 1), raw(field)))
        });
        let columns: Vec<(String, Raw)> = columns.collect();
        let mut header = Header {
            format: FORMAT.into(),
            version: VERSION,
            facts: self.facts.clone(),
            questions: self.entries.clone(),
            blake3: content(columns.iter().map(|(name, (_, _, bytes))| (name.as_str(), &bytes[..]))),
            head: BLANK.into(),
        };
        let text = |header: &Header| serde_json::to_string(header).map_err(|e| Error::internal(e.to_string()));
        header.head = digest(text(&header)?.as_bytes());
        let text = text(&header)?;
        let views = columns
            .iter()
            .map(|(name, (dtype, n, bytes))| Ok((name, TensorView::new(*dtype, vec![*n], bytes).map_err(wrong)?)))
            .collect::<Result<Vec<_>>>()?;
        safetensors::serialize(views, Some(HashMap::from([(KEY.to_string(), text)]))).map_err(wrong)
    }

    /// Reads a state file.
    ///
    /// # Errors
    /// Where it is none, or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let place = || format!("`{}`", path.display());
        Self::of(&regular::read(path, |_| Ok(()))?).context(place)
    }

    /// The states in the bytes of a state file.
    ///
    /// # Errors
    /// Where they are none, or damaged.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        let hint = "`convscope shard` writes state files";
        let none = |e: safetensors::SafeTensorError| Error::format(format!("is no state file: {e}")).hint(hint);
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(none)?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let text = text.ok_or_else(|| Error::format("is a .safetensors file without states").hint(hint))?;
        let about: serde_json::Value = serde_json::from_str(text).map_err(|e| Error::format(e.to_string()))?;
        if about["format"] != FORMAT {
            return Err(Error::format("is a .safetensors file without states").hint(hint));
        }
        if about["version"] != VERSION && about["version"] != VERSION_WITHOUT_HEAD {
            return Err(Error::unsupported(format!(
                "is a state file of version {}, this program reads versions {VERSION_WITHOUT_HEAD} and {VERSION}",
                about["version"]
            ))
            .hint("compute all states with one version of convscope"));
        }
        let header: Header =
            serde_json::from_value(about).map_err(|e| Error::format(format!("a damaged head: {e}")))?;
        let whole =
            header.head.len() == BLANK.len() && digest(text.replacen(&header.head, BLANK, 1).as_bytes()) == header.head;
        if !whole && header.version != VERSION_WITHOUT_HEAD {
            return Err(Error::format("the head is damaged: its digest is another").hint("compute it again"));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(none)?;
        let mut columns: Vec<(String, TensorView<'_>)> = tensors.tensors();
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        if content(columns.iter().map(|(name, view)| (name.as_str(), view.data()))) != header.blake3 {
            return Err(Error::format("the state is damaged: its digest is another").hint("compute it again"));
        }
        let mut entries = header.questions;
        for (name, view) in &columns {
            let (number, column) = name.split_once('/').unwrap_or_default();
            let entry = number.parse::<usize>().ok().and_then(|n| entries.get_mut(n.checked_sub(1)?));
            let (Some(entry), Some(field)) = (entry, field(view)) else {
                return Err(Error::format(format!("the column `{name}` belongs to no question")));
            };
            entry.fields.0.insert(column.to_string(), field);
        }
        for entry in &entries {
            if entry.question.digest() != entry.digest {
                return Err(
                    Error::format("the head is damaged: a question's digest is another").hint("compute it again")
                );
            }
            entry.check()?;
        }
        Ok(StateFile { facts: header.facts, entries })
    }

    /// An error unless states with those `facts` can be joined with these, which are in the file `place`.
    ///
    /// # Errors
    /// Names the first fact that differs.
    pub fn check_facts(&self, facts: &BTreeMap<String, String>, place: &str) -> Result<()> {
        for (name, here) in facts {
            let there = self.facts.get(name).map_or("unknown", String::as_str);
            if there != here {
                return Err(Error::value(format!(
                    "`{place}` was made otherwise: {name} is {there} there, {here} here"
                ))
                .hint("states join where engine, numerics, script and parameters are the same"));
            }
        }
        Ok(())
    }
}

/// Joins states, the first of them first; `merge_kind` joins the columns of one kind of state.
///
/// # Errors
/// Where they are of different questions, engines or scripts, an image would count twice (the two files are named), or a
/// state is damaged.
pub fn merge(
    files: impl IntoIterator<Item = (String, Result<StateFile>)>,
    merge_kind: impl Fn(&str, Vec<Fields>) -> Result<Fields>,
) -> Result<StateFile> {
    let mut whole: Option<StateFile> = None;
    let mut parts: Vec<Vec<Fields>> = Vec::new();
    // Of each question, who covers what: to name both files of an image that would count twice.
    let mut owners: Vec<BTreeMap<u64, (u64, String)>> = Vec::new();
    for (place, file) in files {
        let mut file = file?;
        let known = match &whole {
            Some(known) => {
                file.check_facts(&known.facts, &place)?;
                Some(known)
            }
            None => None,
        };
        if known.is_some_and(|k| k.entries.len() != file.entries.len()) {
            return Err(Error::value(format!(
                "`{place}` holds {} questions, the states before it {}",
                file.entries.len(),
                known.map_or(0, |k| k.entries.len())
            ))
            .hint("a script whose questions depend on answers is sharded question by question"));
        }
        parts.resize(file.entries.len(), Vec::new());
        owners.resize(file.entries.len(), BTreeMap::new());
        for (i, entry) in file.entries.iter_mut().enumerate() {
            if let Some(known) = known {
                known.entries[i].question.check(&entry.question, &place)?;
                if entry.kind != known.entries[i].kind {
                    let (here, there) = (&known.entries[i].kind, &entry.kind);
                    return Err(Error::format(format!("`{place}` holds a state of kind `{there}`, not `{here}`"))
                        .hint("all shards are computed with one version of convscope; compute the state again"));
                }
            }
            for [start, end] in &entry.covered {
                let before = owners[i].range(..end).next_back().filter(|(_, (last, _))| last > start);
                if let Some((first, (last, owner))) = before {
                    return Err(Error::value(format!(
                        "images {} to {} are in `{owner}` and in `{place}`",
                        start.max(first),
                        end.min(last) - 1
                    ))
                    .hint("each image counts once: leave one of the files out"));
                }
                owners[i].insert(*start, (*end, place.clone()));
            }
            parts[i].push(std::mem::take(&mut entry.fields));
            if parts[i].len() >= AT_ONCE {
                parts[i] = vec![merge_kind(&entry.kind, std::mem::take(&mut parts[i]))?];
            }
        }
        match &mut whole {
            None => whole = Some(file),
            Some(whole) => {
                for (known, entry) in whole.entries.iter_mut().zip(file.entries) {
                    let mut covered = Covered::of(&known.covered)?;
                    covered.merge(&Covered::of(&entry.covered)?)?;
                    let mut broken = Broken::of(&known.broken)?;
                    broken.merge(Broken::of(&entry.broken)?)?;
                    (known.covered, known.broken) = (covered.record(), broken.record());
                }
            }
        }
    }
    let mut whole = whole.ok_or_else(|| Error::value("no states to merge").hint("name at least one state file"))?;
    for (entry, parts) in whole.entries.iter_mut().zip(parts) {
        entry.fields = merge_kind(&entry.kind, parts)?;
    }
    Ok(whole)
}

/// A column as the file holds it: the kind of its numbers, how many, and their bytes.
type Raw = (Dtype, usize, Vec<u8>);

fn raw(field: &Field) -> Raw {
    match field {
        Field::Words(v) => (Dtype::U64, v.len(), v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Field::Singles(v) => (Dtype::F32, v.len(), v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Field::Doubles(v) => (Dtype::F64, v.len(), v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Field::Bytes(v) => (Dtype::U8, v.len(), v.clone()),
    }
}

fn field(view: &TensorView<'_>) -> Option<Field> {
    fn each<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|c| read(*c)).collect()
    }
    match view.dtype() {
        Dtype::U64 => Some(Field::Words(each(view.data(), u64::from_le_bytes))),
        Dtype::F32 => Some(Field::Singles(each(view.data(), f32::from_le_bytes))),
        Dtype::F64 => Some(Field::Doubles(each(view.data(), f64::from_le_bytes))),
        Dtype::U8 => Some(Field::Bytes(view.data().to_vec())),
        _ => None,
    }
}

/// The digest of columns, whatever their order.
fn content<'a>(columns: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut sorted: Vec<(&str, &[u8])> = columns.collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in sorted {
        hasher.update(name.as_bytes()).update(&[0]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    hasher.finalize().to_hex().to_string()
}
