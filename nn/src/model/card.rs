//! A net's card: classes, preprocessing, and the meaning of the outputs, which the graph does not say.

use super::boxes::BoxDecoding;
use super::outputs::OutputKind;
use crate::error::{Error, Result, suggestions};
use crate::image::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

/// One class: its name and other names for the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// The name that figures show.
    pub name: String,
    /// Other names under which it is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// Its WordNet id, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Class {
    /// A class from a label such as "tabby, tabby cat": the first name counts, the others are synonyms. A WordNet id may stand
    /// before the names: "n02123045 tabby, tabby cat".
    pub fn from_label(label: &str) -> Self {
        let (id, label) = match label.trim().split_once(char::is_whitespace) {
            Some((id, names)) if is_wordnet(id) && !names.trim().is_empty() => (Some(id.to_string()), names),
            _ => (None, label),
        };
        let mut names = label.split(',').map(|s| s.trim().to_string()).filter(|s| !s.is_empty());
        let name = names.next().unwrap_or_else(|| label.trim().to_string());
        Class { name, synonyms: names.collect(), id }
    }
}

/// Whether a text is a WordNet id of a noun, such as n02123045.
fn is_wordnet(text: &str) -> bool {
    text.len() == 9 && text.starts_with('n') && text[1..].bytes().all(|b| b.is_ascii_digit())
}

/// Which output is the background where there is one name less than outputs; written as 0, -1 or "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BackgroundOption", into = "BackgroundOption")]
pub enum Background {
    /// Output 0.
    First,
    /// The last output.
    Last,
    /// None: there have to be as many names as outputs.
    Nowhere,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BackgroundOption {
    Output(i64),
    Word(String),
}

impl TryFrom<BackgroundOption> for Background {
    type Error = Error;

    fn try_from(option: BackgroundOption) -> Result<Self> {
        match option {
            BackgroundOption::Output(0) => Ok(Background::First),
            BackgroundOption::Output(-1) => Ok(Background::Last),
            BackgroundOption::Word(word) if word.eq_ignore_ascii_case("none") => Ok(Background::Nowhere),
            BackgroundOption::Output(_) | BackgroundOption::Word(_) => {
                Err(Error::value("background is neither 0 (the first output), -1 (the last) nor \"none\""))
            }
        }
    }
}

impl From<Background> for BackgroundOption {
    fn from(background: Background) -> Self {
        match background {
            Background::First => BackgroundOption::Output(0),
            Background::Last => BackgroundOption::Output(-1),
            Background::Nowhere => BackgroundOption::Word("none".into()),
        }
    }
}

/// What is known of a net besides its graph and weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The net's name.
    pub name: String,
    /// Where it came from: a path, a package, a repository.
    #[serde(default)]
    pub source: String,
    /// The licence of the weights, if known.
    #[serde(default)]
    pub license: String,
    /// One class for each raw output, or none where the labels are unknown.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// What the outputs mean, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputKind>,
    /// How a detector's outputs are read as boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<BoxDecoding>,
    /// The other class of a net with one output: the complement of the output's class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complement: Option<Class>,
    /// How a photo becomes the net's input; without it photos are refused and only tensors pass.
    #[serde(default)]
    pub preprocess: Option<Preprocess>,
    /// The sampling rate of the signals that the net takes, Hz, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Where the axes of the volumes that the net takes point: three letters such as "RAS".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// BLAKE3 of the weight file, hexadecimal, where it was computed.
    #[serde(default)]
    pub digest: Option<String>,
    /// What a reader should know: substitutions made while loading, peculiarities of the file.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Card {
    /// A card that knows only the name.
    pub fn named(name: impl Into<String>) -> Self {
        Card { name: name.into(), ..Card::default() }
    }

    /// The same card with `labels`, one a raw output. n labels for n + 1 outputs: output 0 is "background", which a note
    /// says. Two labels for one output: its complement and its class.
    ///
    /// # Errors
    /// Where the numbers fit neither way.
    pub fn with_labels(self, labels: &[String], outputs: usize) -> Result<Self> {
        self.with_labels_and(labels, outputs, None)
    }

    /// As [`Card::with_labels`]; of n labels for n + 1 outputs, `background` says which output has none, where that is known.
    ///
    /// # Errors
    /// As [`Card::with_labels`], and where n labels are to name n + 1 outputs of which none is the background.
    pub fn with_labels_and(
        mut self,
        labels: &[String],
        outputs: usize,
        background: Option<Background>,
    ) -> Result<Self> {
        let n = labels.len();
        let mut classes: Vec<Class> = labels.iter().map(|l| Class::from_label(l)).collect();
        if n + 1 == outputs && background != Some(Background::Nowhere) {
            let at = if background == Some(Background::Last) { n } else { 0 };
            classes.insert(at, Class::from_label("background"));
            if background.is_none() {
                self.notes.push(format!(
                    "{n} names for {outputs} outputs: output 0 is taken for the background, output 1 for `{}`, which is assumed; \
                     `background: -1` takes the last output for it, `background: 0` says that it is so",
                    labels.first().map_or("", String::as_str)
                ));
            }
        } else if n == 2 && outputs == 1 {
            self.complement = Some(classes.remove(0));
        } else if n != outputs {
            let hint = match background {
                Some(Background::Nowhere) => "give one label an output",
                Some(_) | None => "give one label an output, or one less where one output is the background",
            };
            return Err(Error::value(format!("{n} labels for {outputs} outputs of `{}`", self.name)).hint(hint));
        }
        self.classes = classes;
        Ok(self)
    }

    /// The name of output `index`: its class, or "class 7" where labels are unknown. For a net with one output, index 1 is the
    /// complement.
    pub fn class_name(&self, index: usize) -> String {
        if let (1, [only]) = (index, &self.classes[..]) {
            return self.complement.as_ref().map_or_else(|| format!("not {}", only.name), |c| c.name.clone());
        }
        self.classes.get(index).map_or_else(|| format!("class {index}"), |c| c.name.clone())
    }

    /// The output of the class called `name`: by the exact name (but for case), then by synonym or WordNet id, then by a word prefix
    /// that only one class has.
    ///
    /// # Errors
    /// Where none or several match; the hint lists them.
    pub fn class_index(&self, name: &str) -> Result<usize> {
        let want = name.trim().to_lowercase();
        if self.classes.is_empty() {
            return Err(Error::not_found(format!("no class `{name}`: the labels of `{}` are unknown", self.name))
                .hint("use the class's index, or load_model(.., #{ labels: \"labels.json\" })"));
        }
        let having = |test: &dyn Fn(&Class) -> bool| -> Vec<usize> {
            self.classes.iter().enumerate().filter(|(_, c)| test(c)).map(|(i, _)| i).collect()
        };
        let starts = |s: &str| {
            let lower = s.to_lowercase();
            lower.strip_prefix(&want).is_some_and(|rest| !want.is_empty() && !rest.starts_with(char::is_alphanumeric))
                || lower.split_whitespace().any(|w| w.starts_with(&want) && !want.is_empty())
        };
        let tests: [&dyn Fn(&Class) -> bool; 3] = [
            &|c| c.name.to_lowercase() == want,
            &|c| c.synonyms.iter().chain(&c.id).any(|s| s.to_lowercase() == want),
            &|c| starts(&c.name) || c.synonyms.iter().any(|s| starts(s)),
        ];
        for test in tests {
            match having(test)[..] {
                [] => {}
                [only] => return Ok(only),
                ref several => {
                    let list: Vec<String> =
                        several.iter().take(8).map(|i| format!("{i} `{}`", self.classes[*i].name)).collect();
                    let more = if several.len() > 8 { ", .." } else { "" };
                    return Err(Error::value(format!(
                        "`{name}` could be {} classes of `{}`",
                        several.len(),
                        self.name
                    ))
                    .hint(format!("name one, or give its index: {}{more}", list.join(", "))));
                }
            }
        }
        let names = self
            .classes
            .iter()
            .flat_map(|c| std::iter::once(c.name.as_str()).chain(c.synonyms.iter().map(String::as_str)));
        let close = suggestions(name, names);
        let hint = match close[..] {
            [] => format!("`{}` has {} classes; an index works too", self.name, self.classes.len()),
            _ => format!("did you mean {}?", close.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" or ")),
        };
        Err(Error::not_found(format!("no class `{name}` in `{}`", self.name)).hint(hint))
    }

    /// The index among decisions of the class that a data set calls `name`: as [`Card::class_index`], or 1 for the
    /// complement of the only output's class.
    ///
    /// # Errors
    /// As [`Card::class_index`].
    pub fn label_index(&self, name: &str) -> Result<usize> {
        let is = |class: &Class| {
            let names = std::iter::once(&class.name).chain(&class.synonyms).chain(&class.id);
            names.into_iter().any(|n| n.to_lowercase() == name.trim().to_lowercase())
        };
        if self.complement.as_ref().is_some_and(is) { Ok(1) } else { self.class_index(name) }
    }

    /// How photos become inputs.
    ///
    /// # Errors
    /// Where the card does not say; the hint is a line to fill in.
    pub fn preprocess(&self) -> Result<&Preprocess> {
        self.preprocess.as_ref().ok_or_else(|| {
            Error::unsupported(format!("`{}` does not say how photos are to be preprocessed", self.name)).hint(
                "say it: load_model(.., #{ size: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }), \
                 or pass a tensor (load_tensor)",
            )
        })
    }
}
