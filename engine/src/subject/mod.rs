//! The subject of a probe: a net, a class, a layer, a channel, a unit, a direction, a box, sums of these, or a list of nets;
//! and its input ([`Input`]): an image, a signal, a volume, a tensor, a data set, or nothing.

mod boxes;
mod input;
mod places;
mod samples;
mod score;

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use crate::predictions::Predictions;
use std::fmt;

pub use boxes::{BoxPart, BoxQuery};
pub use input::{Input, Prepared};
pub(crate) use places::shares;
pub use places::{CurveValue, Over, Places};
pub use samples::Samples;

/// The subject of a probe: what it is asked about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A net: for one image its most probable class.
    Model(Model),
    /// Several nets, for probes that compare them.
    Models(Vec<Model>),
    /// The predictions of one or several classifiers, for probes that need no more.
    Predictions(Vec<Predictions>),
    /// A class: its raw output, before a closing softmax.
    Class {
        /// The net.
        model: Model,
        /// The raw output's index.
        index: usize,
    },
    /// A layer.
    Layer {
        /// The net.
        model: Model,
        /// The layer.
        node: NodeId,
    },
    /// A channel of a layer: the mean over its positions (of tokens over those of the grid).
    Channel {
        /// The net.
        model: Model,
        /// The layer.
        node: NodeId,
        /// The channel.
        index: usize,
    },
    /// One activation of a layer: channel, row, column (or just one index where the layer is a vector).
    Unit {
        /// The net.
        model: Model,
        /// The layer.
        node: NodeId,
        /// Its place, one index for each axis of the layer.
        at: Vec<usize>,
    },
    /// A direction in a layer's space: <phi, v>, averaged over positions where v has one entry a channel.
    Direction {
        /// The net.
        model: Model,
        /// The layer.
        node: NodeId,
        /// The direction: one value a channel, or one a value of the whole layer.
        vector: Vec<f32>,
    },
    /// A class of a net whose output is a map of classes: the sum of its raw scores over some places.
    PixelClass {
        /// The net.
        model: Model,
        /// The class: its channel.
        index: usize,
        /// Which places.
        over: Over,
    },
    /// A box that a detector finds.
    Box(BoxQuery),
    /// A weighted sum of single values of a node, to which a class of pixels or a box resolves at one input.
    Places(Places),
    /// A weighted sum of the above, all of one net.
    Sum(Vec<(f64, Subject)>),
}

/// The error for a class that none of the `n` outputs stands for.
fn no_class(model: &Model, index: usize, n: usize) -> Error {
    let name = &model.card().name;
    match n {
        1 => Error::not_found(format!("class {index} of `{name}`, which has one, class 0"))
            .hint("the complement of class 0 has no output of its own: what raises one lowers the other"),
        _ => Error::not_found(format!("class {index} of `{name}`, which has {n} (0 to {})", n - 1)),
    }
}

impl Subject {
    /// The class called `name` of a net.
    ///
    /// # Errors
    /// See [`crate::model::Card::class_index`].
    pub fn class(model: &Model, name: &str) -> Result<Self> {
        Ok(Subject::Class { model: model.clone(), index: model.card().class_index(name)? })
    }

    /// The class with raw output `index`.
    ///
    /// # Errors
    /// Where the net has fewer outputs.
    pub fn class_at(model: &Model, index: usize) -> Result<Self> {
        model.labels_readout()?;
        let n = model.scores_len();
        if index >= n {
            return Err(no_class(model, index, n));
        }
        Ok(Subject::Class { model: model.clone(), index })
    }

    /// The layer called `name`.
    ///
    /// # Errors
    /// Where there is none; the hint names the closest.
    pub fn layer(model: &Model, name: &str) -> Result<Self> {
        Ok(Subject::Layer { model: model.clone(), node: model.layer(name)? })
    }

    /// Channel `index` of this layer.
    ///
    /// # Errors
    /// Where this is no layer, or it has fewer channels.
    pub fn channel(&self, index: usize) -> Result<Self> {
        let (model, node) = self.as_layer()?;
        let first = model.graph().node(node).shape.first().copied().unwrap_or(0);
        let n = model.graph().rearranged_map(node).map_or(first, |layout| layout.shape[0]);
        if index >= n {
            return Err(Error::not_found(format!(
                "channel {index} of {self}, which has {n} (0 to {})",
                n.saturating_sub(1)
            )));
        }
        Ok(Subject::Channel { model: model.clone(), node, index })
    }

    /// The unit of this layer at `at`.
    ///
    /// # Errors
    /// Where this is no layer, or the place lies outside it.
    pub fn unit(&self, at: &[usize]) -> Result<Self> {
        let (model, node) = self.as_layer()?;
        let shape = &model.graph().node(node).shape;
        if let (&[c, y, x], Some(layout)) = (at, model.graph().rearranged_map(node)) {
            if [c, y, x].iter().zip(layout.shape).any(|(i, n)| *i >= n) {
                return Err(Error::not_found(format!(
                    "unit {at:?} of {self}, whose tokens are a map of {:?}",
                    layout.shape
                ))
                .hint("give channel, row and column, each counted from 0"));
            }
            let place = layout.place(c, y, x);
            let strides = crate::kernels::rearrange::strides(shape);
            let at = strides.iter().zip(shape).map(|(stride, n)| place / stride % n).collect();
            return Ok(Subject::Unit { model: model.clone(), node, at });
        }
        if let &[place] = at
            && shape.len() > 1
            && place < shape.iter().product()
        {
            let strides = crate::kernels::rearrange::strides(shape);
            let at = strides.iter().zip(shape).map(|(stride, n)| place / stride % n).collect();
            return Ok(Subject::Unit { model: model.clone(), node, at });
        }
        if at.len() != shape.len() || at.iter().zip(shape).any(|(i, n)| i >= n) {
            return Err(Error::not_found(format!("unit {at:?} of {self}, whose shape is {shape:?}"))
                .hint("give channel, row and column, each counted from 0"));
        }
        Ok(Subject::Unit { model: model.clone(), node, at: at.to_vec() })
    }

    /// The direction `vector` in this layer's space.
    ///
    /// # Errors
    /// Where this is no layer, or the vector has neither one value a channel nor one a value.
    pub fn direction(&self, vector: Vec<f32>) -> Result<Self> {
        let (model, node) = self.as_layer()?;
        let shape = &model.graph().node(node).shape;
        let first = shape.first().copied().unwrap_or(1);
        let channels = model.graph().rearranged_map(node).map_or(first, |layout| layout.shape[0]);
        let all = shape.iter().product::<usize>();
        if vector.len() != channels && vector.len() != all {
            return Err(Error::shape(format!(
                "a direction of {} values in {self}, whose shape is {shape:?}",
                vector.len()
            ))
            .hint(format!("give {channels} values (one a channel) or {all}")));
        }
        Ok(Subject::Direction { model: model.clone(), node, vector })
    }

    /// The layer and its net, where this is one.
    ///
    /// # Errors
    /// Where it is not.
    pub fn as_layer(&self) -> Result<(&Model, NodeId)> {
        match self {
            Subject::Layer { model, node } => Ok((model, *node)),
            other => Err(Error::subject(format!("{other} is no layer")).hint("`net.layer(name)` is one")),
        }
    }

    /// The one net that this is about.
    ///
    /// # Errors
    /// Where it is a list of nets or a sum over several.
    pub fn model(&self) -> Result<&Model> {
        match self {
            Subject::Model(model)
            | Subject::Class { model, .. }
            | Subject::Layer { model, .. }
            | Subject::Channel { model, .. }
            | Subject::Unit { model, .. }
            | Subject::Direction { model, .. }
            | Subject::PixelClass { model, .. }
            | Subject::Box(BoxQuery { model, .. })
            | Subject::Places(Places { model, .. }) => Ok(model),
            Subject::Sum(terms) => {
                terms.first().map(|(_, s)| s.model()).unwrap_or_else(|| Err(Error::subject("an empty sum")))
            }
            Subject::Models(models) => {
                Err(Error::subject(format!("a list of {} nets where one is asked for", models.len())))
            }
            Subject::Predictions(_) => Err(Error::subject(format!("{self} are predictions, without a net"))
                .hint("`accuracy_by_attribute`, `calibration` and `compare_with_humans` take them")),
        }
    }

    /// The same subject in another net with the same graph: with other weights or another type of number.
    pub fn with_model(&self, other: &Model) -> Self {
        let mut changed = self.clone();
        match &mut changed {
            Subject::Model(model)
            | Subject::Class { model, .. }
            | Subject::Layer { model, .. }
            | Subject::Channel { model, .. }
            | Subject::Unit { model, .. }
            | Subject::Direction { model, .. }
            | Subject::PixelClass { model, .. }
            | Subject::Box(BoxQuery { model, .. }) => *model = other.clone(),
            Subject::Places(places) => places.model = at_output_of(&places.model, other),
            Subject::Models(models) => models.iter_mut().for_each(|m| *m = other.clone()),
            Subject::Sum(terms) => terms.iter_mut().for_each(|(_, s)| *s = s.with_model(other)),
            Subject::Predictions(_) => {}
        }
        changed
    }

    /// This subject times `factor` plus `other`: both must have a score and be of one net.
    ///
    /// # Errors
    /// Where they are of different nets, or one has no score.
    pub fn plus(&self, factor: f64, other: &Subject) -> Result<Self> {
        let own = self.terms()?;
        let more = other.terms()?;
        let (a, b) = (self.model()?, other.model()?);
        if !std::ptr::eq(a.graph(), b.graph()) {
            return Err(Error::subject(format!("{self} and {other} belong to different nets")));
        }
        Ok(Subject::Sum(own.into_iter().chain(more.into_iter().map(|(w, s)| (w * factor, s))).collect()))
    }

    /// This subject times a number.
    ///
    /// # Errors
    /// Where it has no score.
    pub fn times(&self, factor: f64) -> Result<Self> {
        Ok(Subject::Sum(self.terms()?.into_iter().map(|(w, s)| (w * factor, s)).collect()))
    }

    fn terms(&self) -> Result<Vec<(f64, Subject)>> {
        match self {
            Subject::Sum(terms) => Ok(terms.clone()),
            Subject::Models(_) | Subject::Predictions(_) | Subject::Layer { .. } | Subject::Model(_) => {
                Err(Error::subject(format!("{self} has no single score to add"))
                    .hint("classes, channels, units and directions have"))
            }
            one => Ok(vec![(1.0, one.clone())]),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer = |model: &Model, node: &NodeId| model.graph().node(*node).name.clone();
        match self {
            Subject::Model(m) => f.write_str(&m.card().name),
            Subject::Models(list) => {
                write!(f, "[{}]", list.iter().map(|m| m.card().name.clone()).collect::<Vec<_>>().join(", "))
            }
            Subject::Predictions(all) => {
                f.write_str(&all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "))
            }
            Subject::Class { model, index } => f.write_str(&model.card().class_name(*index)),
            Subject::Layer { model, node } => f.write_str(&layer(model, node)),
            Subject::Channel { model, node, index } => write!(f, "{}[{index}]", layer(model, node)),
            Subject::Unit { model, node, at } => {
                write!(
                    f,
                    "{}[{}]",
                    layer(model, node),
                    at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                )
            }
            Subject::Direction { model, node, vector } => {
                write!(f, "direction of {} in {}", vector.len(), layer(model, node))
            }
            Subject::PixelClass { model, index, over } => write!(f, "{} {over}", model.card().class_name(*index)),
            Subject::Box(query) => query.fmt(f),
            Subject::Places(places) => f.write_str(&places.name),
            Subject::Sum(terms) => {
                for (i, (w, s)) in terms.iter().enumerate() {
                    let sign = if *w < 0.0 { "-" } else { "+" };
                    match (i, *w < 0.0) {
                        (0, false) => {}
                        (0, true) => f.write_str("-")?,
                        _ => write!(f, " {sign} ")?,
                    }
                    if w.abs() == 1.0 { write!(f, "{s}")? } else { write!(f, "{} {s}", w.abs())? }
                }
                Ok(())
            }
        }
    }
}

/// `other` at the output at which `model` is read, where it has that output.
fn at_output_of(model: &Model, other: &Model) -> Model {
    let name = |m: &Model| m.graph().node(m.graph().output()).name.clone();
    if name(other) == name(model) {
        return other.clone();
    }
    let all = other.output_names().into_iter().filter_map(|n| other.output_named(n).ok());
    all.into_iter().find(|m| name(m) == name(model)).unwrap_or_else(|| other.clone())
}

/// The index of the largest value, the first of equals; the first that is not a number, where there is one.
pub fn argmax(values: &[f64]) -> usize {
    let beats = |v: f64, best: f64| v > best || (v.is_nan() && !best.is_nan());
    values.iter().enumerate().fold(0, |best, (i, v)| if beats(*v, values[best]) { i } else { best })
}
