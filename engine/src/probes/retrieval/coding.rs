//! Codes: a layer's activations for each image of a data set, one row an image; the input of t-SNE, PCA and retrieval.

use crate::data::{Dataset, Image, Interpolation};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Op, OpClass};
use crate::inspect::Evaluate as _;
use crate::job::Job;
use crate::kernels::elementwise::largest;
use crate::model::Model;
use crate::params::{Form, Param, Value, wrong_kind};
use crate::pass::Tap;
use crate::stream::{StreamReport, fold, question, stream};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::{to_f32, to_f64};
use candle_core::Tensor;
use std::ops::Range;

mod cache;
pub mod layers;
mod rows;

pub use rows::CodeRows;

crate::choice! {
    /// How a layer's positions are pooled.
    pub enum Pooling {
        /// Their mean: one value a channel.
        Mean = "mean",
        /// Their maximum: one value a channel.
        Max = "max",
        /// All are kept: one value a channel and position.
        None = "none",
    }
}

/// Images given for an option: one, a list, or a data set.
#[derive(Clone, Debug)]
pub struct Images(pub Dataset);

impl Param for Images {
    fn form() -> Form {
        Form::words("an image, a list of images or a data set")
    }
    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Image(image) => Ok(Images(Dataset::from_images("image", [image.clone()]))),
            Value::Data(_) | Value::List(_) => Dataset::read(value).map(Images),
            other => Err(wrong_kind::<Self>(other)),
        }
    }
    fn write(&self) -> Value {
        Value::Data(self.0.clone())
    }
}

/// Which codes are computed.
#[derive(Clone, Copy, Debug)]
pub struct Coding {
    /// How positions are pooled.
    pub pool: Pooling,
    /// Whether a layer's code is taken after the rectifier that follows it.
    pub relu: bool,
    /// Whether the net's predictions are wanted, too.
    pub predictions: bool,
    /// Whether codes of image files are cached on disk.
    pub cache: bool,
}

/// The layer's name where codes were given.
const GIVEN: &str = "codes";

/// The codes of a data set.
#[derive(Clone, Debug)]
pub struct Codes {
    /// n x d values.
    pub values: Vec<f32>,
    /// Values a code.
    pub d: usize,
    /// The number of each code's image in `data`.
    pub rows: Vec<usize>,
    /// The most probable class of each image and its probability, where asked for.
    pub predicted: Vec<(usize, f64)>,
    /// Where the images are, if they are known.
    pub data: Option<Dataset>,
    /// The layer, or `GIVEN` where the codes were given.
    pub layer: String,
    /// How far the work came, and of how many.
    pub report: StreamReport,
    /// Images in all.
    pub total: usize,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Codes {
    /// The codes: given ones (a tensor N x D, its images perhaps in `data`), or those of the images.
    ///
    /// # Errors
    /// Where the subject has no layer, the input is neither codes nor a data set, or no image can be read.
    pub fn of(on: &Subject, input: &Input, data: Option<&Dataset>, coding: Coding, job: &Job) -> Result<Self> {
        if let Input::Tensor(t) = input
            && let [n, d] = *t.dims()
        {
            return given(t, n, d, data, on, coding, job);
        }
        if let Input::Tensor(t) = input {
            return Err(Error::subject(format!("codes are a tensor of N x D, got {:?}", t.dims()))
                .hint("`codes().run(layer, data)` makes them"));
        }
        made(on, layer_of(on, coding.relu)?, &input.data()?, coding, job)
    }

    /// How many codes there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The different labels, sorted, and each row's number among them.
    pub fn labels(&self) -> (Vec<String>, Vec<Option<usize>>) {
        let Some(data) = &self.data else { return (Vec::new(), vec![None; self.len()]) };
        let names = data.labels();
        let number = |i: &usize| {
            let label = data.item(*i).ok()?.label.clone()?;
            names.binary_search(&label).ok()
        };
        let rows = self.rows.iter().map(number).collect();
        (names, rows)
    }

    /// A few words for row `r`.
    pub fn caption(&self, r: usize) -> String {
        let item = self.data.as_ref().and_then(|d| d.item(self.rows[r]).ok());
        item.map_or_else(|| format!("code {r}"), |item| item.caption(self.rows[r]))
    }

    /// Where the codes come from, for titles: " at" their layer; nothing where they were given.
    pub fn place(&self) -> String {
        if self.layer == GIVEN { String::new() } else { format!(" at {}", self.layer) }
    }

    /// Small pictures of the images, `side` px at most; none where the images are unknown or more than `most`.
    ///
    /// # Errors
    /// Where an image can no longer be read.
    pub fn thumbnails(&self, side: usize, most: usize, job: &Job) -> Result<Vec<Image>> {
        let Some(data) = self.data.as_ref().filter(|_| self.len() <= most) else { return Ok(Vec::new()) };
        let mut out = Vec::with_capacity(self.len());
        let small = |r: usize| thumbnail(&data.get(self.rows[r])?, side);
        stream(std::slice::from_ref(&(0..self.len())), 64, (job, "thumbnails"), small, |items| {
            out.extend(items.into_iter().map(|(_, i)| i));
            Ok(())
        })?;
        Ok(if out.len() == self.len() { out } else { Vec::new() })
    }
}

/// An image scaled down to `side` px at most.
///
/// # Errors
/// Where it cannot be resized.
pub fn thumbnail(image: &Image, side: usize) -> Result<Image> {
    let longest = image.width().max(image.height());
    if longest <= side {
        return Ok(image.clone());
    }
    let to = |v: usize| (v * side / longest).max(1);
    image.resize(to(image.width()), to(image.height()), Interpolation::Bicubic)
}

fn given(
    codes: &Tensor,
    n: usize,
    d: usize,
    data: Option<&Dataset>,
    on: &Subject,
    coding: Coding,
    job: &Job,
) -> Result<Codes> {
    if let Some(data) = data.filter(|data| data.len() != n) {
        return Err(Error::shape(format!("{n} codes for {} images of `{}`", data.len(), data.name))
            .hint("option `data` takes the images that the codes were made of, in their order"));
    }
    let values = to_f32(codes)?;
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::value("the codes hold values that are not finite"));
    }
    let predicted = match data.filter(|_| coding.predictions) {
        Some(data) => {
            let (all, report) = on.model()?.probabilities_of(data, job)?;
            if let Some((i, why)) = report.broken.first().next() {
                return Err(Error::format(format!("the codes' image {i} cannot be read: {why}")));
            }
            all.iter().flatten().map(|p| (argmax(p), p[argmax(p)])).collect()
        }
        None => Vec::new(),
    };
    let report = StreamReport { reached: n, ..StreamReport::default() };
    let (rows, data) = ((0..n).collect(), data.cloned());
    Ok(Codes { values, d, rows, predicted, data, layer: GIVEN.into(), report, total: n, notes: Vec::new() })
}

fn made(on: &Subject, node: NodeId, data: &Dataset, coding: Coding, job: &Job) -> Result<Codes> {
    let model = on.model()?;
    let graph = model.graph();
    let tap = Tap::Only(if coding.predictions { vec![node, graph.scores()] } else { vec![node] });
    let preprocess = model.card().preprocess()?;
    let d = code_len(&graph.node(node).shape, coding.pool);
    let layer = graph.node(node).name.clone();
    let kept = cache::Cache::open(model, node, coding, d, data)?;
    let batch = job.through(model, 1, 2 * graph.peak_len(), 8);
    // What is on disk needs neither decoding nor the net.
    let prepare = |i: usize| match kept.known(data, i)? {
        (key, Some(code)) => Ok((key, None, Some(code))),
        (key, None) => Ok((key, Some(preprocess.apply(&data.seen(i, preprocess)?)?), None)),
    };
    let over = |ranges: &[Range<usize>], rows: &mut CodeRows, job: &Job| {
        let mut fresh: Vec<(cache::Key, Vec<f32>)> = Vec::new();
        let report = stream(ranges, batch, (job, "codes"), prepare, |items| {
            let wanted: Vec<Tensor> = items.iter().filter_map(|(_, (_, x, _))| x.clone()).collect();
            let mut new = match wanted.is_empty() {
                true => Vec::new(),
                false => rows_of(model, node, &Tensor::stack(&wanted, 0)?, &tap, coding)?,
            }
            .into_iter();
            for (i, (key, _, known)) in items {
                let row = match known {
                    Some(row) => row,
                    None => {
                        let row = new.next().ok_or_else(|| Error::internal("a batch lost an image"))?;
                        fresh.extend(key.map(|key| (key, row.clone())));
                        row
                    }
                };
                rows.push(i, &row);
            }
            Ok(())
        });
        kept.keep(&fresh)?;
        report
    };
    let ask = || {
        let options = serde_json::json!([format!("{:?}", coding.pool), coding.relu, coding.predictions]);
        question(("codes", format!("{on} at {layer}")), options, &[model], data, job)
    };
    let folded = fold((job, "codes"), data, ask, || CodeRows::new(d), over)?;
    // How the codes came about is no part of what they are.
    if let Some(note) = kept.note() {
        job.note(&note);
    }
    let CodeRows { images, values, predicted, .. } = folded.state;
    Ok(Codes {
        values,
        d,
        rows: images,
        predicted,
        data: Some(data.clone()),
        layer,
        report: folded.report,
        total: folded.total,
        notes: Vec::new(),
    })
}

/// The rows of a batch: each sample's code and, where asked for, its most probable class and that probability.
fn rows_of(model: &Model, node: NodeId, x: &Tensor, tap: &Tap, coding: Coding) -> Result<Vec<Vec<f32>>> {
    let trace = model.forward(x, tap)?;
    let value = trace.get(node)?;
    let all = to_f32(value)?;
    let plane: usize = if value.rank() == 4 { value.dims()[2..].iter().product() } else { 1 };
    let each = all.len() / value.dims()[0];
    let mut rows: Vec<Vec<f32>> = all.chunks(each).map(|s| pooled(s, plane, coding.pool)).collect();
    if coding.predictions {
        let scores = to_f64(trace.get(model.graph().scores())?)?;
        let readout = model.classes_readout()?;
        let classes = scores.len() / rows.len();
        for (row, scores) in rows.iter_mut().zip(scores.chunks(classes)) {
            let p = readout.probabilities(scores);
            let best = argmax(&p);
            row.extend([best as f32, p[best] as f32]);
        }
    }
    Ok(rows)
}

/// One sample's code: channels of `plane` positions each, their positions pooled.
fn pooled(sample: &[f32], plane: usize, pool: Pooling) -> Vec<f32> {
    match pool {
        Pooling::None => sample.to_vec(),
        Pooling::Mean => {
            sample.chunks(plane).map(|m| (m.iter().map(|v| f64::from(*v)).sum::<f64>() / plane as f64) as f32).collect()
        }
        Pooling::Max => sample.chunks(plane).map(|m| m.iter().copied().fold(f32::NEG_INFINITY, largest)).collect(),
    }
}

/// The length of a code of a layer of this shape.
pub fn code_len(shape: &[usize], pool: Pooling) -> usize {
    match (pool, shape) {
        (Pooling::Mean | Pooling::Max, [channels, _, _]) => *channels,
        _ => shape.iter().product(),
    }
}

/// The layer whose codes `on` means: a layer (after its rectifier, if wanted), or a net's last one before its classifier.
///
/// # Errors
/// Where it is neither.
pub fn layer_of(on: &Subject, relu: bool) -> Result<NodeId> {
    match on {
        Subject::Layer { model, node } if relu => Ok(after_relu(model.graph(), *node)),
        Subject::Layer { node, .. } => Ok(*node),
        Subject::Model(model) => last_hidden(model.graph()).ok_or_else(|| {
            Error::subject(format!("{on} has no layer before its classifier")).hint("name one: net.layer(..)")
        }),
        other => Err(Error::subject(format!("{other} has no codes")).hint("`net.layer(name)` has, or the net itself")),
    }
}

/// The rectifier directly after a layer (or after its normalisation), or the layer where there is none.
pub fn after_relu(graph: &Graph, node: NodeId) -> NodeId {
    let mut at = node;
    if !matches!(
        graph.node(node).op.class(),
        OpClass::Weighted | OpClass::Normalisation | OpClass::Sum | OpClass::Product
    ) {
        return node;
    }
    while let [next] = graph.consumers(at) {
        match graph.node(*next).op {
            Op::Identity => at = *next,
            ref op if op.rectifies() => return *next,
            ref op if op.class() == OpClass::Normalisation => at = *next,
            _ => break,
        }
    }
    node
}

/// The input of the classifier, the last layer with weights.
fn last_hidden(graph: &Graph) -> Option<NodeId> {
    let mut at = graph.scores();
    while !matches!(graph.node(at).op, Op::Conv2d(_) | Op::Linear { .. }) {
        at = *graph.node(at).inputs.first()?;
    }
    at = *graph.node(at).inputs.first()?;
    while matches!(graph.node(at).op, Op::Identity) {
        at = *graph.node(at).inputs.first()?;
    }
    (at != graph.input()).then_some(at)
}
