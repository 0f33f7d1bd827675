//! Grad-CAM++.
//!
//! Chattopadhay, Sarkar, Howlader, Balasubramanian, "Grad-CAM++", 2017.

use super::cam;
use crate::error::Result;
use crate::job::Job;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// Grad-CAM++: as Grad-CAM, with weights from the positive gradients at each position and their higher orders.
    #[probe(
        family = Where,
        source = "Chattopadhay et al. 2017, section 3",
        subjects = "a net, class, channel, unit, direction or sum behind the layer",
        input = One,
        example = "grad_cam_plus_plus().run(net, image)"
    )]
    pub struct GradCamPlusPlus as "grad_cam_plus_plus" {
        /// The layer; unless given, the last one with maps that the subject needs (for a box, before its score); where attention
        /// mixes positions last, the normalisation before the attention; where the scores are a map, the last of the maps with
        /// most channels.
        layer: Option<LayerName> = None;
    }
}

impl Probe for GradCamPlusPlus {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        cam::shown(self, self.layer.as_ref(), on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let node = cam::layer(target.model()?, self.layer.as_ref(), target)?;
        cam::weighted(target, node, x, higher_order)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        cam::on_input(self.layer.as_ref(), target, map)
    }
}

/// Grad-CAM++ with the score taken as its exponential, whose higher derivatives are powers of the gradient.
fn higher_order(a: &[f64], g: &[f64], plane: usize) -> Vec<f64> {
    let weights: Vec<f64> = a
        .chunks(plane)
        .zip(g.chunks(plane))
        .map(|(a, g)| {
            let total: f64 = a.iter().sum();
            g.iter()
                .map(|g| {
                    let below = 2.0 * g * g + total * g * g * g;
                    let alpha = if below != 0.0 { g * g / below } else { 0.0 };
                    alpha * g.max(0.0)
                })
                .sum()
        })
        .collect();
    cam::sum_of(plane, a, |k, _| weights[k])
}
