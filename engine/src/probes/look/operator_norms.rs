//! How much can a layer amplify a change of its input? The operator norm of each layer, by its kernel's spectrum.
//!
//! Szegedy et al. 2013, section 4.3 and its table of AlexNet's layers: the norms bound how unstable a net can be.

mod spectrum;

use crate::error::{Error, Result};
use crate::graph::op::{Conv, Op};
use crate::graph::{Builder, NodeId};
use crate::job::Job;
use crate::model::{Card, Model};
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::random::Stream;
use crate::rules::Rules;
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use spectrum::{Taps, dense, on_torus};

crate::params! {
    /// An upper bound of each layer's operator norm: the largest factor by which the layer can amplify a change of its input,
    /// in the 2-norm.
    ///
    /// A convolution is a part of the circular convolution over a map that is larger by the padding and the window. The norm of
    /// the circular one is the largest singular value of the kernel's spectrum, which bounds that of the convolution from
    /// above. The norms of fully connected layers and batch normalisations are exact. `reached` is the result of power
    /// iteration over the layer itself: a lower bound. Biases are ignored. Arrays: `bound`, `reached` (one value a layer).
    #[probe(
        family = Look,
        source = "Szegedy et al. 2013, section 4.3; Sedghi, Gupta, Long 2018",
        subjects = "a net (all layers with weights) or one of its layers",
        input = Nothing,
        example = "operator_norms(#{ layers: [\"conv1\"], iterations: 5 }).run(net)"
    )]
    pub struct OperatorNorms as "operator_norms" {
        /// The layers; all with weights unless given.
        layers: Vec<LayerName> = Vec::new();
        /// Steps of power iteration over each layer; 0 for none.
        iterations: usize = 40, in 0..=10_000;
    }
}

impl Probe for OperatorNorms {
    fn run(&self, on: &Subject, _: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let graph = model.graph();
        let nodes = match on {
            Subject::Layer { node, .. } => vec![*node],
            Subject::Model(_) if self.layers.is_empty() => {
                model.layers().filter(|id| counts(&graph.node(*id).op)).collect()
            }
            Subject::Model(_) => self.layers.iter().map(|l| model.layer(&l.0)).collect::<Result<_>>()?,
            other => return Err(Error::subject(format!("{other} is no net or layer")).hint("`net.layer(name)` is one")),
        };
        if let Some(node) = nodes.iter().map(|id| graph.node(*id)).find(|node| !counts(&node.op)) {
            return Err(Error::subject(format!(
                "`{}` ({}) has no operator norm of its own",
                node.name,
                node.op.kind()
            ))
            .hint("convolutions, fully connected layers and batch normalisations have"));
        }
        let mut table = Table::new(["layer", "kind", "weights", "bound", "reached"]);
        let (mut bounds, mut reached) = (Vec::new(), Vec::new());
        for i in job.steps("operator_norms", nodes.len()) {
            let node = graph.node(nodes[i]);
            let bound = bound(model, nodes[i])?;
            let low = if self.iterations > 0 { self.power(model, nodes[i], job)? } else { f64::NAN };
            table.push([
                node.name.as_str().into(),
                node.op.kind().into(),
                sizes(model, nodes[i]).into(),
                bound.into(),
                if low.is_nan() { Cell::Nothing } else { low.into() },
            ]);
            bounds.push(bound);
            reached.push(low);
        }
        let series = |name: &str, y: &[f64]| Series {
            name: name.to_string(),
            x: (0..y.len()).map(|i| i as f64).collect(),
            y: y.to_vec(),
            bars: Vec::new(),
            mark: Mark::Bar,
        };
        let mut all = vec![series("bound", &bounds)];
        if self.iterations > 0 {
            all.push(series("reached", &reached));
        }
        let done = bounds.len();
        let plot = Plot {
            title: "operator norms".into(),
            x_label: String::new(),
            y_label: "largest factor, 2-norm".into(),
            categories: nodes[..done].iter().map(|n| graph.node(*n).name.clone()).collect(),
            series: all,
        };
        let title = format!("operator norms of {on}");
        Ok(Artifact::new(title)
            .part(Part::Plot(plot))
            .part(Part::Table("operator norms".into(), table))
            .array("bound", tensor(bounds, &[done])?)
            .array("reached", tensor(reached, &[done])?)
            .note("rectifiers and pools whose windows do not overlap enlarge nothing, so a chain of layers enlarges by at most the product of its bounds")
            .reached(done, nodes.len()))
    }
}

/// Whether a layer of this kind is linear with weights of its own.
fn counts(op: &Op) -> bool {
    matches!(op, Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. } | Op::BatchNorm { .. })
}

/// The size of a layer's weights: `64 x 3 x 7 x 7`.
fn sizes(model: &Model, id: NodeId) -> String {
    let of = |p| model.weights().tensor(p).dims().iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
    match &model.graph().node(id).op {
        Op::Conv2d(c) | Op::ConvTranspose2d(c, _) => of(c.weight),
        Op::Linear { weight, .. } => of(*weight),
        Op::BatchNorm { scale, .. } => of(*scale),
        _ => String::new(),
    }
}

fn bound(model: &Model, id: NodeId) -> Result<f64> {
    let (graph, weights) = (model.graph(), model.weights());
    let node = graph.node(id);
    let shape_in = node.inputs.first().map(|i| graph.node(*i).shape.clone()).unwrap_or_default();
    match &node.op {
        Op::Conv2d(c) => {
            let w = to_f64(weights.tensor(c.weight))?;
            Ok(on_torus(&taps(c, &w, weights.tensor(c.weight).dims()), torus(c, map(&shape_in), map(&node.shape))))
        }
        // The norm of a transposed convolution is that of the convolution that it transposes, from its output to its input.
        Op::ConvTranspose2d(c, _) => {
            let w = to_f64(weights.tensor(c.weight))?;
            Ok(on_torus(&taps(c, &w, weights.tensor(c.weight).dims()), torus(c, map(&node.shape), map(&shape_in))))
        }
        Op::Linear { weight, .. } => {
            let w = weights.tensor(*weight);
            Ok(dense(&to_f64(w)?, w.dims()[0], w.dims()[1]))
        }
        Op::BatchNorm { scale, var, eps, .. } => {
            let (scale, var) = (to_f64(weights.tensor(*scale))?, to_f64(weights.tensor(*var))?);
            Ok(scale.iter().zip(&var).fold(0.0, |m: f64, (s, v)| m.max((s / (v + eps).sqrt()).abs())))
        }
        op => Err(Error::internal(format!("{} has no operator norm", op.kind()))),
    }
}

fn map(shape: &[usize]) -> [usize; 2] {
    let n = shape.len();
    [shape[n - 2], shape[n - 1]]
}

fn taps<'a>(c: &Conv, w: &'a [f64], dims: &[usize]) -> Taps<'a> {
    let groups = c.groups;
    Taps {
        weights: w,
        groups,
        rows: dims[0] / groups,
        columns: dims[1],
        kernel: [dims[2], dims[3]],
        stride: c.window.stride,
        dilation: c.window.dilation,
    }
}

/// The positions, in strides, of the smallest torus on which the convolution from a map of size `from` to one of size `to` is a part
/// of the circular one: nothing that a window reads before or after the map wraps onto it.
fn torus(c: &Conv, from: [usize; 2], to: [usize; 2]) -> [usize; 2] {
    let (span, before) = (c.window.span(), [c.window.padding.top, c.window.padding.left]);
    [0, 1].map(|a| {
        let stride = c.window.stride[a];
        let last = ((to[a] - 1) * stride + span[a]).saturating_sub(before[a]);
        (from[a] + before[a]).max(last).div_ceil(stride).max(to[a])
    })
}

impl OperatorNorms {
    /// Power iteration over the layer alone, without its bias: forward and back through its own passes.
    fn power(&self, model: &Model, id: NodeId, job: &Job) -> Result<f64> {
        let alone = alone(model, id)?;
        let graph = alone.graph();
        let (input, output) = (graph.input(), graph.output());
        let shape = graph.node(input).shape.clone();
        let dims: Vec<usize> = [1].into_iter().chain(shape).collect();
        let stream = Stream::new(job.seed, &format!("operator_norms {}", model.graph().node(id).name));
        let mut x: Vec<f64> = (0..dims.iter().product::<usize>()).map(|i| stream.normal_at(i as u64)).collect();
        let mut norm = 0.0;
        for _ in 0..self.iterations {
            let size = length(&x);
            if size == 0.0 || job.stopped() {
                break;
            }
            x.iter_mut().for_each(|v| *v /= size);
            let at = tensor(x, &dims)?.to_dtype(alone.dtype())?;
            let trace = alone.forward(&at, &Tap::All)?;
            let y = trace.get(output)?.clone();
            norm = length(&to_f64(&y)?);
            x = to_f64(&trace.backward_to(input, vec![(output, y)], &Rules::gradient())?)?;
        }
        Ok(norm)
    }
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// A net of this one layer, its bias or shift taken away.
fn alone(model: &Model, id: NodeId) -> Result<Model> {
    let (graph, weights) = (model.graph(), model.weights());
    let node = graph.node(id);
    let mut b = Builder::new();
    let from = node.inputs.first().ok_or_else(|| Error::internal("a layer without an input"))?;
    let x = b.input("x", graph.node(*from).shape.clone())?;
    let zero = |t: &candle_core::Tensor| Ok::<_, Error>(t.zeros_like()?);
    let op = match &node.op {
        Op::Conv2d(c) => {
            Op::Conv2d(Conv { weight: b.param("w", weights.tensor(c.weight).clone())?, bias: None, ..c.clone() })
        }
        Op::ConvTranspose2d(c, more) => Op::ConvTranspose2d(
            Conv { weight: b.param("w", weights.tensor(c.weight).clone())?, bias: None, ..c.clone() },
            *more,
        ),
        Op::Linear { weight, .. } => Op::Linear { weight: b.param("w", weights.tensor(*weight).clone())?, bias: None },
        Op::BatchNorm { scale, shift, mean, var, eps } => Op::BatchNorm {
            scale: b.param("scale", weights.tensor(*scale).clone())?,
            shift: b.param("shift", zero(weights.tensor(*shift))?)?,
            mean: b.param("mean", zero(weights.tensor(*mean))?)?,
            var: b.param("var", weights.tensor(*var).clone())?,
            eps: *eps,
        },
        op => return Err(Error::internal(format!("{} has no operator norm", op.kind()))),
    };
    let y = b.add("y", op, &[x])?;
    let (graph, weights) = b.finish(y)?;
    Ok(Model::new(graph, weights, Card::named("layer")))
}
