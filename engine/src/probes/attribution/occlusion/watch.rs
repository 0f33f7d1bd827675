//! What is read from the net with the patch at a position: the score, the most probable class, and the activity of one map.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;
use crate::pass::{Changed, Incremental, Trace};
use crate::subject::{Subject, argmax};
use crate::tensor::to_f64;
use candle_core::Tensor;

/// What is noted at each position; NaN where none was computed yet.
pub(super) struct WatchedValues {
    pub(super) done: usize,
    pub(super) score: Vec<f32>,
    pub(super) best: Vec<f32>,
    pub(super) activity: Vec<f32>,
}

impl WatchedValues {
    pub(super) fn nothing(len: usize) -> Self {
        let all = vec![f32::NAN; len];
        WatchedValues { done: 0, score: all.clone(), best: all.clone(), activity: all }
    }
}

/// The last layer with maps; of what a box or a class of pixels reads, the last before its own score.
pub(super) fn watched_layer(model: &Model, target: &Subject) -> Result<Option<NodeId>> {
    let Subject::Places(places) = target else { return Ok(model.last_map_layer()) };
    let graph = model.graph();
    let (needed, layouts) = (graph.ancestors(places.node), graph.map_layouts());
    let lies_plain = |id: &NodeId| layouts[id.0].filter(|l| l.is_plain() && graph.node(*id).shape.len() == 3);
    let maps = |id: &NodeId| lies_plain(id).is_some_and(|l| l.shape[1] * l.shape[2] > 1);
    Ok(model.layers().filter(|id| needed[id.0] && *id != places.node && *id != graph.input() && maps(id)).last())
}

/// What is read from the net at every position.
pub(super) struct Watch<'a> {
    pub(super) model: &'a Model,
    target: &'a Subject,
    pub(super) watched: Option<(NodeId, usize)>,
    /// Whether the output holds one score a class, of which one is the largest.
    pub(super) classifies: bool,
    /// The nodes that the scores are read from.
    read: Vec<NodeId>,
    pub(super) pass: Incremental,
    pub(super) base_score: f64,
    pub(super) base_activity: f64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(model: &'a Model, target: &'a Subject, layer: Option<NodeId>, x: &Tensor) -> Result<Self> {
        let mut read = target.watched_nodes()?;
        let classifies = model.labels_readout().is_ok();
        if classifies {
            read.push(model.graph().scores());
        }
        read.sort();
        read.dedup();
        let goals: Vec<NodeId> = read.iter().copied().chain(layer).collect();
        let pass = Incremental::new(model, x, &goals)?;
        let trace = pass.base().clone();
        let mut watch =
            Watch { model, target, watched: None, classifies, read, pass, base_score: 0.0, base_activity: 0.0 };
        if let Some(node) = layer {
            let value = trace.get(node)?;
            if value.dims().len() != 4 {
                let name = &model.graph().node(node).name;
                return Err(Error::subject(format!("`{name}` has no maps: its shape is {:?}", &value.dims()[1..])));
            }
            let plane = value.dims()[2] * value.dims()[3];
            let sums: Vec<f64> = to_f64(value)?.chunks(plane).map(|c| c.iter().sum()).collect();
            let channel = argmax(&sums);
            watch.watched = Some((node, channel));
            watch.base_activity = sums[channel];
        }
        watch.base_score = watch.scores(&trace)?[0].0;
        Ok(watch)
    }

    /// What is watched ([`Subject::watched`]) and the most probable class of each sample, the class 0 where there are none.
    fn scores(&self, trace: &Trace) -> Result<Vec<(f64, usize)>> {
        if !self.classifies {
            return Ok(self.target.watched(trace)?.into_iter().map(|score| (score, 0)).collect());
        }
        let flat = to_f64(trace.get(self.model.graph().scores())?)?;
        let n = flat.len() / trace.batch();
        let rows = flat.chunks(n);
        if let Subject::Class { index, .. } = self.target {
            let readout = self.model.labels_readout()?;
            return Ok(rows.map(|r| (readout.shown(r)[*index], argmax(&readout.decision(r)))).collect());
        }
        Ok(self.target.scores(trace)?.into_iter().zip(rows.map(argmax)).collect())
    }

    /// Records the watched value with the patch at each of the positions in `which`.
    pub(super) fn note(&self, which: &[usize], changed: &Changed<'_>, found: &mut WatchedValues) -> Result<()> {
        for (i, (score, best)) in which.iter().zip(self.scores(&changed.trace(&self.read)?)?) {
            (found.score[*i], found.best[*i]) = (score as f32, best as f32);
        }
        if let Some((node, channel)) = self.watched {
            let maps = changed.channel(node, channel)?;
            let plane = maps.dims()[2] * maps.dims()[3];
            for (i, map) in which.iter().zip(to_f64(&maps)?.chunks(plane)) {
                found.activity[*i] = map.iter().sum::<f64>() as f32;
            }
        }
        found.done += which.len();
        Ok(())
    }
}
