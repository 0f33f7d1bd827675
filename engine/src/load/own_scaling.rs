//! The scaling of pixels inside a net, before its first layer: exports of Keras and of pipelines contain it, and must not get
//! pixels that are scaled already.

use crate::graph::op::Binary;
use crate::graph::{NodeId, Op};
use crate::model::Model;
use crate::tensor::to_f64;

/// The scaling of each channel of a photo before the first layer: factor * x + shift.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnScaling {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

/// The range of pixel values that a net takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 to 255.
    Bytes,
    /// 0 to 1.
    Unit,
}

impl OwnScaling {
    /// The scaling before the first layer of `net`; none where there is none, or where it is no line for each channel.
    pub fn of(net: &Model) -> Option<OwnScaling> {
        let graph = net.graph();
        let &[channels, _, _] = net.input_shape() else { return None };
        // Where each channel of the value so far stands in the photo.
        let mut from: Vec<usize> = (0..channels).collect();
        let mut line = OwnScaling { factor: vec![1.0; channels], shift: vec![0.0; channels] };
        let plain = line.clone();
        let mut at = graph.input();
        while let Some(next) = only_reader(net, at) {
            let node = graph.node(next);
            let values = |param| {
                let values = to_f64(net.weights().tensor(param)).ok()?;
                match values.len() {
                    1 => Some(vec![values[0]; channels]),
                    n => (n == channels).then_some(values),
                }
            };
            match &node.op {
                Op::Identity | Op::Transpose(_) | Op::Reshape(_) => {}
                Op::Select { axis, index } if node.shape[*axis] == channels && index.len() == channels => {
                    let (order, old) = (index.to_vec(), line.clone());
                    from = order.iter().map(|c| from.get(*c).copied()).collect::<Option<_>>()?;
                    line.factor = order.iter().map(|c| old.factor[*c]).collect();
                    line.shift = order.iter().map(|c| old.shift[*c]).collect();
                }
                Op::Binary(op) => {
                    let other = node.inputs.iter().find(|i| **i != at)?;
                    let Op::Constant(param) = graph.node(*other).op else { break };
                    let Some(values) = values(param) else { break };
                    let first = node.inputs[0] == *other;
                    match (op, first) {
                        (Binary::Add, _) => line.moved(&values, 1.0),
                        (Binary::Sub, false) => line.moved(&values, -1.0),
                        (Binary::Mul, _) => line.stretched(values.into_iter()),
                        (Binary::Div, false) => line.stretched(values.into_iter().map(|v| 1.0 / v)),
                        _ => break,
                    }
                }
                Op::BatchNorm { scale, shift, mean, var, eps } => {
                    let all = [*scale, *shift, *mean, *var].map(values);
                    let [Some(scale), Some(shift), Some(mean), Some(var)] = all else { break };
                    line.moved(&mean, -1.0);
                    line.stretched(scale.iter().zip(&var).map(|(s, v)| s / (v + eps).sqrt()));
                    line.moved(&shift, 1.0);
                    // A layer with scales of its own is the first one.
                    break;
                }
                _ => break,
            }
            at = next;
        }
        let mut placed = line.clone();
        for (c, to) in from.into_iter().enumerate() {
            (placed.factor[to], placed.shift[to]) = (line.factor[c], line.shift[c]);
        }
        (line != plain).then_some(placed)
    }

    fn moved(&mut self, by: &[f64], sign: f64) {
        self.shift.iter_mut().zip(by).for_each(|(s, b)| *s += sign * b);
    }

    fn stretched(&mut self, by: impl Iterator<Item = f64>) {
        for ((f, s), b) in self.factor.iter_mut().zip(&mut self.shift).zip(by) {
            (*f, *s) = (*f * b, *s * b);
        }
    }

    /// The value of each channel that becomes zero.
    fn centres(&self) -> Vec<f64> {
        self.factor.iter().zip(&self.shift).map(|(f, s)| -s / f).collect()
    }

    /// What pixels must be so that their middle becomes about 0 and their spread about 1.
    pub fn takes(&self) -> Option<Range> {
        let centres = self.centres();
        let spreads: Vec<f64> = self.factor.iter().map(|f| 1.0 / f.abs()).collect();
        let all = |of: &[f64], low: f64, high: f64| of.iter().all(|v| (low..=high).contains(v));
        if all(&spreads, 30.0, 300.0) || all(&centres, 40.0, 215.0) {
            return Some(Range::Bytes);
        }
        (all(&spreads, 0.1, 0.6) && all(&centres, 0.2, 0.8)).then_some(Range::Unit)
    }

    /// Whether the means that it takes off rise from the first channel to the last as ImageNet's do from blue to red.
    pub fn is_bgr(&self) -> bool {
        let centres = self.centres();
        let scale = if self.takes() == Some(Range::Unit) { 255.0 } else { 1.0 };
        let [blue, green, red] = centres[..] else { return false };
        let near = |v: f64, mean: f64| (v * scale - mean).abs() < 4.0;
        near(blue, 103.9) && near(green, 116.8) && near(red, 123.7)
    }
}

/// The only node that takes a value.
fn only_reader(net: &Model, id: NodeId) -> Option<NodeId> {
    match net.graph().consumers(id) {
        [only] => Some(*only),
        _ => None,
    }
}
