//! Guided backprop: the gradient by another rule at rectifiers.
//!
//! Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for Simplicity", 2014, section 3.4.

use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attribution::{self, input_signal};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// The gradient that passes a rectifier only where both its input and the signal are positive.
    ///
    /// A smooth rectifier (SiLU, GELU, Mish, hard-swish, ELU) passes a positive signal times its slope at its input and a
    /// negative one not at all; a note says so, or that the net has no rectifier.
    #[probe(
        family = Where,
        source = "Springenberg et al. 2014, section 3.4",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "guided_backprop().run(net, image)"
    )]
    pub struct GuidedBackprop as "guided_backprop" {}
}

impl Probe for GuidedBackprop {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        attribution::of_input(self, on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        input_signal(target, x, &Rules::guided_backprop())
    }

    fn rules(&self) -> Option<Rules> {
        Some(Rules::guided_backprop())
    }
}
