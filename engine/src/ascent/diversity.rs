//! Diversity: images of a batch excite a layer in different ways.
//!
//! Olah, Mordvintsev, Schubert, "Feature Visualization", 2017, section "Diversity": the negative cosine similarity of
//! the Gram matrices of the layer's channels, over all pairs of images.

use super::objective::{Measured, Objective};
use crate::error::Result;
use crate::graph::NodeId;
use crate::pass::Trace;
use crate::tensor::{tensor, to_f64};

/// Minus the mean cosine similarity between an image's Gram matrix and those of the others.
pub struct Diversity {
    /// The layer whose channels' Gram matrices are compared.
    pub node: NodeId,
}

impl Objective for Diversity {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        Ok(vec![self.node])
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        let value = trace.get(self.node)?;
        let dims = value.dims().to_vec();
        let (n, c) = (dims[0], dims.get(1).copied().unwrap_or(1));
        let phi = to_f64(value)?;
        let each = phi.len() / n.max(1);
        let plane = each / c.max(1);
        let mut units = Vec::with_capacity(n);
        let mut lengths = Vec::with_capacity(n);
        for image in phi.chunks(each) {
            let gram = gram(image, c, plane);
            let length = gram.iter().map(|g| g * g).sum::<f64>().sqrt().max(1e-12);
            units.push(gram.into_iter().map(|g| g / length).collect::<Vec<_>>());
            lengths.push(length);
        }
        let pairs = n.saturating_sub(1).max(1) as f64;
        let mut sum = vec![0.0; c * c];
        units.iter().for_each(|u| sum.iter_mut().zip(u).for_each(|(s, v)| *s += v));
        let mut values = Vec::with_capacity(n);
        let mut seed = Vec::with_capacity(phi.len());
        for ((image, unit), length) in phi.chunks(each).zip(&units).zip(&lengths) {
            let others: Vec<f64> = sum.iter().zip(unit).map(|(s, u)| s - u).collect();
            let similarity: f64 = others.iter().zip(unit).map(|(o, u)| o * u).sum();
            values.push(-similarity / pairs);
            // Each pair counts at both of its images: the sum's derivative by this Gram matrix is twice its own term's.
            let by_gram: Vec<f64> =
                others.iter().zip(unit).map(|(o, u)| -2.0 * (o - similarity * u) / (pairs * length)).collect();
            for row in 0..c {
                for p in 0..plane {
                    let through: f64 = (0..c).map(|k| by_gram[row * c + k] * image[k * plane + p]).sum();
                    seed.push(2.0 * through);
                }
            }
        }
        Ok(Measured { values, seed: vec![(self.node, tensor(seed, &dims)?)] })
    }
}

/// The products of all pairs of channels, summed over positions.
fn gram(image: &[f64], c: usize, plane: usize) -> Vec<f64> {
    let row = |i: usize| &image[i * plane..(i + 1) * plane];
    (0..c * c).map(|ij| row(ij / c).iter().zip(row(ij % c)).map(|(a, b)| a * b).sum()).collect()
}
