//! Trials: subjects' answers about images, from a session's log, a table of a published experiment, or a list in a script.

use super::log::{Tag, parse, standing, tags};
use crate::data::pattern::matching;
use crate::error::{Context, Error, Result, did_you_mean};
use crate::limits::TEXT;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::regular;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A subject's answer about one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// The subject.
    pub subject: String,
    /// The image's name in its file.
    pub image: String,
    /// The guessed classes in order; empty for a skipped image or a missing response.
    pub guesses: Vec<String>,
    /// The time to answer, seconds.
    pub time_s: Option<f64>,
    /// The right class, where the table has it.
    pub label: Option<String>,
}

/// Trials, and reviewers' kinds of the errors among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    /// The trials in the order of their file.
    pub all: Vec<Trial>,
    /// The kinds of errors.
    pub tags: Vec<Tag>,
}

/// The source of trials, as given in an option.
#[derive(Clone, Debug, Default)]
pub enum TrialSource {
    /// None.
    #[default]
    None,
    /// A session's .jsonl or a .csv table; a pattern such as `labels-*.jsonl` stands for several files.
    File(PathBuf),
    /// Rows of a script: maps with `labeller`, `image`, `guesses`, and optionally `time_s`, `label`.
    Rows(Vec<BTreeMap<String, Value>>),
}

impl Param for TrialSource {
    const FILE: bool = true;

    fn form() -> Form {
        Form::words("the path of a .jsonl file of `convscope label` or of a .csv table, or a list of maps")
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Nothing => Ok(TrialSource::None),
            Value::Text(path) => Ok(TrialSource::File(path.into())),
            Value::List(items) => {
                let rows = items.iter().map(|v| match v {
                    Value::Map(row) => Ok(row.clone()),
                    other => Err(wrong_kind::<Self>(other)),
                });
                Ok(TrialSource::Rows(rows.collect::<Result<_>>()?))
            }
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            TrialSource::None => Value::Nothing,
            TrialSource::File(path) => Value::Text(path.to_string_lossy().into_owned()),
            TrialSource::Rows(rows) => Value::List(rows.iter().cloned().map(Value::Map).collect()),
        }
    }
}

/// The columns of a table, and the names by which each is recognised.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("labeller", &["labeller", "labeler", "subject", "subj", "participant", "annotator", "worker"]),
    ("image", &["image", "imagename", "image_id", "file", "filename", "path"]),
    ("guess", &["guess", "guesses", "response", "object_response", "answer"]),
    ("time_s", &["time_s", "rt_s", "rt", "time"]),
    ("label", &["label", "truth", "category"]),
];

/// A map from trials' fields to a table's columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(pub BTreeMap<String, String>);

impl Param for Columns {
    fn form() -> Form {
        let known = COLUMNS.map(|(name, _)| name).join(", ");
        Form::words(&format!("a map from {known} to the table's column"))
    }

    fn read(value: &Value) -> Result<Self> {
        let Value::Map(map) = value else { return Err(wrong_kind::<Self>(value)) };
        if let Some(name) = map.keys().find(|k| !COLUMNS.iter().any(|(c, _)| c == k)) {
            let hint = did_you_mean(name, COLUMNS.map(|c| c.0)).unwrap_or_else(|| Self::form().words);
            return Err(Error::not_found(format!("no column `{name}` can be mapped")).hint(hint));
        }
        Ok(Columns(map.iter().map(|(k, v)| Ok((k.clone(), String::read(v)?))).collect::<Result<_>>()?))
    }

    fn write(&self) -> Value {
        Value::Map(self.0.iter().map(|(k, v)| (k.clone(), Value::Text(v.clone()))).collect())
    }
}

impl Trials {
    /// Reads the trials that an option refers to.
    ///
    /// # Errors
    /// Where there are none or they cannot be read.
    pub fn of(labels: &TrialSource, columns: &Columns) -> Result<Self> {
        let trials = match labels {
            TrialSource::None => {
                return Err(Error::value("no labels were given").hint(
                    "give the file of a session or a table: labels: \"labels.jsonl\"; `convscope label` makes one",
                ));
            }
            TrialSource::File(path) => Self::read(path, columns)?,
            TrialSource::Rows(rows) => Trials { all: rows.iter().map(row).collect::<Result<_>>()?, tags: Vec::new() },
        };
        if trials.all.is_empty() {
            return Err(Error::value("there is no answer among the labels"));
        }
        Ok(trials)
    }

    /// Reads the trials in a file, or in all files that match a pattern.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn read(path: &Path, columns: &Columns) -> Result<Self> {
        let text = path.to_string_lossy();
        if !path.exists() && text.contains(['*', '?', '[']) {
            let mut all = Trials::default();
            for path in matching(path)? {
                let one = Self::read_one(&path, columns)?;
                all.all.extend(one.all);
                all.tags.extend(one.tags);
            }
            return Ok(all);
        }
        Self::read_one(path, columns)
    }

    fn read_one(path: &Path, columns: &Columns) -> Result<Self> {
        let bytes = regular::read(path, |bytes| TEXT.check(bytes))?;
        let at = || format!("`{}`", path.display());
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
            return Ok(Trials { all: table(&bytes, columns).context(at)?, tags: Vec::new() });
        }
        // A line that a crash cut off was never acknowledged.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let whole = if parse(&bytes[whole..]).is_ok() { bytes.len() } else { whole };
        let entries = parse(&bytes[..whole]).context(at)?;
        let all = standing(&entries).into_iter().map(|a| Trial {
            subject: a.labeller.clone(),
            image: a.image.clone(),
            guesses: a.guesses.clone(),
            time_s: a.time_s,
            label: None,
        });
        Ok(Trials { all: all.collect(), tags: tags(&entries).into_iter().cloned().collect() })
    }

    /// The subjects, in the order of their first trials.
    pub fn subjects(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for trial in &self.all {
            if !all.contains(&trial.subject) {
                all.push(trial.subject.clone());
            }
        }
        all
    }
}

fn table(bytes: &[u8], columns: &Columns) -> Result<Vec<Trial>> {
    let damaged = |e: csv::Error| Error::format(e.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header: Vec<String> =
        reader.headers().map_err(damaged)?.iter().map(|h| h.trim_start_matches('\u{feff}').to_string()).collect();
    let place = |name: &str| -> Result<Option<usize>> {
        if let Some(wanted) = columns.0.get(name) {
            return header.iter().position(|h| h == wanted).map(Some).ok_or_else(|| {
                let list = header.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
                Error::not_found(format!("no column `{wanted}` for `{name}`")).hint(format!("the columns are {list}"))
            });
        }
        let known = COLUMNS.iter().find(|(c, _)| *c == name).map_or(&[][..], |(_, known)| known);
        Ok(known.iter().find_map(|k| header.iter().position(|h| h.eq_ignore_ascii_case(k))))
    };
    let needed = |name: &str| -> Result<usize> {
        place(name)?.ok_or_else(|| {
            Error::format(format!("no column `{name}` among `{}`", header.join("`, `")))
                .hint(format!("say which it is: columns: #{{ {name}: \"..\" }}"))
        })
    };
    let (who, image, guess) = (needed("labeller")?, needed("image")?, needed("guess")?);
    let (time, label) = (place("time_s")?, place("label")?);
    let trial = |row: csv::StringRecord| {
        let text = |i: Option<usize>| i.and_then(|i| row.get(i)).filter(|t| !t.is_empty()).map(str::to_string);
        Trial {
            subject: row[who].to_string(),
            image: row[image].to_string(),
            guesses: row[guess].split(';').filter_map(given).collect(),
            time_s: text(time).and_then(|t| t.parse().ok()).filter(|t: &f64| t.is_finite()),
            label: text(label),
        }
    };
    reader.records().map(|r| r.map(trial).map_err(damaged)).collect()
}

/// A guess; none where the text says that there was none.
fn given(text: &str) -> Option<String> {
    let text = text.trim();
    (!matches!(text.to_ascii_lowercase().as_str(), "" | "na" | "nan" | "none")).then(|| text.to_string())
}

fn row(row: &BTreeMap<String, Value>) -> Result<Trial> {
    let text = |name: &str| match row.get(name) {
        None | Some(Value::Nothing) => Ok(None),
        Some(v) => String::read(v).map(Some).map_err(|e| e.context(format!("`{name}` of a label"))),
    };
    let needed = |name: &str| {
        text(name)?.ok_or_else(|| {
            Error::value(format!("a label without `{name}`"))
                .hint("#{ labeller: \"ann\", image: \"cat.jpg\", guesses: [\"tabby\"] }")
        })
    };
    let guesses = match row.get("guesses").or(row.get("guess")) {
        Some(Value::Text(one)) => vec![one.clone()],
        Some(v @ Value::List(_)) => Vec::<String>::read(v).map_err(|e| e.context("`guesses` of a label"))?,
        Some(Value::Nothing) | None => Vec::new(),
        Some(other) => return Err(wrong_kind::<Vec<String>>(other).context("`guesses` of a label")),
    };
    let time_s = row.get("time_s").map(f64::read).transpose().map_err(|e| e.context("`time_s` of a label"))?;
    Ok(Trial { subject: needed("labeller")?, image: needed("image")?, guesses, time_s, label: text("label")? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn published_tables_are_read_by_their_own_columns() {
        let text =
            "subj,imagename,object_response,rt,condition\ns1,a.png,cat,0.5,x\ns1,b.png,na,,x\ns2,a.png,dog;cat,1,x\n";
        let all = table(text.as_bytes(), &Columns::default()).unwrap();
        assert_eq!(all[0].guesses, ["cat"]);
        assert_eq!((all[0].subject.as_str(), all[0].time_s), ("s1", Some(0.5)));
        assert!(all[1].guesses.is_empty() && all[1].time_s.is_none());
        assert_eq!(all[2].guesses, ["dog", "cat"]);
        let mapped = Columns([("guess".to_string(), "condition".to_string())].into());
        assert_eq!(table(text.as_bytes(), &mapped).unwrap()[0].guesses, ["x"]);
        let missing = Columns([("guess".to_string(), "answered".to_string())].into());
        assert!(table(text.as_bytes(), &missing).unwrap_err().hint.unwrap().contains("`object_response`"));
        assert!(table(b"a,b\n1,2\n", &Columns::default()).unwrap_err().message.contains("no column `labeller`"));
    }
}
