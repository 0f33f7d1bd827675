//! Class activation maps: a layer's maps weighted by what the score makes of them.
//!
//! Selvaraju et al., "Grad-CAM", 2016; Chattopadhay et al., "Grad-CAM++", 2017; Jiang et al., "LayerCAM", 2021;
//! Wang et al., "Score-CAM", 2019.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::graph::op::{Alignment, Sampling};
use crate::job::Job;
use crate::kernels::{norm, resize};
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::{About, Family, Probe, Takes};
use crate::probes::attribution;
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;

crate::params! {
    /// Grad-CAM: the rectified sum of a layer's maps, each weighted by its mean gradient; the layer's own resolution.
    pub struct GradCam as "grad_cam" {
        /// The layer; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

crate::params! {
    /// Grad-CAM++: as Grad-CAM, with weights from the positive gradients at each position and their higher orders.
    pub struct GradCamPlusPlus as "grad_cam_plus_plus" {
        /// The layer; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

crate::params! {
    /// LayerCAM: each activation weighted by its own positive gradient; works at early layers too.
    pub struct LayerCam as "layer_cam" {
        /// The layer; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

crate::params! {
    /// Score-CAM: each map weighted by the class's probability when the input is masked with it; needs no gradient.
    pub struct ScoreCam as "score_cam" {
        /// The layer; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

crate::params! {
    /// Guided Grad-CAM: guided backprop times the enlarged Grad-CAM map.
    pub struct GuidedGradCam as "guided_grad_cam" {
        /// The layer of Grad-CAM; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

/// How activations (C x h x w) and their gradients become one map.
type Weigh = fn(activations: &[f64], gradients: &[f64], plane: usize) -> Vec<f64>;

macro_rules! cam {
    ($probe:ident, $source:literal, $example:literal, $weigh:expr) => {
        impl Probe for $probe {
            fn about(&self) -> About {
                about($source, $example)
            }

            fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
                shown(self, self.layer.as_ref(), on, input, job)
            }

            fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
                let node = layer(target.model()?, self.layer.as_ref(), target)?;
                weighted(target, node, x, $weigh)
            }
        }
    };
}

cam!(GradCam, "Selvaraju et al. 2016, section 3", "grad_cam().run(net, image)", mean_gradient);
cam!(GradCamPlusPlus, "Chattopadhay et al. 2017, section 3", "grad_cam_plus_plus().run(net, image)", higher_order);
cam!(LayerCam, "Jiang et al. 2021, section III", "layer_cam().run(net, image)", element_wise);

impl Probe for ScoreCam {
    fn about(&self) -> About {
        about("Wang et al. 2019, section 3", "score_cam().run(net, image)")
    }

    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        shown(self, self.layer.as_ref(), on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let node = layer(target.model()?, self.layer.as_ref(), target)?;
        let maps = (0..x.dims()[0])
            .map(|n| masked_scores(target, node, &x.narrow(0, n, 1)?, job))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&maps, 0)?)
    }
}

impl Probe for GuidedGradCam {
    fn about(&self) -> About {
        about("Selvaraju et al. 2016, section 3.2", "guided_grad_cam().run(net, image)")
    }

    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        attribution::of_input(self, on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let node = layer(target.model()?, self.layer.as_ref(), target)?;
        let cam = weighted(target, node, x, mean_gradient)?;
        let guided = attribution::input_signal(target, x, &Rules::guided_backprop())?;
        let [_, _, height, width] = *x.dims() else { return Err(Error::internal("a map over no image")) };
        let large = enlarge(&cam, [height, width])?.unsqueeze(1)?.to_dtype(guided.dtype())?;
        Ok(guided.broadcast_mul(&large)?)
    }
}

fn about(source: &'static str, example: &'static str) -> About {
    let subjects = "a net, class, channel, unit, direction or sum behind the layer";
    About { family: Family::Where, source, subjects, input: Takes::One, example }
}

fn shown(probe: &dyn Probe, named: Option<&LayerName>, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
    let model = on.model()?;
    let prepared = input.prepared(model)?;
    let target = on.target(&prepared.x)?;
    let node = layer(model, named, &target)?;
    let map = probe.attribute(&target, &prepared.x, job)?.squeeze(0)?;
    let mut artifact = attribution::coarse(probe.name(), &target, &prepared, &map)?;
    let values = to_f32(&map)?;
    if values.iter().all(|v| *v == 0.0) {
        artifact = artifact.note("the map is zero everywhere: the weighted sum is negative at every position, so the rectifier leaves nothing");
    } else if values.iter().any(|v| !v.is_finite()) {
        artifact = artifact.note("the map is not finite: an activation or a gradient overflowed");
    }
    Ok(artifact.note(format!("layer `{}`, {:?}", model.graph().node(node).name, map.dims())))
}

/// The layer asked for, or the last one with maps that the target depends on.
fn layer(model: &Model, named: Option<&LayerName>, target: &Subject) -> Result<NodeId> {
    let needed = model.graph().ancestors(target.last_node()?);
    let node = match named {
        Some(name) => model.layer(&name.0)?,
        None => {
            let maps = |id: &NodeId| {
                needed[id.0]
                    && *id != model.graph().input()
                    && matches!(model.graph().node(*id).shape[..], [_, h, w] if h * w > 1)
            };
            let found =
                if needed.iter().all(|n| *n) { model.last_map_layer() } else { model.layers().filter(maps).last() };
            found
                .filter(|id| needed[id.0])
                .or_else(|| model.layers().filter(maps).last())
                .ok_or_else(|| Error::subject(format!("`{}` has no layer with maps", model.card().name)))?
        }
    };
    let n = model.graph().node(node);
    if !matches!(n.shape[..], [_, _, _]) {
        return Err(Error::subject(format!("`{}` has no spatial map: its shape is {:?}", n.name, n.shape))
            .hint("choose a layer before the pooling that ends in a vector"));
    }
    if !needed[node.0] {
        return Err(Error::subject(format!("{target} does not depend on `{}`", n.name))
            .hint("the layer must lie before what is asked about"));
    }
    Ok(node)
}

/// ReLU(weighted sum) for each sample: N x h x w.
fn weighted(target: &Subject, node: NodeId, x: &Tensor, weigh: Weigh) -> Result<Tensor> {
    let model = target.model()?;
    let kept = target.nodes()?.into_iter().chain([node]).collect();
    let trace = model.forward(x, &Tap::Signs(kept))?;
    let gradient = trace.backward_to(node, target.seed(&trace)?, &Rules::gradient())?;
    let value = trace.get(node)?;
    let [n, c, h, w] = *value.dims() else { return Err(Error::internal("a layer without maps")) };
    let (a, g) = (to_f64(value)?, to_f64(&gradient)?);
    let len = c * h * w;
    let maps: Vec<f32> = (0..n)
        .flat_map(|i| weigh(&a[i * len..(i + 1) * len], &g[i * len..(i + 1) * len], h * w))
        .map(|v| v.max(0.0) as f32)
        .collect();
    tensor(maps, &[n, h, w])
}

fn sum_of(plane: usize, a: &[f64], weight: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut map = vec![0.0; plane];
    for (k, channel) in a.chunks(plane).enumerate() {
        map.iter_mut().zip(channel).enumerate().for_each(|(p, (m, v))| *m += weight(k, p) * v);
    }
    map
}

fn mean_gradient(a: &[f64], g: &[f64], plane: usize) -> Vec<f64> {
    let weights: Vec<f64> = g.chunks(plane).map(|c| c.iter().sum::<f64>() / plane as f64).collect();
    sum_of(plane, a, |k, _| weights[k])
}

/// Grad-CAM++ with the score taken as its exponential, whose higher derivatives are powers of the gradient.
fn higher_order(a: &[f64], g: &[f64], plane: usize) -> Vec<f64> {
    let weights: Vec<f64> = a
        .chunks(plane)
        .zip(g.chunks(plane))
        .map(|(a, g)| {
            let total: f64 = a.iter().sum();
            g.iter()
                .map(|g| {
                    let below = 2.0 * g * g + total * g * g * g;
                    let alpha = if below != 0.0 { g * g / below } else { 0.0 };
                    alpha * g.max(0.0)
                })
                .sum()
        })
        .collect();
    sum_of(plane, a, |k, _| weights[k])
}

fn element_wise(a: &[f64], g: &[f64], plane: usize) -> Vec<f64> {
    sum_of(plane, a, |k, p| g[k * plane + p].max(0.0))
}

/// Score-CAM of one input: weights are the softmax over channels of the score under each normalised map as a mask.
fn masked_scores(target: &Subject, node: NodeId, x: &Tensor, job: &Job) -> Result<Tensor> {
    let model = target.model()?;
    let trace = model.forward(x, &Tap::Only(vec![node]))?;
    let value = trace.get(node)?;
    let [_, c, h, w] = *value.dims() else { return Err(Error::internal("a layer without maps")) };
    let [_, _, height, width] = *x.dims() else { return Err(Error::internal("a map over no image")) };
    let masks = enlarge(&value.squeeze(0)?, [height, width])?;
    let mut scores: Vec<f64> = Vec::with_capacity(c);
    let batch = job.through(model, 1, 2 * model.graph().peak_len() + x.elem_count(), 16);
    let tap = Tap::Only(target.nodes()?);
    for chunk in job.steps("score_cam", c.div_ceil(batch)) {
        let from = chunk * batch;
        let n = batch.min(c - from);
        let rows = (from..from + n)
            .map(|k| Ok(x.squeeze(0)?.broadcast_mul(&unit_range(&masks.get(k)?)?)?))
            .collect::<Result<Vec<_>>>()?;
        let masked = model.forward(&Tensor::stack(&rows, 0)?, &tap)?;
        scores.extend(target.scores(&masked)?);
    }
    let weights = norm::softmax(scores.len().max(1), 1, false, &scores);
    let a = to_f64(value)?;
    let map = sum_of(h * w, &a[..weights.len() * h * w], |k, _| weights[k]);
    tensor(map.into_iter().map(|v| v.max(0.0) as f32).collect::<Vec<_>>(), &[h, w])
}

/// A map stretched to 0..1; a constant one becomes zero.
fn unit_range(map: &Tensor) -> Result<Tensor> {
    let values = to_f32(map)?;
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    tensor(values.into_iter().map(|v| (v - low) * scale).collect::<Vec<_>>(), map.dims())
}

/// Maps N x h x w enlarged bilinearly to N x height x width.
fn enlarge(maps: &Tensor, output: [usize; 2]) -> Result<Tensor> {
    let (n, h, w) = maps.dims3()?;
    let g = resize::Geometry {
        input: [h, w],
        output,
        scale: [output[0] as f64 / h as f64, output[1] as f64 / w as f64],
        sampling: Sampling::Linear,
        alignment: Alignment::HalfPixel,
    };
    tensor(resize::forward(&g, &to_f32(maps)?), &[n, output[0], output[1]])
}
