//! Accuracy and confusions of predictions without a net.

use super::shares;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::predictions::{Predicted, Predictions};
use crate::show::Artifact;
use std::collections::{BTreeMap, BTreeSet};

/// Accuracy and confusions of predictions.
pub trait EvaluatePredictions {
    /// As [`accuracy`](super::Evaluate::accuracy): `top5` only where an image has five guesses. Without `data` the truths are the
    /// file's own.
    ///
    /// # Errors
    /// Where no truth is known, no prediction is about an image of the data set, or classes do not match.
    fn accuracy(&self, data: Option<&Dataset>) -> Result<Artifact>;

    /// As [`confusion`](super::Evaluate::confusion), of the first guesses.
    ///
    /// # Errors
    /// As [`EvaluatePredictions::accuracy`].
    fn confusion(&self, data: Option<&Dataset>) -> Result<Artifact>;
}

impl EvaluatePredictions for Predictions {
    fn accuracy(&self, data: Option<&Dataset>) -> Result<Artifact> {
        let known = Known::of(self, data)?;
        let five = self.most() >= 5;
        let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
        for (row, truth) in &known.rows {
            let of = counts.entry(truth.clone()).or_default();
            of[0] += 1;
            of[1] += usize::from(row.hit(truth, 1));
            of[2] += usize::from(row.hit(truth, 5));
        }
        let made = shares::accuracy(known.title("accuracy"), counts.into_iter().collect(), five)?;
        let alone = (!five).then(|| format!("at most {} guesses an image are known: no top5", self.most()));
        Ok(made.notes(known.notes).notes(alone).note("intervals are Wilson's, 95 %"))
    }

    fn confusion(&self, data: Option<&Dataset>) -> Result<Artifact> {
        let known = Known::of(self, data)?;
        // Names are compared as accuracy compares them, whatever their case; the truth's spelling is shown.
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let guesses = known.rows.iter().filter_map(|(row, _)| row.guesses.first());
        for name in known.rows.iter().map(|(_, truth)| truth).chain(guesses) {
            names.entry(name.to_lowercase()).or_insert_with(|| name.clone());
        }
        let order: Vec<&String> = names.keys().collect();
        let place = |name: &str| order.binary_search(&&name.to_lowercase()).unwrap_or(0);
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut present = BTreeSet::new();
        for (row, truth) in &known.rows {
            present.insert(place(truth));
            if let Some(guess) = row.guesses.first() {
                *counts.entry((place(truth), place(guess))).or_default() += 1;
            }
        }
        let present: Vec<usize> = present.into_iter().collect();
        let name = |i: usize| names[order[i]].clone();
        Ok(shares::confusion(known.title("confusions"), counts.into_iter(), &present, name)?.notes(known.notes))
    }
}

/// Predictions with their truths.
struct Known<'a> {
    rows: Vec<(&'a Predicted, String)>,
    notes: Vec<String>,
    name: &'a str,
    of: String,
}

impl<'a> Known<'a> {
    fn of(predictions: &'a Predictions, data: Option<&Dataset>) -> Result<Self> {
        let data = data.unwrap_or(&predictions.data);
        let (rows, note) = predictions.of(data)?;
        let asked = rows.iter().flatten().count();
        let with = rows.iter().enumerate().filter_map(|(i, row)| {
            let row = (*row)?;
            Some((row, row.truth.clone().or_else(|| data.label(i))?))
        });
        let with: Vec<(&Predicted, String)> = with.collect();
        if with.is_empty() {
            return Err(Error::value(format!("the truth of no image that `{}` is about is known", predictions.name))
                .hint("a column `truth`, or a data set with labels: predictions.accuracy(data)"));
        }
        let without = asked - with.len();
        let left = (without > 0).then(|| format!("{without} images without a label are left out"));
        Ok(Known {
            rows: with,
            notes: note.into_iter().chain(left).collect(),
            name: &predictions.name,
            of: data.name.clone(),
        })
    }

    fn title(&self, what: &str) -> String {
        if self.of == self.name {
            format!("{what} of {}", self.name)
        } else {
            format!("{what} of {} on {}", self.name, self.of)
        }
    }
}
