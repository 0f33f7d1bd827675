//! The data gradient and its two relatives, which differ only in the rule by which a signal passes a rectifier.
//!
//! Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", 2013, section 3; Springenberg, Dosovitskiy,
//! Brox, Riedmiller, "Striving for Simplicity", 2014, section 3.4; Zeiler, Fergus, "Visualizing and Understanding
//! Convolutional Networks", 2013, section 2.1.

use super::projections;
use crate::error::Result;
use crate::job::Job;
use crate::probe::{About, Family, Probe, Takes};
use crate::probes::attribution::{self, input_signal};
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// The data gradient dS/dI of a score by the preprocessed input, shown as the largest magnitude over channels.
    ///
    /// S is the raw class score before a softmax, a channel's spatial mean, one activation, a direction, or a sum of these.
    pub struct Gradient as "gradient" {}
}

crate::params! {
    /// The gradient that passes a rectifier only where both its input and the signal are positive.
    pub struct GuidedBackprop as "guided_backprop" {}
}

crate::params! {
    /// The signal that DeconvNet projects back to the input: pools unpool by their switches, a rectifier passes what is
    /// positive of the signal (whatever its own input was), convolutions run transposed.
    ///
    /// Asked of a channel over a data set, it shows the crops that excite the channel most beside their projections.
    pub struct Deconvnet as "deconvnet" {
        /// Crops shown where a data set is given.
        top: usize = 9, in 1..=100;
    }
}

/// A probe that is one backward pass under some rules.
macro_rules! signal {
    ($probe:ident, $source:literal, $example:literal, $rules:expr) => {
        impl Probe for $probe {
            fn about(&self) -> About {
                About {
                    family: Family::Where,
                    source: $source,
                    subjects: "a net, class, channel, unit, direction or sum",
                    input: Takes::One,
                    example: $example,
                }
            }

            fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
                attribution::of_input(self, on, input, job)
            }

            fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
                input_signal(target, x, &$rules)
            }

            fn rules(&self) -> Option<Rules> {
                Some($rules)
            }
        }
    };
}

signal!(Gradient, "Simonyan, Vedaldi, Zisserman 2013, section 3", "gradient().run(net, image)", Rules::gradient());
signal!(
    GuidedBackprop,
    "Springenberg et al. 2014, section 3.4",
    "guided_backprop().run(net, image)",
    Rules::guided_backprop()
);

impl Probe for Deconvnet {
    fn about(&self) -> About {
        About {
            family: Family::Where,
            source: "Zeiler, Fergus 2013, section 2.1",
            subjects: "a net, class, channel, unit, direction or sum; a channel where a data set is given",
            input: Takes::Any,
            example: "deconvnet().run(net.layer(\"conv2\").channel(3), data)",
        }
    }

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
