//! A net reduced to one of its classes: what a gradient of that class needs, without the other classes' weights.

use super::Model;
use super::pack_cache::PackCache;
use crate::error::Result;
use std::sync::Arc;

impl Model {
    /// The net up to its raw class scores, with only that of class `index`: the convolution or linear layer that computes the
    /// scores keeps only that row of its weights. Nodes keep their numbers and names, values and gradients their bits. None where
    /// no such layer is found ([`Graph::class_layer`](crate::graph::Graph::class_layer)).
    ///
    /// # Errors
    /// Where a row cannot be taken from the weights.
    pub fn one_class(&self, index: usize) -> Result<Option<Model>> {
        let Some(layer) = self.graph().class_layer() else { return Ok(None) };
        let (graph, weights) = self.graph().one_class(layer, index, self.weights())?;
        let pack_cache = Arc::new(PackCache::sharing(&self.pack_cache, layer));
        Ok(Some(Model {
            graph: Arc::new(graph),
            weights: Arc::new(weights),
            pack_cache,
            digest: Arc::default(),
            ..self.clone()
        }))
    }
}
