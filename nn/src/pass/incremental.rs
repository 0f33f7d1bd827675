//! Incremental forward passes, for inputs that differ from a base input only in a window: each node recomputes what the window
//! reaches and takes the rest from the base pass. The values are those of a full pass.
//!
//! Nakandala, Kumar, Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN
//! Explanations", SIGMOD 2019 (its exact part).

use super::crop::{Base, Crops, Region};
use super::reach::{Reach, reach_of, sums_positions};
use super::schedule::fuse::FusedLayer;
use super::{Tap, Trace, apply};
use crate::error::{Context, Error, Result};
use crate::graph::op::Reduction;
use crate::graph::{NodeId, Op};
use crate::kernels::conv::{Combine, Epilogue, WinogradTile};
use crate::kernels::{average_pool, pool};
use crate::model::Model;
use crate::model::pack_cache::Direction;
use crate::tensor::{tensor, values};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// A base pass, from which passes for inputs that differ in a window are computed.
pub struct Incremental {
    base: Trace,
    goals: Vec<NodeId>,
}

/// A node's values for a batch of changed inputs.
#[derive(Clone, Debug)]
enum NodeState {
    /// Those of the base pass.
    Same,
    /// Those of the base pass except in a window.
    Crops(Crops),
    /// Computed in full, N x the node's shape.
    Full(Tensor),
}

/// The values of the goals for a batch of changed inputs.
pub struct Changed<'a> {
    incremental: &'a Incremental,
    count: usize,
    states: Vec<NodeState>,
    /// The windows of each map that holds windows, also those that are not of this part.
    all: Vec<Option<Region<usize>>>,
    /// Which of the windows are computed.
    part: Range<usize>,
}

impl Incremental {
    /// Runs the base pass on `x`, 1 x C x H x W; `goals` are the nodes whose values will be needed.
    ///
    /// # Errors
    /// Where the net does not compute in f32, its input is no map, or `x` is not one input of it.
    pub fn new(model: &Model, x: &Tensor, goals: &[NodeId]) -> Result<Self> {
        let shape = model.input_shape();
        if model.dtype() != DType::F32 || shape.len() != 3 {
            return Err(Error::unsupported("incremental passes are for nets of images in f32"));
        }
        let base = model.forward_with_tile(x, &Tap::Signs(goals.to_vec()), WinogradTile::F2)?;
        if base.batch() != 1 {
            return Err(Error::shape(format!("expected one base input, got {}", base.batch())));
        }
        Ok(Incremental { base, goals: goals.to_vec() })
    }

    /// The base pass: the goals' values for the base input.
    pub fn base(&self) -> &Trace {
        &self.base
    }

    /// How many rows and columns a change of a window of `size` at `start` reaches, summed over all maps. Windows for which
    /// these are similar are best run together, since in a pass all windows of a map are as large as the largest.
    pub fn reach(&self, start: [usize; 2], size: [usize; 2]) -> [usize; 2] {
        let (graph, fusion) = (self.base.model().graph(), &self.base.fusion);
        let reaches = self.reaches(Region { starts: vec![start], size });
        let kernels = graph.ids().filter(|id| *id != graph.input() && !fusion.is_absorbed(*id));
        let covered = kernels.map(|id| match (&reaches[fusion.value_node(id).0], &graph.node(id).shape[..]) {
            (Reach::Nowhere, _) => [0, 0],
            (Reach::Within(region), _) => region.size,
            (Reach::Everywhere, [_, height, width]) => [*height, *width],
            (Reach::Everywhere, _) => [0, 0],
        });
        covered.fold([0, 0], |sum, size| [sum[0] + size[0], sum[1] + size[1]])
    }

    /// What a change of the input in `region` reaches: for each node that has a value.
    fn reaches(&self, region: Region<usize>) -> Vec<Reach<Region<usize>>> {
        let (graph, fusion) = (self.base.model().graph(), &self.base.fusion);
        let mut reaches = vec![Reach::Nowhere; graph.nodes().len()];
        reaches[graph.input().0] = Reach::Within(region);
        for id in graph.ids().filter(|id| *id != graph.input() && !fusion.is_absorbed(*id)) {
            let fused = fusion.fused_at(id).copied().unwrap_or(FusedLayer::alone(id));
            let at = |read: NodeId| match &reaches[fusion.value_node(read).0] {
                Reach::Nowhere => Reach::Nowhere,
                Reach::Within(region) => Reach::Within(region),
                Reach::Everywhere => Reach::Everywhere,
            };
            let mut reads = graph.node(id).inputs.iter().copied().chain(fused.residual);
            if reads.all(|read| matches!(at(read), Reach::Nowhere)) {
                continue;
            }
            reaches[fused.output.0] = match reach_of(graph, id, fused.residual, at) {
                Some(region) => Reach::Within(region),
                None => Reach::Everywhere,
            };
        }
        reaches
    }

    /// Which of the `needed` nodes are computed whole from others: all that a change in `region` reaches everywhere, except sums over
    /// positions, which follow from the sums of the base pass.
    fn whole_part(&self, region: &Region<usize>, needed: &[bool]) -> Vec<bool> {
        let (graph, fusion) = (self.base.model().graph(), &self.base.fusion);
        let reaches = self.reaches(region.clone());
        let reach = |id: NodeId| &reaches[fusion.value_node(id).0];
        let is_whole = |id: NodeId| {
            let node = graph.node(id);
            let is_sum = sums_positions(&node.op) && matches!(reach(node.inputs[0]), Reach::Within(_));
            needed[id.0] && matches!(reach(id), Reach::Everywhere) && !is_sum
        };
        graph.ids().map(is_whole).collect()
    }

    /// Passes for inputs in which the window at each of `starts` (row and column of its top left pixel) holds one of `tiles`,
    /// N x C x h x w.
    ///
    /// # Errors
    /// Where a window does not lie inside the input, or a kernel fails.
    pub fn run(&self, starts: &[[usize; 2]], tiles: Tensor) -> Result<Changed<'_>> {
        self.run_part(starts, 0..starts.len(), tiles)
    }

    /// As [`Incremental::run`], for only the windows `part`, which hold `tiles`. The values have the bits of a run of all windows:
    /// kernels are chosen by the size of the largest of all windows.
    ///
    /// # Errors
    /// As [`Incremental::run`].
    pub fn run_part(&self, starts: &[[usize; 2]], part: Range<usize>, tiles: Tensor) -> Result<Changed<'_>> {
        let graph = self.base.model().graph();
        let [n, c, h, w] = tiles.dims()[..] else {
            return Err(Error::shape(format!("windows of {:?}, not N x C x h x w", tiles.dims())));
        };
        let shape = &graph.node(graph.input()).shape;
        let fits = |s: &[usize; 2]| s[0] + h <= shape[1] && s[1] + w <= shape[2];
        if n != part.len() || part.end > starts.len() || c != shape[0] || !starts.iter().all(fits) {
            return Err(Error::shape(format!(
                "{n} windows of {c} x {h} x {w} at {} places in {shape:?}",
                starts.len()
            )));
        }
        let (states, all) = (vec![NodeState::Same; graph.nodes().len()], vec![None; graph.nodes().len()]);
        let mut changed = Changed { incremental: self, count: n, states, all, part };
        let region = Region { starts: starts.to_vec(), size: [h, w] };
        let own = region.part(&changed.part);
        changed.states[graph.input().0] = NodeState::Crops(Crops { region: own, data: tiles });
        changed.all[graph.input().0] = Some(region.clone());
        let mut needed = vec![false; graph.nodes().len()];
        for goal in &self.goals {
            graph.ancestors(*goal).iter().enumerate().filter(|(_, n)| **n).for_each(|(i, _)| needed[i] = true);
        }
        let whole = self.whole_part(&region, &needed);
        rayon::scope(|_| {
            changed.propagate(&needed, &whole)?;
            changed.compute_whole(whole)
        })?;
        Ok(changed)
    }
}

impl Changed<'_> {
    /// The values of some of the goals, each N x its node's shape, as a trace that keeps only these.
    ///
    /// # Errors
    /// Where values cannot be pasted into the base's.
    pub fn trace(&self, goals: &[NodeId]) -> Result<Trace> {
        let values = goals.iter().map(|id| Ok((*id, self.full(*id)?))).collect::<Result<Vec<_>>>()?;
        Ok(Trace::from_values(self.incremental.base.model(), values))
    }

    /// One channel of a goal's maps, N x 1 x H x W.
    ///
    /// # Errors
    /// As [`Changed::trace`].
    pub fn channel(&self, id: NodeId, channel: usize) -> Result<Tensor> {
        let one = |t: &Tensor| t.narrow(1, channel, 1)?.contiguous();
        let base = one(self.incremental.base.value_or_fused(id)?)?;
        let [_, _, height, width] = base.dims()[..] else {
            return Err(Error::shape(format!("channel {channel} of {:?}", &base.dims()[1..])));
        };
        match self.state(id) {
            NodeState::Same => Ok(base.broadcast_as((self.count, 1, height, width))?.contiguous()?),
            NodeState::Full(value) => Ok(one(value)?),
            NodeState::Crops(Crops { region, data }) => Crops { region: region.clone(), data: one(data)? }
                .pasted_into(&Base { value: &base, size: [height, width] }),
        }
    }

    /// Computes the needed nodes that are not of the `whole` part in order, and drops what no later node reads.
    fn propagate(&mut self, needed: &[bool], whole: &[bool]) -> Result<()> {
        let graph = self.incremental.base.model().graph();
        let mut uses: Vec<usize> =
            graph.ids().map(|id| graph.consumers(id).iter().filter(|c| needed[c.0]).count()).collect();
        for id in graph.ids().filter(|id| needed[id.0] && !whole[id.0] && *id != graph.input()) {
            let node = graph.node(id);
            if !self.incremental.base.fusion.is_absorbed(id) {
                let (at, state) = self
                    .compute_node(id)
                    .context(|| format!("node `{}` ({}), incrementally", node.name, node.op.kind()))?;
                self.states[at.0] = state;
            }
            for input in &node.inputs {
                uses[input.0] -= 1;
                if uses[input.0] == 0 && !self.incremental.goals.contains(input) {
                    self.states[input.0] = NodeState::Same;
                }
            }
        }
        Ok(())
    }

    /// Computes the `whole` part as any pass does, from the values of the nodes before it.
    fn compute_whole(&mut self, whole: Vec<bool>) -> Result<()> {
        let (model, graph) = (self.incremental.base.model(), self.incremental.base.model().graph());
        let goals: Vec<NodeId> = self.incremental.goals.iter().copied().filter(|goal| whole[goal.0]).collect();
        let varies = graph.descendants(graph.input());
        let mut given = BTreeMap::new();
        for input in graph.ids().filter(|id| whole[id.0]).flat_map(|id| &graph.node(id).inputs) {
            let at = self.incremental.base.fusion.value_node(*input);
            if !whole[input.0] && !given.contains_key(&at) {
                // What does not depend on the input is one value for the batch.
                let same = || self.incremental.base.value_or_fused(at).cloned();
                given.insert(at, if varies[at.0] { self.full(at)? } else { same()? });
            }
        }
        if goals.is_empty() {
            return Ok(());
        }
        let trace = model.forward_part(self.count, &given, &goals, whole)?;
        for goal in goals {
            self.states[goal.0] = NodeState::Full(trace.get(goal)?.clone());
        }
        Ok(())
    }

    fn state(&self, id: NodeId) -> &NodeState {
        &self.states[self.incremental.base.fusion.value_node(id).0]
    }

    fn base(&self, id: NodeId) -> Result<Base<'_>> {
        let value = self.incremental.base.value_or_fused(id)?;
        Ok(Base { value, size: [value.dims()[2], value.dims()[3]] })
    }

    /// A node's whole values for every input, N x its shape.
    fn full(&self, id: NodeId) -> Result<Tensor> {
        let base = self.incremental.base.value_or_fused(id)?;
        match self.state(id) {
            NodeState::Same => {
                let dims = [&[self.count], &base.dims()[1..]].concat();
                Ok(base.broadcast_as(dims)?.contiguous()?)
            }
            NodeState::Full(value) => Ok(value.clone()),
            NodeState::Crops(crops) => crops.pasted_into(&self.base(id)?),
        }
    }

    /// The values of a map in `region`, N x C x h x w; `fill` outside the map.
    fn crop(&self, id: NodeId, region: &Region<isize>, fill: f32) -> Result<Tensor> {
        match self.state(id) {
            NodeState::Full(value) => Base { value, size: [value.dims()[2], value.dims()[3]] }.crop(region, fill, None),
            NodeState::Same => self.base(id)?.crop(region, fill, None),
            NodeState::Crops(crops) if crops.is_region(region) => Ok(crops.data.clone()),
            NodeState::Crops(crops) => self.base(id)?.crop(region, fill, Some(crops)),
        }
    }

    /// Computes the kernel that begins at `id`; returns the node whose value that is, and its state.
    fn compute_node(&mut self, id: NodeId) -> Result<(NodeId, NodeState)> {
        let base = &self.incremental.base;
        let node = base.model().graph().node(id);
        let fused = base.fusion.fused_at(id).copied().unwrap_or(FusedLayer::alone(id));
        let reads: Vec<NodeId> = node.inputs.iter().copied().chain(fused.residual).collect();
        if reads.iter().all(|i| matches!(self.state(*i), NodeState::Same)) {
            return Ok((fused.output, NodeState::Same));
        }
        let reach = |read| match self.state(read) {
            NodeState::Same => Reach::Nowhere,
            NodeState::Crops(crops) => {
                Reach::Within(self.all[base.fusion.value_node(read).0].as_ref().unwrap_or(&crops.region))
            }
            NodeState::Full(_) => Reach::Everywhere,
        };
        let region = reach_of(base.model().graph(), id, fused.residual, reach);
        let state = match &region {
            Some(region) => self.compute_window(id, &fused, region.part(&self.part))?,
            None => self.position_sums(id)?,
        };
        self.all[fused.output.0] = region;
        Ok((fused.output, state))
    }

    /// Recomputes the windows of `region`.
    fn compute_window(&self, id: NodeId, fused: &FusedLayer, region: Region<usize>) -> Result<NodeState> {
        let model = self.incremental.base.model();
        let (graph, node) = (model.graph(), model.graph().node(id));
        let [h, w] = region.size;
        let shape = vec![node.shape[0], h, w];
        let dims = apply::with_batch(self.count, &shape);
        let place = region.signed();
        let data = match &node.op {
            Op::Conv2d(c) => {
                let inputs = region.inputs_of(&c.window);
                let x = self.crop(node.inputs[0], &inputs, 0.0)?;
                let residual = fused.residual.map(|r| self.crop(r, &place, 0.0)).transpose()?;
                let residual = residual.as_ref().map(values::<f32>).transpose()?;
                let epilogue = Epilogue {
                    residual: residual.as_deref().unwrap_or_default(),
                    combine: if residual.is_some() { Combine::Add } else { Combine::None },
                    clamp: fused.clamp,
                    activation: None,
                };
                let winograd = model.prepacked(id, fused.norm, Direction::Forward, WinogradTile::F2)?;
                let conv = match winograd.suits_windows(region.size) {
                    true => winograd,
                    false => model.prepacked(id, fused.norm, Direction::Forward, WinogradTile::None)?,
                };
                let y = conv.run_window(self.count, inputs.size, region.size, &values::<f32>(&x)?, &epilogue);
                tensor(y.ok_or_else(|| Error::internal("a convolution without windows"))?, &dims)?
            }
            Op::MaxPool(p) | Op::AvgPool(p) => {
                let inputs = region.inputs_of(&p.window);
                let is_max = matches!(node.op, Op::MaxPool(_));
                let x = self.crop(node.inputs[0], &inputs, if is_max { f32::NEG_INFINITY } else { 0.0 })?;
                let input = &graph.node(node.inputs[0]).shape;
                let [input, output] = [input, &node.shape].map(|shape| [shape[1], shape[2]]);
                let g = pool::PoolGeometry { input, output, pool: *p };
                let x = values::<f32>(&x)?;
                let y = if is_max {
                    pool::max(&g.part(inputs.size, region.size), &x)
                } else {
                    average_pool::average_windows(&g, &region.starts, region.size, inputs.size, &x)
                };
                tensor(y, &dims)?
            }
            op @ (Op::Input
            | Op::Constant(_)
            | Op::ConvTranspose2d(..)
            | Op::Linear { .. }
            | Op::MatMul
            | Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::GroupNorm { .. }
            | Op::LocalResponseNorm { .. }
            | Op::Activation(_)
            | Op::Binary(_)
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
            | Op::Identity) => {
                let inputs = node
                    .inputs
                    .iter()
                    .map(|i| {
                        let shape = &graph.node(*i).shape;
                        if shape.len() == 3 && shape[1..] == node.shape[1..] {
                            self.crop(*i, &place, 0.0)
                        } else {
                            Ok(self.incremental.base.value_or_fused(*i)?.clone())
                        }
                    })
                    .collect::<Result<Vec<_>>>()?;
                apply::apply(op, &inputs.iter().collect::<Vec<_>>(), model.weights(), &shape)?
            }
        };
        Ok(NodeState::Crops(Crops { region, data: fused.activated(data)? }))
    }

    /// The sums (or means) of maps of which only windows changed.
    fn position_sums(&self, id: NodeId) -> Result<NodeState> {
        let node = self.incremental.base.model().graph().node(id);
        match (&node.op, self.state(node.inputs[0])) {
            (Op::Reduce { reduction, .. }, NodeState::Crops(crops)) if sums_positions(&node.op) => {
                let sums = crops.sums(&self.base(node.inputs[0])?, *reduction == Reduction::Mean)?;
                Ok(NodeState::Full(tensor(sums, &apply::with_batch(self.count, &node.shape))?))
            }
            _ => Err(Error::internal("a whole value among windows")),
        }
    }
}
