//! A layer's activations for one image, a tile a channel, all on one scale unless asked otherwise: a scale of its own for
//! each tile would hide dead maps.
//!
//! CS231n, "Visualizing what ConvNets learn"; Yosinski et al. 2015.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::show::{Artifact, Grid, Mark, Part, Plot, Scale, Series, Tile};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

crate::choice! {
    /// How the tiles' values become colours.
    pub enum Colours {
        /// Symmetric-log where many maps that are not silent would be dark on a linear scale, else linear.
        Auto = "auto",
        /// One linear scale for all tiles.
        Linear = "linear",
        /// One symmetric-log scale for all tiles.
        Log = "log",
        /// A linear scale for each tile, to its own largest magnitude: hides how strong a map is.
        Each = "each",
    }
}

crate::params! {
    /// The layer's output for one input: one tile for each channel, all on one scale unless `scale` says otherwise.
    #[probe(
        family = Look,
        source = "CS231n, \"Layer Activations\"; Yosinski et al. 2015",
        subjects = "a layer or a channel; a net means its first layer with maps",
        input = One,
        example = "activations().run(net.layers[1], image)"
    )]
    pub struct Activations as "activations" {
        /// Channels shown at most; the array has all.
        channels: usize = 64, in 1..=4096;
        /// How values become colours: "auto", "linear", "log" (symmetric-log) or "each" (each tile by its own largest value).
        scale: Colours = Colours::Auto;
    }
}

impl Probe for Activations {
    fn run(&self, on: &Subject, input: &Input, _job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let (node, only) = match on {
            Subject::Channel { node, index, .. } => (*node, Some(*index)),
            Subject::Layer { node, .. } => (*node, None),
            Subject::Model(_) => (first_maps(on)?, None),
            other => return Err(Error::subject(format!("{other} is no layer")).hint("`net.layer(name)` is one")),
        };
        let prepared = input.prepared(model)?;
        let trace = model.forward(&prepared.x, &Tap::Only(vec![node]))?;
        let mut value = trace.get(node)?.squeeze(0)?;
        if let Some(layout) = model.graph().rearranged_map(node) {
            value = tensor(layout.gather(&to_f32(&value)?), &layout.shape)?;
        }
        if let Some(c) = only {
            value = value.narrow(0, c, 1)?;
        }
        let name = &model.graph().node(node).name;
        let mut artifact = Artifact::new(format!("activations of {on} in {}", model.card().name));
        let all = to_f32(&value)?;
        let zeros = all.iter().filter(|v| **v == 0.0).count() as f64 / all.len().max(1) as f64;
        let part = match value.dims() {
            [c, h, w] if h * w > 1 => {
                let silent = all.chunks(h * w).filter(|m| m.iter().all(|v| *v == 0.0)).count();
                if silent > 0 {
                    artifact = artifact.note(format!(
                        "{silent} of {c} maps are zero everywhere for this input; `sparsity` tells whether they are dead over a data set"
                    ));
                }
                if self.channels < *c {
                    artifact = artifact
                        .note(format!("the first {} of {c} channels are shown; the array holds all", self.channels));
                }
                let signed = all.iter().any(|v| *v < 0.0);
                self.tiles(&value, format!("{name}: {c} maps of {h} x {w}"), only.unwrap_or(0), signed)?
            }
            _ => bars(name, &all),
        };
        Ok(artifact
            .note(format!("{:.1} % of the values are exactly zero", 100.0 * zeros))
            .part(part)
            .array("activations", value))
    }
}

impl Activations {
    fn tiles(&self, maps: &Tensor, title: String, first: usize, signed: bool) -> Result<Part> {
        let shown = maps.dims()[0].min(self.channels);
        let tile = |i: usize| Ok(Tile { caption: (first + i).to_string(), values: maps.get(i)? });
        let tiles = (0..shown).map(tile).collect::<Result<Vec<_>>>()?;
        let linear =
            if signed { Scale::Diverging { bound: None } } else { Scale::Sequential { low: Some(0.0), high: None } };
        let scale = match self.scale {
            Colours::Linear => linear,
            Colours::Log => Scale::SymmetricLog,
            Colours::Each => Scale::Each,
            Colours::Auto if mostly_dark(&to_f32(maps)?, maps.dims()[0]) => Scale::SymmetricLog,
            Colours::Auto => linear,
        };
        Ok(Part::Grid(Grid { title, tiles, columns: None, label: "activation".into(), scale }))
    }
}

/// Whether, on one linear scale, more than a third of the maps that are not silent stay below 0.3 of its end nearly everywhere
/// (at their 99 % quantile): the darkest colours.
fn mostly_dark(all: &[f32], maps: usize) -> bool {
    let strong: Vec<f32> = all
        .chunks(all.len().max(1) / maps.max(1))
        .filter_map(|map| {
            let mut sizes: Vec<f32> = map.iter().map(|v| v.abs()).filter(|v| v.is_finite()).collect();
            sizes.sort_by(f32::total_cmp);
            sizes.last().filter(|most| **most > 0.0)?;
            Some(sizes[(sizes.len() - 1) * 99 / 100])
        })
        .collect();
    let end = all.iter().map(|v| v.abs()).filter(|v| v.is_finite()).fold(0.0, f32::max);
    strong.iter().filter(|v| **v < 0.3 * end).count() * 3 > strong.len()
}

/// The values of a vector as bars, since their order has no meaning that a line could show.
fn bars(name: &str, values: &[f32]) -> Part {
    let y: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    let x = (0..y.len()).map(|i| i as f64).collect();
    Part::Plot(Plot {
        title: format!("{name}: {} values", y.len()),
        x_label: "index".into(),
        y_label: "activation".into(),
        categories: Vec::new(),
        series: vec![Series { name: name.to_string(), x, y, bars: Vec::new(), mark: Mark::Bar }],
    })
}

/// The first layer after the input whose value is a map.
fn first_maps(on: &Subject) -> Result<NodeId> {
    let model = on.model()?;
    let graph = model.graph();
    model
        .layers()
        .find(|id| *id != graph.input() && graph.node(*id).shape.len() == 3)
        .ok_or_else(|| Error::subject(format!("{on} has no layer with maps")))
}
