//! Which node alone takes a value.

use crate::graph::{Graph, NodeId};

/// The only consumer of `id`, where the value of `id` is not a goal.
pub(in crate::pass::schedule) fn only_consumer(graph: &Graph, id: NodeId, goals: &[NodeId]) -> Option<NodeId> {
    match graph.consumers(id) {
        [one] if !goals.contains(&id) && id != graph.output() => Some(*one),
        _ => None,
    }
}
