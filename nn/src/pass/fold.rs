//! Folds batch normalisations into the convolution or linear layer before them. With fixed statistics a batch normalisation is
//! f y + o for each channel, so that W' = f W and b' = f b + o do the work of both.
//!
//! The forward pass does this for speed. LRP needs it as the canonical form of the layer: a rule applied to each half by itself
//! gives another result than the rule applied to the layer that the two make up (Montavon et al. 2019, section 10.3; Guillemot
//! et al. 2020).

use super::apply::batch_norm_affine;
use crate::error::Result;
use crate::graph::op::{Conv, Op};
use crate::graph::{NodeId, ParamId, Weights};
use crate::model::Model;
use crate::tensor::{Real, tensor, values};
use crate::with_real;
use rayon::prelude::*;

/// The same net with each batch normalisation folded into the layer before it, where that layer feeds nothing else.
///
/// Nodes keep their ids, names and shapes: the normalisation becomes an identity, and the layer before it has the
/// normalisation's value. The values of the nodes in `keep` stay as they are.
///
/// # Errors
/// Where parameters cannot be read.
pub fn fold(model: &Model, keep: &[NodeId]) -> Result<Model> {
    let graph = model.graph();
    let mut weights = model.weights().clone();
    let mut changed = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if !matches!(node.op, Op::BatchNorm { .. }) {
            continue;
        }
        let before = node.inputs[0];
        let is_free = graph.consumers(before).len() == 1 && before != graph.output() && !keep.contains(&before);
        let layer = graph.node(before);
        // The channels of a linear layer are its last axis, those of a batch normalisation the first.
        if !is_free || (matches!(layer.op, Op::Linear { .. }) && layer.shape.len() != 1) {
            continue;
        }
        let Some(merged) = merged(&layer.op, &node.op, &mut weights)? else { continue };
        changed.push((before, merged));
        changed.push((id, Op::Identity));
    }
    if changed.is_empty() {
        return Ok(model.clone());
    }
    Ok(model.rewritten(graph.with_ops(changed), weights))
}

/// The layer that computes both, its parameters added to `weights`; none where `layer` is no convolution or linear layer.
fn merged(layer: &Op, norm: &Op, weights: &mut Weights) -> Result<Option<Op>> {
    let (Op::Conv2d(Conv { weight: id, .. })
    | Op::ConvTranspose2d(Conv { weight: id, .. }, _)
    | Op::Linear { weight: id, .. }) = layer
    else {
        return Ok(None);
    };
    let (dims, name) = (weights.tensor(*id).dims().to_vec(), weights.name(*id).to_string());
    let parts = with_real!(weights.tensor(*id), T => {
        let Some(folding) = folding::<T>(layer, norm, weights)? else { return Ok(None) };
        let (scaled, channels) = (folding.scaled(weights)?, folding.bias.len());
        Ok([tensor(scaled, &dims)?, tensor(folding.bias, &[channels])?])
    })?;
    let [scaled, shifted] = parts;
    let mut folded = layer.clone();
    if let Op::Conv2d(Conv { weight, bias, .. })
    | Op::ConvTranspose2d(Conv { weight, bias, .. }, _)
    | Op::Linear { weight, bias } = &mut folded
    {
        *weight = weights.push(&format!("{name} (folded)"), scaled)?;
        *bias = Some(weights.push(&format!("{name} (folded bias)"), shifted)?);
    }
    Ok(Some(folded))
}

/// How a batch normalisation is folded into the layer before it, for each output channel.
pub(crate) struct Folding<T> {
    /// f, by which the channel's weights are multiplied, in f64.
    pub factor: Vec<f64>,
    /// f b + o.
    pub bias: Vec<T>,
    weight: ParamId,
    /// The groups of a transposed convolution.
    groups: Option<usize>,
}

impl<T: Real> Folding<T> {
    /// f W, shaped as the layer's weight.
    pub(super) fn scaled(&self, weights: &Weights) -> Result<Vec<T>> {
        let dims = weights.tensor(self.weight).dims();
        // The weights of one output channel lie in runs: all of them, or the taps of one input channel of a transposed
        // convolution, whose weight is in x out/groups x kh x kw.
        let run: usize = if self.groups.is_some() { dims[2..].iter().product() } else { dims[1..].iter().product() };
        let channel = |run: usize| match self.groups {
            Some(groups) => run / dims[1] / (dims[0] / groups) * dims[1] + run % dims[1],
            None => run,
        };
        let mut scaled = values::<T>(weights.tensor(self.weight))?.to_vec();
        scaled.par_chunks_mut(run.max(1)).enumerate().for_each(|(i, part)| {
            let factor = self.factor[channel(i)];
            part.iter_mut().for_each(|w| *w = T::of(w.f64() * factor));
        });
        Ok(scaled)
    }
}

/// How `norm` is folded into `layer`, computed in f64; none where `layer` is no convolution or linear layer.
///
/// # Errors
/// Where parameters are not of type `T`.
pub(crate) fn folding<T: Real>(layer: &Op, norm: &Op, weights: &Weights) -> Result<Option<Folding<T>>> {
    let (weight, bias, groups) = match layer {
        Op::Conv2d(c) => (c.weight, c.bias, None),
        Op::ConvTranspose2d(c, _) => (c.weight, c.bias, Some(c.groups)),
        Op::Linear { weight, bias } => (*weight, *bias, None),
        Op::Input
        | Op::Constant(_)
        | Op::MatMul
        | Op::BatchNorm { .. }
        | Op::LayerNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LocalResponseNorm { .. }
        | Op::Activation(_)
        | Op::Binary(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Reduce { .. }
        | Op::Softmax { .. }
        | Op::Concat { .. }
        | Op::Select { .. }
        | Op::Order { .. }
        | Op::Pick { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Identity => return Ok(None),
    };
    let (factor, offset) = batch_norm_affine::<f64>(norm, weights)?;
    let own = bias.map(|b| values::<T>(weights.tensor(b))).transpose()?;
    let own = |o: usize| own.as_ref().map_or(0.0, |b| b[o].f64());
    let bias = factor.iter().zip(&offset).enumerate().map(|(o, (f, t))| T::of(f * own(o) + t)).collect();
    Ok(Some(Folding { factor, bias, weight, groups }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Tensor;
    use crate::graph::op::Window;
    use crate::graph::{Builder, ParamId};
    use crate::model::Card;
    use crate::pass::Tap;
    use crate::random::Stream;
    use crate::tensor::to_f64;

    fn random(b: &mut Builder, name: &str, dims: &[usize]) -> ParamId {
        let stream = Stream::new(5, name);
        let values: Vec<f64> = (0..dims.iter().product()).map(|i: usize| 0.5 + stream.uniform_at(i as u64)).collect();
        b.param(name, tensor(values, dims).unwrap()).unwrap()
    }

    fn norm(b: &mut Builder, name: &str, c: usize) -> Op {
        let [scale, shift, mean, var] =
            ["scale", "shift", "mean", "var"].map(|p| random(b, &format!("{name}.{p}"), &[c]));
        Op::BatchNorm { scale, shift, mean, var, eps: 1e-3 }
    }

    fn conv(weight: ParamId, bias: Option<ParamId>, window: Window, groups: usize) -> Conv {
        Conv { weight, bias, window, groups }
    }

    /// Grouped, transposed and twice used convolutions, a linear layer, and a normalisation that stays.
    fn net() -> Model {
        let mut b = Builder::new();
        let x = b.input("x", vec![4, 5, 5]).unwrap();
        let first = norm(&mut b, "first", 4);
        let mut at = b.add("first", first, &[x]).unwrap();
        let shared = random(&mut b, "shared", &[4, 2, 3, 3]);
        for name in ["a", "b"] {
            let bias = (name == "a").then(|| random(&mut b, "bias", &[4]));
            at = b.add(name, Op::Conv2d(conv(shared, bias, Window::square(3, 1, 1), 2)), &[at]).unwrap();
            let op = norm(&mut b, &format!("{name}/bn"), 4);
            at = b.add(&format!("{name}/bn"), op, &[at]).unwrap();
        }
        let weight = random(&mut b, "up", &[4, 3, 2, 2]);
        at = b.add("up", Op::ConvTranspose2d(conv(weight, None, Window::square(2, 2, 0), 2), [0, 0]), &[at]).unwrap();
        let op = norm(&mut b, "up/bn", 6);
        at = b.add("up/bn", op, &[at]).unwrap();
        at = b.add("flat", Op::Reshape(vec![600]), &[at]).unwrap();
        let (weight, bias) = (random(&mut b, "fc", &[3, 600]), Some(random(&mut b, "fc.bias", &[3])));
        at = b.add("fc", Op::Linear { weight, bias }, &[at]).unwrap();
        let op = norm(&mut b, "fc/bn", 3);
        at = b.add("fc/bn", op, &[at]).unwrap();
        let (graph, weights) = b.finish(at).unwrap();
        Model::new(graph, weights, Card::named("net"))
    }

    fn value_of(model: &Model, at: NodeId) -> Vec<f64> {
        let stream = Stream::new(1, "x");
        let x = tensor((0..100).map(|i| stream.normal_at(i)).collect::<Vec<f64>>(), &[1, 4, 5, 5]).unwrap();
        let trace = model.forward(&x, &Tap::All).unwrap();
        let value: &Tensor = trace.get(at).unwrap();
        to_f64(value).unwrap()
    }

    #[test]
    fn folded_nets_compute_the_same_under_the_same_names() {
        let model = net();
        let folded = fold(&model, &[]).unwrap();
        let norms = |m: &Model| m.graph().nodes().iter().filter(|n| matches!(n.op, Op::BatchNorm { .. })).count();
        assert_eq!((norms(&model), norms(&folded)), (5, 1));
        for id in model.graph().ids() {
            let (before, after) = (model.graph().node(id), folded.graph().node(id));
            assert_eq!((&before.name, &before.inputs, &before.shape), (&after.name, &after.inputs, &after.shape));
            if matches!(before.op, Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. }) {
                continue;
            }
            let (a, b) = (value_of(&model, id), value_of(&folded, id));
            let largest = a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12 * largest), "{}", before.name);
        }
    }

    #[test]
    fn a_kept_node_keeps_its_value() {
        let model = net();
        let id = model.graph().find("b").unwrap();
        let (kept, changed) = (fold(&model, &[id]).unwrap(), fold(&model, &[]).unwrap());
        let apart = |m: &Model| {
            value_of(&model, id).iter().zip(value_of(m, id)).map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, f64::max)
        };
        assert!(apart(&kept) < 1e-12 && apart(&changed) > 1e-3);
    }
}
