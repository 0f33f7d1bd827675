//! The predictions of several nets for the images of a data set, in one pass over it: what the probes of this family share.

pub mod accuracy_by_attribute;
pub mod accuracy_by_class;
pub mod accuracy_by_factor;
pub mod calibration;
pub mod cka;
pub mod feature_distance;
pub mod judged;
pub mod linear_probe;
pub mod multi_label_accuracy;
pub mod perturb;
pub mod perturbation_sweep;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::pass::Tap;
use crate::subject::{Subject, argmax};
use crate::tensor::to_f64;
use candle_core::Tensor;
use std::collections::BTreeMap;

crate::choice! {
    /// Which interval error bars show.
    pub enum Interval {
        /// Wilson's, 95 %.
        Wilson = "wilson",
        /// The percentile bootstrap over images, 95 %.
        Bootstrap = "bootstrap",
    }
}

/// A net's prediction for one image.
#[derive(Clone, Copy, Debug)]
pub struct ClassPrediction {
    /// The most probable class.
    pub class: usize,
    /// The label's rank among the classes by probability, from 0; none for unlabelled images.
    pub rank: Option<usize>,
    /// The label's probability.
    pub probability: Option<f64>,
    /// The most probable class's probability.
    pub confidence: f64,
}

impl ClassPrediction {
    /// Whether the label is among the `top` most probable classes.
    pub fn hit(&self, top: usize) -> bool {
        self.rank.is_some_and(|r| r < top)
    }
}

/// The nets that a subject stands for.
///
/// # Errors
/// Where it stands for none.
pub fn nets(on: &Subject) -> Result<Vec<Model>> {
    match on {
        Subject::Model(model) => Ok(vec![model.clone()]),
        Subject::Models(models) => Ok(models.clone()),
        other => Err(Error::subject(format!("{other} is neither a net nor a list of nets"))),
    }
}

/// The names of nets, numbered where two are equal.
pub fn names(nets: &[Model]) -> Vec<String> {
    numbered(&nets.iter().map(|m| m.card().name.as_str()).collect::<Vec<_>>())
}

/// The names that were given for nets, or their own.
///
/// # Errors
/// Where another number of names was given.
pub fn called(given: &[String], nets: &[Model]) -> Result<Vec<String>> {
    match given.len() {
        0 => Ok(names(nets)),
        n if n == nets.len() => Ok(given.to_vec()),
        n => Err(Error::value(format!("option `names` has {n} names for {} nets", nets.len()))),
    }
}

/// Names, numbered where two are equal.
pub fn numbered(names: &[&str]) -> Vec<String> {
    let name = |i: usize| {
        let before = names[..i].iter().filter(|n| **n == names[i]).count();
        if before > 0 { format!("{} ({})", names[i], before + 1) } else { names[i].to_string() }
    };
    (0..names.len()).map(name).collect()
}

/// For each net the class of each label.
///
/// # Errors
/// Where no image has a label, or a label is no class of a net.
pub fn classes(nets: &[Model], data: &Dataset, job: &Job) -> Result<Vec<BTreeMap<String, usize>>> {
    let part = job.ledger().map(|ledger| ledger.part_of(data.len(), &data.name)).transpose()?;
    let labels = data.labels_in(part.clone().unwrap_or(0..data.len()))?;
    if labels.is_empty() && part.is_none_or(|p| p.len() == data.len()) {
        return Err(Error::value(format!("no image of `{}` has a label", data.name))
            .hint("a folder's sub-folders are labels; a .csv table has a column `label`"));
    }
    let of = |net: &Model| labels.iter().map(|l| Ok((l.clone(), net.card().label_index(l)?))).collect::<Result<_>>();
    nets.iter().map(of).collect::<Result<_>>().map_err(|e| e.context(format!("the labels of `{}`", data.name)))
}

/// Images that fit at once for all nets.
pub fn batch(nets: &[Model], job: &Job) -> usize {
    nets.iter().map(|n| job.through(n, 1, 2 * n.graph().peak_len(), 16)).min().unwrap_or(1)
}

/// The place of class `class` in the order of `scores`, largest first and equal ones by index, from 0.
pub fn rank(scores: &[f64], class: usize) -> usize {
    let own = scores[class];
    (0..scores.len()).filter(|c| scores[*c] > own || (scores[*c] == own && *c < class)).count()
}

/// One row of numbers for each of a batch of prepared images, of which the largest is the net's decision.
///
/// # Errors
/// As the forward pass, and where the net's outputs are no classes.
pub fn decisions(net: &Model, rows: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    let node = net.graph().scores();
    let trace = net.forward(&Tensor::stack(rows, 0)?, &Tap::Only(vec![node]))?;
    let scores = to_f64(trace.get(node)?)?;
    let readout = net.classes_readout()?;
    Ok(scores.chunks(scores.len() / rows.len()).map(|raw| readout.decision(raw)).collect())
}

/// A net's answers to a batch of prepared images whose labels are these classes.
///
/// # Errors
/// As [`decisions`].
pub fn answers(net: &Model, rows: &[Tensor], labels: &[Option<usize>]) -> Result<Vec<ClassPrediction>> {
    let readout = net.classes_readout()?;
    let one = |(scores, label): (Vec<f64>, &Option<usize>)| {
        let (class, probabilities) = (argmax(&scores), readout.of_decision(&scores));
        ClassPrediction {
            class,
            rank: label.map(|l| rank(&scores, l)),
            probability: label.map(|l| probabilities[l]),
            confidence: probabilities.get(class).copied().unwrap_or(f64::NAN),
        }
    };
    Ok(decisions(net, rows)?.into_iter().zip(labels).map(one).collect())
}
