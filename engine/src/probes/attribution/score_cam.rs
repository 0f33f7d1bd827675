//! Score-CAM.
//!
//! Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", 2019.

use super::{cam, placed};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::kernels::softmax;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;

crate::params! {
    /// Score-CAM: the rectified sum of a layer's maps, each weighted by the softmax, over all maps, of the score of the input
    /// masked with it. It needs no gradient.
    #[probe(
        family = Where,
        source = "Wang et al. 2019, algorithm 1",
        subjects = "a net, class, channel, unit, direction or sum behind the layer",
        input = One,
        example = "score_cam().run(net, image)"
    )]
    pub struct ScoreCam as "score_cam" {
        /// The layer; unless given, the last one with maps that the subject needs (for a box, before its score); where attention
        /// mixes positions last, the normalisation before the attention; where the scores are a map, the last of the maps with
        /// most channels.
        layer: Option<LayerName> = None;
    }
}

impl Probe for ScoreCam {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        cam::shown(self, self.layer.as_ref(), on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, job: &Job) -> Result<Tensor> {
        let node = cam::layer(target.model()?, self.layer.as_ref(), target)?;
        let maps = (0..x.dims()[0])
            .map(|n| masked_scores(target, node, &x.narrow(0, n, 1)?, job))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&maps, 0)?)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        cam::on_input(self.layer.as_ref(), target, map)
    }
}

/// Score-CAM of one input: weights are the softmax over channels of the score under each normalised map as a mask.
fn masked_scores(target: &Subject, node: NodeId, x: &Tensor, job: &Job) -> Result<Tensor> {
    let model = target.model()?;
    let trace = model.forward(x, &Tap::Only(vec![node]))?;
    let value = trace.get(node)?;
    let layout = model.graph().map_layout(node).ok_or_else(|| Error::internal("a layer without maps"))?;
    let [c, h, w] = layout.shape;
    let value = &tensor(layout.gather(&to_f32(value)?), &[1, c, h, w])?;
    let size = match *x.dims() {
        [_, _, height, width] => [height, width],
        [_, _, length] if h == 1 => [1, length],
        ref other => {
            return Err(Error::subject(format!(
                "`score_cam` masks images and signals, the input of `{}` is {other:?}",
                model.card().name
            ))
            .hint("`grad_cam` and `layer_cam` take volumes"));
        }
    };
    let masks = placed::enlarge(&value.squeeze(0)?, size, &placed::place(model, node))?
        .reshape([&[c][..], &x.dims()[2..]].concat())?;
    let mut scores: Vec<f64> = Vec::with_capacity(c);
    let batch = job.through(model, 1, 2 * model.graph().peak_len() + x.elem_count(), 16);
    let tap = Tap::Only(target.nodes()?);
    for chunk in job.steps("score_cam", c.div_ceil(batch)) {
        let from = chunk * batch;
        let n = batch.min(c - from);
        let rows = (from..from + n)
            .map(|k| Ok(x.squeeze(0)?.broadcast_mul(&unit_range(&masks.get(k)?)?.to_dtype(x.dtype())?)?))
            .collect::<Result<Vec<_>>>()?;
        let masked = model.forward(&Tensor::stack(&rows, 0)?, &tap)?;
        scores.extend(target.scores(&masked)?);
    }
    let weights = softmax::softmax(scores.len().max(1), 1, false, &scores);
    let a = to_f64(value)?;
    let map = cam::sum_of(h * w, &a[..weights.len() * h * w], |k, _| weights[k]);
    let map = tensor(map.into_iter().map(|v| v.max(0.0) as f32).collect::<Vec<_>>(), &cam::places(model, layout))?;
    Ok(map)
}

/// A map stretched to 0..1; a constant one becomes zero.
fn unit_range(map: &Tensor) -> Result<Tensor> {
    let values = to_f32(map)?;
    let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    tensor(values.into_iter().map(|v| (v - low) * scale).collect::<Vec<_>>(), map.dims())
}
