//! How separable are the classes at each depth? A linear classifier and the nearest neighbours on every layer's codes, judged on
//! images that neither has seen.
//!
//! Zeiler and Fergus 2013, section 5.2 and table 7; CS231n: the last code is "separable by a linear classifier".

use crate::data::Dataset;
use crate::embed::knn::{Metric, nearest};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::probes::retrieval::coding::layers::{LayerCodes, depths};
use crate::probes::retrieval::coding::{Pooling, code_len};
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::space::svm::Svm;
use crate::stats::{Z95, wilson};
use crate::stream::StreamReport;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::collections::BTreeSet;

crate::params! {
    /// The held-out accuracy of a linear support vector machine and of the k nearest neighbours on each layer's codes, by depth,
    /// with Wilson 95 % intervals.
    ///
    /// All layers are read in one pass over the images. Each image is judged once, by classifiers trained on the images outside
    /// its fold; the images of a class go to the folds in rotation. With `test`, all images of the input are training images,
    /// and those of `test` are judged. Arrays: `linear`, `neighbours` (one value a layer), `chance`, and `linear_class`,
    /// `neighbour_class` (layers x judged images, numbers of the sorted labels).
    #[probe(
        family = Measure,
        source = "Zeiler and Fergus 2013, section 5.2, table 7; Alain and Bengio 2016",
        subjects = "a net or a layer",
        input = Data,
        example = "linear_probe(#{ layers: [\"conv1/relu\", \"conv3/relu\"], folds: 2 }).run(net, data)"
    )]
    pub struct LinearProbe as "linear_probe" {
        /// The layers; all rectifiers, the input of the classifier, and the scores, unless given. With a layer as the subject,
        /// that layer.
        layers: Vec<LayerName> = Vec::new();
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Folds of the images, each judged by classifiers trained on the others.
        folds: usize = 5, in 2..=1000;
        /// Test images: the classifiers are trained on all images of the input, and judged on these.
        test: Option<Dataset> = None;
        /// The cost C of a violated margin of the linear classifier, for codes scaled to a mean length of 1.
        c: f64 = 10.0, in 1e-6..=1e6;
        /// Neighbours that vote; of equal votes the class of the nearest wins.
        k: usize = 5, in 1..=1000;
        /// The distance between two codes.
        metric: Metric = Metric::Euclidean;
    }
}

impl Probe for LinearProbe {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let nodes = self.nodes(on)?;
        let data = input.data()?;
        let taught = self.read(model, &nodes, &data, job)?;
        let tested = self.test.as_ref().map(|test| self.read(model, &nodes, test, job)).transpose()?;
        let names = taught.names();
        if names.len() < 2 {
            return Err(Error::subject(format!("the images of `{}` have {} different labels", data.name, names.len()))
                .hint("a classifier needs two classes or more: a folder's sub-folders are labels"));
        }
        let (rounds, truth) = match &tested {
            Some(tested) => tested_on(&taught, tested, &names)?,
            None => self.folded(&taught, &names)?,
        };
        let (mut linear, mut near, mut gap) = (Vec::new(), Vec::new(), 0f64);
        let mut reached = 0;
        for layer in job.steps("linear_probe", nodes.len()) {
            let (base, queries) = (&taught.codes[layer], &tested.as_ref().unwrap_or(&taught).codes[layer]);
            let found = self.judged(base, queries, taught.lengths[layer], &rounds, names.len(), truth.len());
            linear.push(found.linear);
            near.push(found.near);
            gap = gap.max(found.gap);
            reached = layer + 1;
        }
        let images = Counted { truth: &truth, names: &names, layers: &nodes[..reached] };
        let made = self.report(on, model, &images, &linear, &near)?;
        let notes = [taught.report.note(), tested.as_ref().and_then(|t| t.report.note()), taught.unlabelled()];
        Ok(made
            .note(format!("the linear classifiers' duality gap is at most {gap:.1e} of their objective"))
            .notes(notes.into_iter().flatten())
            .reached(reached, nodes.len()))
    }
}

/// One round of training and judging: the training rows with their classes, and the test rows, each with its index among all
/// that are judged.
struct Round {
    teach: Vec<(usize, usize)>,
    judge: Vec<(usize, usize)>,
}

/// The two classifiers' answers for each judged image, and how far the linear one is from its optimum.
struct Judged {
    linear: Vec<usize>,
    near: Vec<usize>,
    gap: f64,
}

/// What was judged.
struct Counted<'a> {
    truth: &'a [usize],
    names: &'a [String],
    layers: &'a [NodeId],
}

/// Codes of all layers, a row an image that has a label.
struct Read {
    /// For each layer its rows.
    codes: Vec<Vec<f32>>,
    lengths: Vec<usize>,
    labels: Vec<String>,
    report: StreamReport,
    without: usize,
}

impl Read {
    fn names(&self) -> Vec<String> {
        self.labels.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    fn unlabelled(&self) -> Option<String> {
        (self.without > 0).then(|| format!("{} images without a label are left out", self.without))
    }
}

impl LinearProbe {
    fn nodes(&self, on: &Subject) -> Result<Vec<NodeId>> {
        match on {
            Subject::Layer { node, .. } => Ok(vec![*node]),
            Subject::Model(model) if self.layers.is_empty() => Ok(depths(model)),
            Subject::Model(model) => self.layers.iter().map(|l| model.layer(&l.0)).collect(),
            other => Err(Error::subject(format!("{other} is no net or layer")).hint("`net.layer(name)` is one")),
        }
    }

    /// The codes of all layers of the images that have a label.
    fn read(&self, model: &Model, nodes: &[NodeId], data: &Dataset, job: &Job) -> Result<Read> {
        let mut all = LayerCodes::of(model, nodes, data, self.pool, job)?;
        let label = |i: &usize| Ok::<_, Error>(data.item(*i)?.label.clone());
        let labels: Vec<Option<String>> = all.rows.iter().map(label).collect::<Result<_>>()?;
        let without = labels.iter().filter(|l| l.is_none()).count();
        if without == labels.len() {
            return Err(Error::value(format!("no image of `{}` has a label", data.name))
                .hint("a folder's sub-folders are labels; a .csv table has a column `label`"));
        }
        if without > 0 {
            for (codes, d) in all.codes.iter_mut().zip(&all.lengths) {
                let rows = codes.chunks(*d).zip(&labels).filter(|(_, label)| label.is_some());
                *codes = rows.flat_map(|(row, _)| row.iter().copied()).collect();
            }
        }
        Ok(Read {
            codes: all.codes,
            lengths: all.lengths,
            labels: labels.into_iter().flatten().collect(),
            report: all.report,
            without,
        })
    }

    /// Each image is judged once, by classifiers trained on the other folds.
    fn folded(&self, taught: &Read, names: &[String]) -> Result<(Vec<Round>, Vec<usize>)> {
        let truth: Vec<usize> = taught.labels.iter().filter_map(|l| names.binary_search(l).ok()).collect();
        let mut seen = vec![0usize; names.len()];
        let fold: Vec<usize> = truth
            .iter()
            .map(|class| {
                seen[*class] += 1;
                (seen[*class] - 1) % self.folds
            })
            .collect();
        let alone: Vec<&str> = (0..names.len()).filter(|c| seen[*c] < 2).map(|c| names[c].as_str()).collect();
        if !alone.is_empty() {
            return Err(Error::value(format!(
                "{} of {} classes have a single image, so that none remains to train on: {}",
                alone.len(),
                names.len(),
                alone[..alone.len().min(5)].join(", ")
            ))
            .hint("take these classes out, or give the images to be judged as `test`"));
        }
        let round = |f: usize| {
            let (judge, teach): (Vec<usize>, Vec<usize>) = (0..truth.len()).partition(|r| fold[*r] == f);
            Round {
                teach: teach.into_iter().map(|r| (r, truth[r])).collect(),
                judge: judge.into_iter().map(|r| (r, r)).collect(),
            }
        };
        Ok(((0..self.folds).map(round).filter(|r| !r.judge.is_empty()).collect(), truth))
    }

    /// The answers of the linear classifier and of the neighbours for each judged image.
    fn judged(
        &self,
        base: &[f32],
        queries: &[f32],
        d: usize,
        rounds: &[Round],
        classes: usize,
        count: usize,
    ) -> Judged {
        let mut said = Judged { linear: vec![0; count], near: vec![0; count], gap: 0.0 };
        let row = |all: &[f32], r: usize| all[r * d..(r + 1) * d].to_vec();
        for round in rounds {
            let x: Vec<f32> = round.teach.iter().flat_map(|(r, _)| row(base, *r)).collect();
            let y: Vec<usize> = round.teach.iter().map(|(_, class)| *class).collect();
            let q: Vec<f32> = round.judge.iter().flat_map(|(r, _)| row(queries, *r)).collect();
            let svm = Svm::train(&x, d, &y, classes, self.c);
            let found = nearest(&x, d, Some(&q), self.k, self.metric);
            for (i, (_, place)) in round.judge.iter().enumerate() {
                said.linear[*place] = svm.class(&q[i * d..(i + 1) * d]);
                said.near[*place] = vote(found.of(i).iter().map(|n| y[*n as usize]), classes);
            }
            said.gap = said.gap.max(svm.gap());
        }
        said
    }

    fn report(
        &self,
        on: &Subject,
        model: &Model,
        images: &Counted<'_>,
        linear: &[Vec<usize>],
        near: &[Vec<usize>],
    ) -> Result<Artifact> {
        let (n, graph) = (images.truth.len(), model.graph());
        let nearest = format!("{} nearest", self.k);
        let mut table = Table::new(["layer", "values", "linear", "low", "high", nearest.as_str(), "low k", "high k"]);
        let (mut accuracy, mut bars) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for ((node, by_plane), by_neighbours) in images.layers.iter().zip(linear).zip(near) {
            let mut row =
                vec![graph.node(*node).name.as_str().into(), code_len(&graph.node(*node).shape, self.pool).into()];
            for (k, said) in [by_plane, by_neighbours].into_iter().enumerate() {
                let right = said.iter().zip(images.truth).filter(|(a, b)| a == b).count();
                let (share, (low, high)) = (right as f64 / n as f64, wilson(right, n, Z95));
                accuracy[k].push(share);
                bars[k].push((low, high));
                row.extend([share.into(), low.into(), high.into()]);
            }
            table.push(row);
        }
        let mut counts = vec![0usize; images.names.len()];
        images.truth.iter().for_each(|c| counts[*c] += 1);
        let chance = counts.iter().max().copied().unwrap_or(0) as f64 / n as f64;
        let layers = images.layers.len();
        let [by_plane, by_neighbours] = accuracy;
        let x: Vec<f64> = (0..layers).map(|i| i as f64).collect();
        let series = |name: &str, y: &[f64], bars: Vec<(f64, f64)>| Series {
            name: name.to_string(),
            x: x.clone(),
            y: y.to_vec(),
            bars,
            mark: Mark::Line,
        };
        let [plane_bars, neighbour_bars] = bars;
        let plot = Plot {
            title: format!("{} classes told apart by the codes of each layer", images.names.len()),
            x_label: String::new(),
            y_label: "held-out accuracy, 95 % Wilson".into(),
            categories: images.layers.iter().map(|l| graph.node(*l).name.clone()).collect(),
            series: vec![
                series("linear classifier", &by_plane, plane_bars),
                series(&nearest, &by_neighbours, neighbour_bars),
                series("most frequent class", &vec![chance; layers], Vec::new()),
            ],
        };
        let flat =
            |all: &[Vec<usize>]| tensor(all.concat().iter().map(|c| *c as f32).collect::<Vec<f32>>(), &[layers, n]);
        let how = match &self.test {
            Some(test) => format!("{n} images of `{}` are judged; none of them taught", test.name),
            None => format!("each of {n} images is judged by what the other folds of {} taught", self.folds),
        };
        Ok(Artifact::new(format!("linear probes of {on}"))
            .part(Part::Plot(plot))
            .part(Part::Table("held-out accuracy".into(), table))
            .array("linear", tensor(by_plane, &[layers])?)
            .array("neighbours", tensor(by_neighbours, &[layers])?)
            .array("chance", tensor(vec![chance], &[1])?)
            .array("linear_class", flat(linear)?)
            .array("neighbour_class", flat(near)?)
            .note(format!("{how}; the most frequent class alone: {:.1} %", 100.0 * chance)))
    }
}

/// One fold: trains on all of `taught` and tests on `tested`.
fn tested_on(taught: &Read, tested: &Read, names: &[String]) -> Result<(Vec<Round>, Vec<usize>)> {
    let class = |label: &String| names.binary_search(label);
    let strange: BTreeSet<&str> = tested.labels.iter().filter(|l| class(l).is_err()).map(String::as_str).collect();
    if !strange.is_empty() {
        let some: Vec<&str> = strange.iter().copied().take(5).collect();
        return Err(Error::value(format!(
            "{} classes of `test` are not among the {} that were taught: {}",
            strange.len(),
            names.len(),
            some.join(", ")
        ))
        .hint("both data sets name their classes in the same way"));
    }
    let number = |labels: &[String]| labels.iter().filter_map(|l| class(l).ok()).collect::<Vec<usize>>();
    let truth = number(&tested.labels);
    let teach = number(&taught.labels).into_iter().enumerate().collect();
    Ok((vec![Round { teach, judge: (0..truth.len()).map(|r| (r, r)).collect() }], truth))
}

/// The class with the most votes; of classes with equal votes, that of the nearest neighbour.
fn vote(near: impl Iterator<Item = usize>, classes: usize) -> usize {
    let mut votes = vec![(0usize, 0usize); classes];
    for (place, class) in near.enumerate() {
        let met = if votes[class].0 == 0 { place } else { votes[class].1 };
        votes[class] = (votes[class].0 + 1, met);
    }
    let better = |a: usize, b: usize| votes[a].0 > votes[b].0 || (votes[a].0 == votes[b].0 && votes[a].1 < votes[b].1);
    (1..classes).fold(0, |best, c| if better(c, best) { c } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_votes_the_nearest_class_wins() {
        assert_eq!(vote([2, 0, 0, 2, 1].into_iter(), 3), 2);
        assert_eq!(vote([2, 0, 0, 1, 1].into_iter(), 3), 0);
        assert_eq!(vote([1].into_iter(), 3), 1);
    }
}
