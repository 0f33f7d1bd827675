//! Gradient x input: the first-order contribution of each input value to the score.
//!
//! Shrikumar, Greenside, Shcherbina, Kundaje, "Not Just a Black Box", 2016.

use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attribution::{self, input_signal};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// The data gradient times the preprocessed input.
    #[probe(
        family = Where,
        source = "Shrikumar et al. 2016, section 2",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "gradient_x_input().run(net, image)"
    )]
    pub struct GradientXInput as "gradient_x_input" {}
}

impl Probe for GradientXInput {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        attribution::of_input(self, on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let signal = input_signal(target, x, &Rules::gradient())?;
        Ok((x.to_dtype(signal.dtype())? * signal)?)
    }

    fn multiplied_by(&self, _target: &Subject, x: &Tensor, _job: &Job) -> Result<Option<Tensor>> {
        Ok(Some(x.clone()))
    }
}
