//! The score of a subject: the subject that a question resolves to at an input, the score of each sample, and its derivative,
//! with which a backward pass starts.

use super::{BoxPart, BoxQuery, CurveValue, Over, Places, Prepared, Subject, argmax, places};
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::kernels::rearrange;
use crate::pass::{Seed, Tap, Trace};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;

impl Subject {
    /// The subject with a score to which this resolves at an input: a net to its most probable class (or the class of most
    /// pixels, or its best box), a class of pixels to its positions, a box to its score.
    ///
    /// # Errors
    /// For a layer or a list of nets, which have no single score; where a place or box is not there.
    pub fn asked(&self, input: &Prepared) -> Result<Subject> {
        match self {
            Subject::Model(model) if model.card().boxes.is_some() => {
                BoxQuery { model: model.clone(), number: 0, part: BoxPart::Class, found: None }.resolve(&input.x)
            }
            Subject::Model(model) if model.labels_readout().is_err() && model.class_maps().is_ok() => {
                let index = places::most_frequent(model, &input.x)?;
                places::resolve(model, index, &Over::Predicted, input)
            }
            Subject::Model(model) => {
                model.labels_readout()?;
                let scores = model.scores(&input.x)?;
                let best = argmax(&scores[0]);
                Subject::class_at(model, best)
            }
            Subject::PixelClass { model, index, over } => places::resolve(model, *index, over, input),
            Subject::Box(query) => query.resolve(&input.x),
            Subject::Sum(terms) => {
                let terms = terms.iter().map(|(w, s)| Ok((*w, s.asked(input)?))).collect::<Result<Vec<_>>>()?;
                let graphs = terms.iter().map(|(_, s)| Ok(s.model()?.graph())).collect::<Result<Vec<_>>>()?;
                if graphs
                    .windows(2)
                    .any(|pair| pair[0].node(pair[0].output()).name != pair[1].node(pair[1].output()).name)
                {
                    return Err(Error::subject(format!("{self} reads several outputs of the net"))
                        .hint("sums are of what one output holds: the scores of boxes, or their edges"));
                }
                Ok(Subject::Sum(terms))
            }
            Subject::Layer { .. } => Err(Error::subject(format!("{self} has no single score"))
                .hint("ask for a part of it: `.channel(i)`, `.unit(i, y, x)` or `.direction([..])`")),
            Subject::Models(_) => Err(Error::subject(format!("{self} where one net or a part of it is asked for"))),
            Subject::Predictions(_) => self.model().map(|_| self.clone()),
            other => Ok(other.clone()),
        }
    }

    /// As [`Subject::asked`] at a preprocessed input without a photo.
    ///
    /// # Errors
    /// As [`Subject::asked`].
    pub fn target(&self, x: &Tensor) -> Result<Subject> {
        self.asked(&Prepared { x: x.clone(), photo: None, placement: None, samples: None })
    }

    /// The value that curves show for each sample of a trace that holds [`Subject::watched_nodes`]: a class's probability (of
    /// positions their mean, of a box its class's), any other subject's score.
    ///
    /// # Errors
    /// Where the trace lacks a node, or this has no score.
    pub fn watched(&self, trace: &Trace) -> Result<Vec<f64>> {
        match self {
            Subject::Class { model, index } => {
                let flat = to_f64(trace.get(model.graph().scores())?)?;
                let readout = model.labels_readout()?;
                let n = flat.len() / trace.batch().max(1);
                Ok(flat.chunks(n.max(1)).map(|row| readout.shown(row)[*index]).collect())
            }
            Subject::Places(places) if places.shown != CurveValue::Score => places.probabilities(trace),
            other => other.scores(trace),
        }
    }

    /// The nodes that [`Subject::watched`] reads.
    ///
    /// # Errors
    /// For a subject without a score.
    pub fn watched_nodes(&self) -> Result<Vec<NodeId>> {
        let mut nodes = self.nodes()?;
        if let Subject::Places(Places { shown: CurveValue::Value(node, _), .. }) = self {
            nodes.push(*node);
        }
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    /// The name of that value.
    pub fn watched_word(&self) -> &'static str {
        match self {
            Subject::Class { model, .. } if model.readout().word() == "probability" => "probability",
            Subject::Places(Places { shown: CurveValue::Mean(_), .. }) => "mean probability",
            Subject::Places(Places { shown: CurveValue::Value(..), .. }) => "probability",
            _ => "score",
        }
    }

    /// The nodes whose values the score reads.
    ///
    /// # Errors
    /// For a subject without a score.
    pub fn nodes(&self) -> Result<Vec<NodeId>> {
        match self {
            Subject::Class { model, .. } => Ok(vec![model.graph().scores()]),
            Subject::Channel { node, .. }
            | Subject::Unit { node, .. }
            | Subject::Direction { node, .. }
            | Subject::Layer { node, .. }
            | Subject::Places(Places { node, .. }) => Ok(vec![*node]),
            Subject::PixelClass { .. } | Subject::Box(_) => {
                Err(Error::internal("what depends on the input is resolved before its nodes are asked for"))
            }
            Subject::Sum(terms) => {
                let mut all = terms.iter().map(|(_, s)| s.nodes()).collect::<Result<Vec<_>>>()?.concat();
                all.sort();
                all.dedup();
                Ok(all)
            }
            Subject::Model(_) | Subject::Models(_) | Subject::Predictions(_) => {
                Err(Error::internal("a net is resolved to a class before its nodes are asked for"))
            }
        }
    }

    /// The last node (in topological order) that the score reads.
    ///
    /// # Errors
    /// For a subject without a score.
    pub fn last_node(&self) -> Result<NodeId> {
        self.nodes()?.into_iter().max().ok_or_else(|| Error::subject("an empty sum"))
    }

    /// What a forward pass must keep for a backward pass from this score.
    ///
    /// # Errors
    /// For a subject without a score.
    pub fn tap(&self) -> Result<Tap> {
        Ok(match self.nodes()?[..] {
            [one] => Tap::Until(one),
            _ => Tap::All,
        })
    }

    /// The score of each sample of a trace.
    ///
    /// # Errors
    /// Where the trace lacks a node, or this has no score.
    pub fn scores(&self, trace: &Trace) -> Result<Vec<f64>> {
        let seed = self.seed(trace)?;
        let mut sums = vec![0.0; trace.batch()];
        for (node, weights) in seed {
            let value = to_f64(trace.get(node)?)?;
            let weights = to_f64(&weights)?;
            let len = value.len() / sums.len().max(1);
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum += value[n * len..(n + 1) * len].iter().zip(&weights[n * len..]).map(|(v, w)| v * w).sum::<f64>();
            }
        }
        Ok(sums)
    }

    /// The derivative of each sample's score with respect to its nodes' values: where a backward pass starts.
    /// All subjects are linear in their nodes' values, so this does not depend on them.
    ///
    /// # Errors
    /// Where the trace lacks a node, or this has no score.
    pub fn seed(&self, trace: &Trace) -> Result<Seed> {
        match self {
            Subject::Sum(terms) => {
                let mut all = Seed::new();
                for (weight, term) in terms {
                    for (node, t) in term.seed(trace)? {
                        all.push((node, (t * *weight)?));
                    }
                }
                Ok(all)
            }
            one => {
                let node = one.last_node()?;
                let value = trace.get(node)?;
                let row = one.weights(&value.dims()[1..])?;
                let batch = value.dims()[0];
                let data: Vec<f64> = std::iter::repeat_n(row, batch).flatten().collect();
                Ok(vec![(node, tensor(data, value.dims())?.to_dtype(value.dtype())?)])
            }
        }
    }

    fn weights(&self, shape: &[usize]) -> Result<Vec<f64>> {
        let len: usize = shape.iter().product();
        let mut row = vec![0.0; len];
        let plane = len / shape.first().copied().unwrap_or(1).max(1);
        match self {
            Subject::Class { index, .. } => row[*index] = 1.0,
            Subject::Channel { model, node, index } => match model.graph().rearranged_map(*node) {
                Some(layout) => {
                    let each = 1.0 / (layout.shape[1] * layout.shape[2]) as f64;
                    layout.places(*index).for_each(|i| row[i] = each);
                }
                None => row[index * plane..(index + 1) * plane].fill(1.0 / plane as f64),
            },
            Subject::Unit { at, .. } => {
                let i = at.iter().zip(rearrange::strides(shape)).map(|(i, s)| i * s).sum::<usize>();
                row[i] = 1.0;
            }
            Subject::Direction { vector, .. } if vector.len() == len => {
                row.iter_mut().zip(vector).for_each(|(r, v)| *r = f64::from(*v));
            }
            Subject::Places(places) => places.weights.iter().for_each(|(i, w)| row[*i] += w),
            Subject::Direction { model, node, vector } if model.graph().rearranged_map(*node).is_some() => {
                if let Some(layout) = model.graph().rearranged_map(*node) {
                    let each = 1.0 / (layout.shape[1] * layout.shape[2]) as f64;
                    for (k, v) in vector.iter().enumerate() {
                        layout.places(k).for_each(|i| row[i] = f64::from(*v) * each);
                    }
                }
            }
            Subject::Direction { vector, .. } => {
                row.chunks_mut(plane).zip(vector).for_each(|(r, v)| r.fill(f64::from(*v) / plane as f64));
            }
            _ => return Err(Error::subject(format!("{self} has no single score"))),
        }
        Ok(row)
    }
}
