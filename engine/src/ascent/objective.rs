//! Objectives: functions of a net's values, one value for each image, with the derivative with respect to those values, which is the
//! seed of a backward pass. Objectives can be added and scaled ([`Weighted`]).

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use crate::pass::{Seed, Tap, Trace};
use crate::rules::Rules;
use crate::subject::Subject;
use crate::tensor::{VALUES_PER_TASK, tensor, to_f64};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// The values of an objective and where a backward pass starts.
pub struct Measured {
    /// One value an image.
    pub values: Vec<f64>,
    /// The derivative of their sum with respect to the values of the nodes that were read.
    pub seed: Seed,
}

/// A function of a net's values for a batch of images.
pub trait Objective: Send + Sync {
    /// The nodes whose values it reads.
    ///
    /// # Errors
    /// Where it reads no node.
    fn nodes(&self) -> Result<Vec<NodeId>>;

    /// Its value for each image of a trace and their derivatives.
    ///
    /// # Errors
    /// Where the trace lacks a node.
    fn measure(&self, trace: &Trace) -> Result<Measured>;

    /// Whether each image's value is independent of the other images of the batch, and `measure` takes traces of some of the images
    /// ([`Trace::samples`]): then the batch passes in groups, which is faster.
    fn judges_apart(&self) -> bool {
        false
    }
}

/// The objective of each image `x` (N x C x H x W in net units) and the gradient of their sum with respect to `x`.
///
/// # Errors
/// As the passes.
pub fn measure(model: &Model, objective: &dyn Objective, x: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
    let shape = model.input_shape();
    let dims = [&[x.len() / shape.iter().product::<usize>().max(1)], shape].concat();
    let input = match model.dtype() {
        DType::F32 => {
            tensor(x.par_iter().with_min_len(VALUES_PER_TASK).map(|v| *v as f32).collect::<Vec<f32>>(), &dims)?
        }
        _ => tensor(x.to_vec(), &dims)?,
    };
    let (values, gradient) = measure_input(model, objective, &input)?;
    Ok((values, to_f64(&gradient)?))
}

/// As [`measure`], for a batch as the net's input tensor, in the net's number type; the gradient has the same form.
///
/// # Errors
/// As the passes.
pub fn measure_input(model: &Model, objective: &dyn Objective, input: &Tensor) -> Result<(Vec<f64>, Tensor)> {
    let (model, tap, rules) = (model.with_winograd_forward(), Tap::Signs(objective.nodes()?), Rules::gradient());
    let wanted = model.graph().input();
    if !objective.judges_apart() {
        let trace = model.forward(input, &tap)?;
        let Measured { values, seed } = objective.measure(&trace)?;
        return Ok((values, trace.backward_to(wanted, seed, &rules)?));
    }
    let measured = |trace: &Trace| objective.measure(trace).map(|m| (m.seed, m.values));
    let (gradient, values) = model.backpropagate(input, &tap, wanted, &rules, measured)?;
    Ok((values.concat(), gradient))
}

/// The scores of subjects: of the n-th subject for image n, or of a single subject for all images.
pub struct Score(pub Vec<Subject>);

impl Objective for Score {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        let mut all = self.0.iter().map(Subject::nodes).collect::<Result<Vec<_>>>()?.concat();
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        if let [one] = &self.0[..] {
            return Ok(Measured { values: one.scores(trace)?, seed: one.seed(trace)? });
        }
        let batch = trace.batch();
        let Some(subjects) = self.0.get(trace.samples()) else {
            return Err(Error::internal(format!("{} subjects for the images {:?}", self.0.len(), trace.samples())));
        };
        let mut values = Vec::with_capacity(batch);
        let mut seed = Seed::new();
        for (n, subject) in subjects.iter().enumerate() {
            values.push(subject.scores(trace)?[n]);
            for (node, weights) in subject.seed(trace)? {
                let mut rows = to_f64(&weights)?;
                let each = rows.len() / batch;
                rows.iter_mut().enumerate().filter(|(i, _)| i / each != n).for_each(|(_, v)| *v = 0.0);
                seed.push((node, tensor(rows, weights.dims())?));
            }
        }
        Ok(Measured { values, seed })
    }

    fn judges_apart(&self) -> bool {
        true
    }
}

/// How well a layer's code matches a given one: -|phi - phi0|^2 / |phi0|^2 (Mahendran and Vedaldi 2014, equation 5).
pub struct MatchCode {
    /// The layer.
    pub node: NodeId,
    /// The code phi0, a value for each value of the layer; NaN values are not matched.
    pub code: Vec<f64>,
}

impl Objective for MatchCode {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        Ok(vec![self.node])
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        let value = trace.get(self.node)?;
        let mut phi = to_f64(value)?;
        let asked = self.code.iter().filter(|c| !c.is_nan());
        let norm = asked.map(|c| c * c).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut values = Vec::new();
        for row in phi.chunks_mut(self.code.len()) {
            let mut sum = 0.0;
            for (p, c) in row.iter_mut().zip(&self.code) {
                let d = if c.is_nan() { 0.0 } else { *p - c };
                sum += d * d;
                *p = -2.0 * d / norm;
            }
            values.push(-sum / norm);
        }
        Ok(Measured { values, seed: vec![(self.node, tensor(phi, value.dims())?)] })
    }

    fn judges_apart(&self) -> bool {
        true
    }
}

/// The alignment of a layer's code with a given direction: <phi, v> cos(phi, v)^power with |v| = 1
/// (Olah et al. 2019, "Activation Atlas": the dot product times a power of the cosine; never below cos = 0.1).
pub struct CodeAlignment {
    /// The layer.
    pub node: NodeId,
    /// The direction, a value for each value of the layer.
    pub direction: Vec<f64>,
    /// The exponent of the cosine; 0 leaves the dot product.
    pub power: f64,
}

impl Objective for CodeAlignment {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        Ok(vec![self.node])
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        let value = trace.get(self.node)?;
        let mut phi = to_f64(value)?;
        let length = self.direction.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        let mut values = Vec::new();
        for row in phi.chunks_mut(self.direction.len()) {
            let dot = row.iter().zip(&self.direction).map(|(p, v)| p * v / length).sum::<f64>();
            let norm = row.iter().map(|p| p * p).sum::<f64>().sqrt().max(1e-12);
            let cosine = dot / norm;
            let held = cosine.max(0.1);
            let factor = libm::pow(held, self.power);
            values.push(dot * factor);
            // d(dot f) = f v + dot f' dcos; dcos = (v - cos phi / |phi|) / |phi|, none where the cosine is held.
            let slope = if cosine > 0.1 { dot * self.power * factor / held / norm } else { 0.0 };
            for (p, v) in row.iter_mut().zip(&self.direction) {
                let v = v / length;
                *p = factor * v + slope * (v - cosine * *p / norm);
            }
        }
        Ok(Measured { values, seed: vec![(self.node, tensor(phi, value.dims())?)] })
    }

    fn judges_apart(&self) -> bool {
        true
    }
}

/// A weighted sum of objectives.
pub struct Weighted(pub Vec<(f64, Box<dyn Objective>)>);

impl Objective for Weighted {
    fn nodes(&self) -> Result<Vec<NodeId>> {
        let mut all = self.0.iter().map(|(_, o)| o.nodes()).collect::<Result<Vec<_>>>()?.concat();
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn measure(&self, trace: &Trace) -> Result<Measured> {
        let mut sum = Measured { values: vec![0.0; trace.batch()], seed: Seed::new() };
        for (weight, objective) in &self.0 {
            let part = objective.measure(trace)?;
            sum.values.iter_mut().zip(part.values).for_each(|(s, v)| *s += weight * v);
            for (node, t) in part.seed {
                sum.seed.push((node, (t * *weight)?));
            }
        }
        Ok(sum)
    }

    fn judges_apart(&self) -> bool {
        self.0.iter().all(|(_, objective)| objective.judges_apart())
    }
}
