//! Signals on their way back: where they start, and what arrives at the nodes.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use candle_core::Tensor;

/// Where signals start: nodes and tensors shaped as their values (batch included).
pub type Seed = Vec<(NodeId, Tensor)>;

/// The signal at the nodes where it was kept.
#[derive(Clone, Debug)]
pub struct Flow {
    pub(super) signals: Vec<Option<Tensor>>,
}

impl Flow {
    /// The signal at a node, shaped as its value, if it reached the node and was kept.
    pub fn get(&self, id: NodeId) -> Option<&Tensor> {
        self.signals[id.0].as_ref()
    }

    /// The flow of all samples from those of consecutive groups.
    pub(super) fn concat(groups: &[Flow]) -> Result<Self> {
        let nodes = groups.first().map_or(0, |group| group.signals.len());
        let concat = |id: usize| {
            let signals: Vec<&Tensor> = groups.iter().filter_map(|group| group.signals[id].as_ref()).collect();
            match signals.len() {
                0 => Ok(None),
                n if n == groups.len() => Ok(Some(Tensor::cat(&signals, 0)?)),
                _ => Err(Error::internal("a signal that reaches a node for some samples only")),
            }
        };
        Ok(Flow { signals: (0..nodes).map(concat).collect::<Result<_>>()? })
    }
}
