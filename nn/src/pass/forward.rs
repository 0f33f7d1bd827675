//! The forward pass: the values of a net's nodes, of which a [`Tap`] says which are kept in a [`Trace`].

use super::apply;
use super::schedule::concat::ConcatBuffer;
use super::schedule::fuse::{ConcatSlot, FusedLayer};
use super::schedule::groups::BatchSchedule;
use super::trace::{Tap, Trace};
use crate::error::{Context, Error, Result};
use crate::graph::op::Activation;
use crate::graph::{NodeId, Op};
use crate::kernels::conv::{Combine, ConvMaxPool, Epilogue, OutputSlot, WinogradTile};
use crate::kernels::row_gemm::RowEpilogue;
use crate::model::Model;
use crate::model::pack_cache::Direction;
use crate::tensor::{tensor, values};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// The concatenations that are being written, by node.
type ConcatBuffers = BTreeMap<NodeId, ConcatBuffer>;

impl Model {
    /// Runs the net on `x`, N x C x H x W (or C x H x W for one sample), and keeps the values that `tap` says.
    ///
    /// # Errors
    /// Where `x` has another shape than the net's input, or another input has no value; inner errors name the node and its
    /// input shapes.
    pub fn forward(&self, x: &Tensor, tap: &Tap) -> Result<Trace> {
        self.forward_with_tile(x, tap, self.forward_tile(tap))
    }

    /// The largest Winograd tile of forward convolutions. A gradient depends on the sign of every rectifier's input, which
    /// Winograd's rounding can flip near zero, so passes that a signal goes back through do not use it unless the caller opts in.
    pub(super) fn forward_tile(&self, tap: &Tap) -> WinogradTile {
        let uses_winograd = self.has_winograd_forward() || matches!(tap, Tap::Only(_));
        if uses_winograd { WinogradTile::F2 } else { WinogradTile::None }
    }

    /// As [`Model::forward`], with forward convolutions in Winograd tiles up to `tile`.
    pub(super) fn forward_with_tile(&self, x: &Tensor, tap: &Tap, tile: WinogradTile) -> Result<Trace> {
        // On a thread of the pool, so that the kernels' parallel loops start without waking one.
        rayon::scope(|_| self.forward_batch(x, tap, tile))
    }

    /// Runs the net on a group of samples, the first of which is number `first` of the batch.
    pub(super) fn forward_group(&self, x: &Tensor, first: usize, schedule: &BatchSchedule) -> Result<Trace> {
        let given = BTreeMap::from([(self.graph().input(), x.clone())]);
        self.forward_nodes(given, first..first + x.dims()[0], schedule)
    }

    /// Computes the nodes that `schedule` needs for some `samples` of the batch, from the values of the nodes `given`.
    pub(super) fn forward_nodes(
        &self,
        given: BTreeMap<NodeId, Tensor>,
        samples: Range<usize>,
        schedule: &BatchSchedule,
    ) -> Result<Trace> {
        let BatchSchedule { goals, fusion, tile, needed, keep_all, .. } = schedule;
        let graph = self.graph();
        let mut uses: Vec<usize> =
            graph.ids().map(|id| graph.consumers(id).iter().filter(|c| needed[c.0]).count()).collect();
        let (fusion, mut values) = (fusion.clone(), vec![None; graph.nodes().len()]);
        given.into_iter().for_each(|(id, value)| values[id.0] = Some(value));
        let (model, first) = (self.clone(), samples.start);
        let mut trace = Trace { model, fusion, tile: *tile, values, first, groups: Vec::new() };
        let mut concats = ConcatBuffers::new();
        for id in graph.ids().filter(|id| needed[id.0]) {
            let is_given = trace.values[id.0].is_some();
            if graph.node(id).op == Op::Input && !is_given {
                trace.values[id.0] = Some(self.held(id, samples.len())?);
            } else if !is_given && !trace.fusion.is_absorbed(id) {
                trace.compute_node(id, &mut concats, *keep_all)?;
            }
            if !keep_all {
                let read = trace.fusion.read_at(id).into_iter().flat_map(|node| &graph.node(node).inputs);
                for input in read {
                    uses[input.0] -= 1;
                    let has_own_value = trace.fusion.value_node(*input) == *input;
                    if uses[input.0] == 0 && has_own_value && !goals.contains(input) {
                        trace.values[input.0] = None;
                    }
                }
            }
        }
        for goal in goals {
            trace.make_plain(*goal)?;
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

    /// The result of the convolution at `id` and of what is fused with it, for `x`, N x C x H x W; a gate multiplies `x` first.
    pub(super) fn run_conv(
        &self,
        id: NodeId,
        x: &Tensor,
        fused: &FusedLayer,
        gate: Option<&Tensor>,
        residual: Option<&Tensor>,
        tile: WinogradTile,
    ) -> Result<Tensor> {
        let conv = self.prepacked(id, fused.norm, Direction::Forward, tile)?;
        let residual = residual.map(values::<f32>).transpose()?;
        let gate = gate.map(values::<f32>).transpose()?;
        let epilogue = Epilogue {
            residual: residual.as_deref().unwrap_or_default(),
            combine: if residual.is_some() { Combine::Add } else { Combine::None },
            clamp: fused.clamp,
            activation: fused.activation,
        };
        let (batch, x) = (x.dims()[0], values::<f32>(x)?);
        let y = match gate {
            Some(gate) => conv.run_gated(batch, &x, &gate, &epilogue),
            None => conv.run(batch, &x, &epilogue),
        };
        tensor(y, &apply::with_batch(batch, &self.graph().node(id).shape))
    }

    /// The result of the linear layer at `id` and of its activation, for `x`; none where a sample has one row.
    pub(super) fn run_linear(&self, id: NodeId, x: &Tensor, activation: Option<Activation>) -> Result<Option<Tensor>> {
        let node = self.graph().node(id);
        let sizes = apply::linear_sizes(x.dims(), &node.shape);
        let (Op::Linear { bias, .. }, 2..) = (&node.op, sizes.positions) else { return Ok(None) };
        let bias = bias.map(|b| values::<f32>(self.weights().tensor(b))).transpose()?;
        let epilogue = RowEpilogue { bias: bias.as_deref().unwrap_or_default(), activation, ..Default::default() };
        let y = self.packed_linear(id, Direction::Forward)?.run(sizes.rows(), &values::<f32>(x)?, &epilogue);
        Ok(Some(tensor(y, &apply::with_batch(x.dims()[0], &node.shape))?))
    }

    /// As [`Model::run_conv`] without a residual, written into a concatenation.
    fn run_conv_into(
        &self,
        id: NodeId,
        x: &Tensor,
        fused: &FusedLayer,
        slot: ConcatSlot,
        concats: &mut ConcatBuffers,
        tile: WinogradTile,
    ) -> Result<()> {
        let conv = self.prepacked(id, fused.norm, Direction::Forward, tile)?;
        let (batch, shape) = (x.dims()[0], &self.graph().node(id).shape);
        let whole = &self.graph().node(slot.concat).shape;
        let (sample, plane): (usize, usize) = (whole.iter().product(), whole[1..].iter().product());
        let buffer = concats.entry(slot.concat).or_insert_with(|| ConcatBuffer::new(batch * sample));
        let (y, len) = buffer.for_part(batch * shape.iter().product::<usize>());
        let epilogue = Epilogue { clamp: fused.clamp, ..Epilogue::NONE };
        let slot = OutputSlot { first: slot.channel * plane, sample };
        conv.run_into(batch, &values::<f32>(x)?, &epilogue, y, len, slot);
        Ok(())
    }

    /// The result of the convolution at `id` and of the max pool at `pool` after it, without a residual.
    fn run_conv_max_pool(
        &self,
        id: NodeId,
        x: &Tensor,
        fused: &FusedLayer,
        pool: NodeId,
        tile: WinogradTile,
    ) -> Result<Tensor> {
        let prepacked = self.prepacked(id, fused.norm, Direction::Forward, tile)?;
        let (conv, pool) = (self.graph().node(id), self.graph().node(pool));
        let (Op::Conv2d(c), Op::MaxPool(p)) = (&conv.op, &pool.op) else {
            return Err(Error::internal(format!("`{}` is no convolution before a max pool", conv.name)));
        };
        let kernel = ConvMaxPool {
            prepacked: &prepacked,
            conv: apply::conv_geometry(c, x.dims(), &conv.shape),
            pool: apply::pool_geometry(p, &apply::with_batch(x.dims()[0], &conv.shape), &pool.shape),
        };
        let y = kernel.run(x.dims()[0], &values::<f32>(x)?, fused.clamp);
        tensor(y, &apply::with_batch(x.dims()[0], &pool.shape))
    }

    /// Whether f32 kernels can take `x`.
    pub(super) fn is_f32(&self, x: &Tensor) -> bool {
        x.dtype() == DType::F32 && self.dtype() == DType::F32
    }

    /// `x` as a contiguous batch in the net's number type. Where its axes are those of the file and not the net's (frames before
    /// channels, channels last), they are put into the net's order.
    ///
    /// # Errors
    /// Where the shape is not that of the net's input.
    pub fn batched(&self, x: &Tensor) -> Result<Tensor> {
        let want = self.input_shape();
        let x = match x.dims() {
            dims if dims == want => x.unsqueeze(0)?,
            [_, rest @ ..] if rest == want => x.clone(),
            dims => {
                if let Some((as_in_file, order)) = self.graph().input_in_file() {
                    let batch = if dims == as_in_file { x.unsqueeze(0)? } else { x.clone() };
                    if batch.dims().get(1..) == Some(as_in_file) {
                        let axes: Vec<usize> = std::iter::once(0).chain(order.iter().map(|a| a + 1)).collect();
                        return Ok(batch.permute(axes)?.to_dtype(self.dtype())?.contiguous()?);
                    }
                }
                let name = &self.card().name;
                return Err(Error::shape(format!("`{name}` takes {want:?} (or a batch of it), got {dims:?}"))
                    .hint("`net.preprocess(image)` makes the tensor; `load_model(.., #{ size: .. })` sets the size"));
            }
        };
        Ok(x.to_dtype(self.dtype())?.contiguous()?)
    }
}

impl Trace {
    /// Computes the kernel that begins at `id`. With `keep_parts` the parts of a concatenation written in place are kept, as views
    /// of the whole.
    fn compute_node(&mut self, id: NodeId, concats: &mut ConcatBuffers, keep_parts: bool) -> Result<()> {
        let model = self.model.clone();
        let node = model.graph().node(id);
        if let Some(buffer) = concats.remove(&id) {
            let values = buffer.into_values()?;
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
        let computed =
            self.compute_channels_last(id).context(|| format!("node `{}` ({})", node.name, node.op.kind()))?;
        if let Some((at, value)) = computed {
            self.values[at.0] = Some(value);
            return Ok(());
        }
        let fused = self.fusion.fused_at(id).copied();
        let beside = fused.into_iter().flat_map(|f| f.residual.into_iter().chain(f.gate.map(|gate| gate.factors)));
        let inner = self.fusion.read_at(id).into_iter().flat_map(|at| model.graph().node(at).inputs.clone());
        for read in inner.chain(beside).collect::<Vec<_>>() {
            self.make_plain(read)?;
        }
        if let Some(attention) = self.fusion.attention_at(id) {
            let value = attention.run(model.graph(), id, |node| self.value_or_fused(node));
            self.values[id.0] = Some(value.context(|| format!("attention that ends at `{}`", node.name))?);
            return Ok(());
        }
        let gate = self.fusion.fused_at(id).and_then(|fused| fused.gate);
        let read = gate.map_or(node.inputs.to_vec(), |gate| vec![gate.maps]);
        let inputs = read.iter().map(|i| self.value_or_fused(*i)).collect::<Result<Vec<&Tensor>>>()?;
        let mut compute = || -> Result<Option<(NodeId, Tensor)>> {
            let alone = FusedLayer::alone(id);
            let fused = self.fusion.fused_at(id).unwrap_or(&alone);
            if let (Op::Linear { .. }, [x]) = (&node.op, &inputs[..])
                && model.is_f32(x)
                && let Some(y) = model.run_linear(id, x, fused.activation)?
            {
                return Ok(Some((fused.output, y)));
            }
            let is_conv = matches!(node.op, Op::Conv2d(_) | Op::ConvTranspose2d(..));
            let Some(x) = inputs[..].first().filter(|x| is_conv && model.is_f32(x)) else {
                let y = apply::apply(&node.op, &inputs, model.weights(), &node.shape)?;
                return Ok(Some((fused.output, fused.activated(y)?)));
            };
            if let Some(slot) = self.fusion.concat_slot(id) {
                model.run_conv_into(id, x, fused, slot, concats, self.tile)?;
                return Ok(None);
            }
            if let Some(pool) = fused.pool {
                return Ok(Some((pool, model.run_conv_max_pool(id, x, fused, pool, self.tile)?)));
            }
            let residual = fused.residual.map(|r| self.value_or_fused(r)).transpose()?;
            let gate = gate.map(|gate| self.value_or_fused(gate.factors)).transpose()?;
            Ok(Some((fused.output, model.run_conv(id, x, fused, gate, residual, self.tile)?)))
        };
        let computed = compute().context(|| {
            let shapes: Vec<_> = inputs.iter().map(|t| t.dims()).collect();
            format!("node `{}` ({}) on {shapes:?}", node.name, node.op.kind())
        })?;
        if let Some((at, value)) = computed {
            self.values[at.0] = Some(value);
        }
        Ok(())
    }
}
