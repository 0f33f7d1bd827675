//! Convolutions of a net made ready for the f32 kernels: packed when they are used, kept with the net from the second use
//! on, so that a net that is asked once is not held in several forms.

use super::apply::{batch_norm_affine, conv_geometry, transpose_geometry};
use crate::error::{Error, Result};
use crate::graph::op::Conv;
use crate::graph::{NodeId, Op};
use crate::kernels::conv::Geometry;
use crate::kernels::conv::PrepackedConv;
use crate::kernels::conv::WinogradTile;
use crate::model::Model;
use crate::tensor::values;
use rayon::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Forms of a convolution: tiles, with or without a normalisation, both ways.
const FORMS: usize = 3 * 2 * 2;

/// The packed convolutions of one net.
#[derive(Debug, Default)]
pub struct Packs {
    slots: Vec<Slot>,
    /// For a net that differs from another in one node: the other's, and that node.
    others: Option<(Arc<Packs>, NodeId)>,
}

/// One form of one convolution.
#[derive(Debug)]
struct Slot {
    keeps: bool,
    used: AtomicBool,
    kept: OnceLock<Arc<PrepackedConv>>,
}

impl Slot {
    fn new(keeps: bool) -> Self {
        Slot { keeps, used: AtomicBool::new(false), kept: OnceLock::new() }
    }

    /// What was made for a use, kept if it is not the first.
    fn keep(&self, made: PrepackedConv) -> Arc<PrepackedConv> {
        let made = Arc::new(made);
        if self.used.swap(true, Ordering::Relaxed) && self.keeps {
            self.kept.get_or_init(|| made).clone()
        } else {
            made
        }
    }
}

/// Which way a convolution runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From input to output.
    Forward,
    /// From the output's signal to the input's.
    Backward,
}

impl Packs {
    /// Room for the convolutions of a graph of `nodes` nodes.
    pub fn new(nodes: usize) -> Self {
        Packs { slots: (0..FORMS * nodes).map(|_| Slot::new(true)).collect(), others: None }
    }

    /// As [`Packs::new`] where memory is short: what is packed for a use is dropped after it.
    pub fn dropping(nodes: usize) -> Self {
        Packs { slots: (0..FORMS * nodes).map(|_| Slot::new(false)).collect(), others: None }
    }

    /// Whether what is packed is kept.
    pub fn are_kept(&self) -> bool {
        match &self.others {
            Some((others, _)) => others.are_kept(),
            None => self.slots.iter().all(|slot| slot.keeps),
        }
    }

    /// For a net that differs in `node` from the one whose these are.
    pub fn beside(others: &Arc<Packs>, node: NodeId) -> Self {
        Packs { others: Some((others.clone(), node)), ..Self::new(1) }
    }

    fn slot(&self, id: NodeId, folded: bool, way: Way, tiles: WinogradTile) -> Result<&Slot> {
        let own = match &self.others {
            Some((others, node)) if id != *node => return others.slot(id, folded, way, tiles),
            Some(_) => 0,
            None => id.0,
        };
        let at = FORMS * own + 4 * tiles as usize + 2 * usize::from(folded) + usize::from(way == Way::Backward);
        self.slots.get(at).ok_or_else(|| Error::internal("a convolution outside its net"))
    }
}

impl Model {
    /// The convolution at `id`, with the batch normalisation `norm` folded into it, ready to run in f32; in what `tiles` allows
    /// and suits it.
    ///
    /// # Errors
    /// Where `id` is no convolution, or its parameters are not f32.
    pub fn packed(
        &self,
        id: NodeId,
        norm: Option<NodeId>,
        way: Way,
        tiles: WinogradTile,
    ) -> Result<Arc<PrepackedConv>> {
        let slot = |tiles| self.packs().slot(id, norm.is_some(), way, tiles);
        // One that larger tiles make no difference to is kept once.
        for kept in [WinogradTile::None, WinogradTile::F2, WinogradTile::F4].into_iter().filter(|t| *t <= tiles) {
            if let Some(ready) = slot(kept)?.kept.get().filter(|p| kept == tiles || p.largest_tile() == kept) {
                return Ok(ready.clone());
            }
        }
        let made = self.pack(id, norm, way, tiles)?;
        Ok(slot(made.largest_tile().min(tiles))?.keep(made))
    }

    fn pack(&self, id: NodeId, norm: Option<NodeId>, way: Way, tiles: WinogradTile) -> Result<PrepackedConv> {
        let (graph, node) = (self.graph(), self.graph().node(id));
        let (Op::Conv2d(c) | Op::ConvTranspose2d(c, _)) = &node.op else {
            return Err(Error::internal(format!("`{}` is no convolution", node.name)));
        };
        let transposed = matches!(node.op, Op::ConvTranspose2d(..));
        let dims = [&[1], graph.node(node.inputs[0]).shape.as_slice()].concat();
        let g =
            if transposed { transpose_geometry(c, &dims, &node.shape) } else { conv_geometry(c, &dims, &node.shape) };
        let w = values::<f32>(self.weights().tensor(c.weight))?;
        let bias = c.bias.map(|b| values::<f32>(self.weights().tensor(b))).transpose()?;
        match norm {
            Some(norm) => {
                let (w, b) = self.folded(c, transposed, &g, graph.node(norm).op.clone(), &w, bias.as_deref())?;
                Ok(made(&g, &w, Some(&b), transposed, way, tiles))
            }
            None => Ok(made(&g, &w, bias.as_deref(), transposed, way, tiles)),
        }
    }

    /// f w and f b + o for a normalisation f x + o behind the convolution; computed in f64.
    fn folded(
        &self,
        c: &Conv,
        transposed: bool,
        g: &Geometry,
        norm: Op,
        w: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let (factor, offset) = batch_norm_affine::<f64>(&norm, self.weights())?;
        let taps = c.window.kernel[0] * c.window.kernel[1];
        // A transposed convolution's weight is in x out/groups: its outputs are the geometry's channels.
        let channel = |i: usize| {
            if transposed {
                let each = g.channels / c.groups;
                let (from, to) = (i / taps / each, i / taps % each);
                from / (g.out / c.groups) * each + to
            } else {
                i / (taps * (g.channels / c.groups))
            }
        };
        // The weights of one channel lie together.
        let together = if transposed { taps } else { taps * (g.channels / c.groups) };
        let mut scaled = w.to_vec();
        scaled.par_chunks_mut(together.max(1)).enumerate().for_each(|(i, part)| {
            let factor = factor[channel(i * together)];
            part.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
        });
        let own = |o: usize| bias.map_or(0.0, |b| f64::from(b[o]));
        let shifted = factor.iter().zip(&offset).enumerate().map(|(o, (f, t))| (f * own(o) + t) as f32).collect();
        Ok((scaled, shifted))
    }
}

fn made(
    g: &Geometry,
    w: &[f32],
    bias: Option<&[f32]>,
    transposed: bool,
    way: Way,
    tiles: WinogradTile,
) -> PrepackedConv {
    match (transposed, way) {
        (false, Way::Forward) => PrepackedConv::forward(g, w, bias, tiles),
        (false, Way::Backward) => PrepackedConv::input_gradient(g, w, None, tiles),
        (true, Way::Forward) => PrepackedConv::input_gradient(g, w, bias, tiles),
        (true, Way::Backward) => PrepackedConv::forward(g, w, None, tiles),
    }
}
