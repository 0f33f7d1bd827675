//! Guided Grad-CAM.
//!
//! Selvaraju et al., "Grad-CAM", 2016, section 3.2.

use super::{cam, placed};
use crate::error::{Error, Result};
use crate::graph::MapPlace;
use crate::job::Job;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::probes::attribution;
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// Guided Grad-CAM: guided backprop times the enlarged Grad-CAM map.
    #[probe(
        family = Where,
        source = "Selvaraju et al. 2016, section 3.2",
        subjects = "a net, class, channel, unit, direction or sum behind the layer",
        input = One,
        example = "guided_grad_cam().run(net, image)"
    )]
    pub struct GuidedGradCam as "guided_grad_cam" {
        /// The layer of Grad-CAM; unless given, the last one with maps that the subject needs (for a box, before its score); where
        /// attention mixes positions last, the normalisation before the attention; where the scores are a map, the last of the maps
        /// with most channels.
        layer: Option<LayerName> = None;
    }
}

impl Probe for GuidedGradCam {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let artifact = attribution::of_input(self, on, input, job)?;
        let target = on.asked(&input.prepared(on.model()?)?)?;
        let model = target.model()?;
        Ok(artifact.notes(placed::note(model, cam::layer(model, self.layer.as_ref(), &target)?)))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let node = cam::layer(target.model()?, self.layer.as_ref(), target)?;
        let raw = cam::weighted(target, node, x, cam::mean_gradient)?;
        let laid = |n: usize| placed::on_input(target.model()?, node, raw.get(n)?);
        let map = Tensor::stack(&(0..x.dims()[0]).map(laid).collect::<Result<Vec<_>>>()?, 0)?;
        let guided = attribution::input_signal(target, x, &Rules::guided_backprop())?;
        let large = match (x.dims(), map.dims()) {
            (&[.., height, width], [_, _, _]) if x.rank() == 4 => {
                placed::enlarge(&map, [height, width], &MapPlace::Whole)?
            }
            // A signal has one row.
            (&[.., length], [_, _]) => {
                placed::enlarge(&map.unsqueeze(1)?, [1, length], &MapPlace::Whole)?.squeeze(1)?
            }
            (other, _) => {
                return Err(Error::subject(format!(
                    "`guided_grad_cam` takes images and signals, the input is {other:?}"
                ))
                .hint("`guided_backprop` and `grad_cam` take volumes"));
            }
        };
        Ok(guided.broadcast_mul(&large.unsqueeze(1)?.to_dtype(guided.dtype())?)?)
    }

    fn rules(&self) -> Option<Rules> {
        Some(Rules::guided_backprop())
    }
}
