//! The classes that people and nets choose from, and a net's outputs for each.

use crate::error::{Context, Error, Result};
use crate::limits::TEXT;
use crate::load::labels::{from_json, read_labels};
use crate::model::card::{Card, Class};
use crate::params::{Form, Param, Value, wrong_kind};
use crate::regular;
use std::path::{Path, PathBuf};

/// The classes to choose from, as given in an option.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassList {
    /// Those of the net, or the labels of the data set.
    #[default]
    Own,
    /// In a file: names as [`read_labels`] reads them, or a JSON object from each name to the net's outputs of that class.
    File(PathBuf),
    /// Names.
    Names(Vec<String>),
    /// Names, each with the net's outputs for the class.
    Groups(Vec<(String, Vec<usize>)>),
}

impl Param for ClassList {
    const FILE: bool = true;

    fn form() -> Form {
        Form::words("a file's path, a list of names, or a map from each name to a list of the net's outputs")
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Nothing => Ok(ClassList::Own),
            Value::Text(path) => Ok(ClassList::File(path.into())),
            Value::List(items) if !items.is_empty() => {
                Ok(ClassList::Names(items.iter().map(String::read).collect::<Result<_>>()?))
            }
            Value::Map(groups) if !groups.is_empty() => Ok(ClassList::Groups(
                groups.iter().map(|(name, v)| Ok((name.clone(), Vec::<usize>::read(v)?))).collect::<Result<_>>()?,
            )),
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        let text = |s: &String| Value::Text(s.clone());
        match self {
            ClassList::Own => Value::Nothing,
            ClassList::File(path) => Value::Text(path.to_string_lossy().into_owned()),
            ClassList::Names(names) => Value::List(names.iter().map(text).collect()),
            ClassList::Groups(groups) => {
                Value::Map(groups.iter().map(|(name, outputs)| (name.clone(), outputs.clone().write())).collect())
            }
        }
    }
}

/// Classes with their synonyms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    card: Card,
    groups: Option<Vec<Vec<usize>>>,
}

impl Classes {
    /// Classes from labels; "tabby, tabby cat" is a name and a synonym.
    pub fn of(labels: &[String]) -> Self {
        let classes = labels.iter().map(|l| Class::from_label(l)).collect();
        Classes { card: Card { classes, ..Card::named("the classes") }, groups: None }
    }

    /// Classes with several outputs of a net each.
    pub fn of_groups(groups: Vec<(String, Vec<usize>)>) -> Self {
        let (names, outputs): (Vec<String>, Vec<Vec<usize>>) = groups.into_iter().unzip();
        Classes { groups: Some(outputs), ..Self::of(&names) }
    }

    /// Reads the classes in a file; see [`ClassList::File`].
    ///
    /// # Errors
    /// Where it cannot be read or has no classes.
    pub fn read(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            let text = regular::read_text(path, |bytes| TEXT.check(bytes))?;
            if let Some(groups) = groups(&text) {
                return Ok(Self::of_groups(groups));
            }
            let labels = from_json(&text).context(|| format!("classes `{}`", path.display()))?;
            if !labels.is_empty() {
                return Ok(Self::of(&labels));
            }
        }
        Ok(Self::of(&read_labels(path)?))
    }

    /// The number of classes.
    pub fn len(&self) -> usize {
        self.card.classes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.card.classes.is_empty()
    }

    /// The classes, each with its synonyms.
    pub fn list(&self) -> &[Class] {
        &self.card.classes
    }

    /// The name of class `index`.
    pub fn name(&self, index: usize) -> &str {
        &self.card.classes[index].name
    }

    /// The class called `name`: by its name (ignoring case), a synonym, or a prefix of words that is unique.
    ///
    /// # Errors
    /// Where no class or several match; the hint lists them.
    pub fn index(&self, name: &str) -> Result<usize> {
        self.card.class_index(name)
    }

    /// The outputs for each class, for a net with this card.
    ///
    /// # Errors
    /// Where the net has no output for a class.
    pub fn outputs(&self, card: &Card, outputs: usize) -> Result<Vec<Vec<usize>>> {
        let Some(groups) = &self.groups else {
            let own = |c: &Class| {
                let names = std::iter::once(&c.name).chain(&c.synonyms);
                let mut last = Err(Error::internal("a class without a name"));
                for name in names {
                    last = card.class_index(name);
                    if last.is_ok() {
                        break;
                    }
                }
                last.map(|i| vec![i])
            };
            return self.card.classes.iter().map(own).collect();
        };
        // Labels are counted without the background output, where the net has one.
        let shift = usize::from(card.classes.first().is_some_and(|c| c.name == "background"));
        for (name, group) in self.card.classes.iter().zip(groups) {
            if let Some(wrong) = group.iter().find(|i| **i + shift >= outputs) {
                return Err(Error::value(format!(
                    "class `{}` means output {wrong} of `{}`, which has {outputs}",
                    name.name, card.name
                )));
            }
        }
        Ok(groups.iter().map(|g| g.iter().map(|i| i + shift).collect()).collect())
    }
}

/// The probability of each class: the mean over its outputs, normalised to the sum 1.
pub fn shares(probabilities: &[f64], outputs: &[Vec<usize>]) -> Vec<f64> {
    let mean = |group: &Vec<usize>| group.iter().map(|i| probabilities[*i]).sum::<f64>() / group.len().max(1) as f64;
    let means: Vec<f64> = outputs.iter().map(mean).collect();
    let total: f64 = means.iter().sum();
    means.iter().map(|m| if total > 0.0 { m / total } else { 1.0 / means.len() as f64 }).collect()
}

/// The indices of the `n` largest values; equal ones by index.
pub fn best(values: &[f64], n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    order.truncate(n);
    order
}

/// Groups from JSON: an object from names to lists of indices.
fn groups(text: &str) -> Option<Vec<(String, Vec<usize>)>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let entries = value.as_object().filter(|o| !o.is_empty())?;
    let outputs = |v: &serde_json::Value| -> Option<Vec<usize>> {
        v.as_array().filter(|a| !a.is_empty())?.iter().map(|i| Some(i.as_u64()? as usize)).collect()
    };
    entries.iter().map(|(name, v)| Some((name.clone(), outputs(v)?))).collect()
}
