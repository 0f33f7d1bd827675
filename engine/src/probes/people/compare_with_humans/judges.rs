//! The judgements of images: people's answers, and nets' probabilities over the same classes.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::humans::classes::{best, shares};
use crate::humans::{Classes, ImageIds, Trials};
use crate::inspect::Evaluate as _;
use crate::job::Job;
use crate::model::Model;
use crate::predictions::Predictions;
use crate::stream::StreamReport;
use std::collections::BTreeMap;

/// A judge's answer for one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Classes guessed, the first guess first.
    pub guesses: Vec<usize>,
    /// Seconds, of people.
    pub time_s: Option<f64>,
}

/// A person or a net.
#[derive(Clone, Debug)]
pub struct Judge {
    /// The labeller's or the net's name.
    pub name: String,
    /// Whether this is a person.
    pub person: bool,
    /// The answer for each image of the panel; None where there is none.
    pub said: Vec<Option<Said>>,
    /// A net's distribution over the classes, for each image.
    pub shares: Vec<Vec<f64>>,
}

impl Judge {
    /// Whether the right class of image `i` is among the first `top` guesses; None where it was not judged.
    pub fn right(&self, i: usize, truth: usize, top: usize) -> Option<bool> {
        Some(self.said.get(i)?.as_ref()?.guesses.iter().take(top).any(|g| *g == truth))
    }
}

/// All judges of the images that any person answered and whose right class is known.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The images' numbers in the data set.
    pub images: Vec<usize>,
    /// Their right classes.
    pub truth: Vec<usize>,
    /// People first.
    pub judges: Vec<Judge>,
    unlabelled: usize,
    unknown: usize,
    broken: StreamReport,
}

impl Panel {
    /// The people's answers.
    ///
    /// # Errors
    /// Where no answer is about an image of the data set, a guess or a label is none of the classes, or no label is known.
    pub fn new(
        data: &Dataset,
        keys: &ImageIds,
        classes: &Classes,
        trials: &Trials,
        machines: &[String],
    ) -> Result<Self> {
        if let Some(missing) = machines.iter().find(|m| !trials.subjects().contains(m)) {
            return Err(Error::not_found(format!("no labeller `{missing}`"))
                .hint(format!("the labellers are {}", trials.subjects().join(", "))));
        }
        let mut answered: BTreeMap<usize, Option<&str>> = BTreeMap::new();
        let mut unknown = 0;
        for trial in &trials.all {
            match keys.index(&trial.image) {
                Some(i) => {
                    let label = answered.entry(i).or_default();
                    *label = label.or(trial.label.as_deref());
                }
                None => unknown += 1,
            }
        }
        if answered.is_empty() {
            let (first, own) = (&trials.all[0].image, if keys.is_empty() { "" } else { keys.name(0) });
            return Err(Error::value(format!(
                "none of the {} answers is about an image of `{}`",
                trials.all.len(),
                data.name
            ))
            .hint(format!("an answer is about `{first}`, the first image of the data is `{own}`")));
        }
        let (mut images, mut truth, mut unlabelled) = (Vec::new(), Vec::new(), 0);
        for (i, given) in answered {
            let item = data.item(i)?;
            match item.label.as_deref().or(given) {
                Some(label) => {
                    images.push(i);
                    truth
                        .push(classes.index(label).map_err(|e| e.context(format!("the label of `{}`", keys.name(i))))?);
                }
                None => unlabelled += 1,
            }
        }
        if images.is_empty() {
            return Err(Error::value(format!("the right class of no answered image of `{}` is known", data.name))
                .hint(
                    "a folder's sub-folders are labels; a .csv table has a column `label`, trials too may have one",
                ));
        }
        let place: BTreeMap<usize, usize> = images.iter().enumerate().map(|(p, i)| (*i, p)).collect();
        let mut judges: Vec<Judge> = trials
            .subjects()
            .into_iter()
            .map(|name| Judge {
                person: !machines.contains(&name),
                name,
                said: vec![None; images.len()],
                shares: Vec::new(),
            })
            .collect();
        let mut known = BTreeMap::<&str, usize>::new();
        for trial in &trials.all {
            let Some(p) = keys.index(&trial.image).and_then(|i| place.get(&i)) else { continue };
            let mut guesses = Vec::new();
            for guess in &trial.guesses {
                let class = match known.get(guess.as_str()) {
                    Some(class) => *class,
                    None => {
                        let class = classes
                            .index(guess)
                            .map_err(|e| e.context(format!("an answer of {} to `{}`", trial.subject, trial.image)))?;
                        known.insert(guess, class);
                        class
                    }
                };
                guesses.push(class);
            }
            if let Some(judge) = judges.iter_mut().find(|j| j.name == trial.subject) {
                judge.said[*p] = Some(Said { guesses, time_s: trial.time_s });
            }
        }
        judges.sort_by_key(|j| !j.person);
        Ok(Panel { images, truth, judges, unlabelled, unknown, broken: StreamReport::default() })
    }

    /// The same with nets, and how many images they have seen (fewer than all where the job was stopped).
    ///
    /// # Errors
    /// Where a net lacks a class, or an image cannot be read.
    pub fn with_nets(mut self, nets: &[Model], data: &Dataset, classes: &Classes, job: &Job) -> Result<(Self, usize)> {
        let seen = data.select(&self.images)?;
        let mut done = 0;
        for net in nets {
            let outputs = classes.outputs(net.card(), net.scores_len())?;
            let (all, report) = net.probabilities_of(&seen, job)?;
            done += all.len();
            if report.broken.len() > self.broken.broken.len() {
                self.broken = report;
            }
            // Nothing for an image that cannot be read.
            let share = |p: &Option<Vec<f64>>| p.as_ref().map_or(Vec::new(), |p| shares(p, &outputs));
            let shares: Vec<Vec<f64>> = all.iter().map(share).collect();
            let say = |s: &Vec<f64>| (!s.is_empty()).then(|| Said { guesses: best(s, 5), time_s: None });
            let mut said: Vec<Option<Said>> = shares.iter().map(say).collect();
            said.resize(self.images.len(), None);
            self.judges.push(Judge { name: net.card().name.clone(), person: false, said, shares });
        }
        Ok((self, done))
    }

    /// The same with classifiers of which only the predictions are known, and what a reader should know of them.
    ///
    /// # Errors
    /// Where no prediction is about an image of the data set, or a class that was predicted is none of `classes`.
    pub fn with_predictions(
        mut self,
        all: &[Predictions],
        data: &Dataset,
        classes: &Classes,
    ) -> Result<(Self, Vec<String>)> {
        let mut notes = Vec::new();
        for told in all {
            let (rows, note) = told.of(data)?;
            notes.extend(note);
            let mut said = Vec::with_capacity(self.images.len());
            for i in &self.images {
                let one = |guess: &String| {
                    classes.index(guess).map_err(|e| e.context(format!("a prediction of `{}`", told.name)))
                };
                let guesses =
                    rows[*i].map(|row| row.guesses.iter().map(one).collect::<Result<Vec<_>>>()).transpose()?;
                said.push(guesses.map(|guesses| Said { guesses, time_s: None }));
            }
            self.judges.push(Judge { name: told.name.clone(), person: false, said, shares: Vec::new() });
        }
        Ok((self, notes))
    }

    /// The people.
    pub fn people(&self) -> impl Iterator<Item = &Judge> {
        self.judges.iter().filter(|j| j.person)
    }

    /// The nets.
    pub fn nets(&self) -> impl Iterator<Item = &Judge> {
        self.judges.iter().filter(|j| !j.person)
    }

    /// Whether any person guessed more than once.
    pub fn several_guesses(&self) -> bool {
        self.people().any(|j| j.said.iter().flatten().any(|s| s.guesses.len() > 1))
    }

    /// Of the people who answered image `p`, whether at most half are right; None where no one answered.
    pub fn people_err(&self, p: usize, top: usize) -> Option<bool> {
        let all: Vec<bool> = self.people().filter_map(|j| j.right(p, self.truth[p], top)).collect();
        (!all.is_empty()).then(|| 2 * all.iter().filter(|r| **r).count() <= all.len() && all.iter().any(|r| !r))
    }

    /// What a reader should know of what was left out.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.unknown > 0 {
            notes.push(format!("{} answers are about images that are not in the data set", self.unknown));
        }
        notes.extend(self.broken.note().map(|note| format!("{note}; the nets say nothing of them")));
        if self.unlabelled > 0 {
            notes.push(format!("{} answered images without a right class are left out", self.unlabelled));
        }
        notes
    }
}
