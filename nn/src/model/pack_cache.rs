//! The cache of prepacked weights: a layer's panels are packed when it runs, and kept with the net from the second run on,
//! so that a net that is run once is not held in two layouts.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::kernels::channels_last::{DenseRows, DepthwiseRows};
use crate::kernels::conv::{PrepackedConv, WinogradTile};
use crate::kernels::linear::PackedLinear;
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
    /// Two for a node: with or without a folded normalisation.
    rows: Vec<Slot<PackedRows>>,
    /// For a net that differs from another in one node: the other's cache, and that node.
    shared: Option<(Arc<PackCache>, NodeId)>,
}

/// A forward convolution packed for maps whose channels are neighbours.
#[derive(Debug)]
pub(crate) enum PackedRows {
    /// A pointwise one, or a first layer.
    Dense(DenseRows),
    /// A depthwise one.
    Depthwise(DepthwiseRows),
}

/// One form of one layer.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    is_enabled: bool,
    was_used: AtomicBool,
    prepacked: OnceLock<Arc<T>>,
}

impl<T> Slot<T> {
    fn new(is_enabled: bool) -> Self {
        Slot { is_enabled, was_used: AtomicBool::new(false), prepacked: OnceLock::new() }
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> Option<&Arc<T>> {
        self.prepacked.get()
    }

    /// Keeps `made` from the second use on.
    pub(crate) fn keep(&self, made: T) -> Arc<T> {
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

    /// A cache that keeps nothing, for little memory: weights are packed for every run.
    pub fn disabled(nodes: usize) -> Self {
        Self::with_slots(nodes, false)
    }

    fn with_slots(nodes: usize, is_enabled: bool) -> Self {
        PackCache {
            convs: (0..FORMS * nodes).map(|_| Slot::new(is_enabled)).collect(),
            linears: (0..2 * nodes).map(|_| Slot::new(is_enabled)).collect(),
            rows: (0..2 * nodes).map(|_| Slot::new(is_enabled)).collect(),
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

    /// The place of a convolution in one of its forms.
    ///
    /// # Errors
    /// Where `id` is not of this net.
    pub(crate) fn conv(
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

    /// The place of a linear layer in one direction.
    ///
    /// # Errors
    /// Where `id` is not of this net.
    pub(crate) fn linear(&self, id: NodeId, direction: Direction) -> Result<&Slot<PackedLinear>> {
        let (home, own) = self.home(id);
        let form = usize::from(direction == Direction::Backward);
        home.linears.get(2 * own + form).ok_or_else(|| Error::internal("a linear layer outside its net"))
    }

    /// The place of a convolution packed for maps whose channels are neighbours.
    ///
    /// # Errors
    /// Where `id` is not of this net.
    pub(crate) fn rows(&self, id: NodeId, is_folded: bool) -> Result<&Slot<PackedRows>> {
        let (home, own) = self.home(id);
        let form = usize::from(is_folded);
        home.rows.get(2 * own + form).ok_or_else(|| Error::internal("a convolution outside its net"))
    }
}
