//! A net's class scores, decisions and probabilities, by a forward pass and what its outputs mean
//! ([`Readout`](crate::model::Readout)).

use super::Tap;
use crate::error::Result;
use crate::model::Model;
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
        Ok(flat.chunks(self.scores_len().max(1)).map(<[f64]>::to_vec).collect())
    }

    /// For each sample one number for each class, of which the largest is the prediction
    /// ([`Readout::decision`](crate::model::Readout::decision)).
    ///
    /// # Errors
    /// Where the output is a map or holds quantities; as [`Model::forward`].
    pub fn decisions(&self, x: &Tensor) -> Result<Vec<Vec<f64>>> {
        let readout = self.classes_readout()?;
        Ok(self.scores(x)?.iter().map(|s| readout.decision(s)).collect())
    }

    /// The probability of each output of each sample.
    ///
    /// # Errors
    /// Where the output is a map or holds quantities; as [`Model::forward`].
    pub fn probabilities(&self, x: &Tensor) -> Result<Vec<Vec<f64>>> {
        let readout = self.classes_readout()?;
        Ok(self.scores(x)?.iter().map(|s| readout.shown(s)).collect())
    }
}
