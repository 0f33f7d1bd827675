//! Ablation: a net without some of its channels, to see what depends on them.
//!
//! Morcos et al. 2018, "On the importance of single directions for generalization" (values clamped to zero).

use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::model::Model;
use crate::subject::Subject;
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// A net without some of its parts.
pub trait Ablate {
    /// The net in which the values of these layers, channels and units are zero wherever they are read.
    ///
    /// Channels of convolutions and linear layers lose their weights and bias, so that layers keep their names and
    /// kinds; any other layer's values are multiplied by a mask.
    ///
    /// # Errors
    /// Where a subject is no layer, channel or unit, or is of another net.
    fn ablate(&self, subjects: &[Subject]) -> Result<Model>;
}

impl Ablate for Model {
    fn ablate(&self, subjects: &[Subject]) -> Result<Model> {
        let mut masks: BTreeMap<NodeId, Vec<f64>> = BTreeMap::new();
        for subject in subjects {
            if !std::ptr::eq(subject.model()?.graph(), self.graph()) {
                return Err(Error::subject(format!("{subject} belongs to another net than `{}`", self.card().name)));
            }
            let (node, places) = places(subject)?;
            let mask = masks.entry(node).or_insert_with(|| vec![1.0; self.graph().node(node).shape.iter().product()]);
            mask[places].fill(0.0);
        }
        // From the last node to the first, so that earlier nodes keep their numbers.
        let mut model = self.clone();
        for (node, mask) in masks.iter().rev() {
            model = match without_weights(&model, *node, mask)? {
                Some(changed) => changed,
                None => masked(&model, *node, mask)?,
            };
        }
        let names = subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut card = self.card().clone();
        card.name = format!("{} without {names}", card.name);
        card.notes.push(format!("ablated: {names}"));
        Ok(model.with_card(card))
    }
}

/// The net with the rows of a convolution's or linear layer's weights zero where whole channels are masked.
fn without_weights(model: &Model, node: NodeId, mask: &[f64]) -> Result<Option<Model>> {
    let at = model.graph().node(node);
    let (weight, bias) = match &at.op {
        Op::Conv2d(c) => (c.weight, c.bias),
        Op::Linear { weight, bias } if at.shape.len() == 1 => (*weight, *bias),
        _ => return Ok(None),
    };
    let shared = model.graph().nodes().iter().filter(|n| n.op.params().contains(&weight)).count() > 1;
    let channels = at.shape[0];
    let plane = mask.len() / channels;
    let whole = mask.chunks(plane).all(|c| c.iter().all(|v| *v == c[0]));
    let rows = model.weights().tensor(weight).dims()[0];
    if shared || !whole || rows != channels {
        return Ok(None);
    }
    let keep: Vec<f64> = mask.chunks(plane).map(|c| c[0]).collect();
    let mut weights = model.weights().clone();
    for id in std::iter::once(weight).chain(bias) {
        let old = weights.tensor(id).clone();
        weights = weights.with(id, scaled(&old, &keep)?);
    }
    Ok(Some(model.with_weights(weights)))
}

fn masked(model: &Model, node: NodeId, mask: &[f64]) -> Result<Model> {
    let mask = tensor(mask.to_vec(), &model.graph().node(node).shape)?.to_dtype(model.dtype())?;
    let (graph, weights) = model.graph().masked(node, &mask, model.weights())?;
    Ok(model.rewritten(graph, weights))
}

/// The node that a subject reads, and which of its values.
fn places(subject: &Subject) -> Result<(NodeId, std::ops::Range<usize>)> {
    let shape = |node: &NodeId| Ok::<_, Error>(subject.model()?.graph().node(*node).shape.clone());
    match subject {
        Subject::Layer { node, .. } => Ok((*node, 0..shape(node)?.iter().product())),
        Subject::Channel { node, index, .. } => {
            let plane: usize = shape(node)?[1..].iter().product();
            Ok((*node, index * plane..(index + 1) * plane))
        }
        Subject::Unit { node, at, .. } => {
            let i = at.iter().zip(shape(node)?).fold(0, |i, (k, n)| i * n + k);
            Ok((*node, i..i + 1))
        }
        other => Err(Error::subject(format!("{other} cannot be ablated"))
            .hint("layers, channels and units can: net.ablate(net.layer(name).channel(i))")),
    }
}

/// The rows of `t` times `keep`.
fn scaled(t: &Tensor, keep: &[f64]) -> Result<Tensor> {
    let mut values = to_f64(t)?;
    let row = values.len() / keep.len();
    values.chunks_mut(row).zip(keep).filter(|(_, k)| **k == 0.0).for_each(|(r, _)| r.fill(0.0));
    Ok(tensor(values, t.dims())?.to_dtype(t.dtype())?)
}
