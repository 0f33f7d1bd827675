//! DeconvNet: a signal projected back to the input.
//!
//! Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 2.1.

use super::projections;
use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attribution::{self, input_signal};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// The signal that DeconvNet projects back to the input: pools unpool by their switches, a rectifier passes the positive
    /// part of the signal (whatever its own input was), convolutions run transposed. Smooth rectifiers (SiLU, GELU, Mish,
    /// hard-swish, ELU) count as rectifiers; a note says so, or that the net has none.
    ///
    /// With a channel and a data set, it shows the crops that excite the channel most beside their projections.
    #[probe(
        family = Where,
        source = "Zeiler, Fergus 2013, section 2.1",
        subjects = "a net, class, channel, unit, direction or sum; a channel where a data set is given",
        input = Any,
        example = "deconvnet().run(net.layer(\"conv2\").channel(3), data)"
    )]
    pub struct Deconvnet as "deconvnet" {
        /// Crops shown where a data set is given.
        top: usize = 9, in 1..=100;
    }
}

impl Probe for Deconvnet {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        match input {
            Input::Data(data) => projections::figure("deconvnet", &Rules::deconvnet(), self.top, on, data, job),
            _ => attribution::of_input(self, on, input, job),
        }
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        input_signal(target, x, &Rules::deconvnet())
    }

    fn rules(&self) -> Option<Rules> {
        Some(Rules::deconvnet())
    }
}
