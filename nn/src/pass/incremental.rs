//! Forward passes over inputs that differ from a base input in a window only: each node recomputes what the window can
//! reach, all else is taken from the base pass. The values are those of a full pass.
//!
//! Nakandala, Kumar, Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN
//! Explanations", SIGMOD 2019 (its exact part).

use super::fuse::Fused;
use super::packs::Way;
use super::window::{Base, Region, Windows};
use super::{Tap, Trace, apply};
use crate::error::{Context, Error, Result};
use crate::graph::op::{Binary, Reduction};
use crate::graph::{Graph, NodeId, Op};
use crate::kernels::conv::Combine;
use crate::kernels::conv::Epilogue;
use crate::kernels::conv::WinogradTile;
use crate::kernels::pool;
use crate::model::Model;
use crate::tensor::{tensor, values};
use candle_core::{DType, Tensor};

/// The share of a map from which on all of it is recomputed.
const MOST: f64 = 0.9;

/// A base pass, ready to be asked what changes with windows of its input.
pub struct Incremental {
    base: Trace,
    goals: Vec<NodeId>,
}

/// A node's values for several changed inputs.
#[derive(Clone, Debug)]
enum State {
    /// As in the base pass.
    Same,
    /// As in the base pass but for a window.
    Windows(Windows),
    /// Computed in full, a batch of as many as there are inputs.
    Full(Tensor),
}

/// What became of the goals.
pub struct Changed<'a> {
    of: &'a Incremental,
    count: usize,
    states: Vec<State>,
}

impl Incremental {
    /// The base pass over `x`, 1 x C x H x W, for questions about the nodes in `goals`.
    ///
    /// # Errors
    /// Where the net does not compute in f32, its input is no map, or `x` is not one input of it.
    pub fn new(model: &Model, x: &Tensor, goals: &[NodeId]) -> Result<Self> {
        let shape = model.input_shape();
        if model.dtype() != DType::F32 || shape.len() != 3 {
            return Err(Error::unsupported("incremental passes are for nets of images in f32"));
        }
        let base = model.forward_in(x, &Tap::Signs(goals.to_vec()), WinogradTile::F2)?;
        if base.batch() != 1 {
            return Err(Error::shape(format!("one base input is asked for, got {}", base.batch())));
        }
        Ok(Incremental { base, goals: goals.to_vec() })
    }

    /// The base pass: the goals' values without any change.
    pub fn base(&self) -> &Trace {
        &self.base
    }

    /// Rows and columns of all maps that a change of a window of `size` at `start` can reach, added up: windows for which they
    /// are alike are best asked about together, since all of a pass's are as large as the largest.
    pub fn reach(&self, start: [usize; 2], size: [usize; 2]) -> [usize; 2] {
        let (graph, plan) = (self.base.model().graph(), &self.base.plan);
        let mut states = vec![Reach::Nowhere; graph.nodes().len()];
        states[graph.input().0] = Reach::Within(Region { starts: vec![start], size });
        let mut sum = [0, 0];
        for id in graph.ids().filter(|id| *id != graph.input() && !plan.is_inside(*id)) {
            let fused = plan.head(id).copied().unwrap_or(Fused::alone(id));
            let at = |read: NodeId| match &states[plan.stands_for(read).0] {
                Reach::Nowhere => Reach::Nowhere,
                Reach::Within(region) => Reach::Within(region),
                Reach::Everywhere => Reach::Everywhere,
            };
            let mut reads = graph.node(id).inputs.iter().copied().chain(fused.other);
            if reads.all(|read| matches!(at(read), Reach::Nowhere)) {
                continue;
            }
            let next = match reached(graph, id, fused.other, at) {
                Some(region) => Reach::Within(region),
                None => Reach::Everywhere,
            };
            let covered = match (&next, &graph.node(id).shape[..]) {
                (Reach::Within(region), _) => region.size,
                (_, [_, height, width]) => [*height, *width],
                _ => [0, 0],
            };
            sum = [sum[0] + covered[0], sum[1] + covered[1]];
            states[fused.last.0] = next;
        }
        sum
    }

    /// Passes with the window at each of `starts` (row and column of its top left corner) holding `tiles`, N x C x h x w.
    ///
    /// # Errors
    /// Where a window does not lie inside the input, or a kernel fails.
    pub fn run(&self, starts: &[[usize; 2]], tiles: Tensor) -> Result<Changed<'_>> {
        let graph = self.base.model().graph();
        let [n, c, h, w] = tiles.dims()[..] else {
            return Err(Error::shape(format!("windows of {:?}, not N x C x h x w", tiles.dims())));
        };
        let shape = &graph.node(graph.input()).shape;
        let fits = |s: &[usize; 2]| s[0] + h <= shape[1] && s[1] + w <= shape[2];
        if n != starts.len() || c != shape[0] || !starts.iter().all(fits) {
            return Err(Error::shape(format!(
                "{n} windows of {c} x {h} x {w} at {} places in {shape:?}",
                starts.len()
            )));
        }
        let mut changed = Changed { of: self, count: n, states: vec![State::Same; graph.nodes().len()] };
        let region = Region { starts: starts.to_vec(), size: [h, w] };
        changed.states[graph.input().0] = State::Windows(Windows { region, data: tiles });
        let mut needed = vec![false; graph.nodes().len()];
        for goal in &self.goals {
            graph.ancestors(*goal).iter().enumerate().filter(|(_, n)| **n).for_each(|(i, _)| needed[i] = true);
        }
        rayon::scope(|_| changed.spread(&needed))?;
        Ok(changed)
    }
}

impl Changed<'_> {
    /// The values of some of the goals, each N x its node's shape, as a pass that kept only them would have left them.
    ///
    /// # Errors
    /// Where values cannot be joined with the base's.
    pub fn trace(&self, goals: &[NodeId]) -> Result<Trace> {
        let values = goals.iter().map(|id| Ok((*id, self.full(*id)?))).collect::<Result<Vec<_>>>()?;
        Ok(Trace::of(self.of.base.model(), values))
    }

    /// One channel of a goal's maps, N x 1 x H x W.
    ///
    /// # Errors
    /// As [`Changed::trace`].
    pub fn channel(&self, id: NodeId, channel: usize) -> Result<Tensor> {
        let one = |t: &Tensor| t.narrow(1, channel, 1)?.contiguous();
        let base = one(self.of.base.seen(id)?)?;
        let [_, _, height, width] = base.dims()[..] else {
            return Err(Error::shape(format!("channel {channel} of {:?}", &base.dims()[1..])));
        };
        match self.state(id) {
            State::Same => Ok(base.broadcast_as((self.count, 1, height, width))?.contiguous()?),
            State::Full(value) => Ok(one(value)?),
            State::Windows(Windows { region, data }) => Windows { region: region.clone(), data: one(data)? }
                .within(&Base { value: &base, size: [height, width] }),
        }
    }

    fn spread(&mut self, needed: &[bool]) -> Result<()> {
        let graph = self.of.base.model().graph();
        let mut uses: Vec<usize> =
            graph.ids().map(|id| graph.consumers(id).iter().filter(|c| needed[c.0]).count()).collect();
        for id in graph.ids().filter(|id| needed[id.0] && *id != graph.input()) {
            let node = graph.node(id);
            if !self.of.base.plan.is_inside(id) {
                let (at, state) =
                    self.made(id).context(|| format!("node `{}` ({}), incrementally", node.name, node.op.kind()))?;
                self.states[at.0] = state;
            }
            for input in &node.inputs {
                uses[input.0] -= 1;
                if uses[input.0] == 0 && !self.of.goals.contains(input) {
                    self.states[input.0] = State::Same;
                }
            }
        }
        Ok(())
    }

    fn state(&self, id: NodeId) -> &State {
        &self.states[self.of.base.plan.stands_for(id).0]
    }

    fn base(&self, id: NodeId) -> Result<Base<'_>> {
        let value = self.of.base.seen(id)?;
        Ok(Base { value, size: [value.dims()[2], value.dims()[3]] })
    }

    /// A node's values for every input.
    fn full(&self, id: NodeId) -> Result<Tensor> {
        let base = self.of.base.seen(id)?;
        match self.state(id) {
            State::Same => {
                let dims = [&[self.count], &base.dims()[1..]].concat();
                Ok(base.broadcast_as(dims)?.contiguous()?)
            }
            State::Full(value) => Ok(value.clone()),
            State::Windows(w) => w.within(&self.base(id)?),
        }
    }

    /// The values of a map in `region`, N x C x h x w; `fill` beyond its border.
    fn inside(&self, id: NodeId, region: &Region<isize>, fill: f32) -> Result<Tensor> {
        match self.state(id) {
            State::Full(value) => Base { value, size: [value.dims()[2], value.dims()[3]] }.cut(region, fill, None),
            State::Same => self.base(id)?.cut(region, fill, None),
            State::Windows(w) if w.is(region) => Ok(w.data.clone()),
            State::Windows(w) => self.base(id)?.cut(region, fill, Some(w)),
        }
    }

    /// What becomes of the node at `id`, and the node whose value that is.
    fn made(&self, id: NodeId) -> Result<(NodeId, State)> {
        let base = &self.of.base;
        let node = base.model().graph().node(id);
        let fused = base.plan.head(id).copied();
        let fused = fused.unwrap_or(Fused::alone(id));
        let reads: Vec<NodeId> = node.inputs.iter().copied().chain(fused.other).collect();
        if reads.iter().all(|i| matches!(self.state(*i), State::Same)) {
            return Ok((fused.last, State::Same));
        }
        let reach = |read| match self.state(read) {
            State::Same => Reach::Nowhere,
            State::Windows(w) => Reach::Within(&w.region),
            State::Full(_) => Reach::Everywhere,
        };
        let state = match reached(base.model().graph(), id, fused.other, reach) {
            Some(region) => self.windowed(id, &fused, region)?,
            None => self.whole(id, &fused)?,
        };
        Ok((fused.last, state))
    }

    fn windowed(&self, id: NodeId, fused: &Fused, region: Region<usize>) -> Result<State> {
        let model = self.of.base.model();
        let (graph, node) = (model.graph(), model.graph().node(id));
        let [h, w] = region.size;
        let shape = vec![node.shape[0], h, w];
        let dims = apply::with_batch(self.count, &shape);
        let place = region.signed();
        let data = match &node.op {
            Op::Conv2d(c) => {
                let before = region.before(&c.window);
                let x = self.inside(node.inputs[0], &before, 0.0)?;
                let other = fused.other.map(|o| self.inside(o, &place, 0.0)).transpose()?;
                let held = other.as_ref().map(values::<f32>).transpose()?;
                let epilogue = Epilogue {
                    residual: held.as_deref().unwrap_or_default(),
                    combine: if held.is_some() { Combine::Add } else { Combine::None },
                    clamp: fused.clamp,
                };
                let tiled = model.packed(id, fused.norm, Way::Forward, WinogradTile::F2)?;
                let packed = match tiled.suits_windows(region.size) {
                    true => tiled,
                    false => model.packed(id, fused.norm, Way::Forward, WinogradTile::None)?,
                };
                let y = packed.run_window(self.count, before.size, region.size, &values::<f32>(&x)?, &epilogue);
                tensor(y.ok_or_else(|| Error::internal("a convolution without windows"))?, &dims)?
            }
            Op::MaxPool(p) | Op::AvgPool(p) => {
                let before = region.before(&p.window);
                let is_max = matches!(node.op, Op::MaxPool(_));
                let x = self.inside(node.inputs[0], &before, if is_max { f32::NEG_INFINITY } else { 0.0 })?;
                let input = &graph.node(node.inputs[0]).shape;
                let g =
                    pool::Geometry { input: [input[1], input[2]], output: [node.shape[1], node.shape[2]], pool: *p };
                let x = values::<f32>(&x)?;
                let y = if is_max {
                    pool::max(&g.part(before.size, region.size), &x)
                } else {
                    pool::average_windows(&g, &region.starts, region.size, before.size, &x)
                };
                tensor(y, &dims)?
            }
            op => {
                let inputs = node
                    .inputs
                    .iter()
                    .map(|i| {
                        let shape = &graph.node(*i).shape;
                        if shape.len() == 3 && shape[1..] == node.shape[1..] {
                            self.inside(*i, &place, 0.0)
                        } else {
                            Ok(self.of.base.seen(*i)?.clone())
                        }
                    })
                    .collect::<Result<Vec<_>>>()?;
                apply::apply(op, &inputs.iter().collect::<Vec<_>>(), model.weights(), &shape)?
            }
        };
        Ok(State::Windows(Windows { region, data }))
    }

    fn whole(&self, id: NodeId, fused: &Fused) -> Result<State> {
        let model = self.of.base.model();
        let node = model.graph().node(id);
        if let Op::Reduce { reduction, axes, .. } = &node.op
            && let State::Windows(w) = self.state(node.inputs[0])
            && axes[..] == [1, 2]
            && *reduction != Reduction::Max
        {
            let sums = w.sums(&self.base(node.inputs[0])?, *reduction == Reduction::Mean)?;
            return Ok(State::Full(tensor(sums, &apply::with_batch(self.count, &node.shape))?));
        }
        let inputs = node
            .inputs
            .iter()
            .map(|i| match self.state(*i) {
                // What does not change is read as it is, where operands broadcast over the batch.
                State::Same if matches!(node.op, Op::Binary(_) | Op::MatMul) => Ok(self.of.base.seen(*i)?.clone()),
                _ => self.full(*i),
            })
            .collect::<Result<Vec<_>>>()?;
        if let Op::Conv2d(_) | Op::ConvTranspose2d(..) = node.op {
            let other = fused.other.map(|o| self.full(o)).transpose()?;
            return Ok(State::Full(model.convolved(id, &inputs[0], fused, other.as_ref(), WinogradTile::F2)?));
        }
        Ok(State::Full(apply::apply(&node.op, &inputs.iter().collect::<Vec<_>>(), model.weights(), &node.shape)?))
    }
}

/// How far a change has come at a node.
#[derive(Clone)]
enum Reach<R> {
    Nowhere,
    Within(R),
    Everywhere,
}

/// The window of a node's value (with `other` added) that a change can reach, with how far it has come at what the node reads;
/// nothing where all of it must be recomputed.
fn reached<'a>(
    graph: &Graph,
    id: NodeId,
    other: Option<NodeId>,
    reach: impl Fn(NodeId) -> Reach<&'a Region<usize>>,
) -> Option<Region<usize>> {
    let node = graph.node(id);
    let [_, height, width] = node.shape[..] else { return None };
    let size = [height, width];
    let mut all: Option<Region<usize>> = None;
    let reads = node.inputs.iter().map(|i| (*i, false)).chain(other.map(|o| (o, true)));
    for (read, added) in reads {
        let region = match reach(read) {
            Reach::Nowhere => continue,
            Reach::Everywhere => return None,
            Reach::Within(region) => region,
        };
        let next = match &node.op {
            _ if added => region.clone(),
            Op::Conv2d(c) => region.under(&c.window, size),
            Op::MaxPool(p) | Op::AvgPool(p) => region.under(&p.window, size),
            op if is_local(op) && graph.node(read).shape[1..] == size => region.clone(),
            _ => return None,
        };
        all = Some(all.map_or(next.clone(), |r| r.union(&next, size)));
    }
    all.filter(|r| ((r.size[0] * r.size[1]) as f64) < MOST * (height * width) as f64)
}

/// Whether a value at (y, x) depends on its inputs at (y, x) only.
fn is_local(op: &Op) -> bool {
    match op {
        Op::Activation(_)
        | Op::BatchNorm { .. }
        | Op::LocalResponseNorm { .. }
        | Op::Identity
        | Op::Concat { axis: 0 }
        | Op::Select { axis: 0, .. }
        | Op::Softmax { axis: 0, .. } => true,
        Op::Binary(f) => matches!(
            f,
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min | Binary::Prelu
        ),
        _ => false,
    }
}
