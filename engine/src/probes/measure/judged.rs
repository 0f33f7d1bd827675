//! Which classifiers, nets or predictions, are right about each image of a data set, in one pass over it: what probes share that
//! count right answers class by class, or by lists of right classes.

use super::accuracy_by_attribute::{JudgedImage, JudgedImages};
use super::{batch, decisions, names, nets, numbered, rank};
use crate::data::measure::{attribute, is_measured};
use crate::data::{Attribute, Dataset};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::predictions::{Predicted, Predictions};
use crate::stream::{StreamReport, fold, question, stream};
use crate::subject::Subject;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What is known of an image before classifiers are asked about it.
pub struct GroundTruth {
    /// What the probe keeps of the image, such as its class.
    pub value: Attribute,
    /// A second such value.
    pub within: Option<Attribute>,
    /// As many lists of right classes as [`Ask::lists`] says. A classifier is right by a list where one of its first guesses is
    /// in it.
    pub right: Vec<Vec<String>>,
}

/// What is known of image `i` with this label; nothing where it does not count.
pub type Knows<'a> = dyn Fn(usize, Option<&str>, &Lookup<'_>) -> Result<Option<GroundTruth>> + Sync + 'a;

/// An attribute of the image at hand, given or measured; nothing where it has none.
pub type Lookup<'a> = dyn Fn(&str) -> Result<Option<Attribute>> + 'a;

/// A probe's question about a data set.
pub struct Ask<'a> {
    /// The probe's name and its options.
    pub probe: (&'static str, Value),
    /// How many of a classifier's first guesses count.
    pub top: usize,
    /// How many lists of right classes each image has.
    pub lists: usize,
    /// Every class that is in some list.
    pub classes: Vec<String>,
    /// What is known of the image with this number and label; nothing for an image that is left out.
    pub known: &'a Knows<'a>,
}

/// Which classifiers are right about which images.
pub struct Judged {
    /// The classifiers' names.
    pub names: Vec<String>,
    /// The numbers of the images that were asked about, ascending.
    pub images: Vec<usize>,
    /// What is known of each of them; `hits[c * lists + l]` says whether classifier c is right by list l.
    pub seen: Vec<JudgedImage>,
    /// Images that are left out.
    pub without: u64,
    /// Images that could not be read, predictions that are missing.
    pub notes: Vec<String>,
    /// How many images were reached, of how many.
    pub reached: (usize, usize),
}

impl Ask<'_> {
    /// Asks the nets or predictions that `on` stands for about the images of `data`.
    ///
    /// # Errors
    /// Where it stands for neither, a class is none of a net's, predictions share no class with the lists or have fewer guesses
    /// than count, or no image can be read.
    pub fn of(&self, on: &Subject, data: &Dataset, job: &Job) -> Result<Judged> {
        match on {
            Subject::Predictions(all) => self.predictions(all, data, job),
            other => self.nets(other, data, job),
        }
    }

    fn nets(&self, on: &Subject, data: &Dataset, job: &Job) -> Result<Judged> {
        let (name, settings) = (self.probe.0, &self.probe.1);
        let nets = nets(on)?;
        let index = |net: &Model| -> Result<BTreeMap<&str, usize>> {
            self.classes.iter().map(|c| Ok((c.as_str(), class_of(net, c)?))).collect()
        };
        let indices = nets.iter().map(index).collect::<Result<Vec<_>>>();
        let indices = indices.map_err(|e| e.context(format!("the right classes of `{}`", data.name)))?;
        let preprocess = nets.iter().map(|n| n.card().preprocess()).collect::<Result<Vec<_>>>()?;
        let given = data.attribute_names();
        let prepare = |i: usize| {
            let image = data.get(i)?;
            let Some(known) = (self.known)(i, image.label(), &|name| Ok(attribute(&image, name, &given)))? else {
                return Ok(None);
            };
            let rows = data.inputs(i, &image, &preprocess)?;
            Ok(Some((rows, known)))
        };
        let over = |ranges: &[Range<usize>], state: &mut JudgedImages, job: &Job| {
            stream(ranges, batch(&nets, job), (job, name), prepare, |items| {
                let asked = items.len();
                let items: Vec<_> =
                    items.into_iter().filter_map(|(i, item)| item.map(|(rows, k)| (i, rows, k))).collect();
                state.without += (asked - items.len()) as u64;
                if items.is_empty() {
                    return Ok(());
                }
                let mut hits = vec![Vec::with_capacity(nets.len() * self.lists); items.len()];
                for (n, net) in nets.iter().enumerate() {
                    let rows: Vec<_> = items.iter().map(|(_, rows, _)| rows[n].clone()).collect();
                    for ((hits, (_, _, known)), scores) in hits.iter_mut().zip(&items).zip(decisions(net, &rows)?) {
                        let is_guessed =
                            |c: &String| indices[n].get(c.as_str()).is_some_and(|i| rank(&scores, *i) < self.top);
                        hits.extend(known.right.iter().map(|list| list.iter().any(is_guessed)));
                    }
                }
                for ((i, _, known), hits) in items.into_iter().zip(hits) {
                    state.push(i, JudgedImage { value: known.value, within: known.within, hits });
                }
                Ok(())
            })
        };
        let ask = || {
            let asked: Vec<&Model> = nets.iter().collect();
            question((name, on.to_string()), settings.clone(), &asked, data, job)
        };
        let folded = fold((job, name), data, ask, || JudgedImages::new(nets.len() * self.lists), over)?;
        let (images, seen, without) = folded.state.into_parts();
        let notes = folded.report.note().into_iter().collect();
        let reached = (folded.report.reached, folded.total);
        Ok(Judged { names: names(&nets), images, seen, without, notes, reached })
    }

    /// An image is decoded only where an attribute has to be measured.
    fn predictions(&self, all: &[Predictions], data: &Dataset, job: &Job) -> Result<Judged> {
        all.iter().try_for_each(|told| self.check(told))?;
        let joined = all.iter().map(|p| p.of(data)).collect::<Result<Vec<_>>>()?;
        let (mut images, mut seen, mut without) = (Vec::new(), Vec::new(), 0);
        let mut report = StreamReport::default();
        let given = data.attribute_names();
        for i in job.steps(self.probe.0, data.len()) {
            let rows: Option<Vec<&Predicted>> = joined.iter().map(|(rows, _)| rows[i]).collect();
            let Some(rows) = rows else {
                report.reached += 1;
                without += 1;
                continue;
            };
            let item = data.item(i)?;
            let label = rows.iter().find_map(|r| r.truth.clone()).or_else(|| item.label.clone());
            let lookup = |name: &str| match item.attributes.get(name) {
                Some(given) => Ok(Some(given.clone())),
                None if is_measured(name, &given) => Ok(attribute(&item.image()?, name, &given)),
                None => Ok(None),
            };
            match report.take(i, (self.known)(i, label.as_deref(), &lookup))? {
                Some(Some(known)) => {
                    let is_right = |row: &&Predicted, list: &Vec<String>| list.iter().any(|c| row.hit(c, self.top));
                    let hits = rows.iter().flat_map(|row| known.right.iter().map(move |list| is_right(row, list)));
                    let hits: Vec<bool> = hits.collect();
                    images.push(i);
                    seen.push(JudgedImage { value: known.value, within: known.within, hits });
                }
                Some(None) => without += 1,
                None => {}
            }
        }
        report.check()?;
        let notes = joined.into_iter().filter_map(|(_, note)| note).chain(report.note()).collect();
        let names = numbered(&all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
        Ok(Judged { names, images, seen, without, notes, reached: (report.reached, data.len()) })
    }

    /// An error where predictions have fewer guesses than count, or none is in any list.
    fn check(&self, told: &Predictions) -> Result<()> {
        if told.most() < self.top {
            return Err(Error::value(format!(
                "`{}` has at most {} guesses an image, `top` is {}",
                told.name,
                told.most(),
                self.top
            )));
        }
        let right: BTreeSet<String> = self.classes.iter().map(|c| c.to_lowercase()).collect();
        let guessed: BTreeSet<String> =
            told.rows.iter().flat_map(|row| row.guesses.iter().map(|g| g.to_lowercase())).collect();
        match (right.first(), guessed.first()) {
            (Some(one), Some(guess)) if right.is_disjoint(&guessed) => Err(Error::value(format!(
                "none of the {} classes that `{}` predicts is one of the {} right ones: `{guess}`, .. against `{one}`, ..",
                guessed.len(),
                told.name,
                right.len()
            ))
            .hint("both need the same names; for numbers give the names: load_predictions(.., #{ classes: \"classes.txt\" })")),
            _ => Ok(()),
        }
    }
}

/// A net's class by its name, a synonym, its WordNet id, or, where no class is called so, the number of an output.
fn class_of(net: &Model, name: &str) -> Result<usize> {
    net.card().label_index(name).or_else(|error| match name.trim().parse::<usize>() {
        Ok(index) if index < net.scores_len() => Ok(index),
        _ => Err(error),
    })
}
