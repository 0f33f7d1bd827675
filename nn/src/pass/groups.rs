//! A batch in groups of samples, each of which passes the net on a thread of its own: what a layer writes the next one finds in
//! that thread's cache, and no thread waits for others between layers. Every sample's values are the same bits in any group.

use super::backward::{Flow, Seed};
use super::forward::{Tap, Trace};
use super::fuse::Plan;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::kernels::conv::WinogradTile;
use crate::model::Model;
use crate::rules::Rules;
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// A pass of a batch: what all its groups have in common.
pub(super) struct Pass {
    /// The nodes that were asked for.
    pub goals: Vec<NodeId>,
    pub plan: Plan,
    pub tiles: WinogradTile,
    /// What the goals hang on.
    pub needed: Vec<bool>,
    /// Whether more than the goals is kept.
    pub keep_all: bool,
    /// Where samples pass in groups, those.
    groups: Vec<Range<usize>>,
}

impl Pass {
    /// Of `batch` samples.
    pub fn new(model: &Model, tap: &Tap, tiles: WinogradTile, batch: usize) -> Self {
        let graph = model.graph();
        let (goals, named) = match tap {
            Tap::All => (vec![graph.output()], false),
            Tap::Until(id) => (vec![*id], false),
            Tap::Only(ids) | Tap::Signs(ids) => (ids.clone(), true),
        };
        let only = matches!(tap, Tap::Only(_));
        let plan = match named && model.dtype() == DType::F32 {
            true => Plan::fused(graph, &goals, only),
            false => Plan::apart(graph),
        };
        let mut needed = vec![false; graph.nodes().len()];
        for goal in &goals {
            graph.ancestors(*goal).iter().enumerate().filter(|(_, n)| **n).for_each(|(i, _)| needed[i] = true);
        }
        needed[graph.input().0] = true;
        let mut pass = Pass { goals, plan, tiles, needed, keep_all: !only, groups: Vec::new() };
        // Weights that are packed for every pass are packed once for all samples.
        if named && model.packs().are_kept() {
            pass.groups = groups(batch, pass.len(model), model.weights().count(), rayon::current_num_threads());
        }
        pass
    }

    /// Values that are made of a sample.
    fn len(&self, model: &Model) -> usize {
        let (graph, plan) = (model.graph(), &self.plan);
        let made = graph.ids().filter(|id| self.needed[id.0] && !plan.is_inside(*id));
        let last = made.map(|id| plan.head(id).map_or(id, |fused| fused.last));
        last.map(|id| graph.node(id).shape.iter().product::<usize>()).sum()
    }
}

impl Model {
    /// The pass of all samples of `x`.
    pub(super) fn traced(&self, x: &Tensor, tap: &Tap, tiles: WinogradTile) -> Result<Trace> {
        let x = self.batched(x)?;
        let pass = Pass::new(self, tap, tiles, x.dims()[0]);
        if pass.groups.is_empty() {
            return self.pass(&x, 0, &pass);
        }
        let parts = each(&x, &pass.groups, |x, first| self.pass(x, first, &pass))?;
        Trace::of_parts(parts, x, pass)
    }

    /// The signal at `wanted` that `rules` carry there from where `seed` says of a trace, which may be one of some samples only;
    /// and what else it says of each such trace, in their order.
    ///
    /// # Errors
    /// As [`Model::forward`] and [`Trace::backward_to`].
    pub fn signal<T: Send>(
        &self,
        x: &Tensor,
        tap: &Tap,
        wanted: NodeId,
        rules: &Rules,
        seed: impl Fn(&Trace) -> Result<(Seed, T)> + Send + Sync,
    ) -> Result<(Tensor, Vec<T>)> {
        let x = self.batched(x)?;
        let pass = Pass::new(self, tap, self.tiles_for(tap), x.dims()[0]);
        let signal = |x: &Tensor, first: usize| {
            let trace = self.pass(x, first, &pass)?;
            let (seed, told) = seed(&trace)?;
            Ok((trace.backward_to(wanted, seed, rules)?, told))
        };
        rayon::scope(|_| {
            if pass.groups.is_empty() {
                return signal(&x, 0).map(|(signal, told)| (signal, vec![told]));
            }
            let (signals, told): (Vec<_>, Vec<_>) = each(&x, &pass.groups, signal)?.into_iter().unzip();
            Ok((Tensor::cat(&signals, 0)?, told))
        })
    }
}

/// The groups of a batch, where a pass makes `values` of each sample and reads `weights`; none where they would not pay: a group
/// reads the weights anew, so it takes as many samples as have half as many values at least, and all threads get as many groups.
fn groups(batch: usize, values: usize, weights: usize, threads: usize) -> Vec<Range<usize>> {
    let least = weights.div_ceil(values.max(1)).max(1);
    let count = (batch.div_ceil(least * threads.max(1)) * threads.max(1)).min(batch);
    // Few groups of unlike sizes would let threads wait.
    let even = batch.is_multiple_of(count) || count >= 4 * threads;
    if count < 2 || 2 * (batch / count) < least || !even {
        return Vec::new();
    }
    (0..count).map(|i| i * batch / count..(i + 1) * batch / count).collect()
}

/// Runs `pass` on each group's samples of `x` and the number of the first, several at a time.
fn each<T: Send>(
    x: &Tensor,
    groups: &[Range<usize>],
    pass: impl Fn(&Tensor, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    groups.par_iter().with_max_len(1).map(|group| pass(&samples(x, group)?, group.start)).collect()
}

fn samples(x: &Tensor, group: &Range<usize>) -> Result<Tensor> {
    Ok(x.narrow(0, group.start, group.len())?)
}

/// Sends `seed`, of all samples, back through the traces of their groups.
///
/// # Errors
/// As [`Trace::backward`].
pub(super) fn send(parts: &[Trace], seed: &Seed, rules: &Rules, keep: impl Fn(NodeId) -> bool + Sync) -> Result<Flow> {
    let mut batch = 0;
    let mut groups = Vec::with_capacity(parts.len());
    for part in parts {
        groups.push(batch..batch + part.batch());
        batch += part.batch();
    }
    for (id, tensor) in seed {
        if tensor.dims().first() != Some(&batch) {
            let name = &parts[0].model().graph().node(*id).name;
            return Err(Error::shape(format!("a seed {:?} at `{name}` for {batch} samples", tensor.dims())));
        }
    }
    let one = |(part, group): (&Trace, &Range<usize>)| {
        let seed = seed.iter().map(|(id, tensor)| Ok((*id, samples(tensor, group)?)));
        part.sent(seed.collect::<Result<_>>()?, rules, &keep)
    };
    let flows = parts.par_iter().zip(&groups).with_max_len(1).map(one).collect::<Result<Vec<_>>>()?;
    Flow::stacked(&flows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_every_sample_once_and_weigh_weights_against_values() {
        for (batch, values, weights, threads) in
            [(8, 10, 4, 2), (8, 10, 60, 2), (5, 10, 4, 2), (7, 10, 25, 3), (1, 10, 4, 2), (3, 10, 4, 16), (64, 1, 9, 2)]
        {
            let groups = groups(batch, values, weights, threads);
            let all: Vec<usize> = groups.iter().cloned().flatten().collect();
            assert!(groups.is_empty() || all == (0..batch).collect::<Vec<_>>(), "{groups:?}");
            let (least, most) = (groups.iter().map(Range::len).min(), groups.iter().map(Range::len).max());
            assert!(most <= least.map(|n| n + 1), "{groups:?}");
        }
        // Few weights: each sample by itself. More: as many at once as there are threads' shares. Most: all at once.
        assert_eq!(groups(8, 10, 4, 2).len(), 8);
        assert_eq!(groups(8, 10, 60, 2).len(), 2);
        assert!(groups(8, 10, 900, 2).is_empty());
        // Two and three on two threads would let one wait.
        assert!(groups(5, 10, 60, 2).is_empty());
    }
}
