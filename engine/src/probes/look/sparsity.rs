//! How sparse a layer's activations are over a data set: which channels are dead, nearly dead, or always on.
//!
//! CS231n: "some activation maps may be all zero for many different inputs, which can indicate dead filters".

use crate::accumulators::fields::index;
use crate::accumulators::{Field, Fields, State};
use crate::data::files::Dataset;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::kernels::elementwise::largest;
use crate::model::Model;
use crate::params::Params as _;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stream::{StreamReport, fold, question, stream};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;
use std::ops::Range;

crate::params! {
    /// The share of positive activations of each channel over a data set; dead and nearly dead channels in a table.
    #[probe(
        family = Look,
        source = "CS231n, \"Layer Activations\": dead filters",
        subjects = "a layer after its ReLU; a net means all its rectifiers",
        input = Any,
        example = "sparsity().run(net, data)"
    )]
    pub struct Sparsity as "sparsity" {
        /// A channel that is positive at less than this share of its positions, over all images, counts as nearly dead.
        nearly: f64 = 0.001, in 0.0..=1.0;
    }
}

impl Probe for Sparsity {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let nodes = match on {
            Subject::Layer { node, .. } => vec![*node],
            Subject::Model(_) => rectifiers(model),
            other => return Err(Error::subject(format!("{other} is no layer")).hint("`net.layer(name)` is one")),
        };
        if nodes.is_empty() {
            return Err(Error::subject(format!("{on} has no rectifier")).hint("ask about a layer: `net.layer(name)`"));
        }
        let empty = || Channels(nodes.iter().map(|n| Counts::new(model, *n)).collect());
        let (counts, report, total) = match input {
            Input::Tensor(_) => {
                let prepared = input.prepared(model)?;
                let mut counts = empty();
                count(model, &nodes, &prepared.x, &mut counts.0)?;
                (counts, StreamReport { reached: 1, ..StreamReport::default() }, 1)
            }
            other => {
                let data = other.data()?;
                let ask = || question((self.name(), on.to_string()), self.settings(), &[model], &data, job);
                let over = |ranges: &[_], counts: &mut Channels, job: &Job| {
                    over(model, &nodes, (&data, ranges), job, &mut counts.0)
                };
                let folded = fold((job, "sparsity"), &data, ask, empty, over)?;
                (folded.state, folded.report, folded.total)
            }
        };
        let made = self.report(on, model, &nodes, &counts.0, report.good())?;
        Ok(made.notes(report.note()).reached(report.reached, total))
    }
}

impl Sparsity {
    fn report(
        &self,
        on: &Subject,
        model: &Model,
        nodes: &[NodeId],
        counts: &[Counts],
        images: usize,
    ) -> Result<Artifact> {
        let mut table = Table::new(["layer", "channel", "positive share", "largest", "state"]);
        let mut summary = Table::new(["layer", "channels", "dead", "nearly dead", "mean positive share"]);
        let mut artifact = Artifact::new(format!("sparsity of {on} over {images} images"));
        let mut shares_all = Vec::new();
        for (node, c) in nodes.iter().zip(counts) {
            let name = model.graph().node(*node).name.clone();
            let shares: Vec<f64> = c.positive.iter().map(|p| *p as f64 / c.seen.max(1) as f64).collect();
            let (mut dead, mut nearly) = (0, 0);
            for (i, share) in shares.iter().enumerate() {
                let state = if *share == 0.0 {
                    dead += 1;
                    "dead"
                } else if *share < self.nearly {
                    nearly += 1;
                    "nearly dead"
                } else {
                    continue;
                };
                table.push([
                    name.as_str().into(),
                    i.into(),
                    (*share).into(),
                    f64::from(c.largest[i]).into(),
                    state.into(),
                ]);
            }
            let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
            summary.push([name.into(), shares.len().into(), dead.into(), nearly.into(), mean.into()]);
            shares_all.extend(shares.iter().map(|s| *s as f32));
        }
        let y: Vec<f64> = summary.column("mean positive share")?.iter().filter_map(Cell::number).collect();
        let plot = Plot {
            title: "mean share of positive activations".into(),
            x_label: "layer".into(),
            y_label: "share".into(),
            categories: nodes.iter().map(|n| model.graph().node(*n).name.clone()).collect(),
            series: vec![Series {
                name: on.to_string(),
                x: (0..y.len()).map(|i| i as f64).collect(),
                y,
                bars: vec![],
                mark: Mark::Bar,
            }],
        };
        if nodes.len() > 1 {
            artifact = artifact.part(Part::Plot(plot));
        }
        let found = table.len();
        artifact = artifact.part(Part::Table("layers".into(), summary));
        if found > 0 {
            artifact = artifact.part(Part::Table("dead and nearly dead channels".into(), table));
        } else {
            artifact = artifact.note("no channel is dead or nearly dead");
        }
        let n = shares_all.len();
        Ok(artifact.array("positive", tensor(shares_all, &[n])?))
    }
}

/// Counts over images of a data set.
fn over(
    model: &Model,
    nodes: &[NodeId],
    (data, ranges): (&Dataset, &[Range<usize>]),
    job: &Job,
    counts: &mut [Counts],
) -> Result<StreamReport> {
    let preprocess = model.card().preprocess()?;
    let batch = job.batch(model, 2 * model.graph().trace_len(), 16);
    let prepare = |i: usize| preprocess.apply(&data.seen(i, preprocess)?);
    stream(ranges, batch, (job, "sparsity"), prepare, |items| {
        let rows: Vec<Tensor> = items.into_iter().map(|(_, x)| x).collect();
        count(model, nodes, &Tensor::stack(&rows, 0)?, counts)
    })
}

/// Positive activations and the largest one, by channel.
struct Counts {
    positive: Vec<u64>,
    largest: Vec<f32>,
    seen: u64,
}

impl Counts {
    fn new(model: &Model, node: NodeId) -> Self {
        let channels = model.graph().node(node).shape.first().copied().unwrap_or(1);
        Counts { positive: vec![0; channels], largest: vec![f32::NEG_INFINITY; channels], seen: 0 }
    }

    fn add(&mut self, value: &Tensor) -> Result<()> {
        let dims = value.dims();
        let plane: usize = dims[2..].iter().product();
        for (i, map) in to_f32(value)?.chunks(plane).enumerate() {
            let c = i % self.positive.len();
            self.positive[c] += map.iter().filter(|v| **v > 0.0).count() as u64;
            self.largest[c] = map.iter().copied().fold(self.largest[c], largest);
        }
        self.seen += (dims[0] * plane) as u64;
        Ok(())
    }
}

/// The counts of several layers.
pub struct Channels(Vec<Counts>);

impl State for Channels {
    const KIND: &'static str = "sparsity 1";

    fn merge(&mut self, other: Self) -> Result<()> {
        let widths = |c: &Channels| c.0.iter().map(|c| c.positive.len()).collect::<Vec<_>>();
        if widths(self) != widths(&other) {
            return Err(Error::value("states of other layers"));
        }
        for (a, b) in self.0.iter_mut().zip(other.0) {
            a.positive.iter_mut().zip(b.positive).for_each(|(a, b)| *a += b);
            a.largest.iter_mut().zip(b.largest).for_each(|(a, b)| *a = largest(*a, b));
            a.seen += b.seen;
        }
        Ok(())
    }

    fn write(&self) -> Fields {
        let each = |f: fn(&Counts) -> u64| Field::Words(self.0.iter().map(f).collect());
        Fields::new()
            .with("channels", each(|c| c.positive.len() as u64))
            .with("seen", each(|c| c.seen))
            .with("positive", Field::Words(self.0.iter().flat_map(|c| c.positive.clone()).collect()))
            .with("largest", Field::Singles(self.0.iter().flat_map(|c| c.largest.clone()).collect()))
    }

    fn read(fields: &Fields) -> Result<Self> {
        let (channels, seen) = (fields.words("channels")?, fields.words("seen")?);
        let (mut positive, mut largest) = (fields.words("positive")?, fields.singles("largest")?);
        fields.check(channels.len() == seen.len() && positive.len() == largest.len())?;
        let mut counts = Vec::with_capacity(seen.len());
        for (n, seen) in channels.iter().zip(seen) {
            let n = index(*n)?;
            let (Some((p, more)), Some((l, rest))) = (positive.split_at_checked(n), largest.split_at_checked(n)) else {
                return Err(Error::format("the columns of the state do not fit each other"));
            };
            counts.push(Counts { positive: p.to_vec(), largest: l.to_vec(), seen: *seen });
            (positive, largest) = (more, rest);
        }
        fields.check(positive.is_empty())?;
        Ok(Channels(counts))
    }
}

fn count(model: &Model, nodes: &[NodeId], x: &Tensor, counts: &mut [Counts]) -> Result<()> {
    let trace = model.forward(x, &Tap::Only(nodes.to_vec()))?;
    nodes.iter().zip(counts).try_for_each(|(node, c)| c.add(trace.get(*node)?))
}

fn rectifiers(model: &Model) -> Vec<NodeId> {
    let is = |id: &NodeId| model.graph().node(*id).op.rectifies();
    model.layers().filter(is).collect()
}
