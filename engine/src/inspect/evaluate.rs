//! A net's predictions, accuracy with intervals and confusions, streamed over data sets in batches that follow from the job's
//! memory.

use super::tallies::{Hits, Pairs};
use super::{Detect as _, Segment as _, shares};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::{Model, OutputKind, Readout};
use crate::show::{Artifact, Cell, Table};
use crate::stream::{StreamReport, fold, question, stream_tensors};
use crate::subject::Input;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

/// Predictions, accuracy and confusions of a net.
pub trait Evaluate {
    /// The `k` most probable classes for one input: class, index, probability (or value, where outputs are quantities); equal
    /// ones by index. A net with one output gives its class, then its complement, which has no index. A net whose output is a
    /// map of classes gives class, index, share of the places where it is predicted, and its mean probability. A detector gives
    /// its `k` best boxes ([`boxes`](super::Detect::boxes)).
    ///
    /// # Errors
    /// As [`Input::prepared`] and the forward pass.
    fn predict(&self, input: &Input, k: usize) -> Result<Table>;

    /// The most probable class of each image: file, label, class, index, probability.
    ///
    /// # Errors
    /// Where no image can be read (broken ones are left out, a note counts them), or the net's card does not say how photos
    /// are preprocessed.
    fn predict_all(&self, data: &Dataset, job: &Job) -> Result<Table>;

    /// The class probabilities of each image, nothing for one that cannot be read; fewer than there are images where the
    /// job was stopped.
    ///
    /// # Errors
    /// As [`Model::predict_all`].
    fn probabilities_of(&self, data: &Dataset, job: &Job) -> Result<(Vec<Option<Vec<f64>>>, StreamReport)>;

    /// How often the label is the most probable class (`top1`) and among the five most probable (`top5`), over all and by
    /// label, with Wilson 95 % intervals. For a net whose output is a map of classes, pixel accuracy and intersections over unions
    /// ([`pixel_accuracy`](super::Segment::pixel_accuracy)); for a detector, average precisions
    /// ([`average_precision`](super::Detect::average_precision)).
    ///
    /// # Errors
    /// Where no image has a label, a label is no class of the net, or no image can be read.
    fn accuracy(&self, data: &Dataset, job: &Job) -> Result<Artifact>;

    /// How often each class is predicted for each label: a map (rows are labels, columns the same classes, then all others) and
    /// a table of the confusions, most frequent first.
    ///
    /// # Errors
    /// As [`Model::accuracy`].
    fn confusion(&self, data: &Dataset, job: &Job) -> Result<Artifact>;
}

/// How far rounding may carry a probability beyond 0 or certainty, as a part of certainty.
const ROUNDING: f64 = 1e-3;

/// What to say where outputs that count as probabilities are none.
fn beyond_certainty(readout: &Readout, shown: &[f64]) -> Option<String> {
    let whole = readout.certainty();
    let allowed = -ROUNDING * whole..=(1.0 + ROUNDING) * whole;
    let beyond = shown.iter().find(|p| p.is_finite() && !allowed.contains(p))?;
    (readout.kind == OutputKind::Probability).then(|| {
        format!(
            "an output is {beyond:.4}, which is no probability: load_model(.., #{{ output: \"softmax\" }}) or \"sigmoid\" reads logits, \
             \"value\" quantities"
        )
    })
}

impl Evaluate for Model {
    fn predict(&self, input: &Input, k: usize) -> Result<Table> {
        if self.card().boxes.is_some() {
            return Ok(self.boxes(input)?.head(k));
        }
        if self.labels_readout().is_err() && self.class_maps().is_ok() {
            return self.pixel_shares(input, k);
        }
        let readout = self.labels_readout()?;
        let scores = self.scores(&input.prepared(self)?.x)?;
        let shown = readout.shown(&scores[0]);
        let mut table = Table::new(["class", "index", readout.word()]);
        for i in ranked(&shown).into_iter().take(k) {
            table.push([self.card().class_name(i).into(), i.into(), shown[i].into()]);
        }
        if readout.is_binary() && k > 1 {
            table.push([self.card().class_name(1).into(), Cell::Nothing, (readout.certainty() - shown[0]).into()]);
        }
        let missing = scores[0].iter().filter(|s| s.is_nan()).count();
        let note = (missing > 0).then(|| {
            format!(
                "{missing} of {} scores are NaN, not numbers: the net, or its input, holds values without bounds",
                scores[0].len()
            )
        });
        Ok(table.noted(note).noted(beyond_certainty(&readout, &shown)))
    }

    fn predict_all(&self, data: &Dataset, job: &Job) -> Result<Table> {
        let mut table = Table::new(["file", "label", "class", "index", "probability"]);
        let report = each(self, data, &whole(data), (job, "predict"), |i, probabilities| {
            let item = data.item(i)?;
            let best = ranked(probabilities)[0];
            let file = item.path().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
            table.push([
                file.map_or_else(|| Cell::from(i), Cell::from),
                item.label.clone().map_or(Cell::Nothing, Cell::from),
                self.card().class_name(best).into(),
                best.into(),
                probabilities[best].into(),
            ]);
            Ok(())
        })?;
        Ok(table.noted(report.note()))
    }

    fn probabilities_of(&self, data: &Dataset, job: &Job) -> Result<(Vec<Option<Vec<f64>>>, StreamReport)> {
        let mut all = Vec::new();
        let report = each(self, data, &whole(data), (job, "predict"), |i, probabilities| {
            all.resize(i, None);
            all.push(Some(probabilities.to_vec()));
            Ok(())
        })?;
        all.resize(report.reached, None);
        Ok((all, report))
    }

    fn accuracy(&self, data: &Dataset, job: &Job) -> Result<Artifact> {
        if self.card().boxes.is_some() {
            return self.average_precision(data, job);
        }
        if self.labels_readout().is_err() && self.class_maps().is_ok() {
            return self.pixel_accuracy(data, job);
        }
        let classes = classes_of(self, data, job)?;
        let empty = || Hits::new(self.classes_len().max(self.card().classes.len()));
        let over = |ranges: &[Range<usize>], hits: &mut Hits, job: &Job| {
            let report = each(self, data, ranges, (job, "accuracy"), |i, probabilities| {
                let Some(label) = label_of(&classes, data, i) else { return Ok(()) };
                let place = ranked(probabilities).iter().position(|c| *c == label).unwrap_or(usize::MAX);
                hits.add(label, place);
                Ok(())
            })?;
            let reached = ranges.iter().cloned().flatten().take(report.reached);
            for i in reached {
                hits.unlabelled += u64::from(data.label(i).is_none());
            }
            Ok(report)
        };
        let ask = || question(("accuracy", self.card().name.clone()), Value::Null, &[self], data, job);
        let folded = fold((job, "accuracy"), data, ask, empty, over)?;
        let (hits, report) = (folded.state, folded.report);
        let unlabelled = hits.unlabelled;
        let counts = hits.counts.iter().enumerate().map(|(c, h)| (self.card().class_name(c), h.map(|n| n as usize)));
        let title = format!("accuracy of {} on {}", self.card().name, data.name);
        let mut artifact = shares::accuracy(title, counts.collect(), true)?;
        if unlabelled > 0 {
            artifact = artifact.note(format!("{unlabelled} images without a label are left out"));
        }
        Ok(artifact
            .notes(report.note())
            .notes(self.readout().note())
            .note("intervals are Wilson's, 95 %")
            .reached(report.reached, folded.total))
    }

    fn confusion(&self, data: &Dataset, job: &Job) -> Result<Artifact> {
        let classes = classes_of(self, data, job)?;
        let over = |ranges: &[Range<usize>], pairs: &mut Pairs, job: &Job| {
            each(self, data, ranges, (job, "confusion"), |i, probabilities| {
                let Some(label) = label_of(&classes, data, i) else { return Ok(()) };
                pairs.add(label, ranked(probabilities)[0]);
                Ok(())
            })
        };
        let ask = || question(("confusion", self.card().name.clone()), Value::Null, &[self], data, job);
        let folded = fold((job, "confusion"), data, ask, Pairs::default, over)?;
        let (pairs, report) = (folded.state.0, folded.report);
        let mut present: Vec<usize> = classes.values().copied().collect();
        present.sort_unstable();
        present.dedup();
        let counts = pairs.into_iter().map(|(pair, count)| (pair, count as usize));
        let title = format!("confusions of {} on {}", self.card().name, data.name);
        Ok(shares::confusion(title, counts, &present, |c| self.card().class_name(c))?
            .notes(report.note())
            .reached(report.reached, folded.total))
    }
}

/// The class of each label of the job's images.
fn classes_of(model: &Model, data: &Dataset, job: &Job) -> Result<BTreeMap<String, usize>> {
    let part = job.ledger().map(|ledger| ledger.part_of(data.len(), &data.name)).transpose()?;
    let classes = data
        .labels_in(part.clone().unwrap_or(0..data.len()))?
        .iter()
        .map(|l| Ok((l.to_string(), model.card().label_index(l)?)))
        .collect::<Result<BTreeMap<String, usize>>>()
        .map_err(|e| e.context(format!("the labels of `{}`", data.name)))?;
    if classes.is_empty() && part.is_none_or(|p| p.len() == data.len()) {
        return Err(Error::value(format!("no image of `{}` has a label", data.name))
            .hint("a folder's sub-folders are labels; a .csv table has a column `label`"));
    }
    Ok(classes)
}

/// The class of image `i`'s label, if it has one.
fn label_of(classes: &BTreeMap<String, usize>, data: &Dataset, i: usize) -> Option<usize> {
    data.label(i).and_then(|l| classes.get(&l).copied())
}

/// Calls `f` with each image's index and class probabilities, in order; returns how many images were seen.
fn each(
    model: &Model,
    data: &Dataset,
    ranges: &[Range<usize>],
    job: (&Job, &str),
    mut f: impl FnMut(usize, &[f64]) -> Result<()>,
) -> Result<StreamReport> {
    let readout = model.classes_readout()?;
    stream_tensors(model, data, ranges, job, |numbers, x| {
        let scores = model.scores(x)?;
        numbers.iter().zip(scores).try_for_each(|(i, scores)| f(*i, &readout.probabilities(&scores)))
    })
}

/// All images of a data set.
fn whole(data: &Dataset) -> Vec<Range<usize>> {
    std::iter::once(0..data.len()).collect()
}

/// The indexes from the largest value to the smallest; equal ones in their order.
fn ranked(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    order
}
