//! What the probes that judge maps share: a list of probes as an option, a map as one importance for each pixel, and the score
//! that is measured while pixels are deleted or inserted.

pub mod compare;
pub mod compare_nets;
pub mod completeness;
pub mod gradient_check;
pub mod insertion_deletion;
pub mod localisation;
pub mod model_randomization;
pub mod pointing_game;
pub mod sensitivity;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::pass::Tap;
use crate::probe::{Probe, ProbeArg};
use crate::probes::attribution::gradient::Gradient;
use crate::subject::Subject;
use candle_core::Tensor;
use std::sync::Arc;

/// One or several probes.
#[derive(Clone, Debug)]
pub struct ProbeList(pub Vec<ProbeArg>);

impl Default for ProbeList {
    fn default() -> Self {
        ProbeList(vec![ProbeArg(Arc::new(Gradient::new()))])
    }
}

impl Param for ProbeList {
    const POSITIONAL: bool = true;

    fn form() -> Form {
        Form::words("a probe or a list of probes")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Probe(_) => Ok(ProbeList(vec![ProbeArg::read(value)?])),
            Value::List(items) if !items.is_empty() => {
                Ok(ProbeList(items.iter().map(ProbeArg::read).collect::<Result<_>>()?))
            }
            Value::List(_) => Err(Error::value("an empty list of probes")),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::List(self.0.iter().map(ProbeArg::write).collect())
    }
}

/// The probe's map of one input as one importance a pixel of the net's input, row by row.
///
/// # Errors
/// As [`Probe::attribute`].
pub fn pixels(probe: &dyn Probe, target: &Subject, x: &Tensor, job: &Job) -> Result<Vec<f64>> {
    let map = probe.attribute(target, x, job)?.squeeze(0)?;
    let [_, _, height, width] = *x.dims() else { return Err(Error::subject("maps are judged over images")) };
    probe.importance(&probe.on_input(target, map)?, [height, width])
}

/// What is watched of each of the inputs `x` ([`Subject::watched`]): a class's probability, any other subject's score.
///
/// # Errors
/// As the forward pass.
pub fn watched(target: &Subject, x: &Tensor) -> Result<Vec<f64>> {
    let model = target.model()?;
    target.watched(&model.forward(x, &Tap::Only(target.watched_nodes()?))?)
}

/// The raw score of one input.
///
/// # Errors
/// As the forward pass.
pub fn score(target: &Subject, x: &Tensor) -> Result<f64> {
    Ok(target.scores(&target.model()?.forward(x, &Tap::Only(target.nodes()?))?)?[0])
}

/// The range of an input, largest minus smallest value: of these values, or, where they are all equal, of the values that a
/// photo can have by the net's card, else 1.
pub fn value_range(model: &Model, values: &[f64]) -> f64 {
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    };
    let (low, high) = ends(&mut values.iter().copied());
    if high > low {
        return high - low;
    }
    let Some(preprocess) = &model.card().preprocess else { return 1.0 };
    let (low, high) = ends(&mut preprocess.bounds().iter().flat_map(|(l, h)| [f64::from(*l), f64::from(*h)]));
    high - low
}

/// The pixels in order of importance, most important first, equal ones by place.
pub fn order(importance: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..importance.len()).collect();
    order.sort_by(|i, j| importance[*j].total_cmp(&importance[*i]).then(i.cmp(j)));
    order
}
