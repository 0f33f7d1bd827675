//! A batch in groups of samples, each of which passes through the net on one thread: a layer's output is still in that thread's
//! cache for the next layer, and no thread waits for others between layers. A sample's values have the same bits in any group.

use super::fuse::FusionPlan;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::kernels::conv::WinogradTile;
use crate::model::Model;
use crate::pass::rule::Rules;
use crate::pass::{Flow, Seed, Tap, Trace};
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// How a batch passes through the net: what all its groups have in common.
pub struct BatchSchedule {
    /// The nodes that the tap names.
    pub goals: Vec<NodeId>,
    /// Which nodes are one kernel.
    pub fusion: FusionPlan,
    /// The largest Winograd tile that forward convolutions may use.
    pub tile: WinogradTile,
    /// The nodes that the goals depend on.
    pub needed: Vec<bool>,
    /// Whether more than the goals is kept.
    pub keep_all: bool,
    /// The groups of samples; empty where all pass together.
    groups: Vec<Range<usize>>,
}

impl BatchSchedule {
    /// For a batch of `batch` samples, of which `tap` says what is kept.
    pub fn new(model: &Model, tap: &Tap, tile: WinogradTile, batch: usize) -> Self {
        let graph = model.graph();
        let (goals, is_named) = match tap {
            Tap::All => (vec![graph.output()], false),
            Tap::Until(id) => (vec![*id], false),
            Tap::Only(ids) | Tap::Signs(ids) => (ids.clone(), true),
        };
        let only = matches!(tap, Tap::Only(_));
        let fusion = match is_named && model.dtype() == DType::F32 {
            true => FusionPlan::new(graph, &goals, only),
            false => FusionPlan::unfused(graph),
        };
        let mut needed = vec![false; graph.nodes().len()];
        for goal in &goals {
            graph.ancestors(*goal).iter().enumerate().filter(|(_, n)| **n).for_each(|(i, _)| needed[i] = true);
        }
        needed[graph.input().0] = true;
        let mut schedule = BatchSchedule { goals, fusion, tile, needed, keep_all: !only, groups: Vec::new() };
        // Without a cache each group would pack all weights anew.
        if is_named && model.pack_cache().is_enabled() {
            let activations = schedule.activations(model);
            schedule.groups = groups(batch, activations, model.weights().count(), rayon::current_num_threads());
        }
        schedule
    }

    /// For the part `needed` of a net, which is computed for `batch` samples from the values of the nodes `given`.
    fn of_part(
        model: &Model,
        given: &BTreeMap<NodeId, Tensor>,
        goals: &[NodeId],
        needed: Vec<bool>,
        batch: usize,
    ) -> Self {
        let named: Vec<NodeId> = goals.iter().chain(given.keys()).copied().collect();
        let fusion = FusionPlan::new(model.graph(), &named, true);
        let (goals, tile, groups) = (goals.to_vec(), WinogradTile::F2, Vec::new());
        let mut schedule = BatchSchedule { goals, fusion, tile, needed, keep_all: false, groups };
        if model.pack_cache().is_enabled() {
            let activations = schedule.activations(model);
            schedule.groups = self::groups(batch, activations, model.weights().count(), rayon::current_num_threads());
        }
        schedule
    }

    /// Values that are computed for a sample.
    fn activations(&self, model: &Model) -> usize {
        let (graph, fusion) = (model.graph(), &self.fusion);
        let kernels = graph.ids().filter(|id| self.needed[id.0] && !fusion.is_absorbed(*id));
        let outputs = kernels.map(|id| fusion.fused_at(id).map_or(id, |fused| fused.output));
        outputs.map(|id| graph.node(id).shape.iter().product::<usize>()).sum()
    }
}

impl Model {
    /// Runs the net on all samples of `x`, in groups where that pays.
    pub(in crate::pass) fn forward_batch(&self, x: &Tensor, tap: &Tap, tile: WinogradTile) -> Result<Trace> {
        let x = self.batched(x)?;
        let schedule = BatchSchedule::new(self, tap, tile, x.dims()[0]);
        if schedule.groups.is_empty() {
            return self.forward_group(&x, 0, &schedule);
        }
        let traces = for_each_group(&x, &schedule.groups, |x, first| self.forward_group(x, first, &schedule))?;
        Trace::from_groups(traces, x, schedule)
    }

    /// Computes the part `needed` of the net, which computes in f32, for `batch` samples from the values of the nodes `given`; keeps those
    /// of `goals`. A value with one sample is that of all.
    pub(in crate::pass) fn forward_part(
        &self,
        batch: usize,
        given: &BTreeMap<NodeId, Tensor>,
        goals: &[NodeId],
        needed: Vec<bool>,
    ) -> Result<Trace> {
        let schedule = BatchSchedule::of_part(self, given, goals, needed, batch);
        let part = |group: &Range<usize>| {
            let own = given.iter().map(|(id, value)| match value.dims()[0] {
                n if n == batch => Ok((*id, samples(value, group)?)),
                _ => Ok((*id, value.clone())),
            });
            self.forward_nodes(own.collect::<Result<_>>()?, group.clone(), &schedule)
        };
        if schedule.groups.is_empty() {
            return part(&(0..batch));
        }
        let traces = schedule.groups.par_iter().with_max_len(1).map(part).collect::<Result<Vec<_>>>()?;
        let each = |goal: &NodeId| {
            let values = traces.iter().map(|trace| trace.get(*goal)).collect::<Result<Vec<_>>>()?;
            Ok((*goal, Tensor::cat(&values, 0)?))
        };
        Ok(Trace::from_values(self, goals.iter().map(each).collect::<Result<_>>()?))
    }

    /// Runs the net on `x` and sends a signal back by `rules` to the node `wanted`; returns the signal there. `seed` makes the
    /// signal's start from a trace, which may be of a group of the samples ([`Trace::samples`]), and another result, which is
    /// returned for each group in order.
    ///
    /// # Errors
    /// As [`Model::forward`] and [`Trace::backward_to`].
    pub fn backpropagate<T: Send>(
        &self,
        x: &Tensor,
        tap: &Tap,
        wanted: NodeId,
        rules: &Rules,
        seed: impl Fn(&Trace) -> Result<(Seed, T)> + Send + Sync,
    ) -> Result<(Tensor, Vec<T>)> {
        let x = self.batched(x)?;
        let schedule = BatchSchedule::new(self, tap, self.forward_tile(tap), x.dims()[0]);
        let group = |x: &Tensor, first: usize| {
            let trace = self.forward_group(x, first, &schedule)?;
            let (seed, result) = seed(&trace)?;
            Ok((trace.backward_to(wanted, seed, rules)?, result))
        };
        rayon::scope(|_| {
            if schedule.groups.is_empty() {
                return group(&x, 0).map(|(signal, result)| (signal, vec![result]));
            }
            let (signals, results): (Vec<_>, Vec<_>) = for_each_group(&x, &schedule.groups, group)?.into_iter().unzip();
            Ok((Tensor::cat(&signals, 0)?, results))
        })
    }
}

/// The groups of a batch of which a pass computes `activations` values a sample and reads `weights` weights; empty where groups do
/// not pay. Each group re-reads the weights, so it must hold samples with at least half as many activations as there are weights;
/// every thread gets equally many groups.
fn groups(batch: usize, activations: usize, weights: usize, threads: usize) -> Vec<Range<usize>> {
    let least = weights.div_ceil(activations.max(1)).max(1);
    let count = (batch.div_ceil(least * threads.max(1)) * threads.max(1)).min(batch);
    // With few groups of unequal size threads would wait.
    let is_even = batch.is_multiple_of(count) || count >= 4 * threads;
    if count < 2 || 2 * (batch / count) < least || !is_even {
        return Vec::new();
    }
    (0..count).map(|i| i * batch / count..(i + 1) * batch / count).collect()
}

/// Calls `run` with each group's samples of `x` and the number of the first, several groups at a time.
fn for_each_group<T: Send>(
    x: &Tensor,
    groups: &[Range<usize>],
    run: impl Fn(&Tensor, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    groups.par_iter().with_max_len(1).map(|group| run(&samples(x, group)?, group.start)).collect()
}

fn samples(x: &Tensor, group: &Range<usize>) -> Result<Tensor> {
    Ok(x.narrow(0, group.start, group.len())?)
}

/// Sends `seed`, of all samples, back through the traces of their groups.
///
/// # Errors
/// As [`Trace::backward`].
pub(in crate::pass) fn backward_groups(
    traces: &[Trace],
    seed: &Seed,
    rules: &Rules,
    keep: impl Fn(NodeId) -> bool + Sync,
) -> Result<Flow> {
    let mut batch = 0;
    let mut groups = Vec::with_capacity(traces.len());
    for trace in traces {
        groups.push(batch..batch + trace.batch());
        batch += trace.batch();
    }
    for (id, tensor) in seed {
        if tensor.dims().first() != Some(&batch) {
            let name = &traces[0].model().graph().node(*id).name;
            return Err(Error::shape(format!("a seed {:?} at `{name}` for {batch} samples", tensor.dims())));
        }
    }
    let one = |(trace, group): (&Trace, &Range<usize>)| {
        let seed = seed.iter().map(|(id, tensor)| Ok((*id, samples(tensor, group)?)));
        trace.backward_one(seed.collect::<Result<_>>()?, rules, &keep)
    };
    let flows = traces.par_iter().zip(&groups).with_max_len(1).map(one).collect::<Result<Vec<_>>>()?;
    Flow::concat(&flows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_every_sample_once_and_weigh_weights_against_activations() {
        for (batch, activations, weights, threads) in
            [(8, 10, 4, 2), (8, 10, 60, 2), (5, 10, 4, 2), (7, 10, 25, 3), (1, 10, 4, 2), (3, 10, 4, 16), (64, 1, 9, 2)]
        {
            let groups = groups(batch, activations, weights, threads);
            let all: Vec<usize> = groups.iter().cloned().flatten().collect();
            assert!(groups.is_empty() || all == (0..batch).collect::<Vec<_>>(), "{groups:?}");
            let (least, most) = (groups.iter().map(Range::len).min(), groups.iter().map(Range::len).max());
            assert!(most <= least.map(|n| n + 1), "{groups:?}");
        }
        // Few weights: each sample by itself. More: one group a thread. Most: all samples together.
        assert_eq!(groups(8, 10, 4, 2).len(), 8);
        assert_eq!(groups(8, 10, 60, 2).len(), 2);
        assert!(groups(8, 10, 900, 2).is_empty());
        // With groups of two and three samples one of two threads would wait.
        assert!(groups(5, 10, 60, 2).is_empty());
    }
}
