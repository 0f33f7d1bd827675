//! Do features change alike when the same part is hidden in different images?
//!
//! Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 4.3 and table 1.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::occlusion::Fill;
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::Z95;
use crate::stream::readable;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

crate::params! {
    /// Zeiler's delta for each known part and for random places: the Hamming distance between the signs of the feature changes
    /// when the part is hidden in two images, averaged over all pairs of images, as a share of the features.
    ///
    /// A lower delta for a part than for random places means that the layer represents the part alike in all images. Images
    /// need keypoints (`shapes` has them) and should be of one class. The array `delta` has a value for each part and, last, that of
    /// random places; with `layers`, a row of such values for each layer.
    #[probe(
        family = Space,
        source = "Zeiler, Fergus 2013, section 4.3, table 1",
        subjects = "a net or a layer",
        input = Data,
        example = "part_correspondence(#{ images: 4, random: 2 }).run(net, data)"
    )]
    pub struct PartCorrespondence as "part_correspondence" {
        /// Side of the patch, px of the net's input.
        patch: usize = 16, in 1..=4096;
        /// The layer whose features are compared; the last one with maps unless given.
        layer: Option<LayerName> = None;
        /// Several layers, all from the same passes: the paper's table 1 has two. `layer` is then left out.
        layers: Vec<LayerName> = Vec::new();
        /// What the patch is filled with, as for `occlusion`.
        fill: Fill = Fill::Zero;
        /// Random places tried.
        random: usize = 10, in 1..=1000;
        /// Images used at most; the number of pairs grows with the square.
        images: usize = 24, in 2..=1000;
    }
}

impl Probe for PartCorrespondence {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let nodes = self.nodes(on, model)?;
        let (data, report) = readable(&input.data()?, self.images)?;
        let images = self.images.min(data.len());
        let rng = job.rng("part_correspondence");
        let mut groups: Vec<Group> = Vec::new();
        let mut done = 0;
        for i in job.steps("part_correspondence", images) {
            let image = data.get(i)?;
            let prepared = Input::Image(image.clone()).prepared(model)?;
            let [.., height, width] = *prepared.x.dims() else {
                return Err(Error::subject("parts are hidden in images"));
            };
            let place = model.card().preprocess()?.place(&image);
            let parts = image.keypoints().iter().map(|(name, (x, y))| (name.clone(), place.to_input(*x, *y)));
            let places = (0..self.random).map(|k| {
                let at = (2 * (i * self.random + k)) as u64;
                (format!("random {k}"), (rng.uniform_at(at) * width as f64, rng.uniform_at(at + 1) * height as f64))
            });
            let hidden: Vec<(String, (f64, f64))> = parts.chain(places).collect();
            let centres: Vec<(f64, f64)> = hidden.iter().map(|h| h.1).collect();
            for ((name, _), signs) in hidden.iter().zip(self.changes(model, &nodes, &prepared.x, &centres)?) {
                match groups.iter_mut().find(|g| g.name == *name) {
                    Some(group) => group.signs.push(signs),
                    None => groups.push(Group { name: name.clone(), signs: vec![signs] }),
                }
            }
            done = i + 1;
        }
        groups.retain(|g| g.signs.len() > 1);
        if !groups.iter().any(|g| !g.is_random()) {
            return Err(Error::subject("no part is known in two images of the data set")
                .hint("`shapes(#{ classes: [\"arrow\"] })` has keypoints"));
        }
        let names: Vec<&str> = nodes.iter().map(|n| model.graph().node(*n).name.as_str()).collect();
        let made = match &names[..] {
            [one] if self.layers.is_empty() => of_layer(model, one, &groups, done),
            several => of_layers(model, several, &groups, done),
        };
        made.map(|a| a.notes(report.note()).reached(done, images))
    }
}

/// The signs of the feature changes of one part: for each image and each layer, those of its features.
struct Group {
    name: String,
    signs: Vec<Vec<Vec<i8>>>,
}

impl Group {
    fn is_random(&self) -> bool {
        self.name.starts_with("random ")
    }

    /// The share of a layer's features whose signs differ, for each pair of images.
    fn distances(&self, layer: usize) -> Vec<f64> {
        let all: Vec<&[i8]> = self.signs.iter().map(|of| &of[layer][..]).collect();
        let apart = |a: &[i8], b: &[i8]| a.iter().zip(b).filter(|(x, y)| x != y).count() as f64 / a.len() as f64;
        (0..all.len())
            .flat_map(|i| (i + 1..all.len()).map(move |j| (i, j)))
            .map(|(i, j)| apart(all[i], all[j]))
            .collect()
    }
}

impl PartCorrespondence {
    fn nodes(&self, on: &Subject, model: &Model) -> Result<Vec<NodeId>> {
        if self.layers.is_empty() {
            return self.layer_of(on, model).map(|node| vec![node]);
        }
        if self.layer.is_some() {
            return Err(Error::value(
                "option `layer` names one layer, option `layers` several: which of both is meant?",
            )
            .hint("leave one of them out"));
        }
        self.layers.iter().map(|l| model.layer(&l.0)).collect()
    }

    fn layer_of(&self, on: &Subject, model: &Model) -> Result<NodeId> {
        match (&self.layer, on) {
            (Some(name), _) => model.layer(&name.0),
            (None, Subject::Layer { node, .. }) => Ok(*node),
            (None, Subject::Model(_)) => {
                model.last_map_layer().ok_or_else(|| Error::subject(format!("{on} has no layer with maps")))
            }
            (None, other) => Err(Error::subject(format!("{other} is no net or layer"))),
        }
    }

    /// sign(phi(x) - phi(x with the patch)) with the patch centred at each of `centres`: for each centre those of each layer.
    fn changes(
        &self,
        model: &Model,
        nodes: &[NodeId],
        x: &Tensor,
        centres: &[(f64, f64)],
    ) -> Result<Vec<Vec<Vec<i8>>>> {
        let [_, channels, height, width] = *x.dims() else { return Err(Error::internal("an input that is no image")) };
        let (base, fill) = (to_f32(x)?, self.fill.values(model, x)?);
        let mut all = base.clone();
        for (cx, cy) in centres {
            let mut hidden = base.clone();
            let span = |c: f64, n: usize| {
                let from = (c - self.patch as f64 / 2.0).round();
                (from.max(0.0) as usize).min(n)..((from + self.patch as f64).max(0.0) as usize).min(n)
            };
            let columns = span(*cx, width);
            for (c, value) in fill.iter().enumerate().take(channels) {
                for y in span(*cy, height) {
                    hidden[(c * height + y) * width..][columns.clone()].fill(*value);
                }
            }
            all.extend(hidden);
        }
        let batch = tensor(all, &[centres.len() + 1, channels, height, width])?;
        let trace = model.forward(&batch, &Tap::Only(nodes.to_vec()))?;
        let features = nodes.iter().map(|n| to_f32(trace.get(*n)?)).collect::<Result<Vec<_>>>()?;
        let sign = |d: f32| {
            if d > 0.0 {
                1
            } else if d < 0.0 {
                -1
            } else {
                0
            }
        };
        let change = |k: usize, of: &Vec<f32>| -> Vec<i8> {
            let len = of.len() / (centres.len() + 1);
            (0..len).map(|i| sign(of[i] - of[(k + 1) * len + i])).collect()
        };
        Ok((0..centres.len()).map(|k| features.iter().map(|of| change(k, of)).collect()).collect())
    }
}

/// A part's delta at a layer: its name, the mean over pairs of images, the ends of its interval, and how many images have it.
struct Delta {
    name: String,
    mean: f64,
    ends: (f64, f64),
    images: usize,
}

impl Delta {
    fn of(name: &str, values: &[f64], images: usize) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len().max(2) - 1) as f64;
        // Pairs share images, so the error is told by the images, not by the pairs.
        let half = Z95 * (var / images as f64).sqrt();
        Delta { name: name.to_string(), mean, ends: (mean - half, mean + half), images }
    }

    fn cells(&self) -> [Cell; 5] {
        let (low, high) = self.ends;
        [self.name.as_str().into(), self.mean.into(), low.into(), high.into(), self.images.into()]
    }
}

/// The deltas of all parts at a layer, and last that of random places.
fn deltas(groups: &[Group], layer: usize, images: usize) -> Vec<Delta> {
    let known = groups.iter().filter(|g| !g.is_random());
    let mut all: Vec<Delta> = known.map(|g| Delta::of(&g.name, &g.distances(layer), g.signs.len())).collect();
    let random: Vec<f64> = groups.iter().filter(|g| g.is_random()).flat_map(|g| g.distances(layer)).collect();
    all.push(Delta::of("random", &random, images));
    all
}

fn bars(name: &str, all: &[Delta]) -> Series {
    Series {
        name: name.into(),
        x: (0..all.len()).map(|i| i as f64).collect(),
        y: all.iter().map(|d| d.mean).collect(),
        bars: all.iter().map(|d| d.ends).collect(),
        mark: Mark::Bar,
    }
}

fn plot(title: String, parts: &[Delta], series: Vec<Series>) -> Plot {
    Plot {
        title,
        x_label: "part".into(),
        y_label: "delta (Hamming share), 95 %".into(),
        categories: parts.iter().map(|d| d.name.clone()).collect(),
        series,
    }
}

fn explained(artifact: Artifact) -> Artifact {
    artifact
        .note("the last value is that of random places; lower is more alike")
        .note("intervals treat images, not pairs, as independent")
}

fn of_layer(model: &Model, name: &str, groups: &[Group], images: usize) -> Result<Artifact> {
    let all = deltas(groups, 0, images);
    let mut table = Table::new(["part", "delta", "low", "high", "images"]);
    all.iter().for_each(|d| table.push(d.cells()));
    let drawn = plot(format!("feature change at {name} when a part is hidden"), &all, vec![bars("delta", &all)]);
    let values = all.iter().map(|d| d.mean).collect();
    Ok(explained(
        Artifact::new(format!("part correspondence at {name} in {}", model.card().name))
            .part(Part::Plot(drawn))
            .part(Part::Table("delta by part".into(), table))
            .array("delta", tensor::<f64>(values, &[all.len()])?),
    ))
}

/// Several layers beside each other (Zeiler and Fergus 2013, table 1).
fn of_layers(model: &Model, names: &[&str], groups: &[Group], images: usize) -> Result<Artifact> {
    let mut table = Table::new(["layer", "part", "delta", "low", "high", "images"]);
    let (mut series, mut values, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for (layer, name) in names.iter().enumerate() {
        parts = deltas(groups, layer, images);
        parts.iter().for_each(|d| table.push([Cell::from(*name)].into_iter().chain(d.cells())));
        values.extend(parts.iter().map(|d| d.mean));
        series.push(bars(name, &parts));
    }
    let drawn = plot("feature change when a part is hidden".into(), &parts, series);
    let (rows, count) = (names.len(), parts.len());
    Ok(explained(
        Artifact::new(format!("part correspondence at {rows} layers of {}", model.card().name))
            .part(Part::Plot(drawn))
            .part(Part::Table("delta by layer and part".into(), table))
            .array("delta", tensor::<f64>(values, &[rows, count])?),
    ))
}
