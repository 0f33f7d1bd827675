//! The reverse pass: a signal from one or several nodes back to every node they depend on, each node passing it
//! on by its rule. Where a value was used more than once its signals are summed here, and only here.

use super::Trace;
use crate::error::{Context, Error, Result};
use crate::graph::NodeId;
use crate::rules::{Rules, Site};
use candle_core::Tensor;

/// Where signals start: nodes and tensors shaped as their values (batch included).
pub type Seed = Vec<(NodeId, Tensor)>;

/// The signal at the nodes that were asked for.
#[derive(Clone, Debug)]
pub struct Flow {
    signals: Vec<Option<Tensor>>,
}

impl Flow {
    /// The signal at a node, shaped as its value, if it reached the node and was kept.
    pub fn get(&self, id: NodeId) -> Option<&Tensor> {
        self.signals[id.0].as_ref()
    }
}

impl Trace {
    /// Sends `seed` back by `rules`; the signal at every node it reaches is kept.
    ///
    /// # Errors
    /// Where a seed is not shaped as its node's value, or the trace lacks a value that a rule needs.
    pub fn backward(&self, seed: Seed, rules: &Rules) -> Result<Flow> {
        self.send(seed, rules, |_| true)
    }

    /// As [`Trace::backward`], keeping the signal at `wanted` only and not going further than needed.
    ///
    /// # Errors
    /// As [`Trace::backward`]; where no signal reaches `wanted`, it is zero.
    pub fn backward_to(&self, wanted: NodeId, seed: Seed, rules: &Rules) -> Result<Tensor> {
        let mut flow = self.send(seed, rules, |id| id == wanted)?;
        match flow.signals[wanted.0].take() {
            Some(signal) => Ok(signal),
            None => Ok(self.get(wanted)?.zeros_like()?),
        }
    }

    fn send(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool) -> Result<Flow> {
        let graph = self.model().graph();
        let mut signals: Vec<Option<Tensor>> = vec![None; graph.nodes().len()];
        for (id, tensor) in seed {
            let value = self.get(id)?;
            if value.dims() != tensor.dims() {
                let name = &graph.node(id).name;
                return Err(Error::shape(format!(
                    "a seed {:?} at `{name}`, whose value is {:?}",
                    tensor.dims(),
                    value.dims()
                )));
            }
            let tensor = tensor.to_dtype(value.dtype())?.contiguous()?;
            add(&mut signals[id.0], tensor)?;
        }
        // A node passes its signal on only where something wanted lies before it.
        let mut before = vec![false; graph.nodes().len()];
        for id in graph.ids() {
            before[id.0] = graph.node(id).inputs.iter().any(|i| before[i.0] || keep(*i));
        }
        for id in graph.ids().rev() {
            let Some(flow) = signals[id.0].take() else { continue };
            let node = graph.node(id);
            if before[id.0] && !node.inputs.is_empty() {
                let inputs = node.inputs.iter().map(|i| self.get(*i)).collect::<Result<Vec<_>>>()?;
                let site = Site { model: self.model(), node, id, inputs: &inputs, output: self.get(id)?, flow: &flow };
                let parts =
                    rules.backward(&site).context(|| format!("back through `{}` ({})", node.name, node.op.kind()))?;
                for (input, part) in node.inputs.iter().zip(parts) {
                    if before[input.0] || keep(*input) {
                        add(&mut signals[input.0], part)?;
                    }
                }
            }
            if keep(id) {
                signals[id.0] = Some(flow);
            }
        }
        Ok(Flow { signals })
    }
}

fn add(to: &mut Option<Tensor>, part: Tensor) -> Result<()> {
    *to = Some(match to.take() {
        Some(sum) => (sum + part)?,
        None => part,
    });
    Ok(())
}
