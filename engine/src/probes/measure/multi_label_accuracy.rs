//! Accuracy where an image shows several classes, all of which are right answers.
//!
//! Beyer et al. 2020, "Are we done with ImageNet?": ImageNet's validation images have one label each, though many show several of
//! its classes. People reassessed them (ReaL); a first guess is right if it is one of an image's answers, and images without any
//! answer are left out. Russakovsky et al. 2014, section 6.4, count "multiple objects" as the most frequent cause of GoogLeNet's errors.

use super::judged::{Ask, GroundTruth, Judged, Lookup};
use crate::data::{Attribute, Dataset};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::params::{Form, Param, Params as _, Value, wrong_kind};
use crate::probe::Probe;
use crate::show::{Artifact, Cell, Mark, Part, Pictures, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::collections::BTreeSet;

crate::params! {
    /// Two accuracies of one or several classifiers on images of which several classes are right: by the one label, and by any
    /// of an image's answers (ReaL accuracy). The images that are wrong by the label and right by the answers are shown.
    ///
    /// Arrays, a value a subject: `label` and `answers`, the shares of right first guesses, with `label_low`, `label_high`,
    /// `answers_low`, `answers_high` (Wilson 95 %); `forgiven`, the share of errors by the label that an answer excuses.
    #[probe(
        family = Measure,
        source = "Beyer et al. 2020, section 4",
        subjects = "a net or a list of nets, or predictions",
        input = Data,
        example = "multi_label_accuracy(#{ answers: [[\"star\", \"ring\"], [\"heart\"], []] }).run(net, data.take(3))"
    )]
    pub struct MultiLabelAccuracy as "multi_label_accuracy" {
        /// The right answers: the attribute that holds them (`load_images(.., #{ answers: "real.json" })` gives `answers`), separated
        /// by `;` or as a JSON list; or a list of lists of classes, one an image. An image with an empty list is left out.
        answers: Answers = Answers::Attribute("answers".into());
        /// What separates answers in an attribute's text, such as "," in the attribute `labels` of VOC's and COCO's images.
        separator: String = ";".to_string();
        /// Images shown that are wrong by the label and right by an answer.
        gallery: usize = 12, in 0..=200;
    }
}

/// Where the right answers are.
#[derive(Clone, Debug, PartialEq)]
pub enum Answers {
    /// In this attribute of the images.
    Attribute(String),
    /// Here: a list an image.
    Lists(Vec<Vec<String>>),
}

impl Param for Answers {
    fn form() -> Form {
        Form::words("an attribute's name, or a list of lists of classes")
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(name) => Ok(Answers::Attribute(name.clone())),
            Value::List(all) => Ok(Answers::Lists(all.iter().map(Vec::<String>::read).collect::<Result<_>>()?)),
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Answers::Attribute(name) => Value::Text(name.clone()),
            Answers::Lists(all) => Value::List(all.iter().map(Param::write).collect()),
        }
    }
}

impl Probe for MultiLabelAccuracy {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let data = input.data()?;
        let right = self.right(&data)?;
        let judged = self.judged(&right, on, &data, job)?;
        let (done, total) = judged.reached;
        Ok(self.report(&judged, &right, &data)?.notes(judged.notes).reached(done, total))
    }
}

impl MultiLabelAccuracy {
    /// The right answers of each image; none for one without.
    fn right(&self, data: &Dataset) -> Result<Vec<Vec<String>>> {
        let name = match &self.answers {
            Answers::Lists(all) if all.len() != data.len() => {
                return Err(Error::value(format!(
                    "{} lists of answers for {} images of `{}`",
                    all.len(),
                    data.len(),
                    data.name
                ))
                .hint("`answers` has a list an image, in the data set's order; an empty one leaves its image out"));
            }
            Answers::Lists(all) => return Ok(all.clone()),
            Answers::Attribute(name) => name,
        };
        if !data.attribute_names().contains(name) {
            return Err(Error::not_found(format!("the images of `{}` have no attribute `{name}`", data.name)).hint(
                "load_images(.., #{ answers: \"real.json\" }) gives it; a .csv table may have a column of classes between `;`",
            ));
        }
        let one = |item: &crate::data::Item| match item.attributes.get(name) {
            Some(Attribute::Text(text)) => split(text, &self.separator),
            Some(Attribute::Number(number)) => vec![number.to_string()],
            None => Vec::new(),
        };
        let all: Vec<Vec<String>> = data.items().map(|item| one(&item)).collect();
        if all.iter().all(Vec::is_empty) {
            return Err(Error::value(format!("the attribute `{name}` of `{}` holds no answer", data.name)));
        }
        Ok(all)
    }

    fn judged(&self, right: &[Vec<String>], on: &Subject, data: &Dataset, job: &Job) -> Result<Judged> {
        let known = |i: usize, label: Option<&str>, _: &Lookup<'_>| {
            let answers = right[i].clone();
            if answers.is_empty() {
                return Ok(None);
            }
            let own = label.map(str::to_string);
            let value = Attribute::Text(own.clone().unwrap_or_default());
            Ok(Some(GroundTruth { value, within: None, right: vec![own.into_iter().collect(), answers] }))
        };
        let part = job.ledger().map(|ledger| ledger.part_of(data.len(), &data.name)).transpose()?;
        let labels = data.labels_in(part.unwrap_or(0..data.len()))?;
        let classes: BTreeSet<String> = right.iter().flatten().cloned().chain(labels).collect();
        let (probe, classes) = ((self.name(), self.settings()), classes.into_iter().collect());
        Ask { probe, top: 1, lists: 2, classes, known: &known }.of(on, data, job)
    }

    fn report(&self, judged: &Judged, right: &[Vec<String>], data: &Dataset) -> Result<Artifact> {
        let n = judged.names.len();
        let mut table = Table::new([
            "subject",
            "images",
            "by the label",
            "label low",
            "label high",
            "by any answer",
            "answers low",
            "answers high",
            "errors by the label",
            "excused by an answer",
        ]);
        let mut columns: [Vec<f64>; 7] = Default::default();
        for (s, name) in judged.names.iter().enumerate() {
            let hit = |list: usize| move |hits: &[bool]| hits[2 * s + list];
            let labelled = || judged.seen.iter().filter(|seen| is_labelled(&seen.value));
            let (images, with) = (judged.seen.len(), labelled().count());
            let by_label = labelled().filter(|seen| hit(0)(&seen.hits)).count();
            let by_answer = judged.seen.iter().filter(|seen| hit(1)(&seen.hits)).count();
            let excused = labelled().filter(|seen| !hit(0)(&seen.hits) && hit(1)(&seen.hits)).count();
            let share = |k: usize, of: usize| k as f64 / of as f64;
            let (a, b) = (wilson(by_label, with, Z95), wilson(by_answer, images, Z95));
            let forgiven = share(excused, with - by_label);
            let values = [share(by_label, with), a.0, a.1, share(by_answer, images), b.0, b.1, forgiven];
            columns.iter_mut().zip(values).for_each(|(column, v)| column.push(v));
            let mut row: Vec<Cell> = vec![name.as_str().into(), images.into()];
            row.extend(values[..6].iter().map(|v| Cell::Float(*v)));
            row.extend([(with - by_label).into(), excused.into()]);
            table.push(row);
        }
        let series = |k: usize, name: &str, shift: f64| Series {
            name: name.into(),
            x: (0..n).map(|s| s as f64 + shift).collect(),
            y: columns[k].clone(),
            bars: columns[k + 1].iter().copied().zip(columns[k + 2].iter().copied()).collect(),
            mark: Mark::Point,
        };
        let plot = Plot {
            title: "right first guesses".into(),
            x_label: String::new(),
            y_label: "share of images, Wilson 95 %".into(),
            categories: judged.names.clone(),
            series: vec![series(0, "by the label", -0.1), series(3, "by any answer", 0.1)],
        };
        let mut artifact = Artifact::new(format!("one label or any answer on {}", data.name));
        let names = ["label", "label_low", "label_high", "answers", "answers_low", "answers_high", "forgiven"];
        for (name, column) in names.into_iter().zip(columns) {
            artifact = artifact.array(name, tensor(column, &[n])?);
        }
        artifact.primary = "answers".into();
        artifact = artifact.part(Part::Plot(plot)).part(Part::Table("right first guesses".into(), table));
        artifact = self.excused(judged, right, data, artifact)?;
        let unlabelled = judged.seen.iter().filter(|seen| !is_labelled(&seen.value)).count();
        let several = judged.images.iter().filter(|i| right[**i].len() > 1).count();
        let left = (judged.without > 0).then(|| format!("{} images without an answer are left out", judged.without));
        let bare = (unlabelled > 0).then(|| format!("{unlabelled} images without a label count for answers only"));
        Ok(artifact
            .notes(left)
            .notes(bare)
            .note(format!("{several} of {} images have several answers", judged.seen.len())))
    }

    /// The images on which the first subject is wrong by the label and right by an answer.
    fn excused(&self, judged: &Judged, right: &[Vec<String>], data: &Dataset, artifact: Artifact) -> Result<Artifact> {
        let is = |k: &usize| is_labelled(&judged.seen[*k].value) && !judged.seen[*k].hits[0] && judged.seen[*k].hits[1];
        let found: Vec<usize> = (0..judged.seen.len()).filter(is).collect();
        let mut images = Vec::new();
        for k in found.iter().take(self.gallery) {
            let i = judged.images[*k];
            // Of predictions alone the pixels need not be there.
            if let Ok(image) = data.get(i) {
                images.push((image, format!("label {}; right: {}", judged.seen[*k].value, right[i].join(", "))));
            }
        }
        if images.is_empty() {
            return Ok(artifact);
        }
        let title = format!("wrong by the label, right by an answer: {} images ({})", found.len(), judged.names[0]);
        Ok(artifact.part(Part::Pictures(Pictures { title, images, columns: None })))
    }
}

/// Whether an image's kept value is a label.
fn is_labelled(value: &Attribute) -> bool {
    !matches!(value, Attribute::Text(text) if text.is_empty())
}

/// The answers in a text: a JSON list of texts and numbers, or what stands between separators.
fn split(text: &str, separator: &str) -> Vec<String> {
    if let Ok(serde_json::Value::Array(all)) = serde_json::from_str(text.trim()) {
        let word = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
        return all.iter().map(word).collect();
    }
    let parts: Vec<&str> = if separator.is_empty() { vec![text] } else { text.split(separator).collect() };
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lists_or_stand_between_separators() {
        assert_eq!(split("cat; dog ;", ";"), ["cat", "dog"]);
        assert_eq!(split("[\"tench, Tinca tinca\", 3]", ";"), ["tench, Tinca tinca", "3"]);
        assert_eq!(split("cat, dog", ","), ["cat", "dog"]);
        assert!(split("", ";").is_empty() && split("[]", ";").is_empty());
    }
}
