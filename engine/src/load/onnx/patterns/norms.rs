//! Layer, group and instance normalisations that a file has as several operations.

use super::Live;
use super::stretch::{Stretch, ending_at};
use crate::error::Result;
use crate::graph::op::Binary;
use crate::graph::{Builder, NodeId, Op, ParamId};
use crate::random::Stream;
use crate::tensor::to_f64;
use candle_core::{Device, Tensor};

/// The largest error of a recognised normalisation, relative to its largest value.
const MAX_DIFFERENCE: f64 = 1e-6;

/// Replaces (x - mean) / sqrt(var + eps) that ends at `id` by one node, without scale and shift.
pub fn norm(b: &mut Builder, id: NodeId, live: &Live) -> Result<()> {
    if !matches!(b.op(id), Op::Binary(Binary::Div | Binary::Mul)) {
        return Ok(());
    }
    for stretch in ending_at(b, id) {
        let Some(axes) = stretch.axes(b).filter(|_| stretch.wide.is_empty()) else { continue };
        if let Some(eps) = epsilon(b, live, &stretch, &axes) {
            return normalisation(b, id, stretch.base, &axes, eps);
        }
    }
    Ok(())
}

/// The epsilon, where a stretch is a normalisation over `axes`.
fn epsilon(b: &Builder, live: &Live, stretch: &Stretch, axes: &[usize]) -> Option<f64> {
    let rank = b.shape(stretch.base).len();
    let dims: Vec<usize> = (0..rank).map(|a| if axes.contains(&a) { 3 + a } else { 1 }).collect();
    let n: usize = dims.iter().product();
    let input = |seed: u64, scale: f64, shift: f64| -> Vec<f64> {
        let stream = Stream::new(seed, "patterns");
        (0..n).map(|i| scale * stream.normal_at(i as u64) + shift).collect()
    };
    let moments = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / n as f64;
        (mean, x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64)
    };
    // With an input that hardly varies, epsilon dominates.
    let x = input(1, 1e-2, 0.0);
    let (y, (mean, var)) = (stretch.evaluate(b, live, &x, &dims, 0)?, moments(&x));
    let at = (0..n).max_by(|i, j| (x[*i] - mean).abs().total_cmp(&(x[*j] - mean).abs()))?;
    let measured = ((x[at] - mean) / y[at]).powi(2) - var;
    let eps: f64 = if measured.abs() < 1e-13 { 0.0 } else { (measured as f32).to_string().parse().ok()? };
    if !(0.0..1.0).contains(&eps) {
        return None;
    }
    let holds = |x: Vec<f64>| -> Option<bool> {
        let (y, (mean, var)) = (stretch.evaluate(b, live, &x, &dims, 0)?, moments(&x));
        let want: Vec<f64> = x.iter().map(|v| (v - mean) / (var + eps).sqrt()).collect();
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        Some(y.iter().zip(&want).all(|(y, w)| (y - w).abs() <= MAX_DIFFERENCE * largest))
    };
    let all = [x, input(2, 1e-3, 1e-3), input(3, 1.0, -0.5), input(4, 30.0, 7.0)].into_iter().map(holds);
    all.collect::<Option<Vec<bool>>>()?.into_iter().all(|held| held).then_some(eps)
}

/// The normalisation of `x` over `axes` at `id`, where the graph has such an operation.
fn normalisation(b: &mut Builder, id: NodeId, x: NodeId, axes: &[usize], eps: f64) -> Result<()> {
    let (shape, name) = (b.shape(x).to_vec(), b.node(id).name.clone());
    let rank = shape.len();
    let is_suffix = axes.iter().copied().eq(rank - axes.len()..rank);
    if rank == 3 && (axes == [1, 2] || axes == [0, 1, 2]) {
        let groups = if axes.len() == 3 { 1 } else { shape[0] };
        let (scale, shift) = (
            filled(b, &format!("{name}/scale"), &[shape[0]], 1.0)?,
            filled(b, &format!("{name}/shift"), &[shape[0]], 0.0)?,
        );
        b.rewrite(id, Op::GroupNorm { groups, scale, shift, eps }, &[x])?;
    } else if is_suffix {
        let scale = filled(b, &format!("{name}/scale"), &shape[rank - axes.len()..], 1.0)?;
        b.rewrite(id, Op::LayerNorm { axis: rank - axes.len(), scale, shift: None, eps }, &[x])?;
    } else if rank == 3 && axes == [0] {
        // Over the channels of each position.
        let scale = filled(b, &format!("{name}/scale"), &shape[..1], 1.0)?;
        let last = b.add(&format!("{name}/channels last"), Op::Transpose(vec![1, 2, 0]), &[x])?;
        let norm = b.add(&format!("{name}/norm"), Op::LayerNorm { axis: 2, scale, shift: None, eps }, &[last])?;
        b.rewrite(id, Op::Transpose(vec![2, 0, 1]), &[norm])?;
    } else {
        return Ok(());
    }
    Ok(())
}

/// A parameter with equal entries.
fn filled(b: &mut Builder, name: &str, dims: &[usize], value: f32) -> Result<ParamId> {
    b.param(name, Tensor::full(value, dims, &Device::Cpu)?)
}

/// Replaces a reshape, a normalisation of each group and a reshape back by one group normalisation.
pub fn group_norm(b: &mut Builder, id: NodeId, live: &Live) -> Result<()> {
    let Op::Reshape(to) = b.op(id) else { return Ok(()) };
    let (to, inner) = (to.clone(), b.node(id).inputs[0]);
    if to.len() < 2 || !live.alone(inner) {
        return Ok(());
    }
    let plain = |b: &Builder, p: ParamId, want: f64| -> Result<bool> {
        Ok(to_f64(b.weights().tensor(p))?.iter().all(|v| *v == want))
    };
    let (groups, eps) = match *b.op(inner) {
        Op::GroupNorm { groups, scale, shift, eps } if plain(b, scale, 1.0)? && plain(b, shift, 0.0)? => (groups, eps),
        Op::LayerNorm { axis: 1, scale, shift: None, eps } if plain(b, scale, 1.0)? => (b.shape(inner)[0], eps),
        _ => return Ok(()),
    };
    let before = b.node(inner).inputs[0];
    if !matches!(b.op(before), Op::Reshape(_)) || groups != b.shape(inner)[0] {
        return Ok(());
    }
    let x = b.node(before).inputs[0];
    if b.shape(x) != to || !to[0].is_multiple_of(groups) {
        return Ok(());
    }
    let name = b.node(id).name.clone();
    let (scale, shift) =
        (filled(b, &format!("{name}/scale"), &to[..1], 1.0)?, filled(b, &format!("{name}/shift"), &to[..1], 0.0)?);
    b.rewrite(id, Op::GroupNorm { groups, scale, shift, eps }, &[x])?;
    Ok(())
}
