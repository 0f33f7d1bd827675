//! The weights of a layer as pictures: the first layer in colour, deeper ones by input channel, fully connected ones as
//! templates where their input is a map. A figure has one symmetric scale with zero in the middle.
//!
//! CS231n, "Conv/FC Filters": well-trained nets show smooth filters; noisy patterns hint at too little training or
//! regularisation, so each filter gets a smoothness.

use crate::data::preprocess::Order;
use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::show::{Artifact, Grid, Map, Part, Scale, Style, Table, Tile};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

crate::params! {
    /// A layer's weights as tiles on one symmetric scale, with the smoothness of each filter in a table.
    ///
    /// Smoothness is 1 - Geary's C over neighbouring weights: near 1 for smooth filters, near 0 for noise, negative
    /// where neighbours alternate.
    #[probe(
        family = Look,
        source = "CS231n, \"Conv/FC Filters\"",
        subjects = "a convolution or linear layer, or a channel of one; a net means its first convolution",
        input = Nothing,
        example = "filters().run(net)"
    )]
    pub struct Filters as "filters" {
        /// Filters shown at most; the array and the table have all.
        filters: usize = 96, in 1..=4096;
        /// Input channels shown at most for each filter of a deeper layer.
        channels: usize = 16, in 1..=1024;
        /// A filter less smooth than this counts as noisy.
        noisy: f64 = 0.1, in -2.0..=1.0;
    }
}

/// Rows of the smoothness table that are shown; the array holds all.
const SHOWN_ROWS: usize = 10;

/// A layer's weights seen as planes: filters x input channels x rows x columns.
struct Planes {
    weight: Tensor,
    on_input: bool,
    spatial: bool,
}

impl Probe for Filters {
    fn run(&self, on: &Subject, _input: &Input, _job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let (node, only) = match on {
            Subject::Layer { node, .. } => (*node, None),
            Subject::Channel { node, index, .. } => (*node, Some(*index)),
            Subject::Model(_) => (first_weights(model)?, None),
            other => return Err(Error::subject(format!("{other} is no layer")).hint("`net.layer(name)` is one")),
        };
        let mut planes = planes(model, node)?;
        if let Some(i) = only {
            planes.weight = planes.weight.narrow(0, i, 1)?;
        }
        let first = only.unwrap_or(0);
        let title = format!("filters of {on} in {}", model.card().name);
        let picture = self.picture(model, node, &planes, first)?;
        let mut artifact = Artifact::new(title).part(picture).array("filters", planes.weight.clone());
        let (filters, _, rows, columns) = planes.weight.dims4()?;
        if filters > self.filters {
            artifact = artifact
                .note(format!("the first {} of {filters} filters are shown; the array holds all", self.filters));
        }
        if planes.spatial && rows * columns > 1 {
            let (table, noisy) = self.smoothness(&planes.weight, first)?;
            artifact = artifact.note(match noisy.len() {
                0 => format!("no filter is noisy (smoothness below {})", self.noisy),
                n => {
                    format!("{n} of {filters} filters are noisy (smoothness below {}): {}", self.noisy, some_of(&noisy))
                }
            });
            let n = table.len();
            let values =
                table.column("smoothness")?.iter().map(|c| c.number().unwrap_or(f64::NAN) as f32).collect::<Vec<_>>();
            let least = table.sorted("smoothness", false)?.head(SHOWN_ROWS);
            let title = if n > SHOWN_ROWS {
                format!("the {SHOWN_ROWS} least smooth of {n} filters")
            } else {
                "smoothness".into()
            };
            artifact = artifact.array("smoothness", tensor(values, &[n])?).part(Part::Table(title, least));
        }
        Ok(artifact)
    }
}

impl Filters {
    fn picture(&self, model: &Model, node: NodeId, planes: &Planes, first: usize) -> Result<Part> {
        let w = &planes.weight;
        let (filters, channels, rows, columns) = w.dims4()?;
        let name = &model.graph().node(node).name;
        let scale = Scale::Diverging { bound: None };
        let shown = filters.min(self.filters);
        if !planes.spatial {
            return Ok(Part::Map(Map {
                title: format!("{name}: weights, one row an output"),
                values: w.reshape((filters, channels * rows * columns))?,
                label: "weight".into(),
                scale,
                photo: None,
                placement: None,
                extent: None,
                input: [filters, channels],
                style: Style::Alone,
            }));
        }
        let mut tiles = Vec::new();
        let colour = planes.on_input && channels == 3;
        let bgr = model.card().preprocess.as_ref().is_some_and(|p| p.order == Order::Bgr);
        for f in 0..shown {
            let filter = w.get(f)?;
            let number = first + f;
            if colour {
                let values = if bgr {
                    Tensor::cat(&[filter.get(2)?, filter.get(1)?, filter.get(0)?], 0)?.reshape((3, rows, columns))?
                } else {
                    filter
                };
                tiles.push(Tile { caption: number.to_string(), values });
                continue;
            }
            for c in 0..channels.min(self.channels) {
                let caption = if c == 0 { number.to_string() } else { String::new() };
                tiles.push(Tile { caption, values: filter.get(c)? });
            }
        }
        let per_row = (!colour).then(|| channels.min(self.channels));
        let title = if colour {
            format!("{name}: {filters} filters of {rows} x {columns} in colour")
        } else {
            format!(
                "{name}: one row a filter, one tile an input channel ({} of {channels})",
                channels.min(self.channels)
            )
        };
        let columns = per_row.filter(|n| *n > 1);
        Ok(Part::Grid(Grid { title, tiles, columns, label: "weight".into(), scale }))
    }

    fn smoothness(&self, weight: &Tensor, first: usize) -> Result<(Table, Vec<usize>)> {
        let (filters, channels, rows, columns) = weight.dims4()?;
        let all = to_f32(weight)?;
        let mut table = Table::new(["filter", "norm", "smoothness", "state"]);
        let mut noisy = Vec::new();
        for (f, w) in all.chunks(channels * rows * columns).enumerate().take(filters) {
            let norm = w.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            let smooth = smoothness(w, rows, columns);
            let state = match smooth {
                None => "constant",
                Some(s) if s < self.noisy => {
                    noisy.push(first + f);
                    "noisy"
                }
                Some(_) => "smooth",
            };
            table.push([
                (first + f).into(),
                norm.into(),
                smooth.map_or(crate::show::Cell::Nothing, Into::into),
                state.into(),
            ]);
        }
        Ok((table, noisy))
    }
}

/// 1 - Geary's C of a filter's planes (Geary 1954, with the four neighbours as weights); none where all weights of each
/// plane are equal.
pub fn smoothness(w: &[f32], rows: usize, columns: usize) -> Option<f64> {
    let (mut pairs, mut differences, mut spread, mut count) = (0usize, 0.0, 0.0, 0usize);
    for plane in w.chunks(rows * columns) {
        let at = |y: usize, x: usize| f64::from(plane[y * columns + x]);
        let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / plane.len() as f64;
        spread += plane.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
        count += plane.len() - 1;
        for y in 0..rows {
            for x in 0..columns {
                let next = [
                    (y + 1 < rows).then(|| at((y + 1).min(rows - 1), x)),
                    (x + 1 < columns).then(|| at(y, (x + 1).min(columns - 1))),
                ];
                for value in next.into_iter().flatten() {
                    differences += (value - at(y, x)).powi(2);
                    pairs += 1;
                }
            }
        }
    }
    (spread > 0.0 && pairs > 0).then(|| 1.0 - (differences / pairs as f64) / (2.0 * spread / count as f64))
}

fn planes(model: &Model, node: NodeId) -> Result<Planes> {
    let graph = model.graph();
    let n = graph.node(node);
    match &n.op {
        Op::Conv2d(c) | Op::ConvTranspose2d(c, _) => {
            let on_input = from_input(model, n.inputs[0]);
            Ok(Planes { weight: model.weights().tensor(c.weight).clone(), on_input, spatial: true })
        }
        Op::Linear { weight, .. } => {
            let w = model.weights().tensor(*weight);
            let (out, inputs) = w.dims2()?;
            // Where the layer flattens a map, a row of weights is a template over that map.
            let source = graph.node(n.inputs[0]);
            let map = match &source.op {
                Op::Reshape(_) => Some(source.inputs[0]),
                _ => None,
            };
            match map.map(|m| (m, graph.node(m).shape.as_slice())) {
                Some((m, [c, h, w_])) if c * h * w_ == inputs && h * w_ > 1 => {
                    let weight = w.reshape((out, *c, *h, *w_))?;
                    Ok(Planes { weight, on_input: from_input(model, m), spatial: true })
                }
                _ => Ok(Planes { weight: w.reshape((out, inputs, 1, 1))?, on_input: false, spatial: false }),
            }
        }
        op => {
            let with: Vec<&str> = model
                .layers()
                .filter(|id| has_filters(model, *id))
                .map(|id| graph.node(id).name.as_str())
                .take(6)
                .collect();
            Err(Error::subject(format!("`{}` ({}) has no filters", n.name, op.kind()))
                .hint(format!("these have: {}", with.join(", "))))
        }
    }
}

/// Whether a node reads the net's input, possibly through steps that keep its channels apart (normalisation, padding, names).
fn from_input(model: &Model, mut id: NodeId) -> bool {
    let graph = model.graph();
    loop {
        let node = graph.node(id);
        match &node.op {
            Op::Input => return true,
            Op::Identity | Op::Pad { .. } | Op::BatchNorm { .. } => id = node.inputs[0],
            Op::Binary(_) if node.inputs.iter().any(|i| matches!(graph.node(*i).op, Op::Constant(_))) => {
                id = node.inputs[0]
            }
            _ => return false,
        }
    }
}

fn has_filters(model: &Model, id: NodeId) -> bool {
    matches!(model.graph().node(id).op, Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. })
}

fn first_weights(model: &Model) -> Result<NodeId> {
    let named = |id: &NodeId| has_filters(model, *id);
    model
        .layers()
        .find(named)
        .ok_or_else(|| Error::subject(format!("`{}` has no layer with filters", model.card().name)))
}

fn some_of(list: &[usize]) -> String {
    let first: Vec<String> = list.iter().take(12).map(ToString::to_string).collect();
    first.join(", ") + if list.len() > 12 { ", .." } else { "" }
}

/// The filters of a layer as a tensor, filters x channels x rows x columns.
///
/// # Errors
/// Where the layer has none.
pub fn weights_of(model: &Model, node: NodeId) -> Result<Tensor> {
    let planes = planes(model, node)?;
    let dims = planes.weight.dims().to_vec();
    tensor(to_f32(&planes.weight)?, &dims)
}
