//! The cache of prepacked weights: a layer's panels are packed when it runs, and kept with the net from the second run on,
//! so that a net that is run once is not held in two layouts.

use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::kernels::conv::{PrepackedConv, WinogradTile};
use crate::kernels::linear::PackedLinear;
use crate::model::Model;
use crate::pass::apply::{conv_geometry, transpose_geometry};
use crate::pass::fold::folded;
use crate::tensor::values;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Forms of a convolution: three Winograd tiles, with or without a folded normalisation, both directions.
const FORMS: usize = 3 * 2 * 2;

/// The prepacked convolutions and linear layers of one net.
#[derive(Debug, Default)]
pub struct PackCache {
    convs: Vec<Slot<PrepackedConv>>,
    /// Two for a node: forward and backward.
    linears: Vec<Slot<PackedLinear>>,
    /// For a net that differs from another in one node: the other's cache, and that node.
    shared: Option<(Arc<PackCache>, NodeId)>,
}

/// One form of one layer.
#[derive(Debug)]
struct Slot<T> {
    is_enabled: bool,
    was_used: AtomicBool,
    prepacked: OnceLock<Arc<T>>,
}

impl<T> Slot<T> {
    fn new(is_enabled: bool) -> Self {
        Slot { is_enabled, was_used: AtomicBool::new(false), prepacked: OnceLock::new() }
    }

    /// Keeps `made` from the second use on.
    fn keep(&self, made: T) -> Arc<T> {
        let made = Arc::new(made);
        if self.was_used.swap(true, Ordering::Relaxed) && self.is_enabled {
            self.prepacked.get_or_init(|| made).clone()
        } else {
            made
        }
    }
}

/// The direction in which a convolution runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From input to output.
    Forward,
    /// From the gradient of the output to that of the input.
    Backward,
}

impl PackCache {
    /// An empty cache for a graph of `nodes` nodes.
    pub fn new(nodes: usize) -> Self {
        Self::with_slots(nodes, true)
    }

    /// A cache that keeps nothing, for short memory: weights are packed for every run.
    pub fn disabled(nodes: usize) -> Self {
        Self::with_slots(nodes, false)
    }

    fn with_slots(nodes: usize, is_enabled: bool) -> Self {
        PackCache {
            convs: (0..FORMS * nodes).map(|_| Slot::new(is_enabled)).collect(),
            linears: (0..2 * nodes).map(|_| Slot::new(is_enabled)).collect(),
            shared: None,
        }
    }

    /// Whether anything is kept.
    pub fn is_enabled(&self) -> bool {
        match &self.shared {
            Some((other, _)) => other.is_enabled(),
            None => self.convs.iter().all(|slot| slot.is_enabled),
        }
    }

    /// The cache of a net that differs only in `node` from the one whose cache is `other`.
    pub fn sharing(other: &Arc<PackCache>, node: NodeId) -> Self {
        PackCache { shared: Some((other.clone(), node)), ..Self::new(1) }
    }

    /// The cache that holds the layer at `id`, and the layer's number in it.
    fn home(&self, id: NodeId) -> (&PackCache, usize) {
        match &self.shared {
            Some((other, node)) if id != *node => other.home(id),
            Some(_) => (self, 0),
            None => (self, id.0),
        }
    }

    fn conv(
        &self,
        id: NodeId,
        is_folded: bool,
        direction: Direction,
        tile: WinogradTile,
    ) -> Result<&Slot<PrepackedConv>> {
        let (home, own) = self.home(id);
        let is_backward = direction == Direction::Backward;
        let form = 4 * tile as usize + 2 * usize::from(is_folded) + usize::from(is_backward);
        home.convs.get(FORMS * own + form).ok_or_else(|| Error::internal("a convolution outside its net"))
    }

    fn linear(&self, id: NodeId, direction: Direction) -> Result<&Slot<PackedLinear>> {
        let (home, own) = self.home(id);
        let form = usize::from(direction == Direction::Backward);
        home.linears.get(2 * own + form).ok_or_else(|| Error::internal("a linear layer outside its net"))
    }
}

impl Model {
    /// The convolution at `id`, with the batch normalisation `norm` folded into it, prepacked for f32 kernels. It uses the largest
    /// Winograd tile that suits it, up to `tile`.
    ///
    /// # Errors
    /// Where `id` is no convolution, or its parameters are not f32.
    pub(crate) fn prepacked(
        &self,
        id: NodeId,
        norm: Option<NodeId>,
        direction: Direction,
        tile: WinogradTile,
    ) -> Result<Arc<PrepackedConv>> {
        let slot = |tile| self.pack_cache().conv(id, norm.is_some(), direction, tile);
        // A convolution that no larger tile suits is kept once.
        for kept in [WinogradTile::None, WinogradTile::F2, WinogradTile::F4].into_iter().filter(|t| *t <= tile) {
            if let Some(ready) = slot(kept)?.prepacked.get().filter(|p| kept == tile || p.largest_tile() == kept) {
                return Ok(ready.clone());
            }
        }
        let made = self.prepack(id, norm, direction, tile)?;
        Ok(slot(made.largest_tile().min(tile))?.keep(made))
    }

    /// The linear layer at `id`, packed for f32 products over positions.
    ///
    /// # Errors
    /// Where `id` is no linear layer, or its parameters are not f32.
    pub(crate) fn packed_linear(&self, id: NodeId, direction: Direction) -> Result<Arc<PackedLinear>> {
        let slot = self.pack_cache().linear(id, direction)?;
        if let Some(ready) = slot.prepacked.get() {
            return Ok(ready.clone());
        }
        let node = self.graph().node(id);
        let Op::Linear { weight, .. } = &node.op else {
            return Err(Error::internal(format!("`{}` is no linear layer", node.name)));
        };
        let weight = self.weights().tensor(*weight);
        let (out, inputs) = weight.dims2()?;
        let w = values::<f32>(weight)?;
        Ok(slot.keep(match direction {
            Direction::Forward => PackedLinear::forward(inputs, out, &w),
            Direction::Backward => PackedLinear::input_gradient(inputs, out, &w),
        }))
    }

    fn prepack(
        &self,
        id: NodeId,
        norm: Option<NodeId>,
        direction: Direction,
        tile: WinogradTile,
    ) -> Result<PrepackedConv> {
        let (graph, node) = (self.graph(), self.graph().node(id));
        let (Op::Conv2d(c) | Op::ConvTranspose2d(c, _)) = &node.op else {
            return Err(Error::internal(format!("`{}` is no convolution", node.name)));
        };
        let is_transposed = matches!(node.op, Op::ConvTranspose2d(..));
        let dims = [&[1], graph.node(node.inputs[0]).shape.as_slice()].concat();
        let g = match is_transposed {
            true => transpose_geometry(c, &dims, &node.shape),
            false => conv_geometry(c, &dims, &node.shape),
        };
        let pack = |w: &[f32], bias: Option<&[f32]>| match (is_transposed, direction) {
            (false, Direction::Forward) => PrepackedConv::forward(&g, w, bias, tile),
            (false, Direction::Backward) => PrepackedConv::input_gradient(&g, w, None, tile),
            (true, Direction::Forward) => PrepackedConv::input_gradient(&g, w, bias, tile),
            (true, Direction::Backward) => PrepackedConv::forward(&g, w, None, tile),
        };
        let Some(norm) = norm else {
            let bias = c.bias.map(|b| values::<f32>(self.weights().tensor(b))).transpose()?;
            return Ok(pack(&values::<f32>(self.weights().tensor(c.weight))?, bias.as_deref()));
        };
        let folded = folded::<f32>(&node.op, &graph.node(norm).op, self.weights())?;
        let folded = folded.ok_or_else(|| Error::internal("a normalisation folded into no layer"))?;
        Ok(pack(&folded.weight, Some(&folded.bias)))
    }
}
