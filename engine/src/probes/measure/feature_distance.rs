//! How far does a layer's feature vector move when the image is translated, scaled or rotated?
//!
//! Zeiler and Fergus 2013, section 4.1 and figure 5: small changes are dramatic in the first layer, and nearly linear and small
//! in the last; the figure's right column is `perturbation_sweep`.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::measure::perturb::Perturbation;
use crate::probes::retrieval::coding::layers::depths;
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::stream::{StreamReport, stream};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;

crate::params! {
    /// The Euclidean distance of each layer's feature vector from that of the unchanged image, at each level of one
    /// perturbation, as a share of the mean distance between two images. So layers can be compared; at 1 the changed image is
    /// as far from the unchanged one as another image is.
    ///
    /// Arrays: `distance` (layers x levels, that share, the mean over images), `each` (layers x levels x images, not scaled),
    /// `between` (layers, the mean distance between two images), `values` (the levels).
    #[probe(
        family = Measure,
        source = "Zeiler and Fergus 2013, section 4.1, figure 5",
        subjects = "a net or a layer",
        input = Data,
        example = "feature_distance(#{ by: \"translation\", values: [0, 4] }).run(net, data.take(4))"
    )]
    pub struct FeatureDistance as "feature_distance" {
        /// The perturbation of the photos.
        by: Perturbation = Perturbation::Rotation;
        /// The levels, in the unit of the perturbation; several usual ones unless given.
        values: Vec<f64> = Vec::new();
        /// The layers; the first rectifier and the input of the classifier unless given. With a layer as the subject, that layer.
        layers: Vec<LayerName> = Vec::new();
    }
}

impl Probe for FeatureDistance {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (model, data) = (on.model()?, input.data()?);
        let nodes = self.nodes(on)?;
        if data.len() < 2 {
            return Err(Error::value(format!("`{}` holds {} images; their distance needs two", data.name, data.len())));
        }
        let levels = if self.values.is_empty() { self.by.levels() } else { self.values.clone() };
        let graph = model.graph();
        let lengths: Vec<usize> = nodes.iter().map(|n| graph.node(*n).shape.iter().product()).collect();
        let needed = 8 * lengths.iter().sum::<usize>() as u64 * data.len() as u64;
        let hint = "take fewer images, `data.take(20)`, or name later `layers`";
        job.holds(needed, || format!("the features of {} images take", data.len()), hint)?;
        let noise = job.rng("perturbation_sweep");
        let preprocess = model.card().preprocess()?;
        let n = data.len();
        // The unchanged images first; entry l * n + i is image i at level l - 1.
        let prepare = |at: usize| {
            let image = data.get(at % n)?;
            let changed = if at < n { image } else { self.by.apply(&image, levels[at / n - 1], &noise, at % n)? };
            preprocess.apply(&changed)
        };
        let mut clean: Vec<Vec<Option<Vec<f64>>>> = vec![vec![None; n]; nodes.len()];
        let mut each = vec![f64::NAN; nodes.len() * levels.len() * n];
        let ranges: Vec<_> = (0..=levels.len()).map(|l| l * n..(l + 1) * n).collect();
        let batch = job.through(model, 1, 2 * graph.peak_len(), 16);
        let tap = Tap::Only(nodes.clone());
        let report = stream(&ranges, batch, (job, "feature_distance"), prepare, |items| {
            let (places, rows): (Vec<usize>, Vec<Tensor>) = items.into_iter().unzip();
            let trace = model.forward(&Tensor::stack(&rows, 0)?, &tap)?;
            for (k, node) in nodes.iter().enumerate() {
                let values = to_f64(trace.get(*node)?)?;
                for (at, row) in places.iter().zip(values.chunks(lengths[k])) {
                    let (level, i) = (at / n, at % n);
                    match (level, &clean[k][i]) {
                        (0, _) => clean[k][i] = Some(row.to_vec()),
                        (l, Some(own)) => each[(k * levels.len() + l - 1) * n + i] = distance(row, own),
                        _ => {}
                    }
                }
            }
            Ok(())
        })?;
        // A level that was not finished is left out.
        let done = (report.reached / n).saturating_sub(1);
        if done == 0 {
            return Err(Error::new(crate::error::Kind::Interrupted, "stopped before the first level was done"));
        }
        self.report(on, model, &nodes, &levels, done, &clean, &each, report.of_images(n))
    }
}

impl FeatureDistance {
    fn nodes(&self, on: &Subject) -> Result<Vec<NodeId>> {
        match on {
            Subject::Layer { node, .. } => Ok(vec![*node]),
            Subject::Model(model) if self.layers.is_empty() => {
                let all = depths(model);
                // The scores come last, what the classifier takes in before them.
                let mut some = vec![all[0], all[all.len().saturating_sub(2)]];
                some.dedup();
                Ok(some)
            }
            Subject::Model(model) => self.layers.iter().map(|l| model.layer(&l.0)).collect(),
            other => Err(Error::subject(format!("{other} is no net or layer")).hint("`net.layer(name)` is one")),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn report(
        &self,
        on: &Subject,
        model: &Model,
        nodes: &[NodeId],
        levels: &[f64],
        done: usize,
        clean: &[Vec<Option<Vec<f64>>>],
        each: &[f64],
        report: StreamReport,
    ) -> Result<Artifact> {
        let n = clean.first().map_or(0, Vec::len);
        let mut table = Table::new(["layer", "level", "distance", "of the distance between two images"]);
        let (mut series, mut shares, mut kept, mut apart) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (k, node) in nodes.iter().enumerate() {
            let name = &model.graph().node(*node).name;
            let own: Vec<&Vec<f64>> = clean[k].iter().flatten().collect();
            let pairs: Vec<f64> = (0..own.len())
                .flat_map(|i| (0..i).map(move |j| (i, j)))
                .map(|(i, j)| distance(own[i], own[j]))
                .collect();
            let between = mean(&pairs);
            apart.push(between);
            let mut y = Vec::new();
            for (l, level) in levels[..done].iter().enumerate() {
                let from = (k * levels.len() + l) * n;
                let all = &each[from..from + n];
                kept.extend_from_slice(all);
                let good: Vec<f64> = all.iter().copied().filter(|d| !d.is_nan()).collect();
                let moved = mean(&good);
                table.push([name.as_str().into(), (*level).into(), moved.into(), (moved / between).into()]);
                y.push(moved / between);
            }
            shares.extend(y.iter().copied());
            let x = levels[..done].to_vec();
            series.push(Series { name: name.clone(), x, y, bars: Vec::new(), mark: Mark::Line });
        }
        let plot = Plot {
            title: "how far features move".into(),
            x_label: self.by.unit().into(),
            y_label: "distance, share of that between two images".into(),
            categories: Vec::new(),
            series,
        };
        let count = nodes.len();
        Ok(Artifact::new(format!("features of {on} under {}", self.by.unit().split(',').next().unwrap_or_default()))
            .part(Part::Plot(plot))
            .part(Part::Table("mean distances".into(), table))
            .array("distance", tensor(shares, &[count, done])?)
            .array("each", tensor(kept, &[count, done, n])?)
            .array("between", tensor(apart, &[count])?)
            .array("values", tensor(levels[..done].to_vec(), &[done])?)
            .notes(report.note())
            .reached(report.reached, (levels.len() + 1) * n))
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
