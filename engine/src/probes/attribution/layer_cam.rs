//! LayerCAM.
//!
//! Jiang, Zhang, Hou, Cheng, Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", 2021.

use super::cam;
use crate::error::Result;
use crate::job::Job;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// LayerCAM: the rectified sum of a layer's maps, each activation weighted by its own positive gradient; useful at early
    /// layers, too.
    #[probe(
        family = Where,
        source = "Jiang et al. 2021, section III",
        subjects = "a net, class, channel, unit, direction or sum behind the layer",
        input = One,
        example = "layer_cam().run(net, image)"
    )]
    pub struct LayerCam as "layer_cam" {
        /// The layer; unless given, the last one with maps that the subject needs (for a box, before its score); where attention
        /// mixes positions last, the normalisation before the attention; where the scores are a map, the last of the maps with
        /// most channels.
        layer: Option<LayerName> = None;
    }
}

impl Probe for LayerCam {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        cam::shown(self, self.layer.as_ref(), on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let node = cam::layer(target.model()?, self.layer.as_ref(), target)?;
        cam::weighted(target, node, x, element_wise)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        cam::on_input(self.layer.as_ref(), target, map)
    }
}

fn element_wise(a: &[f64], g: &[f64], plane: usize) -> Vec<f64> {
    cam::sum_of(plane, a, |k, p| g[k * plane + p].max(0.0))
}
