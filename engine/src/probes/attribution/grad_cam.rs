//! Grad-CAM.
//!
//! Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2016.

use super::cam;
use crate::error::Result;
use crate::job::Job;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// Grad-CAM: the rectified sum of a layer's maps, each weighted by its mean gradient, in the layer's own resolution.
    #[probe(
        family = Where,
        source = "Selvaraju et al. 2016, section 3",
        subjects = "a net, class, channel, unit, direction or sum behind the layer",
        input = One,
        example = "grad_cam().run(net, image)"
    )]
    pub struct GradCam as "grad_cam" {
        /// The layer; unless given, the last one with maps that the subject needs (for a box, before its score); where attention
        /// mixes positions last, the normalisation before the attention; where the scores are a map, the last of the maps with
        /// most channels.
        layer: Option<LayerName> = None;
    }
}

impl Probe for GradCam {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        cam::shown(self, self.layer.as_ref(), on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let node = cam::layer(target.model()?, self.layer.as_ref(), target)?;
        cam::weighted(target, node, x, cam::mean_gradient)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        cam::on_input(self.layer.as_ref(), target, map)
    }
}
