//! How a signal passes a node on its way back. A [`Rule`] is a small value; [`Rules`] is an ordered list of (where, rule). The first
//! entry that matches a node is used; where none matches, the gradient is. The rules themselves are in `rules`, where LRP
//! decides for each class of operations whether the gradient may serve.

use super::vjp::vjp;
use crate::error::Result;
use crate::graph::op::Activation;
use crate::graph::{Node, NodeId, Op, OpClass};
use crate::kernels::conv::{Clamp, Combine};
use crate::model::Model;
use candle_core::Tensor;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A node on the way back: its values, and the signal at its output.
pub struct Site<'a> {
    /// The net.
    pub model: &'a Model,
    /// The node.
    pub node: &'a Node,
    /// Its id.
    pub id: NodeId,
    /// The values of its inputs, batched.
    pub inputs: &'a [&'a Tensor],
    /// Its value.
    pub output: &'a Tensor,
    /// The signal at its output, shaped as `output`.
    pub flow: &'a Tensor,
}

/// How a signal passes a node.
pub trait Rule: Send + Sync + fmt::Debug {
    /// The rule's name, as notes of artifacts print it.
    fn name(&self) -> String;

    /// One signal for each input, shaped as that input.
    ///
    /// # Errors
    /// Where the rule is not defined for the operation.
    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>>;

    /// The rule at the rectifier `f`, as an epilogue of the kernel that computes the signal; the residual is the rectifier's output.
    /// None where the rule needs more than the signs of that output and of the signal.
    fn as_epilogue(&self, f: Activation) -> Option<(Combine, Clamp)> {
        let _ = f;
        None
    }

    /// As [`Rule::backward`], with the share of the node's bias, for rules that conserve relevance.
    ///
    /// # Errors
    /// As [`Rule::backward`].
    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        Ok(Shares { inputs: self.backward(site)?, bias: 0.0 })
    }
}

/// How the signal at a node is distributed over its inputs and its bias.
pub struct Shares {
    /// One signal for each input, shaped as that input.
    pub inputs: SmallVec<[Tensor; 2]>,
    /// The share of the bias, summed over all outputs.
    pub bias: f64,
}

/// The nodes that a rule is for.
#[derive(Clone)]
pub enum On {
    /// All.
    Any,
    /// Element-wise functions that rectify ([`crate::graph::op::Activation::rectifies`]).
    Rectifiers,
    /// Nodes of this kind ([`crate::graph::Op::kind`]).
    Kind(&'static str),
    /// Nodes of this class ([`crate::graph::Op::class`]).
    Class(OpClass),
    /// Element-wise functions of one input.
    Activation,
    /// Convolutions, transposed ones too.
    Convolution,
    /// Convolutions that no other convolution or linear layer precedes.
    FirstConvolution,
    /// Linear maps over the last axis: fully connected layers.
    Dense,
    /// This node.
    Node(NodeId),
    /// Nodes for which the named test holds.
    Where(&'static str, Arc<dyn Fn(&Site<'_>) -> bool + Send + Sync>),
}

impl fmt::Debug for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            On::Any => f.write_str("any"),
            On::Rectifiers => f.write_str("rectifiers"),
            On::Kind(kind) => f.write_str(kind),
            On::Class(class) => f.write_str(class.name()),
            On::Activation => f.write_str("activations"),
            On::Convolution => f.write_str("convolutions"),
            On::FirstConvolution => f.write_str("first convolutions"),
            On::Dense => f.write_str("linear layers"),
            On::Node(id) => write!(f, "node {}", id.0),
            On::Where(name, _) => f.write_str(name),
        }
    }
}

impl On {
    fn holds(&self, site: &Site<'_>) -> bool {
        match self {
            On::Any => true,
            On::Rectifiers => site.node.op.rectifies(),
            On::Kind(kind) => site.node.op.kind() == *kind,
            On::Class(class) => site.node.op.class() == *class,
            On::Activation => matches!(site.node.op, Op::Activation(_)),
            On::Convolution => is_convolution(&site.node.op),
            On::FirstConvolution => is_convolution(&site.node.op) && is_first(site),
            On::Dense => matches!(site.node.op, Op::Linear { .. }),
            On::Node(id) => site.id == *id,
            On::Where(_, test) => test(site),
        }
    }
}

fn is_convolution(op: &Op) -> bool {
    matches!(op, Op::Conv2d(_) | Op::ConvTranspose2d(..))
}

/// Whether no convolution or linear layer precedes the site.
fn is_first(site: &Site<'_>) -> bool {
    let graph = site.model.graph();
    let before = graph.ancestors(site.id);
    let layer = |id: &NodeId| is_convolution(&graph.node(*id).op) || matches!(graph.node(*id).op, Op::Linear { .. });
    !graph.ids().any(|id| id != site.id && before[id.0] && layer(&id))
}

/// An ordered list of rules: the first that matches a node passes its signal on; where none matches, the gradient does.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub Vec<(On, Arc<dyn Rule>)>);

impl Rules {
    /// The gradient everywhere.
    pub fn gradient() -> Self {
        Rules::default()
    }

    pub(crate) fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        match self.at(site) {
            Some(rule) => rule.backward(site),
            None => vjp(site),
        }
    }

    pub(crate) fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        match self.at(site) {
            Some(rule) => rule.shares(site),
            None => Ok(Shares { inputs: vjp(site)?, bias: 0.0 }),
        }
    }

    /// Whether no rule matches the site, so that it passes the gradient.
    pub(crate) fn is_gradient(&self, site: &Site<'_>) -> bool {
        self.at(site).is_none()
    }

    /// Whether all rules need only the sign of a rectifier's input.
    pub fn need_signs_only(&self) -> bool {
        self.0.iter().all(|(on, rule)| matches!(on, On::Rectifiers) && rule.as_epilogue(Activation::Relu).is_some())
    }

    /// The rule at the rectifier `f` at the site as an epilogue, where it is one.
    pub(crate) fn as_epilogue(&self, site: &Site<'_>, f: Activation) -> Option<(Combine, Clamp)> {
        match self.at(site) {
            Some(rule) => rule.as_epilogue(f),
            None => gradient_mask(f).map(|mask| (mask, Clamp::None)),
        }
    }

    fn at(&self, site: &Site<'_>) -> Option<&Arc<dyn Rule>> {
        self.0.iter().find(|(on, _)| on.holds(site)).map(|(_, rule)| rule)
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (on, rule) in &self.0 {
            write!(f, "{on:?}: {}; ", rule.name())?;
        }
        f.write_str("else gradient")
    }
}

/// The gradient of a rectifier as a mask by the rectifier's output: the signal passes where the output lies between the bounds. None
/// for other functions.
pub(crate) fn gradient_mask(f: Activation) -> Option<Combine> {
    if let Activation::Clip { low: 0.0, high } = f {
        return (high > 0.0).then_some(Combine::Mask(high as f32));
    }
    (f == Activation::Relu).then_some(Combine::Mask(f32::INFINITY))
}
