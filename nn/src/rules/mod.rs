//! How a signal passes an operation on its way back. A rule is a small value; [`Rules`] is an ordered list of
//! (where, rule) in which the first match wins, and the plain gradient serves where none does.

pub mod deep_lift;
pub mod lrp;
pub mod rectifier;

use crate::error::Result;
use crate::graph::op::Activation;
use crate::graph::{Node, NodeId, Op};
use crate::kernels::conv::{Clamp, Combine};
use crate::model::Model;
use crate::pass::vjp::vjp;
use candle_core::Tensor;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

pub use deep_lift::Rescale;
pub use lrp::LrpRule;
pub use rectifier::{Deconvnet, GuidedBackprop};

/// One node on the way back: what it is, what it saw, and the signal at its output.
pub struct Site<'a> {
    /// The net.
    pub model: &'a Model,
    /// The node.
    pub node: &'a Node,
    /// Its place in the graph.
    pub id: NodeId,
    /// The values it took, batched.
    pub inputs: &'a [&'a Tensor],
    /// The value it made.
    pub output: &'a Tensor,
    /// The signal at its output, shaped as `output`.
    pub flow: &'a Tensor,
}

/// How a signal passes a node.
pub trait Rule: Send + Sync + fmt::Debug {
    /// The rule's name, as manifests print it.
    fn name(&self) -> String;

    /// One signal for each input, shaped as that input.
    ///
    /// # Errors
    /// Where the operation is one that the rule cannot pass.
    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>>;

    /// How the signal passes the rectifier `f` where that takes no more than its value's sign and the signal's own.
    fn gate(&self, f: Activation) -> Option<(Combine, Clamp)> {
        let _ = f;
        None
    }

    /// As [`Rule::backward`], with what the node's bias takes, for rules that hand on a conserved quantity.
    ///
    /// # Errors
    /// As [`Rule::backward`].
    fn shares(&self, site: &Site<'_>) -> Result<Shares> {
        Ok(Shares { parts: self.backward(site)?, bias: 0.0 })
    }
}

/// Where the signal at a node goes.
pub struct Shares {
    /// One signal for each input, shaped as that input.
    pub parts: SmallVec<[Tensor; 2]>,
    /// What the bias takes, summed over all outputs.
    pub bias: f64,
}

/// The nodes a rule is meant for.
#[derive(Clone)]
pub enum On {
    /// All.
    Any,
    /// Element-wise functions that rectify ([`crate::graph::op::Activation::rectifies`]).
    Rectifiers,
    /// Nodes of this kind ([`crate::graph::Op::kind`]).
    Kind(&'static str),
    /// Nodes of one of these kinds.
    Kinds(&'static [&'static str]),
    /// Element-wise functions of one input.
    Activation,
    /// Convolutions, transposed ones too.
    Convolution,
    /// Convolutions before which there is no other convolution or linear map.
    FirstConvolution,
    /// Linear maps over the last axis: fully connected layers.
    Dense,
    /// This node.
    Node(NodeId),
    /// Those for which the named test holds.
    Where(&'static str, Arc<dyn Fn(&Site<'_>) -> bool + Send + Sync>),
}

impl fmt::Debug for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            On::Any => f.write_str("any"),
            On::Rectifiers => f.write_str("rectifiers"),
            On::Kind(kind) => f.write_str(kind),
            On::Kinds(kinds) => f.write_str(&kinds.join(", ")),
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
            On::Rectifiers => matches!(site.node.op, Op::Activation(a) if a.rectifies()),
            On::Kind(kind) => site.node.op.kind() == *kind,
            On::Kinds(kinds) => kinds.contains(&site.node.op.kind()),
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

/// Whether no convolution or linear map lies before the site.
fn is_first(site: &Site<'_>) -> bool {
    let graph = site.model.graph();
    let before = graph.ancestors(site.id);
    let layer = |id: &NodeId| is_convolution(&graph.node(*id).op) || matches!(graph.node(*id).op, Op::Linear { .. });
    !graph.ids().any(|id| id != site.id && before[id.0] && layer(&id))
}

/// An ordered list of rules; the first that matches a node passes its signal, else the gradient does.
#[derive(Clone, Debug, Default)]
pub struct Rules(pub Vec<(On, Arc<dyn Rule>)>);

impl Rules {
    /// The plain gradient everywhere.
    pub fn gradient() -> Self {
        Rules::default()
    }

    /// Guided backprop at every rectifier (Springenberg et al. 2014).
    pub fn guided_backprop() -> Self {
        Rules(vec![(On::Rectifiers, Arc::new(GuidedBackprop))])
    }

    /// DeconvNet at every rectifier (Zeiler and Fergus 2013); pools pass by their switches as they do for the gradient.
    pub fn deconvnet() -> Self {
        Rules(vec![(On::Rectifiers, Arc::new(Deconvnet))])
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
            None => Ok(Shares { parts: vjp(site)?, bias: 0.0 }),
        }
    }

    /// Whether the plain gradient serves at the site.
    pub(crate) fn is_gradient(&self, site: &Site<'_>) -> bool {
        self.at(site).is_none()
    }

    /// Whether all rules ask a rectifier only on which side of its kinks its input lay.
    pub fn reads_signs(&self) -> bool {
        self.0.iter().all(|(on, rule)| matches!(on, On::Rectifiers) && rule.gate(Activation::Relu).is_some())
    }

    /// How the signal passes the rectifier `f` at the site, where a kernel can do it on the way.
    pub(crate) fn gate(&self, site: &Site<'_>, f: Activation) -> Option<(Combine, Clamp)> {
        match self.at(site) {
            Some(rule) => rule.gate(f),
            None => rectifier::gate(f).map(|combine| (combine, Clamp::None)),
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
