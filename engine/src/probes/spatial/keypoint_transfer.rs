//! How precisely features find points again: under known warps, or between images with named points.
//!
//! Long, Zhang, Darrell 2014, sections 3 and 5: localisation is finer than the receptive field. For comparison there are raw
//! patches and HOG on the first layer's lattice.

use crate::data::{Dataset, Image};
use crate::embed::knn::Metric;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::probes::spatial::{LeftOut, Misses, Seen, spread};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::space::features::{FeatureMap, input_of, raw};
use crate::space::hog::{Gradients, hog};
use crate::space::matching::locate;
use crate::space::{Lattice, Warp};
use crate::stats::{Z95, wilson};
use crate::stream::readable;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use rayon::prelude::*;

crate::params! {
    /// The share of points found again within alpha times the object's longer side (PCK), by layer and by warp, beside raw
    /// patches and HOG; errors in pixels and in receptive fields.
    ///
    /// With `warps: []` points are transferred between images of one label that have named points. Arrays: `pck` (methods x
    /// warps x alphas), `error` (methods x warps, median px), `fields` (the same in receptive fields; NaN for patches).
    #[probe(
        family = Space,
        source = "Long, Zhang, Darrell 2014, sections 3 and 5",
        subjects = "a net or a layer",
        input = Data,
        example = "keypoint_transfer(#{ images: 2, points: 5 }).run(net, data)"
    )]
    pub struct KeypointTransfer as "keypoint_transfer" {
        /// The layers; five, evenly spaced, unless given. With a layer as the subject, that layer.
        layers: Vec<LayerName> = Vec::new();
        /// The known warps; an empty list means named points between images.
        warps: Vec<Warp> = vec![Warp::Rotation, Warp::Scale, Warp::Photometric];
        /// PCK's alphas, as shares of the longer side of the object's box (of the image where there is none).
        alphas: Vec<f64> = vec![0.05, 0.1];
        /// Images used at most.
        images: usize = 20, in 1..=100_000;
        /// Points in an image at most, within the object's mask where that is known.
        points: usize = 30, in 1..=10_000;
        /// The side of raw patches and of HOG's squares, px of the net's input; 0 is twice the first layer's stride, at least 16.
        patch: usize = 0, in 0..=1024;
        /// The distance between a layer's features; raw patches are compared by the Euclidean distance, HOG by the cosine distance.
        metric: Metric = Metric::Cosine;
    }
}

impl Probe for KeypointTransfer {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        if self.alphas.is_empty() || self.alphas.iter().any(|a| a.is_nan() || *a <= 0.0) {
            return Err(Error::value(format!("option `alphas` takes shares above 0, got {:?}", self.alphas)));
        }
        let (model, nodes) = self.layers_of(on)?;
        // Without warps each image is matched with another of its label, wherever that is.
        let most = if self.warps.is_empty() { usize::MAX } else { self.images };
        let (data, report) = readable(&input.data()?, most)?;
        let base = Lattice::of(model, nodes[0])?;
        let side = match self.patch {
            0 => ((2.0 * base.stride[0]) as usize).max(16),
            side => side,
        };
        let methods = Methods { model, nodes: &nodes, base, side };
        let images = self.images.min(data.len());
        let columns = self.warps.len().max(1);
        let mut misses = vec![Misses::default(); (nodes.len() + 2) * columns];
        let (mut done, mut left_out) = (0, LeftOut::default());
        for i in job.steps("keypoint_transfer", images) {
            let first = Seen::of(model, &data, i)?;
            left_out.add(&first.caption, &first.outside);
            let (from, gradients) = (methods.features(&first.image)?, Gradients::of(&first.image));
            for (w, task) in self.tasks(model, &data, &first, i, job)?.into_iter().enumerate() {
                let Some((second, points)) = task else { continue };
                let to = methods.features(&second)?;
                for (m, (a, b)) in from.iter().zip(&to).enumerate() {
                    let find = |(x, y, ..): &Point| {
                        let feature = methods.at(m, a, (&first.image, &gradients), *x, *y);
                        let (c, r) = locate(&feature, b, methods.metric(m, self.metric));
                        b.lattice.at(c, r)
                    };
                    let found: Vec<(f64, f64)> = points.par_iter().map(find).collect();
                    let own = &mut misses[m * columns + w];
                    found.iter().zip(&points).for_each(|(f, (.., truth, extent))| own.add(*f, *truth, *extent));
                }
            }
            done = i + 1;
        }
        if misses.iter().all(|m| m.0.is_empty()) {
            return Err(Error::subject("no point is known in two images of one label")
                .hint("`shapes(#{ classes: [\"arrow\"] })` has named points; with `warps` none are needed"));
        }
        self.report(&methods, &misses, columns)
            .map(|a| a.notes(report.note()).notes(left_out.note()).reached(done, images))
    }
}

/// A point of the first image, where it is in the second, and the extent that errors are measured by.
type Point = (f64, f64, (f64, f64), f64);

/// The layers, then raw patches, then HOG.
struct Methods<'a> {
    model: &'a Model,
    nodes: &'a [NodeId],
    base: Lattice,
    side: usize,
}

impl Methods<'_> {
    fn features(&self, image: &Image) -> Result<Vec<FeatureMap>> {
        let mut all = FeatureMap::all(self.model, self.nodes, &input_of(self.model, image)?)?;
        all.push(raw(image, self.base, self.side));
        all.push(hog(image, self.base, self.side));
        Ok(all)
    }

    /// The feature at a point: a layer's between its positions, a patch about the point itself.
    fn at(&self, m: usize, map: &FeatureMap, (image, gradients): (&Image, &Gradients), x: f64, y: f64) -> Vec<f32> {
        match m.checked_sub(self.nodes.len()) {
            None => map.between(x, y),
            Some(0) => crate::space::features::patch(image, x, y, self.side),
            Some(_) => gradients.describe(x, y, self.side),
        }
    }

    fn metric(&self, m: usize, layers: Metric) -> Metric {
        match m.checked_sub(self.nodes.len()) {
            None => layers,
            Some(0) => Metric::Euclidean,
            Some(_) => Metric::Cosine,
        }
    }

    fn name(&self, m: usize) -> String {
        match m.checked_sub(self.nodes.len()) {
            None => self.model.graph().node(self.nodes[m]).name.clone(),
            Some(0) => format!("raw patch {0} x {0}", self.side),
            Some(_) => format!("HOG {0} x {0}", self.side),
        }
    }
}

impl KeypointTransfer {
    fn layers_of<'a>(&self, on: &'a Subject) -> Result<(&'a Model, Vec<NodeId>)> {
        let model = on.model()?;
        let nodes = match on {
            Subject::Layer { node, .. } => vec![*node],
            Subject::Model(_) if self.layers.is_empty() => spread(model, 5),
            Subject::Model(_) => self.layers.iter().map(|l| model.layer(&l.0)).collect::<Result<_>>()?,
            other => return Err(Error::subject(format!("{other} is no net or layer"))),
        };
        if nodes.is_empty() {
            return Err(Error::subject(format!("{on} has no layer with positions")));
        }
        nodes.iter().try_for_each(|n| Lattice::of(model, *n).map(|_| ()))?;
        Ok((model, nodes))
    }

    /// For each warp (or the one next image of the same label) the second image and the points.
    #[allow(clippy::type_complexity)]
    fn tasks(
        &self,
        model: &Model,
        data: &Dataset,
        first: &Seen,
        i: usize,
        job: &Job,
    ) -> Result<Vec<Option<(Image, Vec<Point>)>>> {
        let size = (first.image.width() as f64, first.image.height() as f64);
        if self.warps.is_empty() {
            let next = (1..data.len())
                .map(|k| (i + k) % data.len())
                .find(|j| data.item(*j).is_ok_and(|item| item.label.is_some() && item.label == first.label));
            let Some(j) = next else { return Ok(vec![None]) };
            let second = Seen::of(model, data, j)?;
            let points = first.keypoints.iter().filter_map(|(name, (x, y))| {
                let truth = second.keypoints.iter().find(|(n, _)| n == name)?.1;
                Some((*x, *y, truth, second.extent))
            });
            let points = points.take(self.points).collect();
            return Ok(vec![Some((second.image, points))]);
        }
        let stream = job.rng("keypoint_transfer");
        let inside = |(x, y): (f64, f64)| x >= 0.0 && y >= 0.0 && x < size.0 && y < size.1;
        let on_object = |(x, y): (f64, f64)| match first.image.mask() {
            Some(mask) => mask.values[y as usize * mask.width + x as usize] != 0,
            None => true,
        };
        // The same points for every warp.
        let candidates: Vec<(f64, f64)> = (0..20 * self.points as u64)
            .map(|k| ((i as u64) << 32) + 2 * k)
            .map(|at| (stream.uniform_at(at) * size.0, stream.uniform_at(at + 1) * size.1))
            .filter(|p| on_object(*p) && self.warps.iter().all(|w| inside(w.forward(*p, size))))
            .take(self.points)
            .collect();
        self.warps
            .iter()
            .map(|warp| {
                let points = candidates.iter().map(|p| (p.0, p.1, warp.forward(*p, size), first.extent)).collect();
                Ok(Some((warp.apply(&first.image)?, points)))
            })
            .collect()
    }

    fn report(&self, methods: &Methods<'_>, misses: &[Misses], columns: usize) -> Result<Artifact> {
        let count = misses.len() / columns;
        let tasks: Vec<String> = match self.warps.is_empty() {
            true => vec!["between images".into()],
            false => self.warps.iter().map(|w| word(*w)).collect(),
        };
        let head = ["features", "stride px", "field px", "task", "points"].map(String::from);
        let pcks = self.alphas.iter().map(|a| format!("PCK@{a}"));
        let mut table =
            Table::new(head.into_iter().chain(pcks).chain(["median px", "median in fields"].map(String::from)));
        let (mut pck, mut error, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        let mut series: Vec<Series> = tasks
            .iter()
            .map(|t| Series { name: t.clone(), x: Vec::new(), y: Vec::new(), bars: Vec::new(), mark: Mark::Bar })
            .collect();
        let last = self.alphas[self.alphas.len() - 1];
        for m in 0..count {
            let lattice = match methods.nodes.get(m) {
                Some(node) => Lattice::of(methods.model, *node)?,
                None => methods.base,
            };
            let field = (m < methods.nodes.len()).then(|| lattice.field[0].max(lattice.field[1]) as f64);
            for (w, task) in tasks.iter().enumerate() {
                let own = &misses[m * columns + w];
                let median = own.median();
                let mut row: Vec<Cell> = vec![
                    methods.name(m).into(),
                    lattice.stride[0].into(),
                    field.map_or(Cell::from(methods.side as f64), Cell::from),
                    task.as_str().into(),
                    own.0.len().into(),
                ];
                for alpha in &self.alphas {
                    row.push(own.pck(*alpha).into());
                    pck.push(own.pck(*alpha));
                }
                row.extend([median.into(), field.map_or(Cell::Nothing, |f| (median / f).into())]);
                table.push(row);
                error.push(median);
                fields.push(field.map_or(f64::NAN, |f| median / f));
                series[w].x.push(m as f64);
                series[w].y.push(own.pck(last));
                series[w].bars.push(wilson(own.hits(last), own.0.len(), Z95));
            }
        }
        let plot = Plot {
            title: format!("points found within {last} of the object's longer side"),
            x_label: String::new(),
            y_label: format!("PCK@{last}, Wilson 95 %"),
            categories: (0..count).map(|m| methods.name(m)).collect(),
            series,
        };
        Ok(Artifact::new(format!("keypoint transfer by {}", methods.model.card().name))
            .array("pck", tensor(pck, &[count, columns, self.alphas.len()])?)
            .array("error", tensor(error, &[count, columns])?)
            .array("fields", tensor(fields, &[count, columns])?)
            .part(Part::Plot(plot))
            .part(Part::Table("points found again".into(), table))
            .note("a match is the nearest position, refined between positions by a parabola")
            .note("patches stand on the first layer's positions; fields are receptive fields on the net's input"))
    }
}

fn word(warp: Warp) -> String {
    use crate::params::{Param as _, Value};
    match warp.write() {
        Value::Text(t) => t,
        _ => String::new(),
    }
}
