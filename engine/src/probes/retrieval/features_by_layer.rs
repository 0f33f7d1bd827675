//! A net's features layer by layer: the crops that excite a channel most, beside their projections to pixels.
//!
//! Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, figure 2: a block of the nine strongest crops of
//! a channel beside the block of their projections down to pixels, some channels a layer, one part of the figure a layer.

use crate::data::{Dataset, Image, Interpolation};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::{input_signal, projections::picture};
use crate::probes::retrieval::max_activating::{FieldWindow, Projection, numbers, standing_out};
use crate::probes::retrieval::top_activations::{Query, Thinning, TopActivations};
use crate::probes::spatial::spread;
use crate::show::{Artifact, Cell, Part, Pictures, Table};
use crate::stream::stream_tensors;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// For every layer the channels whose largest activation is most above the mean, each with a block of the crops that excite
    /// it most beside the block of their projections to pixels: all layers in one pass over the images.
    ///
    /// Arrays: `channels` (layers x show; -1 where a layer has fewer), `values` and `images` (layers x show x top, strongest
    /// first, one activation an image; NaN and -1 where there are fewer).
    #[probe(
        family = Images,
        source = "Zeiler, Fergus 2013, section 4 and figure 2",
        subjects = "a net or a layer",
        input = Data,
        example = "features_by_layer(#{ layers: [\"conv2/relu\", \"conv4/relu\"], top: 4, show: 2 }).run(net, data)"
    )]
    pub struct FeaturesByLayer as "features_by_layer" {
        /// The layers; five, evenly spaced, unless given. With a layer as the subject, that layer.
        layers: Vec<LayerName> = Vec::new();
        /// Crops of a channel; a block has as many rows as columns.
        top: usize = 9, in 1..=100;
        /// Channels of a layer: those whose largest activation is the most standard deviations above the mean of the images' maxima.
        show: usize = 6, in 1..=1000;
        /// What is shown beside the crops.
        project: Projection = Projection::Deconvnet;
    }
}

impl Probe for FeaturesByLayer {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (model, data) = (on.model()?, input.data()?);
        let nodes = self.nodes(on, model)?;
        let layer = |node: &NodeId| Subject::Layer { model: model.clone(), node: *node };
        let queries = nodes.iter().map(|n| Query::of(&layer(n))).collect::<Result<Vec<_>>>()?;
        let mut maxima: Vec<TopActivations> =
            queries.iter().map(|q| TopActivations::new(q.names.len(), self.top, 0)).collect();
        let (tap, all) = (Tap::Only(nodes.clone()), 0..data.len());
        let report = stream_tensors(
            model,
            &data,
            std::slice::from_ref(&all),
            (job, "features_by_layer: strongest answers"),
            |ids, x| {
                let trace = model.forward(x, &tap)?;
                for (query, of) in queries.iter().zip(&mut maxima) {
                    let thinning = Thinning { per_image: 1, overlap: 1.0, field: query.field() };
                    let answers = query.answers(&trace)?;
                    let each = answers.len() / ids.len();
                    ids.iter().zip(answers.chunks(each)).for_each(|(i, a)| of.add(*i, a, query.map[1], &thinning));
                }
                Ok(())
            },
        )?;
        let mut found = Found::new(nodes.len(), self.show, self.top);
        let mut pages = Vec::new();
        for l in job.steps("features_by_layer: projections", nodes.len()) {
            pages.push(self.page(&queries[l], &maxima[l], &data, &mut found)?);
        }
        let drawn = pages.len();
        let mut artifact =
            Artifact::new(format!("what excites the layers of {} most in {}", model.card().name, data.name));
        for page in pages {
            artifact = artifact.part(Part::Pictures(page));
        }
        let beside = match self.project {
            Projection::None => None,
            _ => Some(
                "beside each block of crops stand their projections, each scaled by the 99.5 % quantile of its own magnitudes, zero is grey",
            ),
        };
        let made = self.arrays(artifact, found, data.len())?;
        let made = made
            .note("a block: a channel's strongest crops, row by row, one an image; crops are receptive fields on the net's input")
            .notes(beside.map(str::to_string))
            .notes(report.note());
        Ok(if report.reached < data.len() {
            made.reached(report.reached, data.len())
        } else {
            made.reached(drawn, nodes.len())
        })
    }
}

/// What the arrays and the table hold.
struct Found {
    layers: usize,
    channels: Vec<f32>,
    values: Vec<f32>,
    images: Vec<f64>,
    table: Table,
}

impl Found {
    fn new(layers: usize, show: usize, top: usize) -> Self {
        let columns = ["layer", "channel", "strongest", "weakest shown", "images' maxima", "sd", "images"];
        Found {
            layers: 0,
            channels: vec![-1.0; layers * show],
            values: vec![f32::NAN; layers * show * top],
            images: vec![-1.0; layers * show * top],
            table: Table::new(columns),
        }
    }
}

/// Side of a crop in a block, px.
const CROP_SIDE: usize = 72;
/// Between the crops of a block, px.
const CROP_GAP: usize = 2;

impl FeaturesByLayer {
    fn nodes(&self, on: &Subject, model: &Model) -> Result<Vec<NodeId>> {
        let nodes = match on {
            Subject::Layer { node, .. } => vec![*node],
            Subject::Model(_) if self.layers.is_empty() => spread(model, 5),
            Subject::Model(_) => self.layers.iter().map(|l| model.layer(&l.0)).collect::<Result<_>>()?,
            other => return Err(Error::subject(format!("{other} is no net or layer"))),
        };
        if nodes.is_empty() {
            return Err(Error::subject(format!("{on} has no layer with maps")).hint("name `layers`"));
        }
        Ok(nodes)
    }

    /// The blocks of a layer, and its part of the arrays.
    fn page(&self, query: &Query, maxima: &TopActivations, data: &Dataset, found: &mut Found) -> Result<Pictures> {
        let input = &query.model.input_shape()[1..];
        let size = [input.first().copied().unwrap_or(1), input.get(1).copied().unwrap_or(1)];
        let preprocess = query.model.card().preprocess()?;
        let node = query.node.ok_or_else(|| Error::internal("a layer without a node"))?;
        let layer = query.model.graph().node(node).name.clone();
        let l = found.layers;
        found.layers += 1;
        let mut blocks = Vec::new();
        for (s, channel) in standing_out(maxima).into_iter().take(self.show).enumerate() {
            let at = l * self.show + s;
            found.channels[at] = channel as f32;
            let peaks = maxima.tops[channel].peaks();
            let (mut crops, mut projected) = (Vec::new(), Vec::new());
            for (rank, peak) in peaks.iter().enumerate() {
                found.values[at * self.top + rank] = peak.value;
                found.images[at * self.top + rank] = peak.image as f64;
                let photo = data.seen(peak.image, preprocess)?;
                let window = FieldWindow::of(&query.field(), query.position(peak.place), size);
                crops.push(window.crop(&preprocess.fit(&photo)?)?);
                if let (Some(rules), Some(unit)) = (self.project.rules(), query.subject_at(channel, peak.place)) {
                    let x = Input::Image(photo).prepared(&query.model)?.x;
                    let signal = input_signal(&unit, &x, &rules)?.squeeze(0)?;
                    projected.push(window.crop(&picture(&query.model, &signal)?)?);
                }
            }
            let (Some(first), Some(last)) = (peaks.first(), peaks.last()) else { continue };
            let side = (self.top as f64).sqrt().ceil() as usize;
            blocks.push((
                block(&crops, side)?,
                format!("{}: {:.2} to {:.2}", query.names[channel], first.value, last.value),
            ));
            if !projected.is_empty() {
                blocks.push((block(&projected, side)?, "projections".to_string()));
            }
            let moments = &maxima.moments[channel];
            let named: Vec<String> = peaks.iter().map(|p| p.image.to_string()).collect();
            let row: [Cell; 7] = [
                layer.as_str().into(),
                channel.into(),
                f64::from(first.value).into(),
                f64::from(last.value).into(),
                moments.mean().into(),
                moments.std().into(),
                named.join(" ").into(),
            ];
            found.table.push(row);
        }
        let columns = if self.project == Projection::None { 6 } else { 4 };
        Ok(Pictures {
            title: format!(
                "{layer}: the {} of {} channels that stand out most",
                self.show.min(query.names.len()),
                query.names.len()
            ),
            images: blocks,
            columns: Some(columns),
        })
    }

    fn arrays(&self, artifact: Artifact, found: Found, images: usize) -> Result<Artifact> {
        let layers = found.channels.len() / self.show;
        let shape = [layers, self.show, self.top];
        Ok(artifact
            .array("values", tensor(found.values, &shape)?)
            .array("channels", tensor(found.channels, &[layers, self.show])?)
            .array("images", numbers(found.images, images, &shape)?)
            .part(Part::Table("strongest answers".into(), found.table)))
    }
}

/// Pictures in rows of `side`, each brought to the same size, small ones by whole pixels; white between them.
fn block(pictures: &[Image], side: usize) -> Result<Image> {
    let whole = side * CROP_SIDE + (side - 1) * CROP_GAP;
    let rows = pictures.len().div_ceil(side);
    let height = rows * CROP_SIDE + rows.saturating_sub(1) * CROP_GAP;
    let mut pixels = vec![255u8; whole * height * 3];
    for (i, picture) in pictures.iter().enumerate() {
        let longest = picture.width().max(picture.height());
        let to = |length: usize| (length * CROP_SIDE).div_ceil(longest).clamp(1, CROP_SIDE);
        let (w, h) = (to(picture.width()), to(picture.height()));
        let small = picture.resize(w, h, Interpolation::Bilinear)?;
        let (left, top) = (
            i % side * (CROP_SIDE + CROP_GAP) + (CROP_SIDE - w) / 2,
            i / side * (CROP_SIDE + CROP_GAP) + (CROP_SIDE - h) / 2,
        );
        for (y, row) in small.pixels().chunks_exact(w * 3).enumerate() {
            pixels[((top + y) * whole + left) * 3..][..w * 3].copy_from_slice(row);
        }
    }
    Image::new(whole, height, pixels)
}
