//! What an architecture is built from besides its file, and what is built.

use crate::graph::op::Activation;
use crate::graph::{Graph, Weights};
use serde::{Deserialize, Serialize};

/// What is between the linear layers of a classifier that is not the architecture's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadActivation {
    /// max(0, x)
    Relu,
    /// x where positive, else 0.01 x
    LeakyRelu,
    /// x Phi(x)
    Gelu,
    /// x sigmoid(x)
    Silu,
    /// tanh(x)
    Tanh,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// Nothing but dropout.
    None,
}

impl HeadActivation {
    /// The activation; none where nothing is between the layers.
    pub(super) fn function(self) -> Option<Activation> {
        match self {
            HeadActivation::Relu => Some(Activation::Relu),
            HeadActivation::LeakyRelu => Some(Activation::LeakyRelu(0.01)),
            HeadActivation::Gelu => Some(Activation::Gelu { tanh: false }),
            HeadActivation::Silu => Some(Activation::Silu),
            HeadActivation::Tanh => Some(Activation::Tanh),
            HeadActivation::Sigmoid => Some(Activation::Sigmoid),
            HeadActivation::None => None,
        }
    }
}

/// What the caller says of a file that the file does not say itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// GoogLeNet's and Inception's option (true as torchvision runs its published weights), and an error elsewhere.
    pub transform_input: Option<bool>,
    /// The activation between the linear layers of a user's own classifier.
    pub head: Option<HeadActivation>,
    /// Whether only shapes are checked: the net is built without its values.
    pub dry: bool,
}

/// A net from a file.
pub struct Built {
    /// Its graph.
    pub graph: Graph,
    /// Its parameters.
    pub weights: Weights,
    /// Notes on how the file was read, for the user.
    pub notes: Vec<String>,
    /// Whether the file has no classifier, so that the outputs are features.
    pub headless: bool,
    /// How many values it has outside the first convolution's weight and the classifier, running means and variances among them.
    pub values: usize,
}
