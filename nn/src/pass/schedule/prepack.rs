//! Packs the weights of convolutions and linear layers for the kernels, or takes them from the net's
//! [`PackCache`](crate::model::pack_cache::PackCache).

use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::kernels::conv::{PrepackedConv, ScaledWeights, WinogradTile};
use crate::kernels::linear::PackedLinear;
use crate::model::Model;
use crate::model::pack_cache::Direction;
use crate::pass::apply::{conv_geometry, transpose_geometry};
use crate::pass::fold::folding;
use crate::tensor::values;
use std::sync::Arc;

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
            if let Some(ready) = slot(kept)?.kept().filter(|p| kept == tile || p.largest_tile() == kept) {
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
        if let Some(ready) = slot.kept() {
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
        let w = values::<f32>(self.weights().tensor(c.weight))?;
        let axis = usize::from(is_transposed);
        let pack = |factors: &[f64], bias: Option<&[f32]>| {
            let w = ScaledWeights { values: &w, factors, axis };
            match (is_transposed, direction) {
                (false, Direction::Forward) => PrepackedConv::forward_scaled(&g, w, bias, tile),
                (false, Direction::Backward) => PrepackedConv::input_gradient_scaled(&g, w, None, tile),
                (true, Direction::Forward) => PrepackedConv::input_gradient_scaled(&g, w, bias, tile),
                (true, Direction::Backward) => PrepackedConv::forward_scaled(&g, w, None, tile),
            }
        };
        let Some(norm) = norm else {
            let bias = c.bias.map(|b| values::<f32>(self.weights().tensor(b))).transpose()?;
            return Ok(pack(&[], bias.as_deref()));
        };
        let folding = folding::<f32>(&node.op, &graph.node(norm).op, self.weights())?;
        let folding = folding.ok_or_else(|| Error::internal("a normalisation folded into no layer"))?;
        Ok(pack(&folding.factor, Some(&folding.bias)))
    }
}
