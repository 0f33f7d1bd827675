//! The top-k activations of many units, channels or directions over a data set in one pass, as a running state that can be
//! interrupted, saved, continued and joined with those of other shards.

use crate::error::{Error, Result};
use crate::graph::axes::MapLayout;
use crate::graph::{NodeId, ReceptiveField};
use crate::kernels::matmul::{Matrix, matmul};
use crate::model::Model;
use crate::pass::{Tap, Trace};
use crate::subject::Subject;
use crate::tensor::to_f32;

mod state;

pub use state::TopActivations;

/// What is computed for every image: for each question one map of activations, or a single one.
#[derive(Clone, Debug)]
pub struct Query {
    /// The net.
    pub model: Model,
    /// The questions' names.
    pub names: Vec<String>,
    /// The layer, where the activations are of one.
    pub node: Option<NodeId>,
    /// Rows and columns of a question's map.
    pub map: [usize; 2],
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// These channels of the layer.
    Channels(std::ops::Range<usize>),
    /// One value of the layer, by its place row-major.
    Value(usize),
    /// <phi(y, x), v> at each position, v by v; one value a channel each.
    Directions(Vec<f32>),
    /// A single score.
    Score(Subject),
}

impl Query {
    /// The questions of `on`: all channels of a layer, one channel, one unit, one direction, or a score.
    ///
    /// # Errors
    /// For a net or a list of nets, and for layers without channels.
    pub fn of(on: &Subject) -> Result<Self> {
        let score = |model: &Model| Query {
            model: model.clone(),
            names: vec![on.to_string()],
            node: None,
            map: [1, 1],
            kind: Kind::Score(on.clone()),
        };
        match on {
            Subject::Layer { model, node } => {
                let (channels, map) = channels(model, *node)?;
                let name = &model.graph().node(*node).name;
                let names = (0..channels).map(|c| format!("{name}[{c}]")).collect();
                Ok(Query { model: model.clone(), names, node: Some(*node), map, kind: Kind::Channels(0..channels) })
            }
            Subject::Channel { model, node, index } => {
                let (_, map) = channels(model, *node)?;
                let kind = Kind::Channels(*index..*index + 1);
                Ok(Query { model: model.clone(), names: vec![on.to_string()], node: Some(*node), map, kind })
            }
            Subject::Unit { model, node, at } => {
                let strides = crate::kernels::rearrange::strides(&model.graph().node(*node).shape);
                let kind = Kind::Value(at.iter().zip(strides).map(|(i, s)| i * s).sum());
                Ok(Query { model: model.clone(), names: vec![on.to_string()], node: Some(*node), map: [1, 1], kind })
            }
            Subject::Direction { model, node, vector } => match channels(model, *node) {
                Ok((n, _)) if n == vector.len() => Self::directions(model, *node, vector.clone(), vec![on.to_string()]),
                _ => Ok(score(model)),
            },
            Subject::Class { model, .. } => Ok(score(model)),
            Subject::Sum(_) => Ok(score(on.model()?)),
            other => Err(Error::subject(format!("{other} has no single answer"))
                .hint("ask about a layer (all its channels), a channel, a unit, a direction or a class")),
        }
    }

    /// Several directions of one layer, one value a channel each, one after the other in `vectors`.
    ///
    /// # Errors
    /// Where the layer has no channels.
    pub fn directions(model: &Model, node: NodeId, vectors: Vec<f32>, names: Vec<String>) -> Result<Self> {
        let (_, map) = channels(model, node)?;
        Ok(Query { model: model.clone(), names, node: Some(node), map, kind: Kind::Directions(vectors) })
    }

    /// The values that a forward pass must keep.
    ///
    /// # Errors
    /// Where the score has no nodes.
    pub fn tap(&self) -> Result<Tap> {
        Ok(Tap::Only(match (&self.kind, self.node) {
            (Kind::Score(subject), _) => subject.nodes()?,
            (_, Some(node)) => vec![node],
            _ => Vec::new(),
        }))
    }

    /// The activations of all questions: for each sample, question by question, its map row by row.
    ///
    /// # Errors
    /// Where the trace lacks the layer.
    pub fn answers(&self, trace: &Trace) -> Result<Vec<f32>> {
        if let Kind::Score(subject) = &self.kind {
            return Ok(subject.scores(trace)?.into_iter().map(|s| s as f32).collect());
        }
        let Some(node) = self.node else { return Err(Error::internal("a question without a layer")) };
        let value = trace.get(node)?;
        let mut all = to_f32(value)?;
        let plane = self.map[0] * self.map[1];
        if let (Some(layout), false) = (self.model.graph().rearranged_map(node), matches!(self.kind, Kind::Value(_))) {
            all = all.chunks(all.len() / value.dims()[0].max(1)).flat_map(|s| layout.gather(s)).collect();
        }
        let samples = all.chunks((all.len() / value.dims()[0].max(1)).max(1));
        Ok(match &self.kind {
            Kind::Channels(range) if range.len() * plane * value.dims()[0] == all.len() => all,
            Kind::Channels(range) => samples.flat_map(|s| s[range.start * plane..range.end * plane].to_vec()).collect(),
            Kind::Value(place) => samples.map(|s| s[*place]).collect(),
            Kind::Directions(vectors) => {
                let (q, c) = (self.names.len(), vectors.len() / self.names.len().max(1));
                samples
                    .flat_map(|s| {
                        let mut out = vec![0f32; q * plane];
                        matmul(q, plane, c, &mut out, plane, false, Matrix::rows(vectors, c), Matrix::rows(s, plane));
                        out
                    })
                    .collect()
            }
            Kind::Score(_) => Vec::new(),
        })
    }

    /// The subject whose score is one activation: question `q` at `place` of its map.
    pub fn subject_at(&self, q: usize, place: usize) -> Option<Subject> {
        let node = self.node?;
        let shape = &self.model.graph().node(node).shape;
        let layout = self.model.graph().rearranged_map(node);
        if let (Some(_), Kind::Channels(range)) = (layout, &self.kind) {
            let layer = Subject::Layer { model: self.model.clone(), node };
            return layer.unit(&[range.start + q, place / self.map[1], place % self.map[1]]).ok();
        }
        let at = |channel: usize| match shape.len() {
            1 => vec![channel],
            _ => vec![channel, place / self.map[1], place % self.map[1]],
        };
        match &self.kind {
            Kind::Channels(range) => Some(Subject::Unit { model: self.model.clone(), node, at: at(range.start + q) }),
            Kind::Directions(vectors) => {
                let (plane, c) = (self.map[0] * self.map[1], vectors.len() / self.names.len().max(1));
                let mut vector = vec![0f32; shape.iter().product()];
                let lies = |i: usize| layout.and_then(|l| l.places(i).nth(place)).unwrap_or(i * plane + place);
                (0..c).for_each(|i| vector[lies(i)] = vectors[q * c + i]);
                Some(Subject::Direction { model: self.model.clone(), node, vector })
            }
            Kind::Value(flat) => {
                let strides = crate::kernels::rearrange::strides(shape);
                let mut rest = *flat;
                let at = strides.iter().map(|s| {
                    let i = rest / s;
                    rest %= s;
                    i
                });
                Some(Subject::Unit { model: self.model.clone(), node, at: at.collect() })
            }
            Kind::Score(_) => None,
        }
    }

    /// The receptive field of an activation.
    pub fn field(&self) -> ReceptiveField {
        match (&self.kind, self.node) {
            (Kind::Score(_), _) | (_, None) => ReceptiveField::Whole,
            (_, Some(node)) => self.model.graph().field(node),
        }
    }

    /// The row and column of an activation's unit in the layer's map.
    pub fn position(&self, place: usize) -> [usize; 2] {
        match (&self.kind, self.node) {
            (Kind::Value(flat), Some(node)) => match self.model.graph().node(node).shape[..] {
                [_, h, w] => [flat % (h * w) / w, flat % w],
                _ => [0, 0],
            },
            _ => [place / self.map[1], place % self.map[1]],
        }
    }

    /// A fingerprint of the net's weights, the subject and `settings`, which identifies the query.
    ///
    /// # Errors
    /// Where a weight cannot be read.
    pub fn fingerprint(&self, settings: &serde_json::Value) -> Result<u64> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.model.weights_digest()?.as_bytes());
        hasher.update(settings.to_string().as_bytes());
        self.names.iter().for_each(|n| {
            hasher.update(n.as_bytes()).update(&[0]);
        });
        if let Kind::Directions(vectors) = &self.kind {
            vectors.iter().for_each(|v| {
                hasher.update(&v.to_le_bytes());
            });
        }
        Ok(u64::from_le_bytes(std::array::from_fn(|i| hasher.finalize().as_bytes()[i])))
    }
}

fn channels(model: &Model, node: NodeId) -> Result<(usize, [usize; 2])> {
    if let Some(MapLayout { shape: [c, h, w], .. }) = model.graph().rearranged_map(node) {
        return Ok((c, [h, w]));
    }
    let shape = &model.graph().node(node).shape;
    match shape[..] {
        [c, h, w] => Ok((c, [h, w])),
        [c] => Ok((c, [1, 1])),
        _ => Err(Error::subject(format!(
            "layer `{}` of shape {shape:?} has neither channels of maps nor single units",
            model.graph().node(node).name
        ))),
    }
}

/// Non-maximum suppression of the peaks within one image.
#[derive(Clone, Copy, Debug)]
pub struct Thinning {
    /// Peaks an image at most.
    pub per_image: usize,
    /// Peaks whose receptive field overlaps that of a larger one by more than this (intersection over union) are left out.
    pub overlap: f64,
    /// The units' receptive field.
    pub field: ReceptiveField,
}

impl Thinning {
    /// The peaks of a map, strongest first: non-maximum suppression by receptive fields.
    pub fn peaks(&self, map: &[f32], columns: usize) -> Vec<(f32, usize)> {
        let best = map.iter().enumerate().fold(0, |b, (i, v)| if *v > map[b] { i } else { b });
        if self.per_image <= 1 {
            return vec![(map[best], best)];
        }
        let mut order: Vec<usize> = (0..map.len()).collect();
        order.sort_by(|a, b| map[*b].total_cmp(&map[*a]).then(a.cmp(b)));
        let mut kept: Vec<usize> = Vec::new();
        for place in order {
            if kept.len() >= self.per_image {
                break;
            }
            if kept.iter().all(|k| self.shared(*k, place, columns) <= self.overlap) {
                kept.push(place);
            }
        }
        kept.into_iter().map(|p| (map[p], p)).collect()
    }

    /// Intersection over union of two units' windows, padding included.
    fn shared(&self, a: usize, b: usize, columns: usize) -> f64 {
        let ReceptiveField::Local { size, stride, .. } = self.field else { return 1.0 };
        let apart = [(a / columns).abs_diff(b / columns), (a % columns).abs_diff(b % columns)];
        let common: f64 = (0..2).map(|i| size[i].saturating_sub(apart[i] * stride[i]) as f64).product();
        common / (2.0 * (size[0] * size[1]) as f64 - common)
    }
}
