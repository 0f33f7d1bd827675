//! Folds batch normalisations into the convolution or linear map before them: with fixed statistics both are linear,
//! so that W' = f W and b' = f b + o do the work of both.
//!
//! LRP needs this canonical form, because a rule applied to each half by itself gives another result than the rule
//! applied to the layer that the two make up (Montavon et al. 2019, section 10.3; Guillemot et al. 2020).

use super::apply::batch_norm_affine;
use crate::error::Result;
use crate::graph::Weights;
use crate::graph::op::{Conv, Op};
use crate::graph::{NodeId, ParamId};
use crate::model::Model;
use crate::tensor::{tensor, to_f64};

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
        let alone = graph.consumers(before).len() == 1 && before != graph.output() && !keep.contains(&before);
        if !alone {
            continue;
        }
        let channels = graph.node(before).shape.len();
        let Some(merged) = merged(&graph.node(before).op, channels, &node.op, &mut weights)? else { continue };
        changed.push((before, merged));
        changed.push((id, Op::Identity));
    }
    if changed.is_empty() {
        return Ok(model.clone());
    }
    Ok(Model::new(graph.with_ops(changed), weights, model.card().clone()))
}

/// The layer that does the work of both, its parameters added to `weights`; nothing where `layer` is no linear map by channels.
fn merged(layer: &Op, axes: usize, norm: &Op, weights: &mut Weights) -> Result<Option<Op>> {
    let (factor, offset) = batch_norm_affine::<f64>(norm, weights)?;
    Ok(match layer {
        Op::Conv2d(c) => Some(Op::Conv2d(Conv {
            weight: scaled(weights, c.weight, |i, dims| factor[i / dims[1..].iter().product::<usize>()])?,
            bias: Some(shifted(weights, c.weight, c.bias, &factor, &offset)?),
            ..c.clone()
        })),
        Op::ConvTranspose2d(c, extra) => {
            let groups = c.groups;
            let factor_at = |i: usize, dims: &[usize]| {
                let taps: usize = dims[2..].iter().product();
                let (from, to) = (i / taps / dims[1], i / taps % dims[1]);
                factor[from / (dims[0] / groups) * dims[1] + to]
            };
            Some(Op::ConvTranspose2d(
                Conv {
                    weight: scaled(weights, c.weight, factor_at)?,
                    bias: Some(shifted(weights, c.weight, c.bias, &factor, &offset)?),
                    ..c.clone()
                },
                *extra,
            ))
        }
        Op::Linear { weight, bias } if axes == 1 => Some(Op::Linear {
            weight: scaled(weights, *weight, |i, dims| factor[i / dims[1]])?,
            bias: Some(shifted(weights, *weight, *bias, &factor, &offset)?),
        }),
        _ => None,
    })
}

/// A copy of a weight with each value multiplied by what `factor` says for its place.
fn scaled(weights: &mut Weights, id: ParamId, factor: impl Fn(usize, &[usize]) -> f64) -> Result<ParamId> {
    let held = weights.tensor(id);
    let (dims, dtype) = (held.dims().to_vec(), held.dtype());
    let values = to_f64(held)?.into_iter().enumerate().map(|(i, v)| v * factor(i, &dims)).collect();
    let name = format!("{} (folded)", weights.name(id));
    weights.push(&name, tensor::<f64>(values, &dims)?.to_dtype(dtype)?)
}

/// f b + o for each output channel.
fn shifted(
    weights: &mut Weights,
    weight: ParamId,
    bias: Option<ParamId>,
    factor: &[f64],
    offset: &[f64],
) -> Result<ParamId> {
    let own = bias.map(|b| to_f64(weights.tensor(b))).transpose()?.unwrap_or_else(|| vec![0.0; factor.len()]);
    let values: Vec<f64> = own.iter().zip(factor).zip(offset).map(|((b, f), o)| f * b + o).collect();
    let (name, dtype) = (format!("{} (folded bias)", weights.name(weight)), weights.tensor(weight).dtype());
    let n = values.len();
    weights.push(&name, tensor(values, &[n])?.to_dtype(dtype)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Tensor;
    use crate::graph::op::Window;
    use crate::graph::{Builder, NodeId};
    use crate::model::Card;
    use crate::pass::Tap;
    use crate::random::Stream;

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

    fn values(model: &Model, at: NodeId) -> Vec<f64> {
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
            let (a, b) = (values(&model, id), values(&folded, id));
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
            values(&model, id).iter().zip(values(m, id)).map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, f64::max)
        };
        assert!(apart(&kept) < 1e-12 && apart(&changed) > 1e-3);
    }
}
