//! A net cut down to one of its classes: what a gradient of that class needs, and no other class's weights.

use super::Model;
use crate::error::Result;
use crate::pass::packs::Packs;
use std::sync::Arc;

impl Model {
    /// The net up to its raw class scores, with only the one of class `index`: the rows of the other classes are left out of
    /// the convolution or linear layer that makes them. Nodes keep their numbers and names, values and gradients their bits.
    /// Nothing where the classes meet each other on the way, or are made in another manner.
    ///
    /// # Errors
    /// Where weights cannot be cut.
    pub fn of_class(&self, index: usize) -> Result<Option<Model>> {
        let Some(maker) = self.graph().maker_of_classes() else { return Ok(None) };
        let (graph, weights) = self.graph().one_class(maker, index, self.weights())?;
        let packs = Arc::new(Packs::beside(&self.packs, maker));
        Ok(Some(Model { graph: Arc::new(graph), weights: Arc::new(weights), packs, ..self.clone() }))
    }
}
