//! Folds batch normalisations into the convolution or linear map before them: with fixed statistics both are linear,
//! so that W' = f W and b' = f b + o do the work of both.
//!
//! LRP needs this canonical form, because a rule applied to each half by itself gives another result than the rule
//! applied to the layer that the two make up (Montavon et al. 2019, section 10.3; Guillemot et al. 2020).

use super::apply::batch_norm_affine;
use crate::error::Result;
use crate::graph::op::{Conv, Op};
use crate::graph::{NodeId, ParamId};
use crate::model::{Model, Weights};
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
