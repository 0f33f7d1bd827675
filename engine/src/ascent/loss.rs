//! The objectives of attacks: losses of the class scores, with one aim for each image.

use super::objective::{Measured, Objective};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::kernels::softmax;
use crate::model::{Model, OutputKind, Readout};
use crate::pass::Trace;
use crate::tensor::{tensor, to_f64};

/// What one image's prediction should become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Anything but this class.
    Not(usize),
    /// This class.
    Be(usize),
}

impl Aim {
    /// Whether the largest score fits the aim; of equal scores the first is the largest, as for predictions.
    pub fn reached(self, scores: &[f64]) -> bool {
        let best = crate::subject::argmax(scores);
        match self {
            Aim::Not(class) => best != class,
            Aim::Be(class) => best == class,
        }
    }

    /// How far the scores are beyond the boundary, below zero where the aim is not reached: for a target its score over
    /// the largest other one, otherwise the largest other score over the class's own; and the classes of the two.
    pub fn margin(self, scores: &[f64]) -> (f64, usize, usize) {
        let (Aim::Not(class) | Aim::Be(class)) = self;
        let other = scores.iter().enumerate().filter(|(i, _)| *i != class);
        let other = other.fold(None, |best: Option<(usize, f64)>, (i, s)| match best {
            Some((_, b)) if b >= *s => best,
            _ => Some((i, *s)),
        });
        let (other, score) = other.unwrap_or((class, scores[class]));
        match self {
            Aim::Be(_) => (scores[class] - score, class, other),
            Aim::Not(_) => (score - scores[class], other, class),
        }
    }
}

/// The cross-entropy -log p of a class, p as the net's outputs mean it ([`Readout`]): away from a class it grows, towards a
/// class it shrinks.
pub struct CrossEntropy {
    node: NodeId,
    readout: Readout,
    /// One aim an image.
    pub aims: Vec<Aim>,
}

impl CrossEntropy {
    /// Over the raw class scores of a net.
    pub fn new(model: &Model, aims: Vec<Aim>) -> Self {
        CrossEntropy { node: model.graph().scores(), readout: model.readout(), aims }
    }
}

impl Objective for CrossEntropy {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        Ok(vec![self.node])
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        rows(trace, self.node, self.readout, &self.aims, |scores, aim| {
            let (class, sign) = match aim {
                Aim::Not(class) => (class, 1.0),
                Aim::Be(class) => (class, -1.0),
            };
            let (log, mut row) = log_probability(self.readout, scores, class);
            row.iter_mut().for_each(|r| *r *= -sign);
            (-sign * log, row)
        })
    }

    fn judges_apart(&self) -> bool {
        true
    }
}

/// ln p of a class, and its derivative with respect to the decision's numbers.
fn log_probability(readout: Readout, decision: &[f64], class: usize) -> (f64, Vec<f64>) {
    let n = decision.len();
    let mut row = vec![0.0; n];
    match readout.kind {
        OutputKind::Sigmoid if !readout.is_binary() => {
            let s = decision[class];
            let log = if s > 0.0 { -libm::log1p(libm::exp(-s)) } else { s - libm::log1p(libm::exp(s)) };
            row[class] = 1.0 - libm::exp(log);
            (log, row)
        }
        OutputKind::Probability => {
            let p = decision[class].max(f64::MIN_POSITIVE);
            row[class] = 1.0 / p;
            (libm::log(p / readout.whole), row)
        }
        OutputKind::Softmax | OutputKind::Sigmoid | OutputKind::Value => {
            let p = softmax::softmax(n, 1, false, decision);
            let log = softmax::softmax(n, 1, true, decision);
            row.iter_mut().zip(p).for_each(|(r, p)| *r -= p);
            row[class] += 1.0;
            (log[class], row)
        }
    }
}

/// The margin beyond the decision boundary ([`Aim::margin`]), cut off at `kappa` (Carlini and Wagner 2016, f6).
pub struct Margin {
    node: NodeId,
    readout: Readout,
    /// One aim an image.
    pub aims: Vec<Aim>,
    /// Where it no longer grows.
    pub kappa: f64,
    /// The weight of each image's margin.
    pub weights: Vec<f64>,
}

impl Margin {
    /// Over the raw class scores of a net.
    pub fn new(model: &Model, aims: Vec<Aim>, kappa: f64) -> Self {
        let weights = vec![1.0; aims.len()];
        Margin { node: model.graph().scores(), readout: model.readout(), aims, kappa, weights }
    }
}

impl Objective for Margin {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        Ok(vec![self.node])
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        let mut n = trace.samples().start;
        rows(trace, self.node, self.readout, &self.aims, |scores, aim| {
            let weight = self.weights[n];
            n += 1;
            let (margin, up, down) = aim.margin(scores);
            let mut row = vec![0.0; scores.len()];
            if margin < self.kappa {
                row[up] += weight;
                row[down] -= weight;
            }
            (weight * margin.min(self.kappa), row)
        })
    }

    fn judges_apart(&self) -> bool {
        true
    }
}

fn rows(
    trace: &Trace,
    node: NodeId,
    readout: Readout,
    aims: &[Aim],
    mut each: impl FnMut(&[f64], Aim) -> (f64, Vec<f64>),
) -> Result<Measured> {
    let value = trace.get(node)?;
    let flat = to_f64(value)?;
    let Some(aims) = aims.get(trace.samples()) else {
        return Err(Error::internal(format!("{} aims for the images {:?}", aims.len(), trace.samples())));
    };
    let len = flat.len() / aims.len().max(1);
    let (mut values, mut seed) = (Vec::new(), Vec::with_capacity(flat.len()));
    for (scores, aim) in flat.chunks(len).zip(aims) {
        let (v, row) = each(&readout.decision(scores), *aim);
        values.push(v);
        seed.extend(readout.to_scores(&row));
    }
    Ok(Measured { values, seed: vec![(node, tensor(seed, value.dims())?)] })
}

/// log(1 - p) of one class: the logarithm of the sum of all others' exponentials minus that of the sum of all.
pub struct Escape {
    node: NodeId,
    readout: Readout,
    class: usize,
}

impl Escape {
    /// Away from `class` over the raw class scores of a net.
    pub fn new(model: &Model, class: usize) -> Self {
        Escape { node: model.graph().scores(), readout: model.readout(), class }
    }
}

impl Objective for Escape {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        Ok(vec![self.node])
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        let aims = vec![Aim::Not(self.class); trace.samples().end];
        rows(trace, self.node, self.readout, &aims, |scores, _| {
            let kind = self.readout.kind;
            if kind == OutputKind::Probability || (kind == OutputKind::Sigmoid && !self.readout.is_binary()) {
                let p = match kind {
                    OutputKind::Probability => scores[self.class],
                    _ => self.readout.of_decision(scores)[self.class],
                };
                let mut row = vec![0.0; scores.len()];
                let whole = self.readout.whole;
                let rest = (whole - p).max(f64::MIN_POSITIVE);
                row[self.class] = if kind == OutputKind::Sigmoid { -p } else { -1.0 / rest };
                return (libm::log(rest / whole), row);
            }
            let mut others = scores.to_vec();
            others[self.class] = f64::NEG_INFINITY;
            let top = |s: &[f64]| s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = |s: &[f64]| {
                let m = top(s);
                m + libm::log(s.iter().map(|v| libm::exp(v - m)).sum())
            };
            let (all, rest) = (sum(scores), sum(&others));
            let row = scores.iter().zip(&others).map(|(a, b)| libm::exp(b - rest) - libm::exp(a - all)).collect();
            (rest - all, row)
        })
    }

    fn judges_apart(&self) -> bool {
        true
    }
}
