//! The forward pass: a net's values, kept where they are asked for.

use super::apply;
use crate::error::{Context, Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use candle_core::Tensor;

/// Which values a forward pass keeps, and where it may stop.
#[derive(Clone, Debug)]
pub enum Tap {
    /// Every node's value: what a backward pass needs.
    All,
    /// Every node's value that `NodeId` depends on, and nothing after it.
    Until(NodeId),
    /// The named nodes' values only; the pass ends with the last of them.
    Only(Vec<NodeId>),
}

/// What a forward pass kept.
#[derive(Clone, Debug)]
pub struct Trace {
    model: Model,
    values: Vec<Option<Tensor>>,
}

impl Model {
    /// Runs the net on `x`, N x C x H x W (or C x H x W for one), and keeps what `tap` asks for.
    ///
    /// # Errors
    /// Where `x` has another shape than the net's input; inner errors name the node and its input shapes.
    pub fn forward(&self, x: &Tensor, tap: &Tap) -> Result<Trace> {
        let graph = self.graph();
        let x = self.batched(x)?;
        let goals: Vec<NodeId> = match tap {
            Tap::All => vec![graph.output()],
            Tap::Until(id) => vec![*id],
            Tap::Only(ids) => ids.clone(),
        };
        let mut needed = vec![false; graph.nodes().len()];
        for goal in &goals {
            graph.ancestors(*goal).iter().enumerate().filter(|(_, n)| **n).for_each(|(i, _)| needed[i] = true);
        }
        needed[graph.input().0] = true;
        let mut uses: Vec<usize> =
            graph.ids().map(|id| graph.consumers(id).iter().filter(|c| needed[c.0]).count()).collect();
        let keep_all = !matches!(tap, Tap::Only(_));
        let mut values: Vec<Option<Tensor>> = vec![None; graph.nodes().len()];
        for id in graph.ids().filter(|id| needed[id.0]) {
            let node = graph.node(id);
            let value = if id == graph.input() {
                x.clone()
            } else {
                let inputs = node
                    .inputs
                    .iter()
                    .map(|i| values[i.0].as_ref().ok_or_else(|| Error::internal("a value was dropped too early")))
                    .collect::<Result<Vec<&Tensor>>>()?;
                apply::apply(&node.op, &inputs, self.weights(), &node.shape).context(|| {
                    let shapes: Vec<_> = inputs.iter().map(|t| t.dims()).collect();
                    format!("node `{}` ({}) on {shapes:?}", node.name, node.op.kind())
                })?
            };
            values[id.0] = Some(value);
            if !keep_all {
                for input in &node.inputs {
                    uses[input.0] -= 1;
                    if uses[input.0] == 0 && !goals.contains(input) {
                        values[input.0] = None;
                    }
                }
            }
        }
        Ok(Trace { model: self.clone(), values })
    }

    /// The net's raw output for `x`, N x outputs.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn output(&self, x: &Tensor) -> Result<Tensor> {
        let id = self.graph().output();
        let trace = self.forward(x, &Tap::Only(vec![id]))?;
        Ok(trace.get(id)?.flatten_from(1)?)
    }

    /// `x` as a contiguous batch in the net's kind of number.
    ///
    /// # Errors
    /// Where the shape is not that of the net's input.
    pub fn batched(&self, x: &Tensor) -> Result<Tensor> {
        let want = self.input_shape();
        let x = match x.dims() {
            dims if dims == want => x.unsqueeze(0)?,
            [_, rest @ ..] if rest == want => x.clone(),
            dims => {
                let name = &self.card().name;
                return Err(Error::shape(format!("`{name}` takes {want:?} (or a batch of it), got {dims:?}"))
                    .hint("`net.preprocess(image)` makes the tensor; `load_model(.., #{ size: .. })` sets the size"));
            }
        };
        Ok(x.to_dtype(self.dtype())?.contiguous()?)
    }
}

impl Trace {
    /// The net that was run.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Samples in the batch.
    pub fn batch(&self) -> usize {
        self.values[self.model.graph().input().0]
            .as_ref()
            .or(self.values.iter().flatten().next())
            .map_or(0, |t| t.dims()[0])
    }

    /// A node's value, N x its shape.
    ///
    /// # Errors
    /// Where the pass did not keep it.
    pub fn get(&self, id: NodeId) -> Result<&Tensor> {
        self.values[id.0]
            .as_ref()
            .ok_or_else(|| Error::internal(format!("the value of `{}` was not kept", self.model.graph().node(id).name)))
    }

    /// A node's value where the pass kept it.
    pub fn find(&self, id: NodeId) -> Option<&Tensor> {
        self.values[id.0].as_ref()
    }
}
