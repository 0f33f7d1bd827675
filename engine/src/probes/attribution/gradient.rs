//! The data gradient.
//!
//! Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013, section 3.

use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attribution::{self, input_signal};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// The data gradient dS/dI of a score with respect to the preprocessed input, shown as the largest magnitude over channels.
    ///
    /// S is the raw class score before a softmax, a channel's spatial mean, one activation, a direction, or a sum of these.
    #[probe(
        family = Where,
        source = "Simonyan, Vedaldi, Zisserman 2013, section 3",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "gradient().run(net, image)"
    )]
    pub struct Gradient as "gradient" {}
}

impl Probe for Gradient {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        attribution::of_input(self, on, input, job)
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        input_signal(target, x, &Rules::gradient())
    }

    fn rules(&self) -> Option<Rules> {
        Some(Rules::gradient())
    }
}
