//! The values that a forward pass kept, and what says which.

use super::schedule::fuse::FusionPlan;
use super::schedule::groups::BatchSchedule;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::kernels::conv::WinogradTile;
use crate::model::Model;
use candle_core::Tensor;
use std::ops::Range;

/// Which values a forward pass keeps, and where it may stop.
#[derive(Clone, Debug)]
pub enum Tap {
    /// Every node's value: what a backward pass needs.
    All,
    /// The values of every node that `NodeId` depends on, and nothing after it.
    Until(NodeId),
    /// The named nodes' values only; the pass ends with the last of them.
    Only(Vec<NodeId>),
    /// The named nodes' values, plus what a gradient-like backward pass needs: of a rectifier's input only the sign (gradient,
    /// guided backprop, DeconvNet).
    Signs(Vec<NodeId>),
}

/// The values that a forward pass kept.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) model: Model,
    pub(super) fusion: FusionPlan,
    pub(super) tile: WinogradTile,
    pub(super) values: Vec<Option<Tensor>>,
    /// The index in the batch of its first sample.
    pub(super) first: usize,
    /// Where samples passed in groups, each group's trace; `values` then holds only the nodes that the tap names.
    pub(super) groups: Vec<Trace>,
}

impl Trace {
    /// A trace that holds these values only.
    pub(super) fn from_values(model: &Model, kept: Vec<(NodeId, Tensor)>) -> Self {
        let mut values = vec![None; model.graph().nodes().len()];
        kept.into_iter().for_each(|(id, value)| values[id.0] = Some(value));
        let fusion = FusionPlan::unfused(model.graph());
        Trace { model: model.clone(), fusion, tile: WinogradTile::None, values, first: 0, groups: Vec::new() }
    }

    /// The trace of a batch `x` that passed in groups.
    pub(super) fn from_groups(groups: Vec<Trace>, x: Tensor, schedule: BatchSchedule) -> Result<Self> {
        let model = groups[0].model.clone();
        let mut values = vec![None; model.graph().nodes().len()];
        for goal in &schedule.goals {
            let each = groups.iter().map(|group| group.get(*goal)).collect::<Result<Vec<_>>>()?;
            values[goal.0] = Some(Tensor::cat(&each, 0)?);
        }
        values[model.graph().input().0] = Some(x);
        let groups = if schedule.keep_all { groups } else { Vec::new() };
        Ok(Trace { model, fusion: schedule.fusion, tile: schedule.tile, values, first: 0, groups })
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

    /// The indices of its samples in the whole batch: all of them, or those of a group.
    pub fn samples(&self) -> Range<usize> {
        self.first..self.first + self.batch()
    }

    /// A node's value or, where it is fused into a kernel, the value of that.
    pub(super) fn value_or_fused(&self, id: NodeId) -> Result<&Tensor> {
        self.get(self.fusion.value_node(id))
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
