//! The weights of a convolution with a batch normalisation folded into them, scaled while they are packed: a scaled copy of all of
//! them would be as large as the weights.

/// The weights of a convolution, O x C/groups x kh x kw, times a factor for each channel on one of the first two axes.
#[derive(Clone, Copy, Debug)]
pub struct ScaledWeights<'a> {
    /// The weights.
    pub values: &'a [f32],
    /// The factors; all are 1 where there are none.
    pub factors: &'a [f64],
    /// The axis of the channels: 0 for outputs, 1 for inputs, which are the outputs of a transposed convolution.
    pub axis: usize,
}

impl<'a> ScaledWeights<'a> {
    /// Weights that are not scaled.
    pub fn plain(values: &'a [f32]) -> Self {
        ScaledWeights { values, factors: &[], axis: 0 }
    }

    /// The weight at `index`, whose channels on the first two axes are `channels`, counted over all groups.
    pub(super) fn at(&self, index: usize, channels: [usize; 2]) -> f32 {
        let weight = self.values[index];
        match self.factors {
            [] => weight,
            factors => (f64::from(weight) * factors[channels[self.axis]]) as f32,
        }
    }
}
