//! The scaling of pixels inside a net, before its first layer: exports of Keras and of pipelines contain it, and must not get
//! pixels that are scaled already. It is followed through resizing, cropping, padding, clipping and a split into channels.

use crate::graph::op::{Activation, Binary, Elementary};
use crate::graph::{NodeId, Op};
use crate::model::Model;
use crate::tensor::to_f64;

/// The scaling of each channel of a photo before the first layer: factor * x + shift.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnScaling {
    factor: Vec<f64>,
    shift: Vec<f64>,
    bounds: Bounds,
}

/// The range of pixel values that a net takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 0 to 255.
    Bytes,
    /// 0 to 1.
    Unit,
    /// -1 to 1.
    Signed,
}

/// What clipping says of the photo.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bounds {
    /// The range to which pixels are clipped as they come.
    said: Option<Range>,
    /// Whether bytes would be clipped.
    cuts_bytes: bool,
}

/// One entry along the axis of channels: factor * x + shift, where x is the photo's channel `from`, or each channel alike.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Affine {
    from: Option<usize>,
    factor: f64,
    shift: f64,
}

/// A value whose entries are affine functions of the photo's channels.
#[derive(Clone, Debug, PartialEq)]
struct AffineChannels {
    /// The axis of the channels; none where all entries are the same function.
    axis: Option<usize>,
    /// The function of each entry of that axis, or of all.
    all: Vec<Affine>,
    bounds: Bounds,
}

/// The share of its value by which a factor may vary over positions and still count as one factor.
const MAX_RELATIVE_SPREAD: f64 = 0.1;

/// What rounded constants may add to a bound.
const ROUNDING_SLACK: f64 = 1e-4;

impl AffineChannels {
    fn of_photo(channels: usize) -> Self {
        let all = (0..channels).map(|c| Affine { from: Some(c), factor: 1.0, shift: 0.0 }).collect();
        AffineChannels { axis: Some(0), all, bounds: Bounds::default() }
    }

    fn is_plain(&self) -> bool {
        self.all.iter().all(|e| e.factor == 1.0 && e.shift == 0.0)
    }

    /// The value after a function of each entry and its constant.
    fn with(&self, values: &[f64], change: impl Fn(Affine, f64) -> Affine) -> Self {
        AffineChannels { all: self.all.iter().zip(values).map(|(e, v)| change(*e, *v)).collect(), ..self.clone() }
    }

    fn moved(&self, by: &[f64], sign: f64) -> Self {
        self.with(by, |e, v| Affine { shift: e.shift + sign * v, ..e })
    }

    fn stretched(&self, by: &[f64]) -> Self {
        self.with(by, |e, v| Affine { factor: e.factor * v, shift: e.shift * v, ..e })
    }

    /// The same functions, which have no axis of channels any more, along `axis` with an entry for each of the `channels`.
    fn spread(&self, axis: usize, channels: usize) -> Self {
        match (self.axis, &self.all[..]) {
            (None, [entry]) if entry.from.is_none() => {
                let all = (0..channels).map(|c| Affine { from: Some(c), ..*entry }).collect();
                AffineChannels { axis: Some(axis), all, bounds: self.bounds }
            }
            _ => self.clone(),
        }
    }

    /// One number an entry from a constant of the shape `dims`, which broadcasts over `shape`: the mean over places. Where they
    /// must not `vary`, none if they do.
    fn constant(&self, values: &[f64], dims: &[usize], shape: &[usize], vary: bool) -> Option<Vec<f64>> {
        let extra = dims.len().saturating_sub(shape.len());
        if dims[..extra].iter().any(|n| *n != 1) {
            return None;
        }
        let (dims, lead) = (&dims[extra..], shape.len().saturating_sub(dims.len()));
        let at = self.axis.and_then(|a| a.checked_sub(lead)).filter(|a| dims[*a] > 1);
        let (n, inner) = at.map_or((1, 1), |a| (dims[a], dims[a + 1..].iter().product()));
        if n != 1 && n != self.all.len() {
            return None;
        }
        let means = (0..n).map(|k| {
            let own = || values.iter().enumerate().filter(|(i, _)| i / inner % n == k).map(|(_, v)| *v);
            let mean = own().sum::<f64>() / own().count().max(1) as f64;
            let reach = own().map(|v| (v - mean).abs()).fold(0.0, f64::max);
            match reach == 0.0 {
                true => own().next(),
                false => (vary || reach <= MAX_RELATIVE_SPREAD * mean.abs()).then_some(mean),
            }
        });
        let means = means.collect::<Option<Vec<f64>>>()?;
        Some(if n == 1 { vec![means[0]; self.all.len()] } else { means })
    }

    /// The value behind a clip, where that leaves photos whose pixels are 0 to 1 as they are.
    fn clipped(&self, low: f64, high: f64) -> Option<Self> {
        let keeps = |most: f64| {
            self.all.iter().all(|e| {
                let ends = [e.shift, e.factor * most + e.shift];
                ends.iter().all(|v| (low - ROUNDING_SLACK..=high + ROUNDING_SLACK).contains(v))
            })
        };
        let said = match (self.is_plain(), low, high) {
            (true, 0.0, 255.0) => Some(Range::Bytes),
            (true, 0.0, 1.0) => Some(Range::Unit),
            _ => self.bounds.said,
        };
        let cuts_bytes = self.bounds.cuts_bytes || !keeps(255.0);
        keeps(1.0).then(|| AffineChannels { bounds: Bounds { said, cuts_bytes }, ..self.clone() })
    }

    /// The value in another shape; none where its channels are no axis any more and have different functions.
    fn reshaped(&self, from: &[usize], to: &[usize]) -> Option<Self> {
        let Some(axis) = self.axis else { return Some(self.clone()) };
        let before: usize = from[..axis].iter().product();
        let kept = (0..to.len()).find(|a| to[*a] == from[axis] && to[..*a].iter().product::<usize>() == before);
        if kept.is_some() {
            return Some(AffineChannels { axis: kept, ..self.clone() });
        }
        let first = *self.all.first()?;
        let alike = self.all.iter().all(|e| (e.factor, e.shift) == (first.factor, first.shift));
        let from = first.from.filter(|_| self.all.len() == 1);
        alike.then(|| AffineChannels { axis: None, all: vec![Affine { from, ..first }], ..self.clone() })
    }

    /// Several values along an axis.
    fn joined(parts: &[&AffineChannels], widths: &[usize], axis: usize) -> Option<Self> {
        let first = *parts.first()?;
        let apart = |part: &&AffineChannels| part.axis.is_some_and(|a| a != axis);
        if parts.iter().any(apart) {
            return parts.iter().all(|part| *part == first).then(|| first.clone());
        }
        let entries = parts.iter().zip(widths).flat_map(|(part, n)| match part.axis {
            Some(_) => part.all.clone(),
            None => vec![part.all[0]; *n],
        });
        let cuts_bytes = parts.iter().any(|part| part.bounds.cuts_bytes);
        let said = first.bounds.said.filter(|_| parts.iter().all(|part| part.bounds.said == first.bounds.said));
        Some(AffineChannels { axis: Some(axis), all: entries.collect(), bounds: Bounds { said, cuts_bytes } })
    }

    /// The scaling by channel of the photo; none where a channel is left out, or scaled in two ways.
    fn by_channel(&self, channels: usize) -> Option<OwnScaling> {
        let of = |c: usize| {
            let mut own = self.all.iter().filter(|e| e.from.is_none_or(|from| from == c));
            let first = own.next()?;
            own.all(|e| (e.factor, e.shift) == (first.factor, first.shift)).then_some((first.factor, first.shift))
        };
        let (factor, shift) = (0..channels).map(of).collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(OwnScaling { factor, shift, bounds: self.bounds })
    }
}

impl OwnScaling {
    /// The scaling before the first layer of `net`; none where there is none, or where it is no affine function of each channel.
    pub fn of(net: &Model) -> Option<OwnScaling> {
        let graph = net.graph();
        let &[channels, _, _] = net.input_shape() else { return None };
        let mut known: Vec<Option<AffineChannels>> = graph.ids().map(|_| None).collect();
        known[graph.input().0] = Some(AffineChannels::of_photo(channels));
        // What layers take, and whether the layer has weights.
        let mut taken: Vec<(bool, AffineChannels)> = Vec::new();
        for id in graph.ids().filter(|id| *id != graph.input()) {
            let node = graph.node(id);
            if node.inputs.iter().all(|input| known[input.0].is_none()) {
                continue;
            }
            let next = after(net, id, &known);
            match next {
                // A layer with scales of its own is the first one.
                Some(affine) if matches!(node.op, Op::BatchNorm { .. }) => taken.push((false, affine)),
                Some(affine) => known[id.0] = Some(affine),
                None => {
                    let weighs =
                        matches!(node.op, Op::Conv2d(_) | Op::ConvTranspose2d(..) | Op::Linear { .. } | Op::MatMul);
                    taken.extend(node.inputs.iter().filter_map(|i| known[i.0].clone()).map(|affine| (weighs, affine)));
                }
            }
        }
        let weighed = taken.iter().any(|(weighs, _)| *weighs);
        let mut all =
            taken.iter().filter(|(weighs, _)| *weighs == weighed).map(|(_, affine)| affine.by_channel(channels));
        let first = all.next()??;
        let agrees = all.all(|other| other.as_ref() == Some(&first));
        let is_there = first.bounds.said.is_some() || first.factor.iter().any(|f| *f != 1.0);
        (agrees && (is_there || first.shift.iter().any(|s| *s != 0.0))).then_some(first)
    }

    /// The value of each channel that becomes zero.
    fn centres(&self) -> Vec<f64> {
        self.factor.iter().zip(&self.shift).map(|(f, s)| -s / f).collect()
    }

    /// What pixels must be so that their middle becomes about 0 and their spread about 1, or bytes that are scaled again.
    pub fn takes(&self) -> Option<Range> {
        let centres = self.centres();
        let spreads: Vec<f64> = self.factor.iter().map(|f| 1.0 / f.abs()).collect();
        let all = |of: &[f64], low: f64, high: f64| of.iter().all(|v| (low..=high).contains(v));
        if self.bounds.said.is_some() {
            return self.bounds.said;
        }
        if all(&spreads, 30.0, 300.0) || all(&centres, 40.0, 215.0) {
            return (!self.bounds.cuts_bytes).then_some(Range::Bytes);
        }
        let from_unit = all(&spreads, 0.1, 0.6) && all(&centres, 0.2, 0.8);
        let unit_to_bytes = all(&spreads, 1.0 / 300.0, 1.0 / 200.0) && all(&centres, -0.01, 0.8);
        if from_unit || unit_to_bytes {
            return Some(Range::Unit);
        }
        let moved = centres.iter().any(|c| *c < -0.01);
        let from_signed = all(&spreads, 0.3, 0.7) && all(&centres, -0.25, 0.05) && moved;
        let signed_to_bytes = all(&spreads, 1.0 / 150.0, 1.0 / 100.0) && all(&centres, -1.05, 0.05);
        let signed_to_unit = all(&spreads, 1.9, 2.1) && all(&centres, -1.05, -0.95);
        (from_signed || signed_to_bytes || signed_to_unit).then_some(Range::Signed)
    }

    /// Whether the means that it takes off rise from the first channel to the last as ImageNet's do from blue to red.
    pub fn is_bgr(&self) -> bool {
        let centres = self.centres();
        let scale = if self.takes() == Some(Range::Unit) { 255.0 } else { 1.0 };
        let [blue, green, red] = centres[..] else { return false };
        let near = |v: f64, mean: f64| (v * scale - mean).abs() < 4.0;
        near(blue, 103.9) && near(green, 116.8) && near(red, 123.7)
    }
}

/// A node's value, from those of its inputs; none where it is no affine function of the photo's channels.
fn after(net: &Model, id: NodeId, known: &[Option<AffineChannels>]) -> Option<AffineChannels> {
    let graph = net.graph();
    let node = graph.node(id);
    let at = node.inputs.iter().position(|input| known[input.0].is_some())?;
    let affine = known[node.inputs[at].0].as_ref()?;
    let shape = &graph.node(node.inputs[at]).shape;
    let channels = net.input_shape().first().copied().unwrap_or(0);
    let same = |holds: bool| holds.then(|| affine.clone());
    let values = |param| to_f64(net.weights().tensor(param)).ok();
    match &node.op {
        Op::Identity => same(true),
        Op::Transpose(perm) => {
            let axis = affine.axis.and_then(|axis| perm.iter().position(|from| *from == axis));
            Some(AffineChannels { axis, ..affine.clone() })
        }
        Op::Reshape(_) => affine.reshaped(shape, &node.shape),
        Op::Resize { .. } | Op::AvgPool(_) => same(affine.axis.is_none_or(|axis| axis + 2 < shape.len())),
        Op::Pad { pads, .. } => same(affine.axis.is_none_or(|axis| pads.get(axis) == Some(&(0, 0)))),
        Op::Select { axis, index } if affine.axis == Some(*axis) => {
            let all = index.iter().map(|c| affine.all.get(*c).copied()).collect::<Option<Vec<Affine>>>()?;
            Some(AffineChannels { all, ..affine.clone() })
        }
        Op::Select { .. } => same(true),
        Op::Concat { axis } => {
            let parts = node.inputs.iter().map(|i| known[i.0].as_ref()).collect::<Option<Vec<&AffineChannels>>>()?;
            let widths: Vec<usize> = node.inputs.iter().map(|i| graph.node(*i).shape[*axis]).collect();
            AffineChannels::joined(&parts, &widths, *axis)
        }
        Op::Activation(Activation::Relu) => affine.clipped(0.0, f64::INFINITY),
        Op::Activation(Activation::Clip { low, high }) => affine.clipped(*low, *high),
        // Rounding leaves bytes as they are.
        Op::Activation(Activation::Elementary(
            Elementary::Round | Elementary::Floor | Elementary::Truncate | Elementary::LowByte,
        )) => same(affine.all.iter().all(|e| e.factor.abs() >= 1.0)),
        Op::Binary(op) => {
            let other = *node.inputs.get(1 - at)?;
            let Op::Constant(param) = graph.node(other).op else { return None };
            if node.shape != *shape {
                return None;
            }
            let sums = matches!(op, Binary::Add | Binary::Sub);
            let dims = &graph.node(other).shape;
            // A number for each channel tells the axis that reshapes have hidden.
            let own = (0..dims.len()).find(|a| dims[*a] == channels && dims.iter().product::<usize>() == channels);
            let own = own.filter(|_| channels > 1).and_then(|a| (a + shape.len()).checked_sub(dims.len()));
            let affine = &own.map_or_else(|| affine.clone(), |axis| affine.spread(axis, channels));
            let by = affine.constant(&values(param)?, dims, shape, sums)?;
            match (op, at) {
                (Binary::Add, _) => Some(affine.moved(&by, 1.0)),
                (Binary::Sub, 0) => Some(affine.moved(&by, -1.0)),
                (Binary::Mul, _) => Some(affine.stretched(&by)),
                (Binary::Div, 0) => Some(affine.stretched(&by.iter().map(|v| 1.0 / v).collect::<Vec<f64>>())),
                _ => None,
            }
        }
        Op::BatchNorm { scale, shift, mean, var, eps } => {
            let affine =
                &if node.shape.first() == Some(&channels) { affine.spread(0, channels) } else { affine.clone() };
            let of = |param| values(param).filter(|v| affine.axis == Some(0) && v.len() == affine.all.len());
            let (scale, var) = (of(*scale)?, of(*var)?);
            let by: Vec<f64> = scale.iter().zip(&var).map(|(s, v)| s / (v + eps).sqrt()).collect();
            Some(affine.moved(&of(*mean)?, -1.0).stretched(&by).moved(&of(*shift)?, 1.0))
        }
        _ => None,
    }
}
