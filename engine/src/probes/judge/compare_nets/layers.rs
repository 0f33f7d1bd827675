//! The matching of two nets' layers, and the difference of their values over the images.

use crate::error::{Error, Result};
use crate::graph::op::Activation;
use crate::graph::{NodeId, Op};
use crate::model::Model;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::show::{Mark, Plot, Series, Table};
use crate::tensor::to_f64;
use candle_core::Tensor;

/// A layer of each net, and sums over their values.
pub struct LayerPair {
    nodes: [NodeId; 2],
    names: [String; 2],
    /// Whether they were matched by name; otherwise by position.
    by_name: bool,
    /// Of the first's squares, of the second's, of their products, of the differences' squares.
    sums: [f64; 4],
}

impl LayerPair {
    /// |b - a| / |a|; 0 where both are zero everywhere.
    pub fn error(&self) -> f64 {
        let [a, _, _, apart] = self.sums;
        if apart == 0.0 { 0.0 } else { (apart / a).sqrt() }
    }

    /// The signal-to-noise ratio, dB.
    pub fn snr(&self) -> f64 {
        -20.0 * libm::log10(self.error())
    }

    /// The cosine between the values: 1 where they differ by one positive factor.
    pub fn cosine(&self) -> f64 {
        let [a, b, product, _] = self.sums;
        product / (a.sqrt() * b.sqrt())
    }
}

/// The matched layers of two nets.
pub struct Pairing {
    /// In the first net's order.
    pub pairs: Vec<LayerPair>,
    /// Layers of the first net without a partner, and the second's.
    alone: [Vec<String>; 2],
    /// Whether one of the nets computes with integers where the other does not.
    integers: bool,
}

impl Pairing {
    /// Matches the layers `named`, or all with weights and the scores.
    ///
    /// # Errors
    /// Where a name is none of the first net's.
    pub fn of(a: &Model, b: &Model, named: &[LayerName]) -> Result<Self> {
        let first = match named {
            [] => weighted(a),
            _ => named.iter().map(|l| a.layer(&l.0)).collect::<Result<_>>()?,
        };
        let name = |net: &Model, id: NodeId| net.graph().node(id).name.clone();
        let shape = |net: &Model, id: NodeId| net.graph().node(id).shape.clone();
        let mut found: Vec<Option<(NodeId, bool)>> = first
            .iter()
            .map(|id| {
                b.graph().find(&name(a, *id)).filter(|other| shape(b, *other) == shape(a, *id)).map(|o| (o, true))
            })
            .collect();
        let scores = first.iter().position(|id| *id == a.graph().scores());
        if let Some(at) = scores.filter(|at| found[*at].is_none()) {
            found[at] = Some((b.graph().scores(), false));
        }
        let left: Vec<usize> = (0..first.len()).filter(|i| found[*i].is_none()).collect();
        let candidates = if named.is_empty() { weighted(b) } else { b.layers().collect() };
        let taken: Vec<NodeId> = found.iter().flatten().map(|(id, _)| *id).collect();
        let free: Vec<NodeId> = candidates.into_iter().filter(|id| !taken.contains(id)).collect();
        let alike = |i: usize, j: usize| {
            let (p, q) = (a.graph().node(first[left[i]]), b.graph().node(free[j]));
            p.op.kind() == q.op.kind() && p.shape == q.shape
        };
        for (i, j) in in_order(left.len(), free.len(), alike) {
            found[left[i]] = Some((free[j], false));
        }
        let used: Vec<NodeId> = found.iter().flatten().map(|(id, _)| *id).collect();
        let alone = [
            first.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(id, _)| name(a, *id)).collect(),
            free.iter().filter(|id| named.is_empty() && !used.contains(id)).map(|id| name(b, *id)).collect(),
        ];
        let pairs: Vec<LayerPair> = first
            .iter()
            .zip(&found)
            .filter_map(|(id, f)| f.map(|(other, by_name)| (*id, other, by_name)))
            .map(|(id, other, by_name)| LayerPair {
                nodes: [id, other],
                names: [name(a, id), name(b, other)],
                by_name,
                sums: [0.0; 4],
            })
            .collect();
        if pairs.is_empty() {
            return Err(Error::subject(format!(
                "no layer of `{}` has a partner of its name, or kind, and shape in `{}`",
                a.card().name,
                b.card().name
            ))
            .hint("nets of one architecture are compared; `net.layers` lists their layers"));
        }
        Ok(Pairing { pairs, alone, integers: rounds(a) != rounds(b) && pairs_have_integers(a, b) })
    }

    /// Adds both nets' values for one input each, 1 x C x H x W, and returns their raw scores.
    ///
    /// # Errors
    /// As the forward pass.
    pub fn add(&mut self, nets: [&Model; 2], x: [&Tensor; 2]) -> Result<[Vec<f64>; 2]> {
        let trace = |k: usize| {
            let mut nodes: Vec<NodeId> = self.pairs.iter().map(|p| p.nodes[k]).collect();
            nodes.push(nets[k].graph().scores());
            nodes.sort();
            nodes.dedup();
            nets[k].forward(x[k], &Tap::Only(nodes))
        };
        let traces = [trace(0)?, trace(1)?];
        for pair in &mut self.pairs {
            let (p, q) = (to_f64(traces[0].get(pair.nodes[0])?)?, to_f64(traces[1].get(pair.nodes[1])?)?);
            let mut sums = [0.0; 4];
            for (p, q) in p.iter().zip(&q) {
                sums = [sums[0] + p * p, sums[1] + q * q, sums[2] + p * q, sums[3] + (q - p) * (q - p)];
            }
            pair.sums.iter_mut().zip(sums).for_each(|(all, one)| *all += one);
        }
        let scores = |k: usize| to_f64(traces[k].get(nets[k].graph().scores())?);
        Ok([scores(0)?, scores(1)?])
    }

    /// The layers' errors along the net.
    pub fn plot(&self) -> Plot {
        Plot {
            title: "layers by error".into(),
            x_label: String::new(),
            y_label: "relative error, |b - a| / |a|".into(),
            categories: self.pairs.iter().map(|p| p.names[0].clone()).collect(),
            series: vec![Series {
                name: "error".into(),
                x: (0..self.pairs.len()).map(|i| i as f64).collect(),
                y: self.pairs.iter().map(LayerPair::error).collect(),
                bars: Vec::new(),
                mark: Mark::Line,
            }],
        }
    }

    /// The layers, the largest error first.
    pub fn table(&self, nets: &[String]) -> Table {
        let columns = [format!("layer of {}", nets[0]), format!("layer of {}", nets[1])];
        let more = ["matched by", "error", "signal to noise, dB", "cosine"].map(String::from);
        let mut table = Table::new(columns.into_iter().chain(more));
        let mut order: Vec<&LayerPair> = self.pairs.iter().collect();
        order.sort_by(|p, q| q.error().total_cmp(&p.error()));
        for pair in order {
            table.push([
                pair.names[0].as_str().into(),
                pair.names[1].as_str().into(),
                if pair.by_name { "name" } else { "order" }.into(),
                pair.error().into(),
                pair.snr().into(),
                pair.cosine().into(),
            ]);
        }
        table
    }

    /// How layers were matched, and which were not.
    pub fn notes(&self, nets: &[String]) -> Vec<String> {
        let by_order = self.pairs.iter().filter(|p| !p.by_name).count();
        let mut notes = Vec::new();
        if by_order > 0 {
            notes.push(format!(
                "{by_order} of {} layers have no partner of their name and are matched by kind and shape in their order",
                self.pairs.len()
            ));
        }
        for (net, alone) in nets.iter().zip(&self.alone).filter(|(_, alone)| !alone.is_empty()) {
            let first: Vec<String> = alone.iter().take(3).map(|n| format!("`{n}`")).collect();
            let more = if alone.len() > 3 { ", .." } else { "" };
            notes.push(format!("{} of {net}'s layers have no partner: {}{more}", alone.len(), first.join(", ")));
        }
        if self.integers {
            notes.push(
                "one net computes with integers: where a layer's values stand for integers read the cosine; `net.float()` keeps them".into(),
            );
        }
        notes
    }
}

/// The layers with weights, and the scores.
fn weighted(net: &Model) -> Vec<NodeId> {
    let graph = net.graph();
    let has = |id: &NodeId| matches!(graph.node(*id).op, Op::Conv2d(_) | Op::Linear { .. } | Op::ConvTranspose2d(..));
    let mut all: Vec<NodeId> = net.layers().filter(|id| has(id) || *id == graph.scores()).collect();
    if all.last() != Some(&graph.scores()) {
        all.push(graph.scores());
    }
    all
}

/// Whether a net rounds values.
fn rounds(net: &Model) -> bool {
    net.graph().nodes().iter().any(|n| matches!(n.op, Op::Activation(Activation::Quantise { rounds: true, .. })))
}

/// Whether only one of the nets keeps values as integers at all, rounded or not.
fn pairs_have_integers(a: &Model, b: &Model) -> bool {
    let keeps =
        |net: &Model| net.graph().nodes().iter().any(|n| matches!(n.op, Op::Activation(Activation::Quantise { .. })));
    keeps(a) != keeps(b)
}

/// The longest list of pairs (i, j), both rising, that are alike: the longest common subsequence.
fn in_order(m: usize, n: usize, alike: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let mut best = vec![vec![0usize; n + 1]; m + 1];
    for i in (0..m).rev() {
        for j in (0..n).rev() {
            let skip = best[i + 1][j].max(best[i][j + 1]);
            best[i][j] = if alike(i, j) { skip.max(best[i + 1][j + 1] + 1) } else { skip };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < m && j < n {
        if alike(i, j) && best[i][j] == best[i + 1][j + 1] + 1 {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] >= best[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn layers_pair_up_in_order_around_what_one_net_lacks() {
        let (a, b) = (["conv", "bn", "conv", "fc"], ["conv", "conv", "pool", "fc"]);
        assert_eq!(in_order(4, 4, |i, j| a[i] == b[j]), [(0, 0), (2, 1), (3, 3)]);
        assert_eq!(in_order(0, 3, |_, _| true), []);
    }
}
