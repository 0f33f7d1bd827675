//! What class activation maps share: the choice of the layer, the weighted sum of its maps, the artifact.
//!
//! Each class activation map is a file beside this one. It gives a function of activations and gradients to `weighted`, or computes
//! its map itself in `attribute`.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::graph::Op;
use crate::graph::axes::MapLayout;
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::{self, placed};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;

/// How activations (C x h x w) and their gradients become one map, h x w; `plane` is h * w.
pub(super) type Weigh = fn(activations: &[f64], gradients: &[f64], plane: usize) -> Vec<f64>;

/// The probe's map of one input; a note names the layer and the map's shape.
///
/// # Errors
/// As [`Probe::run`].
pub(super) fn shown(
    probe: &dyn Probe,
    named: Option<&LayerName>,
    on: &Subject,
    input: &Input,
    job: &Job,
) -> Result<Artifact> {
    let model = on.model()?;
    let prepared = input.prepared(model)?;
    let target = on.asked(&prepared)?;
    let model = target.model()?;
    let node = layer(model, named, &target)?;
    let map = probe.attribute(&target, &prepared.x, job)?.squeeze(0)?;
    let ground = placed::ground(model, node, &prepared);
    let drawn = placed::on_input(model, node, map.clone())?;
    let label = "weighted sum of the layer's maps";
    let mut artifact = attribution::coarse(probe.name(), &target, &ground, [&map, &drawn], label)?;
    let values = to_f32(&map)?;
    if to_f32(&prepared.x)?.iter().any(|v| !v.is_finite()) {
        artifact = artifact.note("the input holds values that are not finite, so the map tells nothing");
    } else if values.iter().all(|v| *v == 0.0) && is_silent(model, node, &prepared.x)? {
        artifact = artifact
            .note("the map is zero everywhere: all activations of the layer are zero for this input (dead units)");
    } else if values.iter().all(|v| *v == 0.0) {
        artifact = artifact.note("the map is zero everywhere: the weighted sum is negative at every position, so the rectifier leaves nothing");
    } else if values.iter().any(|v| !v.is_finite()) {
        artifact = artifact.note("the map is not finite: an activation or a gradient overflowed");
    }
    let name = &model.graph().node(node).name;
    let layout = model.graph().map_layout(node).ok_or_else(|| Error::internal("a layer without maps"))?;
    Ok(artifact.notes(placed::note(model, node)).note(format!("layer `{name}`, {:?}", places(model, layout))))
}

/// The layer whose maps class activation maps of `target` take where none is named.
///
/// # Errors
/// Where no layer has maps, or the target does not depend on it, or it does not depend on the input.
pub fn usual_layer(target: &Subject) -> Result<NodeId> {
    layer(target.model()?, None, target)
}

/// A map of the layer ([`layer`]) laid over the whole input.
///
/// # Errors
/// As [`layer`].
pub(super) fn on_input(named: Option<&LayerName>, target: &Subject, map: Tensor) -> Result<Tensor> {
    let model = target.model()?;
    placed::on_input(model, layer(model, named, target)?, map)
}

/// Whether all values of a layer are zero.
fn is_silent(model: &Model, node: NodeId, x: &Tensor) -> Result<bool> {
    let trace = model.forward(x, &Tap::Only(vec![node]))?;
    Ok(to_f32(trace.get(node)?)?.iter().all(|v| *v == 0.0))
}

/// The layer given, or the one that is usual for the net ([`default_layer`]).
///
/// # Errors
/// Where the layer has no spatial map, the target does not depend on it, or it does not depend on the input.
pub(super) fn layer(model: &Model, named: Option<&LayerName>, target: &Subject) -> Result<NodeId> {
    let needed = model.graph().ancestors(target.last_node()?);
    let node = match named {
        Some(name) => model.layer(&name.0)?,
        None => default_layer(model, target, &needed)?
            .ok_or_else(|| Error::subject(format!("`{}` has no layer with maps", model.card().name)))?,
    };
    let n = model.graph().node(node);
    if model.graph().map_layout(node).is_none() {
        return Err(Error::subject(format!("`{}` has no spatial map: its shape is {:?}", n.name, n.shape))
            .hint("choose a layer before the pooling that ends in a vector"));
    }
    if !needed[node.0] {
        return Err(Error::subject(format!("{target} does not depend on `{}`", n.name))
            .hint("the layer must lie before what is asked about"));
    }
    let input = model.graph().input();
    if !model.graph().descendants(input)[node.0] {
        let asked = &model.graph().node(input).name;
        return Err(Error::subject(format!(
            "`{}` does not depend on the input `{asked}`, which is asked about",
            n.name
        ))
        .hint("choose a layer of that input's branch, or ask about another input: net.given(..)"));
    }
    Ok(node)
}

/// The last map of more than one position that the target needs, wherever its channels lie. In a net whose last mixing of
/// positions is attention, the normalisation before it, since behind it a class token alone may count (as Gildenblat's
/// pytorch-grad-cam has it for ViT and Swin). In a net whose output is a map, the last of the maps with most channels: the
/// backbone's, not the head's. For a box the last map before its own score.
fn default_layer(model: &Model, target: &Subject, needed: &[bool]) -> Result<Option<NodeId>> {
    let graph = model.graph();
    let layouts = graph.map_layouts();
    let last = target.last_node()?;
    let reached = graph.descendants(graph.input());
    // A box's score is a value of its own head, whose last map it is.
    let is_box = matches!(target, Subject::Places(places) if places.found.is_some());
    let channels = |id: NodeId| layouts[id.0].map_or(0, |l| l.shape[0]);
    let maps: Vec<NodeId> = model
        .layers()
        .filter(|id| needed[id.0] && reached[id.0] && *id != graph.input() && !(is_box && *id == last))
        .filter(|id| layouts[id.0].is_some_and(|l| l.shape[1] * l.shape[2] > 1))
        .collect();
    if !is_box && layouts[last.0].is_some_and(|l| l.shape[1] * l.shape[2] > 1) && last == graph.scores() {
        let most = maps.iter().map(|id| channels(*id)).max();
        return Ok(maps.into_iter().rfind(|id| Some(channels(*id)) == most));
    }
    let attention = graph.ids().rfind(|id| needed[id.0] && reached[id.0] && graph.is_attention(*id));
    if let Some(attention) = attention {
        let slides = |id: &NodeId| matches!(graph.node(*id).op, Op::Conv2d(_)) && *id > attention;
        if !maps.iter().any(slides) {
            let before = graph.ancestors(attention);
            let norms = |id: &NodeId| before[id.0] && matches!(graph.node(*id).op, Op::LayerNorm { .. });
            if let Some(norm) = maps.iter().copied().rfind(norms) {
                return Ok(Some(norm));
            }
        }
    }
    let helpers = graph.helper_nodes();
    Ok(maps.into_iter().rfind(|id| !helpers[id.0]).map(|id| graph.before_helpers(id)))
}

/// ReLU(weighted sum) for each sample: N x h x w.
pub(super) fn weighted(target: &Subject, node: NodeId, x: &Tensor, weigh: Weigh) -> Result<Tensor> {
    let model = target.model()?;
    let kept = target.nodes()?.into_iter().chain([node]).collect();
    let trace = model.forward(x, &Tap::Signs(kept))?;
    let gradient = trace.backward_to(node, target.seed(&trace)?, &Rules::gradient())?;
    let value = trace.get(node)?;
    let layout = model.graph().map_layout(node).ok_or_else(|| Error::internal("a layer without maps"))?;
    let [_, h, w] = layout.shape;
    let n = value.dims()[0];
    let (a, g) = (to_f64(value)?, to_f64(&gradient)?);
    let len = a.len() / n;
    let maps: Vec<f32> = (0..n)
        .map(|i| [&a, &g].map(|v| layout.gather(&v[i * len..(i + 1) * len])))
        .flat_map(|[a, g]| weigh(&a, &g, h * w))
        .map(|v| v.max(0.0) as f32)
        .collect();
    tensor(maps, &[&[n][..], &places(model, layout)].concat())
}

/// The axes of a layer's map by themselves: rows and columns, samples of a signal, depth, rows and columns of a volume.
pub(super) fn places(model: &Model, layout: MapLayout) -> Vec<usize> {
    let [_, h, w] = layout.shape;
    match model.input_shape().len() {
        3 => vec![h, w],
        4 => vec![layout.depth, h / layout.depth, w],
        _ if h == 1 => vec![w],
        _ => vec![h, w],
    }
}

/// The sum over channels k of `weight(k, position)` times the activation, for each position.
pub(super) fn sum_of(plane: usize, a: &[f64], weight: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut map = vec![0.0; plane];
    for (k, channel) in a.chunks(plane).enumerate() {
        map.iter_mut().zip(channel).enumerate().for_each(|(p, (m, v))| *m += weight(k, p) * v);
    }
    map
}

/// Grad-CAM's weights: a channel's mean gradient.
pub(super) fn mean_gradient(a: &[f64], g: &[f64], plane: usize) -> Vec<f64> {
    let weights: Vec<f64> = g.chunks(plane).map(|c| c.iter().sum::<f64>() / plane as f64).collect();
    sum_of(plane, a, |k, _| weights[k])
}
