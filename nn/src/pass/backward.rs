//! The reverse pass: a signal from one or several nodes back to every node they depend on, each node passing it
//! on by its rule. Where a value was used more than once its signals are summed here, and only here.

use super::Trace;
use super::apply::pool_geometry;
use super::groups;
use super::packs::Way;
use crate::error::{Context, Error, Result};
use crate::graph::op::{Binary, Pool};
use crate::graph::{NodeId, Op};
use crate::kernels::conv::Epilogue;
use crate::kernels::conv::WinogradTile;
use crate::kernels::conv::{Clamp, Combine};
use crate::kernels::{elementwise, max_pool_backward, rearrange};
use crate::rules::{Rules, Site};
use crate::tensor::{tensor, values};
use crate::with_real;
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

    /// One flow of all samples, from those of groups that follow each other; whether a signal reaches a node hangs on the net.
    pub(super) fn stacked(parts: &[Flow]) -> Result<Self> {
        let nodes = parts.first().map_or(0, |part| part.signals.len());
        let stack = |id: usize| {
            let signals: Vec<&Tensor> = parts.iter().filter_map(|part| part.signals[id].as_ref()).collect();
            match signals.len() {
                0 => Ok(None),
                n if n == parts.len() => Ok(Some(Tensor::cat(&signals, 0)?)),
                _ => Err(Error::internal("a signal that reaches a node for some samples only")),
            }
        };
        Ok(Flow { signals: (0..nodes).map(stack).collect::<Result<_>>()? })
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
            None => {
                let dims = [&[self.batch()], &self.model().graph().node(wanted).shape[..]].concat();
                Ok(Tensor::zeros(dims, self.model().dtype(), &self.model().device())?)
            }
        }
    }

    fn send(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool + Send + Sync) -> Result<Flow> {
        rayon::scope(|_| match &self.parts[..] {
            [] => self.sent(seed, rules, keep),
            parts => groups::send(parts, &seed, rules, keep),
        })
    }

    pub(super) fn sent(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool) -> Result<Flow> {
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
                let wanted = |id: NodeId| before[id.0] || keep(id);
                self.pass(id, &flow, rules, &keep, &wanted, &mut signals)
                    .context(|| format!("back through `{}` ({})", node.name, node.op.kind()))?;
            }
            if keep(id) {
                signals[id.0] = Some(flow);
            }
        }
        Ok(Flow { signals })
    }

    /// Hands on the signal at the node at `id`.
    fn pass(
        &self,
        id: NodeId,
        flow: &Tensor,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        wanted: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let node = self.model().graph().node(id);
        if self.plan.is_folded(id) {
            return add(&mut signals[node.inputs[0].0], flow.clone());
        }
        let inputs = node.inputs.iter().map(|i| self.seen(*i)).collect::<Result<Vec<_>>>()?;
        let site = Site { model: self.model(), node, id, inputs: &inputs, output: self.seen(id)?, flow };
        if rules.is_gradient(&site) && self.model().is_single(flow) {
            match node.op {
                Op::Conv2d(_) | Op::ConvTranspose2d(..) => return self.convolved_back(&site, rules, keep, signals),
                Op::MaxPool(pool) => return self.pooled_back(&site, &pool, rules, keep, signals),
                // Both share one tensor.
                Op::Binary(Binary::Add) if inputs.iter().all(|x| x.dims() == flow.dims()) => {
                    let mut wanted = node.inputs.iter().filter(|to| wanted(**to));
                    return wanted.try_for_each(|to| add(&mut signals[to.0], flow.clone()));
                }
                Op::Concat { axis } if inputs.iter().all(|x| x.dims()[0] == flow.dims()[0]) => {
                    return self.split_back(&site, axis, rules, keep, wanted, signals);
                }
                _ => {}
            }
        }
        // A part of a concatenation may be a view of it.
        let whole =
            inputs.iter().chain([&site.output]).map(|t| t.contiguous()).collect::<candle_core::Result<Vec<_>>>()?;
        let views: Vec<&Tensor> = whole.iter().collect();
        let site = Site { inputs: &views[..inputs.len()], output: views[inputs.len()], ..site };
        for (to, part) in node.inputs.iter().zip(rules.backward(&site)?) {
            if wanted(*to) {
                add(&mut signals[to.0], part)?;
            }
        }
        Ok(())
    }

    /// The signal before a convolution, or before the rectifier before it where that can be passed in the same go.
    fn convolved_back(
        &self,
        site: &Site<'_>,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let input = site.node.inputs[0];
        let dims = site.inputs[0].dims();
        if let Some(gate) = self.gate(input, rules, keep)? {
            let value = values::<f32>(site.inputs[0])?;
            let signal = self.run_back(site, &gate.epilogue(&value))?;
            return add(&mut signals[gate.to.0], tensor(signal, dims)?);
        }
        // What came here by another way is added where it is written.
        let waiting = signals[input.0].take();
        let held = waiting.as_ref().map(values::<f32>).transpose()?;
        let epilogue = match &held {
            Some(residual) => Epilogue { residual, combine: Combine::Add, ..Epilogue::NONE },
            None => Epilogue::NONE,
        };
        signals[input.0] = Some(tensor(self.run_back(site, &epilogue)?, dims)?);
        Ok(())
    }

    /// A convolution's signal, in tiles; samples whose signal stays away from a border, as a unit's does, in small ones, which
    /// leave zeros where it does not reach.
    fn run_back(&self, site: &Site<'_>, epilogue: &Epilogue<'_>) -> Result<Vec<f32>> {
        let norm = self.plan.head(site.id).and_then(|f| f.norm);
        let (flow, batch, shape) = (values::<f32>(site.flow)?, site.flow.dims()[0], &site.node.shape);
        let packed = |tiles| self.model().packed(site.id, norm, Way::Backward, tiles);
        let samples = || flow.chunks(shape.iter().product());
        let wide: Vec<bool> = samples().map(|x| reaches_all_borders(x, shape[1], shape[2])).collect();
        let most = if wide.contains(&true) { WinogradTile::F4 } else { WinogradTile::F2 };
        let large = packed(most)?;
        if large.largest_tile() < most || wide.iter().all(|w| *w == wide[0]) {
            return Ok(large.run(batch, &flow, epilogue));
        }
        let (small, each) = (packed(WinogradTile::F2)?, site.inputs[0].dims()[1..].iter().product::<usize>());
        let parts = samples().zip(&wide).enumerate().map(|(n, (x, wide))| {
            let residual = epilogue.residual.get(n * each..(n + 1) * each).unwrap_or_default();
            let packed = if *wide { &large } else { &small };
            packed.run(1, x, &Epilogue { residual, ..*epilogue })
        });
        Ok(parts.collect::<Vec<_>>().concat())
    }

    /// The signal before a max pool, or before the rectifier before it.
    fn pooled_back(
        &self,
        site: &Site<'_>,
        pool: &Pool,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let (input, dims) = (site.node.inputs[0], site.inputs[0].dims());
        let gate = self.gate(input, rules, keep)?;
        let (x, y, flow) = (values::<f32>(site.inputs[0])?, values::<f32>(site.output)?, values::<f32>(site.flow)?);
        let g = pool_geometry(pool, dims, &site.node.shape);
        let (combine, clamp) = gate.as_ref().map_or((Combine::None, Clamp::None), |g| (g.combine, g.clamp));
        let signal = max_pool_backward::max_gradient_fused(&g, &x, &y, &flow, combine, clamp);
        add(&mut signals[gate.map_or(input, |g| g.to).0], tensor(signal, dims)?)
    }

    /// The parts of a joined signal, each before the rectifier that made it where that can be passed in the same go.
    fn split_back(
        &self,
        site: &Site<'_>,
        axis: usize,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        wanted: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let (flow, whole, dims) = (values::<f32>(site.flow)?, values::<f32>(site.output)?, site.flow.dims());
        let (len, inner) = (dims[axis + 1], dims[axis + 2..].iter().product());
        let mut from = 0;
        for (input, value) in site.node.inputs.iter().zip(site.inputs) {
            let n = value.dims()[axis + 1];
            let gate = self.gate(*input, rules, keep)?;
            let epilogue = gate.as_ref().map_or(Epilogue::NONE, |g| g.epilogue(&whole));
            let to = gate.as_ref().map_or(*input, |g| g.to);
            if wanted(to) {
                let part = rearrange::slice_fused(len, inner, from, n, &flow, epilogue);
                add(&mut signals[to.0], tensor(part, value.dims())?)?;
            }
            from += n;
        }
        Ok(())
    }

    /// The rectifier at `id`, where only one node reads it, nobody asks for the signal there, and its rule is a gate.
    fn gate(&self, id: NodeId, rules: &Rules, keep: &impl Fn(NodeId) -> bool) -> Result<Option<Gate>> {
        let graph = self.model().graph();
        let node = graph.node(id);
        let (Op::Activation(f), [_], false) = (&node.op, graph.consumers(id), keep(id)) else { return Ok(None) };
        let value = self.seen(id)?;
        let site =
            Site { model: self.model(), node, id, inputs: &[self.seen(node.inputs[0])?], output: value, flow: value };
        Ok(rules.gate(&site, *f).map(|(combine, clamp)| Gate { to: node.inputs[0], combine, clamp }))
    }
}

/// How a signal passes a rectifier, and to where.
struct Gate {
    to: NodeId,
    combine: Combine,
    clamp: Clamp,
}

impl Gate {
    /// For a rectifier whose value is `value`.
    fn epilogue<'a>(&self, value: &'a [f32]) -> Epilogue<'a> {
        let residual = if self.combine == Combine::None { &[][..] } else { value };
        Epilogue { residual, combine: self.combine, clamp: self.clamp }
    }
}

/// Whether the maps of a sample, `h` x `w`, have a value other than zero in their first and last rows and columns.
fn reaches_all_borders(maps: &[f32], h: usize, w: usize) -> bool {
    let touched = |first: usize, step: usize, n: usize| {
        maps.chunks_exact((h * w).max(1)).any(|map| (0..n).any(|i| map[first + i * step] != 0.0))
    };
    h * w > 0 && touched(0, 1, w) && touched((h - 1) * w, 1, w) && touched(0, w, h) && touched(w - 1, w, h)
}

/// Adds `part` to what is there; what is there is contiguous.
fn add(to: &mut Option<Tensor>, part: Tensor) -> Result<()> {
    let part = part.contiguous()?;
    let sum = match to.take() {
        Some(sum) => with_real!(sum, T => {
            tensor(elementwise::zip_map(&values::<T>(&sum)?, &values::<T>(&part)?, |a, b| a + b), sum.dims())
        })?,
        None => part,
    };
    *to = Some(sum);
    Ok(())
}
