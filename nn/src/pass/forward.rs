//! The forward pass: a net's values, kept where they are asked for.

use super::apply;
use super::fuse::{Fused, Plan};
use super::groups::Pass;
use super::joined::Joined;
use super::packs::Way;
use crate::error::{Context, Error, Result};
use crate::graph::{NodeId, Op};
use crate::kernels::conv::Combine;
use crate::kernels::conv::ConvMaxPool;
use crate::kernels::conv::WinogradTile;
use crate::kernels::conv::{Epilogue, OutputSlot};
use crate::model::Model;
use crate::tensor::{tensor, values};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// Which values a forward pass keeps, and where it may stop.
#[derive(Clone, Debug)]
pub enum Tap {
    /// Every node's value: what a backward pass needs.
    All,
    /// Every node's value that `NodeId` depends on, and nothing after it.
    Until(NodeId),
    /// The named nodes' values only; the pass ends with the last of them.
    Only(Vec<NodeId>),
    /// The named nodes' values, and of what they depend on as much as a backward pass needs whose rules ask a rectifier
    /// only on which side of its kinks its input lay (gradient, guided backprop, DeconvNet).
    Signs(Vec<NodeId>),
}

/// Where a convolution's value goes, and the concatenations on the way.
struct Part<'a> {
    join: super::fuse::Join,
    joined: &'a mut BTreeMap<NodeId, Joined>,
}

/// What a forward pass kept.
#[derive(Clone, Debug)]
pub struct Trace {
    model: Model,
    pub(super) plan: Plan,
    tiles: WinogradTile,
    values: Vec<Option<Tensor>>,
    /// The number of its first sample in the batch.
    first: usize,
    /// Where groups of samples passed apart, what was kept of each; of the whole batch only what was asked for by name.
    pub(super) parts: Vec<Trace>,
}

impl Model {
    /// Runs the net on `x`, N x C x H x W (or C x H x W for one), and keeps what `tap` asks for.
    ///
    /// # Errors
    /// Where `x` has another shape than the net's input; inner errors name the node and its input shapes.
    pub fn forward(&self, x: &Tensor, tap: &Tap) -> Result<Trace> {
        self.forward_in(x, tap, self.tiles_for(tap))
    }

    /// How 3 x 3 convolutions are summed: a signal back asks on which side of a rectifier's kink a value lies, so that there
    /// sums are as exact as they can be, unless the caller needs no single one of them.
    pub(super) fn tiles_for(&self, tap: &Tap) -> WinogradTile {
        if self.is_tiled() || matches!(tap, Tap::Only(_)) { WinogradTile::F2 } else { WinogradTile::None }
    }

    /// As [`Model::forward`]; `tiles` says how 3 x 3 convolutions may be summed.
    pub(super) fn forward_in(&self, x: &Tensor, tap: &Tap, tiles: WinogradTile) -> Result<Trace> {
        // On a thread of the pool, so that the kernels' parallel loops begin without waking one.
        rayon::scope(|_| self.traced(x, tap, tiles))
    }

    /// The pass of some samples, the first of which is number `first` of the batch.
    pub(super) fn pass(&self, x: &Tensor, first: usize, pass: &Pass) -> Result<Trace> {
        let Pass { goals, plan, tiles, needed, keep_all, .. } = pass;
        let graph = self.graph();
        let mut uses: Vec<usize> =
            graph.ids().map(|id| graph.consumers(id).iter().filter(|c| needed[c.0]).count()).collect();
        let (plan, values) = (plan.clone(), vec![None; graph.nodes().len()]);
        let mut trace = Trace { model: self.clone(), plan, tiles: *tiles, values, first, parts: Vec::new() };
        let mut joined = BTreeMap::new();
        for id in graph.ids().filter(|id| needed[id.0]) {
            if id == graph.input() {
                trace.values[id.0] = Some(x.clone());
            } else if !trace.plan.is_inside(id) {
                trace.make(id, &mut joined, *keep_all)?;
            }
            if !keep_all {
                for input in &graph.node(id).inputs {
                    uses[input.0] -= 1;
                    let held = trace.plan.stands_for(*input);
                    if uses[input.0] == 0 && held == *input && !goals.contains(input) {
                        trace.values[input.0] = None;
                    }
                }
            }
        }
        Ok(trace)
    }

    /// The net's raw output for `x`, N x the output's own shape.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn output(&self, x: &Tensor) -> Result<Tensor> {
        let id = self.graph().output();
        let trace = self.forward(x, &Tap::Only(vec![id]))?;
        Ok(trace.get(id)?.clone())
    }

    /// The convolution at `id` of `x`, N x C x H x W, with what is computed together with it.
    pub(super) fn convolved(
        &self,
        id: NodeId,
        x: &Tensor,
        fused: &Fused,
        other: Option<&Tensor>,
        tiles: WinogradTile,
    ) -> Result<Tensor> {
        let packed = self.packed(id, fused.norm, Way::Forward, tiles)?;
        let held = other.map(values::<f32>).transpose()?;
        let epilogue = Epilogue {
            residual: held.as_deref().unwrap_or_default(),
            combine: if held.is_some() { Combine::Add } else { Combine::None },
            clamp: fused.clamp,
        };
        let y = packed.run(x.dims()[0], &values::<f32>(x)?, &epilogue);
        tensor(y, &apply::with_batch(x.dims()[0], &self.graph().node(id).shape))
    }

    /// As [`Model::convolved`] of what nothing is added to, written to its place in a concatenation.
    fn convolved_to(&self, id: NodeId, x: &Tensor, fused: &Fused, to: Part<'_>, tiles: WinogradTile) -> Result<()> {
        let packed = self.packed(id, fused.norm, Way::Forward, tiles)?;
        let (batch, shape) = (x.dims()[0], &self.graph().node(id).shape);
        let whole = &self.graph().node(to.join.into).shape;
        let (sample, plane): (usize, usize) = (whole.iter().product(), whole[1..].iter().product());
        let joined = to.joined.entry(to.join.into).or_insert_with(|| Joined::new(batch * sample));
        let (y, len) = joined.part(batch * shape.iter().product::<usize>());
        let epilogue = Epilogue { clamp: fused.clamp, ..Epilogue::NONE };
        let slot = OutputSlot { first: to.join.channel * plane, sample };
        packed.run_into(batch, &values::<f32>(x)?, &epilogue, y, len, slot);
        Ok(())
    }

    /// The max pool at `pool` of the convolution at `id`, which nothing is added to.
    fn pooled(&self, id: NodeId, x: &Tensor, fused: &Fused, pool: NodeId, tiles: WinogradTile) -> Result<Tensor> {
        let packed = self.packed(id, fused.norm, Way::Forward, tiles)?;
        let (made, left) = (self.graph().node(id), self.graph().node(pool));
        let (Op::Conv2d(c), Op::MaxPool(p)) = (&made.op, &left.op) else {
            return Err(Error::internal(format!("`{}` is no pooled convolution", made.name)));
        };
        let between = apply::with_batch(x.dims()[0], &made.shape);
        let pooled = ConvMaxPool {
            prepacked: &packed,
            conv: apply::conv_geometry(c, x.dims(), &made.shape),
            pool: apply::pool_geometry(p, &between, &left.shape),
        };
        tensor(pooled.run(x.dims()[0], &values::<f32>(x)?, fused.clamp), &apply::with_batch(x.dims()[0], &left.shape))
    }

    /// Whether the f32 kernels can take `x`.
    pub(super) fn is_single(&self, x: &Tensor) -> bool {
        x.dtype() == DType::F32 && self.dtype() == DType::F32
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
    /// A trace that kept these values only.
    pub(super) fn of(model: &Model, kept: Vec<(NodeId, Tensor)>) -> Self {
        let mut values = vec![None; model.graph().nodes().len()];
        kept.into_iter().for_each(|(id, value)| values[id.0] = Some(value));
        let plan = Plan::apart(model.graph());
        Trace { model: model.clone(), plan, tiles: WinogradTile::None, values, first: 0, parts: Vec::new() }
    }

    /// The trace of a batch `x` whose groups passed apart.
    pub(super) fn of_parts(parts: Vec<Trace>, x: Tensor, pass: Pass) -> Result<Self> {
        let model = parts[0].model.clone();
        let mut values = vec![None; model.graph().nodes().len()];
        for goal in &pass.goals {
            let each = parts.iter().map(|part| part.get(*goal)).collect::<Result<Vec<_>>>()?;
            values[goal.0] = Some(Tensor::cat(&each, 0)?);
        }
        values[model.graph().input().0] = Some(x);
        let parts = if pass.keep_all { parts } else { Vec::new() };
        Ok(Trace { model, plan: pass.plan, tiles: pass.tiles, values, first: 0, parts })
    }

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

    /// The samples' numbers in the batch that was asked about, of which they may be a part.
    pub fn samples(&self) -> Range<usize> {
        self.first..self.first + self.batch()
    }

    /// Makes the value that comes out when the pass gets to `id`; `joined` holds the concatenations on the way, whose parts
    /// are kept as views of the whole with `keep_parts`.
    fn make(&mut self, id: NodeId, joined: &mut BTreeMap<NodeId, Joined>, keep_parts: bool) -> Result<()> {
        let model = self.model.clone();
        let node = model.graph().node(id);
        if let Some(whole) = joined.remove(&id) {
            let values = whole.whole()?;
            let batch = values.len() / node.shape.iter().product::<usize>();
            let value = tensor(values, &apply::with_batch(batch, &node.shape))?;
            let mut channel = 0;
            for input in node.inputs.iter().filter(|_| keep_parts) {
                let n = model.graph().node(*input).shape[0];
                self.values[input.0] = Some(value.narrow(1, channel, n)?);
                channel += n;
            }
            self.values[id.0] = Some(value);
            return Ok(());
        }
        let inputs = node.inputs.iter().map(|i| self.seen(*i)).collect::<Result<Vec<&Tensor>>>()?;
        let mut value = || -> Result<Option<(NodeId, Tensor)>> {
            let is_conv = matches!(node.op, Op::Conv2d(_) | Op::ConvTranspose2d(..));
            let Some(x) = inputs[..].first().filter(|x| is_conv && model.is_single(x)) else {
                return Ok(Some((id, apply::apply(&node.op, &inputs, model.weights(), &node.shape)?)));
            };
            let alone = Fused::alone(id);
            let fused = self.plan.head(id).unwrap_or(&alone);
            if let Some(join) = self.plan.join_of(id) {
                model.convolved_to(id, x, fused, Part { join, joined: &mut *joined }, self.tiles)?;
                return Ok(None);
            }
            if let Some(pool) = fused.pool {
                return Ok(Some((pool, model.pooled(id, x, fused, pool, self.tiles)?)));
            }
            let other = fused.other.map(|o| self.seen(o)).transpose()?;
            Ok(Some((fused.last, model.convolved(id, x, fused, other, self.tiles)?)))
        };
        let made = value().context(|| {
            let shapes: Vec<_> = inputs.iter().map(|t| t.dims()).collect();
            format!("node `{}` ({}) on {shapes:?}", node.name, node.op.kind())
        })?;
        if let Some((at, value)) = made {
            self.values[at.0] = Some(value);
        }
        Ok(())
    }

    /// What stands for a node's value: its own, or what was computed with it.
    pub(super) fn seen(&self, id: NodeId) -> Result<&Tensor> {
        self.get(self.plan.stands_for(id))
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
