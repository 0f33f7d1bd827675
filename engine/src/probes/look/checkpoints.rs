//! The epochs of one net side by side: any probe run on each of several nets of one architecture.
//!
//! Zeiler and Fergus 2013, figure 4 (features over epochs); CS231n: activations become "more sparse as training progresses".

use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::{Probe, ProbeArg};
use crate::probes::look::filters::Filters;
use crate::probes::measure::{called, nets};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::sync::Arc;

crate::params! {
    /// Any probe run on several nets of one architecture, such as the checkpoints of a training: its figures side by side in
    /// the order of the list, its tables joined, and the distance of each net's array from the last net's.
    ///
    /// Arrays: `values` (the probe's array of each net, stacked, where they are of one size) and `distance` (one value a net: the
    /// 2-norm of the difference to the last net's array, as a share of that array's).
    #[probe(
        family = Look,
        source = "Zeiler and Fergus 2013, section 4.1, figure 4; CS231n, \"Layer Activations\"",
        subjects = "a list of nets of one architecture",
        input = Any,
        example = "checkpoints(sparsity()).run([net, net.ablate(net.layer(\"conv2\").channel(0))], data)"
    )]
    pub struct Checkpoints as "checkpoints" {
        /// The probe that is run on each net.
        probe: ProbeArg = ProbeArg(Arc::new(Filters::new()));
        /// The layer that is the subject in each net; the net as a whole unless given.
        layer: Option<LayerName> = None;
        /// A channel of that layer.
        channel: Option<usize> = None;
        /// Names for the nets, in their order; their own names unless given.
        names: Vec<String> = Vec::new();
    }
}

impl Probe for Checkpoints {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let nets = nets(on)?;
        let called = self.called(&nets)?;
        for (net, name) in nets.iter().zip(&called).skip(1) {
            alike(&nets[0], net)
                .map_err(|e| e.context(format!("`{name}` is no checkpoint of the same net as `{}`", called[0])))?;
        }
        let probe = self.probe.0.name();
        let (mut shown, mut values, mut complete) = (Vec::new(), Vec::new(), true);
        let mut joined: Option<Table> = None;
        let mut notes = Vec::new();
        for k in job.steps("checkpoints", nets.len()) {
            let made = self.probe.ask(&self.subject(&nets[k])?, input, job)?;
            complete &= made.complete;
            if let Some(table) = made.table() {
                join(&mut joined, &called[k], table);
            }
            values.push(made.value().ok().cloned());
            notes.extend(made.notes.iter().map(|n| format!("{}: {n}", called[k])));
            let parts = made.parts.into_iter().filter(|p| !matches!(p, Part::Table(..) | Part::Text(_))).collect();
            shown.push(Artifact { title: called[k].clone(), parts, complete: true, ..Artifact::default() });
        }
        let done = shown.len();
        let columns = done.clamp(1, 4);
        let mut artifact = Artifact::new(format!("{probe} over {done} checkpoints"));
        if shown.iter().any(Artifact::is_drawn) {
            artifact = artifact.part(Part::Figure(shown, columns));
        }
        if let Some(made) = stacked(&values)? {
            let distance = distances(&made)?;
            artifact = artifact
                .part(Part::Plot(Plot {
                    title: format!("how far {probe} still is from the last"),
                    x_label: String::new(),
                    y_label: "distance, share of the last one's length".into(),
                    categories: called[..done].to_vec(),
                    series: vec![Series {
                        name: probe.to_string(),
                        x: (0..done).map(|i| i as f64).collect(),
                        y: distance.clone(),
                        bars: Vec::new(),
                        mark: Mark::Line,
                    }],
                }))
                .array("values", made)
                .array("distance", tensor(distance, &[done])?);
        }
        if let Some(table) = joined {
            artifact = artifact.part(Part::Table(probe.into(), table));
        }
        // The same remark of all nets is one.
        notes.dedup_by_key(|n| n.split_once(": ").map(|(_, text)| text.to_string()));
        artifact.complete &= complete;
        Ok(artifact.notes(notes).reached(done, nets.len()))
    }
}

impl Checkpoints {
    fn called(&self, nets: &[Model]) -> Result<Vec<String>> {
        if nets.len() < 2 {
            return Err(Error::subject("one net has no course: a list of two or more is asked for")
                .hint("`checkpoints(probe).run([load_model(..), load_model(..)], input)`"));
        }
        called(&self.names, nets)
    }

    fn subject(&self, net: &Model) -> Result<Subject> {
        match (&self.layer, self.channel) {
            (None, None) => Ok(Subject::Model(net.clone())),
            (None, Some(_)) => Err(Error::value("option `channel` names a channel of `layer`, which is not given")),
            (Some(layer), None) => Subject::layer(net, &layer.0),
            (Some(layer), Some(channel)) => Subject::layer(net, &layer.0)?.channel(channel),
        }
    }
}

/// An error where two nets are not of one architecture: other layers, other shapes, other weights.
fn alike(first: &Model, other: &Model) -> Result<()> {
    let (a, b) = (first.graph(), other.graph());
    let said = |name: &str, kind: &str, shape: &[usize]| format!("`{name}` ({kind}, {shape:?})");
    for (x, y) in a.nodes().iter().zip(b.nodes()) {
        if x.name != y.name || x.op.kind() != y.op.kind() || x.shape != y.shape {
            return Err(Error::subject(format!(
                "it has {} where the first has {}",
                said(&y.name, y.op.kind(), &y.shape),
                said(&x.name, x.op.kind(), &x.shape)
            )));
        }
    }
    if a.nodes().len() != b.nodes().len() {
        return Err(Error::subject(format!("it has {} operations, the first {}", b.nodes().len(), a.nodes().len())));
    }
    for ((name, x), (other, y)) in first.weights().iter().zip(other.weights().iter()) {
        if name != other || x.dims() != y.dims() {
            return Err(Error::subject(format!(
                "its weights `{other}` are {:?}, those of the first `{name}` {:?}",
                y.dims(),
                x.dims()
            )));
        }
    }
    Ok(())
}

/// Adds the rows of one net's table, its name before them.
fn join(joined: &mut Option<Table>, name: &str, table: &Table) {
    let columns = || ["net".to_string()].into_iter().chain(table.columns().iter().cloned());
    let all = joined.get_or_insert_with(|| Table::new(columns()));
    if all.columns().len() == table.columns().len() + 1 {
        for row in table.rows() {
            all.push([Cell::from(name)].into_iter().chain(row.iter().cloned()));
        }
    }
}

/// The nets' arrays in one, where all have one of the same size.
fn stacked(values: &[Option<Tensor>]) -> Result<Option<Tensor>> {
    let all: Option<Vec<Tensor>> = values.iter().cloned().collect();
    let Some(all) = all.filter(|all| !all.is_empty() && all.iter().all(|t| t.dims() == all[0].dims())) else {
        return Ok(None);
    };
    Ok(Some(Tensor::stack(&all, 0)?))
}

/// For each row the 2-norm of its difference to the last, as a share of the last one's.
fn distances(stacked: &Tensor) -> Result<Vec<f64>> {
    let values = to_f64(stacked)?;
    let rows = stacked.dims()[0];
    let each = values.len() / rows.max(1);
    let last = &values[values.len() - each..];
    let norm = |it: &mut dyn Iterator<Item = f64>| it.map(|v| v * v).sum::<f64>().sqrt();
    let length = norm(&mut last.iter().copied());
    Ok(values.chunks(each.max(1)).map(|row| norm(&mut row.iter().zip(last).map(|(a, b)| a - b)) / length).collect())
}
