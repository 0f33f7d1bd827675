//! Where on an object is each named point? Linear detectors slide over a layer's features, with and without a prior of the point's
//! position, beside a hand-made dense descriptor.
//!
//! Long, Zhang, Darrell 2014, keypoint prediction (table 4): objects are cut out by their boxes; a point's ten nearest features
//! are positive examples, those whose receptive field does not contain it negative ones, of which the hard ones are mined; the
//! prior is a Gaussian about the point's position in the most similar training object; a prediction within alpha times the
//! box's longer side is right (PCK).

mod detectors;
mod report;

use crate::embed::knn::{Metric, nearest};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::probes::spatial::{LeftOut, Misses, maps, spread};
use crate::show::Artifact;
use crate::space::Lattice;
use crate::space::features::{FeatureMap, input_of};
use crate::space::hog::hog;
use crate::stream::readable;
use crate::subject::{Input, Subject};
use detectors::{Around, CroppedObject, PointDetector, PointPrior, Training, best};
use rayon::prelude::*;
use std::collections::BTreeMap;

crate::params! {
    /// The accuracy of linear detectors that slide over a layer's features and find named points, with and without a Gaussian
    /// prior of their positions, by layer and size of the descriptor: the share found within alpha times the longer side of the
    /// object's box (PCK), beside dense HOG and the prior alone.
    ///
    /// Objects are cropped by their boxes and resized to the net's input. Each is judged by detectors trained on the other
    /// folds; a point has a detector for each label. A prediction is the position with the largest score s, or with the largest
    /// s^(1 - eta) p^eta, where s has passed the logistic function and p is the prior: a Gaussian about the point's position in
    /// the most similar training object (by the cosine of the last maps' features).
    ///
    /// Arrays: `pck` (methods x 2 x alphas; of the two, the first is without the prior, the second with it), `prior` (alphas: the
    /// prior's mean alone), `error` (methods x 2; median, px of the photos), `x` and `y` (methods x 2 x points; px of the objects'
    /// inputs, NaN where nothing was trained).
    #[probe(
        family = Space,
        source = "Long, Zhang, Darrell 2014, keypoint prediction, table 4; PCK of Yang and Ramanan 2013",
        subjects = "a net or a layer",
        input = Data,
        example = "keypoint_prediction(#{ images: 8, folds: 2, layers: [\"conv3/relu\"] }).run(net, shapes(#{ n: 8, classes: [\"arrow\"] }))"
    )]
    pub struct KeypointPrediction as "keypoint_prediction" {
        /// The layers; three, evenly spaced, unless given. With a layer as the subject, that layer.
        layers: Vec<LayerName> = Vec::new();
        /// Radius, in positions, of the neighbourhood in a descriptor: 0 is the feature itself, 1 its 3 x 3 neighbourhood.
        radii: Vec<usize> = vec![0, 1];
        /// Images used at most.
        images: usize = 200, in 4..=100_000;
        /// Folds of the images, each judged by detectors trained on the others.
        folds: usize = 4, in 2..=100;
        /// The positions nearest to a point that are positive examples.
        positives: usize = 10, in 1..=1000;
        /// Negative examples drawn at first, and hard ones added at most in each round of mining.
        negatives: usize = 1000, in 1..=1_000_000;
        /// The cost C of a violated margin.
        c: f64 = 1.0, in 1e-6..=1e6;
        /// The prior's weight eta, from 0 to 1.
        eta: f64 = 0.1, in 0.0..=1.0;
        /// The prior's standard deviation, in longer sides of the net's input: 22 px of 500 in the paper.
        sigma: f64 = 0.044, in 1e-4..=10.0;
        /// PCK's alphas, as shares of the longer side of the object's box.
        alphas: Vec<f64> = vec![0.1];
        /// The side of HOG's squares, px of the net's input; their distance is a quarter of it. 0 means a seventh of the input,
        /// at least 16.
        patch: usize = 0, in 0..=1024;
    }
}

impl Probe for KeypointPrediction {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        self.check()?;
        let model = on.model()?;
        let nodes = self.nodes(on, model)?;
        let (data, report) = readable(&input.data()?, self.images)?;
        let images = self.images.min(data.len());
        let methods = self.methods(model, &nodes)?;
        let size = model.card().preprocess()?.size;
        let codes = maps(model).last().copied().unwrap_or(nodes[0]);
        self.fits(model, &nodes, images, job)?;
        let (mut known, mut left_out, mut beyond) = (Known::default(), LeftOut::default(), 0);
        for i in job.steps("keypoint_prediction: features", images) {
            let object = CroppedObject::of(model, &data, i)?;
            left_out.add(&object.caption, &object.outside.0);
            beyond += object.outside.1;
            let taken: Vec<NodeId> = nodes.iter().copied().chain([codes]).collect();
            let mut features = FeatureMap::all(model, &taken, &input_of(model, &object.image)?)?;
            known.codes.extend(features.pop().map(|map| map.values).unwrap_or_default());
            let (dense, side) = self.dense(model)?;
            features.push(hog(&object.image, dense, side));
            known.features.push(features);
            known.objects.push(object);
        }
        let done = known.objects.len();
        let kinds = known.kinds(self.folds)?;
        let priors = known.priors(&kinds, self.folds);
        let mut judged = Vec::new();
        for m in job.steps("keypoint_prediction: detectors", methods.len()) {
            judged.push(self.judged(&known, &methods[m], &kinds, &priors, size.height.max(size.width) as f64));
        }
        let found =
            report::Findings { model, known: &known, kinds: &kinds, priors: &priors, methods: &methods, judged };
        let complete = found.judged.len();
        let made = self.report(&found)?.notes(report.note()).notes(left_out.note());
        let outside = (beyond > 0).then(|| format!("{beyond} named points outside their object's box are left out"));
        let made = made.notes(outside);
        Ok(if done < images { made.reached(done, images) } else { made.reached(complete, methods.len()) })
    }
}

/// Objects with their features.
#[derive(Default)]
struct Known {
    objects: Vec<CroppedObject>,
    /// For each object its features by layer, then HOG.
    features: Vec<Vec<FeatureMap>>,
    /// For each object the features of the last maps, flat, by which objects are compared.
    codes: Vec<f32>,
}

/// A kind of point: a label's name, and the objects that have it.
struct Kind {
    label: Option<String>,
    name: String,
    objects: Vec<usize>,
}

impl Kind {
    fn caption(&self) -> String {
        match &self.label {
            Some(label) => format!("{label}: {}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Descriptors that detectors slide over: features of an object (a layer or HOG), and their size in cells.
struct Method {
    name: String,
    features: usize,
    around: Around,
    lattice: Lattice,
}

/// The predictions of a method.
struct Judged {
    /// For each kind and object of it, in order: without and with the prior, px of the input; nothing where none was trained.
    found: Vec<Option<[(f64, f64); 2]>>,
    gap: f64,
    unseen: usize,
}

impl Known {
    /// The kinds of points that at least two folds have.
    fn kinds(&self, folds: usize) -> Result<Vec<Kind>> {
        let mut all: BTreeMap<(Option<String>, String), Vec<usize>> = BTreeMap::new();
        for (i, object) in self.objects.iter().enumerate() {
            for (name, _) in &object.points {
                all.entry((object.label.clone(), name.clone())).or_default().push(i);
            }
        }
        let several = |of: &Vec<usize>| of.iter().any(|i| i % folds != of[0] % folds);
        let kinds: Vec<Kind> = all
            .into_iter()
            .filter(|(_, objects)| several(objects))
            .map(|((label, name), objects)| Kind { label, name, objects })
            .collect();
        if kinds.is_empty() {
            return Err(Error::subject(format!(
                "no named point is known in two folds of {} images",
                self.objects.len()
            ))
            .hint("`shapes(#{ classes: [\"arrow\"] })` has named points; so have Berkeley's annotations of VOC, see `load_images`"));
        }
        Ok(kinds)
    }

    /// For each kind and object of it, where the point is in the most similar object of the other folds.
    fn priors(&self, kinds: &[Kind], folds: usize) -> Vec<(f64, f64)> {
        let d = self.codes.len() / self.objects.len().max(1);
        let code = |i: usize| self.codes[i * d..(i + 1) * d].to_vec();
        let of = |kind: &Kind| -> Vec<(f64, f64)> {
            let one = |i: &usize| {
                let others: Vec<usize> = kind.objects.iter().copied().filter(|o| o % folds != i % folds).collect();
                let base: Vec<f32> = others.iter().flat_map(|o| code(*o)).collect();
                let near = nearest(&base, d, Some(&code(*i)), 1, Metric::Cosine);
                let alike = near.indices.first().map(|n| others[*n as usize]);
                alike.and_then(|o| self.objects[o].point(&kind.name)).unwrap_or((f64::NAN, f64::NAN))
            };
            kind.objects.iter().map(one).collect()
        };
        kinds.iter().flat_map(of).collect()
    }
}

/// The result of one fold for one kind: by object the best position without and with the prior; the duality gap; how many
/// negatives were left out.
type Part = (Vec<(usize, [(f64, f64); 2])>, f64, usize);

impl KeypointPrediction {
    fn check(&self) -> Result<()> {
        if self.alphas.is_empty() || self.alphas.iter().any(|a| a.is_nan() || *a <= 0.0) {
            return Err(Error::value(format!("option `alphas` takes shares above 0, got {:?}", self.alphas)));
        }
        if self.radii.is_empty() || self.radii.iter().any(|r| *r > 8) {
            return Err(Error::value(format!("option `radii` takes numbers from 0 to 8, got {:?}", self.radii)));
        }
        Ok(())
    }

    fn nodes(&self, on: &Subject, model: &Model) -> Result<Vec<NodeId>> {
        let nodes = match on {
            Subject::Layer { node, .. } => vec![*node],
            Subject::Model(_) if self.layers.is_empty() => spread(model, 3),
            Subject::Model(_) => self.layers.iter().map(|l| model.layer(&l.0)).collect::<Result<_>>()?,
            other => return Err(Error::subject(format!("{other} is no net or layer"))),
        };
        if nodes.is_empty() {
            return Err(Error::subject(format!("{on} has no layer with positions")));
        }
        Ok(nodes)
    }

    /// HOG's positions and the side of its squares.
    fn dense(&self, model: &Model) -> Result<(Lattice, usize)> {
        let size = model.card().preprocess()?.size;
        let side = match self.patch {
            0 => (size.width.max(size.height) / 7).max(16),
            side => side,
        };
        let stride = (side / 4).max(1);
        let count = |length: usize| length.div_ceil(stride).max(1);
        Ok((
            Lattice {
                size: [count(size.height), count(size.width)],
                first: [stride as f64 / 2.0; 2],
                stride: [stride as f64; 2],
                field: [side; 2],
            },
            side,
        ))
    }

    fn methods(&self, model: &Model, nodes: &[NodeId]) -> Result<Vec<Method>> {
        let mut all = Vec::new();
        for (features, node) in nodes.iter().enumerate() {
            let lattice = Lattice::of(model, *node)?;
            for radius in &self.radii {
                let cells = 2 * radius + 1;
                let layer = &model.graph().node(*node).name;
                let name = if *radius == 0 { layer.clone() } else { format!("{layer}, {cells} x {cells}") };
                all.push(Method { name, features, around: Around(*radius), lattice });
            }
        }
        let (lattice, side) = self.dense(model)?;
        all.push(Method { name: format!("HOG {side} x {side}"), features: nodes.len(), around: Around(0), lattice });
        Ok(all)
    }

    /// An error where the features do not fit in the job's memory.
    fn fits(&self, model: &Model, nodes: &[NodeId], images: usize, job: &Job) -> Result<()> {
        let layers: usize = nodes.iter().map(|n| model.graph().node(*n).shape.iter().product::<usize>()).sum();
        let needed = 4 * (layers as u64) * images as u64;
        let hint = "name fewer or deeper `layers`, take fewer `images`, or raise `--memory`";
        job.holds(needed, || format!("the features of {images} images take"), hint)
    }

    /// A method's predictions for all kinds, fold by fold.
    fn judged(&self, known: &Known, method: &Method, kinds: &[Kind], priors: &[(f64, f64)], side: f64) -> Judged {
        let how = Training { positives: self.positives, negatives: self.negatives, c: self.c };
        let starts: Vec<usize> =
            kinds.iter().scan(0, |at, k| Some(std::mem::replace(at, *at + k.objects.len()))).collect();
        let rounds: Vec<(usize, usize)> =
            (0..kinds.len()).flat_map(|k| (0..self.folds).map(move |fold| (k, fold))).collect();
        let one = |(k, fold): &(usize, usize)| {
            let kind = &kinds[*k];
            let taught = |o: &&usize| **o % self.folds != *fold;
            let example =
                |o: &usize| Some((&known.features[*o][method.features], known.objects[*o].point(&kind.name)?));
            let examples: Vec<_> = kind.objects.iter().filter(taught).filter_map(example).collect();
            let tested = || kind.objects.iter().enumerate().filter(|(_, o)| !taught(o));
            if tested().next().is_none() {
                return (Vec::new(), 0.0, 0);
            }
            let Some(detector) = PointDetector::train(&examples, method.around, how, (k * self.folds + fold) as u64)
            else {
                return (Vec::new(), 0.0, 0);
            };
            let found = tested().map(|(j, o)| {
                let map = &known.features[*o][method.features];
                let scores = detector.scores(map, method.around);
                let prior = PointPrior { at: priors[starts[*k] + j], sigma: self.sigma * side };
                (starts[*k] + j, [best(map, &scores, None), best(map, &scores, Some((prior, self.eta)))])
            });
            (found.collect(), detector.gap(), detector.unseen)
        };
        let parts: Vec<Part> = rounds.par_iter().map(one).collect();
        let mut judged = Judged { found: vec![None; priors.len()], gap: 0.0, unseen: 0 };
        for (found, gap, unseen) in parts {
            found.into_iter().for_each(|(place, at)| judged.found[place] = Some(at));
            judged.gap = judged.gap.max(gap);
            judged.unseen += unseen;
        }
        judged
    }
}

/// Adds the error of a prediction: `found` and `truth` in px of the object's input, the error in the photo's pixels, with its
/// box's longer side.
fn miss(misses: &mut Misses, object: &CroppedObject, found: (f64, f64), truth: (f64, f64)) {
    let [across, down] = object.scale;
    misses.add((found.0 * across, found.1 * down), (truth.0 * across, truth.1 * down), object.extent);
}
