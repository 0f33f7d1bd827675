//! Which named point is it? A linear classifier on a layer's feature at the point, layer by layer.
//!
//! Long, Zhang, Darrell 2014, section 4: linear SVMs on features at keypoints, compared with a hand-made descriptor.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::probes::spatial::{LeftOut, Seen, spread};
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::space::Lattice;
use crate::space::features::{FeatureMap, input_of, patch};
use crate::space::hog::Gradients;
use crate::space::svm::Svm;
use crate::stats::{Z95, wilson};
use crate::stream::readable;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// The accuracy of a linear support vector machine that classifies named points by the features at them, by layer,
    /// cross-validated over images, beside raw patches, HOG, and the most frequent point.
    ///
    /// Arrays: `accuracy`, `low`, `high` (layers, then raw patch, then HOG), `chance`.
    #[probe(
        family = Space,
        source = "Long, Zhang, Darrell 2014, section 4",
        subjects = "a net or a layer",
        input = Data,
        example = "keypoint_classification(#{ images: 8, folds: 2 }).run(net, shapes(#{ n: 8, classes: [\"arrow\"] }))"
    )]
    pub struct KeypointClassification as "keypoint_classification" {
        /// The layers; five, evenly spaced, unless given. With a layer as the subject, that layer.
        layers: Vec<LayerName> = Vec::new();
        /// Images used at most.
        images: usize = 200, in 4..=100_000;
        /// Folds of the images, each judged by classifiers trained on the others.
        folds: usize = 4, in 2..=100;
        /// The cost C of a violated margin.
        c: f64 = 10.0, in 1e-6..=1e6;
        /// The side of raw patches and of HOG's squares, px of the net's input.
        patch: usize = 16, in 4..=1024;
    }
}

impl Probe for KeypointClassification {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let nodes: Vec<NodeId> = match on {
            Subject::Layer { node, .. } => vec![*node],
            Subject::Model(_) if self.layers.is_empty() => spread(model, 5),
            Subject::Model(_) => self.layers.iter().map(|l| model.layer(&l.0)).collect::<Result<_>>()?,
            other => return Err(Error::subject(format!("{other} is no net or layer"))),
        };
        let lattices = nodes.iter().map(|n| Lattice::of(model, *n)).collect::<Result<Vec<_>>>()?;
        let (data, report) = readable(&input.data()?, self.images)?;
        let images = self.images.min(data.len());
        let methods = nodes.len() + 2;
        let mut rows: Vec<Vec<f32>> = vec![Vec::new(); methods];
        let (mut of, mut names, mut done) = (Vec::new(), Vec::<String>::new(), 0);
        let mut left_out = LeftOut::default();
        for i in job.steps("keypoint_classification", images) {
            let seen = Seen::of(model, &data, i)?;
            left_out.add(&seen.caption, &seen.outside);
            let maps = FeatureMap::all(model, &nodes, &input_of(model, &seen.image)?)?;
            let gradients = Gradients::of(&seen.image);
            for (name, (x, y)) in &seen.keypoints {
                let class = names.iter().position(|n| n == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                });
                of.push((i, class));
                for (rows, map) in rows.iter_mut().zip(&maps) {
                    rows.extend(map.between(*x, *y));
                }
                rows[methods - 2].extend(patch(&seen.image, *x, *y, self.patch));
                rows[methods - 1].extend(gradients.describe(*x, *y, self.patch));
            }
            done = i + 1;
        }
        if names.len() < 2 || done < self.folds {
            return Err(Error::subject(format!(
                "{} kinds of named points in {done} images; at least 2 kinds and {} images are needed",
                names.len(),
                self.folds
            ))
            .hint("`shapes(#{ classes: [\"arrow\"] })` has named points"));
        }
        let label = |m: usize| match m.checked_sub(nodes.len()) {
            None => model.graph().node(nodes[m]).name.clone(),
            Some(0) => format!("raw patch {0} x {0}", self.patch),
            Some(_) => format!("HOG {0} x {0}", self.patch),
        };
        let n = of.len();
        let mut counts = vec![0usize; names.len()];
        of.iter().for_each(|(_, c)| counts[*c] += 1);
        let chance = counts.iter().max().copied().unwrap_or(0) as f64 / n as f64;
        let mut table = Table::new(["features", "stride px", "field px", "right", "accuracy", "low", "high"]);
        let (mut accuracy, mut low, mut high, mut gap) = (Vec::new(), Vec::new(), Vec::new(), 0f64);
        for (m, rows) in rows.iter().enumerate() {
            let (right, apart) = self.right(rows, &of, names.len());
            gap = gap.max(apart);
            let share = right as f64 / n as f64;
            let (l, h) = wilson(right, n, Z95);
            let (stride, field) = match lattices.get(m) {
                Some(lattice) => (lattice.stride[0].into(), lattice.field[0].into()),
                None => (crate::show::Cell::Nothing, self.patch.into()),
            };
            table.push([label(m).into(), stride, field, right.into(), share.into(), l.into(), h.into()]);
            accuracy.push(share);
            low.push(l);
            high.push(h);
        }
        let plot = Plot {
            title: format!("{} named points told apart by a linear classifier", names.len()),
            x_label: String::new(),
            y_label: "accuracy, Wilson 95 %".into(),
            categories: (0..methods).map(label).collect(),
            series: vec![Series {
                name: "accuracy".into(),
                x: (0..methods).map(|m| m as f64).collect(),
                y: accuracy.clone(),
                bars: low.iter().copied().zip(high.iter().copied()).collect(),
                mark: Mark::Bar,
            }],
        };
        Ok(Artifact::new(format!("keypoint classification by {}", model.card().name))
            .array("accuracy", tensor(accuracy, &[methods])?)
            .array("low", tensor(low, &[methods])?)
            .array("high", tensor(high, &[methods])?)
            .array("chance", tensor(vec![chance], &[1])?)
            .part(Part::Plot(plot))
            .part(Part::Table("accuracy".into(), table))
            .note(format!(
                "{n} points of {done} images, {} folds; the most frequent point alone: {:.1} %",
                self.folds,
                100.0 * chance
            ))
            .note(format!("points: {}", names.join(", ")))
            .note(format!("the classifiers' duality gap is at most {gap:.1e} of their objective"))
            .notes(report.note())
            .notes(left_out.note())
            .reached(done, images))
    }
}

impl KeypointClassification {
    /// The number of points classified correctly by classifiers trained on the other folds, and the classifiers' largest
    /// duality gap.
    fn right(&self, rows: &[f32], of: &[(usize, usize)], classes: usize) -> (usize, f64) {
        let d = rows.len() / of.len().max(1);
        let row = |p: usize| &rows[p * d..(p + 1) * d];
        let (mut right, mut gap) = (0, 0f64);
        for fold in 0..self.folds {
            let (test, train): (Vec<usize>, Vec<usize>) = (0..of.len()).partition(|p| of[*p].0 % self.folds == fold);
            if test.is_empty() || train.is_empty() {
                continue;
            }
            let x: Vec<f32> = train.iter().flat_map(|p| row(*p).iter().copied()).collect();
            let y: Vec<usize> = train.iter().map(|p| of[*p].1).collect();
            let svm = Svm::train(&x, d, &y, classes, self.c);
            right += test.iter().filter(|p| svm.class(row(**p)) == of[**p].1).count();
            gap = gap.max(svm.gap());
        }
        (right, gap)
    }
}
