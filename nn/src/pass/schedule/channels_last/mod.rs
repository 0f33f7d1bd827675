//! Segments of a net that are computed with channels as neighbours in memory (N x H x W x C): from a depthwise convolution on, as long
//! as pointwise layers, sums, gates and means follow. In that layout small depthwise layers fill vectors, and transpositions to and
//! from it (ConvNeXt) are views.
//!
//! A value in this layout is a tensor N x C x H x W with the strides of the other order. A layer of another kind gets it in the plain
//! order ([`Trace::make_plain`]). Values have the same bits in both.

pub(super) mod segments;

use super::fuse::FusedLayer;
use crate::error::{Error, Result};
use crate::graph::op::{Binary, Conv, Reduction};
use crate::graph::{NodeId, Op};
use crate::kernels::channels_last::{DenseRows, DepthwiseRows, Expansion, Maps, means, times};
use crate::kernels::conv::{Combine, Epilogue};
use crate::kernels::{binary, elementwise, rearrange};
use crate::model::Model;
use crate::model::pack_cache::PackedRows;
use crate::pass::Trace;
use crate::pass::apply::{conv_geometry, with_batch};
use crate::pass::fold::folding;
use crate::tensor::{tensor, values};
use candle_core::Tensor;
use segments::{FROM_LAST, TO_LAST, geometry, transposes};
use std::sync::Arc;

/// The maps of `t`, N x C x H x W, as N x H x W x C, where they lie so.
fn channels_last(t: &Tensor) -> Result<Option<Tensor>> {
    if t.dims().len() != 4 || t.is_contiguous() {
        return Ok(None);
    }
    let last = t.permute((0, 2, 3, 1))?;
    Ok(last.is_contiguous().then_some(last))
}

/// The tensor N x C x H x W whose values `y` lie in the order N x H x W x C; `shape` C x H x W.
fn maps_of(y: Vec<f32>, batch: usize, shape: &[usize]) -> Result<Tensor> {
    Ok(tensor(y, &[batch, shape[1], shape[2], shape[0]])?.permute((0, 3, 1, 2))?)
}

impl Trace {
    /// Puts the value that is kept for `id` into the plain order, N x C x H x W.
    pub(in crate::pass) fn make_plain(&mut self, id: NodeId) -> Result<()> {
        let kept = self.fusion.value_node(id);
        if let Some(value) = &self.values[kept.0]
            && let Some(last) = channels_last(value)?
        {
            let plain = rearrange::transpose(last.dims(), &[0, 3, 1, 2], &values::<f32>(&last)?);
            self.values[kept.0] = Some(tensor(plain, value.dims())?);
        }
        Ok(())
    }

    /// Puts the value that is kept for `id` into this layout, and returns it as N x H x W x C.
    fn make_last(&mut self, id: NodeId) -> Result<Tensor> {
        let kept = self.fusion.value_node(id);
        let value = self.get(kept)?;
        if let Some(last) = channels_last(value)? {
            return Ok(last);
        }
        let [n, c, h, w] = value.dims()[..] else {
            return Err(Error::internal(format!("channels of {:?} cannot be last", value.dims())));
        };
        let last = tensor(rearrange::transpose(&[n, c, h, w], &[0, 2, 3, 1], &values::<f32>(value)?), &[n, h, w, c])?;
        self.values[kept.0] = Some(last.permute((0, 3, 1, 2))?);
        Ok(last)
    }

    /// The maps kept for `id` as N x H x W x C, where they lie so.
    fn found_last(&self, id: NodeId) -> Result<Option<Tensor>> {
        Ok(self.find(self.fusion.value_node(id)).map(channels_last).transpose()?.flatten())
    }

    /// Computes the kernel that begins at `id` in this layout, where it takes or begins a segment: its value, and the node whose it is.
    pub(in crate::pass) fn compute_channels_last(&mut self, id: NodeId) -> Result<Option<(NodeId, Tensor)>> {
        let model = self.model.clone();
        let node = model.graph().node(id);
        if let Op::Conv2d(c) = &node.op {
            return self.conv_channels_last(&model, id, c);
        }
        if let Op::Binary(f @ (Binary::Add | Binary::Mul)) = node.op {
            return self.binary_channels_last(&model, id, f);
        }
        let Some(input) = node.inputs.first() else { return Ok(None) };
        if transposes(&node.op, FROM_LAST) && self.fusion.is_channels_last(id) {
            let Some(x) = self.find(self.fusion.value_node(*input)) else { return Ok(None) };
            let is_view = x.dims().len() == 4 && x.is_contiguous() && self.model.is_f32(x);
            return Ok(is_view.then(|| x.permute((0, 3, 1, 2))).transpose()?.map(|x| (id, x)));
        }
        let Some(x) = self.found_last(*input)? else { return Ok(None) };
        let [batch, h, w, c] = x.dims()[..] else { return Ok(None) };
        if transposes(&node.op, TO_LAST) {
            return Ok(Some((id, x)));
        }
        if let Op::Activation(f) = node.op {
            return Ok(Some((id, maps_of(elementwise::forward(f, &values::<f32>(&x)?), batch, &node.shape)?)));
        }
        if let Op::Reduce { reduction: reduction @ (Reduction::Mean | Reduction::Sum), axes, .. } = &node.op
            && axes[..] == [1, 2]
        {
            let y = means(&values::<f32>(&x)?, h * w, c, *reduction == Reduction::Mean);
            return Ok(Some((id, tensor(y, &with_batch(batch, &node.shape))?)));
        }
        let is_same = node.op == Op::Identity;
        Ok(is_same.then(|| x.permute((0, 3, 1, 2))).transpose()?.map(|x| (id, x)))
    }

    /// A convolution and what is fused with it.
    fn conv_channels_last(&mut self, model: &Model, id: NodeId, c: &Conv) -> Result<Option<(NodeId, Tensor)>> {
        let fused = self.fusion.fused_at(id).copied().unwrap_or(FusedLayer::alone(id));
        let from = fused.gate.map_or(model.graph().node(id).inputs[0], |gate| gate.maps);
        let x = self.value_or_fused(from)?.clone();
        if self.fusion.concat_slot(id).is_some() || fused.pool.is_some() || !model.is_f32(&x) {
            return Ok(None);
        }
        let (node, batch, last) = (model.graph().node(id), x.dims()[0], channels_last(&x)?);
        let g = conv_geometry(c, x.dims(), &node.shape);
        if let Some(depthwise) = fused.depthwise {
            let after = Epilogue { clamp: depthwise.clamp, activation: depthwise.activation, ..Epilogue::NONE };
            let between = Epilogue { clamp: fused.clamp, activation: fused.activation, ..Epilogue::NONE };
            let (wide, deep) = (model.packed_rows(id, fused.norm)?, model.packed_rows(depthwise.conv, depthwise.norm)?);
            let (PackedRows::Dense(wide), PackedRows::Depthwise(deep)) = (&*wide, &*deep) else {
                return Err(Error::internal("a depthwise layer behind no pointwise one"));
            };
            let expansion = Some(Expansion { dense: wide, epilogue: between });
            let y = match &last {
                Some(last) => deep.run(batch, Maps::ChannelsLast(&values::<f32>(last)?), expansion, &after),
                None => deep.run(batch, Maps::Planes(&values::<f32>(&x)?), expansion, &after),
            };
            let shape = &model.graph().node(depthwise.conv).shape;
            return Ok(Some((fused.output, maps_of(y, batch, shape)?)));
        }
        let is_begun = self.fusion.is_channels_last(id);
        let is_depthwise = DepthwiseRows::suits(&g) && (is_begun || last.is_some());
        let is_dense =
            DenseRows::suits(&g) && if g.window.kernel == [1, 1] { last.is_some() } else { is_begun && last.is_none() };
        if !is_depthwise && !is_dense {
            return Ok(None);
        }
        let residual = fused.residual.map(|r| self.make_last(r)).transpose()?;
        let residual = residual.as_ref().map(values::<f32>).transpose()?;
        let epilogue = Epilogue {
            residual: residual.as_deref().unwrap_or_default(),
            combine: if residual.is_some() { Combine::Add } else { Combine::None },
            clamp: fused.clamp,
            activation: fused.activation,
        };
        let y = match &*model.packed_rows(id, fused.norm)? {
            PackedRows::Depthwise(layer) => {
                layer.run(batch, Maps::ChannelsLast(&values::<f32>(&self.make_last(from)?)?), None, &epilogue)
            }
            PackedRows::Dense(layer) => match (&last, fused.gate) {
                (Some(last), Some(gate)) => {
                    let factors = self.value_or_fused(gate.factors)?;
                    let x = times(&values::<f32>(last)?, g.input[0] * g.input[1], g.channels, &values::<f32>(factors)?);
                    layer.run(batch, Maps::ChannelsLast(&x), &epilogue)
                }
                (Some(last), None) => layer.run(batch, Maps::ChannelsLast(&values::<f32>(last)?), &epilogue),
                (None, _) => layer.run(batch, Maps::Planes(&values::<f32>(&x)?), &epilogue),
            },
        };
        Ok(Some((fused.output, maps_of(y, batch, &node.shape)?)))
    }

    /// A sum or product of maps, or a product of maps and one factor for each channel.
    fn binary_channels_last(&mut self, model: &Model, id: NodeId, f: Binary) -> Result<Option<(NodeId, Tensor)>> {
        let node = model.graph().node(id);
        let [a, b] = node.inputs[..] else { return Ok(None) };
        let (is_last, dims) =
            ([self.found_last(a)?, self.found_last(b)?], [a, b].map(|i| model.graph().node(i).shape.clone()));
        if is_last.iter().all(Option::is_none) || node.shape.len() != 3 {
            return Ok(None);
        }
        let batches = [self.value_or_fused(a)?.dims()[0], self.value_or_fused(b)?.dims()[0]];
        if dims[0] == dims[1] && batches[0] == batches[1] {
            let (x, y) = (self.make_last(a)?, self.make_last(b)?);
            let sum = binary::forward(f, (&values::<f32>(&x)?, x.dims()), (&values::<f32>(&y)?, y.dims()), x.dims());
            return Ok(Some((id, maps_of(sum, batches[0], &node.shape)?)));
        }
        let factors = if dims[0] == node.shape { b } else { a };
        let Some(x) = &is_last[usize::from(factors == a)] else { return Ok(None) };
        let with = self.value_or_fused(factors)?;
        let fits = with.dims()[1..] == [node.shape[0], 1, 1] && (with.dims()[0] == 1 || with.dims()[0] == x.dims()[0]);
        if f != Binary::Mul || !fits || x.dims()[0] != batches[0].max(batches[1]) {
            return Ok(None);
        }
        let product = times(&values::<f32>(x)?, node.shape[1] * node.shape[2], node.shape[0], &values::<f32>(with)?);
        Ok(Some((id, maps_of(product, x.dims()[0], &node.shape)?)))
    }
}

impl Model {
    /// The convolution at `id`, with the batch normalisation `norm` folded into it, packed for this layout.
    fn packed_rows(&self, id: NodeId, norm: Option<NodeId>) -> Result<Arc<PackedRows>> {
        let slot = self.pack_cache().rows(id, norm.is_some())?;
        if let Some(ready) = slot.kept() {
            return Ok(ready.clone());
        }
        let (graph, node) = (self.graph(), self.graph().node(id));
        let Op::Conv2d(c) = &node.op else {
            return Err(Error::internal(format!("`{}` is no convolution", node.name)));
        };
        let g = geometry(graph, id, c);
        let pack = |w: &[f32], bias: Option<&[f32]>| match DepthwiseRows::suits(&g) {
            true => PackedRows::Depthwise(DepthwiseRows::new(&g, w, bias)),
            false => PackedRows::Dense(DenseRows::new(&g, w, bias)),
        };
        let made = match norm {
            Some(norm) => {
                let folding = folding::<f32>(&node.op, &graph.node(norm).op, self.weights())?;
                let folding = folding.ok_or_else(|| Error::internal("a normalisation folded into no layer"))?;
                pack(&folding.scaled(self.weights())?, Some(&folding.bias))
            }
            None => {
                let bias = c.bias.map(|b| values::<f32>(self.weights().tensor(b))).transpose()?;
                pack(&values::<f32>(self.weights().tensor(c.weight))?, bias.as_deref())
            }
        };
        Ok(slot.keep(made))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::graph::op::{Activation, Binary, Conv, Pool, Reduction, Window};
    use crate::graph::{Builder, NodeId, Op};
    use crate::model::{Card, Model};
    use crate::pass::Tap;
    use crate::pass::schedule::fuse::FusionPlan;
    use crate::random::Stream;
    use crate::tensor::{tensor, to_f32};

    struct Net {
        b: Builder,
        count: usize,
    }

    impl Net {
        fn random(&mut self, dims: &[usize]) -> crate::graph::ParamId {
            self.count += 1;
            let mut rng = Stream::new(self.count as u64, "net");
            let scale = 1.5 / (dims[1..].iter().product::<usize>() as f64).sqrt();
            let values: Vec<f32> = (0..dims.iter().product()).map(|_| (scale * rng.next_normal()) as f32).collect();
            self.b.param(&format!("p{}", self.count), tensor(values, dims).unwrap()).unwrap()
        }

        fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
            self.count += 1;
            self.b.add(&format!("n{}", self.count), op, inputs).unwrap()
        }

        fn conv(&mut self, from: NodeId, dims: [usize; 2], window: Window, groups: usize) -> NodeId {
            let weight = self.random(&[dims[0], dims[1] / groups, window.kernel[0], window.kernel[1]]);
            let bias = Some(self.random(&[dims[0]]));
            self.add(Op::Conv2d(Conv { weight, bias, window, groups }), &[from])
        }

        /// An inverted residual block, with or without squeeze-and-excitation.
        fn inverted(&mut self, x: NodeId, channels: usize, kernel: usize, f: Activation, is_gated: bool) -> NodeId {
            let wide = 4 * channels;
            let expanded = self.conv(x, [wide, channels], Window::square(1, 1, 0), 1);
            let expanded = self.add(Op::Activation(f), &[expanded]);
            let deep = self.conv(expanded, [wide, wide], Window::square(kernel, 1, kernel / 2), wide);
            let mut deep = self.add(Op::Activation(f), &[deep]);
            if is_gated {
                let mean = Op::Reduce { reduction: Reduction::Mean, axes: vec![1, 2], keep: true };
                let mean = self.add(mean, &[deep]);
                let gate = self.conv(mean, [wide, wide], Window::square(1, 1, 0), 1);
                let gate = self.add(Op::Activation(Activation::Sigmoid), &[gate]);
                deep = self.add(Op::Binary(Binary::Mul), &[deep, gate]);
            }
            let narrow = self.conv(deep, [channels, wide], Window::square(1, 1, 0), 1);
            self.add(Op::Binary(Binary::Add), &[narrow, x])
        }

        /// A block of ConvNeXt.
        fn next_block(&mut self, x: NodeId, channels: usize) -> NodeId {
            let deep = self.conv(x, [channels, channels], Window::square(7, 1, 3), channels);
            let last = self.add(Op::Transpose(vec![1, 2, 0]), &[deep]);
            let scale = self.random(&[channels]);
            let norm = self.add(Op::LayerNorm { axis: 2, scale, shift: None, eps: 1e-6 }, &[last]);
            let weight = self.random(&[channels, channels]);
            let mixed = self.add(Op::Linear { weight, bias: None }, &[norm]);
            let planes = self.add(Op::Transpose(vec![2, 0, 1]), &[mixed]);
            let scale = self.random(&[channels, 1, 1]);
            let scale = self.add(Op::Constant(scale), &[]);
            let scaled = self.add(Op::Binary(Binary::Mul), &[scale, planes]);
            self.add(Op::Binary(Binary::Add), &[scaled, x])
        }

        fn finish(self, at: NodeId) -> Model {
            let (graph, weights) = self.b.finish(at).unwrap();
            Model::new(graph, weights, Card::named("net"))
        }
    }

    fn nets() -> Vec<Model> {
        let start = || {
            let mut net = Net { b: Builder::new(), count: 0 };
            let x = net.b.input("x", vec![3, 29, 31]).unwrap();
            (net, x)
        };
        let mut all = Vec::new();
        for is_gated in [false, true] {
            let (mut net, x) = start();
            let mut at = net.conv(x, [16, 3], Window::square(3, 2, 1), 1);
            at = net.conv(at, [16, 16], Window::square(3, 1, 1), 16);
            at = net.add(Op::Activation(Activation::HardSwish), &[at]);
            at = net.inverted(at, 16, 5, Activation::Silu, is_gated);
            at = net.inverted(at, 16, 3, Activation::Relu, !is_gated);
            at = net
                .add(Op::MaxPool(Pool { window: Window::square(2, 2, 0), ceil: false, count_padding: false }), &[at]);
            all.push(net.finish(at));
        }
        let (mut net, x) = start();
        let mut at = net.conv(x, [24, 3], Window::square(4, 4, 0), 1);
        at = net.next_block(at, 24);
        at = net.next_block(at, 24);
        at = net.conv(at, [32, 24], Window::square(2, 2, 0), 1);
        at = net.next_block(at, 32);
        all.push(net.finish(at));
        // A depthwise layer whose pointwise successor goes into a concatenation, and one that nothing follows.
        let (mut net, x) = start();
        let first = net.conv(x, [16, 3], Window::square(3, 1, 1), 1);
        let deep = net.conv(first, [16, 16], Window::square(3, 1, 1), 16);
        let narrow = net.conv(deep, [16, 16], Window::square(1, 1, 0), 1);
        at = net.add(Op::Concat { axis: 0 }, &[first, narrow]);
        at = net.conv(at, [32, 32], Window::square(3, 1, 1), 32);
        all.push(net.finish(at));
        all
    }

    #[test]
    fn segments_have_the_bits_of_single_layers() {
        for (n, net) in nets().iter().enumerate() {
            let graph = net.graph();
            let plan = FusionPlan::new(graph, &[graph.output()], true);
            let begins = graph.ids().filter(|id| plan.is_channels_last(*id)).count();
            assert_eq!(begins > 0, n < 3, "net {n}");
            for batch in [1, 3] {
                let mut rng = Stream::new(batch, "x");
                let x: Vec<f32> = (0..batch as usize * 3 * 29 * 31).map(|_| rng.next_normal() as f32).collect();
                let x = tensor(x, &[batch as usize, 3, 29, 31]).unwrap();
                let all = net.forward(&x, &Tap::All).unwrap();
                // Each node as a goal of its own, so that segments end anywhere.
                for id in graph.ids().filter(|id| graph.ancestors(*id)[graph.input().0]) {
                    let only = net.forward(&x, &Tap::Only(vec![id, graph.output()])).unwrap();
                    for at in [id, graph.output()] {
                        let (made, want) = (only.get(at).unwrap(), all.get(at).unwrap());
                        assert!(made.is_contiguous() && made.dims() == want.dims());
                        assert!(to_f32(made).unwrap() == to_f32(want).unwrap(), "net {n}, {id:?}, {at:?}");
                    }
                }
            }
        }
    }
}
