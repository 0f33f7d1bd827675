//! The reverse pass: a signal from one or several nodes back to every node they depend on, each node passing it
//! on by its rule. Where a value was used more than once its signals are summed here, and only here.

use super::Trace;
use super::packs::Way;
use crate::error::{Context, Error, Result};
use crate::graph::{NodeId, Op};
use crate::kernels::packed::Around;
use crate::kernels::tile::Join;
use crate::rules::{Rules, Site};
use crate::tensor::{tensor, values};
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

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
        let mut flow = self.send(seed, rules, move |id| id == wanted)?;
        match flow.signals[wanted.0].take() {
            Some(signal) => Ok(signal),
            None => Ok(self.seen(wanted)?.zeros_like()?),
        }
    }

    fn send(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool + Send) -> Result<Flow> {
        rayon::scope(|_| self.sent(seed, rules, keep))
    }

    fn sent(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool) -> Result<Flow> {
        let graph = self.model().graph();
        let mut signals: Vec<Option<Tensor>> = vec![None; graph.nodes().len()];
        for (id, tensor) in seed {
            let value = self.seen(id)?;
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
                let parts = self
                    .passed(id, &flow, rules, &keep)
                    .context(|| format!("back through `{}` ({})", node.name, node.op.kind()))?;
                for (to, part) in parts {
                    if before[to.0] || keep(to) {
                        add(&mut signals[to.0], part)?;
                    }
                }
            }
            if keep(id) {
                signals[id.0] = Some(flow);
            }
        }
        Ok(Flow { signals })
    }

    /// What the node at `id` hands on, and to which nodes.
    fn passed(
        &self,
        id: NodeId,
        flow: &Tensor,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
    ) -> Result<SmallVec<[(NodeId, Tensor); 2]>> {
        let node = self.model().graph().node(id);
        if self.plan.is_folded(id) {
            return Ok(smallvec![(node.inputs[0], flow.clone())]);
        }
        let inputs = node.inputs.iter().map(|i| self.seen(*i)).collect::<Result<Vec<_>>>()?;
        let site = Site { model: self.model(), node, id, inputs: &inputs, output: self.seen(id)?, flow };
        if let Op::Conv2d(_) | Op::ConvTranspose2d(..) = node.op
            && rules.is_gradient(&site)
            && self.model().is_single(flow)
        {
            return Ok(smallvec![self.convolved_back(&site, rules, keep)?]);
        }
        Ok(node.inputs.iter().copied().zip(rules.backward(&site)?).collect())
    }

    /// The signal before a convolution, or before the rectifier before it where that can be passed in the same go.
    fn convolved_back(
        &self,
        site: &Site<'_>,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
    ) -> Result<(NodeId, Tensor)> {
        let (graph, input) = (self.model().graph(), site.node.inputs[0]);
        let norm = self.plan.head(site.id).and_then(|f| f.norm);
        let packed = self.model().packed(site.id, norm, Way::Backward)?;
        let (value, batch) = (values::<f32>(site.inputs[0])?, site.flow.dims()[0]);
        let flow = values::<f32>(site.flow)?;
        let node = graph.node(input);
        let gate = match (&node.op, graph.consumers(input)) {
            (Op::Activation(f), [_]) if !keep(input) => {
                let inner = Site {
                    model: site.model,
                    node,
                    id: input,
                    inputs: &[self.seen(node.inputs[0])?],
                    output: site.inputs[0],
                    flow: site.inputs[0],
                };
                rules.gate(&inner, *f)
            }
            _ => None,
        };
        let Some((join, finish)) = gate else {
            let signal = packed.run(batch, &flow, &Around::NONE);
            return Ok((input, tensor(signal, site.inputs[0].dims())?));
        };
        let other = if join == Join::Alone { &[][..] } else { &value };
        let signal = packed.run(batch, &flow, &Around { other, join, finish });
        Ok((node.inputs[0], tensor(signal, site.inputs[0].dims())?))
    }
}

fn add(to: &mut Option<Tensor>, part: Tensor) -> Result<()> {
    *to = Some(match to.take() {
        Some(sum) => (sum + part)?,
        None => part,
    });
    Ok(())
}
