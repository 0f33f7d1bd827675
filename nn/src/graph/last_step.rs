//! Last steps of a net that say less than the scores before them: sorting, the index of the largest, a threshold. Questions are about
//! the scores before such a step.

use super::dag::{Graph, NodeId};
use super::elementary::Elementary;
use super::op::{Activation, Binary, Op, Sampling};

/// A step behind the scores of all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastStep {
    /// Some of the scores of `of` classes, in order of their size.
    Sorted {
        /// How many are kept.
        kept: usize,
        /// How many classes there are.
        of: usize,
    },
    /// The indices of the largest scores.
    Indices {
        /// How many classes there are.
        of: usize,
    },
    /// 0 or 1: whether a probability is large enough.
    Threshold,
}

impl LastStep {
    /// What a reader should know of it.
    pub fn note(self) -> String {
        match self {
            LastStep::Sorted { kept, of } => {
                format!("the output is {kept} of {of} scores in order of size: the scores of all {of} classes are read")
            }
            LastStep::Indices { of } => format!(
                "the output is the place of the largest score (argmax), which has no gradient: the {of} scores before it are read"
            ),
            LastStep::Threshold => {
                "the output is 0 or 1 by a threshold, which has no gradient: the probabilities before it are read"
                    .into()
            }
        }
    }
}

impl Graph {
    /// The node whose value holds the scores, probabilities or quantities that the output is made of: that before a
    /// [`Graph::last_step`], else the output.
    pub fn head(&self) -> NodeId {
        self.last_step().map_or(self.output(), |(before, _)| before)
    }

    /// The step that only sorts the scores of classes, names the largest, or compares probabilities with a number, and the node
    /// before it; none where the output ends otherwise.
    pub fn last_step(&self) -> Option<(NodeId, LastStep)> {
        let mut id = self.output();
        loop {
            let node = self.node(id);
            let before = *node.inputs.first()?;
            if let Op::Order { axis, k, largest, indices } = node.op {
                let of = self.node(before).shape[axis];
                let step = if indices { LastStep::Indices { of } } else { LastStep::Sorted { kept: k, of } };
                return ((largest || !indices) && self.is_over_classes(before, axis)).then_some((before, step));
            }
            if matches!(node.op, Op::Activation(Activation::Step(_))) {
                let before = self.before_difference(before);
                return self.is_squashed(before).then_some((before, LastStep::Threshold));
            }
            if !is_passed(&node.op) {
                return None;
            }
            id = before;
        }
    }

    /// Whether the output is 0 or 1 by a threshold, which has no gradient.
    pub fn is_threshold(&self) -> bool {
        let mut id = self.output();
        while is_passed(&self.node(id).op) {
            id = self.node(id).inputs[0];
        }
        matches!(self.node(id).op, Op::Activation(Activation::Step(_)))
    }

    /// Whether the output holds the signs of numbers, -1, 0 or 1, which have no gradient.
    pub fn is_sign(&self) -> bool {
        let mut id = self.output();
        while is_passed(&self.node(id).op) {
            id = self.node(id).inputs[0];
        }
        self.node(id).op == Op::Activation(Activation::Elementary(Elementary::Sign))
    }

    /// The node from which a constant is taken off, as comparisons do; else `id`.
    fn before_difference(&self, id: NodeId) -> NodeId {
        let node = self.node(id);
        match (&node.inputs[..], matches!(node.op, Op::Binary(Binary::Sub))) {
            (&[value, other], true) if matches!(self.node(other).op, Op::Constant(_)) => value,
            _ => id,
        }
    }

    /// Whether an axis is that of the classes: of the only one with several entries, or of a map's channels.
    fn is_over_classes(&self, id: NodeId, axis: usize) -> bool {
        let shape = &self.node(id).shape;
        if shape.iter().filter(|n| **n > 1).count() <= 1 {
            return shape[axis] > 1;
        }
        let stride: usize = shape[axis + 1..].iter().product();
        let maps = self.map_layout(id).filter(|l| l.shape[1] * l.shape[2] > 1);
        maps.is_some_and(|l| l.shape[0] == shape[axis] && l.strides[0] == stride as isize && shape[axis] > 1)
    }

    /// Whether a node's values are those of a sigmoid or softmax, or some of them.
    fn is_squashed(&self, mut id: NodeId) -> bool {
        loop {
            let node = self.node(id);
            let squashes = matches!(
                node.op,
                Op::Activation(Activation::Sigmoid | Activation::HardSigmoid { .. }) | Op::Softmax { .. }
            );
            let laid_out = matches!(node.op, Op::Reshape(_) | Op::Transpose(_) | Op::Identity | Op::Select { .. });
            if squashes || !laid_out {
                return squashes;
            }
            id = node.inputs[0];
        }
    }

    /// Whether a node's values are numbers in order of size, or a function of each, where they are not the scores of classes.
    pub(super) fn is_sorted(&self, mut id: NodeId) -> bool {
        loop {
            let node = self.node(id);
            let passed = matches!(
                node.op,
                Op::Reshape(_)
                    | Op::Transpose(_)
                    | Op::Identity
                    | Op::Select { .. }
                    | Op::Activation(_)
                    | Op::Softmax { .. }
            );
            if !passed {
                return matches!(node.op, Op::Order { indices: false, .. });
            }
            id = node.inputs[0];
        }
    }

    /// Whether a node's values are a picture's: one channel or three that a tanh bounds.
    pub(super) fn is_picture(&self, id: NodeId) -> bool {
        let tanh = matches!(self.node(self.through_shapes(id)).op, Op::Activation(Activation::Tanh));
        tanh && self.map_layout(id).is_some_and(|l| l.shape[1] * l.shape[2] > 1 && matches!(l.shape[0], 1 | 3))
    }

    /// Whether the output is a picture: a tanh bounds it, or the net draws it from a list of numbers.
    pub fn is_drawn(&self) -> bool {
        self.draws() || self.is_picture(self.head())
    }

    /// Whether the net draws a map of one channel or three from a list of numbers: there are no positions to be classified.
    pub fn draws(&self) -> bool {
        let list = matches!(self.node(self.input()).shape[..], [n] if n > 1);
        list && self
            .map_layout(self.scores())
            .is_some_and(|l| l.shape[1] * l.shape[2] > 1 && matches!(l.shape[0], 1 | 3))
    }
}

/// Whether an operation keeps places and whole numbers as they are, in other shapes and orders.
fn is_passed(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Identity
            | Op::Select { .. }
            | Op::Resize { sampling: Sampling::Nearest, .. }
            | Op::Activation(Activation::Elementary(Elementary::Truncate))
    )
}
