//! What a net's raw outputs say: class scores and probabilities.

use super::Model;
use crate::error::Result;
use crate::kernels::norm;
use crate::pass::Tap;
use crate::tensor::to_f64;
use candle_core::Tensor;

impl Model {
    /// The raw class scores of each sample: the output with a closing softmax peeled off.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn scores(&self, x: &Tensor) -> Result<Vec<Vec<f64>>> {
        let node = self.graph().scores();
        let trace = self.forward(x, &Tap::Only(vec![node]))?;
        let flat = to_f64(trace.get(node)?)?;
        let n = self.scores_len();
        Ok(flat.chunks(n).map(<[f64]>::to_vec).collect())
    }

    /// Number of raw class scores.
    pub fn scores_len(&self) -> usize {
        self.graph().node(self.graph().scores()).shape.iter().product()
    }

    /// The class probabilities of each sample: the softmax of the raw scores.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn probabilities(&self, x: &Tensor) -> Result<Vec<Vec<f64>>> {
        Ok(self.scores(x)?.iter().map(|s| norm::softmax(s.len(), 1, false, s)).collect())
    }
}
