//! The layers of a net as far as they tell what net it is: kernels, weights and normalisations, with their shapes.

use crate::graph::Op;
use crate::model::Model;
use std::collections::BTreeMap;
use std::fmt;

/// A layer by what its shape tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// A convolution: channels out, channels in (of a group), rows and columns of the kernel.
    Conv([usize; 4]),
    /// A linear layer: out, in.
    Linear([usize; 2]),
    /// A normalisation over neighbouring channels: how many, and whether it stands behind a pool.
    ResponseNorm(usize, bool),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |sizes: &[usize]| sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
        match self {
            Layer::Conv(shape) => write!(f, "a convolution of {}", by(shape)),
            Layer::Linear(shape) => write!(f, "a linear layer of {}", by(shape)),
            Layer::ResponseNorm(channels, behind) => {
                let place = if *behind { "behind a pool" } else { "before its pool" };
                write!(f, "a response normalisation of {channels} channels {place}")
            }
        }
    }
}

/// A convolution with a square kernel.
pub(super) fn conv(out: usize, inputs: usize, kernel: usize) -> Layer {
    Layer::Conv([out, inputs, kernel, kernel])
}

/// A linear layer.
pub(super) fn linear(out: usize, inputs: usize) -> Layer {
    Layer::Linear([out, inputs])
}

/// A normalisation over neighbouring channels of what a pool gives.
pub(super) fn norm_behind_pool(channels: usize) -> Layer {
    Layer::ResponseNorm(channels, true)
}

/// A normalisation over neighbouring channels of what a rectifier gives.
pub(super) fn norm_before_pool(channels: usize) -> Layer {
    Layer::ResponseNorm(channels, false)
}

/// The layers of a net that was read.
fn of(net: &Model) -> Vec<Layer> {
    let shape = |param| net.weights().tensor(param).dims().to_vec();
    let graph = net.graph();
    let layer = |id| {
        let node = graph.node(id);
        match &node.op {
            Op::Conv2d(conv) => shape(conv.weight).try_into().ok().map(Layer::Conv),
            Op::Linear { weight, .. } => shape(*weight).try_into().ok().map(Layer::Linear),
            Op::LocalResponseNorm { .. } => {
                let behind = matches!(graph.node(node.inputs[0]).op, Op::MaxPool(_));
                Some(Layer::ResponseNorm(*node.shape.first()?, behind))
            }
            _ => None,
        }
    };
    graph.ids().filter_map(layer).collect()
}

/// The first layer of which a net has not as many as `want`, or nothing.
pub(super) fn difference(want: &[Layer], net: &Model) -> Option<String> {
    let mut balance: BTreeMap<Layer, i64> = BTreeMap::new();
    want.iter().for_each(|layer| *balance.entry(layer.clone()).or_default() += 1);
    of(net).into_iter().for_each(|layer| *balance.entry(layer).or_default() -= 1);
    balance.into_iter().find(|(_, n)| *n != 0).map(|(layer, n)| match n {
        1.. => format!("{layer} is missing"),
        _ => format!("{layer} is not that net's"),
    })
}
