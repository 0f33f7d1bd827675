//! The data gradient: how the score changes with each value of the input.
//!
//! Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013, section 3.

use super::{About, Family, Probe, Takes};
use crate::error::Result;
use crate::job::Job;
use crate::model::Model;
use crate::pass::Tap;
use crate::rules::Rules;
use crate::show::{Artifact, Map, Part, Scale, Style};
use crate::subject::{Input, Prepared, Subject};
use candle_core::Tensor;

crate::params! {
    /// The data gradient dS/dI of a score by the preprocessed input, shown as the largest magnitude over channels.
    ///
    /// S is the raw class score before a softmax, a channel's spatial mean, one activation, a direction, or a sum of these.
    pub struct Gradient as "gradient" {}
}

impl Probe for Gradient {
    fn about(&self) -> About {
        About {
            family: Family::Where,
            source: "Simonyan, Vedaldi, Zisserman 2013, section 3",
            subjects: "a net, class, channel, unit, direction or sum",
            input: Takes::One,
            example: "gradient().run(net, image)",
        }
    }

    fn run(&self, on: &Subject, input: &Input, _job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.target(&prepared.x)?;
        let gradient = input_signal(model, &target, &prepared.x, &Rules::gradient())?;
        saliency("gradient", model, &target, &prepared, gradient)
    }
}

/// The signal that `rules` carry from the target's score back to the input, shaped as `x`.
///
/// # Errors
/// As the passes.
pub fn input_signal(model: &Model, target: &Subject, x: &Tensor, rules: &Rules) -> Result<Tensor> {
    let trace = model.forward(x, &Tap::Until(target.last_node()?))?;
    trace.backward_to(model.graph().input(), target.seed(&trace)?, rules)
}

/// The artifact of a map that is shaped as the input: C x H x W raw, shown as max |.| over channels.
///
/// # Errors
/// Where the tensors cannot be reduced.
pub fn saliency(name: &str, model: &Model, target: &Subject, prepared: &Prepared, map: Tensor) -> Result<Artifact> {
    let map = map.squeeze(0)?;
    let magnitude = map.abs()?.max(0)?;
    let (rows, columns) = magnitude.dims2()?;
    let part = Map {
        title: format!("{name} of {target}"),
        values: magnitude.clone(),
        label: "largest magnitude over channels".into(),
        scale: Scale::Sequential { low: Some(0.0), high: None },
        photo: prepared.photo.clone(),
        placement: prepared.placement.clone(),
        extent: None,
        input: [rows, columns],
        style: Style::Alone,
    };
    let mut artifact = Artifact::new(format!("{name} of {target} in {}", model.card().name))
        .part(Part::Map(part))
        .array(name, map)
        .array("magnitude", magnitude);
    if matches!(target, Subject::Class { .. } | Subject::Sum(_)) && model.graph().closing_softmax().is_some() {
        artifact = artifact.note("the score is the raw output: the closing softmax was peeled off");
    }
    Ok(artifact)
}
