//! The backward pass: a signal from one or several nodes back to every node that they depend on. Each node passes it on by its
//! rule. Where a value has several consumers their signals are summed here, and only here.

use super::apply::pool_geometry;
use super::flow::{Flow, Seed};
use super::rule::{Rules, Site};
use super::schedule::groups;
use super::trace::Trace;
use crate::error::{Context, Error, Result};
use crate::graph::op::{Binary, Pool};
use crate::graph::{NodeId, Op};
use crate::kernels::conv::Epilogue;
use crate::kernels::conv::WinogradTile;
use crate::kernels::conv::{Clamp, Combine};
use crate::kernels::{elementwise, max_pool_backward, rearrange};
use crate::model::pack_cache::Direction;
use crate::tensor::{tensor, values};
use crate::with_real;
use candle_core::Tensor;

impl Trace {
    /// Sends `seed` back by `rules`, and keeps the signal at every node that it reaches.
    ///
    /// # Errors
    /// Where a seed is not shaped as its node's value, or the trace lacks a value that a rule needs.
    pub fn backward(&self, seed: Seed, rules: &Rules) -> Result<Flow> {
        self.backward_keeping(seed, rules, |_| true)
    }

    /// As [`Trace::backward`], to the node `wanted` only; returns the signal there, zero where none reaches it.
    ///
    /// # Errors
    /// As [`Trace::backward`].
    pub fn backward_to(&self, wanted: NodeId, seed: Seed, rules: &Rules) -> Result<Tensor> {
        let mut flow = self.backward_keeping(seed, rules, move |id| id == wanted)?;
        match flow.signals[wanted.0].take() {
            Some(signal) => Ok(signal),
            None => {
                let dims = [&[self.batch()], &self.model().graph().node(wanted).shape[..]].concat();
                Ok(Tensor::zeros(dims, self.model().dtype(), &self.model().device())?)
            }
        }
    }

    /// Sends `seed` back by `rules` and keeps the signal where `keep` says so.
    fn backward_keeping(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool + Send + Sync) -> Result<Flow> {
        rayon::scope(|_| match &self.groups[..] {
            [] => self.backward_one(seed, rules, keep),
            traces => groups::backward_groups(traces, &seed, rules, keep),
        })
    }

    /// As [`Trace::backward_keeping`], for a trace without groups.
    pub(super) fn backward_one(&self, seed: Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool) -> Result<Flow> {
        let graph = self.model().graph();
        let mut signals: Vec<Option<Tensor>> = vec![None; graph.nodes().len()];
        for (id, tensor) in seed {
            let value = self.value_or_fused(id)?;
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
        // A node passes its signal on only where a kept one lies before it.
        let mut before = vec![false; graph.nodes().len()];
        for id in graph.ids() {
            before[id.0] = graph.node(id).inputs.iter().any(|i| before[i.0] || keep(*i));
        }
        for id in graph.ids().rev() {
            let Some(flow) = signals[id.0].take() else { continue };
            let node = graph.node(id);
            if before[id.0] && !node.inputs.is_empty() {
                let wanted = |id: NodeId| before[id.0] || keep(id);
                self.backward_node(id, &flow, rules, &keep, &wanted, &mut signals)
                    .context(|| format!("back through `{}` ({})", node.name, node.op.kind()))?;
            }
            if keep(id) {
                signals[id.0] = Some(flow);
            }
        }
        Ok(Flow { signals })
    }

    /// Passes the signal at the node at `id` on to its inputs.
    fn backward_node(
        &self,
        id: NodeId,
        flow: &Tensor,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        wanted: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let node = self.model().graph().node(id);
        if self.fusion.is_folded(id) {
            return add(&mut signals[node.inputs[0].0], flow.clone());
        }
        let inputs = node.inputs.iter().map(|i| self.value_or_fused(*i)).collect::<Result<Vec<_>>>()?;
        let site = Site { model: self.model(), node, id, inputs: &inputs, output: self.value_or_fused(id)?, flow };
        if rules.is_gradient(&site) && self.model().is_f32(flow) {
            match node.op {
                Op::Conv2d(_) | Op::ConvTranspose2d(..) => return self.backward_conv(&site, rules, keep, signals),
                Op::MaxPool(pool) => return self.backward_max_pool(&site, &pool, rules, keep, signals),
                // Both inputs share one tensor.
                Op::Binary(Binary::Add) if inputs.iter().all(|x| x.dims() == flow.dims()) => {
                    let mut wanted = node.inputs.iter().filter(|to| wanted(**to));
                    return wanted.try_for_each(|to| add(&mut signals[to.0], flow.clone()));
                }
                Op::Concat { axis } if inputs.iter().all(|x| x.dims()[0] == flow.dims()[0]) => {
                    return self.backward_concat(&site, axis, rules, keep, wanted, signals);
                }
                Op::Input
                | Op::Constant(_)
                | Op::Linear { .. }
                | Op::MatMul
                | Op::BatchNorm { .. }
                | Op::LayerNorm { .. }
                | Op::GroupNorm { .. }
                | Op::LocalResponseNorm { .. }
                | Op::Activation(_)
                | Op::Binary(_)
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
                | Op::Identity => {}
            }
        }
        // A part of a concatenation may be a strided view of it.
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

    /// The signal before a convolution or, where the rectifier before it can be its epilogue, before that.
    fn backward_conv(
        &self,
        site: &Site<'_>,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let input = site.node.inputs[0];
        let dims = site.inputs[0].dims();
        if let Some(rectifier) = self.fused_rectifier(input, rules, keep)? {
            let value = values::<f32>(site.inputs[0])?;
            let signal = self.conv_input_gradient(site, &rectifier.epilogue(&value))?;
            return add(&mut signals[rectifier.input.0], tensor(signal, dims)?);
        }
        // What has arrived from other consumers is the residual.
        let arrived = signals[input.0].take();
        let residual = arrived.as_ref().map(values::<f32>).transpose()?;
        let epilogue = match &residual {
            Some(residual) => Epilogue { residual, combine: Combine::Add, ..Epilogue::NONE },
            None => Epilogue::NONE,
        };
        signals[input.0] = Some(tensor(self.conv_input_gradient(site, &epilogue)?, dims)?);
        Ok(())
    }

    /// The input gradient of a convolution, in Winograd tiles where they suit. Samples whose signal does not touch all borders of
    /// the map, such as that of one unit, use F(2 x 2) at most, which leaves exact zeros where the signal does not reach.
    fn conv_input_gradient(&self, site: &Site<'_>, epilogue: &Epilogue<'_>) -> Result<Vec<f32>> {
        let norm = self.fusion.fused_at(site.id).and_then(|f| f.norm);
        let (flow, batch, shape) = (values::<f32>(site.flow)?, site.flow.dims()[0], &site.node.shape);
        let prepacked = |tile| self.model().prepacked(site.id, norm, Direction::Backward, tile);
        let samples = || flow.chunks(shape.iter().product());
        let wide: Vec<bool> = samples().map(|x| reaches_all_borders(x, shape[1], shape[2])).collect();
        let tile = if wide.contains(&true) { WinogradTile::F4 } else { WinogradTile::F2 };
        let large = prepacked(tile)?;
        if large.largest_tile() < tile || wide.iter().all(|w| *w == wide[0]) {
            return Ok(large.run(batch, &flow, epilogue));
        }
        let (small, each) = (prepacked(WinogradTile::F2)?, site.inputs[0].dims()[1..].iter().product::<usize>());
        let parts = samples().zip(&wide).enumerate().map(|(n, (x, wide))| {
            let residual = epilogue.residual.get(n * each..(n + 1) * each).unwrap_or_default();
            let conv = if *wide { &large } else { &small };
            conv.run(1, x, &Epilogue { residual, ..*epilogue })
        });
        Ok(parts.collect::<Vec<_>>().concat())
    }

    /// The signal before a max pool or, where the rectifier before it can be its epilogue, before that.
    fn backward_max_pool(
        &self,
        site: &Site<'_>,
        pool: &Pool,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
        signals: &mut [Option<Tensor>],
    ) -> Result<()> {
        let (input, dims) = (site.node.inputs[0], site.inputs[0].dims());
        let rectifier = self.fused_rectifier(input, rules, keep)?;
        let (x, y, flow) = (values::<f32>(site.inputs[0])?, values::<f32>(site.output)?, values::<f32>(site.flow)?);
        let g = pool_geometry(pool, dims, &site.node.shape);
        let (combine, clamp) = rectifier.as_ref().map_or((Combine::None, Clamp::None), |r| (r.combine, r.clamp));
        let signal = max_pool_backward::max_gradient_fused(&g, &x, &y, &flow, combine, clamp);
        add(&mut signals[rectifier.map_or(input, |r| r.input).0], tensor(signal, dims)?)
    }

    /// The parts of a concatenation's signal, each before the rectifier that it comes from where that can be the epilogue.
    fn backward_concat(
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
            let rectifier = self.fused_rectifier(*input, rules, keep)?;
            let epilogue = rectifier.as_ref().map_or(Epilogue::NONE, |r| r.epilogue(&whole));
            let to = rectifier.as_ref().map_or(*input, |r| r.input);
            if wanted(to) {
                let part = rearrange::slice_fused(len, inner, from, n, &flow, epilogue);
                add(&mut signals[to.0], tensor(part, value.dims())?)?;
            }
            from += n;
        }
        Ok(())
    }

    /// The rectifier at `id`, where it has one consumer, its signal is not kept, and its rule can be an epilogue.
    fn fused_rectifier(
        &self,
        id: NodeId,
        rules: &Rules,
        keep: &impl Fn(NodeId) -> bool,
    ) -> Result<Option<FusedRectifier>> {
        let graph = self.model().graph();
        let node = graph.node(id);
        let (Op::Activation(f), [_], false) = (&node.op, graph.consumers(id), keep(id)) else { return Ok(None) };
        let value = self.value_or_fused(id)?;
        let site = Site {
            model: self.model(),
            node,
            id,
            inputs: &[self.value_or_fused(node.inputs[0])?],
            output: value,
            flow: value,
        };
        let input = node.inputs[0];
        Ok(rules.as_epilogue(&site, *f).map(|(combine, clamp)| FusedRectifier { input, combine, clamp }))
    }
}

/// A rectifier as the epilogue of the kernel that computes the signal after it.
struct FusedRectifier {
    /// The rectifier's input, where the signal goes.
    input: NodeId,
    combine: Combine,
    clamp: Clamp,
}

impl FusedRectifier {
    /// The epilogue, given the rectifier's value.
    fn epilogue<'a>(&self, value: &'a [f32]) -> Epilogue<'a> {
        let residual = if self.combine == Combine::None { &[][..] } else { value };
        Epilogue { residual, combine: self.combine, clamp: self.clamp, activation: None }
    }
}

/// Whether the maps of a sample, `h` x `w`, have nonzero values in their first and last rows and columns.
fn reaches_all_borders(maps: &[f32], h: usize, w: usize) -> bool {
    let is_nonzero = |first: usize, step: usize, n: usize| {
        maps.chunks_exact((h * w).max(1)).any(|map| (0..n).any(|i| map[first + i * step] != 0.0))
    };
    h * w > 0 && is_nonzero(0, 1, w) && is_nonzero((h - 1) * w, 1, w) && is_nonzero(0, w, h) && is_nonzero(w - 1, w, h)
}

/// Adds `part` to `to`; the sum is contiguous.
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
