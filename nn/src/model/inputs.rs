//! Nets with several inputs. Questions are about one of them, the asked input; the others are held at fixed values, the same for every
//! sample, so that every probe of a net and an image takes such a net, too. Another input can be made the asked one.

use super::Model;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::image::preprocess::Size;
use crate::tensor::to_f64;
use candle_core::Tensor;
use std::sync::Arc;

/// One of a net's inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct NetInput {
    /// Its name in the file.
    pub name: String,
    /// The shape of one sample.
    pub shape: Vec<usize>,
    /// Whether it is the asked input.
    pub is_asked: bool,
    /// Whether it is held at a value.
    pub is_held: bool,
}

impl Model {
    /// Its inputs: the asked one first, the others in the file's order.
    pub fn inputs(&self) -> Vec<NetInput> {
        let asked = self.graph.input();
        let others = self.graph.inputs().filter(|id| *id != asked);
        let all = std::iter::once(asked).chain(others).map(|id| {
            let node = self.graph.node(id);
            let is_held = self.held.contains_key(&node.name);
            NetInput { name: node.name.clone(), shape: node.shape.clone(), is_asked: id == asked, is_held }
        });
        all.collect()
    }

    /// The same net with some of its other inputs held at values: of the input's shape, or with a batch of one before it, or of one
    /// value where the input is one value.
    ///
    /// # Errors
    /// Where there is no such input, it is the asked one, or a value has another shape or is not finite.
    pub fn given<'a>(&self, values: impl IntoIterator<Item = (&'a str, Tensor)>) -> Result<Self> {
        let mut held = self.held.as_ref().clone();
        for (name, value) in values {
            let id = self.input_node(name)?;
            let node = self.graph.node(id);
            if id == self.graph.input() {
                return Err(Error::value(format!("`{name}` is the asked input of `{}`", self.card.name)).hint(
                    "only other inputs can be held at a value; `net.input(name)` makes another one the asked input",
                ));
            }
            let given = value.dims().to_vec();
            let fits = given == node.shape
                || given.split_first().is_some_and(|(n, rest)| *n == 1 && rest == node.shape)
                || (value.elem_count() == 1 && node.shape.iter().product::<usize>() == 1);
            if !fits {
                return Err(Error::shape(format!(
                    "the input `{name}` of `{}` takes {:?}, got {given:?}",
                    self.card.name, node.shape
                ))
                .hint("the shape is that of one sample; `net.inputs` lists them"));
            }
            if to_f64(&value)?.iter().any(|v| !v.is_finite()) {
                return Err(Error::value(format!("the input `{name}` holds values that are not finite")));
            }
            held.insert(node.name.clone(), value.reshape(node.shape.as_slice())?);
        }
        Ok(Model { held: Arc::new(held), digest: Arc::default(), ..self.clone() })
    }

    /// The value at which an input is held.
    pub fn held_at(&self, name: &str) -> Option<&Tensor> {
        self.held.get(name)
    }

    /// The same net with another of its inputs as the asked one; the former has to be held at a value then. Photos are
    /// preprocessed as the card says, for the size of the new input.
    ///
    /// # Errors
    /// Where there is no such input; the hint lists them.
    pub fn asked_with(&self, name: &str) -> Result<Self> {
        let id = self.input_node(name)?;
        let mut card = self.card().clone();
        if let (&[channels, height, width], Some(photos)) = (&self.graph.node(id).shape[..], &mut card.preprocess)
            && channels == photos.channels
        {
            photos.size = Size { height, width };
        }
        let mut held = self.held.as_ref().clone();
        held.remove(&self.graph.node(id).name);
        let graph = Arc::new(self.graph.asked_with(id));
        let asked = |g: &Arc<crate::graph::Graph>| match g.find(name) {
            _ if Arc::ptr_eq(g, &self.graph) => graph.clone(),
            Some(own) if g.inputs().any(|i| i == own) => Arc::new(g.asked_with(own)),
            _ => g.clone(),
        };
        let outputs = Arc::new(self.outputs.iter().map(|(n, g)| (n.clone(), asked(g))).collect::<Vec<_>>());
        let (card, held, digest) = (Arc::new(card), Arc::new(held), Arc::default());
        Ok(Model { graph, outputs, card, held, digest, ..self.clone() })
    }

    fn input_node(&self, name: &str) -> Result<NodeId> {
        self.graph.find(name).filter(|id| self.graph.inputs().any(|input| input == *id)).ok_or_else(|| {
            let names: Vec<String> = self.inputs().iter().map(|i| format!("`{}` {:?}", i.name, i.shape)).collect();
            Error::not_found(format!("no input `{name}` in `{}`", self.card.name))
                .hint(format!("its inputs are {}", names.join(", ")))
        })
    }

    /// The value of an input that is held, for a batch of `batch` samples.
    pub(crate) fn held(&self, id: NodeId, batch: usize) -> Result<Tensor> {
        let node = self.graph.node(id);
        let value = self.held.get(&node.name).ok_or_else(|| {
            let inputs = self.inputs();
            let names: Vec<String> = inputs.iter().map(|i| format!("`{}` {:?}", i.name, i.shape)).collect();
            let map: Vec<String> = inputs.iter().map(|i| format!("{}: ..", i.name)).collect();
            Error::value(format!(
                "`{}` takes {} inputs, {}: `{}` is missing",
                self.card.name,
                inputs.len(),
                names.join(", "),
                node.name
            ))
            .hint(format!("give a map instead of one input, #{{ {} }}, or hold some: net.given(..)", map.join(", ")))
        })?;
        let dims = [&[batch], node.shape.as_slice()].concat();
        Ok(value.to_dtype(self.dtype())?.to_device(&self.device())?.broadcast_as(dims)?.contiguous()?)
    }
}
